import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { WireStatus } from '../../../src/model/lifecycle.ts'
import { freshMs, LiveStore } from './live-store.ts'

const account = 'a'.repeat(32)
const input = 'b'.repeat(32)
const output = 'c'.repeat(32)
const [opening, isOpen, isClosed] = [0, 1, 2]

/** What a browser gives, moved by hand. */
class FakeSource extends EventTarget {
  readonly url: string
  readyState = opening

  constructor(url: string) {
    super()
    this.url = url
  }

  close(): void {
    this.readyState = isClosed
  }

  opens(): void {
    this.readyState = isOpen
    this.dispatchEvent(new Event('open'))
  }

  /** @param final the server answered with something else than events: a browser tries no more. */
  fails(final: boolean): void {
    this.readyState = final ? isClosed : opening
    this.dispatchEvent(new Event('error'))
  }

  tells(name: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }))
  }
}

class Stage implements Disposable {
  readonly sources: FakeSource[] = []
  readonly store: LiveStore
  readonly told: string[] = []
  found: 'here' | 'signed-out' | 'away' = 'here'
  probes = 0

  constructor() {
    mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 })
    this.store = new LiveStore({
      open: (url) => {
        const source = new FakeSource(url)
        this.sources.push(source)
        return source as unknown as EventSource
      },
      now: () => Date.now(),
      probe: async () => {
        this.probes++
        return this.found
      },
    })
    this.store.onGap = () => this.told.push('gap')
    this.store.onSignedOut = () => this.told.push('signed out')
    this.store.follow(account)
  }

  get source(): FakeSource {
    return this.sources.at(-1)!
  }

  /** Seconds pass one by one; what is promised meanwhile is kept. */
  async passes(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      mock.timers.tick(Math.min(1_000, left))
      await settled()
    }
  }

  [Symbol.dispose](): void {
    this.store.follow(undefined)
    mock.timers.reset()
  }
}

const settled = () => new Promise(setImmediate)
const totals = (bitrateKbps: number) => ({
  inputs: [{ inputId: input, bitrateKbps, outputs: 2, outputsUp: 1, egressKbps: bitrateKbps }],
})
const figures = (kbps: number) => ({
  accountId: account,
  inputId: input,
  at: '2026-01-02T03:04:05.678Z',
  input: { bitrateKbps: kbps, bytesReceived: 1, warnings: [] },
  outputs: { [output]: { bitrateKbps: kbps } },
})
const status = (state: string, reason = state): WireStatus => ({
  current: {
    ...{ ingestProtocol: 'rtmp', state, reason },
    ...{ statusEnteredAt: '2026-01-02T03:04:05.678Z', statusLastSeen: '2026-01-02T03:04:05.678Z' },
  },
  history: [],
})

test('whoever shows something is told of its own changes alone', () => {
  using stage = new Stage()
  stage.source.opens()
  const calls: string[] = []
  for (const key of [input, output, 'connection', 'other']) stage.store.subscribe(key, () => calls.push(key))
  stage.source.tells('input.status', { accountId: account, inputId: input, status: status('connected') })
  stage.source.tells('output.status', { outputId: output, status: status('error', 'no_progress') })
  assert.deepEqual(calls, [input, output])
  assert.equal(stage.store.inputStatus(input)?.current.state, 'connected')
  assert.equal(stage.store.output(output)?.status.current.reason, 'no_progress')
})

test('figures are the same object until they change, and shown no more when nothing renews them', async () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('totals', totals(1_000))
  const before = stage.store.totals(input)
  stage.source.tells('totals', totals(1_000))
  assert.equal(stage.store.totals(input), before)
  stage.source.tells('totals', totals(2_000))
  assert.equal(stage.store.totals(input)?.bitrateKbps, 2_000)
  assert.deepEqual(stage.store.sum(), { inputs: 1, ingressKbps: 2_000, egressKbps: 2_000 })
  stage.source.tells('figures', figures(500))
  assert.equal(stage.store.outputHealth(input, output)?.bitrateKbps, 500)
  await stage.passes(freshMs + 1_000)
  assert.equal(stage.store.totals(input), undefined)
  assert.equal(stage.store.sum(), undefined)
  assert.equal(stage.store.inputHealth(input), undefined)
  assert.equal(stage.store.outputHealth(input, output), undefined)
})

test('an input whose broadcast ended has no totals', () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('totals', totals(1_000))
  stage.source.tells('totals', { inputs: [] })
  assert.equal(stage.store.totals(input), undefined)
})

