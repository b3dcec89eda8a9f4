import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import type { Plain } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import type { Log } from '../log.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import { figuresSubject, inputStateSubject, outputStateSubject } from '../model/status.ts'
import {
  type DeliveryOutcome,
  destinationKey,
  encodeDestination,
  type NotificationPolicy,
  newSigningSecret,
  newWebhookId,
  policyKey,
  receiverKey,
  type WebhookDeliveriesAnswer,
  type WebhookDestination,
  webhookDeliveriesSubject,
  webhookEventTypes,
  webhookResendSubject,
  webhookTestSubject,
} from '../model/webhook.ts'
import { Secret, SecretBox } from '../secret.ts'
import type { Revision, Store } from '../store/store.ts'
import { Notifier } from './notifier.ts'

const account = 'a'.repeat(32) as AccountId
const input = 'b'.repeat(32) as LiveInputId
const output = 'c'.repeat(32) as OutputId
const silent: Log = { error() {}, warn() {}, info() {}, debug() {}, trace() {}, child: () => silent }

type Received = {
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly body: {
    readonly name: string
    readonly text: string
    readonly data: Readonly<Record<string, unknown>>
    ts: number
  }
}

/** A receiver, and a notifier that can be killed and started again on the same store. */
class Bench implements AsyncDisposable {
  readonly clock = new ManualClock()
  readonly store = new MemoryStore()
  readonly cipher = new SecretBox(randomBytes(32))
  readonly received: Received[] = []
  status = 200
  bus!: InProcessBus
  notifier!: Notifier
  destination!: WebhookDestination
  #waiting = () => {}
  readonly #receiver = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString()
    this.received.push({ headers: request.headers as Record<string, string>, text, body: JSON.parse(text) })
    response.writeHead(this.status).end()
    this.#waiting()
  })

  static async open(policy: Partial<NotificationPolicy> = {}): Promise<Bench> {
    const bench = new Bench()
    await new Promise<void>((resolve) => bench.#receiver.listen(0, '127.0.0.1', resolve))
    const { port } = bench.#receiver.address() as AddressInfo
    bench.destination = {
      id: newWebhookId(),
      accountId: account,
      name: 'receiver',
      url: `http://127.0.0.1:${port}/hook`,
      secret: new Secret('shared secret'),
      signingSecret: newSigningSecret(),
      created: '2026-01-01T00:00:00.000Z',
    }
    await bench.store.put(
      destinationKey(bench.destination),
      encodeDestination(bench.destination, bench.cipher),
      'absent',
    )
    await bench.putPolicy(policy)
    await bench.start()
    return bench
  }

  async putPolicy(changes: Partial<NotificationPolicy>): Promise<void> {
    const policy: NotificationPolicy = {
      id: newWebhookId(),
      accountId: account,
      name: 'Live Webhook Test',
      description: '',
      enabled: true,
      inputIds: [],
      eventTypes: [],
      destinationIds: [this.destination.id],
      created: '2026-01-01T00:00:00.000Z',
      modified: '2026-01-01T00:00:00.000Z',
      ...changes,
    }
    await this.store.put(policyKey(policy), JSON.stringify(policy), 'absent')
    await this.#settled()
  }

  /** A process that has been killed has neither heard nor closed: it is left behind, and another starts on the same store. */
  async start(store: Store = this.store): Promise<void> {
    this.bus = new InProcessBus({
      onError: (error) => {
        throw error
      },
    })
    this.notifier = new Notifier({
      store,
      bus: this.bus,
      cipher: this.cipher,
      clock: this.clock,
      log: silent,
      random: () => 0.5,
      resolve: async () => [],
      policy: new AddressPolicy(['127.0.0.0/8']),
    })
    await this.notifier.start()
  }

  async #settled(): Promise<void> {
    for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  async input(state: string, reason = state): Promise<void> {
    const status = { current: { state, reason } } as unknown as Plain
    this.bus.publish(inputStateSubject(account, input), { accountId: account, inputId: input, status })
    await this.#settled()
  }

  async output(state: string, lastError?: Plain): Promise<void> {
    const status = { current: { state, reason: state } } as unknown as Plain
    const event = { accountId: account, inputId: input, outputId: output, status, lastError }
    this.bus.publish(outputStateSubject(account, input, output), event)
    await this.#settled()
  }

  async figures(seconds: number, warnings: Plain): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1_000)
      const health = { video: { codec: 'avc1' }, warnings }
      this.bus.publish(figuresSubject(account, input), { accountId: account, inputId: input, input: health })
      await new Promise((resolve) => setImmediate(resolve))
    }
    await this.#settled()
  }

  /** So many arrive, and no more. */
  async receives(count: number): Promise<readonly Received[]> {
    while (this.received.length < count)
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    await this.#settled()
    assert.equal(this.received.length, count, this.events().join())
    return this.received
  }

  events(): string[] {
    return this.received.map(({ body }) => (body.data as { event_type: string }).event_type)
  }

  /** Whether no notification waits to be sent, and everything is written down. */
  async isQuiet(): Promise<boolean> {
    await this.#settled()
    return (await this.deliveries()).deliveries.every(({ state }) => state !== 'pending')
  }

  async until(isSo: () => Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + 20_000
    while (!(await isSo())) assert.ok(performance.now() < giveUpAt, `still not so, after ${this.events().join()}`)
  }

  deliveries(): Promise<WebhookDeliveriesAnswer> {
    return this.bus.request(
      webhookDeliveriesSubject,
      { accountId: account, limit: 100 },
      { deadlineMs: 1_000 },
    ) as unknown as Promise<WebhookDeliveriesAnswer>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.store.before = undefined
    await this.notifier.close()
    await this.bus.close()
    this.#receiver.closeAllConnections()
    await new Promise((resolve) => this.#receiver.close(resolve))
  }
}

