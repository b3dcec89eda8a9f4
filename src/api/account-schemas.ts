import { z } from 'zod'
import { scopes } from '../model/access-token.ts'
import type { TokenId } from '../model/id.ts'
import { accountParams, id, line, successOf } from './schemas.ts'

/** Accounts and tokens on the wire. Names are Cloudflare's where it has them (`created_on`, `issued_on`, `value`). */

const nameLengthMax = 200
const emailLengthMax = 254
const perPageMax = 1_000
const perPageDefault = 50

export const tokenParams = accountParams.extend({ token_id: id as unknown as z.ZodType<TokenId> })

function whole(max: number, fallback: number) {
  const sentence = `Must be a whole number from 1 to ${max}.`
  return z
    .string()
    .regex(/^[1-9]\d{0,8}$/, { error: sentence })
    .transform(Number)
    .refine((value) => value <= max, { error: sentence })
    .default(fallback)
    .meta({ description: `A whole number from 1 to ${max}; without it ${fallback}.` })
}

export const pageQuery = z.object({ page: whole(1_000_000, 1), per_page: whole(perPageMax, perPageDefault) })

/** Strict, both bodies: an `expires_on` that is misspelt would make a token that never expires. */
function strict<Shape extends z.ZodRawShape>(shape: Shape, example: string) {
  const names = Object.keys(shape).join(', ')
  return z.strictObject(shape, {
    error: ({ code }) =>
      code === 'unrecognized_keys'
        ? `Has ${names} and nothing else. Check the spelling.`
        : `The body must be a JSON object, for example ${example}.`,
  })
}

export const accountBody = strict(
  {
    name: line(nameLengthMax),
    email: z
      .string({ error: 'Must be an e-mail address.' })
      .max(emailLengthMax, { error: `Must have at most ${emailLengthMax} characters.` })
      .regex(/^[^@\s\p{C}]+@[^@\s\p{C}]+$/u, { error: 'Must be an e-mail address.' })
      .optional(),
  },
  '{"name": "Studio 2"}',
)

export const tokenBody = strict(
  {
    name: line(nameLengthMax),
    scopes: z
      .array(z.enum(scopes, { error: `Must be one of: ${scopes.join(', ')}.` }), {
        error: `Give a list with one or more of: ${scopes.join(', ')}.`,
      })
      .min(1, { error: `Give one or more of: ${scopes.join(', ')}.` })
      .max(20, { error: 'Name each scope once.' })
      .transform((named) => scopes.filter((scope) => named.includes(scope))),
    all_accounts: z.boolean({ error: 'Must be true or false.' }).optional(),
    expires_on: z.iso
      .datetime({ offset: true, error: 'Must be a time in ISO 8601, for example "2030-01-31T00:00:00Z", or null.' })
      .meta({ description: 'Yet to come, and before the year 10000; null: never.' })
      .nullish(),
  },
  '{"name": "Control room", "scopes": ["Stream Write"]}',
)

// Answers.

const time = z.iso.datetime()

const pageInfo = z.strictObject({
  page: z.int(),
  per_page: z.int(),
  count: z.int(),
  total_count: z.int(),
  total_pages: z.int(),
})

export function pageOf<Item extends z.ZodType>(item: Item) {
  return successOf(z.array(item)).extend({ result_info: pageInfo })
}

export const accountAnswer = z.strictObject({
  id,
  name: z.string(),
  type: z.literal('standard'),
  /** Absent for the first account. */
  created_on: time.optional(),
})
export type WireAccount = z.output<typeof accountAnswer>

/** `value` of the key: X-Auth-Key, with `email` as X-Auth-Email. Shown this once. */
export const createdAccount = accountAnswer.extend({
  key: z.strictObject({ id, email: z.string(), value: z.string() }).optional(),
})
export type WireCreatedAccount = z.output<typeof createdAccount>

export const tokenAnswer = z.strictObject({
  id,
  name: z.string(),
  /** A `key` goes with `email` into X-Auth-Key and X-Auth-Email; a `token` is a Bearer token. */
  kind: z.enum(['token', 'key']),
  email: z.string().optional(),
  status: z.enum(['active', 'expired']),
  scopes: z.array(z.enum(scopes)).readonly(),
  all_accounts: z.boolean(),
  issued_on: time,
  expires_on: time.optional(),
  last_used_on: time.optional(),
})
export type WireToken = z.output<typeof tokenAnswer>

/** `value`: the token itself, shown this once. */
export const createdToken = tokenAnswer.extend({ value: z.string() })
export type WireCreatedToken = z.output<typeof createdToken>

export const revokedToken = z.strictObject({ id })
export const verifiedToken = z.strictObject({ id, status: z.literal('active'), expires_on: time.optional() })
