import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Answer,
  type ApiFixture,
  account as first,
  token as firstToken,
  inputsPath,
  ManualClock,
  startApi,
  unknownId,
} from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { type AccessToken, hashOfToken } from '../model/access-token.ts'
import type { AccountId } from '../model/id.ts'
import { Secret } from '../secret.ts'
import type { PutOptions, Revision } from '../store/store.ts'
import { AccountRegister, firstTokenId } from './account-register.ts'
import type { WireAccount, WireCreatedAccount, WireCreatedToken, WireToken } from './account-schemas.ts'

const accountsPath = '/client/v4/accounts'
const verifyPath = '/client/v4/user/tokens/verify'
const tokensOf = (account: string) => `${accountsPath}/${account}/tokens`
const inputsOf = (account: string) => `${accountsPath}/${account}/stream/live_inputs`
const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
const refused: readonly [number, number] = [403, 10000]
const read = ['Stream Read']
const write = ['Stream Write']
const manage = ['Account API Tokens Write']

function outcome({ status, body }: Answer): readonly [number, number | undefined] {
  return [status, body.errors[0]?.code]
}

async function create(
  server: ApiFixture,
  body: { name?: string; scopes: string[]; all_accounts?: boolean; expires_on?: string },
  account: string = first,
): Promise<WireCreatedToken> {
  return server.result('POST', tokensOf(account), { name: 'a token', ...body })
}

/** Everything that the store holds under a prefix, as text. */
async function stored(server: ApiFixture, prefix: string): Promise<string> {
  return JSON.stringify(await server.store.list(prefix))
}

test('a token is shown once, stored as its hash, and does what its scopes say', async () => {
  await using server = await startApi()
  const created = await create(server, { name: 'Control room', scopes: read })
  const { value, ...shown } = created
  assert.match(value, /^sct_[A-Za-z0-9_-]{43}$/)
  assert.match(created.id, /^[0-9a-f]{32}$/)
  assert.deepEqual(shown.scopes, ['Stream Read'])
  assert.deepEqual([shown.status, shown.kind, shown.all_accounts], ['active', 'token', false])
  const document = await stored(server, 'token')
  assert(document.includes(hashOfToken(value)) && !document.includes(value))
  assert(!(await stored(server, '')).includes(firstToken), 'API_TOKEN is not stored')

  assert.equal((await server.call('GET', inputsPath, undefined, bearer(value))).status, 200)
  assert.deepEqual(outcome(await server.call('POST', inputsPath, {}, bearer(value))), refused)
  assert.deepEqual(outcome(await server.call('GET', tokensOf(first), undefined, bearer(value))), refused)
  const list: WireToken[] = await server.result('GET', tokensOf(first))
  assert.deepEqual(list, [{ ...shown, last_used_on: list[0]!.last_used_on }])
  assert(list[0]!.last_used_on)
})

test('a revoked token opens nothing from the moment of the answer on', async () => {
  await using server = await startApi()
  const { id, value } = await create(server, { scopes: write })
  assert.equal((await server.call('POST', inputsPath, {}, bearer(value))).status, 200)
  assert.deepEqual((await server.call('DELETE', `${tokensOf(first)}/${id}`)).body.result, { id })
  assert.deepEqual(outcome(await server.call('POST', inputsPath, {}, bearer(value))), refused)
  assert.deepEqual(outcome(await server.call('DELETE', `${tokensOf(first)}/${id}`)), [404, 10003])
  assert.deepEqual(await server.store.list('token'), [])
})

test('a token opens nothing from its expiry on', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const expires_on = new Date(clock.now() + 60_000).toISOString()
  const { value } = await create(server, { scopes: read, expires_on })
  const ask = (path: string) => server.call('GET', path, undefined, bearer(value))
  clock.advance(59_999)
  assert.equal((await ask(inputsPath)).status, 200)
  assert.deepEqual((await ask(verifyPath)).body.result, {
    id: (await server.result<WireToken[]>('GET', tokensOf(first)))[0]!.id,
    status: 'active',
    expires_on,
  })
  clock.advance(1)
  assert.deepEqual(outcome(await ask(inputsPath)), refused)
  assert.deepEqual(outcome(await ask(verifyPath)), [401, 1000])
  assert.equal((await server.result<WireToken[]>('GET', tokensOf(first)))[0]!.status, 'expired')
  const late = await server.call('POST', tokensOf(first), { name: 'x', scopes: read, expires_on })
  assert.deepEqual([outcome(late), late.body.errors[0]!.source], [[400, 10005], { pointer: '/expires_on' }])
})

