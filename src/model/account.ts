import { z } from 'zod'
import type { AccountId } from './id.ts'

/** Whoever has live inputs of their own. Nobody of one account can see or touch what another has. */
export type Account = {
  readonly id: AccountId
  readonly name: string
  /** ISO 8601. The first account (ACCOUNT_ID) is there without a document, and has no date. */
  readonly created?: string
}

export const accountPrefix = 'account'

export function accountKey(id: AccountId): string {
  return `${accountPrefix}.${id}`
}

const accountDocument = z.object({
  version: z.literal(1),
  id: z.string(),
  name: z.string(),
  created: z.string().optional(),
})

export function encodeAccount(account: Account): string {
  return JSON.stringify({ version: 1, ...account })
}

/** @throws Error when the document is not one. */
export function decodeAccount(value: string): Account {
  const { version: _, ...document } = accountDocument.parse(JSON.parse(value))
  return document as unknown as Account
}
