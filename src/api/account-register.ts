import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { isCoded } from '../errors.ts'
import {
  type AccessToken,
  decodeToken,
  encodeToken,
  hashOfToken,
  newKeyText,
  newTokenText,
  type Scope,
  tokenKey,
  tokenPrefix,
} from '../model/access-token.ts'
import { type Account, accountKey, accountPrefix, decodeAccount, encodeAccount } from '../model/account.ts'
import { type AccountId, newAccountId, newTokenId, type TokenId } from '../model/id.ts'
import type { Secret } from '../secret.ts'
import type { Entry, Revision, Store } from '../store/store.ts'
import type { Accounts, Principal, Right } from './accounts.ts'
import { Deadline, storeDeadlineMs } from './deadline.ts'
import { invalid, notFound } from './envelope.ts'
import { Follow } from './follow.ts'
import type { ApiLog } from './log.ts'

/** The account that every server has, and the token with all rights in all accounts (API_TOKEN, or the generated one). */
export type FirstAccount = { readonly account: AccountId; readonly token: Secret }

/** All are kept in memory, and nobody has so many: a program that makes them in a loop ends here. */
const accountsMax = 10_000
const tokensPerAccountMax = 1_000

/** How often the last use of a token is written at most. */
const lastUsedWriteMs = 60_000

/** Names no document: API_TOKEN is neither stored nor printed, and its id must tell nothing of it. */
export const firstTokenId = '0'.repeat(32) as TokenId

const rightsOf: Readonly<Record<Scope, readonly Right[]>> = {
  'Stream Read': ['any', 'read'],
  'Stream Write': ['any', 'read', 'write'],
  'Account API Tokens Write': ['any', 'manage'],
}

/** What the key of a person may do, in one account. */
export const keyScopes: readonly Scope[] = ['Stream Write', 'Account API Tokens Write']

type StoredToken = {
  token: AccessToken
  revision: Revision
  readonly hash: Buffer
  /** Milliseconds since 1970; the document may be older. */
  lastUsedAt: number | undefined
  lastUsedWrittenAt: number
}

/** What a new token shall be. */
export type TokenWish = Pick<AccessToken, 'name' | 'account' | 'scopes' | 'expires'>

/**
 * The accounts and tokens of this server: in the store, and in memory as the store's watch tells them. The first account and the
 * token with all rights come from the settings and are not stored.
 *
 * Lives from `start()` until the signal given there aborts.
 */
export class AccountRegister implements Accounts {
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: ApiLog
  readonly #first: FirstAccount
  readonly #accounts = new Map<AccountId, Account>()
  readonly #tokens = new Map<TokenId, StoredToken>()
  /** By the beginning of the hash: what a stranger presents says nothing about where it is looked for. */
  readonly #byHash = new Map<string, Set<StoredToken>>()
  readonly #followAccounts: Follow
  readonly #followTokens: Follow