class WatchedStore extends MemoryStore {
  readonly puts: { key: string; durability: string }[] = []
  override put(key: string, value: string, expected: Revision | 'absent' | 'any', options?: PutOptions) {
    this.puts.push({ key, durability: options?.durability ?? 'durable' })
    return super.put(key, value, expected)
  }
}

test('the last use is exact in a list, and written at most once a minute, relaxed', async () => {
  const clock = new ManualClock()
  const store = new WatchedStore()
  await using server = await startApi({ clock, store })
  const { id, value } = await create(server, { scopes: read })
  store.puts.length = 0
  const use = () => server.call('GET', inputsPath, undefined, bearer(value))
  const listed = async () => (await server.result<WireToken[]>('GET', tokensOf(first)))[0]!.last_used_on
  const written = async () => JSON.parse((await store.get(`token.${id}`))!.value).lastUsed as string | undefined
  const begin = clock.now()
  await use()
  for (let second = 1; second < 60; second++) {
    clock.advance(1_000)
    await use()
  }
  assert.equal(await listed(), new Date(begin + 59_000).toISOString())
  assert.equal(await written(), new Date(begin).toISOString())
  clock.advance(1_000)
  await use()
  assert.equal(await written(), new Date(begin + 60_000).toISOString())
  assert.deepEqual(store.puts, Array(2).fill({ key: `token.${id}`, durability: 'relaxed' }))
})

test('a token that is revoked while its last use is being written stays revoked', async () => {
  await using server = await startApi()
  const { id, value } = await create(server, { scopes: read })
  const held = Promise.withResolvers<void>()
  server.store.before = (operation) => (operation === 'put' ? held.promise : undefined)
  assert.equal((await server.call('GET', inputsPath, undefined, bearer(value))).status, 200)
  assert.equal((await server.call('DELETE', `${tokensOf(first)}/${id}`)).status, 200)
  held.resolve()
  await server.store.get('token.any')
  assert.deepEqual(await server.store.list('token'), [])
  assert.deepEqual(outcome(await server.call('GET', inputsPath, undefined, bearer(value))), refused)
  assert.deepEqual(server.log, [])
})

test('that the last use cannot be written is told to the log, and nobody else', async () => {
  await using server = await startApi()
  const { value } = await create(server, { scopes: read })
  server.store.before = (operation) => {
    if (operation === 'put') throw new Error('the disk is away')
  }
  assert.equal((await server.call('GET', inputsPath, undefined, bearer(value))).status, 200)
  await server.store.get('token.any')
  assert.deepEqual(
    server.log.map(({ level, sentence }) => [level, sentence]),
    [['warn', 'the last use of a token could not be written']],
  )
})

test('accounts and tokens are there again after a restart', async () => {
  const store = new MemoryStore()
  let value: string
  let second: WireAccount
  {
    await using server = await startApi({ store })
    second = await server.result('POST', accountsPath, { name: 'Second' })
    value = (await create(server, { scopes: write }, second.id)).value
  }
  await using server = await startApi({ store })
  assert.equal((await server.call('POST', inputsOf(second.id), {}, bearer(value))).status, 200)
  assert.deepEqual(await server.result('GET', `${accountsPath}/${second.id}`), second)
})

test('each sees the accounts that it may use, page by page', async () => {
  await using server = await startApi()
  const made: WireAccount[] = []
  for (const name of ['One', 'Two', 'Three']) made.push(await server.result('POST', accountsPath, { name }))
  const all = await server.call('GET', accountsPath)
  const names = (answer: Answer) => (answer.body.result as WireAccount[]).map(({ name }) => name)
  assert.deepEqual(names(all).toSorted(), ['First account', 'One', 'Three', 'Two'])
  assert.equal(names(all)[0], 'First account')
  const [one, two] = made as [WireAccount, WireAccount]
  const { value } = await create(server, { scopes: read }, one.id)
  assert.deepEqual(names(await server.call('GET', accountsPath, undefined, bearer(value))), ['One'])
  assert.deepEqual(
    (await server.call('GET', `${accountsPath}/${one.id}`, undefined, bearer(value))).body.result as WireAccount,
    one,
  )
  for (const other of [two.id, first, unknownId])
    assert.deepEqual(outcome(await server.call('GET', `${accountsPath}/${other}`, undefined, bearer(value))), refused)

  const last = await server.call('GET', `${accountsPath}?page=2&per_page=3`)
  assert.equal(names(last).length, 1)
  assert.deepEqual((last.body as unknown as { result_info: unknown }).result_info, {
    page: 2,
    per_page: 3,
    count: 1,
    total_count: 4,
    total_pages: 2,
  })
  assert.deepEqual(names(await server.call('GET', `${accountsPath}?page=3&per_page=3`)), [])
  assert.deepEqual(outcome(await server.call('GET', `${accountsPath}?page=0`)), [400, 10005])
  assert.deepEqual(outcome(await server.call('GET', `${accountsPath}?per_page=1001`)), [400, 10005])
})

