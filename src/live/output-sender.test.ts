import assert from 'node:assert/strict'
import { Duplex, Writable } from 'node:stream'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Broadcast } from './broadcast.ts'
import { FeedHealth } from './feed-health.ts'
import { OutputSender } from './output-sender.ts'
import { noRests, Pump, type PumpTurn } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

test('of the answers to pings of a peer that takes none, a hundred wait and no more, whatever the format is', () => {
  const clock = new ManualClock()
  const pool = new SlabPool(1024 * 1024)
  // Its turns never come: the test does not go back to the event loop.
  const pump = new Pump(clock, noRests)
  const limits = { durationMsMax: 15_000, bytesMax: 1024 * 1024 }
  const sender = new OutputSender({
    ...{
      clock,
      pool,
      pump,
      messageStreamId: 1,
      form: 'plain',
      maxLagMs: 5_000,
      missed: undefined,
      takesModEx: true,
    },
    stream: new Duplex(),
    broadcast: new Broadcast(pool, limits, pump, new FeedHealth(clock, 12_000)),
    onStarted() {},
    onFailed(error) {
      throw error
    },
    onRestart() {},
  })
  for (let ping = 0; ping < 1_000; ping++) sender.sendControl(Buffer.alloc(18))
  assert.equal(sender.cursor.controlWaiting, 100)
  const { cursor } = sender
  sender.onFormatChanged('beyond_plain')
  assert.notEqual(sender.cursor, cursor)
  assert.equal(sender.cursor.controlWaiting, 100)
  sender.close()
})

test('the time in which an encoder was away is not held against a destination that takes what comes then slowly', async () => {
  const clock = new ManualClock()
  const pool = new SlabPool(4 * 1024 * 1024)
  const pump = new Pump(clock, noRests)
  const broadcast = new Broadcast(
    pool,
    { durationMsMax: 15_000, bytesMax: 1024 * 1024 },
    pump,
    new FeedHealth(clock, 12_000),
  )
  let takes = true
  const sender = new OutputSender({
    clock,
    pool,
    pump,
    broadcast,
    messageStreamId: 1,
    form: 'received',
    maxLagMs: 5_000,
    missed: undefined,
    takesModEx: true,
    stream: new Writable({ write: (_bytes, _encoding, done) => void (takes && done()) }) as unknown as Duplex,
    onStarted() {},
    onFailed(error) {
      throw error
    },
    onRestart() {},
  })
  const feed = broadcast.feed()
  const publish = async (timestamp: number) => {
    const body = Buffer.from('1701000000aaaa', 'hex')
    feed.publish({ chunkStreamId: 4, type: messageTypes.video, timestamp, messageStreamId: 1, body })
    for (let turns = 0; turns < 5; turns++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  await publish(0)
  assert.equal(sender.isWaiting, false)
  takes = false
  clock.advance(20_000)
  await publish(20_000)
  assert.equal(sender.isWaiting, true)
  assert.equal(clock.monotonicMs() - sender.lastProgressMs, 0)
  clock.advance(9_000)
  await publish(29_000)
  assert.equal(clock.monotonicMs() - sender.lastProgressMs, 9_000)
  sender.close()
  broadcast.close()
})

test('through a stream, which copies what it is given, half a turn goes at a time', async () => {
  const clock = new ManualClock()
  const pool = new SlabPool(4 * 1024 * 1024)
  const pump = new Pump(clock, noRests)
  const limits = { durationMsMax: 15_000, bytesMax: 1024 * 1024 }
  const broadcast = new Broadcast(pool, limits, pump, new FeedHealth(clock, 12_000))
  const writes: number[] = []
  const sender = new OutputSender({
    ...{ clock, pool, pump, broadcast, messageStreamId: 1, form: 'received', maxLagMs: 5_000, missed: undefined },
    takesModEx: true,
    stream: new Writable({
      write(bytes: Buffer, _encoding, done) {
        writes.push(bytes.length)
        done()
      },
    }) as unknown as Duplex,
    onStarted() {},
    onFailed(error) {
      throw error
    },
    onRestart() {},
  })
  const body = Buffer.concat([Buffer.from('1701000000', 'hex'), Buffer.alloc(150_000)])
  broadcast.feed().publish({ chunkStreamId: 4, type: messageTypes.video, timestamp: 0, messageStreamId: 1, body })
  const sent = () => writes.reduce((sum, bytes) => sum + bytes, 0)
  for (let turn = 0; sent() < body.length; turn++) {
    assert.ok(turn < 1_000, `${sent()} bytes are out`)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  assert.ok(Math.max(...writes) <= 32 * 1024, `${Math.max(...writes)} bytes`)
  assert.ok(writes.length < 10)
  sender.close()
})

test('what comes while a write is under way goes with its round, not when the write is out', async () => {
  const clock = new ManualClock()
  const pool = new SlabPool(4 * 1024 * 1024)
  let queued = 0
  const pump = new (class extends Pump {
    override queue(turn: PumpTurn): void {
      queued++
      super.queue(turn)
    }
  })(clock, noRests)
  const limits = { durationMsMax: 15_000, bytesMax: 1024 * 1024 }
  const broadcast = new Broadcast(pool, limits, pump, new FeedHealth(clock, 12_000))
  const writes: (() => void)[] = []
  const sender = new OutputSender({
    ...{ clock, pool, pump, broadcast, messageStreamId: 1, form: 'received', maxLagMs: 5_000, missed: undefined },
    takesModEx: true,
    stream: new Writable({
      write: (_bytes, _encoding, done) => void writes.push(done),
      writev: (_pieces, done) => void writes.push(done),
    }) as unknown as Duplex,
    onStarted() {},
    onFailed(error) {
      throw error
    },
    onRestart() {},
  })
  const turns = async () => {
    for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  const feed = broadcast.feed()
  const publish = (timestamp: number) => {
    const body = Buffer.from('1701000000aaaa', 'hex')
    feed.publish({ chunkStreamId: 4, type: messageTypes.video, timestamp, messageStreamId: 1, body })
  }
  publish(0)
  await turns()
  assert.equal(writes.length, 1)
  queued = 0
  // The event loop tells of both at once: a frame has come, and the one before is out.
  publish(16)
  writes[0]!()
  await turns()
  assert.equal(writes.length, 2)
  assert.equal(queued, 0)
  // The frame's round finds the write under way: this one goes as soon as it can.
  publish(33)
  await turns()
  assert.equal(writes.length, 2)
  writes[1]!()
  await turns()
  assert.equal(writes.length, 3)
  assert.equal(queued, 1)
  sender.close()
  broadcast.close()
})
