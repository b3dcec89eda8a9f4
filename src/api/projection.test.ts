import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { account, inputsPath, ManualClock, startApi } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { systemClock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import { type LiveInputId, newLiveInputId } from '../model/id.ts'
import { encodeLiveInput, type LiveInput, liveInputKey } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { SecretBox } from '../secret.ts'
import type { WatchEvent } from '../store/store.ts'
import { Projection } from './projection.ts'

const cipher = new SecretBox(randomBytes(32))
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn()
}

function anInput(name: string, uid = newLiveInputId()): LiveInput {
  const created = '2026-01-02T03:04:05.678000Z'
  return {
    ...{ uid, accountId: account, created, modified: created, meta: { name }, enabled: true, outputs: [] },
    streamKey: newStreamKey(uid),
  }
}

async function project(store: MemoryStore, options: { clock?: ManualClock; log?: string[] } = {}) {
  const ending = new AbortController()
  const write = (_fields: object, sentence: string) => void options.log?.push(sentence)
  const projection = new Projection({
    store,
    cipher,
    clock: options.clock ?? systemClock,
    log: { debug: write, info: write, warn: write, error: write },
    ownerIsAlive: () => true,
  })
  await projection.start(ending.signal)
  const names = () =>
    projection
      .list(account)
      .map((input) => input.meta['name'])
      .sort()
  return { projection, names, [Symbol.dispose]: () => ending.abort() }
}

async function put(store: MemoryStore, input: LiveInput): Promise<number> {
  return await store.put(liveInputKey(input.uid), encodeLiveInput(input, cipher), 'any')
}

test('what the store holds is there when the start is over, and follows it', async () => {
  const store = new MemoryStore()
  const [one, two] = [anInput('one'), anInput('two')]
  await put(store, one)
  using projected = await project(store)
  assert.deepEqual(projected.names(), ['one'])
  await projected.projection.reached(two.uid, await put(store, two))
  await projected.projection.reached(one.uid, await store.delete(liveInputKey(one.uid), 'any'))
  assert.deepEqual(projected.names(), ['two'])
  assert.equal(projected.projection.count(account), 1)
})

test('a gap is closed: what was deleted, added and changed unseen shows', async () => {
  const store = new MemoryStore()
  const [kept, deleted, changed, added] = ['kept', 'deleted', 'changed', 'added'].map((name) => anInput(name)) as [
    LiveInput,
    LiveInput,
    LiveInput,
    LiveInput,
  ]
  for (const input of [kept, deleted, changed]) await put(store, input)
  using projected = await project(store)
  let waiting: Promise<unknown> | undefined
  await store.loseEvents(async () => {
    const revision = await store.delete(liveInputKey(deleted.uid), 'any')
    waiting = projected.projection.reached(deleted.uid, revision)
    await put(store, { ...changed, meta: { name: 'anew' } })
    await put(store, added)
    assert.deepEqual(projected.names(), ['changed', 'deleted', 'kept'], 'until then reads go on')
  })
  await waiting
  assert.deepEqual(projected.names(), ['added', 'anew', 'kept'])
  // The watch of the statuses has lost events, too, and lists by itself.
  await until(() => projected.projection.isCurrent())
})

test('who waits is let go by its own revision or a later one, however late he asks', async () => {
  const store = new MemoryStore()
  const input = anInput('one')
  using projected = await project(store)
  const { projection } = projected
  const first = await put(store, input)
  const second = await put(store, input)
  let isReached = false
  void projection.reached(input.uid, second + 1).then(() => {
    isReached = true
  })
  await projection.reached(input.uid, second)
  await projection.reached(input.uid, first)
  await turn()
  assert.ok(!isReached, 'not yet written')
  const tombstone = await store.delete(liveInputKey(input.uid), 'any')
  await until(() => isReached)
  await projection.reached(input.uid, tombstone)
})