test('a token for all accounts is good for those to come, and for none that does not exist', async () => {
  await using server = await startApi()
  const { value } = await create(server, { scopes: write, all_accounts: true })
  const second: WireAccount = await server.result('POST', accountsPath, { name: 'Second' })
  assert.equal((await server.call('GET', inputsOf(second.id), undefined, bearer(value))).status, 200)
  assert.deepEqual(outcome(await server.call('GET', inputsOf(unknownId), undefined, bearer(value))), refused)
  assert.deepEqual(outcome(await server.call('GET', inputsOf(unknownId))), refused)
  assert.deepEqual(outcome(await server.call('POST', accountsPath, { name: 'x' }, bearer(value))), refused)
})

test('nobody gives rights that they have not', async () => {
  await using server = await startApi()
  const second: WireAccount = await server.result('POST', accountsPath, { name: 'Second' })
  const { value } = await create(server, { scopes: [...manage, ...read] }, second.id)
  const ask = (body: object, account: string = second.id) =>
    server.call('POST', tokensOf(account), { name: 'x', ...body }, bearer(value))
  assert.equal((await ask({ scopes: read })).status, 200)
  for (const body of [
    { scopes: write },
    { scopes: [...read, ...write] },
    { scopes: read, all_accounts: true },
    { scopes: manage, all_accounts: true },
  ])
    assert.deepEqual(outcome(await ask(body)), refused, JSON.stringify(body))
  assert.deepEqual(outcome(await ask({ scopes: read }, first)), refused)
  assert.deepEqual(outcome(await server.call('POST', accountsPath, { name: 'x' }, bearer(value))), refused)

  const soon = new Date(Date.now() + 3_600_000).toISOString()
  const later = new Date(Date.now() + 7_200_000).toISOString()
  const short = await create(server, { scopes: [...manage, ...read], expires_on: soon }, second.id)
  // A moment can be spelled so that its text sorts before that of an earlier one.
  const laterElsewhere = new Date(Date.parse(later) - 14 * 3_600_000).toISOString().replace('Z', '-14:00')
  for (const expires_on of [undefined, null, later, laterElsewhere, '9999-12-31T23:59:59Z']) {
    const body = { name: 'x', scopes: read, expires_on }
    assert.deepEqual(outcome(await server.call('POST', tokensOf(second.id), body, bearer(short.value))), refused)
  }
  // In UTC a year of five digits, whose text begins with "+" and sorts before everything.
  for (const token of [short.value, firstToken]) {
    const body = { name: 'x', scopes: read, expires_on: '9999-12-31T23:59:59-12:00' }
    const answer = await server.call('POST', tokensOf(second.id), body, bearer(token))
    assert.deepEqual([outcome(answer), answer.body.errors[0]!.source], [[400, 10005], { pointer: '/expires_on' }])
  }
  const body = { name: 'x', scopes: read, expires_on: soon }
  assert.equal((await server.call('POST', tokensOf(second.id), body, bearer(short.value))).status, 200)
})

test('a key, which never expires and may do all, is made by nobody who may do less', async () => {
  await using server = await startApi()
  const soon = new Date(Date.now() + 3_600_000).toISOString()
  const ask = (token: WireCreatedToken, body: object) =>
    server.call('POST', accountsPath, { name: 'x', ...body }, bearer(token.value))
  const email = 'person@example.com'
  for (const wish of [
    { scopes: manage },
    { scopes: [...manage, ...read] },
    { scopes: [...manage, ...write], expires_on: soon },
  ]) {
    const token = await create(server, { ...wish, all_accounts: true })
    const keys = async () => (await server.store.list('')).map(({ key }) => key)
    const before = await keys()
    const answer = await ask(token, { email })
    assert.deepEqual([outcome(answer), answer.body.errors[0]!.source], [refused, { pointer: '/email' }])
    assert.deepEqual(await keys(), before, 'nothing was made')
    assert.equal((await ask(token, {})).status, 200, 'an account alone gives nobody anything')
  }
  const whole = await create(server, { scopes: [...manage, ...write], all_accounts: true })
  assert.equal((await ask(whole, { email })).status, 200)
})

