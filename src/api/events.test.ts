import assert from 'node:assert/strict'
import { get, IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { type ApiFixture, account, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import { MemoryBus } from '../../test/support/memory-bus.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import { figuresSubject, type InputFigures, inputStateSubject, mediaSubjects } from '../model/status.ts'
import { EventStreams } from './events.ts'

type SentEvent = { readonly id?: string; readonly event: string; readonly data: Record<string, unknown> }

const eventsPath = `/client/v4/accounts/${account}/stream/events`
const eventsRoute = '/client/v4/accounts/:account_id/stream/events'
const stranger = 'e'.repeat(32) as AccountId

/** One program that listens, until it is disposed of. */
class Listener implements Disposable {
  readonly #response: IncomingMessage
  readonly #events: SentEvent[] = []
  readonly #names: string[] = []
  #text = ''
  #wake = () => {}
  readonly ended: Promise<void>

  constructor(response: IncomingMessage) {
    this.#response = response
    this.ended = new Promise((resolve) => response.once('end', resolve).once('close', resolve))
    response.setEncoding('utf8').on('data', (text: string) => {
      const parts = (this.#text + text).split('\n\n')
      this.#text = parts.pop() ?? ''
      for (const part of parts) {
        const fields = Object.fromEntries(part.split('\n').map((line) => line.split(/: ?(.*)/s).slice(0, 2)))
        if (fields['event'] === undefined) continue
        this.#names.push(fields['event'])
        this.#events.push({ ...fields, data: JSON.parse(fields['data']) } as unknown as SentEvent)
      }
      this.#wake()
    })
  }

  /** So far; of those that `next` has returned or passed over, too. */
  seen(name: string): number {
    return this.#names.filter((each) => each === name).length
  }

  get headers() {
    return this.#response.headers
  }

  /** The next event of this name; those before it are passed over. */
  async next(name: string): Promise<SentEvent> {
    for (;;) {
      const event = this.#events.shift()
      if (event?.event === name) return event
      if (event === undefined)
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }

  [Symbol.dispose](): void {
    this.#response.destroy()
  }
}

async function listening(): Promise<ApiFixture & { port: number }> {
  const server = await startApi()
  const { port } = await server.api.listen('127.0.0.1', 0)
  return Object.assign(server, { port })
}

function listen(port: number, query = '', headers: Record<string, string> = {}): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const all = { authorization: `Bearer ${token}`, ...headers }
    get({ host: '127.0.0.1', port, path: eventsPath + query, headers: all, agent: false }, (response) => {
      if (response.statusCode === 200) resolve(new Listener(response))
      else reject(new Error(`${response.statusCode}`))
    }).once('error', reject)
  })
}

function become(server: ApiFixture, state: string, of: AccountId = account): void {
  const inputId = 'a'.repeat(32) as LiveInputId
  const moment = { ingestProtocol: 'rtmp', state, reason: state, statusEnteredAt: '2026-01-02T03:04:05.678Z' } as const
  const status = { current: { ...moment, statusLastSeen: moment.statusEnteredAt }, history: [] }
  server.bus.publish(inputStateSubject(of, inputId), { accountId: of, inputId, status })
}

function figures(inputId: string, accountId = account): InputFigures {
  const output = {
    ...{
      bitrateKbps: 2_000,
      bytesSent: 1,
      messagesSent: 1,
      droppedMessages: 0,
      dropped: { lag: 0, overtaken: 0, late: 0 },
      droppedMs: 0,
      lagMs: 0,
    },
    ...{ attempts: 1, reconnects: 0, connectedAt: '2026-01-02T03:04:05.678Z' },
  }
  return {
    accountId,
    inputId: inputId as LiveInputId,
    at: '2026-01-02T03:04:05.678Z',
    input: { bitrateKbps: 2_500, bytesReceived: 1, warnings: [] },
    outputs: { one: output },
  }
}

function tellFigures(server: ApiFixture, one: InputFigures): void {
  server.bus.publish(figuresSubject(one.accountId, one.inputId), structuredClone(one) as never)
}

const stateOf = ({ data }: SentEvent) => (data['status'] as { current: { state: string } }).current.state

test('changes of state are told as they happen, those of the own account alone', async () => {
  await using server = await listening()
  using listener = await listen(server.port)
  assert.match(listener.headers['content-type'] ?? '', /^text\/event-stream/)
  await listener.next('reset')
  become(server, 'connected', stranger)
  become(server, 'connected')
  const event = await listener.next('input.status')
  assert.equal(event.data['accountId'], account)
  assert.equal(stateOf(event), 'connected')
})

test('who comes back is told what was missed, and who cannot be is told to list again', async () => {
  await using server = await listening()
  let lastId = ''
  {
    using listener = await listen(server.port)
    await listener.next('reset')
    become(server, 'connected')
    lastId = (await listener.next('input.status')).id ?? ''
  }
  become(server, 'disconnected')
  become(server, 'connected')
  using back = await listen(server.port, '', { 'last-event-id': lastId })
  assert.equal(stateOf(await back.next('input.status')), 'disconnected')
  assert.equal(stateOf(await back.next('input.status')), 'connected')
  for (const unknown of ['', 'nonsense', `other-1`, `${lastId}0`, `${lastId}999999999999999999999`]) {
    using anew = await listen(server.port, '', { 'last-event-id': unknown })
    await anew.next('reset')
    // The list may be behind what happened a moment ago.
    assert.equal(stateOf(await anew.next('input.status')), 'connected')
  }
})

test('a busy account takes nothing of what is remembered from a quiet one, whose own thousand are a bound', async () => {
  await using server = await listening()
  let lastId = ''
  {
    using listener = await listen(server.port)
    await listener.next('reset')
    become(server, 'connected')
    lastId = (await listener.next('input.status')).id ?? ''
  }
  become(server, 'disconnected')
  for (let account = 0; account < 11; account++)
    for (let count = 0; count < 1_000; count++)
      become(server, 'connected', account.toString(16).padStart(32, '0') as AccountId)
  {
    using back = await listen(server.port, '', { 'last-event-id': lastId })
    assert.equal(stateOf(await back.next('input.status')), 'disconnected')
    assert.equal(back.seen('reset'), 0)
  }
  for (let count = 0; count < 1_000; count++) become(server, 'connected')
  using late = await listen(server.port, '', { 'last-event-id': lastId })
  await late.next('reset')
})

test('figures are of the live inputs that are named, else totals; never of another account', async () => {
  await using server = await listening()
  const [mine, other] = ['a'.repeat(32), 'b'.repeat(32)]
  const foreign = 'c'.repeat(32)
  for (const one of [figures(mine), figures(other), figures(foreign, stranger)]) tellFigures(server, one)
  await new Promise(setImmediate)
  using totals = await listen(server.port)
  assert.deepEqual((await totals.next('totals')).data['inputs'], [
    { inputId: mine, bitrateKbps: 2_500, outputs: 1, outputsUp: 1, egressKbps: 2_000 },
    { inputId: other, bitrateKbps: 2_500, outputs: 1, outputsUp: 1, egressKbps: 2_000 },
  ])
  using named = await listen(server.port, `?inputs=${foreign},${other}`)
  assert.deepEqual((await named.next('figures')).data, figures(other))
  // Told again, a second later, though nothing came meanwhile.
  assert.equal((await named.next('figures')).data['inputId'], other)
})

test('whoever listens has the media threads tell all figures every second; without outputs they are those of before', async () => {
  await using server = await listening()
  let asked = 0
  server.bus.subscribe(mediaSubjects.figuresWanted, () => asked++)
  const mine = 'a'.repeat(32)
  const { outputs, ...only } = figures(mine)
  tellFigures(server, figures(mine))
  tellFigures(server, { ...only, input: { ...only.input, bitrateKbps: 2_600 } } as InputFigures)
  await new Promise(setImmediate)
  assert.equal(asked, 0)
  using named = await listen(server.port, `?inputs=${mine}`)
  const told = (await named.next('figures')).data as unknown as InputFigures
  assert.equal(told.input.bitrateKbps, 2_600)
  assert.deepEqual(told.outputs, outputs)
  await named.next('figures')
  assert.ok(asked >= 2, `asked ${asked} times`)
})

test('figures that were not told for some seconds are not shown, and the outputs are known when they are told again', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const { port } = await server.api.listen('127.0.0.1', 0)
  const mine = 'a'.repeat(32)
  const { outputs, ...only } = figures(mine)
  tellFigures(server, figures(mine))
  await new Promise(setImmediate)
  clock.advance(12_000)
  {
    using totals = await listen(port)
    assert.deepEqual((await totals.next('totals')).data['inputs'], [])
  }
  tellFigures(server, only as InputFigures)
  await new Promise(setImmediate)
  using named = await listen(port, `?inputs=${mine}`)
  assert.deepEqual((await named.next('figures')).data['outputs'], outputs)
})

