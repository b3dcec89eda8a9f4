import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { chunkVectors } from './chunk.vectors.ts'
import { frameMessage, setChunkSize, writeMessageHeader } from './chunk-header.ts'
import { ChunkReader, type ChunkReaderLimits, publisherLimits, unknownPeerLimits } from './chunk-reader.ts'
import { type Message, ProtocolError } from './message.ts'

function readAll(parts: readonly Buffer[], reader = new ChunkReader(publisherLimits)): Message[] {
  const messages: Message[] = []
  for (const part of parts) {
    // A copy that is overwritten: nothing may point into what was pushed before.
    const pushed = Buffer.from(part)
    reader.push(pushed, (message) => messages.push({ ...message, body: Buffer.from(message.body) }))
    pushed.fill(0xdd)
  }
  return messages
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end))
}

const messageOf = (body: Buffer, chunkStreamId = 6, timestamp = 0): Message => ({
  chunkStreamId,
  type: 9,
  timestamp,
  messageStreamId: 1,
  body,
})

/** The first chunk of a message that goes on. */
function begin(chunkStreamId: number, length: number, body: Buffer): Buffer {
  const header = Buffer.alloc(16)
  const bytes = writeMessageHeader(header, 0, 0, chunkStreamId, 0, length, 9, 1)
  return Buffer.concat([header.subarray(0, bytes), body])
}