test('one token more than an account may have, and one account more than a server, are refused', async () => {
  const store = new MemoryStore()
  const put = (key: string, value: object) => store.put(key, JSON.stringify({ version: 1, ...value }), 'absent')
  const id = (number: number) => number.toString(16).padStart(32, '0')
  const created = '2026-01-02T03:04:05.678Z'
  for (let number = 1; number < 10_000; number++)
    await put(`account.${id(number)}`, { id: id(number), name: 'x', created })
  for (let number = 1; number < 1_000; number++)
    await put(`token.${id(number)}`, {
      ...{ id: id(number), kind: 'token', name: 'x', account: first, scopes: read, created },
      hash: hashOfToken(`${number}`),
    })
  await using server = await startApi({ store })
  await create(server, { scopes: read })
  const token = await server.call('POST', tokensOf(first), { name: 'x', scopes: read })
  assert.deepEqual(outcome(token), [400, 10005])
  assert.match(token.body.errors[0]!.message, /^There are 1000 tokens already.*Revoke some/)
  const second: WireAccount = await server.result('POST', accountsPath, { name: 'the last' })
  await create(server, { scopes: read }, second.id)
  assert.deepEqual(outcome(await server.call('POST', accountsPath, { name: 'x' })), [400, 10005])
})

test('who manages one account sees and revokes its tokens, and no others', async () => {
  await using server = await startApi()
  const second: WireAccount = await server.result('POST', accountsPath, { name: 'Second' })
  const manager = await create(server, { scopes: manage }, second.id)
  const ofFirst = await create(server, { scopes: read })
  const ofAll = await create(server, { scopes: read, all_accounts: true })
  const list = await server.call('GET', tokensOf(second.id), undefined, bearer(manager.value))
  assert.deepEqual(
    (list.body.result as WireToken[]).map(({ id }) => id),
    [manager.id],
  )
  for (const { id } of [ofFirst, ofAll]) {
    const path = `${tokensOf(second.id)}/${id}`
    assert.deepEqual(outcome(await server.call('DELETE', path, undefined, bearer(manager.value))), [404, 10003])
  }
  assert.equal((await server.store.list('token')).length, 3)
  assert.equal((await server.call('DELETE', `${tokensOf(second.id)}/${ofAll.id}`)).status, 200)
})

test('X-Auth-Email with X-Auth-Key: a key of one account, shown once', async () => {
  await using server = await startApi()
  const made: WireCreatedAccount = await server.result('POST', accountsPath, {
    name: 'Second',
    email: 'Person@Example.com',
  })
  const { value } = made.key!
  assert.match(value, /^[0-9a-f]{64}$/)
  assert(!(await stored(server, '')).includes(value))
  const { api } = server
  const ask = async (headers: Record<string, string>, path = inputsOf(made.id)) => {
    const answer = await api.inject({ url: path, headers })
    const body = answer.json() as Answer['body']
    return [answer.statusCode, body.errors[0]?.code, body.errors[0]?.error_chain?.[0]?.code]
  }
  const good = { 'x-auth-email': 'person@example.com', 'x-auth-key': value }
  assert.deepEqual(await ask(good), [200, undefined, undefined])
  assert.deepEqual(await ask({ ...good, 'x-auth-key': value.toUpperCase() }), [200, undefined, undefined])
  assert.deepEqual(await ask(good, tokensOf(made.id)), [200, undefined, undefined])
  assert.deepEqual(await ask(good, inputsPath), [403, 10000, undefined])
  assert.deepEqual(await ask({ ...good, 'x-auth-email': 'other@example.com' }), [403, 10000, undefined])
  assert.deepEqual(await ask({ ...good, 'x-auth-key': '0'.repeat(37) }), [403, 10000, undefined])
  assert.deepEqual(await ask({ ...good, 'x-auth-key': 'not-a-key' }), [400, 6003, 6103])
  assert.deepEqual(await ask({ 'x-auth-email': good['x-auth-email'] }), [400, 6003, 6103])
  assert.deepEqual(await ask({ 'x-auth-key': value }), [400, 6003, 6102])
  assert.deepEqual(await ask({}), [400, 9106, undefined])
  // Neither goes in the place of the other.
  assert.deepEqual(await ask(bearer(value)), [403, 10000, undefined])
  const [listed] = (await server.result<WireToken[]>('GET', tokensOf(made.id))) as [WireToken]
  assert.deepEqual([listed.kind, listed.email], ['key', 'person@example.com'])
})

