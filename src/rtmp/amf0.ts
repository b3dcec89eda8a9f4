import { Amf3Reader } from './amf3.ts'
import { ProtocolError } from './message.ts'

/**
 * AMF0 (Adobe, 2007). Objects are Maps: whatever names a peer invents, `__proto__` among them, they are data; of a name that comes
 * twice the last value counts. Undefined and unsupported values read as undefined, and so does a reference to nothing.
 *
 * References may make a value contain itself: do not walk through one without a limit. A Uint8Array (AMF3 only) is a view of
 * the body that was read.
 */
export type AmfValue = null | undefined | boolean | number | string | Date | Uint8Array | AmfValue[] | AmfObject
export type AmfObject = Map<string, AmfValue>

/** What can be written: plain objects and Maps are written as AMF0 objects, EcmaArray as an ECMA array. */
export type AmfWritable =
  | null
  | undefined
  | boolean
  | number
  | string
  | Date
  | readonly AmfWritable[]
  | AmfRecord
  | ReadonlyMap<string, AmfWritable>
  | EcmaArray
export type AmfRecord = { readonly [name: string]: AmfWritable }

/** onMetaData is an ECMA array with every encoder. */
export class EcmaArray {
  readonly entries: AmfRecord | ReadonlyMap<string, AmfWritable>

  constructor(entries: AmfRecord | ReadonlyMap<string, AmfWritable>) {
    this.entries = entries
  }
}

export type AmfLimits = {
  /** Levels of objects in objects. Real commands have three; a recursion without end would use up the stack. */
  readonly depthMax: number
  /** Values in one message. OBS's metadata has 20, Twitch's multitrack configuration some hundred. */
  readonly itemsMax: number
  /** One text. A stream key has at most 1,024 characters. */
  readonly stringBytesMax: number
}
export const amfLimits: AmfLimits = { depthMax: 16, itemsMax: 4096, stringBytesMax: 64 * 1024 }

const markers = {
  number: 0x00,
  boolean: 0x01,
  string: 0x02,
  object: 0x03,
  movieClip: 0x04,
  null: 0x05,
  undefined: 0x06,
  reference: 0x07,
  ecmaArray: 0x08,
  objectEnd: 0x09,
  strictArray: 0x0a,
  date: 0x0b,
  longString: 0x0c,
  unsupported: 0x0d,
  recordSet: 0x0e,
  xmlDocument: 0x0f,
  typedObject: 0x10,
  avmPlus: 0x11,
} as const

class Amf0Reader {
  readonly #bytes: Buffer
  readonly #limits: AmfLimits
  readonly #references: AmfValue[] = []
  #items = 0
  at = 0