  constructor(options: { store: Store; clock: Clock; log: ApiLog; first: FirstAccount }) {
    this.#store = options.store
    this.#clock = options.clock
    this.#log = options.log
    this.#first = options.first
    this.#followAccounts = new Follow(accountPrefix, {
      put: (entry) => this.#putAccount(entry),
      delete: (key) => this.#accounts.delete(idIn(key) as AccountId),
    })
    this.#followTokens = new Follow(tokenPrefix, {
      put: (entry) => this.#putToken(entry),
      delete: (key) => this.#forget(idIn(key) as TokenId),
    })
  }

  /** Resolves when all accounts and tokens are known; goes on following the store until the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const follows = [this.#followAccounts, this.#followTokens]
    for (const follow of follows) void follow.keepRunning(this.#store, this.#clock, this.#log, signal)
    await Promise.all(follows.map((follow) => follow.firstUpToDate))
  }

  isCurrent(): boolean {
    return this.#followAccounts.isCurrent && this.#followTokens.isCurrent
  }

  principalOfToken(text: string): Principal | undefined {
    const stored = this.#find(text, 'token')
    return this.#first.token.equals(text) ? this.#owner() : stored && this.#use(stored)
  }

  /** Who has shown this token before. @returns undefined when it was revoked meanwhile, or has expired. */
  principalOf(id: TokenId): Principal | undefined {
    if (id === firstTokenId) return this.#owner()
    const stored = this.#tokens.get(id)
    return stored && !this.hasExpired(stored.token) ? this.#use(stored) : undefined
  }

  principalOfKey(email: string, key: string): Principal | undefined {
    const stored = this.#find(key.toLowerCase(), 'key')
    return stored?.token.email === email.toLowerCase() ? this.#use(stored) : undefined
  }

  /** The first account first, then in the order in which they were made. */
  accounts(): Account[] {
    const { account: first } = this.#first
    const others = [...this.#accounts.values()].filter(({ id }) => id !== first)
    others.sort((a, b) => compare(`${a.created} ${a.id}`, `${b.created} ${b.id}`))
    return [this.account(first)!, ...others]
  }

  account(id: AccountId): Account | undefined {
    return this.#accounts.get(id) ?? (id === this.#first.account ? { id, name: 'First account' } : undefined)
  }

  /** @throws Refusal when there are too many; the store's. */
  async createAccount(name: string): Promise<Account> {
    if (this.#accounts.size >= accountsMax)
      throw invalid('', `This server has ${accountsMax} accounts, the most that it may have.`)
    const account: Account = { id: newAccountId(), name, created: this.#now() }
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const key = accountKey(account.id)
    const revision = await deadline.race(this.#store.put(key, encodeAccount(account), 'absent'))
    await deadline.race(this.#followAccounts.reached(key, revision))
    return account
  }

  /** Those of one account, or those with rights in all; in the order in which they were made. `lastUsed` is exact. */
  tokens(account: AccountId | 'all'): AccessToken[] {
    return [...this.#tokens.values()]
      .filter(({ token }) => token.account === account)
      .map(({ token, lastUsedAt }) =>
        lastUsedAt === undefined ? token : { ...token, lastUsed: new Date(lastUsedAt).toISOString() },
      )
      .sort((a, b) => compare(`${a.created} ${a.id}`, `${b.created} ${b.id}`))
  }

  token(id: TokenId): AccessToken | undefined {
    return this.#tokens.get(id)?.token
  }

  hasExpired({ expires }: Pick<AccessToken, 'expires'>): boolean {
    return expires !== undefined && this.#clock.now() >= Date.parse(expires)
  }

  /** @returns the text, which is known here and nowhere else. @throws Refusal when there are too many; the store's. */
  async createToken(wish: TokenWish): Promise<{ token: AccessToken; text: Secret }> {
    return this.#create({ ...wish, kind: 'token' }, newTokenText())
  }

  /** The one key of a person: all rights in one account. @throws as createToken. */
  async createKey(account: AccountId, email: string): Promise<{ token: AccessToken; text: Secret }> {
    return this.#create(
      {
        kind: 'key',
        name: `Key of ${email}`,
        account,
        email: email.toLowerCase(),
        scopes: keyScopes,
      },
      newKeyText(),
    )
  }

  /** When it resolves, the token opens nothing any more. @throws Refusal 10003; the store's. */
  async revoke(id: TokenId): Promise<void> {
    const key = tokenKey(id)
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    try {
      const revision = await deadline.race(this.#store.delete(key, 'any'))
      await deadline.race(this.#followTokens.reached(key, revision))
    } catch (error) {
      throw isCoded(error, 'revision_conflict') ? notFound('token', id) : error
    }
  }

  async #create(
    wish: Omit<AccessToken, 'id' | 'hash' | 'created' | 'lastUsed'>,
    text: Secret,
  ): Promise<{ token: AccessToken; text: Secret }> {
    const count = this.tokens(wish.account).length
    if (count >= tokensPerAccountMax)
      throw invalid('', `There are ${tokensPerAccountMax} tokens already, the most that may be. Revoke some.`)
    const token: AccessToken = { ...wish, id: newTokenId(), hash: hashOfToken(text.reveal()), created: this.#now() }
    const key = tokenKey(token.id)
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const revision = await deadline.race(this.#store.put(key, encodeToken(token), 'absent'))
    await deadline.race(this.#followTokens.reached(key, revision))
    return { token, text }
  }

  #find(text: string, kind: AccessToken['kind']): StoredToken | undefined {
    const hash = hashOfToken(text)
    const presented = Buffer.from(hash, 'hex')
    let found: StoredToken | undefined
    for (const stored of this.#byHash.get(placeOf(hash)) ?? [])
      if (timingSafeEqual(stored.hash, presented) && stored.token.kind === kind) found = stored
    return found && !this.hasExpired(found.token) ? found : undefined
  }

  #owner(): Principal {
    return {
      id: firstTokenId,
      name: 'API_TOKEN',
      mayUse: (where) => where === 'all' || this.account(where) !== undefined,
    }
  }

  #use(stored: StoredToken): Principal {
    stored.lastUsedAt = this.#clock.now()
    if (stored.lastUsedAt - stored.lastUsedWrittenAt >= lastUsedWriteMs) this.#writeLastUse(stored, stored.lastUsedAt)
    const { id, name, account, scopes, expires } = stored.token
    return {
      id,
      name,
      ...(expires !== undefined && { expires }),
      mayUse: (where, right) =>
        this.#tokens.has(id) &&
        !this.hasExpired(stored.token) &&
        (account === 'all' || account === where) &&
        (where === 'all' || this.account(where) !== undefined) &&
        scopes.some((scope) => rightsOf[scope].includes(right)),
    }
  }

  /** Nobody waits for it, and it may be lost. A token that is revoked meanwhile stays revoked: its revision has gone. */
  #writeLastUse(stored: StoredToken, usedAt: number): void {
    stored.lastUsedWrittenAt = usedAt
    const value = encodeToken({ ...stored.token, lastUsed: new Date(usedAt).toISOString() })
    this.#store
      .put(tokenKey(stored.token.id), value, stored.revision, { durability: 'relaxed' })
      .catch((error: unknown) => {
        if (isCoded(error, 'revision_conflict') || isCoded(error, 'store_closed')) return
        this.#log.warn({ tokenId: stored.token.id, err: error }, 'the last use of a token could not be written')
      })
  }

  #putAccount({ key, value, revision }: Entry): void {
    try {
      this.#accounts.set(idIn(key) as AccountId, decodeAccount(value))
    } catch (error) {
      this.#accounts.delete(idIn(key) as AccountId)
      this.#log.error({ key, revision, err: error }, 'a stored account cannot be read; nobody can use it')
    }
  }

  #putToken({ key, value, revision }: Entry): void {
    const id = idIn(key) as TokenId
    const before = this.#tokens.get(id)
    this.#forget(id)
    try {
      const token = decodeToken(value)
      const written = token.lastUsed === undefined ? undefined : Date.parse(token.lastUsed)
      const stored: StoredToken = {
        token,
        revision,
        hash: Buffer.from(token.hash, 'hex'),
        lastUsedAt: before?.lastUsedAt ?? written,
        lastUsedWrittenAt: Math.max(before?.lastUsedWrittenAt ?? 0, written ?? 0),
      }
      this.#tokens.set(id, stored)
      const place = placeOf(token.hash)
      this.#byHash.set(place, (this.#byHash.get(place) ?? new Set()).add(stored))
    } catch (error) {
      this.#log.error({ key, revision, err: error }, 'a stored token cannot be read; it opens nothing')
    }
  }

  #forget(id: TokenId): void {
    const stored = this.#tokens.get(id)
    if (stored === undefined) return
    this.#tokens.delete(id)
    const place = placeOf(stored.token.hash)
    const neighbours = this.#byHash.get(place)
    neighbours?.delete(stored)
    if (neighbours?.size === 0) this.#byHash.delete(place)
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString()
  }
}

function idIn(key: string): string {
  return key.slice(key.indexOf('.') + 1)
}

function placeOf(hash: string): string {
  return hash.slice(0, 16)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
