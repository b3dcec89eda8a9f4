import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type AmfValue, amfLimits, readAmf0Prefix } from './amf0.ts'
import { bytesOf } from './amf0.vectors.ts'
import { Amf3Reader } from './amf3.ts'
import { ProtocolError } from './message.ts'

const map = (...entries: [string, AmfValue][]): AmfValue => new Map(entries)

const vectors: readonly { name: string; encoded: Buffer; decoded: AmfValue }[] = [
  { name: 'undefined', encoded: bytesOf('00'), decoded: undefined },
  { name: 'null', encoded: bytesOf('01'), decoded: null },
  { name: 'false', encoded: bytesOf('02'), decoded: false },
  { name: 'true', encoded: bytesOf('03'), decoded: true },
  { name: 'integer of one byte', encoded: bytesOf('04 7f'), decoded: 127 },
  { name: 'integer of two bytes', encoded: bytesOf('04 81 00'), decoded: 128 },
  { name: 'integer of three bytes', encoded: bytesOf('04 81 80 00'), decoded: 16_384 },
  { name: 'largest integer', encoded: bytesOf('04 bf ff ff ff'), decoded: 268_435_455 },
  { name: 'smallest integer', encoded: bytesOf('04 c0 80 80 00'), decoded: -268_435_456 },
  { name: 'minus one', encoded: bytesOf('04 ff ff ff ff'), decoded: -1 },
  { name: 'double', encoded: bytesOf('05 3ff8000000000000'), decoded: 1.5 },
  { name: 'text', encoded: bytesOf("06 07 'abc'"), decoded: 'abc' },
  { name: 'empty text', encoded: bytesOf('06 01'), decoded: '' },
  { name: 'XML', encoded: bytesOf("0b 09 '<a/>'"), decoded: '<a/>' },
  { name: 'XML document', encoded: bytesOf("07 09 '<a/>'"), decoded: '<a/>' },
  { name: 'date', encoded: bytesOf('08 01 408f400000000000'), decoded: new Date(1000) },
  { name: 'byte array', encoded: bytesOf('0c 07 010203'), decoded: Buffer.of(1, 2, 3) },
  { name: 'array', encoded: bytesOf('09 05 01 04 01 04 02'), decoded: [1, 2] },
  {
    name: 'array with names',
    encoded: bytesOf("09 03 03 'a' 03 01 04 07"),
    decoded: map(['a', true], ['0', 7]),
  },
  {
    name: 'text references, which leave out the empty text',
    encoded: bytesOf("09 0b 01 06 01 06 03 'a' 06 03 'b' 06 00 06 02"),
    decoded: ['', 'a', 'b', 'a', 'b'],
  },
  {
    name: 'object of a class, dynamic, with a class reference',
    encoded: bytesOf("09 05 01  0a 1b 01 03 'x' 04 01 03 'y' 04 02 01  0a 01 04 03 01"),
    decoded: [map(['x', 1], ['y', 2]), map(['x', 3])],
  },
  {
    name: 'object references',
    encoded: bytesOf('09 07 01 0a 0b 01 01 0a 02 08 01 408f400000000000'),
    decoded: [map(), map(), new Date(1000)],
  },
]

function read(encoded: Buffer): { value: AmfValue; at: number } {
  const reader = new Amf3Reader(encoded, amfLimits)
  return { value: reader.value(0), at: reader.at }
}

describe('AMF3', () => {
  for (const { name, encoded, decoded } of vectors) {
    it(`reads: ${name}`, () => {
      // What follows the value is not touched.
      assert.deepEqual(read(Buffer.concat([encoded, Buffer.of(0xff)])), { value: decoded, at: encoded.length })
    })
    it(`cut at every place: ${name}`, () => {
      for (let length = 0; length < encoded.length; length++)
        assert.throws(() => read(encoded.subarray(0, length)), ProtocolError)
    })
  }

  it('refuses what it does not know', () => {
    for (const picture of ['0d 03 00 00000001', '11 01 00', "0a 07 07 'abc'", '12', 'ff', '06 02', '09 02', '0a 05'])
      assert.throws(() => read(bytesOf(picture)), ProtocolError)
  })

  it('limits the texts, XML included', () => {
    const length = amfLimits.stringBytesMax + 1
    const header = (length << 1) | 1
    const size = Buffer.of(0x80 | (header >> 14), 0x80 | ((header >> 7) & 0x7f), header & 0x7f)
    for (const marker of [0x06, 0x07, 0x0b])
      assert.throws(() => read(Buffer.concat([Buffer.of(marker), size, Buffer.alloc(length, 0x61)])), /too long/)
    assert.equal((read(Buffer.concat([Buffer.of(0x0c), size, Buffer.alloc(length)])).value as Buffer).length, length)
  })

  it('reads the extra audio of OBS 26.1 to 30.1 for Twitch: a body of AAC in an AMF3 byte array', () => {
    const body = bytesOf(
      "02 000f 'additionalMedia' 03 0002 'id' 02 0007 'stream0' 0005 'media' 11 0c 09 af01aabb 000009",
    )
    const { values, complete } = readAmf0Prefix(body)
    assert.equal(complete, true)
    assert.deepEqual(values[1], map(['id', 'stream0'], ['media', bytesOf('af01aabb')]))
  })
})
