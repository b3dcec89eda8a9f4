import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import Cloudflare, { AuthenticationError, PermissionDeniedError } from 'cloudflare'
import type { ApiDescription } from '../../src/api/openapi.ts'
import type { Route } from '../../src/api/server.ts'
import { startApi } from '../support/api-fixture.ts'
import { DescribedAnswers } from '../support/described-answers.ts'
import { accountIdOfTests, type ServerUnderTest, startServer, tokenOfTests } from '../support/server.ts'

/** Two accounts, tokens with different rights, and every route that the API has: exactly what is allowed works. */

const timeout = 180_000
const unknownId = 'f'.repeat(32)
const one = accountIdOfTests
let two: string
let server: ServerUnderTest
let routes: readonly Route[]
let described: DescribedAnswers
let key: { readonly email: string; readonly value: string }

type Scope = 'Stream Read' | 'Stream Write' | 'Account API Tokens Write'
type Right = 'read' | 'write' | 'manage' | 'any'
type Token = {
  readonly name: string
  readonly text: string
  /** undefined: in all. */
  readonly account: string | undefined
  readonly rights: readonly Right[]
}
let tokens: Record<'readsOne' | 'writesTwo' | 'readsAll' | 'managesOne' | 'owner', Token>

before(async () => {
  server = await startServer()
  await using api = await startApi()
  routes = api.api.routes
  const description = await fetch(`${server.origin}/openapi.json`, { headers: { connection: 'close' } })
  described = new DescribedAnswers((await description.json()) as ApiDescription)
  const made = await server.api<{ id: string; key: typeof key }>('POST', '/client/v4/accounts', {
    name: 'Two',
    email: 'ada@example.com',
  })
  two = made.json.result.id
  key = made.json.result.key
  const token = async (name: string, account: string, scope: Scope, rights: readonly Right[], isForAll = false) => {
    const body = { name, scopes: [scope], all_accounts: isForAll }
    const { status, json } = await server.api<{ value: string }>('POST', `/client/v4/accounts/${account}/tokens`, body)
    assert.equal(status, 200)
    return { name, text: json.result.value, account: isForAll ? undefined : account, rights }
  }
  tokens = {
    readsOne: await token('reads one', one, 'Stream Read', ['any', 'read']),
    writesTwo: await token('writes two', two, 'Stream Write', ['any', 'read', 'write']),
    readsAll: await token('reads all', one, 'Stream Read', ['any', 'read'], true),
    managesOne: await token('manages one', one, 'Account API Tokens Write', ['any', 'manage']),
    owner: { name: 'API_TOKEN', text: tokenOfTests, account: undefined, rights: ['any', 'read', 'write', 'manage'] },
  }
})
after(() => server[Symbol.asyncDispose]())

type Outcome = { readonly status: number; readonly code: number | undefined }

