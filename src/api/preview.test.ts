import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { type TestContext, test } from 'node:test'
import { type ApiFixture, account, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import type { StreamSink } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import type { LiveInputId } from '../model/id.ts'
import { previewSubject } from '../model/preview.ts'
import type { WireCreatedToken } from './account-schemas.ts'
import { previewsMax, previewsPerAccountMax, previewsPerInputMax } from './preview-limits.ts'
import type { ApiOptions } from './server.ts'

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })
const pathOf = (input: string, of: string = account) =>
  `/client/v4/accounts/${of}/stream/live_inputs/${input}/preview.flv`

type Stage = ApiFixture & {
  readonly clock: ManualClock
  readonly port: number
  /** Someone publishes: everyone who watches gets 'FLV' and a sink of their own. */
  goLive(input: string): { readonly sinks: StreamSink[]; stop: () => void }
  watch(
    input: string,
    options?: { token?: string; account?: string; headers?: Record<string, string> },
  ): Promise<Viewer>
}

type Viewer = {
  readonly answer: IncomingMessage
  readonly code: () => Promise<number>
  readonly ended: Promise<unknown>
  next(): Promise<string>
  leave(): void
}

async function stage(t: TestContext, options: Pick<ApiOptions, 'deadlines'> = {}): Promise<Stage> {
  const clock = new ManualClock()
  const liveBus = new InProcessBus({
    onError(error) {
      throw error
    },
  })
  const server = await startApi({ clock, bus: liveBus, ...options })
  const { port } = await server.api.listen('127.0.0.1', 0)
  const viewers = new Set<Viewer>()
  t.after(async () => {
    for (const viewer of viewers) viewer.leave()
    await server.api.close()
    await liveBus.close()
  })
  return Object.assign(server, {
    clock,
    port,
    goLive(input: string) {
      const sinks: StreamSink[] = []
      const stop = liveBus.serveStream(previewSubject(input as LiveInputId), (_message, sink) => {
        sinks.push(sink)
        sink.write(Buffer.from('FLV'))
      })
      return { sinks, stop }
    },
    async watch(input: string, options: { token?: string; account?: string; headers?: Record<string, string> } = {}) {
      const headers = options.headers ?? bearer(options.token ?? token)
      const path = pathOf(input, options.account)
      const asking = get({ host: '127.0.0.1', port, path, headers, agent: false })
      const [answer] = (await once(asking, 'response')) as [IncomingMessage]
      const ended = once(answer, 'close')
      const viewer: Viewer = {
        answer,
        ended,
        async code() {
          const pieces: Buffer[] = []
          for await (const piece of answer) pieces.push(piece as Buffer)
          return JSON.parse(Buffer.concat(pieces).toString()).errors[0].code
        },
        async next() {
          for (;;) {
            const piece = answer.read() as Buffer | null
            if (piece !== null) return piece.toString()
            await once(answer, 'readable')
          }
        },
        leave: () => answer.destroy(),
      }
      answer.on('error', () => {})
      viewers.add(viewer)
      return viewer
    },
  })
}

async function newInput(server: Stage, of: string = account): Promise<string> {
  const { uid } = await server.result('POST', inputsPath.replace(account, of))
  return uid
}

test('bytes go through as they come, until the broadcast ends', { timeout: 30_000 }, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const { sinks, stop } = server.goLive(input)
  const viewer = await server.watch(input)
  assert.equal(viewer.answer.statusCode, 200)
  const { headers } = viewer.answer
  assert.equal(headers['content-type'], 'video/x-flv')
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
  assert.equal(await viewer.next(), 'FLV')
  sinks[0]?.write(Buffer.from('more'))
  assert.equal(await viewer.next(), 'more')
  sinks[0]?.write(Buffer.from('last'))
  sinks[0]?.end()
  stop()
  assert.equal(await viewer.next(), 'last')
  viewer.answer.resume()
  await viewer.ended
  assert.ok(viewer.answer.complete)
})

test('where nothing is live, or no key frame comes, it says so', { timeout: 30_000 }, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const none = await server.watch(input)
  assert.deepEqual([none.answer.statusCode, await none.code()], [404, 11404])
  const unknown = await server.watch('f'.repeat(32))
  assert.deepEqual([unknown.answer.statusCode, await unknown.code()], [404, 10003])

  let opened = 0
  const silent = await newInput(server)
  const bus = new InProcessBus({ onError: () => {} })
  await using other = await startApi({ clock: server.clock, bus, store: server.store, cipher: server.cipher })
  bus.serveStream(previewSubject(silent as LiveInputId), () => {
    opened++
  })
  const waiting = other.api.inject({ url: pathOf(silent), headers: bearer(token) })
  while (opened === 0) await new Promise((resolve) => setImmediate(resolve))
  server.clock.advance(15_000)
  const answer = await waiting
  assert.deepEqual([answer.statusCode, answer.json().errors[0].code], [404, 11404])
  await bus.close()
})

test('two accounts cannot see each other’s picture', { timeout: 30_000 }, async (t) => {
  const server = await stage(t)
  const two = await server.result<{ id: string }>('POST', '/client/v4/accounts', { name: 'Two' })
  const tokenOfTwo = await server.result<WireCreatedToken>('POST', `/client/v4/accounts/${two.id}/tokens`, {
    name: 'two',
    scopes: ['Stream Write'],
  })
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  for (const [of, status, code] of [
    [account, 403, 10000],
    [two.id, 404, 10003],
  ] as const) {
    const viewer = await server.watch(input, { token: tokenOfTwo.value, account: of })
    assert.deepEqual([viewer.answer.statusCode, await viewer.code()], [status, code])
  }
  const stranger = await server.watch(input, { headers: {} })
  assert.deepEqual([stranger.answer.statusCode, await stranger.code()], [400, 9106])
  const managing = await server.result<WireCreatedToken>('POST', `/client/v4/accounts/${account}/tokens`, {
    name: 'no media',
    scopes: ['Account API Tokens Write'],
  })
  assert.equal((await server.watch(input, { token: managing.value })).answer.statusCode, 403)
  assert.equal(sinks.length, 0)
})

