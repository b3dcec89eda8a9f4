/**
 * AMF0 for the test peers (Adobe AMF0 specification): small, strict, and without any code of the product, so that the two
 * cannot share a mistake.
 */
export type Amf = number | boolean | string | null | undefined | Date | Amf[] | AmfObject
export type AmfObject = { [key: string]: Amf }

/** Wraps an object that is to be written as an ECMA array (marker 8), as encoders write onMetaData. */
export class EcmaArray {
  readonly entries: AmfObject
  constructor(entries: AmfObject) {
    this.entries = entries
  }
}

const marker = {
  number: 0,
  boolean: 1,
  string: 2,
  object: 3,
  null: 5,
  undefined: 6,
  ecmaArray: 8,
  objectEnd: 9,
  strictArray: 10,
  date: 11,
  longString: 12,
} as const

export function encodeAmf(...values: readonly (Amf | EcmaArray)[]): Buffer {
  return Buffer.concat(values.flatMap(encodeValue))
}

function encodeValue(value: Amf | EcmaArray): Buffer[] {
  if (value === null) return [Buffer.of(marker.null)]
  if (value === undefined) return [Buffer.of(marker.undefined)]
  if (typeof value === 'boolean') return [Buffer.of(marker.boolean, value ? 1 : 0)]
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(9)
    bytes.writeDoubleBE(value, 1)
    return [bytes]
  }
  if (typeof value === 'string') {
    const text = Buffer.from(value)
    if (text.length <= 0xffff) return [Buffer.of(marker.string), encodeUtf8(text)]
    const start = Buffer.alloc(5)
    start[0] = marker.longString
    start.writeUInt32BE(text.length, 1)
    return [start, text]
  }
  if (value instanceof Date) {
    const bytes = Buffer.alloc(11)
    bytes[0] = marker.date
    bytes.writeDoubleBE(value.getTime(), 1)
    return [bytes]
  }
  if (Array.isArray(value)) {
    return [countOf(marker.strictArray, value.length), ...value.flatMap(encodeValue)]
  }
  if (value instanceof EcmaArray) {
    return [countOf(marker.ecmaArray, Object.keys(value.entries).length), ...encodeEntries(value.entries)]
  }
  return [Buffer.of(marker.object), ...encodeEntries(value)]
}

function countOf(kind: number, count: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes[0] = kind
  bytes.writeUInt32BE(count, 1)
  return bytes
}

function encodeEntries(entries: AmfObject): Buffer[] {
  const end = Buffer.of(0, 0, marker.objectEnd)
  return [
    ...Object.entries(entries).flatMap(([key, value]) => [encodeUtf8(Buffer.from(key)), ...encodeValue(value)]),
    end,
  ]
}

function encodeUtf8(text: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(text.length)
  return Buffer.concat([length, text])
}

/** All values of a message body. @throws Error at anything that is not AMF0. */
export function decodeAmf(body: Buffer): Amf[] {
  const reader = new AmfReader(body)
  const values: Amf[] = []
  while (!reader.atEnd) values.push(reader.value())
  return values
}

class AmfReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  value(): Amf {
    const kind = this.#take(1)[0]!
    switch (kind) {
      case marker.number:
        return this.#take(8).readDoubleBE()
      case marker.boolean:
        return this.#take(1)[0] !== 0
      case marker.string:
        return this.#text(this.#take(2).readUInt16BE())
      case marker.longString:
        return this.#text(this.#take(4).readUInt32BE())
      case marker.null:
        return null
      case marker.undefined:
        return undefined
      case marker.date: {
        const date = new Date(this.#take(8).readDoubleBE())
        this.#take(2)
        return date
      }
      case marker.strictArray: {
        const count = this.#take(4).readUInt32BE()
        const values: Amf[] = []
        for (let index = 0; index < count; index++) values.push(this.value())
        return values
      }
      case marker.ecmaArray:
        // The count is advisory (Adobe's own software leaves it 0): the end marker decides.
        this.#take(4)
        return this.#entries()
      case marker.object:
        return this.#entries()
      default:
        throw new Error(`AMF0 marker ${kind} at ${this.#at - 1}`)
    }
  }

  #entries(): AmfObject {
    const entries: AmfObject = {}
    for (;;) {
      const key = this.#text(this.#take(2).readUInt16BE())
      if (key === '' && this.#bytes[this.#at] === marker.objectEnd) {
        this.#at++
        return entries
      }
      entries[key] = this.value()
    }
  }

  #text(length: number): string {
    return this.#take(length).toString()
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new Error('AMF0 value is cut off')
    const bytes = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return bytes
  }
}

/** Narrowing for what a peer sent. */
export const asObject = (value: Amf): AmfObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) ? value : {}
export const asText = (value: Amf): string => (typeof value === 'string' ? value : '')
export const asNumber = (value: Amf): number => (typeof value === 'number' ? value : 0)
