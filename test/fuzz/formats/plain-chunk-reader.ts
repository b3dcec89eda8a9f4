import type { ChunkReaderLimits } from '../../../src/rtmp/chunk-reader.ts'
import { type Message, messageTypes } from '../../../src/rtmp/message.ts'

/** One chunk of a recording. */
export type Chunk = {
  readonly start: number
  readonly bodyStart: number
  readonly end: number
  readonly fmt: number
  readonly chunkStreamId: number
}

export type ReadChunks = {
  readonly messages: readonly Message[]
  readonly chunks: readonly Chunk[]
  /** Why it stopped: `end`, or the reason of the refusal. */
  readonly end: string
}

type State = {
  timestamp: number
  delta: number
  length: number
  type: number
  messageStreamId: number
  extended: number | undefined
  /** Body bytes of the unfinished message that have come. */
  received: number
  parts: Buffer[] | undefined
}

/** Before its first header a chunk stream counts from zeros. */
const fresh: State = {
  timestamp: 0,
  delta: 0,
  length: 0,
  type: 0,
  messageStreamId: 0,
  extended: undefined,
  received: 0,
  parts: undefined,
}

/** Messages that are not media may have so many bytes (src/rtmp/chunk-reader.ts). */
const dataBytesMax = 1024 * 1024
const bulk: readonly number[] = [messageTypes.video, messageTypes.audio, messageTypes.aggregate]

/**
 * RTMP 1.0, section 5.3, said once more and as plainly as can be: the whole recording at once, nothing reused, no speed. What
 * the reader under test tells, however the bytes are cut, must be this.
 */
export function readChunks(bytes: Buffer, limits: ChunkReaderLimits): ReadChunks {
  const streams = new Map<number, State>()
  const messages: Message[] = []
  const chunks: Chunk[] = []
  let chunkSize = 128
  let at = 0
  const stop = (end: string): ReadChunks => ({ messages, chunks, end })

  while (at < bytes.length) {
    const start = at
    const rest = () => bytes.length - at
    const first = bytes[at++]!
    const fmt = first >> 6
    let id = first & 63
    if (id === 0) {
      if (rest() < 1) return stop('end')
      id = 64 + bytes[at++]!
    } else if (id === 1) {
      if (rest() < 2) return stop('end')
      id = 64 + bytes.readUInt16LE(at)
      at += 2
    }
    let stream = streams.get(id)
    if (stream === undefined) {
      if (streams.size === limits.chunkStreamsMax) return stop('too many chunk streams')
      stream = { ...fresh }
      streams.set(id, stream)
    }
    let begins = true
    if (fmt === 3) {
      if (stream.extended !== undefined) {
        const expected = Buffer.alloc(4)
        expected.writeUInt32BE(stream.extended)
        const found = bytes.subarray(at, at + 4)
        if (found.length < 4 && found.equals(expected.subarray(0, found.length))) return stop('end')
        if (found.equals(expected)) at += 4
      }
      begins = stream.parts === undefined
      if (begins) stream.timestamp = (stream.timestamp + stream.delta) % 2 ** 32
    } else {
      const fixed = [11, 7, 3][fmt]!
      if (rest() < fixed) return stop('end')
      const time24 = bytes.readUIntBE(at, 3)
      const isExtended = time24 === 0xffffff
      if (isExtended && rest() < fixed + 4) return stop('end')
      const time = isExtended ? bytes.readUInt32BE(at + fixed) : time24
      if (fmt < 2) {
        stream.length = bytes.readUIntBE(at + 3, 3)
        stream.type = bytes[at + 6]!
      }
      if (fmt === 0) stream.messageStreamId = bytes.readUInt32LE(at + 7)
      stream.extended = isExtended ? time : undefined
      stream.delta = time
      stream.timestamp = fmt === 0 ? time : (stream.timestamp + time) % 2 ** 32
      at += fixed + (isExtended ? 4 : 0)
    }
    if (begins) {
      const isData = !bulk.includes(stream.type)
      if (stream.length > limits.messageBytesMax || (isData && stream.length > dataBytesMax))
        return stop('a message is too long')
      stream.parts = []
      stream.received = 0
    }
    const parts = stream.parts!
    const wanted = Math.min(chunkSize, stream.length - stream.received)
    const bodyStart = at
    parts.push(bytes.subarray(at, at + wanted))
    if (rest() < wanted) {
      chunks.push({ start, bodyStart, end: bytes.length, fmt, chunkStreamId: id })
      return stop('end')
    }
    at += wanted
    chunks.push({ start, bodyStart, end: at, fmt, chunkStreamId: id })
    stream.received += wanted
    if (stream.received < stream.length) continue
    const body = Buffer.concat(parts)
    stream.parts = undefined
    if (stream.type === messageTypes.setChunkSize) {
      if (body.length < 4) return stop('a Set Chunk Size is too short')
      const size = body.readUInt32BE(0) % 2 ** 31
      if (size === 0) return stop('the chunk size is 0')
      chunkSize = Math.min(size, 0xffffff)
    }
    if (stream.type === messageTypes.abort && body.length >= 4) {
      const aborted = streams.get(body.readUInt32BE(0))
      if (aborted !== undefined) aborted.parts = undefined
    }
    const { type, timestamp, messageStreamId } = stream
    messages.push({ chunkStreamId: id, type, timestamp, messageStreamId, body })
  }
  return stop('end')
}