describe('ChunkReader', () => {
  for (const { name, decoded, encoded } of chunkVectors) {
    it(`reads: ${name}`, () => assert.deepEqual(readAll([encoded]), decoded))
    it(`cut at every place: ${name}`, () => {
      for (let place = 0; place <= encoded.length; place++)
        assert.deepEqual(readAll(cut(encoded, [place])), decoded, `cut at ${place}`)
      assert.deepEqual(readAll(Array.from(encoded, (byte) => Buffer.of(byte))), decoded, 'byte by byte')
      fc.assert(
        fc.property(fc.array(fc.nat(), { maxLength: 12 }), (places) =>
          assert.deepEqual(readAll(cut(encoded, places)), decoded),
        ),
        { numRuns: 50 },
      )
    })
  }

  it('reads all of them one after the other, whatever they left behind', () => {
    // Those that change the chunk size, and those that expect a chunk stream to be new, are left out.
    const apart = /Set Chunk Size|first chunk/
    const some = chunkVectors.filter(({ name }) => !apart.test(name))
    const messages = readAll([Buffer.concat(some.map(({ encoded }) => encoded))])
    assert.deepEqual(
      messages,
      some.flatMap(({ decoded }) => decoded),
    )
  })

  it('tells its chunk size, which is 16,777,215 at most', () => {
    const reader = new ChunkReader(publisherLimits)
    assert.equal(reader.chunkSize, 128)
    readAll([setChunkSize(4096)], reader)
    assert.equal(reader.chunkSize, 4096)
    readAll([setChunkSize(0xffffffff)], reader)
    assert.equal(reader.chunkSize, 0xffffff)
  })

  it('hands out a view of what was pushed when a message lies whole in it, and one object again and again', () => {
    const reader = new ChunkReader(publisherLimits)
    const bytes = Buffer.concat([
      frameMessage(messageOf(Buffer.alloc(100)), 128),
      frameMessage(messageOf(Buffer.alloc(9)), 128),
    ])
    const seen = new Set<Message>()
    reader.push(bytes, (message) => {
      assert.equal(message.body.buffer, bytes.buffer)
      seen.add(message)
    })
    assert.equal(seen.size, 1)
  })

  it('assembles in one buffer for each chunk stream, which is used again, unless it was huge', () => {
    const reader = new ChunkReader(publisherLimits)
    const buffers: ArrayBufferLike[] = []
    const push = (length: number, chunkStreamId: number) =>
      reader.push(frameMessage(messageOf(Buffer.alloc(length), chunkStreamId), 128), (message) =>
        buffers.push(message.body.buffer),
      )
    push(100_000, 6)
    push(90_000, 6)
    push(500, 4)
    push(100_000, 6)
    assert.equal(buffers[1], buffers[0])
    assert.notEqual(buffers[2], buffers[0])
    assert.equal(buffers[3], buffers[0])
    push(3_000_000, 6)
    push(5_000, 6)
    assert.ok(buffers[5]!.byteLength < 10_000)
  })

  describe('limits', () => {
    it('a message of the longest length passes, a longer one is refused at its header', () => {
      const limits = { ...publisherLimits, messageBytesMax: 1000 }
      assert.equal(readAll([begin(6, 1000, Buffer.alloc(128))], new ChunkReader(limits)).length, 0)
      assert.throws(() => readAll([begin(6, 1001, Buffer.alloc(0))], new ChunkReader(limits)), ProtocolError)
    })

    it('data and commands are 1 MiB at most, whatever media may be', () => {
      const header = (type: number, length: number) => {
        const bytes = Buffer.alloc(12)
        writeMessageHeader(bytes, 0, 0, 6, 0, length, type, 1)
        return bytes
      }
      for (const type of [15, 16, 17, 18, 19, 20, 1, 99]) {
        readAll([header(type, 1024 * 1024)])
        assert.throws(() => readAll([header(type, 1024 * 1024 + 1)]), /too long/)
      }
      for (const type of [8, 9, 22]) readAll([header(type, publisherLimits.messageBytesMax)])
    })

    it('can be widened while it reads', () => {
      const reader = new ChunkReader(unknownPeerLimits)
      const long = begin(6, 100_000, Buffer.alloc(0))
      reader.limits = publisherLimits
      readAll([long], reader)
      assert.throws(() => readAll([long], new ChunkReader(unknownPeerLimits)), ProtocolError)
    })

    it('64 chunk streams, of 65,598', () => {
      const reader = new ChunkReader(publisherLimits)
      for (let id = 0; id < 64; id++) readAll([Buffer.of(0xc1, id, id)], reader)
      readAll([Buffer.of(0xc1, 5, 5)], reader)
      assert.throws(() => readAll([Buffer.of(0xc1, 64, 64)], reader), /too many chunk streams/)
    })

    it('memory grows with what arrives, not with what is announced', () => {
      const before = process.memoryUsage().arrayBuffers
      const reader = new ChunkReader(publisherLimits)
      const begun = Array.from({ length: 60 }, (_, index) =>
        begin(3 + index, publisherLimits.messageBytesMax, Buffer.alloc(128)),
      )
      readAll(begun, reader)
      // Twice each: the second chunk goes to the buffers that exist.
      readAll(
        begun.map((_, index) => Buffer.concat([Buffer.of(0xc3 + index), Buffer.alloc(128)])),
        reader,
      )
      assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024)
    })

    it('unfinished messages share a bound; what lies idle makes room first', () => {
      const limits: ChunkReaderLimits = { messageBytesMax: 600_000, partialBytesMax: 1_000_000, chunkStreamsMax: 64 }
      const reader = new ChunkReader(limits)
      readAll([setChunkSize(65_536)], reader)
      const half = Buffer.alloc(65_536)
      // Five chunk streams, one after the other: their idle buffers give way.
      for (let id = 3; id < 8; id++)
        assert.equal(readAll([frameMessage(messageOf(Buffer.alloc(500_000), id), 65_536)], reader).length, 1)
      const unfinished = (id: number) =>
        readAll(
          [begin(id, 600_000, half), ...new Array<Buffer>(3).fill(Buffer.concat([Buffer.of(0xc0 | id), half]))],
          reader,
        )
      unfinished(3)
      unfinished(4)
      unfinished(5)
      assert.throws(() => unfinished(6), /too many unfinished messages/)
    })
  })

  it('refuses a chunk size of 0, with and without the highest bit, and one without bytes', () => {
    assert.throws(() => readAll([setChunkSize(0)]), /chunk size is 0/)
    assert.throws(() => readAll([setChunkSize(0x80000000)]), /chunk size is 0/)
    assert.throws(() => readAll([Buffer.of(2, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 1, 1, 1)]), /too short/)
  })

  it('passes over an Abort that is too short', () => {
    assert.equal(readAll([Buffer.of(2, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 4)]).length, 1)
  })

  it('lets the error of whoever it tells through', () => {
    const reader = new ChunkReader(publisherLimits)
    assert.throws(
      () =>
        reader.push(frameMessage(messageOf(Buffer.alloc(3)), 128), () => {
          throw new TypeError('mine')
        }),
      TypeError,
    )
  })
})

/* A writer that uses all that the protocol allows, for the property below. */

type Sent = {
  timestamp: number
  delta: number
  length: number
  type: number
  messageStreamId: number
  extended: boolean
}
type Planned = Message & { readonly header: number }
type OpenMessage = { readonly message: Planned; isOver(): boolean; nextChunk(): Buffer }

class FreeWriter {
  readonly #last = new Map<number, Sent>()
  readonly #repeats: boolean
  chunkSize = 128

  constructor(repeats: boolean) {
    this.#repeats = repeats
  }

