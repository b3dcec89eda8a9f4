import { splitAggregate } from '../../../src/rtmp/aggregate.ts'
import { frameMessage } from '../../../src/rtmp/chunk-header.ts'
import {
  ChunkReader,
  type ChunkReaderLimits,
  publisherLimits,
  unknownPeerLimits,
} from '../../../src/rtmp/chunk-reader.ts'
import { ClientHandshake, ServerHandshake } from '../../../src/rtmp/handshake.ts'
import { type Message, messageTypes, ProtocolError } from '../../../src/rtmp/message.ts'
import { withinMemory } from '../allocation-meter.ts'
import { chunkWords, mutateChunkStream } from '../formats/chunks.ts'
import { readChunks } from '../formats/plain-chunk-reader.ts'
import { hashOf, Random } from '../random.ts'
import { aggregateSeeds, chunkSeeds, handshakeSeeds } from '../seeds.ts'
import { hexes, magnitude, must, mustEqual, type Target } from '../target.ts'

/** The input in pieces, cut at places that depend on it; now and then byte by byte. @param piecesMax about. */
export function cutUp(input: Buffer, piecesMax = Number.POSITIVE_INFINITY): Buffer[] {
  const random = new Random(hashOf(input))
  const pieceMax = Math.max(random.oneIn(4) ? 1 : random.oneIn(2) ? 20 : 5000, (2 * input.length) / piecesMax)
  const pieces: Buffer[] = []
  for (let at = 0; at < input.length; ) {
    const length = 1 + random.below(Math.ceil(pieceMax))
    // A copy: the reader may not rely on what lies behind a piece.
    pieces.push(Buffer.from(input.subarray(at, at + length)))
    at += length
  }
  return pieces
}

function line({ chunkStreamId, type, timestamp, messageStreamId, body }: Message): string {
  return `${chunkStreamId} ${type} ${timestamp} ${messageStreamId} ${body.toString('hex')}`
}

function readWith(reader: ChunkReader, pieces: readonly Buffer[]): { lines: string[]; end: string } {
  const lines: string[] = []
  try {
    for (const piece of pieces) reader.push(piece, (message) => lines.push(line(message)))
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { lines, end: error.reason }
  }
  return { lines, end: 'end' }
}

/** The one refusal that depends on how the bytes are cut, because memory does: unfinished messages. */
const dependsOnCuts = 'too many unfinished messages'

const chunkReader: Target = {
  name: 'chunk-reader',
  covers: ['src/rtmp/chunk-reader.ts'],
  seeds: chunkSeeds,
  words: chunkWords,
  bytesMax: 16 * 1024,
  mutate: mutateChunkStream,
  run(input) {
    const limits: ChunkReaderLimits = hashOf(input) % 3 === 0 ? unknownPeerLimits : publisherLimits
    const expected = readChunks(input, limits)
    const expectedLines = expected.messages.map(line)
    const whole = withinMemory({ oneMax: 8192 + 3 * input.length, allMax: 2 ** 20 + 512 * input.length }, () =>
      readWith(new ChunkReader(limits), [input]),
    )
    for (const told of [whole, readWith(new ChunkReader(limits), cutUp(input))]) {
      const count = told.end === dependsOnCuts ? told.lines.length : undefined
      mustEqual(told.lines.join('\n'), expectedLines.slice(0, count).join('\n'), 'the messages are what the bytes say')
      if (count === undefined) mustEqual(told.end, expected.end, 'it ends as the bytes say')
    }
    return `${whole.end} ${magnitude(whole.lines.length)}`
  },
}

