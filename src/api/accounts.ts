import type { AccountId, TokenId } from '../model/id.ts'

/**
 * What a route does. `read` and `write`: to an account's live inputs, Cloudflare's scopes "Stream Read" and "Stream Write" (which
 * includes reading). `manage`: to its tokens, "Account API Tokens Write". `any`: what whoever has some right in it may see.
 */
export type Right = 'read' | 'write' | 'manage' | 'any'

/** Who asks, found from a token: what the routes need to know and no more. */
export interface Principal {
  /** The token's: the same at each request, and no secret. What requests are counted by, and what a log of changes names. */
  readonly id: TokenId
  readonly name: string
  /** ISO 8601 */
  readonly expires?: string
  /** Where it came with the cookie of the dashboard: tells sessions apart, and is no secret. */
  readonly session?: string
  /**
   * Whether the right is there now: false from the moment in which the token was revoked or has expired, and for an account that does
   * not exist. Whoever serves one request for long asks again.
   * @param where `all`: in every account, those to come too.
   */
  mayUse(where: AccountId | 'all', right: Right): boolean
}

/** Who may use the accounts of this server. */
export interface Accounts {
  /** @returns undefined when the token belongs to nobody, or no longer. Compares in constant time. */
  principalOfToken(token: string): Principal | undefined
  /** The same for X-Auth-Email with X-Auth-Key. */
  principalOfKey(email: string, key: string): Principal | undefined
}