test('it takes a token of the account that may read', async () => {
  await using server = await listening()
  await assert.rejects(listen(server.port, '', { authorization: 'Bearer nobody' }), /403/)
  const elsewhere = eventsPath.replace(account, stranger)
  assert.equal((await server.call('GET', elsewhere)).status, 403)
})

test('who listens is let go when the token is revoked', async () => {
  await using server = await listening()
  const tokens = `/client/v4/accounts/${account}/tokens`
  const made = await server.result<{ id: string; value: string }>('POST', tokens, {
    name: 'watcher',
    scopes: ['Stream Read'],
  })
  using listener = await listen(server.port, '', { authorization: `Bearer ${made.value}` })
  await listener.next('reset')
  assert.equal((await server.call('DELETE', `${tokens}/${made.id}`)).status, 200)
  await listener.ended
  const isLogged = () => server.accessLog.some(({ fields }) => 'route' in fields && fields.route === eventsRoute)
  while (!isLogged()) await new Promise(setImmediate)
  const { body } = await server.api.inject({ method: 'GET', url: '/metrics' })
  assert.match(body, /http_request_seconds_count\{/)
  assert.ok(!body.includes(`route="${eventsRoute}"`), 'how long somebody has listened is no latency')
})

test('the end of the server ends those who listen, and waits for none of them', async () => {
  const server = await listening()
  using listener = await listen(server.port)
  await listener.next('reset')
  const began = performance.now()
  await server.api.close()
  await listener.ended
  assert.ok(performance.now() - began < 1_500)
  assert.equal(server.bus.subscriberCount, 0)
})

test('HEAD has no body and no end to wait for, other methods are refused, and so are ids that are none', async () => {
  await using server = await startApi()
  const head = await server.call('HEAD', eventsPath)
  assert.deepEqual([head.status, head.text], [200, ''])
  assert.match(String(head.headers['content-type']), /^text\/event-stream/)
  assert.equal((await server.call('POST', eventsPath)).status, 405)
  for (const inputs of [
    '',
    'a',
    `${'a'.repeat(32)},`,
    Array.from({ length: 101 }, (_, n) => n.toString(16).padStart(32, '0')).join(),
  ]) {
    const { status, body } = await server.call('GET', `${eventsPath}?inputs=${inputs}`)
    assert.deepEqual([status, body.errors[0]?.source?.pointer], [400, '/inputs'], inputs)
  }
})

test('a listener that does not read is let go', () => {
  const clock = new ManualClock()
  const bus = new MemoryBus()
  const streams = new EventStreams(bus, clock, 'run')
  // Nobody takes what is written to it.
  const response = new ServerResponse(new IncomingMessage(new Socket()))
  const who = { accountId: account, inputs: new Set<string>(), mayListen: () => true }
  streams.listen({ ...who, response, lastEventId: undefined, headers: {} })
  while (!response.destroyed) {
    assert.ok(response.writableLength < 2 * 1024 * 1024, 'all is kept in memory, without end')
    clock.advance(1_000)
  }
  assert.ok(response.writableLength > 1024 * 1024)
  assert.equal(streams.countOf(account), 0)
  streams.close()
})

test('an account has a hundred listeners at most', async () => {
  await using server = await listening()
  const listeners = await Promise.all(Array.from({ length: 100 }, () => listen(server.port)))
  await assert.rejects(listen(server.port), /429/)
  const gone = listeners.pop()
  gone?.[Symbol.dispose]()
  for (;;)
    try {
      listeners.push(await listen(server.port))
      break
    } catch {
      // The server has not seen yet that one is gone.
    }
  assert.match(String((await server.call('GET', inputsPath)).status), /200/)
  for (const listener of listeners) listener[Symbol.dispose]()
})