  begin(message: Planned): OpenMessage {
    const { chunkStreamId: id, timestamp, type, messageStreamId, body } = message
    const last = this.#last.get(id)
    const delta = last === undefined ? timestamp : (timestamp - last.timestamp) >>> 0
    let shortest = 0
    if (last !== undefined && last.messageStreamId === messageStreamId) {
      shortest = 1
      if (last.length === body.length && last.type === type) shortest = last.delta === delta ? 3 : 2
    }
    const fmt = Math.min(message.header, shortest)
    const time = fmt === 0 ? timestamp : delta
    const extended = fmt === 3 ? last!.extended : time >= 0xffffff
    this.#last.set(id, { timestamp, delta: time, length: body.length, type, messageStreamId, extended })
    const extension = Buffer.alloc(extended ? 4 : 0)
    if (extended) extension.writeUInt32BE(time)
    const fixed = Buffer.alloc([11, 7, 3, 0][fmt]!)
    if (fmt <= 2) fixed.writeUIntBE(Math.min(time, 0xffffff), 0, 3)
    if (fmt <= 1) {
      fixed.writeUIntBE(body.length, 3, 3)
      fixed[6] = type
    }
    if (fmt === 0) fixed.writeUInt32LE(messageStreamId, 7)
    let at = -1
    return {
      message,
      isOver: () => at === body.length,
      nextChunk: () => {
        const isFirst = at < 0
        const from = Math.max(0, at)
        const part = body.subarray(from, from + this.chunkSize)
        at = from + part.length
        const head = isFirst && fmt < 3 ? [fixed, extension] : this.#repeats ? [extension] : []
        return Buffer.concat([basicHeader(isFirst ? fmt : 3, id), ...head, part])
      },
    }
  }
}

function basicHeader(fmt: number, id: number): Buffer {
  if (id < 64) return Buffer.of((fmt << 6) | id)
  if (id < 320) return Buffer.of(fmt << 6, id - 64)
  return Buffer.of((fmt << 6) | 1, (id - 64) & 0xff, (id - 64) >> 8)
}

const planned = fc.record({
  chunkStreamId: fc.constantFrom(3, 4, 6, 63, 64, 319, 320, 65_599),
  type: fc.constantFrom(8, 9, 18, 20),
  timestamp: fc.oneof(
    fc.nat(1000),
    fc.constantFrom(0xfffffe, 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff),
  ),
  messageStreamId: fc.constantFrom(0, 1),
  body: fc.oneof(fc.constant(40), fc.nat(700)).map((length) => Buffer.alloc(length, 0xa5)),
  header: fc.nat(3),
})

describe('ChunkReader as a whole', () => {
  it('reads what any writer may write: every header form, interleaved, re-sized, cut anywhere', () => {
    fc.assert(
      fc.property(
        fc.array(planned, { maxLength: 25 }),
        fc.array(fc.nat(9), { minLength: 1, maxLength: 200 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.boolean(),
        (messages, turns, places, repeats) => {
          const writer = new FreeWriter(repeats)
          const parts: Buffer[] = []
          const expected: Message[] = []
          const waiting = [...messages]
          const open: OpenMessage[] = []
          for (let step = 0; waiting.length > 0 || open.length > 0; step++) {
            const turn = turns[step % turns.length]!
            const first = waiting[0]
            const isFree =
              first !== undefined && !open.some(({ message }) => message.chunkStreamId === first.chunkStreamId)
            if (turn === 9) {
              const size = 5 + ((step * 37) % 300)
              parts.push(setChunkSize(size))
              writer.chunkSize = size
            }
            if (isFree && (turn % 2 === 0 || open.length === 0)) {
              waiting.shift()
              open.push(writer.begin(first))
            }
            const chosen = open[turn % open.length]!
            parts.push(chosen.nextChunk())
            if (chosen.isOver()) {
              open.splice(open.indexOf(chosen), 1)
              const { header: _header, ...message } = chosen.message
              expected.push(message)
            }
          }
          const got = readAll(cut(Buffer.concat(parts), places)).filter(({ type }) => type !== 1)
          assert.deepEqual(got, expected)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('throws nothing but ProtocolError, and tells the same however the bytes are cut, on any bytes', () => {
    const outcome = (parts: readonly Buffer[]): unknown => {
      const messages: Message[] = []
      const reader = new ChunkReader(publisherLimits)
      try {
        for (const part of parts)
          reader.push(part, (message) => messages.push({ ...message, body: Buffer.from(message.body) }))
        return { messages }
      } catch (error) {
        assert.ok(error instanceof ProtocolError)
        return { messages, reason: error.reason }
      }
    }
    const seeds = chunkVectors.map(({ encoded }) => encoded)
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...seeds), fc.uint8Array({ maxLength: 30 })), { maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (parts, changes, places) => {
          const bytes = Buffer.concat(parts)
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
          assert.deepEqual(outcome(cut(bytes, places)), outcome([bytes]))
        },
      ),
      { numRuns: 1000 },
    )
  })
})
