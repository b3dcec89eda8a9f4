import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import type { Log } from '../log.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import { type Delivery, type DeliveryOutcome, decodeDelivery, deliveryKey } from '../model/webhook.ts'
import {
  atOnceMax,
  atOnceOfAccountMax,
  DeliveryQueue,
  deliveriesMax,
  failuresThatHoldUp,
  givenUpMs,
  keptMs,
  pendingMax,
} from './delivery-queue.ts'

const account = 'a'.repeat(32) as AccountId
const silent: Log = { error() {}, warn() {}, info() {}, debug() {}, trace() {}, child: () => silent }

/** Enough turns of the loop for everything that does not wait for the clock. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

type Attempt = { readonly id: string; readonly atMs: number; readonly outOfOrder: boolean }
type Answer = number | 'no destination' | Promise<number>

class Bench implements AsyncDisposable {
  readonly clock = new ManualClock()
  readonly store: MemoryStore
  readonly attempts: Attempt[] = []
  queue: DeliveryQueue
  /** What the receiver answers. */
  answer: (delivery: Delivery) => Answer = () => 200
  #made = 0

  constructor(store = new MemoryStore()) {
    this.store = store
    this.queue = this.#newQueue()
  }

  #newQueue(): DeliveryQueue {
    return new DeliveryQueue({
      store: this.store,
      clock: this.clock,
      log: silent,
      random: () => 0.5,
      attempt: async (delivery, outOfOrder) => {
        this.attempts.push({ id: delivery.id, atMs: this.clock.now(), outOfOrder })
        const status = await this.answer(delivery)
        return status === 'no destination' ? undefined : this.outcome(status)
      },
    })
  }

  outcome(status: number): DeliveryOutcome {
    return { at: new Date(this.clock.now()).toISOString(), status, durationMs: 1 }
  }

  delivery(changes: Partial<Delivery> = {}): Delivery {
    const now = this.clock.now()
    return {
      id: `event${String(++this.#made).padStart(6, '0')}`,
      accountId: account,
      policyId: 'policy',
      destinationId: 'destination',
      inputId: 'input' as LiveInputId,
      eventType: 'live_input.connected',
      body: '{}',
      created: new Date(now).toISOString(),
      state: 'pending',
      attempts: 0,
      failures: 0,
      nextAttemptAt: now,
      giveUpAt: now + givenUpMs,
      ...changes,
    }
  }

  /** Adds, and waits for the first attempts. */
  async add(...deliveries: Delivery[]): Promise<void> {
    await this.queue.add(deliveries)
    await settled()
  }

  async pass(durationMs: number): Promise<void> {
    this.clock.advance(durationMs)
    await settled()
  }

  async start(): Promise<void> {
    await this.queue.load(() => {})
    this.queue.start()
    await settled()
  }

  /** As after a kill: what the old one has in memory is gone. */
  async restart(): Promise<void> {
    const old = this.queue
    this.queue = this.#newQueue()
    void old.close()
    await this.start()
  }

  async stored(delivery: Delivery): Promise<Delivery | undefined> {
    const entry = await this.store.get(deliveryKey(delivery))
    return entry && decodeDelivery(entry.value)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.queue.close()
  }
}

test('a delivery is stored before it is tried, and its outcome after', async () => {
  await using bench = new Bench()
  const delivery = bench.delivery()
  const storedAtAttempt: (string | undefined)[] = []
  let mayStore = () => {}
  bench.store.before = (operation) =>
    operation === 'put' && bench.attempts.length === 0
      ? new Promise<void>((resolve) => {
          mayStore = resolve
        })
      : undefined
  bench.answer = () => {
    storedAtAttempt.push('tried')
    return 204
  }
  const added = bench.queue.add([delivery])
  await settled()
  assert.deepEqual(storedAtAttempt, [])
  mayStore()
  await added
  await settled()
  assert.deepEqual(storedAtAttempt, ['tried'])
  const stored = await bench.stored(delivery)
  assert.equal(stored?.state, 'delivered')
  assert.equal(stored?.attempts, 1)
  assert.equal(stored?.lastOutcome?.status, 204)
  assert.equal(stored?.nextAttemptAt, undefined)
})

