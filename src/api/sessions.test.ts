import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { test } from 'node:test'
import { generate } from 'selfsigned'
import { type ApiFixture, account, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import type { LiveInputId, TokenId } from '../model/id.ts'
import { inputStateSubject } from '../model/status.ts'
import { firstTokenId } from './account-register.ts'
import type { WireCreatedToken } from './account-schemas.ts'
import type { DashboardSession } from './dashboard-types.ts'
import { SignInAttempts } from './session-attempts.ts'
import { Sessions, sessionDurationMsMax, sessionIdleMsMax } from './sessions.ts'

const sessionPath = '/dashboard/session'
const tokensPath = `/client/v4/accounts/${account}/tokens`
/** As a browser sends it from the dashboard's own page. */
const ours = { 'x-stream-connect': 'dashboard', 'sec-fetch-site': 'same-origin' }

type Asked = {
  readonly status: number
  readonly code: number | undefined
  readonly result: never
  /** What the browser keeps: `name=value`. */
  readonly cookie: string
  readonly setCookie: string
  readonly headers: Readonly<Record<string, unknown>>
}

async function ask(
  server: ApiFixture,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS',
  path: string,
  headers: Record<string, string> = {},
  body?: object,
  remoteAddress = '192.0.2.1',
): Promise<Asked> {
  const answer = await server.api.inject({
    method,
    url: path,
    headers,
    remoteAddress,
    ...(body !== undefined && { payload: JSON.stringify(body) }),
  })
  const setCookie = String(answer.headers['set-cookie'] ?? '')
  const { result, errors } = answer.body === '' ? { result: undefined, errors: [] } : answer.json()
  return {
    status: answer.statusCode,
    code: errors[0]?.code,
    result: result as never,
    cookie: setCookie.split(';', 1)[0]!,
    setCookie,
    headers: answer.headers,
  }
}

async function signIn(server: ApiFixture, text = token, headers: Record<string, string> = {}): Promise<string> {
  const { status, cookie } = await ask(server, 'POST', sessionPath, { ...ours, ...headers }, { token: text })
  assert.equal(status, 200)
  return cookie
}

async function newToken(server: ApiFixture, more: object = {}): Promise<WireCreatedToken> {
  return server.result('POST', tokensPath, { name: 'a person', scopes: ['Stream Write'], ...more })
}

test('who signs in with a token gets a cookie that scripts cannot read, and may do what the token may', async () => {
  await using server = await startApi()
  const { status, setCookie, cookie, result } = await ask(server, 'POST', sessionPath, ours, { token })
  assert.equal(status, 200)
  assert.match(setCookie, /^stream-connect-01234567=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=2592000$/)
  assert.ok(!setCookie.includes(token))
  const expected: DashboardSession = {
    token: { id: firstTokenId, name: 'API_TOKEN' },
    accounts: [{ id: account, name: 'First account', rights: ['read', 'write', 'manage'] }],
    allAccounts: ['read', 'write', 'manage'],
    idleSeconds: sessionIdleMsMax / 1000,
  }
  assert.deepEqual(result, expected)
  assert.deepEqual((await ask(server, 'GET', sessionPath, { cookie })).result, expected)

  const made = await ask(server, 'POST', inputsPath, { cookie, ...ours }, { meta: { name: 'mine' } })
  assert.equal(made.status, 200)
  assert.equal((await ask(server, 'GET', inputsPath, { cookie })).status, 200)

  const reader = await newToken(server, { scopes: ['Stream Read'] })
  const readerCookie = await signIn(server, reader.value)
  const seen = (await ask(server, 'GET', sessionPath, { cookie: readerCookie })).result as DashboardSession
  assert.deepEqual([seen.token.id, seen.accounts[0]?.rights, seen.allAccounts], [reader.id, ['read'], []])
  assert.equal((await ask(server, 'GET', inputsPath, { cookie: readerCookie })).status, 200)
  const refused = await ask(server, 'POST', inputsPath, { cookie: readerCookie, ...ours }, {})
  assert.deepEqual([refused.status, refused.code], [403, 10000])
})

test('over TLS the cookie is bound to this host and to TLS; the proxy is believed only where it is trusted', async () => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '198.51.100.7' }
  await using trusting = await startApi({ trustProxy: ['192.0.2.0/24'] })
  const { setCookie, cookie } = await ask(trusting, 'POST', sessionPath, { ...ours, ...forwarded }, { token })
  assert.match(setCookie, /^__Host-stream-connect-01234567=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; .*; Secure$/)
  assert.equal((await ask(trusting, 'GET', sessionPath, { cookie, ...forwarded })).status, 200)
  // What was planted over plain HTTP under the other name opens nothing.
  const plain = cookie.replace('__Host-', '')
  assert.equal((await ask(trusting, 'GET', sessionPath, { cookie: plain, ...forwarded })).status, 401)

  await using other = await startApi()
  const answer = await ask(other, 'POST', sessionPath, { ...ours, ...forwarded }, { token })
  assert.ok(!answer.setCookie.includes('Secure'))
})

