import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout as later } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Webhook } from 'standardwebhooks'
import { startDestination } from '../support/destination.ts'
import { startFeed } from '../support/live-feed.ts'
import { freePort, isListening, startProgram, waitFor } from '../support/processes.ts'
import { type Json, type ServerUnderTest, startServer } from '../support/server.ts'

/** Notifications from the server's own process to a receiver that has its days. */

const timeout = 150_000
const secret = 'what-the-receiver-knows'

type Notification = {
  readonly name: string
  readonly text: string
  readonly data: Readonly<Record<string, string>>
  readonly ts: number
}
type Request = {
  readonly id: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly notification: Notification
  status: number
}
type Delivery = Json & {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly event_type: string
  readonly out_of_order: boolean
  readonly last_outcome?: { readonly status?: number; readonly error?: string }
}

/** A receiver that can be down, fail, and take its time; each request that it gets is verified as docs/webhooks.md says. */
class Receiver implements AsyncDisposable {
  readonly port: number
  readonly requests: Request[] = []
  status = 200
  delayMs = 0
  signingSecret = ''
  #server: Server | undefined

  constructor(port: number) {
    this.port = port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hooks/live`
  }

  async up(): Promise<void> {
    const server = createServer(async (request, response) => {
      const body = Buffer.concat(await request.toArray()).toString()
      const { headers } = request
      if (this.signingSecret !== '') {
        const verified = new Webhook(this.signingSecret).verify(body, headers as Record<string, string>)
        assert.deepEqual(verified, JSON.parse(body))
      }
      const notification = JSON.parse(body) as Notification
      const answered = { id: String(headers['webhook-id']), headers, body, notification, status: 0 }
      this.requests.push(answered)
      await later(this.delayMs)
      answered.status = this.status
      response.writeHead(this.status).end()
    })
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve))
    this.#server = server
  }

  async down(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  /** What it took, in the order in which it took it. */
  get accepted(): Request[] {
    return this.requests.filter(({ status, notification }) => status === 200 && 'event_type' in notification.data)
  }

  get events(): string[] {
    return this.accepted.map(({ notification }) => notification.data['event_type']!)
  }

  async accepts(count: number, deadlineMs = 15_000): Promise<void> {
    await waitFor(`${count} notifications`, () => this.accepted.length >= count, deadlineMs).catch((error: Error) => {
      throw new Error(`${error.message}; there are ${this.events.join()}`)
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down()
  }
}

function alerting(server: ServerUnderTest) {
  const root = `/client/v4/accounts/${server.accountId}/alerting/v3`
  return {
    async post<Result = Json>(path: string, body?: object): Promise<Result> {
      const { status, json } = await server.api<Result>('POST', root + path, body)
      assert.equal(status, 200, JSON.stringify(json))
      return json.result
    },
    /** The oldest first. */
    async deliveries(): Promise<Delivery[]> {
      const { json } = await server.api<Delivery[]>('GET', `${root}/deliveries`)
      return json.result.toReversed()
    },
  }
}

// Each waits more than it works.
suite('webhooks', { concurrency: true }, () => {
  test('a receiver that is down, fails and is slow, and a server that is killed: nothing lost, order kept', {
    timeout,
  }, async () => {
    await using server = await startServer()
    await using receiver = new Receiver(await freePort())
    await using destination = await startDestination()
    const api = alerting(server)

    await receiver.up()
    const { id, signing_secret } = await api.post<{ id: string; signing_secret: string }>('/destinations/webhooks', {
      name: 'Control room',
      url: receiver.url,
      secret,
    })
    assert.match(receiver.requests[0]!.notification.text, /^Hello World! This is a test message/)
    receiver.signingSecret = signing_secret
    await api.post('/policies', {
      name: 'On air',
      alert_type: 'stream_live_notifications',
      enabled: true,
      mechanisms: { webhooks: [{ id }] },
      filters: {
        event_type: ['live_input.connected', 'live_input.disconnected', 'output.connected', 'output.reconnecting'],
      },
    })

    const input = await server.createInput()
    const key = input.rtmps.streamKey
    await server.addOutput(input.uid, { url: destination.url(), streamKey: 'key' })
    const first = await startFeed(server.rtmpUrl, key)
    await receiver.accepts(2)
    assert.deepEqual(receiver.events, ['live_input.connected', 'output.connected'])

    // Down, and the broadcast ends; another begins; the server is killed.
    await receiver.down()
    await first.stop()
    await waitFor('a failed attempt', async () =>
      (await api.deliveries()).find(
        ({ last_outcome }) => last_outcome?.error === 'Nothing listens at the host and port of the url.',
      ),
    )
    await using _second = await startFeed(server.rtmpUrl, key)
    await waitFor('the second broadcast', async () => (await api.deliveries()).length === 4)
    await server.restart('SIGKILL')
    const waiting = (await api.deliveries()).slice(2)
    // The first is tried again and again, the sooner the slower this machine is; the others wait for it.
    assert.deepEqual(
      waiting.map(({ event_type, state, attempts }) => [event_type, state, attempts > 0]),
      [
        ['live_input.disconnected', 'pending', true],
        ['live_input.connected', 'pending', false],
        ['live_input.disconnected', 'pending', false],
      ],
    )

    // Up again, but failing; then slow.
    receiver.status = 500
    await receiver.up()
    await waitFor('a refused attempt', () => receiver.requests.some(({ status }) => status === 500), 10_000)
    await waitFor('its outcome', async () => (await api.deliveries())[2]!.last_outcome?.status === 500)
    receiver.status = 200
    receiver.delayMs = 700
    await api.post(`/deliveries/${waiting[0]!.id}/resend`)
    await receiver.accepts(5)

    assert.deepEqual(receiver.events, [
      'live_input.connected',
      'output.connected',
      'live_input.disconnected',
      'live_input.connected',
      'live_input.disconnected',
    ])
    await waitFor('all outcomes', async () => (await api.deliveries()).every(({ state }) => state === 'delivered'))
    const deliveries = await api.deliveries()
    assert.deepEqual(
      receiver.accepted.map((request) => request.id),
      deliveries.map((delivery) => delivery.id),
      'each once, in order',
    )
    assert.ok(deliveries.every((delivery) => !delivery.out_of_order))
    for (const { id: repeated, body } of receiver.requests.filter(({ status }) => status === 500))
      assert.equal(receiver.accepted.find((request) => request.id === repeated)?.body, body)

    const [connected, outputConnected, disconnected, , afterKill] = receiver.accepted
    for (const { headers } of receiver.accepted) {
      assert.equal(headers['cf-webhook-auth'], secret)
      assert.equal(headers['content-type'], 'application/json')
      assert.equal(headers['webhook-out-of-order'], undefined)
    }
    for (const { notification } of [connected!, disconnected!]) {
      const { data, text, ts, name } = notification
      assert.deepEqual(data, {
        notification_name: 'Stream Live Input',
        input_id: input.uid,
        event_type: data['event_type'],
        updated_at: data['updated_at'],
      })
      assert.equal(ts, Math.floor(Date.parse(data['updated_at']!) / 1000))
      assert.equal(name, 'On air')
      assert.equal(
        text,
        `Notification type: Stream Live Input\nInput ID: ${input.uid}\nEvent type: ${data['event_type']}\nUpdated at: ${data['updated_at']}`,
      )
    }
    assert.deepEqual(outputConnected!.notification.data['output'], { state: 'connected', reason: 'connected' })
    assert.equal(afterKill!.notification.data['reason'], 'server_restarted')

    for (const file of await readdir(server.dataDir)) {
      const bytes = await readFile(join(server.dataDir, file)).catch(() => Buffer.alloc(0))
      for (const hidden of [secret, signing_secret, '/hooks/live']) assert.ok(!bytes.includes(hidden), file)
    }
    const log = JSON.stringify(server.log)
    for (const hidden of [secret, signing_secret, '/hooks/live']) assert.ok(!log.includes(hidden), 'the log')
  })

  test('receivers are bound by DESTINATION_ALLOW as outputs are', { timeout }, async () => {
    await using server = await startServer({
      settings: { DESTINATION_ALLOW: '' },
      hosts: { 'inside.example': '127.0.0.1' },
    })
    await using receiver = new Receiver(await freePort())
    await receiver.up()
    for (const host of ['127.0.0.1', 'inside.example']) {
      const { status, json } = await server.api(
        'POST',
        `/client/v4/accounts/${server.accountId}/alerting/v3/destinations/webhooks`,
        { name: 'x', url: `http://${host}:${receiver.port}/` },
      )
      assert.equal(status, 400)
      assert.match(json.errors[0]!.message, /127\.0\.0\.1 is a loopback address.*DESTINATION_ALLOW/)
    }
    assert.equal(receiver.requests.length, 0)
  })

  test('the receiver in docs/webhooks.md does what it says', { timeout }, async () => {
    await using server = await startServer()
    const page = await readFile(new URL('../../docs/webhooks.md', import.meta.url), 'utf8')
    const program = /```js\n([\s\S]*?)```/.exec(page)![1]!
    const port = await freePort()
    const run = (env: Record<string, string>) =>
      startProgram(process.execPath, ['--input-type=module', '--eval', program], {
        env: { ...process.env, PORT: String(port), ...env },
        // The package of the example is found from here.
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
      })
    const listens = () => waitFor('the receiver', () => isListening(port))
    const api = alerting(server)
    const body = { name: 'x', url: `http://127.0.0.1:${port}/`, secret }
    const made = await (async () => {
      await using _receiver = await run({ SECRET: secret })
      await listens()
      return await api.post<{ id: string; signing_secret: string }>('/destinations/webhooks', body)
    })()
    const delivered = async () =>
      (await api.post<{ delivered: boolean }>(`/destinations/webhooks/${made.id}/test`)).delivered
    {
      await using receiver = await run({ SIGNING_SECRET: made.signing_secret })
      await listens()
      assert.equal(await delivered(), true)
      await receiver.waitForLine(/^test/)
    }
    await using _receiver = await run({ SIGNING_SECRET: `whsec_${Buffer.alloc(24).toString('base64')}` })
    await listens()
    assert.equal(await delivered(), false)
  })
})
