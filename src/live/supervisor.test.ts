import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { newOutput } from '../../test/support/in-process.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import { createLog } from '../log.ts'
import { newAccountId, newLiveInputId } from '../model/id.ts'
import { encodeLiveInput, type LiveInput, liveInputKey } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { SecretBox } from '../secret.ts'
import type { Engine, EngineReports, RelayEnd } from './media-engine.ts'
import { Supervisor } from './supervisor.ts'

/** Has what it is given; an encoder that finds its input goes live at once, wherever its socket is. */
class FakeEngine implements Engine {
  readonly reports: EngineReports
  readonly inputs = new Map<string, LiveInput>()
  readonly live = new Set<string>()
  readonly relays: RelayEnd[] = []

  constructor(reports: EngineReports) {
    this.reports = reports
  }

  adopt(wish: LiveInput): void {
    this.inputs.set(wish.uid, wish)
  }
  update(wish: LiveInput): void {
    this.inputs.set(wish.uid, wish)
  }
  async release(input: string): Promise<boolean> {
    await nextTurn()
    return !this.live.has(input) && this.inputs.delete(input)
  }
  async remove(input: string): Promise<void> {
    this.inputs.delete(input)
  }
  async retryOutput(): Promise<boolean> {
    return false
  }
  takeRelay(end: RelayEnd): void {
    this.relays.push(end)
    end.port.close()
  }

  say(wish: LiveInput, name: 'connected' | 'disconnected'): void {
    if (name === 'connected') this.live.add(wish.uid)
    else this.live.delete(wish.uid)
    this.reports.inputChanged(wish.accountId, wish.uid, { name } as never, false)
  }
}

async function setUp(engineCount: number) {
  const clock = new ManualClock()
  const store = new MemoryStore()
  const bus = new InProcessBus({
    onError: (error) => {
      throw error
    },
  })
  const cipher = new SecretBox(randomBytes(32))
  const supervisor = new Supervisor({
    store,
    bus,
    cipher,
    clock,
    log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    resolve: () => Promise.reject(new Error('no such name')),
    policy: new AddressPolicy([]),
    owner: 'test',
    epoch: 1,
  })
  const engines = Array.from({ length: engineCount }, () => supervisor.addEngine((reports) => new FakeEngine(reports)))
  await supervisor.start()
  const put = async (outputs: number, protocol = 'rtmp'): Promise<LiveInput> => {
    const uid = newLiveInputId()
    const now = new Date(clock.now()).toISOString()
    const wish: LiveInput = {
      uid,
      accountId: newAccountId(),
      created: now,
      modified: now,
      meta: {},
      enabled: true,
      streamKey: newStreamKey(uid),
      outputs: Array.from({ length: outputs }, () => newOutput(`${protocol}://127.0.0.1/live`, uid)),
    }
    await store.put(liveInputKey(uid), encodeLiveInput(wish, cipher), 'absent')
    return wish
  }
  /** Three of them are more than one engine shall have while another one has less. */
  const putLarge = () => put(50, 'rtmps')
  const holderOf = (wish: LiveInput) => engines.findIndex(({ inputs }) => inputs.has(wish.uid))
  return {
    clock,
    supervisor,
    engines,
    put,
    putLarge,
    holderOf,
    /** An encoder arrives at an engine. @returns whether its input is there, too. */
    arrive: async (at: number, wish: LiveInput) => {
      const found = await engines[at]!.reports.find(wish.uid, wish.streamKey.reveal())
      if (found.at === 'elsewhere') found.relay.port.close()
      return found.at
    },
    goLive: (wish: LiveInput) => engines[holderOf(wish)]!.say(wish, 'connected'),
    end: (wish: LiveInput) => engines[holderOf(wish)]!.say(wish, 'disconnected'),
    async [Symbol.asyncDispose]() {
      await supervisor.close(0)
      bus.close()
    },
  }
}