test('a few watch one live input, some more in an account and in all; who leaves makes room', {
  timeout: 30_000,
}, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  const viewers: Viewer[] = []
  for (let count = 0; count < previewsPerInputMax; count++) viewers.push(await server.watch(input))
  const refused = await server.watch(input)
  assert.deepEqual([refused.answer.statusCode, refused.answer.headers['retry-after']], [429, '5'])
  assert.equal(await refused.code(), 11429)
  const gone = once(sinks[0]!.signal, 'abort')
  viewers[0]!.leave()
  await gone
  viewers[0] = await server.watch(input)
  assert.equal(viewers[0].answer.statusCode, 200)

  const newAccount = async (name: string) => {
    const { id } = await server.result<{ id: string }>('POST', '/client/v4/accounts', { name })
    return id
  }
  const watchAnother = async (of: string) => {
    const another = await newInput(server, of)
    server.goLive(another)
    return server.watch(another, { account: of })
  }
  const second = await newAccount('Second')
  while (viewers.length < previewsPerAccountMax) viewers.push(await watchAnother(account))
  assert.equal((await watchAnother(account)).answer.statusCode, 429)
  // Another account still has its places.
  while (viewers.length < previewsMax) viewers.push(await watchAnother(second))
  assert.ok(viewers.every(({ answer }) => answer.statusCode === 200))
  assert.equal((await watchAnother(await newAccount('Third'))).answer.statusCode, 429)
  // What was refused, or nothing was live for, holds no place.
  viewers.pop()!.leave()
  for (let count = 0; count < 3; count++) {
    const empty = await newInput(server, second)
    const tried = await server.watch(empty, { account: second })
    assert.ok(tried.answer.statusCode === 404 || tried.answer.statusCode === 429)
  }
})

test('nothing is read ahead for a viewer who does not read, and at last it is let go', {
  timeout: 30_000,
}, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  const viewer = await server.watch(input)
  viewer.answer.pause()
  const sink = sinks[0]!
  let written = 0
  const piece = Buffer.alloc(64 * 1024)
  const fill = () => {
    for (let hasCredit = true; hasCredit; written += piece.length) {
      assert.ok(written < 100 * 1024 * 1024, 'more than sockets hold: it is kept in this process')
      hasCredit = sink.write(piece)
    }
  }
  sink.onDrain = fill
  fill()
  // The sockets of both ends take some megabytes; then nothing moves, and the clock does.
  while (!sink.signal.aborted) {
    const before = written
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
    if (written === before) server.clock.advance(30_000)
  }
  assert.ok(written >= 512 * 1024)
})

test('silence while an input is held ends no preview', { timeout: 30_000 }, async (t) => {
  const server = await stage(t, { deadlines: { headersMs: 10_000, requestMs: 30_000, unreadMs: 300 } })
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  const viewer = await server.watch(input)
  assert.equal(await viewer.next(), 'FLV')
  // A listener to events, whose clock stands still, is cut for its silence; the viewer has been silent for longer.
  const path = `/client/v4/accounts/${account}/stream/events`
  const asking = get({ host: '127.0.0.1', port: server.port, path, headers: bearer(token), agent: false })
  const [events] = (await once(asking, 'response')) as [IncomingMessage]
  events.on('error', () => {}).resume()
  await new Promise((resolve) => events.once('close', resolve))
  sinks[0]?.write(Buffer.from('back'))
  assert.equal(await viewer.next(), 'back')
})

test('a token that is revoked sees nothing more, nor does a session that is signed out', {
  timeout: 30_000,
}, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  const made = await server.result<WireCreatedToken>('POST', `/client/v4/accounts/${account}/tokens`, {
    name: 'a viewer',
    scopes: ['Stream Read'],
  })
  const viewer = await server.watch(input, { token: made.value })
  assert.equal(await viewer.next(), 'FLV')
  await server.call('DELETE', `/client/v4/accounts/${account}/tokens/${made.id}`)
  const gone = once(sinks[0]!.signal, 'abort')
  server.clock.advance(1_000)
  await gone
  viewer.answer.resume()
  await viewer.ended

  const ours = { 'x-stream-connect': 'dashboard', 'sec-fetch-site': 'same-origin' }
  const signedIn = await server.api.inject({
    method: 'POST',
    url: '/dashboard/session',
    headers: ours,
    payload: JSON.stringify({ token }),
  })
  const cookie = String(signedIn.headers['set-cookie']).split(';', 1)[0]!
  const watching = await server.watch(input, { headers: { cookie, ...ours } })
  assert.equal(await watching.next(), 'FLV')
  await server.api.inject({ method: 'DELETE', url: '/dashboard/session', headers: { cookie, ...ours } })
  server.clock.advance(1_000)
  watching.answer.resume()
  await watching.ended
})

test('closing the API ends every preview, and HEAD opens none', { timeout: 30_000 }, async (t) => {
  const server = await stage(t)
  const input = await newInput(server)
  const { sinks } = server.goLive(input)
  const head = await server.call('HEAD', pathOf(input))
  assert.deepEqual([head.status, head.headers['content-type'], sinks.length], [200, 'video/x-flv', 0])
  const viewer = await server.watch(input)
  assert.equal(await viewer.next(), 'FLV')
  viewer.answer.resume()
  await Promise.all([server.api.close(), viewer.ended])
  assert.ok(sinks[0]?.signal.aborted)
})
