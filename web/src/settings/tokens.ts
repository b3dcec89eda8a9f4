import { useQuery } from '@tanstack/react-query'
import type { WireCreatedToken, WireToken } from '../../../src/api/account-schemas.ts'
import type { Scope } from '../../../src/model/access-token.ts'
import { accountPath, call } from '../api/client.ts'
import { useChange } from '../api/queries.ts'

/** `last_used_on` is at most a minute late: more often need not be asked. */
const refreshMs = 30_000
/** Of one page; nobody has more that he looks at here. */
const tokensMax = 1_000

export const scopeWords: Readonly<Record<Scope, { readonly title: string; readonly meaning: string }>> = {
  'Stream Read': { title: 'Read', meaning: 'See live inputs and outputs, with their stream keys, and webhooks.' },
  'Stream Write': { title: 'Change', meaning: 'Create, change and delete them, too.' },
  'Account API Tokens Write': {
    title: 'Manage tokens',
    meaning: 'Create and revoke tokens with no more rights than its own.',
  },
}

const keyOf = (account: string) => ['tokens', account] as const

export function useTokens(account: string) {
  return useQuery({
    queryKey: keyOf(account),
    queryFn: async ({ signal }) =>
      (await call<readonly WireToken[]>(`${accountPath(account, 'tokens')}?per_page=${tokensMax}`, { signal })).result,
    refetchInterval: refreshMs,
  })
}

export type TokenWish = {
  readonly name: string
  readonly scopes: readonly Scope[]
  /** ISO 8601 */
  readonly expires_on?: string
}

export function useCreateToken(account: string) {
  return useChange({
    run: async (wish: TokenWish) =>
      (await call<WireCreatedToken>(accountPath(account, 'tokens'), { method: 'POST', body: wish })).result,
    done: ({ value: _, ...token }, _wish, patch) =>
      patch<readonly WireToken[]>(keyOf(account), (tokens) => [...tokens, token]),
    refresh: () => [keyOf(account)],
    failed: undefined,
  })
}

export function useRevokeToken(account: string) {
  return useChange({
    run: (token: WireToken) => call(accountPath(account, 'tokens', token.id), { method: 'DELETE' }),
    show: (token, patch) =>
      patch<readonly WireToken[]>(keyOf(account), (tokens) => tokens.filter(({ id }) => id !== token.id)),
    refresh: () => [keyOf(account)],
    failed: ({ name }) => `${name} was not revoked`,
  })
}