test('small inputs are where their encoders arrive, wherever they were', async () => {
  await using stage = await setUp(2)
  const { put, arrive, goLive, holderOf, supervisor } = stage
  for (let count = 0; count < 20; count++) {
    const wish = await put(2)
    assert.equal(await arrive(0, wish), 'here')
    assert.equal(holderOf(wish), 0)
    goLive(wish)
  }
  assert.equal(supervisor.relayedPublishers, 0)
})

test('large ones are spread, though all encoders arrive at one engine, and all at once', async () => {
  await using stage = await setUp(2)
  const { putLarge, arrive, holderOf, engines } = stage
  const wishes = await Promise.all(Array.from({ length: 8 }, putLarge))
  // None of them is live before all have been told where to go.
  const found = await Promise.all(wishes.map((wish) => arrive(0, wish)))
  assert.deepEqual(wishes.map(holderOf).sort(), [0, 0, 0, 0, 1, 1, 1, 1])
  assert.deepEqual(
    found,
    wishes.map((wish) => (holderOf(wish) === 0 ? 'here' : 'elsewhere')),
  )
  assert.equal(engines[1]!.relays.length, 4)
})

test('what has ended, or was expected and did not come, counts no more', async () => {
  await using stage = await setUp(2)
  const { putLarge, arrive, goLive, end, holderOf, clock } = stage
  const [first, second, third, fourth, fifth] = await Promise.all(Array.from({ length: 5 }, putLarge))
  for (const wish of [first!, second!]) {
    await arrive(0, wish)
    goLive(wish)
  }
  end(first!)
  await arrive(0, third!)
  assert.equal(holderOf(third!), 0, 'the first one is over')
  clock.advance(5_000)
  await arrive(0, fourth!)
  assert.equal(holderOf(fourth!), 0, 'the third one never came')
  await arrive(0, fifth!)
  assert.equal(holderOf(fifth!), 1)
})

test('an encoder that comes back to a broadcast that runs is brought to it; one that was sent away finds its input there', async () => {
  await using stage = await setUp(2)
  const { putLarge, arrive, goLive, holderOf } = stage
  const [first, second, third] = [await putLarge(), await putLarge(), await putLarge()]
  for (const wish of [first, second]) {
    assert.equal(await arrive(0, wish), 'here')
    goLive(wish)
  }
  assert.equal(await arrive(1, first), 'elsewhere')
  assert.equal(await arrive(0, first), 'here')
  assert.equal(await arrive(0, third), 'elsewhere')
  assert.equal(holderOf(third), 1)
  // Twice within a moment, before it is live.
  assert.equal(await arrive(0, third), 'elsewhere')
  assert.equal(await arrive(1, third), 'here')
})

for (const moment of ['as it asks', 'while the input is on its way to it'])
  test(`an engine that dies ${moment} leaves the input to the one that had it`, async () => {
    await using stage = await setUp(2)
    const { put, engines, supervisor } = stage
    const wish = await put(1)
    await nextTurn()
    const at = stage.holderOf(wish)
    const asker = engines[1 - at]!
    const finding = asker.reports.find(wish.uid, wish.streamKey.reveal())
    if (moment !== 'as it asks') for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    const next = supervisor.replaceEngine(asker, (reports) => new FakeEngine(reports))
    await finding
    assert.equal(stage.holderOf(wish), at)
    assert.equal((await next.reports.find(wish.uid, wish.streamKey.reveal())).at, 'here')
  })

test('whoever does not know the key moves nothing', async () => {
  await using stage = await setUp(2)
  const { putLarge, engines, holderOf } = stage
  const wish = await putLarge()
  await nextTurn()
  const at = holderOf(wish)
  const found = await engines[1 - at]!.reports.find(wish.uid, newStreamKey(wish.uid).reveal())
  assert.equal(found.at, 'nowhere')
  assert.equal(holderOf(wish), at)
})

test('one engine has everything', async () => {
  await using stage = await setUp(1)
  const { putLarge, arrive, supervisor } = stage
  for (let count = 0; count < 5; count++) assert.equal(await arrive(0, await putLarge()), 'here')
  assert.equal(supervisor.relayedPublishers, 0)
})
