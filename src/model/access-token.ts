import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { Secret } from '../secret.ts'
import type { AccountId, TokenId } from './id.ts'

/** What a token permits, in Cloudflare's words ("permission groups"). Stream Write includes reading. */
export const scopes = ['Stream Read', 'Stream Write', 'Account API Tokens Write'] as const
export type Scope = (typeof scopes)[number]

/**
 * One token, or one key of a person (X-Auth-Email with X-Auth-Key). The text itself is shown once and kept nowhere: it has 256
 * random bits, so its plain SHA-256 tells nothing about it.
 */
export type AccessToken = {
  readonly id: TokenId
  readonly kind: 'token' | 'key'
  readonly name: string
  readonly account: AccountId | 'all'
  readonly scopes: readonly Scope[]
  /** Of a key, in lower case. */
  readonly email?: string
  /** SHA-256 of the text, 64 hex characters. */
  readonly hash: string
  /** ISO 8601, all three. From `expires` on it is refused. `lastUsed` is at most a minute late. */
  readonly created: string
  readonly expires?: string
  readonly lastUsed?: string
}

export const tokenPrefix = 'token'

export function tokenKey(id: TokenId): string {
  return `${tokenPrefix}.${id}`
}

/** The prefix lets people and programs that search for leaked secrets tell what they have found. */
export function newTokenText(): Secret {
  return new Secret(`sct_${randomBytes(32).toString('base64url')}`)
}

/** Hexadecimal, as Cloudflare's global keys: programs check that before they send one. */
export function newKeyText(): Secret {
  return new Secret(randomBytes(32).toString('hex'))
}

/** 64 hex characters. */
export function hashOfToken(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

const tokenDocument = z.object({
  version: z.literal(1),
  id: z.string(),
  kind: z.enum(['token', 'key']),
  name: z.string(),
  account: z.string(),
  scopes: z.array(z.enum(scopes)),
  email: z.string().optional(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  created: z.string(),
  expires: z.string().optional(),
  lastUsed: z.string().optional(),
})

export function encodeToken(token: AccessToken): string {
  return JSON.stringify({ version: 1, ...token })
}

/** @throws Error when the document is not one: a token that cannot be read lets nobody in. */
export function decodeToken(value: string): AccessToken {
  const { version: _, ...document } = tokenDocument.parse(JSON.parse(value))
  return document as unknown as AccessToken
}