test('a watch that breaks is begun again, and until then the projection is not current', async () => {
  const clock = new ManualClock()
  const log: string[] = []
  const input = anInput('one')
  const breaks = Promise.withResolvers<never>()
  class BreakingStore extends MemoryStore {
    watches = 0
    override async *watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
      if (prefix !== 'input' || this.watches++ > 0) return yield* super.watch(prefix, signal)
      yield { type: 'upToDate' }
      await breaks.promise
    }
  }
  const store = new BreakingStore()
  using projected = await project(store, { clock, log })
  await put(store, input)
  assert.deepEqual(projected.names(), [])
  breaks.reject(new CodedError('store_failed'))
  await until(() => log.length > 0)
  assert.deepEqual(log, ['the watch of the store failed; watching again'])
  assert.ok(!projected.projection.isCurrent())
  clock.advance(1_000)
  await until(() => projected.projection.isCurrent())
  assert.deepEqual(projected.names(), ['one'])
})

test('a document that cannot be read is left out and told to the log; the others are there', async () => {
  const store = new MemoryStore()
  const log: string[] = []
  const sealedElsewhere = encodeLiveInput(anInput('other key'), new SecretBox(randomBytes(32)))
  await store.put(liveInputKey('1'.repeat(32) as LiveInputId), sealedElsewhere, 'absent')
  await store.put(liveInputKey('2'.repeat(32) as LiveInputId), '{"version":2}', 'absent')
  await put(store, anInput('good'))
  using projected = await project(store, { log })
  assert.deepEqual(projected.names(), ['good'])
  assert.equal(log.length, 2)
})

test('an API whose store tells nothing does not start, and does not wait for ever', async () => {
  const clock = new ManualClock()
  class SilentStore extends MemoryStore {
    override async *watch(_prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      yield* []
    }
  }
  const starting = startApi({ store: new SilentStore(), clock })
  const refused = assert.rejects(starting, { name: 'Refusal', status: 503 })
  for (let seconds = 0; seconds < 15; seconds++) {
    await turn()
    await turn()
    clock.advance(1_000)
  }
  await refused
})

test('a store that does not answer becomes 503 after ten seconds, and what was asked does not happen later', async () => {
  const clock = new ManualClock()
  const store = new MemoryStore()
  await using server = await startApi({ store, clock })
  const { uid } = await server.result('POST', inputsPath)
  const hanging = Promise.withResolvers<void>()
  let asked = 0
  store.before = () => {
    asked++
    return hanging.promise
  }
  const path = `${inputsPath}/${uid}`
  const answers = Promise.all([
    server.call('POST', inputsPath),
    server.call('PUT', path, { meta: { a: 1 } }),
    server.call('PUT', path, { meta: { a: 2 } }),
    server.call('DELETE', path),
  ])
  await until(() => asked === 2)
  clock.advance(9_999)
  await turn()
  clock.advance(1)
  for (const answer of await answers) {
    assert.equal(answer.status, 503, answer.text)
    assert.equal(answer.body.errors[0]!.code, 11503)
    assert.equal(answer.headers['retry-after'], '1')
  }
  assert.equal((await server.call('GET', path)).status, 200, 'reads go on')
  store.before = undefined
  hanging.resolve()
  await server.result('POST', `${path}/disable`)
  assert.notDeepEqual((await server.result('GET', path)).meta, { a: 2 }, 'the second PUT never began')
})

test('a write that is durable is answered with yes, though the watch be late', async () => {
  const clock = new ManualClock()
  class LateStore extends MemoryStore {
    isSilent = false
    override async *watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
      for await (const event of super.watch(prefix, signal)) if (!this.isSilent) yield event
    }
  }
  const store = new LateStore()
  await using server = await startApi({ store, clock })
  store.isSilent = true
  const answer = server.call('POST', inputsPath)
  while ((await store.list('input')).length === 0) await turn()
  for (let i = 0; i < 5; i++) await turn()
  clock.advance(10_000)
  assert.equal((await answer).status, 200)
  assert.deepEqual(
    server.log.map(({ level }) => level),
    ['warn'],
  )
})
