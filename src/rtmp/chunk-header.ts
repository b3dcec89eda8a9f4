import { messageTypes } from './message.ts'

/**
 * Writing chunk headers (RTMP 1.0, section 5.3.1). Chunk stream ids 2 to 63 only: one byte, which every peer understands.
 *
 *   type 0: | 0 csid | timestamp 3 | length 3 | type 1 | message stream id 4, little-endian | (extended timestamp 4)
 *   type 1: | 1 csid | delta     3 | length 3 | type 1 | (extended timestamp 4)
 */
export const messageHeaderBytesMax = 16

const extended = 0xffffff

/**
 * @param timestampOrDelta milliseconds, unsigned 32 bits: absolute for type 0, difference for type 1.
 * @returns the bytes written, 8 to 16.
 */
export function writeMessageHeader(
  target: Buffer,
  offset: number,
  fmt: 0 | 1,
  chunkStreamId: number,
  timestampOrDelta: number,
  length: number,
  type: number,
  messageStreamId: number,
): number {
  const isExtended = timestampOrDelta >= extended
  let at = offset
  target[at++] = (fmt << 6) | chunkStreamId
  at = target.writeUIntBE(isExtended ? extended : timestampOrDelta, at, 3)
  at = target.writeUIntBE(length, at, 3)
  target[at++] = type
  if (fmt === 0) at = target.writeUInt32LE(messageStreamId, at)
  if (isExtended) at = target.writeUInt32BE(timestampOrDelta, at)
  return at - offset
}

/** A whole message: type 0, then type 3 for each further chunk, with the extended timestamp repeated where it is used. */
export function frameMessage(
  message: {
    readonly chunkStreamId: number
    readonly type: number
    readonly timestamp: number
    readonly messageStreamId: number
    readonly body: Uint8Array
  },
  chunkSize: number,
): Buffer {
  const { chunkStreamId, type, timestamp, messageStreamId, body } = message
  const isExtended = timestamp >= extended
  const continuationBytes = isExtended ? 5 : 1
  const continuations = body.length === 0 ? 0 : Math.ceil(body.length / chunkSize) - 1
  const framed = Buffer.allocUnsafe(messageHeaderBytesMax + body.length + continuations * continuationBytes)
  let at = writeMessageHeader(framed, 0, 0, chunkStreamId, timestamp, body.length, type, messageStreamId)
  for (let read = 0; read < body.length; read += chunkSize) {
    if (read > 0) {
      framed[at++] = 0xc0 | chunkStreamId
      if (isExtended) at = framed.writeUInt32BE(timestamp, at)
    }
    const part = body.subarray(read, read + chunkSize)
    framed.set(part, at)
    at += part.length
  }
  return framed.subarray(0, at)
}

/** Protocol control and user control messages go on chunk stream 2 and message stream 0 (section 5.4). */
function controlMessage(type: number, body: Buffer): Buffer {
  return frameMessage({ chunkStreamId: 2, type, timestamp: 0, messageStreamId: 0, body }, 128)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export function setChunkSize(bytes: number): Buffer {
  return controlMessage(messageTypes.setChunkSize, uint32(bytes))
}

/** @param sequenceNumber bytes received so far, modulo 2^32. */
export function acknowledgement(sequenceNumber: number): Buffer {
  return controlMessage(messageTypes.acknowledgement, uint32(sequenceNumber))
}

export function windowAcknowledgementSize(bytes: number): Buffer {
  return controlMessage(messageTypes.windowAcknowledgementSize, uint32(bytes))
}

/** @param limitType 0 hard, 1 soft, 2 dynamic. */
export function setPeerBandwidth(bytes: number, limitType: 0 | 1 | 2): Buffer {
  return controlMessage(messageTypes.setPeerBandwidth, Buffer.concat([uint32(bytes), Buffer.of(limitType)]))
}

/** @param event one of userControlEvents; @param values 32 bits each: a message stream id, or a ping's timestamp. */
export function userControl(event: number, ...values: number[]): Buffer {
  const body = Buffer.concat([Buffer.of(event >>> 8, event & 0xff), ...values.map(uint32)])
  return controlMessage(messageTypes.userControl, body)
}