/** The store as a process sees it that is killed at a write: this one and all after it never happen. */
class KilledAtWrite implements Store {
  readonly #store: Store
  #writesLeft: number
  isDead = false

  constructor(store: Store, writesLeft: number) {
    this.#store = store
    this.#writesLeft = writesLeft
  }

  put(...write: Parameters<Store['put']>): Promise<Revision> {
    return this.#write(() => this.#store.put(...write))
  }

  delete(...write: Parameters<Store['delete']>): Promise<Revision> {
    return this.#write(() => this.#store.delete(...write))
  }

  #write(write: () => Promise<Revision>): Promise<Revision> {
    if (this.#writesLeft-- > 0) return write()
    this.isDead = true
    return new Promise(() => {})
  }

  get: Store['get'] = (key) => this.#store.get(key)
  list: Store['list'] = (prefix) => this.#store.list(prefix)
  watch: Store['watch'] = (prefix, signal) => this.#store.watch(prefix, signal)
  acquire: Store['acquire'] = (...lease) => this.#store.acquire(...lease)
  renew: Store['renew'] = (...lease) => this.#store.renew(...lease)
  release: Store['release'] = (lease, holder) => this.#store.release(lease, holder)
  async close(): Promise<void> {}
}

test('connected and disconnected, as Cloudflare documents them, signed after Standard Webhooks', async () => {
  await using bench = await Bench.open()
  await bench.input('connected')
  await bench.input('disconnected', 'client_disconnect')
  const [connected] = await bench.receives(2)
  assert.deepEqual(bench.events(), ['live_input.connected', 'live_input.disconnected'])
  const at = new Date(bench.clock.now()).toISOString()
  const { account_id, policy_id, policy_name, alert_type, ...documented } = connected!.body as unknown as Record<
    string,
    string
  >
  assert.deepEqual(documented, {
    name: 'Live Webhook Test',
    text: `Notification type: Stream Live Input\nInput ID: ${input}\nEvent type: live_input.connected\nUpdated at: ${at}`,
    data: {
      notification_name: 'Stream Live Input',
      input_id: input,
      event_type: 'live_input.connected',
      updated_at: at,
    },
    ts: Math.floor(bench.clock.now() / 1000),
  })
  assert.deepEqual([account_id, policy_name, alert_type], [account, 'Live Webhook Test', 'stream_live_notifications'])
  assert.match(policy_id!, /^[0-9a-f]{32}$/)
  const { headers, text } = connected!
  assert.equal(headers['cf-webhook-auth'], 'shared secret')
  assert.equal(headers['webhook-timestamp'], String(Math.floor(bench.clock.now() / 1000)))
  const expected = new Webhook(bench.destination.signingSecret.reveal()).sign(
    headers['webhook-id']!,
    new Date(bench.clock.now()),
    text,
  )
  assert.equal(headers['webhook-signature'], expected)
})

