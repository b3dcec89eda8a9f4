import { type AmfValue, type AmfWritable, EcmaArray } from './amf0.ts'

/** Bytes written as hex, white space ignored; text in quotes is written as it is. */
export function bytesOf(picture: string): Buffer {
  const parts = [...picture.matchAll(/'([^']*)'|([0-9a-fA-F\s]+)/g)]
  return Buffer.concat(
    parts.map(([, text, hex]) => Buffer.from(text ?? hex!.replace(/\s/g, ''), text === undefined ? 'hex' : 'latin1')),
  )
}

export type AmfVector = {
  readonly name: string
  readonly decoded: readonly AmfValue[]
  readonly encoded: Buffer
  /** What to write to get `encoded`; left out where nobody writes this form. */
  readonly written?: readonly AmfWritable[]
}

const map = (...entries: [string, AmfValue][]): AmfValue => new Map(entries)

/** Drives reading, writing, cutting and the seeds of the fuzzers. */
export const amf0Vectors: readonly AmfVector[] = [
  { name: 'nothing', decoded: [], encoded: Buffer.alloc(0), written: [] },
  { name: 'number', decoded: [5], encoded: bytesOf('00 4014000000000000'), written: [5] },
  { name: 'not a number', decoded: [Number.NaN], encoded: bytesOf('00 7ff8000000000000'), written: [Number.NaN] },
  { name: 'booleans; any byte but 0 is true', decoded: [true, false, true], encoded: bytesOf('01 01 01 00 01 ff') },
  { name: 'boolean', decoded: [false], encoded: bytesOf('01 00'), written: [false] },
  { name: 'text', decoded: ['connect'], encoded: bytesOf("02 0007 'connect'"), written: ['connect'] },
  { name: 'empty text', decoded: [''], encoded: bytesOf('02 0000'), written: [''] },
  { name: 'UTF-8', decoded: ['é€😀'], encoded: bytesOf('02 0009 c3a9 e282ac f09f9880'), written: ['é€😀'] },
  { name: 'invalid UTF-8', decoded: ['\ufffdA'], encoded: bytesOf('02 0002 ff 41') },
  { name: 'null and undefined', decoded: [null, undefined], encoded: bytesOf('05 06'), written: [null, undefined] },
  { name: 'unsupported', decoded: [undefined, 1], encoded: bytesOf('0d 00 3ff0000000000000') },
  { name: 'empty object', decoded: [map()], encoded: bytesOf('03 000009'), written: [{}] },
  {
    name: 'object',
    decoded: [map(['app', 'live'], ['inner', map(['a', null])])],
    encoded: bytesOf("03 0003 'app' 02 0004 'live' 0005 'inner' 03 0001 'a' 05 000009 000009"),
    written: [{ app: 'live', inner: { a: null } }],
  },
  {
    name: 'names that mean something to JavaScript',
    decoded: [map(['__proto__', true], ['constructor', true], ['', true])],
    encoded: bytesOf("03 0009 '__proto__' 0101 000b 'constructor' 0101 0000 0101 000009"),
    written: [
      new Map([
        ['__proto__', true],
        ['constructor', true],
        ['', true],
      ]),
    ],
  },
  {
    name: 'a name that comes twice',
    decoded: [map(['a', false])],
    encoded: bytesOf("03 0001 'a' 0101 0001 'a' 0100 000009"),
  },
  {
    name: 'ECMA array',
    decoded: ['onMetaData', map(['width', 2])],
    encoded: bytesOf("02 000a 'onMetaData' 08 00000001 0005 'width' 00 4000000000000000 000009"),
    written: ['onMetaData', new EcmaArray({ width: 2 })],
  },
  {
    name: 'ECMA array whose count says nothing',
    decoded: [map(['a', null], ['b', null]), map(['a', null])],
    encoded: bytesOf("08 00000000 0001 'a' 05 0001 'b' 05 000009  08 ffffffff 0001 'a' 05 000009"),
  },
  {
    name: 'strict array',
    decoded: [['av01', 'hvc1', []]],
    encoded: bytesOf("0a 00000003 02 0004 'av01' 02 0004 'hvc1' 0a 00000000"),
    written: [['av01', 'hvc1', []]],
  },
  {
    name: 'date',
    decoded: [new Date(1000), 1],
    encoded: bytesOf('0b 408f400000000000 0000 00 3ff0000000000000'),
    written: [new Date(1000), 1],
  },
  { name: 'date with a time zone', decoded: [new Date(1000)], encoded: bytesOf('0b 408f400000000000 003c') },
  { name: 'short long text', decoded: ['abc'], encoded: bytesOf("0c 00000003 'abc'") },
  { name: 'XML', decoded: ['<a/>'], encoded: bytesOf("0f 00000004 '<a/>'") },
  {
    name: 'typed object',
    decoded: [map(['x', null])],
    encoded: bytesOf("10 0003 'Foo' 0001 'x' 05 000009"),
  },
  {
    name: 'references count objects and arrays',
    decoded: [map(['a', null]), [null], map(['a', null]), [null]],
    encoded: bytesOf("03 0001 'a' 05 000009  0a 00000001 05  07 0000  07 0001"),
  },
  { name: 'a reference to nothing', decoded: [undefined, null], encoded: bytesOf('07 0005 05') },
  {
    name: 'values that switch to AMF3, each with tables of its own',
    decoded: [1, 'abc', 'abc', map(['media', new Uint8Array([1, 2])]), null],
    encoded: bytesOf("00 3ff0000000000000  11 06 07 'abc'  11 06 07 'abc'  03 0005 'media' 11 0c 05 0102 000009  05"),
  },
  {
    name: "OBS's publish",
    decoded: ['publish', 5, null, 'key?a=b', 'live'],
    encoded: bytesOf("02 0007 'publish' 00 4014000000000000 05 02 0007 'key?a=b' 02 0004 'live'"),
    written: ['publish', 5, null, 'key?a=b', 'live'],
  },
]

