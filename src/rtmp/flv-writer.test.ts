import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeFlv } from '../../test/support/flv.ts'
import { flvBodyBytesMax, flvHeader, flvTag, flvTagOfMessage, scriptBody } from './flv-writer.ts'
import { messageTypes } from './message.ts'

test('the header says what follows it', () => {
  const hex = (audio: boolean, video: boolean) => flvHeader({ audio, video }).toString('hex')
  assert.equal(hex(true, true), '464c5601050000000900000000')
  assert.equal(hex(false, true), '464c5601010000000900000000')
  assert.equal(hex(true, false), '464c5601040000000900000000')
})

test('a tag, byte by byte: a time of more than 24 bits has its highest byte last', () => {
  const tag = flvTag(9, 0x12345678, Buffer.from('170100', 'hex'))
  assert.equal(tag.toString('hex'), '09 000003 345678 12 000000 170100 0000000e'.replaceAll(' ', ''))
})

test('what is written is read back, whatever it is', () => {
  const tag = fc.record(
    {
      type: fc.constantFrom(8, 9, 18),
      timestamp: fc.nat({ max: 2 ** 32 - 1 }),
      body: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(tag, { maxLength: 20 }), (tags) => {
      const bytes = Buffer.concat([
        flvHeader({ audio: true, video: true }),
        ...tags.map(({ type, timestamp, body }) => flvTag(type, timestamp, body)),
      ])
      assert.deepEqual(decodeFlv(bytes), tags)
      // Each tag says how long the one before it was, for players that go backwards.
      const last = tags.at(-1)
      assert.equal(bytes.readUInt32BE(bytes.length - 4), last === undefined ? 0 : 11 + last.body.length)
    }),
  )
})

test('time begins anew after 2^32 milliseconds, and a body that fits in no tag is refused', () => {
  const [tag] = decodeFlv(
    Buffer.concat([flvHeader({ audio: true, video: true }), flvTag(8, 2 ** 32 + 5, Buffer.of(1))]),
  )
  assert.equal(tag?.timestamp, 5)
  assert.throws(() => flvTag(9, 0, Buffer.alloc(flvBodyBytesMax + 1)), RangeError)
})

test('metadata loses the order to a server that stands before it', () => {
  const text = (value: string) => Buffer.concat([Buffer.of(2, 0, value.length), Buffer.from(value)])
  const plain = Buffer.concat([text('onMetaData'), Buffer.of(5)])
  const ordered = Buffer.concat([text('@setDataFrame'), plain])
  assert.deepEqual(scriptBody(ordered), plain)
  assert.deepEqual(scriptBody(plain), plain)
  assert.deepEqual(scriptBody(Buffer.of(7)), Buffer.of(7))
  assert.deepEqual(flvTagOfMessage(messageTypes.amf0Data, 3, ordered), flvTag(18, 3, plain))
  assert.deepEqual(flvTagOfMessage(messageTypes.video, 3, ordered), flvTag(9, 3, ordered))
})
