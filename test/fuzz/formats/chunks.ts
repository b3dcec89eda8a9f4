import { type ChunkReaderLimits, publisherLimits } from '../../../src/rtmp/chunk-reader.ts'
import { type Message, messageTypes } from '../../../src/rtmp/message.ts'
import type { Random } from '../random.ts'
import { hexes } from '../target.ts'
import { makeAmf0, mutateAmf0 } from './amf.ts'
import { mutateMedia } from './media.ts'
import { readChunks } from './plain-chunk-reader.ts'

/** Chunk streams as a mutator sees them: as messages that are changed and written anew, and as chunks that are moved about. */

export const chunkWords: readonly Buffer[] = hexes(
  '02000000000004010000000000001000',
  '02000000000004010000000000000001',
  '0200000000000401000000007fffffff',
  '02000000000004010000000080000000',
  '02000000000004020000000000000003',
  '02000000000004020000000000000004',
  '020000000000040500000000002625a0',
  '02000000000004050000000000000001',
  '02000000000004030000000000000001',
  '0200000000000506000000000026 25a002',
  '02000000000006040000000000060000002a',
  '0200000000000a04000000000003000000010000 0bb8',
  '42000000000006 040006 00000001',
  'c2',
  'c3',
  'c4',
  '00',
  '01',
  'ffffff',
  '01000000',
)

const limits: ChunkReaderLimits = { ...publisherLimits, chunkStreamsMax: 1000 }
const chunkSizes = [1, 2, 64, 127, 128, 129, 1000, 4096, 65_536, 0xffffff]
const timestamps = [0, 1, 40, 0xfffffe, 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xffffffff]
const chunkStreams = [2, 3, 4, 5, 6, 8, 31, 32, 63, 64, 319, 320, 65_599]

function basicHeader(fmt: number, id: number): Buffer {
  if (id < 64) return Buffer.of((fmt << 6) | id)
  if (id < 320) return Buffer.of(fmt << 6, id - 64)
  return Buffer.of((fmt << 6) | 1, (id - 64) & 0xff, (id - 64) >> 8)
}

/** One message in chunks. */
export function writeMessage(message: Message, chunkSize: number, fmt: 0 | 1 | 2, repeatsExtended: boolean): Buffer {
  const { timestamp, body } = message
  const isExtended = timestamp >= 0xffffff
  const head = Buffer.alloc([11, 7, 3][fmt]!)
  head.writeUIntBE(isExtended ? 0xffffff : timestamp, 0, 3)
  if (fmt < 2) {
    head.writeUIntBE(body.length, 3, 3)
    head[6] = message.type
  }
  if (fmt === 0) head.writeUInt32LE(message.messageStreamId, 7)
  const extended = Buffer.alloc(isExtended ? 4 : 0)
  if (isExtended) extended.writeUInt32BE(timestamp)
  const parts = [basicHeader(fmt, message.chunkStreamId), head, extended, body.subarray(0, chunkSize)]
  for (let at = chunkSize; at < body.length; at += chunkSize) {
    parts.push(basicHeader(3, message.chunkStreamId))
    if (repeatsExtended) parts.push(extended)
    parts.push(body.subarray(at, at + chunkSize))
  }
  return Buffer.concat(parts)
}

function mutateMessage(message: Message, random: Random): Message {
  switch (random.below(9)) {
    case 0:
      return { ...message, timestamp: random.oneIn(2) ? random.pick(timestamps) : random.next() }
    case 1:
      return { ...message, messageStreamId: random.pick([0, 1, 2, 4, 5, 0x01000000, 0xffffffff]) }
    case 2:
      return { ...message, chunkStreamId: random.pick(chunkStreams) }
    case 3:
      return { ...message, type: random.oneIn(3) ? random.below(256) : random.pick(Object.values(messageTypes)) }
    default:
      return { ...message, body: mutateBody(message, random) }
  }
}

