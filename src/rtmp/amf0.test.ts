import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type AmfValue,
  type AmfWritable,
  amfLimits,
  EcmaArray,
  field,
  leadingText,
  readAmf0Prefix,
  readAmf0Values,
  textField,
  writeAmf0Values,
} from './amf0.ts'
import { amf0Malformed, amf0Vectors, bytesOf } from './amf0.vectors.ts'
import { ProtocolError } from './message.ts'

/** Byte arrays come as Buffers; the tables say Uint8Array. */
function plain(value: AmfValue): unknown {
  if (value instanceof Uint8Array) return [...value]
  if (value instanceof Map) return new Map([...value].map(([name, member]) => [name, plain(member)]))
  return Array.isArray(value) ? value.map(plain) : value
}

describe('AMF0', () => {
  for (const { name, decoded, encoded, written } of amf0Vectors) {
    it(`reads: ${name}`, () => {
      assert.deepEqual(readAmf0Values(encoded).map(plain), decoded.map(plain))
    })
    if (written !== undefined)
      it(`writes: ${name}`, () => assert.equal(writeAmf0Values(written).toString('hex'), encoded.toString('hex')))
    it(`cut at every place: ${name}`, () => {
      for (let length = 0; length < encoded.length; length++) {
        const { values, complete } = readAmf0Prefix(encoded.subarray(0, length))
        assert.deepEqual(values.map(plain), decoded.slice(0, values.length).map(plain))
        if (complete) assert.deepEqual(readAmf0Values(encoded.subarray(0, length)).map(plain), values.map(plain))
        else assert.throws(() => readAmf0Values(encoded.subarray(0, length)), ProtocolError)
      }
    })
  }

  for (const { name, encoded, before } of amf0Malformed)
    it(`refuses ${name}`, () => {
      assert.throws(() => readAmf0Values(encoded), ProtocolError)
      assert.deepEqual(readAmf0Prefix(encoded), { values: before, complete: false })
    })

  it('has limits on depth, values and texts, and takes what is just below them', () => {
    const nested = (levels: number): AmfWritable => (levels === 0 ? 1 : [nested(levels - 1)])
    assert.doesNotThrow(() => readAmf0Values(writeAmf0Values([nested(amfLimits.depthMax)])))
    assert.throws(() => readAmf0Values(writeAmf0Values([nested(amfLimits.depthMax + 1)])), /nested too deeply/)

    const many = (count: number) => writeAmf0Values(new Array<null>(count).fill(null))
    assert.equal(readAmf0Values(many(amfLimits.itemsMax)).length, amfLimits.itemsMax)
    assert.throws(() => readAmf0Values(many(amfLimits.itemsMax + 1)), /too many values/)

    const text = 'x'.repeat(amfLimits.stringBytesMax)
    assert.deepEqual(readAmf0Values(writeAmf0Values([text])), [text])
    assert.throws(() => readAmf0Values(writeAmf0Values([`${text}x`])), /too long/)
  })

  it('counts the values of all AMF3 values together', () => {
    // An AMF3 array of 100 nulls: 101 values of 103 bytes.
    const one = Buffer.concat([bytesOf('11 09 81 49 01'), Buffer.alloc(100, 1)])
    assert.equal((readAmf0Values(one)[0] as AmfValue[]).length, 100)
    assert.throws(() => readAmf0Values(Buffer.concat(new Array<Buffer>(41).fill(one))), /too many values/)
  })

  it('lets an object contain itself by reference, without a loop', () => {
    const [object] = readAmf0Values(bytesOf("03 0004 'self' 07 0000 000009"))
    assert.equal(field(object, 'self'), object)
  })

  it('writes a text of 65,535 bytes short and one of 65,536 long', () => {
    assert.equal(writeAmf0Values(['x'.repeat(65_535)])[0], 0x02)
    const long = writeAmf0Values(['x'.repeat(65_536)])
    assert.equal(long.subarray(0, 6).toString('hex'), '0c0001000078')
    assert.equal(long.length, 5 + 65_536)
  })

  it('finds a member whatever the case of its letters, exact first', () => {
    const [object] = readAmf0Values(writeAmf0Values([{ TCURL: 'a', tcUrl: 'b' }]))
    assert.equal(field(object, 'tcUrl'), 'b')
    assert.equal(field(object, 'tcurl'), 'a')
    assert.equal(textField(object, 'app'), undefined)
    assert.equal(field('text', 'length'), undefined)
    const [plainObject] = readAmf0Values(writeAmf0Values([{}]))
    assert.equal(field(plainObject, '__proto__'), undefined)
    assert.equal(field(plainObject, 'constructor'), undefined)
  })

  it('peeks at the text in front of a body', () => {
    assert.deepEqual(leadingText(bytesOf("02 0003 'abc' ff")), { text: 'abc', bytes: 6 })
    for (const picture of ['', '02 00', "02 0004 'abc'", "0c 00000003 'abc'", '05', '47 40 11 10'])
      assert.equal(leadingText(bytesOf(picture)), undefined)
  })

  const writable = fc.letrec<{ value: AmfWritable; leaf: AmfWritable }>((tie) => ({
    leaf: fc.oneof(
      fc.constantFrom(null, undefined, true, false),
      fc.double(),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
    ),
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      tie('leaf'),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 8 }), tie('value'), { maxKeys: 4 }),
    ),
  })).value

  /** What a reader makes of what was written. */
  function read(value: AmfWritable): unknown {
    if (value instanceof EcmaArray) return read(value.entries)
    if (Array.isArray(value)) return value.map(read)
    if (value !== null && typeof value === 'object')
      return new Map(Object.entries(value).map(([name, member]) => [name, read(member)]))
    return value
  }

  it('reads back whatever it writes', () => {
    fc.assert(
      fc.property(fc.array(writable, { maxLength: 5 }), (values) => {
        assert.deepEqual(readAmf0Values(writeAmf0Values(values)), values.map(read))
      }),
      { numRuns: 300 },
    )
  })

  it('ends, and only with a ProtocolError, on bytes that were changed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...amf0Vectors.map(({ encoded }) => encoded)),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.uint8Array({ maxLength: 8 }),
        (encoded, changes, more) => {
          const bytes = Buffer.concat([encoded, more])
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
          const { values, complete } = readAmf0Prefix(bytes)
          if (complete) assert.equal(readAmf0Values(bytes).length, values.length)
          else assert.throws(() => readAmf0Values(bytes), ProtocolError)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