/** Each answer is held against /openapi.json. One that goes on for ever (events, a preview) counts from its headers on. */
async function ask(method: string, path: string, headers: Record<string, string>): Promise<Outcome> {
  const leaving = new AbortController()
  const answer = await fetch(server.origin + path, {
    method,
    headers: { ...headers, connection: 'close' },
    ...(method !== 'GET' && method !== 'HEAD' && { body: '{}' }),
    redirect: 'manual',
    signal: leaving.signal,
  })
  const isJson = method !== 'HEAD' && (answer.headers.get('content-type')?.includes('application/json') ?? false)
  const text = isJson ? await answer.text() : ''
  leaving.abort()
  if (isJson && path.startsWith('/client/v4/')) described.check(method, path, answer.status, text)
  const body = text === '' ? undefined : (JSON.parse(text) as { errors?: { code: number }[] })
  return { status: answer.status, code: body?.errors?.[0]?.code }
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

async function newInput(account: string): Promise<{ input: string; output: string }> {
  const inputs = `/client/v4/accounts/${account}/stream/live_inputs`
  const input = (await server.api<{ uid: string }>('POST', inputs, {})).json.result.uid
  const body = { url: 'rtmp://127.0.0.1:9/live', streamKey: 'key', enabled: false }
  const output = (await server.api<{ uid: string }>('POST', `${inputs}/${input}/outputs`, body)).json.result.uid
  return { input, output }
}

function pathOf(route: Route, ids: { account: string; input: string; output: string }): string {
  const known: Record<string, string> = { account_id: ids.account, input_id: ids.input, output_id: ids.output }
  return route.path.replace(/:(\w+)/g, (_, name: string) => known[name] ?? unknownId).replace('*', 'x')
}

/** Who may use a route that is below no account. Everything below one is for its own tokens. */
const open = [
  /^\/healthz$/,
  /^\/readyz$/,
  /^\/metrics$/,
  /^\/:input_uid\/lifecycle$/,
  /^\/openapi\.json$/,
  /^\/docs(\/|$)/,
]

/** `session`: asked with the cookie that it gives and takes, whatever token comes along. */
function needed({ method, path }: Route): 'open' | 'session' | 'token' | 'manageAll' | Right {
  const isReading = method === 'GET' || method === 'HEAD'
  if (method === 'OPTIONS' || open.some((pattern) => pattern.test(path))) return 'open'
  if (path === '/client/v4/user/tokens/verify' || path === '/client/v4/user/sign_in_links') return 'token'
  if (path === '/dashboard/session') return 'session'
  if (path.startsWith('/dashboard/')) return isReading && path.includes(':account_id') ? 'read' : 'token'
  if (path === '/client/v4/accounts') return isReading ? 'token' : 'manageAll'
  if (path === '/client/v4/accounts/:account_id') return 'any'
  if (path.startsWith('/client/v4/accounts/:account_id/tokens')) return 'manage'
  if (path.startsWith('/client/v4/accounts/:account_id/')) return isReading ? 'read' : 'write'
  // The dashboard's files hold nothing of anybody's.
  if (isReading && (path === '/' || path === '/assets/*' || path === '/:dashboard_file')) return 'open'
  return assert.fail(`${method} ${path} is a new route: say here who may use it`)
}

function isAllowed(route: Route, token: Token, account: string): boolean {
  const right = needed(route)
  if (right === 'session') return false
  if (right === 'open' || right === 'token') return true
  if (right === 'manageAll') return token.account === undefined && token.rights.includes('manage')
  return (token.account ?? account) === account && token.rights.includes(right)
}

test('every route lets exactly those in who may use it', { timeout }, async () => {
  assert(routes.length > 50)
  const wrong: string[] = []
  const shared = { [one]: await newInput(one), [two]: await newInput(two) }
  for (const route of routes) {
    const hasAccount = route.path.includes(':account_id')
    const asking = (hasAccount ? [one, two] : [one]).flatMap((account) =>
      Object.values(tokens).map(async (token) => {
        const allowed = isAllowed(route, token, account)
        const mayEnd = allowed && route.path.includes(':input_id') && !['GET', 'HEAD', 'OPTIONS'].includes(route.method)
        const ids = { account, ...(mayEnd ? await newInput(account) : shared[account]!) }
        const { status, code } = await ask(route.method, pathOf(route, ids), bearer(token.text))
        const isIn = status !== 401 && status !== 403 && status < 500
        const isOut =
          needed(route) === 'session'
            ? status === 401 || status === 405 || (status === 403 && code === 11403)
            : status === 403 && (code === 10000 || route.method === 'HEAD')
        const where = account === one ? 'one' : 'two'
        if (allowed ? !isIn : !isOut)
          wrong.push(`${route.method} ${route.path} in ${where}, ${token.name}: ${status} ${code}`)
      }),
    )
    await Promise.all(asking)
  }
  assert.deepEqual(wrong, [])
})

test('no route but the open ones answers without a token, or with a bad one', { timeout }, async () => {
  const wrong: string[] = []
  const ids = { account: one, ...(await newInput(one)) }
  for (const route of routes) {
    if (needed(route) === 'open' || needed(route) === 'session') continue
    const isVerify = route.path.endsWith('/tokens/verify') && ['GET', 'HEAD'].includes(route.method)
    for (const [headers, expected] of [
      [{}, [400, 9106]],
      [bearer('bad'), isVerify ? [401, 1000] : [403, 10000]],
      [{ authorization: 'Basic eDp5' }, [400, 6003]],
      [{ 'x-auth-email': key.email, 'x-auth-key': '0'.repeat(64) }, isVerify ? [401, 1000] : [403, 10000]],
    ] as const) {
      const { status, code } = await ask(route.method, pathOf(route, ids), headers as Record<string, string>)
      const isRight = status === expected[0] && (code === expected[1] || route.method === 'HEAD')
      if (!isRight) wrong.push(`${route.method} ${route.path} ${JSON.stringify(headers)}: ${status} ${code}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('what is in one account cannot be seen or touched by way of another', { timeout }, async () => {
  const victim = await newInput(one)
  const own = await newInput(two)
  const seen = async () => [
    (await server.api('GET', `/${victim.input}`)).json,
    (await server.api('GET', `/${victim.input}/outputs`)).json,
  ]
  const untouched = await seen()
  const wrong: string[] = []
  for (const route of routes.filter(
    ({ path }) => path.startsWith('/client/v4/accounts/:account_id/') && path.includes(':input_id'),
  ))
    for (const ids of [
      { account: two, ...victim },
      ...(route.path.includes(':output_id') ? [{ account: two, input: own.input, output: victim.output }] : []),
    ]) {
      if (route.method === 'OPTIONS') continue
      const { status, code } = await ask(route.method, pathOf(route, ids), bearer(tokens.writesTwo.text))
      const isHidden = status === 404 && (code === 10003 || route.method === 'HEAD')
      // A body that is wrong may be told first: that says nothing of what exists.
      const isBlind = status === 405 || (status === 400 && (await isSameForUnknown(route, ids)))
      if (!isHidden && !isBlind) wrong.push(`${route.method} ${route.path}: ${status} ${code}`)
    }
  assert.deepEqual(wrong, [])
  assert.deepEqual(await seen(), untouched)

  const path = `/client/v4/accounts/${two}/stream/live_inputs`
  const list = await fetch(server.origin + path, { headers: { ...bearer(tokens.writesTwo.text), connection: 'close' } })
  const { result } = (await list.json()) as { result: { uid: string }[] }
  assert(result.some(({ uid }) => uid === own.input))
  assert(result.every(({ uid }) => uid !== victim.input))
})

/** Whether an id that nobody has gets the same answer. */
async function isSameForUnknown(route: Route, { account }: { account: string }): Promise<boolean> {
  const ids = { account, input: unknownId, output: unknownId }
  return (await ask(route.method, pathOf(route, ids), bearer(tokens.writesTwo.text))).status === 400
}

/** The official package, which sends each request once. */
function sdk(options: ConstructorParameters<typeof Cloudflare>[0]): Cloudflare {
  return new Cloudflare({
    baseURL: server.baseUrl,
    maxRetries: 0,
    apiToken: null,
    apiKey: null,
    apiEmail: null,
    fetch: (url, init) => server.fetch(url, init),
    ...options,
  })
}

test('the official SDK: accounts page by page, verification of tokens, e-mail and key', { timeout }, async () => {
  const owner = sdk({ apiToken: tokenOfTests })
  const names: string[] = []
  for await (const account of owner.accounts.list({ per_page: 1 })) names.push(account.name)
  assert.deepEqual(names, ['First account', 'Two'])
  assert.equal((await owner.accounts.get({ account_id: two })).name, 'Two')
  assert.equal((await owner.user.tokens.verify())?.status, 'active')

  const writer = sdk({ apiToken: tokens.writesTwo.text })
  assert.equal((await writer.user.tokens.verify())?.status, 'active')
  const input = await writer.stream.liveInputs.create({ account_id: two })
  await assert.rejects(writer.stream.liveInputs.get(input.uid!, { account_id: one }), PermissionDeniedError)
  await assert.rejects(sdk({ apiToken: 'bad' }).user.tokens.verify(), AuthenticationError)

  const person = sdk({ apiKey: key.value, apiEmail: key.email })
  assert.equal((await person.stream.liveInputs.get(input.uid!, { account_id: two })).uid, input.uid)
  await assert.rejects(person.stream.liveInputs.create({ account_id: one }), PermissionDeniedError)
  await assert.rejects(
    sdk({ apiKey: key.value, apiEmail: 'eve@example.com' }).stream.liveInputs.list({ account_id: two }),
    PermissionDeniedError,
  )
})

test('tokens survive kill -9, a revoked one does not come back, and no file holds the text of any', {
  timeout,
}, async () => {
  const path = `/client/v4/accounts/${one}/tokens`
  const make = async () =>
    (await server.api<{ id: string; value: string }>('POST', path, { name: 'x', scopes: ['Stream Read'] })).json.result
  const [kept, revoked] = [await make(), await make()]
  assert.equal((await server.api('DELETE', `${path}/${revoked.id}`)).status, 200)
  await server.restart('SIGKILL')
  const inputs = `/client/v4/accounts/${one}/stream/live_inputs`
  assert.deepEqual(await ask('GET', inputs, bearer(kept.value)), { status: 200, code: undefined })
  assert.deepEqual(await ask('GET', inputs, bearer(revoked.value)), { status: 403, code: 10000 })
  assert.deepEqual(await ask('GET', inputs, bearer(tokens.readsOne.text)), { status: 200, code: undefined })

  const secrets = [kept.value, revoked.value, key.value, tokenOfTests, ...Object.values(tokens).map(({ text }) => text)]
  const files = await readdir(server.dataDir)
  assert(files.includes('stream-connect.sqlite'))
  for (const file of files) {
    const bytes = await readFile(join(server.dataDir, file))
    for (const secret of secrets) assert(!bytes.includes(secret), `${file} holds a token`)
  }
  const log = JSON.stringify(server.log)
  for (const secret of secrets) assert(!log.includes(secret), 'the log holds a token')
})