test('what fails is tried again after 5 s, 10 s, … and an hour at most, with the same id, and given up after a day', async () => {
  await using bench = new Bench()
  bench.answer = () => 500
  const delivery = bench.delivery()
  await bench.add(delivery)
  const beganAt = bench.clock.now()
  for (let passedMs = 0; passedMs < givenUpMs + 3_600_000; passedMs += 5_000) {
    bench.clock.advance(5_000)
    await tick()
  }
  await settled()
  const waits = bench.attempts.slice(1).map(({ atMs }, index) => (atMs - bench.attempts[index]!.atMs) / 1_000)
  assert.deepEqual(waits.slice(0, 11), [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600])
  assert.ok(waits.slice(11, -1).every((wait) => wait === 3600))
  assert.ok(bench.attempts.every(({ id }) => id === delivery.id))
  assert.equal(bench.attempts.at(-1)!.atMs, beganAt + givenUpMs)
  const stored = await bench.stored(delivery)
  assert.equal(stored?.state, 'failed')
  assert.equal(stored?.attempts, bench.attempts.length)
  assert.deepEqual(bench.queue.outcomes, { delivered: 0, retried: bench.attempts.length - 1, failed: 1 })
})

/** One turn is enough where nothing but one attempt is under way. */
function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

test('events of one input reach one destination in order; those of other inputs and destinations do not wait', async () => {
  await using bench = new Bench()
  const first = bench.delivery()
  const second = bench.delivery()
  const otherInput = bench.delivery({ inputId: 'other' as LiveInputId })
  const otherDestination = bench.delivery({ destinationId: 'other' })
  bench.answer = ({ id, attempts }) => (id === first.id && attempts === 0 ? 503 : 200)
  await bench.add(first, second, otherInput, otherDestination)
  assert.deepEqual(
    bench.attempts.map(({ id }) => id),
    [first.id, otherInput.id, otherDestination.id],
  )
  await bench.pass(5_000)
  assert.deepEqual(bench.attempts.slice(3), [
    { id: first.id, atMs: bench.clock.now(), outOfOrder: false },
    { id: second.id, atMs: bench.clock.now(), outOfOrder: false },
  ])
})

test(`after ${failuresThatHoldUp} failures later events overtake, and say so`, async () => {
  await using bench = new Bench()
  const first = bench.delivery()
  const second = bench.delivery()
  const third = bench.delivery()
  bench.answer = ({ id }) => (id === first.id ? 500 : 200)
  await bench.add(first, second, third)
  for (let failures = 1; failures < failuresThatHoldUp; failures++) {
    assert.equal(bench.attempts.length, failures)
    await bench.pass(5_000 * 2 ** (failures - 1))
  }
  assert.deepEqual(
    bench.attempts.slice(failuresThatHoldUp).map(({ id, outOfOrder }) => ({ id, outOfOrder })),
    [
      { id: second.id, outOfOrder: true },
      { id: third.id, outOfOrder: true },
    ],
  )
  assert.equal((await bench.stored(second))?.outOfOrder, true)
  bench.answer = () => 200
  await bench.pass(80_000)
  assert.deepEqual(bench.attempts.at(-1), { id: first.id, atMs: bench.clock.now(), outOfOrder: false })
  assert.equal((await bench.stored(first))?.outOfOrder, undefined)
})

test('what waits survives a restart, in order, with its failures; what was delivered is not sent again', async () => {
  await using bench = new Bench()
  const done = bench.delivery()
  const first = bench.delivery()
  const second = bench.delivery()
  bench.answer = ({ id }) => (id === done.id ? 200 : 500)
  await bench.add(done)
  await bench.add(first, second)
  await bench.pass(5_000)
  assert.equal((await bench.stored(first))?.failures, 2)
  bench.attempts.length = 0
  await bench.restart()
  assert.deepEqual(bench.attempts, [], 'its time has not come')
  bench.answer = () => 200
  await bench.pass(10_000)
  assert.deepEqual(
    bench.attempts.map(({ id }) => id),
    [first.id, second.id],
  )
  await bench.restart()
  assert.equal(bench.attempts.length, 2)
})

test('an attempt that the end of the server cuts short is made again after the next start', async () => {
  await using bench = new Bench()
  const delivery = bench.delivery()
  const { promise, resolve } = Promise.withResolvers<number>()
  bench.answer = () => promise
  await bench.add(delivery)
  const closing = bench.queue.close()
  resolve(500)
  await closing
  assert.equal((await bench.stored(delivery))?.attempts, 0)
  bench.answer = () => 200
  await bench.restart()
  assert.equal((await bench.stored(delivery))?.state, 'delivered')
  assert.equal(bench.attempts.length, 2)
})

test('the same delivery added again, as after a crash, stays as it is', async () => {
  await using bench = new Bench()
  const delivery = bench.delivery()
  await bench.add(delivery)
  await bench.restart()
  await bench.add(delivery)
  assert.equal(bench.attempts.length, 1)
  assert.equal((await bench.stored(delivery))?.state, 'delivered')
})