test('over our own TLS, too', { timeout: 30_000 }, async () => {
  await using server = await startApi()
  const pair = await generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec' })
  const { port } = await server.api.listenTls('127.0.0.1', 0, { key: pair.private, cert: pair.cert })
  const body = JSON.stringify({ token })
  const asking = request({
    ...{ port, host: '127.0.0.1', path: sessionPath, method: 'POST', rejectUnauthorized: false, agent: false },
    headers: { ...ours, 'content-length': body.length },
  })
  asking.end(body)
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  answer.resume()
  assert.equal(answer.statusCode, 200)
  assert.match(answer.headers['set-cookie']?.[0] ?? '', /^__Host-stream-connect-\w+=[\w-]{43}; .*; Secure$/)
})

test('nobody chooses the session of another: each sign-in has an id of its own, and ends the one before', async () => {
  await using server = await startApi()
  const planted = `stream-connect-01234567=${'A'.repeat(43)}`
  assert.equal((await ask(server, 'GET', sessionPath, { cookie: planted })).status, 401)
  const first = await signIn(server, token, { cookie: planted })
  assert.notEqual(first, planted)
  assert.equal((await ask(server, 'GET', sessionPath, { cookie: planted })).status, 401)
  const second = await signIn(server, token, { cookie: first })
  assert.notEqual(second, first)
  assert.equal((await ask(server, 'GET', sessionPath, { cookie: first })).status, 401)
  assert.equal((await ask(server, 'GET', sessionPath, { cookie: second })).status, 200)
})

test('signing out ends the session, here and not elsewhere', async () => {
  await using server = await startApi()
  const [here, elsewhere] = [await signIn(server), await signIn(server)]
  const out = await ask(server, 'DELETE', sessionPath, { cookie: here, ...ours })
  assert.equal(out.status, 200)
  assert.match(out.setCookie, /^stream-connect-01234567=; Path=\/; HttpOnly; SameSite=Strict; Max-Age=0$/)
  assert.deepEqual((await ask(server, 'GET', inputsPath, { cookie: here })).code, 11401)
  assert.equal((await ask(server, 'GET', inputsPath, { cookie: elsewhere })).status, 200)
  assert.equal((await ask(server, 'DELETE', sessionPath, ours)).status, 200)
})

test('who has no session is told so, and who never had one is told of tokens', async () => {
  await using server = await startApi()
  const outcome = async (headers: Record<string, string>, path = inputsPath) => {
    const { status, code } = await ask(server, 'GET', path, headers)
    return [status, code]
  }
  assert.deepEqual(await outcome({ 'x-stream-connect': 'dashboard' }), [401, 11401])
  assert.deepEqual(await outcome({ cookie: `stream-connect-01234567=${'x'.repeat(43)}` }), [401, 11401])
  assert.deepEqual(await outcome({}, sessionPath), [401, 11401])
  assert.deepEqual(await outcome({}), [400, 9106])
  // Another server's, another program's, or nonsense.
  for (const cookie of [
    `stream-connect-fedcba98=${'x'.repeat(43)}`,
    'theme=dark; a',
    'stream-connect-01234567=short',
    '=',
  ])
    assert.deepEqual(await outcome({ cookie }), [400, 9106], cookie)
})