test('an encoder that is waited for is still live; the same event is told once', async () => {
  await using bench = await Bench.open()
  await bench.input('connected')
  await bench.input('disconnected', 'reconnecting')
  await bench.input('connected', 'reconnected')
  await bench.input('disconnected', 'reconnecting')
  await bench.input('disconnected', 'client_disconnect')
  await bench.input('disconnected', 'client_disconnect')
  await bench.receives(2)
  assert.deepEqual(bench.events(), ['live_input.connected', 'live_input.disconnected'])
})

test('outputs: connected, reconnecting, error, recovered, to who asks for them', async () => {
  await using bench = await Bench.open({ eventTypes: webhookEventTypes.filter((type) => type.startsWith('output')) })
  await bench.input('connected')
  const error = { code: 'publish_denied', message: 'The key is wrong.', at: '2026-01-01T00:00:00.000Z' }
  for (const state of ['connecting', 'connected', 'connecting', 'connected', 'reconnecting', 'connecting'])
    await bench.output(state)
  await bench.output('reconnecting')
  await bench.output('error', error)
  for (const state of ['connecting', 'reconnecting', 'connecting', 'error', 'connecting', 'connected', 'disconnected'])
    await bench.output(state)
  await bench.output('connected')
  await bench.input('disconnected')
  await bench.output('error')
  const received = await bench.receives(5)
  assert.deepEqual(bench.events(), [
    'output.connected',
    'output.reconnecting',
    'output.error',
    'output.recovered',
    'output.connected',
  ])
  assert.deepEqual((received[2]!.body.data as { output: object }).output, { state: 'error', reason: 'error', error })
  assert.equal((received[2]!.body.data as { output_id: string }).output_id, output)
  assert.match(received[2]!.body.text, /Output ID: c+\nError Message: The key is wrong\.$/)
})

test('errored: what hurts viewers for long, under Cloudflare’s code', async () => {
  await using bench = await Bench.open({ eventTypes: ['live_input.errored'] })
  await bench.input('connected')
  await bench.figures(2, [])
  await bench.figures(15, [{ code: 'upload_slow', message: 'Too slow.' }])
  const [errored] = await bench.receives(1)
  assert.deepEqual((errored!.body.data as { live_input_errored: object }).live_input_errored, {
    error: { code: 'ERR_UNHEALTHY', message: 'Too slow.' },
    video_codec: 'avc1',
    audio_codec: '',
  })
  assert.match(
    errored!.body.text,
    /Error Code: ERR_UNHEALTHY\nError Message: Too slow\.\nVideo Codec: avc1\nAudio Codec: $/,
  )
})

test('a policy tells of its inputs and events alone, while it is enabled, and each of several tells', async () => {
  await using bench = await Bench.open({ inputIds: ['e'.repeat(32) as LiveInputId] })
  await bench.putPolicy({ enabled: false })
  await bench.putPolicy({ eventTypes: ['live_input.disconnected'] })
  await bench.putPolicy({ accountId: 'd'.repeat(32) as AccountId })
  await bench.putPolicy({ destinationIds: ['f'.repeat(32)] })
  await bench.putPolicy({ inputIds: [input], name: 'second' })
  await bench.input('connected')
  await bench.input('disconnected')
  const received = await bench.receives(3)
  assert.deepEqual(received.map(({ body }) => body.name).toSorted(), ['Live Webhook Test', 'second', 'second'])
  assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 3)
})

test('the same webhook-id and body at each attempt; the outcome can be listed, and asked for again', async () => {
  await using bench = await Bench.open()
  bench.status = 500
  await bench.input('connected')
  const [first] = await bench.receives(1)
  bench.status = 200
  bench.clock.advance(5_000)
  const [, second] = await bench.receives(2)
  const id = first!.headers['webhook-id']!
  assert.deepEqual([second!.headers['webhook-id'], second!.text], [id, first!.text])
  const { deliveries } = await bench.deliveries()
  assert.deepEqual(
    deliveries.map(({ state, attempts, lastOutcome }) => [state, attempts, lastOutcome?.status]),
    [['delivered', 2, 200]],
  )
  const entry = await bench.store.get(receiverKey(bench.destination))
  const { lastFailure, lastSuccess } = JSON.parse(entry!.value)
  assert.equal(Date.parse(lastSuccess) - Date.parse(lastFailure), 5_000)
  await bench.bus.request(webhookResendSubject, { accountId: account, id }, { deadlineMs: 1_000 })
  assert.equal((await bench.receives(3))[2]!.headers['webhook-id'], id)
})

