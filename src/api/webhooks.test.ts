import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import Cloudflare, { BadRequestError, NotFoundError } from 'cloudflare'
import type { z } from 'zod'
import { type Answer, type ApiFixture, account, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import type { Plain } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import { systemClock } from '../clock.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import type { Log } from '../log.ts'
import type { LiveInputId } from '../model/id.ts'
import { inputStateSubject } from '../model/status.ts'
import { destinationPrefix } from '../model/webhook.ts'
import { Notifier } from '../notify/notifier.ts'
import { destinationsMax, policiesMax } from './alerting.ts'
import { successOf } from './schemas.ts'
import {
  createdDestination,
  deliveryAnswer,
  deliveryPage,
  destinationAnswer,
  destinationList,
  idAnswer,
  policyAnswer,
  policyList,
  type WireDelivery,
  type WireDestination,
  type WirePolicy,
  webhookTestAnswer,
} from './webhook-schemas.ts'

const alerting = `/client/v4/accounts/${account}/alerting/v3`
const webhooks = `${alerting}/destinations/webhooks`
const policies = `${alerting}/policies`
const deliveries = `${alerting}/deliveries`
const silent: Log = { error() {}, warn() {}, info() {}, debug() {}, trace() {}, child: () => silent }

/** The API, the notifier, and a receiver. */
type Fixture = AsyncDisposable & {
  readonly server: ApiFixture
  readonly bus: InProcessBus
  readonly url: string
  readonly received: { readonly headers: Record<string, string>; readonly body: string }[]
  status: number
  /** A destination that was made. */
  create(body?: object): Promise<WireDestination & { signing_secret: string }>
  policy(destination: string, body?: object): Promise<string>
  /** A live input gets live, or ends; resolves when the receiver has heard of it. */
  happens(state: 'connected' | 'disconnected', input?: string): Promise<void>
}

async function start(): Promise<Fixture> {
  const bus = new InProcessBus({
    onError: (error) => {
      throw error
    },
  })
  const server = await startApi({ bus })
  const notifier = new Notifier({
    store: server.store,
    bus,
    cipher: server.cipher,
    clock: systemClock,
    log: silent,
    random: Math.random,
    resolve: async () => [{ address: '10.0.0.1', family: 4 }],
    policy: new AddressPolicy(['127.0.0.0/8']),
  })
  await notifier.start()
  let heard = () => {}
  const receiver = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    fixture.received.push({ headers: request.headers as Record<string, string>, body })
    response.writeHead(fixture.status, fixture.status === 302 ? { location: '/elsewhere' } : {}).end()
    response.once('close', () => heard())
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  const fixture: Fixture = {
    server,
    bus,
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hooks/live?token=in-the-url`,
    received: [],
    status: 200,
    create: (body = {}) => server.result('POST', webhooks, { name: 'Control room', url: fixture.url, ...body }),
    async policy(destination, body = {}) {
      const { id } = await server.result<{ id: string }>('POST', policies, policyBody(destination, body))
      await turns()
      return id
    },
    async happens(state, input = unknownId) {
      const done = new Promise<void>((resolve) => {
        heard = resolve
      })
      const status = { current: { state, reason: state } } as unknown as Plain
      const subject = inputStateSubject(account, input as LiveInputId)
      bus.publish(subject, { accountId: account, inputId: input, status })
      await done
      await turns()
    },
    async [Symbol.asyncDispose]() {
      await server.api.close()
      await notifier.close()
      await bus.close()
      receiver.closeAllConnections()
      await new Promise((resolve) => receiver.close(resolve))
    },
  }
  return fixture
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

function policyBody(destination: string, body: object = {}): object {
  const mechanisms = { webhooks: [{ id: destination }] }
  return { name: 'On air', alert_type: 'stream_live_notifications', enabled: true, mechanisms, ...body }
}

function fits(answer: Answer, schema: z.ZodType): void {
  assert.equal(answer.status, 200, answer.text)
  const read = schema.safeParse(answer.body)
  assert.ok(read.success, `${read.error} ${answer.text}`)
}

test('a destination: made after a test, read, listed, changed, deleted; its secrets are never read again', async () => {
  await using fixture = await start()
  const { server, received } = fixture
  const made = await server.call('POST', webhooks, { name: 'Control room', url: fixture.url, secret: 'shared-secret' })
  fits(made, successOf(createdDestination))
  const { signing_secret, ...shown } = made.body.result as WireDestination & { signing_secret: string }
  assert.equal(received.length, 1)
  assert.match(received[0]!.body, /Hello World! This is a test message sent from/)
  assert.equal(received[0]!.headers['cf-webhook-auth'], 'shared-secret')
  assert.ok(shown.last_success && !shown.last_failure)

  const one = `${webhooks}/${shown.id}`
  const read = await server.call('GET', one)
  fits(read, successOf(destinationAnswer))
  assert.deepEqual(read.body.result, shown)
  const list = await server.call('GET', webhooks)
  fits(list, successOf(destinationList))
  assert.deepEqual(list.body.result, [shown])

  const renamed = await server.call('PUT', one, { name: 'Studio' })
  fits(renamed, successOf(destinationAnswer))
  assert.equal((renamed.body.result as WireDestination).name, 'Studio')
  assert.equal(received.length, 1, 'a name is not tried')
  await server.result('PUT', one, { ...shown, name: 'Studio', url: `${fixture.url}&more` })
  assert.equal(received.length, 2, 'a url is')
  assert.equal(received[1]!.headers['cf-webhook-auth'], 'shared-secret', 'absent leaves the secret as it is')
  await server.result('PUT', one, { secret: null })
  assert.equal(received[2]!.headers['cf-webhook-auth'], undefined)

  const stored = JSON.stringify(await server.store.list(''))
  const answers = JSON.stringify([read, list, renamed])
  for (const secret of ['shared-secret', signing_secret]) {
    assert.ok(!stored.includes(secret) && !answers.includes(secret))
    assert.ok(!JSON.stringify(server.log).includes(secret))
  }
  assert.ok(!stored.includes('in-the-url'))

  fits(await server.call('DELETE', one), successOf(idAnswer))
  assert.equal((await server.call('GET', one)).status, 404)
  assert.equal((await server.call('DELETE', one)).status, 404)
  assert.deepEqual(await server.store.list(destinationPrefix), [])
})

test('a destination that does not answer the test with 2xx is refused with a sentence', async () => {
  await using fixture = await start()
  const { server } = fixture
  const rows = [
    { status: 500, says: /The receiver answered 500; it must answer with 2xx\./ },
    { status: 302, says: /redirects are not followed/ },
    { url: 'http://127.0.0.1:1/', says: /Nothing listens at the host and port/ },
    { url: 'http://inside.example/', says: /10\.0\.0\.1 is a private address.*DESTINATION_ALLOW/ },
    { url: 'http://169.254.169.254/', says: /link-local/ },
  ]
  for (const { status = 200, url = fixture.url, says } of rows) {
    fixture.status = status
    const answer = await server.call('POST', webhooks, { name: 'x', url })
    assert.equal(answer.status, 400)
    assert.match(answer.body.errors[0]!.message, says)
    assert.deepEqual(answer.body.errors[0]!.source, { pointer: '/url' })
  }
  assert.deepEqual(await server.result('GET', webhooks), [])
  fixture.status = 200
  const { id, url } = await fixture.create()
  fixture.status = 500
  assert.equal((await server.call('PUT', `${webhooks}/${id}`, { url: `${url}&more` })).status, 400)
  assert.equal((await server.result<WireDestination>('GET', `${webhooks}/${id}`)).url, url)
})

const badDestinations = [
  { body: {}, pointer: '/name' },
  { body: { name: 'x' }, pointer: '/url' },
  { body: { name: 'x'.repeat(201), url: 'https://a.example' }, pointer: '/name' },
  { body: { name: 'x', url: `https://a.example/${'x'.repeat(2048)}` }, pointer: '/url' },
  { body: { name: 'x', url: 'ftp://a.example' }, pointer: '/url' },
  { body: { name: 'x', url: 'https:a.example' }, pointer: '/url' },
  { body: { name: 'x', url: 'https://a.exa\nmple' }, pointer: '/url' },
  { body: { name: 'x', url: 'https://user:pass@a.example' }, pointer: '/url' },
  { body: { name: 'x', url: 7 }, pointer: '/url' },
  { body: { name: 'x', url: 'https://a.example', secret: 'a\r\nx-injected: 1' }, pointer: '/secret' },
  { body: { name: 'x', url: 'https://a.example', secret: 'ü' }, pointer: '/secret' },
  { body: { name: 'x', url: 'https://a.example', secret: 'x'.repeat(1025) }, pointer: '/secret' },
] as const

test('a destination that cannot be one is refused before anything is sent', async (t) => {
  await using fixture = await start()
  for (const { body, pointer } of badDestinations)
    await t.test(JSON.stringify(body).slice(0, 60), async () => {
      const answer = await fixture.server.call('POST', webhooks, body)
      assert.equal(answer.status, 400)
      assert.equal(answer.body.errors[0]!.code, 10005)
      assert.equal(answer.body.errors[0]!.source?.pointer, pointer)
    })
  assert.equal(fixture.received.length, 0)
})

test('a policy: made, read, listed, changed, deleted', async () => {
  await using fixture = await start()
  const { server } = fixture
  const { id: destination } = await fixture.create()
  const made = await server.call(
    'POST',
    policies,
    policyBody(destination, {
      filters: { input_id: [unknownId], event_type: ['live_input.connected', 'output.error'] },
    }),
  )
  fits(made, successOf(idAnswer))
  assert.match(made.body.messages[0]!.message, /There is no live input f+ in this account/)
  const one = `${policies}/${(made.body.result as { id: string }).id}`
  const read = await server.call('GET', one)
  fits(read, successOf(policyAnswer))
  const policy = read.body.result as WirePolicy
  assert.deepEqual(policy, {
    id: policy.id,
    name: 'On air',
    description: '',
    enabled: true,
    alert_type: 'stream_live_notifications',
    filters: { input_id: [unknownId], event_type: ['live_input.connected', 'output.error'] },
    mechanisms: { webhooks: [{ id: destination }] },
    created: policy.created,
    modified: policy.created,
  })
  const off = await server.call('PUT', one, { enabled: false, filters: {}, description: 'Not now' })
  fits(off, successOf(policyAnswer))
  const changed = off.body.result as WirePolicy
  assert.deepEqual([changed.enabled, changed.filters, changed.description], [false, {}, 'Not now'])
  assert.ok(changed.modified > policy.modified)
  assert.deepEqual((await server.result<WirePolicy>('PUT', one, changed)).modified, changed.modified)
  const list = await server.call('GET', policies)
  fits(list, successOf(policyList))
  assert.deepEqual(list.body.result, [changed])
  fits(await server.call('DELETE', one), successOf(idAnswer))
  assert.equal((await server.call('GET', one)).status, 404)
})

const badPolicies = [
  { change: { name: undefined }, pointer: '/name' },
  { change: { alert_type: 'dos_attack_l4' }, pointer: '/alert_type' },
  { change: { enabled: 'yes' }, pointer: '/enabled' },
  { change: { mechanisms: undefined }, pointer: '/mechanisms' },
  { change: { mechanisms: { webhooks: [] } }, pointer: '/mechanisms/webhooks' },
  { change: { mechanisms: { webhooks: [{ id: unknownId }] } }, pointer: '/mechanisms/webhooks/0/id' },
  { change: { filters: { event_type: ['live_input.exploded'] } }, pointer: '/filters/event_type/0' },
  { change: { filters: { input_id: ['x'] } }, pointer: '/filters/input_id/0' },
  { change: { filters: { zones: ['x'] } }, pointer: '/filters/zones' },
  { change: { description: 'x'.repeat(1001) }, pointer: '/description' },
]

test('a policy that would not do what it says is refused', async (t) => {
  await using fixture = await start()
  const { id } = await fixture.create()
  for (const { change, pointer } of badPolicies)
    await t.test(JSON.stringify(change).slice(0, 60), async () => {
      const answer = await fixture.server.call('POST', policies, policyBody(id, change))
      assert.equal(answer.status, 400)
      assert.equal(answer.body.errors[0]!.source?.pointer, pointer)
    })
  const email = { mechanisms: { webhooks: [{ id }], email: [{ id: 'a@example.com' }] } }
  const answer = await fixture.server.call('POST', policies, policyBody(id, email))
  assert.deepEqual([answer.status, answer.body.errors[0]?.source?.pointer], [400, '/mechanisms/email'])
  const nothing = { filters: { zones: [], status: null }, mechanisms: { webhooks: [{ id }], email: [] } }
  assert.equal((await fixture.server.call('POST', policies, policyBody(id, nothing))).status, 200)
})

test('a destination that is deleted is taken out of its policies', async () => {
  await using fixture = await start()
  const { id } = await fixture.create()
  const policy = await fixture.policy(id)
  const answer = await fixture.server.call('DELETE', `${webhooks}/${id}`)
  assert.match(answer.body.messages[0]!.message, /taken out of the policy On air/)
  const read = await fixture.server.result<WirePolicy>('GET', `${policies}/${policy}`)
  assert.deepEqual(read.mechanisms, { webhooks: [] })
})

test('deliveries: listed with their outcome, filtered, page by page, and sent again', async () => {
  await using fixture = await start()
  const { server, received } = fixture
  const { id } = await fixture.create()
  const policy = await fixture.policy(id, { filters: { input_id: [unknownId] } })
  await fixture.happens('connected')
  fixture.status = 503
  await fixture.happens('disconnected')
  const answer = await server.call('GET', deliveries)
  fits(answer, deliveryPage)
  const [failing, delivered] = answer.body.result as WireDelivery[]
  assert.deepEqual(
    [failing!.state, failing!.attempts, failing!.last_outcome?.status, failing!.event_type],
    ['pending', 1, 503, 'live_input.disconnected'],
  )
  assert.ok(Date.parse(failing!.next_attempt_at!) > Date.now() + 3_000)
  assert.deepEqual(
    [delivered!.state, delivered!.attempts, delivered!.last_outcome?.status, delivered!.event_type],
    ['delivered', 1, 200, 'live_input.connected'],
  )
  assert.deepEqual([delivered!.policy_id, delivered!.destination_id, delivered!.input_id], [policy, id, unknownId])
  assert.equal(delivered!.id, received[1]!.headers['webhook-id'])
  assert.deepEqual(delivered!.payload, JSON.parse(received[1]!.body))

  const page = await server.call('GET', `${deliveries}?limit=1`)
  fits(page, deliveryPage)
  const { result_info } = page.body as unknown as { result_info: { count: number; cursor: string } }
  assert.equal(result_info.count, 1)
  const next = await server.call('GET', `${deliveries}?limit=1&cursor=${result_info.cursor}`)
  assert.deepEqual((next.body.result as WireDelivery[])[0]!.id, delivered!.id)
  assert.deepEqual((next.body as unknown as { result_info: object }).result_info, { count: 1 })
  const count = async (query: string) => (await server.result<[]>('GET', `${deliveries}?${query}`)).length
  assert.deepEqual(
    await Promise.all(['state=failed', `destination_id=${id}`, `input_id=${account}`].map(count)),
    [0, 2, 0],
  )
  for (const query of ['limit=0', 'limit=101', 'state=x', 'destination_id=x', 'cursor=x'])
    assert.equal((await server.call('GET', `${deliveries}?${query}`)).status, 400, query)

  fixture.status = 204
  const again = await server.call('POST', `${deliveries}/${failing!.id}/resend`)
  fits(again, successOf(deliveryAnswer))
  while (received.length < 4) await turns()
  assert.equal(received[3]!.headers['webhook-id'], failing!.id)
  const gone = await server.call('POST', `${deliveries}/${'0'.repeat(31)}/resend`)
  assert.deepEqual([gone.status, gone.body.errors[0]!.code], [404, 10003])
  assert.equal((await server.call('POST', `${deliveries}/x/resend`)).status, 404)
})

test('a destination can be tried at any time, and says when it last answered', async () => {
  await using fixture = await start()
  const { server } = fixture
  const { id, last_success } = await fixture.create()
  fixture.status = 401
  const tried = await server.call('POST', `${webhooks}/${id}/test`)
  fits(tried, successOf(webhookTestAnswer))
  const { delivered, outcome } = tried.body.result as z.output<typeof webhookTestAnswer>
  assert.deepEqual([delivered, outcome.status], [false, 401])
  const read = await server.result<WireDestination>('GET', `${webhooks}/${id}`)
  assert.equal(read.last_success, last_success)
  assert.equal(read.last_failure, outcome.at)
})

test('not one more than the limits allow, however many ask at once', async () => {
  await using fixture = await start()
  const { server } = fixture
  for (let made = 0; made < destinationsMax - 1; made++) await fixture.create()
  const bodies = Array.from({ length: 5 }, () => ({ name: 'x', url: fixture.url }))
  const answers = await Promise.all(bodies.map((body) => server.call('POST', webhooks, body)))
  assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 400, 400, 400, 400])
  const refused = answers.find(({ status }) => status === 400)!
  assert.match(refused.body.errors[0]!.message, /50 .*webhook destination/)
  const [{ id }] = await server.result<[WireDestination]>('GET', webhooks)
  const posts = Array.from({ length: policiesMax + 3 }, () => server.call('POST', policies, policyBody(id)))
  const made = (await Promise.all(posts)).filter(({ status }) => status === 200)
  assert.equal(made.length, policiesMax)
})