/** As one who knows what a type's body looks like. */
function mutateBody({ type, body }: Message, random: Random): Buffer {
  switch (type) {
    case messageTypes.amf0Command:
    case messageTypes.amf0Data:
      return mutateAmf0(body, random)
    case messageTypes.amf3Command:
    case messageTypes.amf3Data:
      return Buffer.concat([Buffer.of(0), mutateAmf0(body.subarray(1), random)])
    case messageTypes.video:
    case messageTypes.audio:
      return mutateMedia(type === messageTypes.video ? 'video' : 'audio', body, random)
    default: {
      const changed = Buffer.from(random.oneIn(6) ? random.bytes(random.small(40)) : body)
      if (changed.length > 0) changed[random.below(changed.length)] = random.below(256)
      return changed
    }
  }
}

function makeMessage(random: Random): Message {
  const type = random.pick(Object.values(messageTypes))
  const isCommand = type === messageTypes.amf0Command || type === messageTypes.amf0Data
  const body = isCommand
    ? Buffer.concat(Array.from({ length: 1 + random.below(4) }, () => makeAmf0(random)))
    : random.bytes(random.pick([0, 1, 3, 4, 5, 6, 10, 130]))
  return {
    chunkStreamId: random.pick(chunkStreams),
    type,
    timestamp: random.pick(timestamps),
    messageStreamId: 1,
    body,
  }
}

/** The messages of a recording with some of them changed, in other chunks than before. */
function mutateMessages(input: Buffer, random: Random): Buffer {
  const messages = readChunks(input, limits).messages.filter(({ type }) => type !== messageTypes.setChunkSize)
  for (let changes = 1 + random.small(5); changes > 0; changes--) {
    const at = random.below(messages.length)
    const one = messages[at]
    switch (random.below(6)) {
      case 0:
        messages.splice(random.below(messages.length + 1), 0, makeMessage(random))
        break
      case 1:
        messages.splice(at, 1)
        break
      case 2:
        if (one) messages.splice(at, 0, ...Array.from({ length: 1 + random.small(40) }, () => one))
        break
      case 3:
        if (one) messages.splice(random.below(messages.length), 0, ...messages.splice(at, 1))
        break
      default:
        if (one) messages[at] = mutateMessage(one, random)
    }
  }
  let chunkSize = 128
  const parts: Buffer[] = []
  if (random.oneIn(2)) {
    chunkSize = random.pick(chunkSizes)
    const body = Buffer.alloc(4)
    body.writeUInt32BE(chunkSize)
    const { setChunkSize: type } = messageTypes
    parts.push(writeMessage({ chunkStreamId: 2, type, timestamp: 0, messageStreamId: 0, body }, 128, 0, true))
  }
  for (const message of messages)
    parts.push(writeMessage(message, chunkSize, random.oneIn(5) ? random.pick([1, 2]) : 0, !random.oneIn(4)))
  return Buffer.concat(parts)
}

/** The same chunks, in another order, more often, fewer, with other headers. */
function mutateChunks(input: Buffer, random: Random): Buffer {
  const read = readChunks(input, limits)
  const pieces = read.chunks.map(({ start, end }) => input.subarray(start, end))
  if (pieces.length === 0) return input
  const at = random.below(pieces.length)
  const { start, bodyStart, fmt } = read.chunks[at]!
  const piece = Buffer.from(pieces[at]!)
  const headBytes = bodyStart - start
  switch (random.below(7)) {
    case 0:
      pieces.splice(at, 1)
      break
    case 1:
      pieces.splice(random.below(pieces.length), 0, piece)
      break
    case 2:
      pieces.splice(random.below(pieces.length), 0, ...pieces.splice(at, 1))
      break
    case 3:
      piece[0] = (piece[0]! & 0x3f) | (random.below(4) << 6)
      pieces[at] = piece
      break
    case 4:
      piece[0] = (fmt << 6) | (2 + random.below(8))
      pieces[at] = piece
      break
    case 5:
      if (headBytes > 1) piece[1 + random.below(headBytes - 1)] = random.pick([0, 1, 127, 128, 255, random.below(256)])
      pieces[at] = piece
      break
    default:
      pieces.splice(at, 0, random.pick(chunkWords))
  }
  return Buffer.concat(pieces)
}

export function mutateChunkStream(input: Buffer, random: Random): Buffer {
  return random.oneIn(2) ? mutateMessages(input, random) : mutateChunks(input, random)
}