test('a page from elsewhere changes nothing with the cookie of a person who is signed in', async () => {
  await using server = await startApi()
  const cookie = await signIn(server)
  const host = 'live.example.com:8080'
  const own = `http://${host}`
  const header = { 'x-stream-connect': 'dashboard' }
  const attempts: readonly [what: string, headers: Record<string, string>, isIn: boolean][] = [
    ['the dashboard', { ...header, 'sec-fetch-site': 'same-origin', origin: own }, true],
    ['the dashboard over plain HTTP, where the browser sends no Sec-Fetch-Site', { ...header, origin: own }, true],
    ['a form elsewhere', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, false],
    [
      'a form on another port of the host',
      { 'sec-fetch-site': 'same-site', origin: 'http://live.example.com:3000' },
      false,
    ],
    ['a form of an old browser', { origin: 'https://evil.example' }, false],
    ['a form that tells nothing', {}, false],
    ['without the header, from our own page', { 'sec-fetch-site': 'same-origin', origin: own }, false],
    ['another value of the header', { 'x-stream-connect': '1', 'sec-fetch-site': 'same-origin' }, false],
    ['with the header, cross-site', { ...header, 'sec-fetch-site': 'cross-site', origin: own }, false],
    ['with the header, same site', { ...header, 'sec-fetch-site': 'same-site', origin: own }, false],
    ['with the header, typed into the address bar', { ...header, 'sec-fetch-site': 'none' }, false],
    ['with the header, another origin', { ...header, origin: 'http://live.example.com:3000' }, false],
    ['with the header, a sandboxed frame', { ...header, origin: 'null' }, false],
    ['with the header, an origin that only begins like ours', { ...header, origin: `${own}.evil.example` }, false],
    ['with the header, no origin', { ...header }, false],
  ]
  const before = await server.result<unknown[]>('GET', inputsPath)
  let made = 0
  for (const [what, headers, isIn] of attempts) {
    const post = await ask(server, 'POST', inputsPath, { cookie, host, ...headers }, {})
    assert.deepEqual([post.status, post.code], isIn ? [200, undefined] : [403, 11403], what)
    if (isIn) made++
    // Signing somebody in as another, or out, is an attack, too.
    const signingIn = await ask(server, 'POST', sessionPath, { host, ...headers }, { token })
    assert.equal(signingIn.status, isIn ? 200 : 403, what)
    if (!isIn) assert.equal((await ask(server, 'DELETE', sessionPath, { cookie, host, ...headers })).code, 11403, what)
    for (const [method, path] of [
      ['PUT', `${inputsPath}/${'f'.repeat(32)}`],
      ['DELETE', `${inputsPath}/${'f'.repeat(32)}`],
      ['POST', '/dashboard/lint'],
    ] as const)
      if (!isIn) assert.equal((await ask(server, method, path, { cookie, host, ...headers }, {})).code, 11403, what)
  }
  assert.equal((await server.result<unknown[]>('GET', inputsPath)).length, before.length + made)
  assert.equal((await ask(server, 'GET', sessionPath, { cookie })).status, 200)
})

test('a page from elsewhere cannot read, either, and is never told that it may ask', async () => {
  await using server = await startApi()
  const cookie = await signIn(server)
  for (const site of ['cross-site', 'same-site'])
    for (const path of [inputsPath, sessionPath, '/dashboard/server'])
      assert.equal((await ask(server, 'GET', path, { cookie, 'sec-fetch-site': site })).code, 11403, `${site} ${path}`)
  assert.equal((await ask(server, 'GET', inputsPath, { cookie, 'sec-fetch-site': 'none' })).status, 200)
  for (const path of [inputsPath, sessionPath]) {
    const preflight = await ask(server, 'OPTIONS', path, {
      origin: 'https://evil.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'x-stream-connect',
    })
    for (const name of Object.keys(preflight.headers)) assert.ok(!name.startsWith('access-control-'), name)
  }
})

test('a token in the request counts before the cookie, and needs nothing of what browsers say', async () => {
  await using server = await startApi()
  const cookie = await signIn(server, (await newToken(server, { scopes: ['Stream Read'] })).value)
  const authorization = `Bearer ${token}`
  assert.equal((await ask(server, 'POST', inputsPath, { cookie, authorization }, {})).status, 200)
  const bad = await ask(server, 'GET', inputsPath, { cookie, authorization: 'Bearer bad' })
  assert.deepEqual([bad.status, bad.code], [403, 10000])
})