test('sent again by hand: with the same id, at once, and nobody waits for it', async () => {
  await using bench = new Bench()
  const old = bench.delivery()
  await bench.add(old)
  bench.answer = ({ id }) => (id === old.id ? 500 : 200)
  const again = await bench.queue.resend(account, old.id)
  assert.equal(again?.state, 'pending')
  const newer = bench.delivery()
  await bench.add(newer)
  assert.deepEqual(
    bench.attempts.map(({ id, outOfOrder }) => ({ id, outOfOrder })),
    [old, old, newer].map(({ id }) => ({ id, outOfOrder: false })),
  )
  assert.equal((await bench.stored(newer))?.state, 'delivered')
  assert.equal((await bench.stored(old))?.created, old.created)
  await bench.restart()
  bench.answer = () => 200
  await bench.pass(5_000)
  const stored = await bench.stored(old)
  assert.deepEqual([stored?.state, stored?.attempts], ['delivered', 3])
  assert.equal(await bench.queue.resend(account, 'nothing'), undefined)
  assert.equal(await bench.queue.resend('b'.repeat(32), old.id), undefined, "another account's")
})

test('what waits for its time and is asked for goes at once, and keeps its place', async () => {
  await using bench = new Bench()
  bench.answer = () => 500
  const first = bench.delivery()
  const second = bench.delivery()
  await bench.add(first, second)
  bench.answer = () => 200
  await bench.queue.resend(account, second.id)
  await settled()
  assert.equal(bench.attempts.length, 1, 'it still waits for the one before it')
  await bench.queue.resend(account, first.id)
  await settled()
  assert.deepEqual(
    bench.attempts.slice(1).map(({ id, outOfOrder }) => ({ id, outOfOrder })),
    [first, second].map(({ id }) => ({ id, outOfOrder: false })),
  )
})

test('when a destination is deleted, what waits for it fails at once', async () => {
  await using bench = new Bench()
  bench.answer = () => 500
  const first = bench.delivery()
  const second = bench.delivery()
  const other = bench.delivery({ destinationId: 'other' })
  await bench.add(first, second, other)
  bench.answer = ({ destinationId }) => (destinationId === 'other' ? 500 : 'no destination')
  bench.queue.giveUp('destination')
  await settled()
  for (const each of [first, second]) {
    const stored = await bench.stored(each)
    assert.deepEqual([stored?.state, stored?.lastOutcome?.error], ['failed', 'The destination was deleted.'])
  }
  assert.equal((await bench.stored(other))?.state, 'pending')
})

test('a receiver that hangs takes eight attempts, and the others have theirs', async () => {
  await using bench = new Bench()
  const { promise, resolve } = Promise.withResolvers<number>()
  bench.answer = ({ destinationId }) => (destinationId === 'hangs' ? promise : 200)
  const hanging = Array.from({ length: 20 }, (_, index) =>
    bench.delivery({ destinationId: 'hangs', inputId: `input${index}` as LiveInputId }),
  )
  const other = bench.delivery()
  await bench.add(...hanging, other)
  assert.equal(bench.attempts.length, 9)
  assert.equal((await bench.stored(other))?.state, 'delivered')
  resolve(200)
  await settled()
  assert.equal(bench.attempts.length, 21)
})

test('an account whose receivers all hang has a quarter of what may be under way, and holds up nobody else', async () => {
  await using bench = new Bench()
  const { promise, resolve } = Promise.withResolvers<number>()
  const other = 'b'.repeat(32) as AccountId
  bench.answer = ({ accountId }) => (accountId === other ? 200 : promise)
  const attemptsWanted = 40 * 8
  assert.ok(attemptsWanted > atOnceMax)
  const hanging = Array.from({ length: attemptsWanted }, (_, index) =>
    bench.delivery({ destinationId: `hangs${index % 40}`, inputId: `input${index}` as LiveInputId }),
  )
  await bench.add(...hanging)
  assert.equal(bench.attempts.length, atOnceOfAccountMax)
  const delivery = bench.delivery({ accountId: other, destinationId: 'of another account' })
  await bench.add(delivery)
  assert.equal((await bench.stored(delivery))?.state, 'delivered')
  resolve(200)
  await settled()
  assert.equal(bench.attempts.length, attemptsWanted + 1)
})

test('more than may wait: the oldest give way, and can be sent again', async () => {
  await using bench = new Bench()
  const { promise, resolve } = Promise.withResolvers<number>()
  bench.answer = () => promise
  const deliveries = Array.from({ length: pendingMax + 2 }, () => bench.delivery())
  await bench.add(...deliveries)
  const failed = bench.queue.list({ accountId: account, limit: 10, state: 'failed' }).deliveries
  assert.deepEqual(
    failed.map(({ id }) => id),
    [deliveries[1]!.id, deliveries[0]!.id],
  )
  assert.match(failed[0]!.lastOutcome!.error!, /5000 notifications waited/)
  resolve(200)
  await settled()
  const again = await bench.queue.resend(account, deliveries[1]!.id)
  assert.equal(again?.state, 'pending')
})

