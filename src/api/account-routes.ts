import type { AccessToken } from '../model/access-token.ts'
import type { Account } from '../model/account.ts'
import { type AccountRegister, keyScopes } from './account-register.ts'
import {
  accountAnswer,
  accountBody,
  createdAccount,
  createdToken,
  pageOf,
  pageQuery,
  revokedToken,
  tokenAnswer,
  tokenBody,
  tokenParams,
  verifiedToken,
  type WireAccount,
  type WireToken,
} from './account-schemas.ts'
import type { Right } from './accounts.ts'
import { authenticate, type Doors } from './auth.ts'
import { invalid, notAuthenticated, notFound, Refusal, success } from './envelope.ts'
import type { AccountRoutes, HttpRoutes } from './routes.ts'
import { accountParams, successOf } from './schemas.ts'

/** /accounts and /user/tokens/verify: what belongs to whoever asks, and to no one account. */
export function addUserRoutes(routes: HttpRoutes, register: AccountRegister): void {
  routes.get(
    '/accounts',
    { schema: { querystring: pageQuery, response: { 200: pageOf(accountAnswer) } } },
    ({ principal, query }) => {
      const usable = register.accounts().filter(({ id }) => principal.mayUse(id, 'any'))
      return page(usable.map(accountOnWire), query)
    },
  )

  routes.post(
    '/accounts',
    { schema: { body: accountBody, response: { 200: successOf(createdAccount) } }, config: { right: 'manage' } },
    async ({ body, principal }) => {
      // A key is a token that never expires: who asks for one gives away what he has, and no more. Asked before anything is made.
      const mayGiveKey =
        principal.expires === undefined && keyScopes.every((scope) => principal.mayUse('all', rightNeeded[scope]))
      if (body.email !== undefined && !mayGiveKey)
        throw tooMuchAsked(
          '/email',
          `A key never expires, and may do all in its account. Only a token without expiry that has ${keyScopes.join(' and ')} in all accounts can make one.`,
        )
      const account = await register.createAccount(body.name)
      if (body.email === undefined) return success(accountOnWire(account))
      const { token, text } = await register.createKey(account.id, body.email)
      return success({
        ...accountOnWire(account),
        key: { id: token.id, email: token.email ?? body.email, value: text.reveal() },
      })
    },
  )

  routes.get(
    '/user/tokens/verify',
    { schema: { response: { 200: successOf(verifiedToken) } } },
    ({ principal: { id, expires } }) =>
      success({ id, status: 'active' as const, ...(expires !== undefined && { expires_on: expires }) }),
  )
}

const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD'])

/** Who asks, for the routes above: each is for whoever has a token, unless its `right` says that it takes one in all accounts. */
export function authenticateUser(routes: HttpRoutes, doors: Doors): void {
  routes.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS') return
    try {
      request.principal = authenticate(request, doors)
    } catch (error) {
      // Cloudflare has a code of its own where the token itself is what is asked about.
      const isVerify = request.routeOptions.url?.endsWith('/tokens/verify') && readingMethods.has(request.method)
      if (isVerify && error instanceof Refusal && error.status === 403)
        throw new Refusal(401, [{ code: 1000, message: 'Invalid API Token' }])
      throw error
    }
    const { right } = request.routeOptions.config
    if (right !== undefined && !request.principal.mayUse('all', right)) throw notAuthenticated()
  })
}

const collection = '/accounts/:account_id/tokens'
const manage = { right: 'manage' } as const