/** Each is malformed; `before` is what can be read of it. */
export const amf0Malformed: readonly {
  readonly name: string
  readonly encoded: Buffer
  readonly before: AmfValue[]
}[] = [
  { name: 'no marker that exists', encoded: bytesOf('05 7f'), before: [null] },
  { name: 'a movie clip', encoded: bytesOf('04'), before: [] },
  { name: 'an object end without object', encoded: bytesOf('09'), before: [] },
  { name: 'a text longer than the rest', encoded: bytesOf("02 ffff 'ab'"), before: [] },
  { name: 'a long text of 4 GiB', encoded: bytesOf("0101 0c ffffffff 'ab'"), before: [true] },
  { name: 'a strict array of 2^32 - 1 values', encoded: bytesOf('0a ffffffff 05 05'), before: [] },
  { name: 'an object end behind a name', encoded: bytesOf("03 0001 'a' 09"), before: [] },
  { name: 'an object without end', encoded: bytesOf("03 0001 'a' 05"), before: [] },
  {
    name: 'objects 10,000 deep',
    encoded: Buffer.concat(Array.from({ length: 10_000 }, () => bytesOf("03 0001 'a'"))),
    before: [],
  },
  {
    name: 'arrays 10,000 deep',
    encoded: Buffer.concat(Array.from({ length: 10_000 }, () => bytesOf('0a 00000001'))),
    before: [],
  },
  {
    name: 'AMF3 arrays 10,000 deep',
    encoded: Buffer.concat([bytesOf('11'), ...Array.from({ length: 10_000 }, () => bytesOf('09 03 01'))]),
    before: [],
  },
  { name: 'an AMF3 text longer than the rest', encoded: bytesOf('11 06 ff ff ff ff'), before: [] },
  { name: 'an AMF3 array of 2^28 - 1 values', encoded: bytesOf('11 09 ff ff ff ff 01 01 01'), before: [] },
  { name: 'an AMF3 class of 2^26 members', encoded: bytesOf('11 0a ff ff ff f3 01 01'), before: [] },
  { name: 'AMF3 references to nothing', encoded: bytesOf('05 11 06 02'), before: [null] },
]
