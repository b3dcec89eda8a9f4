import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lanes, MediaLog, messageFlags } from './media-log.ts'
import { SlabPool, slabBytes } from './slab-pool.ts'

const mebibyte = 1024 * 1024
const limits = { durationMsMax: 3_600_000, bytesMax: 1024 * mebibyte }
const frame = Buffer.alloc(64 * 1024, 1)
const tiny = Buffer.alloc(1, 1)

function fill(log: MediaLog, body: Buffer, count: number): void {
  for (let index = 0; index < count; index++) log.append(lanes.video, 9, 0, messageFlags.video, body)
}

const besideSlabs = (pool: SlabPool, logs: readonly MediaLog[]) =>
  pool.bytesInUse - logs.reduce((sum, log) => sum + log.spareSlabs + 1, 0) * slabBytes

test('all logs together keep within their memory, and the largest gives way', () => {
  const pool = new SlabPool(16 * mebibyte)
  const [large, small] = [new MediaLog(pool, limits), new MediaLog(pool, limits)]
  fill(small, frame, 32)
  fill(large, frame, 1_000)
  assert.ok(pool.bytesInUse <= 16 * mebibyte && pool.bytesInUse > 15 * mebibyte, String(pool.bytesInUse))
  assert.equal(small.firstSequence, 0, 'the small one has all that it had')
  assert.ok(large.firstSequence > 0)
  large.close()
  small.close()
  assert.equal(pool.bytesInUse, 0)
})

test('a pool keeps 16 MiB of slabs for later use, and no more', () => {
  const pool = new SlabPool(64 * mebibyte)
  const slabs = Array.from({ length: 100 }, () => pool.take(0, 0))
  assert.equal(pool.idleBytes, 0)
  for (const slab of slabs) pool.release(slab)
  assert.equal(pool.bytesInUse, 0)
  assert.equal(pool.idleBytes, 16 * mebibyte)
  pool.take(0, 0)
  assert.equal(pool.idleBytes, 16 * mebibyte - slabBytes)
})

test('the index counts: of tiny messages it is several times as large as their slabs', () => {
  const pool = new SlabPool(16 * mebibyte)
  const logs = [1, 2, 3, 4].map(() => new MediaLog(pool, limits))
  let most = 0
  for (let round = 0; round < 40; round++)
    for (const log of logs) {
      fill(log, tiny, 10_000)
      most = Math.max(most, pool.bytesInUse)
    }
  // A slab goes as a whole, and the index of a log is made twice as large at once.
  assert.ok(most <= 24 * mebibyte, String(most))
  assert.ok(besideSlabs(pool, logs) > pool.bytesInUse / 2, 'most of it is the index')
  for (const log of logs) log.close()
  assert.equal(pool.bytesInUse, 0)
})

test('after a flood of tiny messages the index shrinks again', () => {
  const pool = new SlabPool(4 * mebibyte)
  const log = new MediaLog(pool, limits)
  fill(log, tiny, 100_000)
  assert.ok(besideSlabs(pool, [log]) > 2 * mebibyte)
  for (let index = 0; index < 200; index++) {
    fill(log, frame, 1)
    // It shrinks in the middle of a message, whose own entry must come along.
    assert.equal(log.bodyBytesOf(log.nextSequence - 1), frame.length)
  }
  assert.ok(besideSlabs(pool, [log]) < 0.02 * mebibyte)
  for (let sequence = log.firstSequence; sequence < log.nextSequence; sequence++)
    assert.deepEqual(log.copyBody(sequence), frame)
  log.close()
})

test('a slab is used again only when nobody refers to it any more', () => {
  const pool = new SlabPool(16 * mebibyte)
  const slab = pool.take(0, 0)
  slab.references++
  pool.release(slab)
  assert.notEqual(pool.take(0, 0), slab)
  pool.release(slab)
  assert.equal(pool.take(slabBytes, 7), slab)
  assert.deepEqual([slab.position, slab.firstSequence, slab.references], [slabBytes, 7, 1])
})
