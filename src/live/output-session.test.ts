import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { type Behaviour, type DestinationConnection, startDestination } from '../../test/support/destination.ts'
import { waitFor } from '../../test/support/processes.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import { createLog } from '../log.ts'
import { newOutputId } from '../model/id.ts'
import type { OutputState } from '../model/lifecycle.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Secret } from '../secret.ts'
import { Broadcast } from './broadcast.ts'
import { CarriedCounter } from './carried-counter.ts'
import { FeedHealth } from './feed-health.ts'
import { OutputSession } from './output-session.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

const timeout = 30_000

/** One output of a broadcast, towards a destination on this machine; only its clock is the test's. */
async function setUp(behaviour: Behaviour = {}) {
  const destination = await startDestination({ behaviour, recording: 'bodies' })
  const clock = new ManualClock()
  const pool = new SlabPool(64 * 1024 * 1024)
  const pump = new Pump(clock, noRests)
  const limits = { durationMsMax: 60_000, bytesMax: 8 * 1024 * 1024 }
  const broadcast = new Broadcast(pool, limits, pump, new FeedHealth(clock, 12_000))
  const feed = broadcast.feed()
  const states: OutputState[] = []
  const carried = new CarriedCounter()
  const session = new OutputSession(
    { uid: newOutputId(), created: '', url: destination.url(), streamKey: new Secret('the-key'), enabled: true },
    broadcast,
    {
      clock,
      pump,
      pool,
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      policy: new AddressPolicy(['127.0.0.0/8']),
      maxLagMs: 4_000,
      random: () => 0,
      carried,
      log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    },
    { onChange: (state) => states.push(state), isHeld: () => false, relayPath: () => [] },
  )
  const send = (timestamp: number, hex: string) =>
    feed.publish({
      chunkStreamId: 6,
      type: messageTypes.video,
      timestamp,
      messageStreamId: 1,
      body: Buffer.from(hex, 'hex'),
    })
  let timestamp = 0
  send(0, '17000000000142001e')
  return {
    carried,
    clock,
    destination,
    send,
    session,
    states,
    /** A second passes, in which the encoder sends so many frames, the first of them a key frame. */
    async second(frames: number): Promise<void> {
      for (let frame = 0; frame < frames; frame++, timestamp += 40)
        send(timestamp, frame === 0 ? '1701000000aaaa' : '2701000000bbbb')
      if (session.state.name === 'idle') session.start()
      const sent = session.health().messagesSent + frames
      if (frames > 0) await waitFor('the frames to go out', () => session.health().messagesSent >= sent)
      clock.advance(1_000)
      session.tick(clock.monotonicMs())
    },
    async [Symbol.asyncDispose]() {
      const stopped = session.stop({ atEdge: false, withinMs: 0, state: 'idle' })
      await waitFor('it to have stopped', () => {
        clock.advance(1_000)
        return session.state.name === 'idle'
      })
      await stopped
      broadcast.close()
      await destination.stop()
    },
  }
}

test('an output is connected when the destination has taken five seconds of media, not when they have passed', {
  timeout,
}, async () => {
  await using made = await setUp()
  const { session, second, states } = made
  await second(25)
  for (let seconds = 0; seconds < 7; seconds++) await second(0)
  assert.deepEqual(session.state, { name: 'connecting', step: 'proving' })
  for (let seconds = 0; seconds < 2; seconds++) await second(25)
  assert.equal(session.state.name, 'connecting')
  for (let seconds = 0; seconds < 2; seconds++) await second(25)
  assert.equal(session.state.name, 'connected')
  assert.equal(states.filter(({ name }) => name === 'connected').length, 1)
})

test('a destination that takes several tracks, and does not say so of ModEx, has them until there is ModEx', {
  timeout,
}, async () => {
  await using made = await setUp({ connectResult: { capsEx: 2 } })
  const { destination, session, send } = made
  const avc1 = Buffer.from('avc1').toString('hex')
  const secondTrack = `9600${avc1}010142001f`
  const modEx = `a70300000000 01 ${avc1} 000000 cccc`.replaceAll(' ', '')
  send(0, secondTrack)
  send(0, '1701000000aaaa')
  session.start()
  const heard = (connection: DestinationConnection) => connection.messages.map(({ body }) => body!.toString('hex'))
  const first = await destination.nextPublish()
  send(40, `a601${avc1}01bbbb`)
  await waitFor('both tracks', () => heard(first).includes(`a601${avc1}01bbbb`))
  assert.ok(heard(first).includes(secondTrack))

  send(80, modEx)
  assert.deepEqual(await first.ends(), { how: 'fin', goodbye: true })
  const second = await destination.nextPublish()
  await waitFor('the frame that was wrapped', () => heard(second).includes('2701000000cccc'))
  assert.deepEqual(heard(second), ['17000000000142001e', '1701000000aaaa', '2701000000cccc'])
  assert.ok(!heard(first).includes(modEx))
  assert.equal(destination.connections.length, 2)
})

test('what it has sent is counted once, whenever that was and over all its connections', { timeout }, async () => {
  await using made = await setUp()
  const { session, second, send, clock, carried, destination } = made
  const counted = () => (total += carried.take()?.bytesSent ?? 0)
  let total = 0
  for (let seconds = 0; seconds < 3; seconds++) await second(25)
  assert.equal(counted(), session.health().bytesSent)
  const first = await destination.nextPublish()
  first.reset()
  await waitFor('the loss', () => session.state.name === 'reconnecting')
  const again = destination.nextPublish()
  await waitFor('it to connect anew', () => {
    clock.advance(1_000)
    return session.state.name === 'connecting'
  })
  await again
  await second(25)
  assert.equal(counted(), session.health().bytesSent)
  const { messagesSent } = session.health()
  send(10_000, '1701000000aaaa')
  const stopped = session.stop({ atEdge: true, withinMs: 5_000, state: 'idle' })
  await waitFor('it to have stopped', () => {
    clock.advance(1_000)
    return session.state.name === 'idle'
  })
  await stopped
  const before = total
  assert.ok(counted() > before)
  assert.equal(session.health().messagesSent, messagesSent + 1)
  assert.equal(total, session.health().bytesSent)
  assert.equal(carried.take(), undefined)
})

test('more of the same is no news, a change of state is', { timeout }, async () => {
  await using made = await setUp()
  const { destination, session, states, second } = made
  assert.ok(session.hasNews, 'never told')
  session.health()
  session.start()
  const connection = await destination.nextPublish()
  while (session.state.name !== 'connected') await second(30)
  assert.ok(session.hasNews)
  assert.ok(session.health().bytesSent > 0)
  for (let count = 0; count < 3; count++) {
    await second(30)
    assert.ok(!session.hasNews)
  }
  connection.reset()
  await waitFor('the loss', () => states.at(-1)?.name !== 'connected')
  assert.ok(session.hasNews)
})
