import assert from 'node:assert/strict'
import { test } from 'node:test'
import Cloudflare, { RateLimitError } from 'cloudflare'
import { fastify } from 'fastify'
import { type ApiFixture, account, inputsPath, startApi, token } from '../../test/support/api-fixture.ts'
import type { Doors } from './auth.ts'
import { limitRate } from './rate-limit.ts'
import type { HttpRoutes } from './routes.ts'

const limits = { liveInputsMax: 1000, outputsMax: 50, resumeSecondsMax: 15 }

async function limited(requestsMax: number, trustProxy?: readonly string[]): Promise<ApiFixture> {
  return startApi({ limits: { ...limits, requestsMax }, ...(trustProxy && { trustProxy }) })
}

test('every answer says how many requests are left, and what is too much is refused', async () => {
  await using server = await limited(3)
  for (const left of [2, 1, 0]) {
    const { status, headers } = await server.call('GET', inputsPath)
    assert.equal(status, 200)
    assert.match(String(headers['ratelimit']), new RegExp(`^"default";r=${left};t=(300|2[5-9]\\d)$`))
    assert.equal(headers['ratelimit-policy'], '"default";q=3;w=300')
    assert.equal(headers['retry-after'], undefined)
  }
  const { status, headers, body } = await server.call('POST', inputsPath)
  assert.deepEqual([status, body.success, body.errors[0]?.code], [429, false, 11429])
  assert.match(String(headers['retry-after']), /^(300|2[5-9]\d)$/)
  assert.match(String(headers['ratelimit']), /^"default";r=0;t=/)
  assert.match(body.errors[0]?.message ?? '', /RATE_LIMIT/)
})

test('refusals and paths that lead nowhere count as well', async () => {
  await using server = await limited(2)
  assert.equal((await server.call('GET', `${inputsPath}/nothing`)).status, 404)
  assert.equal((await server.call('GET', '/client/v4/nowhere')).status, 404)
  assert.equal((await server.call('GET', inputsPath)).status, 429)
})

test('without a valid token the address is counted, and takes nothing from those that have one', async () => {
  await using server = await limited(3)
  const bad = (number: number) =>
    server.call('GET', inputsPath, undefined, { authorization: `Bearer guess-number-${number}` })
  for (const number of [1, 2, 3]) assert.equal((await bad(number)).status, 403)
  assert.equal((await bad(4)).status, 429)
  assert.equal((await server.call('GET', inputsPath)).status, 200)
})

test('each token has a count of its own', async () => {
  await using server = await limited(4)
  const made = await server.result<{ value: string }>('POST', `/client/v4/accounts/${account}/tokens`, {
    name: 'reader',
    scopes: ['Stream Read'],
  })
  const mine = { authorization: `Bearer ${made.value}` }
  for (let count = 0; count < 4; count++)
    assert.equal((await server.call('GET', inputsPath, undefined, mine)).status, 200)
  assert.equal((await server.call('GET', inputsPath, undefined, mine)).status, 429)
  assert.equal((await server.call('GET', inputsPath)).status, 200)
})

test('0 turns the limit off, and nothing is said of one', async () => {
  await using server = await limited(0)
  const { headers } = await server.call('GET', inputsPath)
  assert.equal(headers['ratelimit'], undefined)
})

test('what is not the API is not counted', async () => {
  await using server = await limited(1)
  for (let count = 0; count < 3; count++) assert.equal((await server.call('GET', '/healthz')).status, 200)
})

test('X-Forwarded-For is believed of the proxies that are trusted, and of nobody else', async () => {
  const from = (server: ApiFixture, address: string) =>
    server.call('GET', inputsPath, undefined, { authorization: 'Bearer nobody', 'x-forwarded-for': address })
  await using behindProxy = await limited(1, ['127.0.0.0/8'])
  assert.equal((await from(behindProxy, '203.0.113.1')).status, 403)
  assert.equal((await from(behindProxy, '203.0.113.2')).status, 403)
  assert.equal((await from(behindProxy, '203.0.113.1')).status, 429)
  await using open = await limited(1)
  assert.equal((await from(open, '203.0.113.1')).status, 403)
  assert.equal((await from(open, '203.0.113.2')).status, 429)
})

test('so many addresses are counted at once; the one that was seen longest ago is forgotten', async () => {
  const nobody = { accounts: { principalOfToken: () => undefined, principalOfKey: () => undefined } }
  const app = fastify({ trustProxy: true })
  await limitRate(app as unknown as HttpRoutes, 9, nobody as unknown as Doors, 3)
  app.get('/', () => '')
  const left = async (address: number) => {
    const { headers } = await app.inject({ url: '/', headers: { 'x-forwarded-for': `203.0.113.${address}` } })
    return Number(/r=(\d)/.exec(String(headers['ratelimit']))?.[1])
  }
  const seen: number[] = []
  for (const address of [1, 1, 2, 3, 1, 4, 5, 1, 2]) seen.push(await left(address))
  assert.deepEqual(seen, [8, 7, 8, 8, 6, 8, 8, 5, 8])
  await app.close()
})

test('the SDK meets its typed error and is told how long to wait', async () => {
  await using server = await limited(1)
  const { port } = await server.api.listen('127.0.0.1', 0)
  const cf = new Cloudflare({ baseURL: `http://127.0.0.1:${port}/client/v4`, apiToken: token, maxRetries: 0 })
  await cf.stream.liveInputs.list({ account_id: account })
  await assert.rejects(
    async () => cf.stream.liveInputs.list({ account_id: account }),
    (error) => error instanceof RateLimitError && Number(error.headers.get('retry-after')) > 0,
  )
})
