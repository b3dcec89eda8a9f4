import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import type { IngestErrorCode } from '../errors.ts'
import { createLog } from '../log.ts'
import { newAccountId, newLiveInputId } from '../model/id.ts'
import type { LiveInput } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { messageTypes } from '../rtmp/message.ts'
import { CarriedCounter } from './carried-counter.ts'
import { InputSession, type Seat } from './input-session.ts'
import { noRests, Pump } from './pump.ts'
import { relayIdOf } from './relay-path.ts'
import { SlabPool } from './slab-pool.ts'

const header = Buffer.from('17000000000142001e', 'hex')
const key = Buffer.from('1701000000aaaa', 'hex')
const frame = Buffer.from('2701000000bbbb', 'hex')

function setUp(windowMs: number) {
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
  const states: string[] = []
  const session = new InputSession(wish, {
    clock,
    pump: new Pump(clock, noRests),
    pool: new SlabPool(64 * 1024 * 1024),
    resolve: () => Promise.reject(new Error('not asked')),
    policy: new AddressPolicy([]),
    maxLagMs: 4_000,
    random: () => 0.5,
    log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    logLimits: { durationMsMax: 15_000, bytesMax: 8 * 1024 * 1024 },
    reconnectWindowMs: windowMs,
    maxBitrateKbps: 12_000,
    onInputChange: (_input, state, returning) => states.push(returning ? `${state.name} again` : state.name),
    onOutputChange() {},
    carried: new CarriedCounter(),
    lastErrorOf: () => undefined,
  })
  return { clock, session, states }
}

function encoder(session: InputSession, relayPath?: readonly string[]) {
  const cuts: IngestErrorCode[] = []
  const seat = session.seat({ cut: (reason) => cuts.push(reason), ...(relayPath && { relayPath }) })
  const send = (body: Buffer, timestamp: number, type: number = messageTypes.video) => {
    if (!('refused' in seat)) seat.feed.publish({ chunkStreamId: 4, type, timestamp, messageStreamId: 1, body })
  }
  return { cuts, seat, send, leave: (how: 'goodbye' | 'vanished') => (seat as Seat).leave(how) }
}

test('an encoder that vanishes is waited for; one that says goodbye ends the broadcast', () => {
  const { clock, session, states } = setUp(30_000)
  const first = encoder(session)
  for (const body of [header, key]) first.send(body, 0)
  first.leave('vanished')
  assert.deepEqual(states, ['connected', 'held'])
  clock.advance(29_000)
  const second = encoder(session)
  second.send(header, 0)
  assert.deepEqual(states, ['connected', 'held'], 'a header is no picture')
  second.send(key, 0)
  second.leave('goodbye')
  assert.deepEqual(states, ['connected', 'held', 'connected again', 'disconnected'])
})

test('data and headers without picture and sound do not keep an encoder from having vanished', () => {
  const { clock, session, states } = setUp(30_000)
  const only = encoder(session)
  const cue = Buffer.concat([Buffer.from('02000a', 'hex'), Buffer.from('onTextData'), Buffer.of(5)])
  only.send(key, 0)
  session.tick(true)
  for (let ms = 1_000; ms <= 5_000; ms += 1_000) {
    assert.deepEqual(states, ['connected'])
    clock.advance(1_000)
    only.send(cue, ms, messageTypes.amf0Data)
    only.send(header, ms)
    session.tick(true)
  }
  assert.deepEqual(states, ['connected', 'held'])
  only.send(key, 6_000)
  session.tick(true)
  assert.deepEqual(states, ['connected', 'held', 'connected again'])
})

test('the window ends: the input is disconnected', () => {
  const { clock, session, states } = setUp(30_000)
  const first = encoder(session)
  first.send(key, 0)
  first.leave('vanished')
  clock.advance(30_000)
  assert.deepEqual(states, ['connected', 'held', 'disconnected'])
})

test('an encoder that waits for its key frame when the window ends begins a broadcast of its own, with its headers', () => {
  const { clock, session, states } = setUp(10_000)
  const first = encoder(session)
  for (const body of [header, key]) first.send(body, 0)
  first.leave('vanished')
  const second = encoder(session)
  second.send(header, 0)
  second.send(frame, 0)
  clock.advance(10_000)
  assert.deepEqual(states, ['connected', 'held', 'disconnected', 'connected'])
  assert.deepEqual(second.cuts, [])
  second.send(key, 33)
  second.leave('goodbye')
  assert.equal(states.at(-1), 'disconnected')
})

test('a takeover cuts the encoder before, at the first key frame; the third one within a minute is refused, and allowed later', () => {
  const { clock, session } = setUp(30_000)
  const all = [encoder(session)]
  all[0]!.send(key, 0)
  for (let index = 1; index <= 2; index++) {
    const next = encoder(session)
    assert.deepEqual(all[index - 1]!.cuts, [])
    next.send(key, 0)
    assert.deepEqual(all[index - 1]!.cuts, ['publisher_replaced'])
    all.push(next)
  }
  const third = encoder(session)
  assert.ok('refused' in third.seat)
  clock.advance(61_000)
  all[2]!.send(frame, 61_000)
  session.tick(true)
  const later = encoder(session)
  assert.ok(!('refused' in later.seat))
})

test('a fight is warned of in the broadcast that it is about: not in the next, unless it goes on there', () => {
  const { session } = setUp(30_000)
  const codes = () => session.tick(true)?.input.warnings.map(({ code }) => code)
  let newest = encoder(session)
  const takeOver = () => {
    newest = encoder(session)
    if (!('refused' in newest.seat)) newest.send(key, 0)
  }
  newest.send(key, 0)
  takeOver()
  takeOver()
  const holder = newest
  assert.deepEqual(codes(), [])
  takeOver()
  assert.deepEqual([newest.seat, codes()], [{ refused: 'publisher_replaced' }, ['encoders_fight']])
  holder.leave('goodbye')
  takeOver()
  assert.deepEqual(codes(), [])
  encoder(session)
  assert.deepEqual(codes(), ['encoders_fight'])
})

test('a feed that has come through this very input is refused, and takes nothing over', () => {
  const { session, states } = setUp(30_000)
  const own = encoder(session)
  own.send(header, 0)
  own.send(key, 0)
  const looped = encoder(session, ['A'.repeat(16), relayIdOf(session.wish)])
  assert.deepEqual(looped.seat, { refused: 'feed_loops' })
  assert.deepEqual([own.cuts, states], [[], ['connected']])
  // One that comes by way of others is an encoder like any other.
  const relayed = encoder(session, ['A'.repeat(16)])
  relayed.send(header, 0)
  relayed.send(key, 0)
  assert.deepEqual([own.cuts, relayed.cuts], [['publisher_replaced'], []])
})

test('a second encoder that sends nothing is cut after 30 s; one that sends and has no key frame is waited for', () => {
  const { clock, session } = setUp(30_000)
  const first = encoder(session)
  first.send(header, 0)
  const second = encoder(session)
  for (let ms = 0; ms < 60_000; ms += 1_000) {
    first.send(ms === 0 ? key : frame, ms)
    if (ms < 20_000) second.send(frame, ms)
    if (ms === 45_000) assert.deepEqual(second.cuts, [])
    clock.advance(1_000)
    session.tick(true)
  }
  assert.equal(second.cuts[0], 'publisher_idle')
  assert.deepEqual(first.cuts, [])
})
