import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { Broadcast } from './broadcast.ts'
import { FeedHealth } from './feed-health.ts'
import { OutputSender } from './output-sender.ts'
import { Pump } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

test('of the answers to pings of a peer that takes none, a hundred wait and no more', () => {
  const clock = new ManualClock()
  const pool = new SlabPool(1024 * 1024)
  // Its turns never come: the test does not go back to the event loop.
  const pump = new Pump(clock, { few: 0, many: 0, crowd: 0 })
  const limits = { durationMsMax: 15_000, bytesMax: 1024 * 1024 }
  const sender = new OutputSender({
    ...{
      clock,
      pool,
      pump,
      messageStreamId: 1,
      form: 'received',
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
  sender.close()
})