  constructor(bytes: Uint8Array, limits: AmfLimits) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#limits = limits
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length
  }

  #need(count: number): number {
    const start = this.at
    if (count > this.#bytes.length - start) throw new ProtocolError('AMF0 ends too early')
    this.at = start + count
    return start
  }

  #text(lengthBytes: 2 | 4): string {
    const from = this.#need(lengthBytes)
    const length = lengthBytes === 2 ? this.#bytes.readUInt16BE(from) : this.#bytes.readUInt32BE(from)
    if (length > this.#limits.stringBytesMax) throw new ProtocolError('an AMF0 text is too long')
    const start = this.#need(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  value(depth: number): AmfValue {
    if (depth > this.#limits.depthMax) throw new ProtocolError('AMF0 is nested too deeply')
    if (++this.#items > this.#limits.itemsMax) throw new ProtocolError('AMF0 has too many values')
    const marker = this.#bytes[this.#need(1)]!
    switch (marker) {
      case markers.number:
        return this.#bytes.readDoubleBE(this.#need(8))
      case markers.boolean:
        return this.#bytes[this.#need(1)] !== 0
      case markers.string:
        return this.#text(2)
      case markers.object:
        return this.#members(depth)
      case markers.typedObject:
        this.#text(2)
        return this.#members(depth)
      case markers.ecmaArray:
        // The count is advisory; Adobe itself does not set it.
        this.#need(4)
        return this.#members(depth)
      case markers.null:
        return null
      case markers.undefined:
      case markers.unsupported:
        return undefined
      case markers.reference:
        return this.#references[this.#bytes.readUInt16BE(this.#need(2))]
      case markers.strictArray:
        return this.#strictArray(depth)
      case markers.date: {
        const start = this.#need(10)
        return new Date(this.#bytes.readDoubleBE(start))
      }
      case markers.longString:
      case markers.xmlDocument:
        return this.#text(4)
      case markers.avmPlus: {
        // Each such value has reference tables of its own, but all share the budget of values.
        const itemsMax = this.#limits.itemsMax - this.#items
        const reader = new Amf3Reader(this.#bytes.subarray(this.at), { ...this.#limits, itemsMax })
        const value = reader.value(depth + 1)
        this.at += reader.at
        this.#items += reader.items
        return value
      }
      default:
        throw new ProtocolError('AMF0 has an unknown marker')
    }
  }

  #members(depth: number): AmfObject {
    const object: AmfObject = new Map()
    this.#references.push(object)
    for (;;) {
      const name = this.#text(2)
      if (name === '' && this.#bytes[this.at] === markers.objectEnd) {
        this.at++
        return object
      }
      object.set(name, this.value(depth + 1))
    }
  }

  #strictArray(depth: number): AmfValue[] {
    const count = this.#bytes.readUInt32BE(this.#need(4))
    const array: AmfValue[] = []
    this.#references.push(array)
    // Each value has a byte at least: a count beyond the rest is refused by the reading of it.
    for (let index = 0; index < count; index++) array.push(this.value(depth + 1))
    return array
  }
}

/** All values of a body. @throws ProtocolError when one of them cannot be read. */
export function readAmf0Values(body: Uint8Array, limits: AmfLimits = amfLimits): AmfValue[] {
  const reader = new Amf0Reader(body, limits)
  const values: AmfValue[] = []
  while (!reader.atEnd) values.push(reader.value(0))
  return values
}

/** The values before the first one that cannot be read: an argument that nobody asks for must not end a session. */
export function readAmf0Prefix(
  body: Uint8Array,
  limits: AmfLimits = amfLimits,
): { readonly values: AmfValue[]; readonly complete: boolean } {
  const reader = new Amf0Reader(body, limits)
  const values: AmfValue[] = []
  try {
    while (!reader.atEnd) values.push(reader.value(0))
  } catch (error) {
    if (error instanceof ProtocolError) return { values, complete: false }
    throw error
  }
  return { values, complete: true }
}

/** The text at the start of a body, without reading further; undefined when there is none. */
export function leadingText(body: Uint8Array): { readonly text: string; readonly bytes: number } | undefined {
  if (body.length < 3 || body[0] !== markers.string) return undefined
  const length = body[1]! * 256 + body[2]!
  if (length > 256 || body.length < 3 + length) return undefined
  return { text: Buffer.from(body.buffer, body.byteOffset + 3, length).toString('utf8'), bytes: 3 + length }
}

/** A member of an object by name, whatever the case of its letters (some encoders say `tcurl`). */
export function field(value: AmfValue, name: string): AmfValue {
  if (!(value instanceof Map)) return undefined
  if (value.has(name)) return value.get(name)
  const wanted = name.toLowerCase()
  for (const [key, member] of value) if (key.toLowerCase() === wanted) return member
  return undefined
}

export function textField(value: AmfValue, name: string): string | undefined {
  const member = field(value, name)
  return typeof member === 'string' ? member : undefined
}

class Amf0Writer {
  #bytes = Buffer.allocUnsafe(512)
  #length = 0

  result(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #room(count: number): number {
    const start = this.#length
    if (start + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, start + count))
      this.#bytes.copy(larger, 0, 0, start)
      this.#bytes = larger
    }
    this.#length = start + count
    return start
  }

  #byte(value: number): void {
    const start = this.#room(1)
    this.#bytes[start] = value
  }

  #shortText(text: string): void {
    const length = Buffer.byteLength(text)
    const start = this.#room(2 + length)
    this.#bytes.writeUInt16BE(length, start)
    this.#bytes.write(text, start + 2)
  }

  value(value: AmfWritable): void {
    if (value === null) this.#byte(markers.null)
    else if (value === undefined) this.#byte(markers.undefined)
    else if (typeof value === 'number') {
      this.#byte(markers.number)
      const start = this.#room(8)
      this.#bytes.writeDoubleBE(value, start)
    } else if (typeof value === 'boolean') {
      this.#byte(markers.boolean)
      this.#byte(value ? 1 : 0)
    } else if (typeof value === 'string') this.#text(value)
    else if (value instanceof EcmaArray) {
      this.#byte(markers.ecmaArray)
      const entries = entriesOf(value.entries)
      const start = this.#room(4)
      this.#bytes.writeUInt32BE(entries.length, start)
      this.#members(entries)
    } else if (value instanceof Date) {
      this.#byte(markers.date)
      const start = this.#room(10)
      this.#bytes.writeDoubleBE(value.getTime(), start)
      // The time zone, which is reserved.
      this.#bytes.writeUInt16BE(0, start + 8)
    } else if (isArray(value)) {
      this.#byte(markers.strictArray)
      const start = this.#room(4)
      this.#bytes.writeUInt32BE(value.length, start)
      for (const item of value) this.value(item)
    } else {
      this.#byte(markers.object)
      this.#members(entriesOf(value))
    }
  }

  #text(text: string): void {
    const length = Buffer.byteLength(text)
    if (length <= 0xffff) {
      this.#byte(markers.string)
      this.#shortText(text)
      return
    }
    this.#byte(markers.longString)
    const start = this.#room(4 + length)
    this.#bytes.writeUInt32BE(length, start)
    this.#bytes.write(text, start + 4)
  }

  #members(entries: readonly (readonly [string, AmfWritable])[]): void {
    for (const [name, member] of entries) {
      this.#shortText(name)
      this.value(member)
    }
    this.#shortText('')
    this.#byte(markers.objectEnd)
  }
}

function entriesOf(record: AmfRecord | ReadonlyMap<string, AmfWritable>): readonly (readonly [string, AmfWritable])[] {
  return isMap(record) ? [...record] : Object.entries(record)
}

function isMap(record: AmfRecord | ReadonlyMap<string, AmfWritable>): record is ReadonlyMap<string, AmfWritable> {
  return record instanceof Map
}

function isArray(
  value: readonly AmfWritable[] | AmfRecord | ReadonlyMap<string, AmfWritable>,
): value is readonly AmfWritable[] {
  return Array.isArray(value)
}

export function writeAmf0Values(values: readonly AmfWritable[]): Buffer {
  const writer = new Amf0Writer()
  for (const value of values) writer.value(value)
  return writer.result()
}
