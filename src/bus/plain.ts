import {
  busErrorCodes,
  CodedError,
  type ErrorCode,
  ingestErrorCodes,
  outputErrorCodes,
  startErrorCodes,
  storeErrorCodes,
} from '../errors.ts'
import type { Plain } from './bus.ts'

/**
 * A frozen copy, so that nobody can change what another sees, not even the sender.
 * @throws TypeError for what JSON cannot say (a Date, a class's object, a function): it would not survive every bus.
 */
export function plainCopy(value: unknown): Plain {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return value
    case 'object': {
      if (value === null) return null
      if (Array.isArray(value)) return Object.freeze(value.map(plainCopy))
      const prototype: unknown = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) {
        throw new TypeError(`a message of the bus is plain data, not ${value.constructor?.name ?? 'a class'}`)
      }
      // Once a second for each live input and its outputs: without a list of pairs for each object.
      const copy: Record<string, Plain> = {}
      for (const name of Object.keys(value)) {
        const field = (value as Readonly<Record<string, unknown>>)[name]
        if (field === undefined) continue
        const copied = plainCopy(field)
        // Assigned, this one name would be the prototype.
        if (name === '__proto__') Object.defineProperty(copy, name, { value: copied, enumerable: true })
        else copy[name] = copied
      }
      return Object.freeze(copy)
    }
    default:
      throw new TypeError(`a message of the bus is plain data, not ${typeof value}`)
  }
}

/** What of an error crosses the bus. */
export type WireError = { readonly code?: string; readonly message: string }

const codes = new Set(
  [outputErrorCodes, startErrorCodes, ingestErrorCodes, storeErrorCodes, busErrorCodes].flatMap(Object.keys),
)

export function toWireError(error: unknown): WireError {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message } = error
  return 'code' in error && typeof error.code === 'string' ? { code: error.code, message } : { message }
}

/** A CodedError where the code is one of ours; else an Error that has the code as a field. */
export function fromWireError({ code, message }: WireError): Error {
  if (code === undefined) return new Error(message)
  if (codes.has(code)) return new CodedError(code as ErrorCode, message)
  return Object.assign(new Error(message), { code })
}
