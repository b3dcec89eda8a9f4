import type { Random } from '../random.ts'
import { hexes, texts } from '../target.ts'

/** AMF as a mutator sees it: values that can be made up, found in bytes, swapped, wrapped and left out. Written apart from the reader under test. */

const names = texts(
  ...[
    '',
    'app',
    'tcUrl',
    'tcurl',
    'flashVer',
    'code',
    'level',
    'description',
    'details',
    'ex',
    'redirect',
    'redirect2',
  ],
  ...['fourCcList', 'videoFourCcInfoMap', 'audioFourCcInfoMap', 'capsEx', 'objectEncoding', '*', 'hvc1', '__proto__'],
  ...['constructor', 'width', 'videocodecid', 'clientid'],
)
const words = texts(
  ...[
    '',
    'live',
    'connect',
    'createStream',
    'publish',
    '_result',
    '_error',
    'onStatus',
    'error',
    'status',
    'onMetaData',
  ],
  ...[
    '@setDataFrame',
    'NetStream.Publish.Start',
    'NetStream.Publish.BadName',
    'NetConnection.Connect.Success',
    '"',
    ' ',
  ],
  ...['NetConnection.Connect.Rejected', 'rtmp://127.0.0.1/live', 'authmod=adobe', 'codec not supported', 'é€😀'],
)
const numbers = [0, -0, 1, 2, 4, 5, 255, 302, 2 ** 31, 2 ** 32, 1e300, Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5]

export const amfWords: readonly Buffer[] = [
  ...hexes('05', '06', '0100', '000009', '0a00000001', '08ffffffff', '0a7fffffff', '0bffffffffffffffff0000', '070000'),
  ...hexes(
    '11',
    '110a0b01',
    '1109010101',
    '110c03ff',
    '110401',
    '0c0000ffff',
    '0200ff',
    '03',
    '100000',
    '11060d',
    '110a00',
  ),
  ...names.map((name) => Buffer.concat([Buffer.of(0, name.length), name])),
  ...words.map(textValue),
]

function textValue(text: Buffer): Buffer {
  const head = Buffer.alloc(3)
  head[0] = 2
  head.writeUInt16BE(text.length, 1)
  return Buffer.concat([head, text])
}

function numberValue(value: number): Buffer {
  const bytes = Buffer.alloc(9)
  bytes.writeDoubleBE(value, 1)
  return bytes
}

function count32(marker: number, count: number): Buffer {
  const head = Buffer.alloc(5)
  head[0] = marker
  head.writeUInt32BE(count, 1)
  return head
}

const objectEnd = Buffer.of(0, 0, 9)

function members(random: Random, depth: number): Buffer {
  const parts: Buffer[] = []
  for (let count = random.small(4); count > 0; count--) {
    const name = random.pick(names)
    parts.push(Buffer.of(0, name.length), name, makeAmf0(random, depth + 1))
  }
  return Buffer.concat([...parts, objectEnd])
}

/** A value, now and then with a count that lies. */
export function makeAmf0(random: Random, depth = 0): Buffer {
  switch (random.below(depth > 4 ? 8 : 14)) {
    case 0:
    case 1:
      return numberValue(random.oneIn(3) ? random.next() : random.pick(numbers))
    case 2:
      return Buffer.of(1, random.below(2))
    case 3:
    case 4:
      return textValue(random.pick(words))
    case 5:
      return Buffer.of(random.pick([5, 5, 6, 13]))
    case 6:
      return Buffer.of(7, 0, random.below(3))
    case 7:
      return Buffer.concat([Buffer.of(0x0b), numberValue(random.pick(numbers)).subarray(1), Buffer.of(0, 0)])
    case 8:
    case 9:
      return Buffer.concat([Buffer.of(3), members(random, depth)])
    case 10:
      return Buffer.concat([count32(8, random.oneIn(4) ? 0xffffffff : random.below(3)), members(random, depth)])
    case 11: {
      const items = Array.from({ length: random.small(4) }, () => makeAmf0(random, depth + 1))
      return Buffer.concat([count32(0x0a, random.oneIn(8) ? 0x7fffffff : items.length), ...items])
    }
    case 12: {
      const text = random.pick(words)
      return Buffer.concat([count32(random.pick([0x0c, 0x0f]), text.length), text])
    }
    default:
      return Buffer.concat([Buffer.of(0x11), makeAmf3(random, depth)])
  }
}

/** | bits … | in as few bytes as they need, seven in each. */
function uint29(value: number): Buffer {
  if (value < 0x80) return Buffer.of(value)
  if (value < 0x4000) return Buffer.of(0x80 | (value >> 7), value & 0x7f)
  if (value < 0x200000) return Buffer.of(0x80 | (value >> 14), 0x80 | ((value >> 7) & 0x7f), value & 0x7f)
  return Buffer.of(
    0x80 | ((value >> 22) & 0x7f),
    0x80 | ((value >> 15) & 0x7f),
    0x80 | ((value >> 8) & 0x7f),
    value & 0xff,
  )
}

function text3(random: Random, text = random.pick(names)): Buffer {
  if (random.oneIn(6)) return uint29(random.below(4) << 1)
  return Buffer.concat([uint29((text.length << 1) | 1), text])
}