test('a test is sent as Cloudflare sends it, to a destination that need not exist yet', async () => {
  await using bench = await Bench.open()
  const asked = { destination: encodeDestination({ ...bench.destination, id: newWebhookId() }, bench.cipher) }
  bench.status = 404
  const outcome = (await bench.bus.request(webhookTestSubject, asked, { deadlineMs: 1_000 })) as DeliveryOutcome
  assert.equal(outcome.status, 404)
  const [received] = await bench.receives(1)
  assert.match(received!.body.text, /^Hello World! This is a test message sent from /)
  assert.equal(received!.headers['cf-webhook-auth'], 'shared secret')
  assert.deepEqual((await bench.deliveries()).deliveries, [])
  assert.equal((await bench.store.list('receiver')).length, 0)
})

test('nothing that is stored shows the url or a secret', async () => {
  await using bench = await Bench.open()
  await bench.input('connected')
  await bench.receives(1)
  const stored = (await bench.store.list('')).map(({ value }) => value).join('\n')
  for (const secret of ['shared secret', bench.destination.signingSecret.reveal(), bench.destination.url])
    assert.ok(!stored.includes(secret))
})

test('a server that is killed: what was live is told to be disconnected at the next start, once', async () => {
  await using bench = await Bench.open()
  await bench.input('connected')
  await bench.receives(1)
  await bench.start()
  const [, disconnected] = await bench.receives(2)
  assert.deepEqual(bench.events(), ['live_input.connected', 'live_input.disconnected'])
  assert.equal((disconnected!.body.data as { reason: string }).reason, 'server_restarted')
  await bench.start()
  await bench.receives(2)
  await bench.input('connected')
  assert.equal((await bench.receives(3)).at(-1)!.body.data['event_type'], 'live_input.connected')
})

test('a server that ends properly: what its end tells is sent after the next start', async () => {
  await using bench = await Bench.open()
  await bench.input('connected')
  await bench.receives(1)
  bench.status = 500
  await bench.input('disconnected')
  await bench.receives(2)
  await bench.notifier.close()
  bench.status = 200
  await bench.start()
  bench.clock.advance(5_000)
  await bench.receives(3)
  assert.deepEqual(bench.events(), ['live_input.connected', 'live_input.disconnected', 'live_input.disconnected'])
})

test('killed between any two writes: whoever heard connected hears disconnected, in order, and each id once or more', async () => {
  for (let cut = 0; ; cut++) {
    await using bench = await Bench.open()
    const killed = new KilledAtWrite(bench.store, cut)
    await bench.notifier.close()
    await bench.start(killed)
    await bench.input('connected')
    await bench.input('disconnected')
    await bench.input('connected')
    await bench.until(async () => killed.isDead || (bench.received.length === 3 && (await bench.isQuiet())))
    bench.clock.advance(60_000)
    // What was accepted and not written down is sent again.
    await bench.start()
    await bench.until(() => bench.isQuiet())
    const once = [...new Map(bench.received.map((each) => [each.headers['webhook-id'], each])).values()]
    const events = once.map(({ body }) => (body.data as { event_type: string }).event_type)
    for (const [place, event] of events.entries())
      assert.equal(
        event,
        place % 2 === 0 ? 'live_input.connected' : 'live_input.disconnected',
        `after ${cut} writes: ${events.join()}`,
      )
    assert.equal(events.length % 2, 0, `after ${cut} writes the last is ${events.at(-1)}`)
    if (!killed.isDead) {
      assert.equal(events.length, 4)
      return
    }
  }
})

test('documents that cannot be read do not keep the server from starting', async () => {
  await using bench = await Bench.open()
  for (const prefix of ['webhook', 'policy', 'delivery', 'receiver', 'ledger'])
    await bench.store.put(`${prefix}.${account}.broken`, 'broken', 'absent')
  await bench.start()
  await bench.input('connected')
  await bench.receives(1)
})

test('a destination and a policy that go while the watch is lost are gone', async () => {
  await using bench = await Bench.open()
  await bench.store.loseEvents(async () => {
    for (const { key } of await bench.store.list('policy')) await bench.store.delete(key, 'any')
  })
  await bench.input('connected')
  await bench.receives(0)
  await bench.putPolicy({ eventTypes: ['live_input.disconnected'] })
  await bench.input('disconnected')
  await bench.receives(1)
})
