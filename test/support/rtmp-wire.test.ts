import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { type Amf, decodeAmf, EcmaArray, encodeAmf } from './amf0.ts'
import { decodeFlv, encodeFlv, isKeyFrame, isSequenceHeader } from './flv.ts'
import {
  controlMessage,
  type OutgoingMessage,
  type WireMessage,
  WireReader,
  WireWriter,
  type WireWriterOptions,
  wireTypes,
} from './rtmp-wire.ts'
import { isIntact, readStamp, StampLedger, syntheticTags } from './synthetic-source.ts'

function read(bytes: Buffer, cuts: readonly number[] = []): { messages: WireMessage[]; violations: string[] } {
  const messages: WireMessage[] = []
  const violations: string[] = []
  const reader = new WireReader({
    mediaBodies: 'whole',
    onMessage: (message) => messages.push(message),
    onViolation: (violation) => violations.push(violation),
  })
  let at = 0
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    reader.push(bytes.subarray(at, cut))
    at = cut
  }
  return { messages, violations }
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

const table: readonly {
  name: string
  bytes: Buffer
  messages: readonly Partial<WireMessage>[]
  violations?: RegExp
}[] = [
  {
    name: 'type 0, then type 1, 2 and 3 add the delta',
    bytes: hex('04 0003e8 000001 08 01000000 aa  44 00000a 000002 08 bbbb  84 00000b cccc  c4 dddd'),
    messages: [
      { chunkStreamId: 4, type: 8, timestamp: 1_000, messageStreamId: 1, length: 1 },
      { timestamp: 1_010, length: 2 },
      { timestamp: 1_021 },
      { timestamp: 1_032, body: hex('dddd') },
    ],
  },
  {
    name: 'extended timestamp, repeated in the continuation chunk',
    bytes: Buffer.concat([hex('06 ffffff 000082 09 01000000 01000000'), Buffer.alloc(128, 1), hex('c6 01000000 0202')]),
    messages: [{ timestamp: 0x1000000, length: 130 }],
  },
  {
    name: 'extended timestamp, left out in the continuation chunk',
    bytes: Buffer.concat([hex('06 ffffff 000084 09 01000000 01000000'), Buffer.alloc(128, 1), hex('c6 02020202 0202')]),
    messages: [],
    violations: /lacks the extended timestamp/,
  },
  {
    name: 'chunk stream ids in two and three bytes',
    bytes: hex('00 00 000000 000001 08 01000000 aa  01 0100 000000 000001 08 01000000 bb'),
    messages: [{ chunkStreamId: 64 }, { chunkStreamId: 65 }],
    violations: /nginx-rtmp/,
  },
  {
    name: 'a delta that needs the extended form',
    bytes: hex('04 00000a 000001 08 01000000 aa  84 ffffff fffffffb bb'),
    messages: [{ timestamp: 10 }, { timestamp: 5 }],
    violations: /extended form/,
  },
  {
    name: 'a type 3 that begins a message after a type 0',
    bytes: hex('04 00001a 000001 08 01000000 aa  c4 bb'),
    messages: [{ timestamp: 26 }, { timestamp: 52 }],
    violations: /peers disagree/,
  },
  {
    name: 'a chunk stream that begins with type 1',
    bytes: hex('44 00000a 000001 08 aa'),
    messages: [{ timestamp: 10 }],
    violations: /begins with a type 1/,
  },
]

for (const { name, bytes, messages, violations } of table) {
  test(`chunks: ${name}`, () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const result = read(bytes, [cut])
      assert.equal(result.messages.length, messages.length)
      for (const [index, message] of messages.entries()) assert.partialDeepStrictEqual(result.messages[index], message)
      assert.equal(violations ? violations.test(result.violations.join()) : result.violations.length === 0, true)
    }
  })
}