test('/user/tokens/verify: the shape that Cloudflare answers, and its own code when the token is bad', async () => {
  await using server = await startApi()
  assert.deepEqual((await server.call('GET', verifyPath)).body.result, { id: firstTokenId, status: 'active' })
  assert.deepEqual(outcome(await server.call('GET', verifyPath, undefined, bearer('bad'))), [401, 1000])
  const bad = await server.call('GET', verifyPath, undefined, bearer('bad'))
  assert.equal(bad.body.errors[0]!.message, 'Invalid API Token')
  assert.deepEqual(outcome(await server.call('GET', verifyPath, undefined, { authorization: 'Basic x' })), [400, 6003])
  assert.equal((await server.api.inject({ url: verifyPath })).json().errors[0].code, 9106)
  assert.deepEqual(outcome(await server.call('POST', verifyPath, {})), [405, 7003])
})

for (const [name, body, pointer] of [
  ['no name', { scopes: read }, '/name'],
  ['a name of two lines', { name: 'a\nb', scopes: read }, '/name'],
  ['no scopes', { name: 'x' }, '/scopes'],
  ['an empty list of scopes', { name: 'x', scopes: [] }, '/scopes'],
  ['a scope that there is not', { name: 'x', scopes: ['Zone Read'] }, '/scopes/0'],
  ['a misspelt field', { name: 'x', scopes: read, expiresOn: '2030-01-01T00:00:00Z' }, ''],
  ['a date without a time', { name: 'x', scopes: read, expires_on: '2030-01-01' }, '/expires_on'],
] as const)
  test(`a token with ${name} is refused`, async () => {
    await using server = await startApi()
    const answer = await server.call('POST', tokensOf(first), body)
    assert.deepEqual([outcome(answer), answer.body.errors[0]!.source], [[400, 10005], { pointer }])
    assert.deepEqual(await server.store.list('token'), [])
  })

test('a document that cannot be read opens nothing, and is told to the log', async () => {
  const store = new MemoryStore()
  const text = 'sct_a-token-that-is-known'
  const good: AccessToken = {
    id: unknownId as AccessToken['id'],
    kind: 'token',
    name: 'x',
    account: first,
    scopes: ['Stream Read'],
    hash: hashOfToken(text),
    created: '2026-01-01T00:00:00.000Z',
  }
  await store.put(`token.${good.id}`, JSON.stringify({ version: 1, ...good, scopes: ['Everything'] }), 'absent')
  await store.put(`account.${unknownId}`, 'no JSON', 'absent')
  await using server = await startApi({ store })
  assert.deepEqual(outcome(await server.call('GET', inputsPath, undefined, bearer(text))), refused)
  assert.deepEqual(outcome(await server.call('GET', inputsOf(unknownId))), refused)
  assert.equal(server.log.filter(({ level }) => level === 'error').length, 2)
  await store.put(`token.${good.id}`, JSON.stringify({ version: 1, ...good }), 'any')
  while ((await server.call('GET', inputsPath, undefined, bearer(text))).status !== 200) await store.get('token.any')
})

test('whoever is served for long can ask again, and hears that the token is gone', async () => {
  const store = new MemoryStore()
  const ending = new AbortController()
  const clock = new ManualClock()
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const register = new AccountRegister({
    store,
    clock,
    log,
    first: { account: first, token: new Secret(firstToken) },
  })
  await register.start(ending.signal)
  const make = async (expires?: string) => {
    const { token, text } = await register.createToken({
      name: 'x',
      account: first,
      scopes: ['Stream Read'],
      ...(expires !== undefined && { expires }),
    })
    return { id: token.id, principal: register.principalOfToken(text.reveal())! }
  }
  const revoked = await make()
  const expiring = await make(new Date(clock.now() + 1_000).toISOString())
  for (const { principal } of [revoked, expiring]) assert(principal.mayUse(first, 'read'))
  await register.revoke(revoked.id)
  clock.advance(1_000)
  for (const { principal } of [revoked, expiring]) {
    assert(!principal.mayUse(first, 'read'))
    assert(!principal.mayUse(first as AccountId, 'any'))
  }
  ending.abort()
})
