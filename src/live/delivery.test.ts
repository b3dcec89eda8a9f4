import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Delivery } from './delivery.ts'

/** A feed of 1,500 bytes a millisecond (12 Mbit/s): so many bytes reach so far in time. */
const bytesPerMs = 1_500
const at = (bytes: number) => ({ bytes, mediaTime: bytes / bytesPerMs })
const silenceMs = 15_000

/** A connection to which the feed is written as it comes, and a peer that has read so much of it. */
class Peer {
  readonly delivery = new Delivery()
  sent = 0
  nowMs = 0

  /** @param accepted how much of the feed the kernel takes, 0 to 1. */
  write(durationMs: number, accepted = 1): void {
    for (let ms = 0; ms < durationMs; ms += 10) {
      this.nowMs += 10
      this.sent += 10 * bytesPerMs * accepted
      if (this.delivery.wants(this.sent)) this.delivery.mark(this.sent, this.sent / bytesPerMs)
    }
  }
  acknowledge(value: number): void {
    this.delivery.acknowledged(value % 2 ** 32, at(this.sent), this.nowMs, this.nowMs)
  }
  get lagMs(): number {
    return this.delivery.lagMs(at(this.sent), this.nowMs)
  }
  get hasStopped(): boolean {
    return this.delivery.hasStopped(this.sent, this.nowMs, silenceMs)
  }
}

test('a peer that never acknowledges has no lag that could be told from it, and never stops', () => {
  const peer = new Peer()
  peer.write(120_000)
  assert.equal(peer.lagMs, 0)
  assert.equal(peer.hasStopped, false)
  assert(Number.isNaN(peer.delivery.acknowledgedAtMs))
})

test('what was read for certain is what was acknowledged; without acknowledgements, what was sent', () => {
  const peer = new Peer()
  peer.write(5_000)
  assert.equal(peer.delivery.readUntil(at(peer.sent)), 5_000)
  peer.acknowledge(2_000 * bytesPerMs)
  peer.write(3_000)
  assert.ok(Math.abs(peer.delivery.readUntil(at(peer.sent)) - 2_000) < 1)
})

test('property: a peer that reads all has no lag, whatever its habit, in sums or in increments', () => {
  fc.assert(
    fc.property(fc.integer({ min: 131_325, max: 5_000_000 }), fc.boolean(), (habitBytes, incremental) => {
      const peer = new Peer()
      for (let acknowledged = 0; peer.nowMs < 30_000; ) {
        peer.write(10)
        if (peer.sent - acknowledged < habitBytes) continue
        peer.acknowledge(incremental ? peer.sent - acknowledged : peer.sent)
        acknowledged = peer.sent
        // Increments that happen to grow look like a sum until one does not.
        if (!incremental || peer.nowMs > 25_000) assert(peer.lagMs <= 20, `${peer.lagMs} ms`)
      }
      assert(peer.lagMs <= 20 || incremental, `${peer.lagMs} ms`)
      assert.equal(peer.hasStopped, false)
    }),
    { numRuns: 50 },
  )
})

test('what the kernel holds for a slow peer is lag: 4 MB at 12 Mbit/s are 2.7 s', () => {
  const peer = new Peer()
  const underWay = 4_000_000
  for (let read = 1_250_000; read < 20_000_000; read += 1_250_000) {
    while (peer.sent < read + underWay) peer.write(10)
    peer.acknowledge(read)
  }
  assert(Math.abs(peer.lagMs - underWay / bytesPerMs) < 60, `${peer.lagMs} ms`)
})

test('the lag grows when acknowledgements stay away, and is gone when they catch up', () => {
  const peer = new Peer()
  for (let times = 0; times < 10; times++) {
    peer.write(800)
    peer.acknowledge(peer.sent)
  }
  assert(peer.lagMs < 20)
  // One habit of 1.2 MB lasts 0.8 s.
  peer.write(3_000)
  assert(Math.abs(peer.lagMs - 2_200) < 60, `${peer.lagMs} ms`)
  peer.acknowledge(peer.sent)
  assert(peer.lagMs < 20, `${peer.lagMs} ms`)
})

test('a sum wraps at 2^32 and is understood', () => {
  const peer = new Peer()
  // Some 48 minutes of 12 Mbit/s, in large steps.
  for (let times = 0; times < 3_000; times++) {
    peer.write(1_000)
    peer.acknowledge(peer.sent - 150_000)
  }
  assert(peer.sent > 2 ** 32)
  assert(Math.abs(peer.lagMs - 100) < 20, `${peer.lagMs} ms`)
  assert.equal(peer.delivery.acknowledgedBytes, peer.sent - 150_000)
})

for (const [name, value] of [
  ['0', () => 0],
  ['the same small number', () => 7],
  ['more than was ever sent', () => 4_000_000_000],
  ['a sum that begins anew', (sent: number) => sent % 3_000_000],
] as const)
  test(`values that are ${name} are no lag in the long run, and no reason to call the peer dead`, () => {
    const peer = new Peer()
    for (let times = 0; times < 60; times++) {
      peer.write(1_000)
      peer.acknowledge(value(peer.sent))
      assert.equal(peer.hasStopped, false)
    }
    // 16 MiB are more than can be under way.
    assert(peer.lagMs <= (16 * 2 ** 20) / bytesPerMs + 100, `${peer.lagMs} ms`)
    assert(peer.delivery.acknowledgedBytes <= peer.sent)
  })

test('a peer that used to acknowledge and is silent for 15 s under load has stopped, although its writes finish', () => {
  const peer = new Peer()
  for (let times = 0; times < 5; times++) {
    peer.write(800)
    peer.acknowledge(peer.sent)
  }
  peer.write(14_990)
  assert.equal(peer.hasStopped, false)
  peer.write(20)
  assert.equal(peer.hasStopped, true)
})

test('silence means nothing while less is sent than the peer uses to wait for', () => {
  const peer = new Peer()
  for (let times = 0; times < 5; times++) {
    peer.write(800)
    peer.acknowledge(peer.sent)
  }
  // A feed of 50 kbit/s, or a held input: two habits and 512 KiB are not reached.
  peer.write(120_000, 0.01)
  assert.equal(peer.hasStopped, false)
})

test('a constant value, as YouTube sends it, keeps a peer alive as well as a sum', () => {
  const peer = new Peer()
  for (let times = 0; times < 200; times++) {
    peer.write(90)
    peer.acknowledge(131_325)
  }
  assert(peer.lagMs < 1_500, `${peer.lagMs} ms`)
  peer.write(15_010)
  assert.equal(peer.hasStopped, true)
})
