import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** 32 hex characters, as Cloudflare's. */
export type LiveInputId = Branded<'LiveInputId'>
export type OutputId = Branded<'OutputId'>
export type AccountId = Branded<'AccountId'>
export type TokenId = Branded<'TokenId'>

const hex32 = /^[0-9a-f]{32}$/

export function isId(text: string): boolean {
  return hex32.test(text)
}

export function newLiveInputId(): LiveInputId {
  return randomBytes(16).toString('hex') as LiveInputId
}

export function newOutputId(): OutputId {
  return randomBytes(16).toString('hex') as OutputId
}

export function newAccountId(): AccountId {
  return randomBytes(16).toString('hex') as AccountId
}

export function newTokenId(): TokenId {
  return randomBytes(16).toString('hex') as TokenId
}