/** Below one account: the account itself, and its tokens. */
export function addTokenRoutes(routes: AccountRoutes, register: AccountRegister): void {
  routes.get(
    '/accounts/:account_id',
    { schema: { params: accountParams, response: { 200: successOf(accountAnswer) } }, config: { right: 'any' } },
    ({ params: { account_id } }) => {
      const account = register.account(account_id)
      if (account === undefined) throw notAuthenticated()
      return success(accountOnWire(account))
    },
  )

  routes.get(
    collection,
    {
      schema: { params: accountParams, querystring: pageQuery, response: { 200: pageOf(tokenAnswer) } },
      config: manage,
    },
    ({ params: { account_id }, principal, query }) => {
      // Who has rights in one account need not know who has them in all.
      const ofAll = principal.mayUse('all', 'manage') ? register.tokens('all') : []
      return page(
        [...ofAll, ...register.tokens(account_id)].map((token) => tokenOnWire(token, register)),
        query,
      )
    },
  )

  routes.post(
    collection,
    {
      schema: { params: accountParams, body: tokenBody, response: { 200: successOf(createdToken) } },
      config: manage,
    },
    async ({ params: { account_id }, body, principal }) => {
      const account = body.all_accounts ? 'all' : account_id
      const expires = body.expires_on == null ? undefined : expiryOf(body.expires_on)
      if (expires !== undefined && register.hasExpired({ expires }))
        throw invalid('/expires_on', 'Must be a time that is yet to come.')
      if (!body.scopes.every((scope) => principal.mayUse(account, rightNeeded[scope])))
        throw tooMuchAsked('/scopes', 'A token can give no rights, and none in more accounts, than it has itself.')
      if (principal.expires !== undefined && (expires === undefined || outlives(expires, principal.expires)))
        throw tooMuchAsked(
          '/expires_on',
          `A token can make none that outlives it; this one expires ${principal.expires}.`,
        )
      const { token, text } = await register.createToken({
        name: body.name,
        account,
        scopes: body.scopes,
        ...(expires !== undefined && { expires }),
      })
      return success({ ...tokenOnWire(token, register), value: text.reveal() })
    },
  )

  routes.delete(
    `${collection}/:token_id`,
    { schema: { params: tokenParams, response: { 200: successOf(revokedToken) } }, config: manage },
    async ({ params: { account_id, token_id }, principal }) => {
      const token = register.token(token_id)
      const isSeen = token?.account === account_id || (token?.account === 'all' && principal.mayUse('all', 'manage'))
      if (!isSeen) throw notFound('token', token_id)
      await register.revoke(token_id)
      return success({ id: token_id })
    },
  )
}

const rightNeeded: Readonly<Record<AccessToken['scopes'][number], Right>> = {
  'Stream Read': 'read',
  'Stream Write': 'write',
  'Account API Tokens Write': 'manage',
}

/** From this moment on, ISO 8601 writes a year with a sign and six digits, which not every reader of ours or of a client takes. */
const expiryMsEnd = Date.parse('+010000-01-01T00:00:00Z')

/** @returns the same moment, in UTC. */
function expiryOf(sent: string): string {
  const atMs = Date.parse(sent)
  if (!(atMs < expiryMsEnd)) throw invalid('/expires_on', 'Must be a time before the year 10000, in UTC; null: never.')
  return new Date(atMs).toISOString()
}

/** As times, not as texts: those have more than one spelling. */
function outlives(expires: string, other: string): boolean {
  return Date.parse(expires) > Date.parse(other)
}

function tooMuchAsked(pointer: string, message: string): Refusal {
  return new Refusal(403, [{ code: 10000, message, source: { pointer } }])
}

function accountOnWire({ id, name, created }: Account): WireAccount {
  return { id, name, type: 'standard', ...(created !== undefined && { created_on: created }) }
}

function tokenOnWire(token: AccessToken, register: AccountRegister): WireToken {
  const { id, name, kind, email, scopes, account, created, expires, lastUsed } = token
  return {
    id,
    name,
    kind,
    ...(email !== undefined && { email }),
    status: register.hasExpired(token) ? 'expired' : 'active',
    scopes,
    all_accounts: account === 'all',
    issued_on: created,
    ...(expires !== undefined && { expires_on: expires }),
    ...(lastUsed !== undefined && { last_used_on: lastUsed }),
  }
}

/** Cloudflare's SDKs ask for page after page until one is empty. */
function page<Item>(all: readonly Item[], query: { readonly page: number; readonly per_page: number }) {
  const items = all.slice((query.page - 1) * query.per_page, query.page * query.per_page)
  return {
    ...success(items),
    result_info: {
      page: query.page,
      per_page: query.per_page,
      count: items.length,
      total_count: all.length,
      total_pages: Math.ceil(all.length / query.per_page),
    },
  }
}
