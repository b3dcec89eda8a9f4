import type { AmfLimits, AmfObject, AmfValue } from './amf0.ts'
import { ProtocolError } from './message.ts'

const markers = {
  undefined: 0x00,
  null: 0x01,
  false: 0x02,
  true: 0x03,
  integer: 0x04,
  double: 0x05,
  string: 0x06,
  xmlDocument: 0x07,
  date: 0x08,
  array: 0x09,
  object: 0x0a,
  xml: 0x0b,
  byteArray: 0x0c,
} as const

type Traits = { readonly names: readonly string[]; readonly dynamic: boolean }

/**
 * AMF3 (Adobe, 2013), reading only: what some encoders put behind the marker 0x11 of AMF0. Vectors, dictionaries and externalizable
 * classes are not read: nobody sends them over RTMP.
 */
export class Amf3Reader {
  readonly #bytes: Buffer
  readonly #limits: AmfLimits
  readonly #strings: string[] = []
  readonly #objects: AmfValue[] = []
  readonly #traits: Traits[] = []
  /** Values read so far. */
  items = 0
  at = 0

  constructor(bytes: Buffer, limits: AmfLimits) {
    this.#bytes = bytes
    this.#limits = limits
  }

  #need(count: number): number {
    const start = this.at
    if (count > this.#bytes.length - start) throw new ProtocolError('AMF3 ends too early')
    this.at = start + count
    return start
  }

  /** Seven bits a byte, the fourth byte whole: 29 bits. */
  #uint29(): number {
    let value = 0
    for (let index = 0; index < 3; index++) {
      const byte = this.#bytes[this.#need(1)]!
      value = (value << 7) | (byte & 0x7f)
      if ((byte & 0x80) === 0) return value
    }
    return (value << 8) | this.#bytes[this.#need(1)]!
  }

  #text(): string {
    const header = this.#uint29()
    if ((header & 1) === 0) {
      const known = this.#strings[header >> 1]
      if (known === undefined) throw new ProtocolError('AMF3 refers to an unknown text')
      return known
    }
    const length = header >> 1
    if (length > this.#limits.stringBytesMax) throw new ProtocolError('an AMF3 text is too long')
    const start = this.#need(length)
    const text = this.#bytes.toString('utf8', start, start + length)
    if (text !== '') this.#strings.push(text)
    return text
  }

  value(depth: number): AmfValue {
    if (depth > this.#limits.depthMax) throw new ProtocolError('AMF3 is nested too deeply')
    if (++this.items > this.#limits.itemsMax) throw new ProtocolError('AMF3 has too many values')
    const marker = this.#bytes[this.#need(1)]!
    switch (marker) {
      case markers.undefined:
        return undefined
      case markers.null:
        return null
      case markers.false:
        return false
      case markers.true:
        return true
      case markers.integer:
        return (this.#uint29() << 3) >> 3
      case markers.double:
        return this.#bytes.readDoubleBE(this.#need(8))
      case markers.string:
        return this.#text()
      case markers.xmlDocument:
      case markers.xml:
      case markers.byteArray:
        return this.#referable((length) => {
          if (marker !== markers.byteArray && length > this.#limits.stringBytesMax)
            throw new ProtocolError('an AMF3 text is too long')
          const start = this.#need(length)
          const part = this.#bytes.subarray(start, start + length)
          const value = marker === markers.byteArray ? part : part.toString('utf8')
          this.#objects.push(value)
          return value
        })
      case markers.date:
        return this.#referable(() => {
          const value = new Date(this.#bytes.readDoubleBE(this.#need(8)))
          this.#objects.push(value)
          return value
        })
      case markers.array:
        return this.#referable((count) => this.#array(count, depth))
      case markers.object:
        return this.#referable((header) => this.#object(header, depth))
      default:
        throw new ProtocolError('AMF3 has an unknown marker')
    }
  }

  #referable(read: (header: number) => AmfValue): AmfValue {
    const header = this.#uint29()
    if ((header & 1) === 1) return read(header >> 1)
    if (header >> 1 >= this.#objects.length) throw new ProtocolError('AMF3 refers to an unknown object')
    return this.#objects[header >> 1]
  }

  #array(count: number, depth: number): AmfValue {
    const named: AmfObject = new Map()
    const dense: AmfValue[] = []
    const index = this.#objects.push(dense) - 1
    for (let name = this.#text(); name !== ''; name = this.#text()) named.set(name, this.value(depth + 1))
    if (named.size > 0) this.#objects[index] = named
    for (let at = 0; at < count; at++) {
      const value = this.value(depth + 1)
      if (named.size > 0) named.set(String(at), value)
      else dense.push(value)
    }
    return named.size > 0 ? named : dense
  }

  #object(header: number, depth: number): AmfValue {
    const traits = this.#traitsOf(header)
    const object: AmfObject = new Map()
    this.#objects.push(object)
    for (const name of traits.names) object.set(name, this.value(depth + 1))
    if (traits.dynamic)
      for (let name = this.#text(); name !== ''; name = this.#text()) object.set(name, this.value(depth + 1))
    return object
  }

  #traitsOf(header: number): Traits {
    if ((header & 1) === 0) {
      const known = this.#traits[header >> 1]
      if (known === undefined) throw new ProtocolError('AMF3 refers to an unknown class')
      return known
    }
    if ((header & 2) !== 0) throw new ProtocolError('AMF3 has an externalizable class')
    const dynamic = (header & 4) !== 0
    const count = header >> 3
    this.#text()
    if (count > this.#limits.itemsMax) throw new ProtocolError('AMF3 has too many members')
    const names: string[] = []
    for (let index = 0; index < count; index++) names.push(this.#text())
    const traits = { names, dynamic }
    this.#traits.push(traits)
    return traits
  }
}