test('the sessions of a token that is revoked end at once, event streams too', async () => {
  await using server = await startApi()
  const person = await newToken(server)
  const cookie = await signIn(server, person.value)
  const { port } = await server.api.listen('127.0.0.1', 0)
  const listening = get({
    port,
    host: '127.0.0.1',
    path: `/client/v4/accounts/${account}/stream/events`,
    headers: { cookie },
  })
  const [stream] = (await once(listening, 'response')) as [IncomingMessage]
  assert.equal(stream.statusCode, 200)
  let told = ''
  stream.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  const ended = once(stream, 'end')
  while (!told.includes('reset')) await once(stream, 'data')

  await server.call('DELETE', `${tokensPath}/${person.id}`)
  // Before the stream itself is ended, which takes a second at most, nothing more is told.
  const uid = 'a'.repeat(32) as LiveInputId
  const status = { current: { state: 'told late', reason: 'connected', ingestProtocol: 'rtmp' }, history: [] }
  server.bus.publish(inputStateSubject(account, uid), { accountId: account, inputId: uid, status })
  const after = await ask(server, 'GET', inputsPath, { cookie })
  assert.deepEqual([after.status, after.code], [401, 11401])
  assert.equal((await ask(server, 'GET', sessionPath, { cookie })).status, 401)
  await ended
  assert.ok(!told.includes('told late'))
})

test('a session ends with its token, when it was not used for 12 hours, and after 30 days however busy it is', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const isIn = async (cookie: string) => (await ask(server, 'GET', sessionPath, { cookie })).status === 200
  const hourMs = 3_600_000
  const expires_on = new Date(clock.now() + 2 * hourMs).toISOString()
  const short = await signIn(server, (await newToken(server, { expires_on })).value)
  const idle = await signIn(server)
  const busy = await signIn(server)
  clock.advance(2 * hourMs - 1)
  assert.ok(await isIn(short))
  clock.advance(1)
  assert.ok(!(await isIn(short)))
  clock.advance(10 * hourMs - 1)
  assert.ok(await isIn(busy))
  clock.advance(1)
  assert.ok(!(await isIn(idle)))
  for (let sinceMs = 12 * hourMs; sinceMs < sessionDurationMsMax; sinceMs += 6 * hourMs) {
    assert.ok(await isIn(busy), `${sinceMs / hourMs} h`)
    clock.advance(6 * hourMs)
  }
  assert.ok(!(await isIn(busy)))
})

test('a token has at most 50 sessions: the one that was used longest ago makes room', async () => {
  await using server = await startApi()
  const cookies: string[] = []
  for (let count = 0; count < 50; count++) cookies.push(await signIn(server))
  const isIn = async (cookie: string) => (await ask(server, 'GET', sessionPath, { cookie })).status === 200
  assert.ok(await isIn(cookies[0]!))
  const neighbour = await signIn(server, (await newToken(server)).value)
  const another = await signIn(server)
  assert.ok((await isIn(cookies[0]!)) && (await isIn(another)) && (await isIn(neighbour)))
  assert.ok(!(await isIn(cookies[1]!)))
})

test('there are a thousand sessions in all: the one that was used longest ago makes room', () => {
  const principalOf = (id: string) => ({ id: id as TokenId, name: 'somebody', mayUse: () => true })
  const sessions = new Sessions({ principalOf }, new ManualClock())
  const texts = Array.from({ length: 1_000 }, (_, index) => sessions.begin(principalOf(`${index}`)).reveal())
  assert.ok(sessions.principalOf(texts[0]!))
  sessions.begin(principalOf('one more'))
  assert.equal(sessions.count, 1_000)
  assert.equal(sessions.principalOf(texts[1]!), undefined)
  assert.ok(sessions.principalOf(texts[0]!))
})

test('after some attempts that failed an address waits longer and longer, and others do not', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const attempt = (body: object, address = '2001:db8::1') => ask(server, 'POST', sessionPath, ours, body, address)
  const waits: number[] = []
  for (let failures = 0; failures < 14; ) {
    const { status, headers } = await attempt({ token: 'a-bad-one' })
    if (status === 403) {
      failures++
      continue
    }
    assert.equal(status, 429)
    const seconds = Number(headers['retry-after'])
    waits.push(seconds)
    // Not even the right one is looked at meanwhile, nor from a neighbour address of the same /64.
    assert.equal((await attempt({ token }, '2001:db8::ffff')).status, 429)
    clock.advance(seconds * 1_000)
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60])
  assert.equal((await attempt({ token }, '2001:db8:0:1::1')).status, 200)
  clock.advance(60_000)
  assert.equal((await attempt({ token })).status, 200)
  assert.equal((await attempt({ token: 'a-bad-one' })).status, 403)
  assert.equal((await attempt({ token })).status, 200)
})

