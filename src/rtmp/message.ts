/**
 * An RTMP message, as the chunk streams carry it (RTMP 1.0, section 6 and 7).
 *
 * A message that a ChunkReader hands out, and its body, are valid only during the call: both are used again for the next
 * one. Whoever keeps something of it copies it.
 */
export type Message = {
  chunkStreamId: number
  type: number
  /** Milliseconds, unsigned 32 bits, wraps around. */
  timestamp: number
  messageStreamId: number
  body: Buffer
}

export const messageTypes = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAcknowledgementSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  amf3Data: 15,
  amf3SharedObject: 16,
  amf3Command: 17,
  amf0Data: 18,
  amf0SharedObject: 19,
  amf0Command: 20,
  aggregate: 22,
} as const

export const userControlEvents = {
  streamBegin: 0,
  streamEof: 1,
  streamDry: 2,
  setBufferLength: 3,
  streamIsRecorded: 4,
  pingRequest: 6,
  pingResponse: 7,
} as const

/** A peer broke the protocol, or a limit of ours. `reason` is a short fixed text without anything that the peer sent. */
export class ProtocolError extends Error {
  readonly reason: string

  constructor(reason: string) {
    super(reason)
    this.name = 'ProtocolError'
    this.reason = reason
  }
}
