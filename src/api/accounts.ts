import type { AccountId } from '../model/id.ts'
import type { Secret } from '../secret.ts'

/** What a route does to an account's inputs: Cloudflare's scopes "Stream Read" and "Stream Write" (which includes reading). */
export type Right = 'read' | 'write'

/** Who asks, found from a token: what the routes need to know and no more. */
export interface Principal {
  mayUse(account: AccountId, right: Right): boolean
}

/** The accounts of this server and who may use them. */
export interface Accounts {
  /** @returns undefined when the token belongs to nobody, or no longer. Compares in constant time. */
  principalOfToken(token: string): Promise<Principal | undefined>
}

/** The one account that every server has, and the token that has all rights in it (API_TOKEN, or the generated one). */
export function firstAccount(account: AccountId, token: Secret): Accounts {
  const owner: Principal = { mayUse: (asked) => asked === account }
  return { principalOfToken: async (presented) => (token.equals(presented) ? owner : undefined) }
}