test('the last figures of a broadcast, which the server repeats for a while, are not shown after its end', async () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('totals', totals(1_000))
  stage.source.tells('figures', figures(1_000))
  stage.source.tells('input.status', { inputId: input, status: status('disconnected', 'client_disconnect') })
  stage.source.tells('totals', totals(1_000))
  stage.source.tells('figures', figures(1_000))
  assert.equal(stage.store.totals(input), undefined)
  assert.equal(stage.store.outputHealth(input, output), undefined)
  assert.equal(stage.store.sum()?.inputs, 0)
  stage.source.tells('input.status', { inputId: input, status: status('connected') })
  stage.source.tells('figures', figures(900))
  assert.equal(stage.store.inputHealth(input)?.bitrateKbps, 900)
  stage.source.tells('input.status', { inputId: input, status: status('disconnected', 'client_disconnect') })
  await stage.passes(7_000)
  stage.source.tells('figures', figures(800))
  assert.equal(stage.store.inputHealth(input)?.bitrateKbps, 800, 'a beginning that was not heard of')
  stage.source.tells('input.status', { inputId: input, status: status('disconnected', 'reconnecting') })
  assert.equal(stage.store.inputHealth(input)?.bitrateKbps, 800, 'what is held is not over')
})

test('a watched input changes the address of the one stream, once for all changes of a step', async () => {
  using stage = new Stage()
  assert.match(stage.source.url, /events$/)
  const stop = stage.store.watch(input)
  const again = stage.store.watch(input)
  await settled()
  assert.equal(stage.sources.length, 2)
  assert.match(stage.source.url, new RegExp(`events\\?inputs=${input}$`))
  assert.equal(stage.sources[0]?.readyState, isClosed)
  stop()
  await settled()
  assert.equal(stage.sources.length, 2, 'somebody still looks at it')
  again()
  await settled()
  assert.match(stage.source.url, /events$/)
})

test('what a stream tells that was left is not heard', async () => {
  using stage = new Stage()
  const old = stage.source
  old.opens()
  stage.store.watch(input)
  await settled()
  old.tells('totals', totals(1_000))
  assert.equal(stage.store.totals(input), undefined)
})

test('a stream that breaks is lost after a moment; when it is back, everything is asked for again', async () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('reset', {})
  assert.deepEqual(stage.told, [], 'the first time, nothing was missed')
  assert.equal(stage.store.connection().name, 'fresh')
  const heardAt = Date.now()
  stage.source.fails(false)
  assert.equal(stage.store.connection().name, 'fresh')
  await stage.passes(4_000)
  assert.deepEqual(stage.store.connection(), { name: 'lost', since: heardAt })
  stage.source.opens()
  assert.equal(stage.store.connection().name, 'fresh')
  stage.source.tells('reset', {})
  assert.deepEqual(stage.told, ['gap'])
})

test('where the browser gives up, the stream is opened anew, ever more slowly', async () => {
  using stage = new Stage()
  stage.found = 'away'
  for (let count = 0; count < 4; count++) {
    stage.source.fails(true)
    const before = stage.sources.length
    await stage.passes(16_000)
    assert.equal(stage.sources.length, before + 1)
  }
  assert.equal(stage.store.connection().name, 'lost')
  stage.source.opens()
  assert.equal(stage.store.connection().name, 'fresh')
})

test('who is signed out is told so, and not that the server is away', async () => {
  using stage = new Stage()
  stage.found = 'signed-out'
  stage.source.fails(true)
  await settled()
  assert.deepEqual(stage.told, ['signed out'])
})

test('an open stream that is silent is trusted only as long as the server answers', async () => {
  using stage = new Stage()
  stage.source.opens()
  await stage.passes(30_000)
  assert(stage.probes > 0)
  assert.equal(stage.store.connection().name, 'fresh')
  assert.equal(stage.sources.length, 1)
  stage.found = 'away'
  await stage.passes(10_000)
  assert.equal(stage.store.connection().name, 'lost')
  stage.found = 'here'
  await stage.passes(10_000)
  assert.equal(stage.sources.length, 2, 'what was missed is asked of a new stream')
})

test('while nobody looks there is no connection; who looks again sees nothing old', async () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('totals', totals(1_000))
  stage.store.pause()
  assert.equal(stage.source.readyState, isClosed)
  mock.timers.setTime(Date.now() + 60_000)
  await stage.passes(20_000)
  assert.equal(stage.sources.length, 1)
  assert.equal(stage.probes, 0)
  assert.equal(stage.store.connection().name, 'fresh', 'nobody is told what nobody sees')
  stage.store.watch(input)
  await settled()
  assert.equal(stage.sources.length, 1)
  stage.store.resume()
  assert.equal(stage.store.totals(input), undefined)
  assert.equal(stage.sources.length, 2)
  assert.match(stage.source.url, /inputs=/)
  stage.source.opens()
  stage.source.tells('reset', {})
  assert.deepEqual(stage.told, ['gap'])
  stage.store.resume()
  assert.equal(stage.sources.length, 2)
})

test('another account begins with nothing', () => {
  using stage = new Stage()
  stage.source.opens()
  stage.source.tells('totals', totals(1_000))
  stage.source.tells('input.status', { inputId: input, status: status('connected') })
  stage.store.follow('d'.repeat(32))
  assert.equal(stage.store.totals(input), undefined)
  assert.equal(stage.store.inputStatus(input), undefined)
  assert.equal(stage.store.history(input), undefined)
  assert.equal(stage.store.connection().name, 'connecting')
  assert.match(stage.source.url, /d{32}\/stream\/events$/)
})