/** | times: a message each: chunk stream, type, timestamp 4, message stream, length 2 | as the writer's and the reader's round trip. */
const chunkWriter: Target = {
  name: 'chunk-writer',
  covers: ['src/rtmp/chunk-header.ts'],
  seeds: () => hexes('050900000000010064', '0314fffffffe0020000409000000000110000508ffffffff010003'),
  words: hexes('ffffff', 'fffffe', 'ffffffff', '0fff', '1000', '1001', '0080'),
  bytesMax: 100,
  run(input) {
    const chunkSize = [1, 7, 128, 4096, 65_536][(input[0] ?? 0) % 5]!
    const size = Buffer.alloc(4)
    size.writeUInt32BE(chunkSize)
    const written: Message[] = []
    for (let at = 1; at + 9 <= input.length; at += 9) {
      const body = Buffer.alloc(input.readUInt16BE(at + 7) % 5000, at)
      written.push({
        chunkStreamId: 3 + (input[at]! % 61),
        type: 7 + (input[at + 1]! % 200),
        timestamp: input.readUInt32BE(at + 2),
        messageStreamId: input[at + 6]!,
        body,
      })
    }
    const announced = frameMessage(
      { chunkStreamId: 2, type: messageTypes.setChunkSize, timestamp: 0, messageStreamId: 0, body: size },
      128,
    )
    const wire = Buffer.concat([announced, ...written.map((message) => frameMessage(message, chunkSize))])
    const limits = { messageBytesMax: 2 ** 24, partialBytesMax: 2 ** 30, chunkStreamsMax: 64 }
    const told = readChunks(wire, limits)
    mustEqual(told.messages.slice(1).map(line).join('\n'), written.map(line).join('\n'), 'what is written is read')
    mustEqual(told.end, 'end', 'what is written is well-formed')
    return `${chunkSize} ${magnitude(written.length)}`
  },
}

const quietRandom = (length: number): Buffer => Buffer.alloc(length, 7)

function shake(handshake: ServerHandshake | ClientHandshake, pieces: readonly Buffer[]): string {
  const replies: Buffer[] = []
  const rests: Buffer[] = []
  try {
    for (const piece of pieces) {
      const { reply, rest } = handshake.push(piece)
      if (reply !== undefined) replies.push(reply)
      if (rest !== undefined) rests.push(rest)
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return `refused: ${error.reason}`
  }
  const reply = Buffer.concat(replies)
  return `${handshake.done} ${reply.toString('hex')} ${Buffer.concat(rests).toString('hex')}`
}

function handshakeTarget(name: string, make: () => ServerHandshake | ClientHandshake): Target {
  return {
    name,
    covers: ['src/rtmp/handshake.ts'],
    seeds: handshakeSeeds,
    words: hexes('03', '06', '16', '474554', '00000000'),
    bytesMax: 4096,
    run(input) {
      const whole = withinMemory({ oneMax: 8192, allMax: 32_768 }, () => shake(make(), [input]))
      mustEqual(shake(make(), cutUp(input)), whole, 'any cut of a handshake gives the same')
      return whole.startsWith('refused') ? whole : `${whole.split(' ', 1)[0]} ${whole.length > 3100}`
    },
  }
}

const aggregate: Target = {
  name: 'aggregate',
  covers: ['src/rtmp/aggregate.ts'],
  seeds: aggregateSeeds,
  words: hexes('09', '08', '12', '0f', '16', '000000', '00000001', 'ffffff', '0000000b', '7fffffff'),
  bytesMax: 4096,
  run(input) {
    const timestamp = hashOf(input)
    const message = { chunkStreamId: 4, type: messageTypes.aggregate, timestamp, messageStreamId: 1, body: input }
    const told: { type: number; timestamp: number; start: number; end: number }[] = []
    splitAggregate(message, (sub) => {
      const start = sub.body.byteOffset - input.byteOffset
      must(sub.body.buffer === input.buffer, 'a message in an aggregate is a view of it')
      must(Number.isInteger(sub.timestamp) && sub.timestamp >= 0 && sub.timestamp < 2 ** 32, 'a timestamp has 32 bits')
      told.push({ type: sub.type, timestamp: sub.timestamp, start, end: start + sub.body.length })
    })
    let end = 0
    for (const sub of told) {
      must(sub.start >= end + 11 && sub.end <= input.length, 'messages follow one another within the aggregate')
      must([8, 9, 15, 18].includes(sub.type), 'only media is told')
      const own = input.readUIntBE(sub.start - 7, 3) + input[sub.start - 4]! * 2 ** 24
      const first = input.readUIntBE(4, 3) + input[7]! * 2 ** 24
      must(sub.timestamp === (timestamp + own - first) >>> 0, 'differences of timestamps are kept')
      end = sub.end
    }
    return `${magnitude(told.length)} ${new Set(told.map(({ type }) => type)).size}`
  },
}

export const chunkTargets: readonly Target[] = [
  chunkReader,
  chunkWriter,
  handshakeTarget('handshake-server', () => new ServerHandshake(quietRandom)),
  handshakeTarget('handshake-client', () => new ClientHandshake(quietRandom)),
  aggregate,
]
