import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FailedKeys } from './failed-keys.ts'

function setUp() {
  const time = { ms: 0 }
  return { time, keys: new FailedKeys(() => time.ms) }
}

test('the first failures are answered at once, then each waits twice as long, 5 s at most', () => {
  const { keys } = setUp()
  const delays = Array.from({ length: 14 }, () => keys.note('192.0.2.1').delayMs)
  assert.deepEqual(delays, [0, 0, 0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000])
})

test('addresses are counted apart, those of one IPv6 network together, and an IPv4 address by either of its names', () => {
  const { keys } = setUp()
  for (let index = 0; index < 6; index++) keys.note(`2001:db8::${index}`)
  for (let index = 0; index < 6; index++) keys.note(index % 2 === 0 ? '192.0.2.1' : '::ffff:192.0.2.1')
  assert.equal(keys.note('2001:db8::ffff').failures, 7)
  assert.equal(keys.note('192.0.2.1').failures, 7)
  assert.equal(keys.note('2001:db8:0:1::').failures, 1)
})

test('failures are forgotten, one in ten seconds', () => {
  const { keys, time } = setUp()
  for (let index = 0; index < 8; index++) keys.note('192.0.2.1')
  time.ms += 30_000
  assert.equal(keys.note('192.0.2.1').failures, 6)
  time.ms += 3_600_000
  assert.equal(keys.note('192.0.2.1').failures, 1)
})

test('the table is bounded: whoever was quiet longest is forgotten', () => {
  const { keys } = setUp()
  for (let index = 0; index < 10_000; index++) keys.note(`10.0.${index >> 8}.${index & 255}`)
  for (let index = 0; index < 6; index++) keys.note('10.0.0.0')
  for (let index = 0; index < 5_000; index++) keys.note(`10.1.${index >> 8}.${index & 255}`)
  assert.equal(keys.size, 10_000)
  assert.equal(keys.note('10.0.0.0').failures, 8)
  assert.equal(keys.note('10.0.0.1').failures, 1)
})

test('a flood of failures is not a flood of log lines', () => {
  const { keys } = setUp()
  const told = Array.from({ length: 1_000 }, () => keys.note('192.0.2.1')).filter(({ isTold }) => isTold)
  assert.equal(told.length, 20 + 10)
})