test('two who change the same policy at once both win', async () => {
  await using fixture = await start()
  const { server } = fixture
  const { id } = await fixture.create()
  const one = `${policies}/${await fixture.policy(id)}`
  await Promise.all([
    server.result('PUT', one, { name: 'New' }),
    server.result('PUT', one, { description: 'Newer' }),
    server.result('PUT', one, { enabled: false }),
  ])
  const { name, description, enabled } = await server.result<WirePolicy>('GET', one)
  assert.deepEqual([name, description, enabled], ['New', 'Newer', false])
  assert.ok(server.store.conflicts > 0)
})

test('without a notifier the answer is 503, and the documents can be read all the same', async () => {
  await using server = await startApi()
  const answer = await server.call('POST', webhooks, { name: 'x', url: 'https://a.example' })
  assert.deepEqual([answer.status, answer.body.errors[0]!.code], [503, 11503])
  assert.equal((await server.call('GET', deliveries)).status, 503)
  assert.deepEqual(await server.result('GET', webhooks), [])
})

test("another account's destinations, policies and deliveries are not there", async () => {
  await using fixture = await start()
  const { server } = fixture
  const other = await server.result<{ id: string }>('POST', '/client/v4/accounts', { name: 'Two' })
  const { id } = await fixture.create()
  const policy = await fixture.policy(id)
  await fixture.happens('connected')
  const [delivery] = await server.result<WireDelivery[]>('GET', deliveries)
  const elsewhere = `/client/v4/accounts/${other.id}/alerting/v3`
  const calls = [
    ['GET', `destinations/webhooks/${id}`],
    ['PUT', `destinations/webhooks/${id}`],
    ['DELETE', `destinations/webhooks/${id}`],
    ['POST', `destinations/webhooks/${id}/test`],
    ['GET', `policies/${policy}`],
    ['PUT', `policies/${policy}`],
    ['DELETE', `policies/${policy}`],
    ['POST', `deliveries/${delivery!.id}/resend`],
  ] as const
  for (const [method, path] of calls) {
    const answer = await server.call(method, `${elsewhere}/${path}`, method === 'PUT' ? { name: 'taken' } : undefined)
    assert.deepEqual([answer.status, answer.body.errors[0]?.code], [404, 10003], `${method} ${path}`)
  }
  for (const list of ['destinations/webhooks', 'policies', 'deliveries'])
    assert.deepEqual(await server.result('GET', `${elsewhere}/${list}`), [])
  const foreign = await server.call('POST', `${elsewhere}/policies`, policyBody(id))
  assert.equal(foreign.status, 400)
  assert.equal((await server.result<WirePolicy>('GET', `${policies}/${policy}`)).name, 'On air')
})