const emptyText3 = Buffer.of(1)

export function makeAmf3(random: Random, depth = 0): Buffer {
  const nested = () => makeAmf3(random, depth + 1)
  const named = (count: number) =>
    Buffer.concat([...Array.from({ length: count }, () => Buffer.concat([text3(random), nested()])), emptyText3])
  switch (random.below(depth > 4 ? 9 : 13)) {
    case 0:
      return Buffer.of(random.below(4))
    case 1:
      return Buffer.concat([Buffer.of(4), uint29(random.oneIn(2) ? random.below(300) : random.next() & 0x1fffffff)])
    case 2:
      return Buffer.concat([Buffer.of(5), numberValue(random.pick(numbers)).subarray(1)])
    case 3:
    case 4:
      return Buffer.concat([Buffer.of(6), text3(random, random.pick(words))])
    case 5:
      return Buffer.concat([Buffer.of(random.pick([7, 11, 12])), text3(random, random.pick(words))])
    case 6:
      return Buffer.concat([Buffer.of(8, 1), numberValue(random.pick(numbers)).subarray(1)])
    case 7:
      return Buffer.of(random.pick([7, 8, 9, 10, 11, 12]), random.below(4) << 1)
    case 8:
      return Buffer.of(random.below(20))
    case 9:
    case 10: {
      const items = Array.from({ length: random.small(4) }, nested)
      const count = random.oneIn(8) ? 0xfffffff : items.length
      return Buffer.concat([Buffer.of(9), uint29((count << 1) | 1), named(random.oneIn(3) ? 1 : 0), ...items])
    }
    default: {
      const sealed = random.below(3)
      const isDynamic = random.oneIn(2)
      // | sealed members | dynamic | externalizable | traits here, not referred to | object here |
      const header = (sealed << 4) | (isDynamic ? 8 : 0) | (random.oneIn(20) ? 4 : 0) | 3
      return Buffer.concat([
        Buffer.of(10),
        uint29(random.oneIn(6) ? 1 : header),
        text3(random),
        ...Array.from({ length: sealed }, () => text3(random)),
        ...Array.from({ length: sealed }, nested),
        isDynamic ? named(random.below(3)) : Buffer.alloc(0),
      ])
    }
  }
}

type Span = { readonly start: number; readonly end: number }

/** Where the values of a body lie, outer ones before those inside of them; up to where it can be read. */
export function amf0Spans(body: Buffer): Span[] {
  const spans: Span[] = []
  const spanMax = 500
  const read = (start: number, depth: number): number => {
    if (start >= body.length || depth > 20 || spans.length > spanMax) throw new RangeError('no value')
    const index = spans.push({ start, end: start }) - 1
    let at = start + 1
    const need = (bytes: number) => {
      if (at + bytes > body.length) throw new RangeError('cut off')
      at += bytes
      return at - bytes
    }
    const readMembers = () => {
      for (;;) {
        const from = need(2)
        const length = body.readUInt16BE(from)
        if (length === 0 && body[at] === 9) break
        need(length)
        at = read(at, depth + 1)
      }
      at++
    }
    switch (body[start]) {
      case 0:
        need(8)
        break
      case 1:
        need(1)
        break
      case 2:
        need(body.readUInt16BE(need(2)))
        break
      case 3:
        readMembers()
        break
      case 5:
      case 6:
      case 13:
        break
      case 7:
        need(2)
        break
      case 8:
        need(4)
        readMembers()
        break
      case 10: {
        const count = body.readUInt32BE(need(4))
        for (let item = 0; item < count; item++) at = read(at, depth + 1)
        break
      }
      case 11:
        need(10)
        break
      case 12:
      case 15:
        need(body.readUInt32BE(need(4)))
        break
      default:
        throw new RangeError('another marker')
    }
    spans[index] = { start, end: at }
    return at
  }
  try {
    for (let at = 0; at < body.length; ) at = read(at, 0)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  return spans.filter(({ start, end }) => end > start)
}

/** A body whose values have been exchanged, wrapped, repeated, left out or made anew. */
export function mutateAmf0(body: Buffer, random: Random): Buffer {
  const spans = amf0Spans(body)
  const span = spans.length === 0 ? { start: body.length, end: body.length } : random.pick(spans)
  const value = body.subarray(span.start, span.end)
  const put = (...parts: readonly Uint8Array[]) =>
    Buffer.concat([body.subarray(0, span.start), ...parts, body.subarray(span.end)])
  switch (random.below(7)) {
    case 0:
    case 1:
      return put(makeAmf0(random))
    case 2:
      return put(value, makeAmf0(random))
    case 3:
      return put()
    case 4:
      return put(value, ...Array.from({ length: 1 + random.small(20) }, () => value))
    case 5: {
      const depth = 1 + random.small(20)
      const opening = Buffer.concat([Buffer.of(3, 0, 1, 97)])
      return put(
        ...Array.from({ length: depth }, () => opening),
        value,
        ...Array.from({ length: depth }, () => objectEnd),
      )
    }
    default: {
      const other = spans.length === 0 ? value : body.subarray(...spanOf(random.pick(spans)))
      return put(other)
    }
  }
}

function spanOf({ start, end }: Span): [number, number] {
  return [start, end]
}
