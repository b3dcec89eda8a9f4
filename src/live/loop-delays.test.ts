import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoopDelays } from './loop-delays.ts'

test('a quantile is right to a fifth, and never above the longest', () => {
  const delays = new LoopDelays()
  for (let count = 1; count <= 1000; count++) delays.note(count / 10)
  for (const share of [0.5, 0.9, 0.99]) {
    const [exact, told] = [share * 100, delays.quantileMs(share)]
    assert.ok(told >= exact && told <= exact * 1.2, `${told} for ${exact}`)
  }
  assert.equal(delays.quantileMs(1), 100)
  assert.equal(delays.maxMs, 100)
})

test('nothing, no time at all, and more than a minute', () => {
  const delays = new LoopDelays()
  assert.equal(delays.quantileMs(0.99), 0)
  delays.note(0)
  assert.equal(delays.quantileMs(0.99), 0)
  delays.note(1e6)
  assert.equal(delays.maxMs, 1e6)
  assert.ok(delays.quantileMs(0.99) >= 60_000)
  delays.reset()
  assert.equal(delays.maxMs, 0)
  assert.equal(delays.quantileMs(0.99), 0)
})
