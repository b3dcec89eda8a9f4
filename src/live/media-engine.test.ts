import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import { createLog } from '../log.ts'
import { newAccountId, newLiveInputId, newOutputId } from '../model/id.ts'
import type { LiveInput } from '../model/live-input.ts'
import type { Carried, ToldFigures } from '../model/status.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Secret } from '../secret.ts'
import { MediaEngine } from './media-engine.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

const key = Buffer.from('1701000000aaaa', 'hex')

function setUp() {
  const clock = new ManualClock()
  const uid = newLiveInputId()
  const wish: LiveInput = {
    uid,
    accountId: newAccountId(),
    created: '2026-01-01T00:00:00.000000Z',
    modified: '2026-01-01T00:00:00.000000Z',
    meta: {},
    enabled: true,
    streamKey: newStreamKey(uid),
    outputs: [],
  }
  const told: ToldFigures[] = []
  const carried: Carried[] = []
  let reports = 0
  const engine = new MediaEngine({
    clock,
    pump: new Pump(clock, noRests),
    pool: new SlabPool(64 * 1024 * 1024),
    resolve: () => Promise.reject(new Error('no such name')),
    policy: new AddressPolicy([]),
    maxLagMs: 4_000,
    random: () => 0.5,
    log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    logLimits: { durationMsMax: 15_000, bytesMax: 8 * 1024 * 1024 },
    reconnectWindowMs: 30_000,
    maxBitrateKbps: 12_000,
    reports: {
      inputChanged() {},
      outputChanged() {},
      figures: (figures) => told.push(figures),
      carried: (one) => carried.push(one),
      find: async () => ({ at: 'nowhere' }),
      relayEnded() {},
      secondTold: () => reports++,
    },
  })
  engine.adopt(wish, [])
  const second = () => {
    clock.advance(1_000)
    return told.splice(0)
  }
  const reportsIn = (seconds: number) => {
    const before = reports
    for (let count = 0; count < seconds; count++) second()
    return reports - before
  }
  /** A publisher whose picture has come. */
  const publish = async () => {
    const seat = await engine.seat([wish.streamKey], { cut() {} })
    assert.ok(!('refused' in seat))
    seat.publish({ chunkStreamId: 4, type: messageTypes.video, timestamp: 0, messageStreamId: 1, body: key })
    return seat
  }
  return { engine, wish, carried, second, reportsIn, publish, [Symbol.dispose]: () => engine.close() }
}

test('outputs that do what they have been doing are told every five seconds, and every second while somebody looks', async () => {
  using stage = setUp()
  await stage.publish()
  const areOutputsTold = () => stage.second().map(({ outputs }) => outputs !== undefined)
  assert.deepEqual(areOutputsTold(), [true], 'the first time')
  for (let second = 1; second < 5; second++) assert.deepEqual(areOutputsTold(), [false])
  assert.deepEqual(areOutputsTold(), [true])
  assert.deepEqual(areOutputsTold(), [false])
  stage.engine.figuresWanted()
  for (let second = 1; second < 10; second++) assert.deepEqual(areOutputsTold(), [true])
  assert.deepEqual(areOutputsTold(), [false], 'ten seconds later')
})

test('outputs that are new, of which something has happened, or that are gone, are told within a second', async () => {
  using stage = setUp()
  await stage.publish()
  stage.second()
  assert.equal(stage.second()[0]!.outputs, undefined)
  const output = {
    uid: newOutputId(),
    url: 'rtmp://nowhere.invalid/live',
    streamKey: new Secret('k'),
    enabled: true,
    created: '2026-01-01T00:00:00.000000Z',
  }
  stage.engine.update({ ...stage.wish, outputs: [output] })
  const told = stage.second()[0]!.outputs?.[output.uid]
  assert.equal(told?.attempts, 1)
  // The name is not found, which takes some turns of the loop.
  for (let count = 0; count < 10; count++) await new Promise(setImmediate)
  assert.ok(stage.second()[0]!.outputs?.[output.uid]?.lastError)
  stage.engine.update(stage.wish)
  assert.deepEqual(stage.second()[0]!.outputs, {})
})

test('what has come is told once, also when the broadcast ends before its second', async () => {
  using stage = setUp()
  const seat = await stage.publish()
  stage.second()
  assert.deepEqual(
    stage.carried.splice(0).map(({ bytesReceived }) => bytesReceived),
    [key.length],
  )
  stage.second()
  assert.deepEqual(stage.carried, [])
  seat.leave('goodbye')
  for (let broadcast = 0; broadcast < 2; broadcast++) (await stage.publish()).leave('goodbye')
  stage.second()
  assert.deepEqual(stage.carried, [
    { bytesReceived: 2 * key.length, bytesSent: 0, dropped: { lag: 0, overtaken: 0, late: 0 } },
  ])
})

test('a thread that carries nothing reports every ten seconds, and one that does every second', async () => {
  using stage = setUp()
  assert.equal(stage.reportsIn(1), 1, 'the first second')
  assert.equal(stage.reportsIn(20), 2)
  const seat = await stage.publish()
  assert.equal(stage.reportsIn(4), 4)
  seat.leave('goodbye')
  assert.ok(stage.reportsIn(20) <= 2)
})