test('the official SDK does all of it', async () => {
  await using fixture = await start()
  const { port } = await fixture.server.api.listen('127.0.0.1', 0)
  const sent: string[] = []
  const cf = new Cloudflare({
    baseURL: `http://127.0.0.1:${port}/client/v4`,
    apiToken: token,
    fetch: (url, init) => {
      sent.push(`${init?.method} ${url}`)
      return fetch(url, {
        ...init,
        headers: { ...Object.fromEntries(new Headers(init?.headers)), connection: 'close' },
      })
    },
  })
  const of = { account_id: account }
  const hooks = cf.alerting.destinations.webhooks
  const body = { ...of, name: 'Control room', url: fixture.url, secret: 'shared-secret' }
  const { id } = await hooks.create(body)
  const read = await hooks.get(id!, of)
  assert.deepEqual([read.id, read.name, read.url, read.type], [id, 'Control room', fixture.url, 'generic'])
  assert.ok(Date.parse(read.created_at!) <= Date.now() && Date.parse(read.last_success!) <= Date.now())
  assert.equal((await hooks.update(id!, { ...body, name: 'Studio' })).id, id)
  const names: unknown[] = []
  for await (const each of hooks.list(of)) names.push(each.name)
  assert.deepEqual(names, ['Studio'])

  const { policies } = cf.alerting
  const policy = await policies.create({
    ...of,
    name: 'On air',
    alert_type: 'stream_live_notifications',
    enabled: true,
    mechanisms: { webhooks: [{ id: id! }] },
    filters: { event_type: ['live_input.connected'] },
  })
  assert.equal((await policies.update(policy.id!, { ...of, description: 'all' })).id, policy.id)
  const policyRead = await policies.get(policy.id!, of)
  assert.deepEqual(
    [policyRead.name, policyRead.description, policyRead.mechanisms, policyRead.filters],
    ['On air', 'all', { webhooks: [{ id }] }, { event_type: ['live_input.connected'] }],
  )
  const listed: unknown[] = []
  for await (const each of policies.list(of)) listed.push(each.id)
  assert.deepEqual(listed, [policy.id])
  assert.equal((await policies.delete(policy.id!, of)).success, true)
  assert.equal((await hooks.delete(id!, of)).success, true)
  const before = sent.length
  await assert.rejects(async () => hooks.get(id!, of), NotFoundError)
  fixture.status = 500
  await assert.rejects(async () => hooks.create(body), BadRequestError)
  assert.equal(sent.length, before + 2, 'nothing was asked for twice')
})