test('of what is over the oldest are let go when there are too many, and all after three days', async () => {
  await using bench = new Bench()
  const deliveries = Array.from({ length: deliveriesMax + 1 }, (_, index) =>
    bench.delivery({ inputId: `input${index % 50}` as LiveInputId, destinationId: `destination${index % 40}` }),
  )
  await bench.start()
  for (let at = 0; at < deliveries.length; at += 2_000) {
    await bench.queue.add(deliveries.slice(at, at + 2_000))
    while (bench.queue.list({ accountId: account, limit: 1, state: 'pending' }).deliveries.length > 0) await tick()
  }
  await settled()
  assert.equal(await bench.stored(deliveries[0]!), undefined)
  assert.ok(await bench.stored(deliveries[1]!))
  for (let hours = 0; hours <= keptMs / 3_600_000; hours++) bench.clock.advance(3_600_000)
  await settled()
  assert.deepEqual(bench.queue.list({ accountId: account, limit: 10 }), { deliveries: [], hasMore: false })
  assert.deepEqual(await bench.store.list('delivery'), [])
})

test('a list shows the newest first, filtered, page by page', async () => {
  await using bench = new Bench()
  bench.answer = ({ inputId }) => (inputId === 'input' ? 200 : 500)
  const ids: string[] = []
  for (let count = 0; count < 7; count++) {
    const delivery = bench.delivery({ inputId: (count % 2 === 0 ? 'input' : 'other') as LiveInputId })
    ids.unshift(delivery.id)
    await bench.add(delivery)
  }
  const page = bench.queue.list({ accountId: account, limit: 3 })
  assert.deepEqual([page.deliveries.map(({ id }) => id), page.hasMore], [ids.slice(0, 3), true])
  const last = bench.queue.list({ accountId: account, limit: 4, before: page.deliveries[2]!.id })
  assert.deepEqual([last.deliveries.map(({ id }) => id), last.hasMore], [ids.slice(3), false])
  const count = (filter: object) => bench.queue.list({ accountId: account, limit: 10, ...filter }).deliveries.length
  assert.deepEqual([count({ state: 'delivered' }), count({ state: 'pending' }), count({ inputId: 'input' })], [4, 3, 4])
  assert.deepEqual([count({ destinationId: 'nobody' }), count({ accountId: 'another' })], [0, 0])
})

test('a document that cannot be read does not stop the others', async () => {
  const store = new MemoryStore()
  await store.put(`delivery.${account}.broken`, '{', 'absent')
  await using bench = new Bench(store)
  const delivery = bench.delivery()
  await store.put(deliveryKey(delivery), JSON.stringify(delivery), 'absent')
  await bench.start()
  assert.equal((await bench.stored(delivery))?.state, 'delivered')
})

test('a store that is full costs the memory of a restart, not the notification', async () => {
  await using bench = new Bench()
  bench.store.before = (operation) => {
    if (operation === 'put') throw new Error('full')
  }
  await bench.add(bench.delivery())
  assert.equal(bench.attempts.length, 1)
})

test('whatever a receiver does for a while, and restarts, nothing is lost and nobody overtakes unflagged', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat({ max: 100_000 }), { maxLength: 3 }),
      async (failuresOf, restarts) => {
        await using bench = new Bench()
        const deliveries = failuresOf.map(() => bench.delivery())
        const left = new Map(deliveries.map(({ id }, index) => [id, failuresOf[index]!]))
        const accepted: string[] = []
        bench.answer = ({ id }) => {
          const failures = left.get(id)!
          left.set(id, failures - 1)
          if (failures > 0) return 500
          accepted.push(id)
          return 200
        }
        await bench.add(...deliveries)
        for (const atMs of restarts) {
          await bench.pass(atMs)
          await bench.restart()
        }
        for (let passes = 0; passes < 100; passes++) {
          bench.clock.advance(660_000)
          for (let turn = 0; turn < 4; turn++) await tick()
        }
        assert.deepEqual(new Set(accepted), new Set(deliveries.map(({ id }) => id)), 'each arrived')
        assert.equal(accepted.length, deliveries.length, 'once')
        const newest = new Map(bench.attempts.map((attempt) => [attempt.id, attempt]))
        for (const [place, id] of accepted.entries()) {
          const overtook = accepted.slice(place + 1).some((later) => later < id)
          // It may say so and come in order all the same: the earlier one succeeded while this one was sent.
          if (overtook) assert.ok(newest.get(id)!.outOfOrder)
        }
      },
    ),
    { numRuns: 60 },
  )
})