test('chunks: what the writer writes in any manner, the reader reads, however it is cut', () => {
  const message = fc.record(
    {
      chunkStreamId: fc.constantFrom(3, 4, 6, 63, 64, 319, 320, 65_599),
      type: fc.constantFrom(8, 9, 18),
      timestamp: fc.nat({ max: 0xffffffff }),
      messageStreamId: fc.constantFrom(0, 1),
      body: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    },
    { noNullPrototype: true },
  )
  const manner: fc.Arbitrary<WireWriterOptions> = fc.record({
    headers: fc.constantFrom('compressed' as const, 'full' as const),
    longIds: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 12 }),
      manner,
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages: OutgoingMessage[], options, chunkSize, cuts) => {
        const writer = new WireWriter(options)
        const parts = [writer.message(controlMessage(wireTypes.setChunkSize, chunkSize))]
        writer.chunkSize = chunkSize
        for (const each of messages) parts.push(writer.message(each))
        const result = read(Buffer.concat(parts), cuts).messages.slice(1)
        assert.deepEqual(
          result.map(({ length: _, ...each }) => each),
          messages,
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('chunks: interleaved messages arrive whole, the shortest first', () => {
  const writer = new WireWriter()
  const message = (chunkStreamId: number, length: number): OutgoingMessage => ({
    chunkStreamId,
    type: 9,
    timestamp: 7,
    messageStreamId: 1,
    body: Buffer.alloc(length, chunkStreamId),
  })
  const { messages, violations } = read(writer.interleaved([message(4, 1_000), message(5, 10), message(6, 300)]))
  assert.deepEqual(
    messages.map(({ chunkStreamId, body }) => [
      chunkStreamId,
      body.length,
      body.every((byte) => byte === chunkStreamId),
    ]),
    [
      [5, 10, true],
      [6, 300, true],
      [4, 1_000, true],
    ],
  )
  assert.deepEqual(violations, [])
})

test('amf0: values and their bytes', () => {
  const values: readonly { value: Amf; encoded: string }[] = [
    { value: 1.5, encoded: '00 3ff8000000000000' },
    { value: true, encoded: '01 01' },
    { value: 'ab', encoded: '02 0002 6162' },
    { value: { a: null }, encoded: '03 0001 61 05 0000 09' },
    { value: undefined, encoded: '06' },
    { value: ['x', 1], encoded: '0a 00000002 02 0001 78 00 3ff0000000000000' },
    { value: new Date(0), encoded: '0b 0000000000000000 0000' },
  ]
  for (const { value, encoded } of values) {
    assert.deepEqual(encodeAmf(value), hex(encoded))
    assert.deepEqual(decodeAmf(hex(encoded)), [value])
  }
  assert.deepEqual(encodeAmf(new EcmaArray({ a: false })), hex('08 00000001 0001 61 01 00 0000 09'))
  // The count says 0 and the entries are there all the same.
  assert.deepEqual(decodeAmf(hex('08 00000000 0001 61 01 00 0000 09')), [{ a: false }])
  assert.deepEqual(decodeAmf(encodeAmf('x'.repeat(70_000))), ['x'.repeat(70_000)])
  assert.throws(() => decodeAmf(hex('02 0005 61')))
})

test('flv: tags come back, timestamps of 32 bits too, and a cut-off last tag is left out', () => {
  const tags = [
    { type: 18, timestamp: 0, body: Buffer.from('meta') },
    { type: 9, timestamp: 0xfffffffe, body: hex('17 00 000000') },
    { type: 9, timestamp: 0x1234567, body: hex('17 01 000000 00') },
  ]
  const file = encodeFlv(tags)
  assert.deepEqual(decodeFlv(file), tags)
  assert.deepEqual(decodeFlv(file.subarray(0, -6)), tags.slice(0, 2))
  assert.deepEqual(tags.map(isSequenceHeader), [false, true, false])
  assert.deepEqual(tags.map(isKeyFrame), [false, false, true])
})

test('synthetic source: rate, order, stamps; a loss and damage are found', () => {
  const tags = syntheticTags({ kbps: 2_000, fps: 30, gopMs: 1_000, session: 9 })
  const made = []
  for (const tag of tags) {
    if (tag.timestamp >= 10_000) break
    made.push(tag)
  }
  const bits = made.reduce((sum, { body }) => sum + body.length * 8, 0)
  assert.ok(Math.abs(bits / 10_000 - 2_000) < 20, `${bits / 10_000} kbps`)
  assert.deepEqual(
    made.toSorted((a, b) => a.timestamp - b.timestamp),
    made,
  )
  assert.equal(made.filter(isKeyFrame).length, 10)
  const frames = made.filter(({ type, body }) => readStamp({ type, length: body.length, body }))
  assert.ok(frames.every(({ type, body }) => isIntact(type, body)))
  // DTS plus composition time is different for every picture of a group.
  const shown = frames.filter(({ type }) => type === 9).map(({ timestamp, body }) => timestamp + body.readIntBE(2, 3))
  assert.equal(new Set(shown).size, shown.length)

  const ledger = new StampLedger()
  const lost = frames.filter(({ type }) => type === 9)[5]
  for (const tag of frames) if (tag !== lost) ledger.observe({ ...tag, length: tag.body.length })
  assert.deepEqual(ledger.gaps, [{ track: 'video', session: 9, last: 4, next: 6 }])
  assert.equal(ledger.brokenGroups.length, 1)
  assert.deepEqual(ledger.sessions, [9])
  const damaged = Buffer.from(frames[0]!.body)
  damaged[damaged.length - 1]! ^= 1
  assert.equal(isIntact(9, damaged), false)
})