test('the addresses that are remembered are bounded', () => {
  const clock = new ManualClock()
  const attempts = new SignInAttempts(clock)
  const address = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
  const fail = (one: string) => {
    for (let count = 0; count < 5; count++) attempts.failed(one)
  }
  fail(address(0))
  assert.ok(attempts.waitMs(address(0)) > 0)
  for (let index = 1; index <= 10_000; index++) attempts.failed(address(index))
  assert.equal(attempts.waitMs(address(0)), 0)
})

test('a link signs in once, within an hour, as the token that made it', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const person = await newToken(server)
  const link = async (authorization = `Bearer ${person.value}`) => {
    const { result, status } = await ask(server, 'POST', '/client/v4/user/sign_in_links', { authorization })
    assert.equal(status, 200)
    const { path, expires_on } = result as { path: string; expires_on: string }
    assert.equal(Date.parse(expires_on), clock.now() + 3_600_000)
    const [, text] = /^\/#\/sign-in\?once=([\w-]{43})$/.exec(path) ?? []
    return text!
  }
  const use = (text: string) => ask(server, 'POST', sessionPath, ours, { once: text })
  const text = await link()
  const used = await use(text)
  assert.deepEqual([used.status, (used.result as DashboardSession).token.id], [200, person.id])
  assert.deepEqual((await use(text)).code, 10000)

  const late = await link()
  clock.advance(3_600_000)
  assert.equal((await use(late)).status, 403)
  const revoked = await link()
  await server.call('DELETE', `${tokensPath}/${person.id}`)
  assert.equal((await use(revoked)).status, 403)

  // At the first start, for the token that is printed with it.
  const [, first] = /once=([\w-]{43})$/.exec(server.api.signInPath().reveal()) ?? []
  assert.equal(((await use(first!)).result as DashboardSession).token.id, firstTokenId)

  // A session cannot make another that outlives it; a guess is counted as one.
  const cookie = await signIn(server)
  assert.equal((await ask(server, 'POST', '/client/v4/user/sign_in_links', { cookie, ...ours })).status, 403)
  for (const body of [{}, { token, once: first }, { once: '' }, { token: 7 }])
    assert.equal((await ask(server, 'POST', sessionPath, ours, body)).status, 400)
})

test('the dashboard uses up nothing of what its token may ask, and has a limit that no person reaches', async () => {
  await using server = await startApi({
    limits: { liveInputsMax: 10, outputsMax: 10, resumeSecondsMax: 15, requestsMax: 5 },
  })
  const cookie = await signIn(server)
  for (let count = 0; count < 20; count++) assert.equal((await ask(server, 'GET', inputsPath, { cookie })).status, 200)
  const seen = await ask(server, 'GET', inputsPath, { cookie })
  assert.equal(seen.headers['ratelimit-policy'], '"default";q=12000;w=300')
  const program = await ask(server, 'GET', inputsPath, { authorization: `Bearer ${token}` })
  assert.equal(program.headers['ratelimit'], '"default";r=4;t=300')
})

test('the log names the token of a session, and holds neither its text nor the cookie nor a link', async () => {
  await using server = await startApi()
  const person = await newToken(server, { name: 'Ada' })
  const once = server.api.signInPath().reveal().split('once=')[1]!
  const linked = await ask(server, 'POST', sessionPath, ours, { once })
  const cookie = await signIn(server, person.value)
  await ask(server, 'POST', inputsPath, { cookie, ...ours }, {})
  await ask(server, 'POST', sessionPath, ours, { token: 'a-bad-one' })
  await ask(server, 'DELETE', sessionPath, { cookie, ...ours })
  const lines = server.accessLog.map(({ fields }) => fields as Record<string, unknown>)
  const made = lines.find(
    ({ route, tokenName }) => route === `${inputsPath.replace(account, ':account_id')}` && tokenName,
  )
  assert.deepEqual([made?.['tokenId'], made?.['tokenName'], made?.['status']], [person.id, 'Ada', 200])
  const signedIn = lines.filter(({ route, method }) => route === sessionPath && method === 'POST')
  assert.deepEqual(
    signedIn.map(({ status, tokenName }) => [status, tokenName]),
    [
      [200, 'API_TOKEN'],
      [200, 'Ada'],
      [403, undefined],
    ],
  )
  const written = JSON.stringify([server.log, server.accessLog])
  for (const secret of [person.value, token, once, 'a-bad-one', cookie.split('=')[1]!, linked.cookie.split('=')[1]!])
    assert.ok(!written.includes(secret), secret)
})
