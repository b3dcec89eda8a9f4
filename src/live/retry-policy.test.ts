import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type OutputErrorCode, outputErrorCodes } from '../errors.ts'
import { RetryPolicy } from './retry-policy.ts'

const refusals: readonly OutputErrorCode[] = [
  'certificate_expired',
  'certificate_host_mismatch',
  'certificate_untrusted',
  'redirect_loop',
  'loop_detected',
  'publish_denied',
  'connect_rejected',
  'codec_refused',
  'destination_not_allowed',
  'destination_invalid',
]
/** Whatever may be over in a moment. */
const passing = (Object.keys(outputErrorCodes) as OutputErrorCode[]).filter(
  (code) => !refusals.includes(code) && code !== 'already_publishing' && code !== 'closed_after_publish',
)
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('the ceiling of the wait doubles from 1 s to 30 s and stays there, for ever', () => {
  const policy = new RetryPolicy(() => 1 - Number.EPSILON)
  const waits = Array.from({ length: 2_000 }, () => policy.failed('no_progress', 0))
  assert.deepEqual(
    waits.slice(0, 7).map(({ delayMs }) => delayMs),
    [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
  )
  assert(waits.slice(6).every(({ delayMs, state }) => delayMs === 30_000 && state === 'reconnecting'))
})

test('chance takes any part of the wait, so that fifty outputs do not come back in one moment, but never less than 1 s', () => {
  for (const [random, expected] of [
    [0, 1_000],
    [0.25, 4_000],
    [0.5, 8_000],
  ] as const) {
    const policy = new RetryPolicy(() => random)
    for (let failures = 0; failures < 4; failures++) policy.failed('connection_refused', 0)
    assert.equal(policy.failed('connection_refused', 0).delayMs, expected)
  }
})

test('property: whatever passes is `reconnecting`, within 1 s and 30 s', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...passing), chance), { minLength: 1, maxLength: 40 }),
      (failures) => {
        let next = 0
        const policy = new RetryPolicy(() => next)
        for (const [code, random] of failures) {
          next = random
          const { state, delayMs } = policy.failed(code, 0)
          assert.equal(state, 'reconnecting')
          assert(Number.isInteger(delayMs) && delayMs >= 1_000 && delayMs <= 30_000)
        }
      },
    ),
  )
})

test('30 s of real publishing make the next failure the first again; a connect alone does not', () => {
  const policy = new RetryPolicy(() => 1 - Number.EPSILON)
  const wait = () => policy.failed('connection_reset', 0).delayMs
  assert.deepEqual([wait(), wait(), wait()], [1_000, 2_000, 4_000])
  policy.succeeded()
  assert.deepEqual([wait(), wait()], [1_000, 2_000])
})

for (const code of refusals)
  test(`${code} is an error at once, and tried again every minute`, () => {
    assert.deepEqual(new RetryPolicy(() => 0.5).failed(code, 0), { state: 'error', delayMs: 60_000 })
    assert.equal(new RetryPolicy(() => 0).failed(code, 0).delayMs, 54_000)
    assert.equal(new RetryPolicy(() => 1 - Number.EPSILON).failed(code, 0).delayMs, 66_000)
  })

test('a refusal does not lengthen the waits of what comes later', () => {
  const policy = new RetryPolicy(() => 1 - Number.EPSILON)
  for (let times = 0; times < 5; times++) policy.failed('publish_denied', 0)
  assert.equal(policy.failed('no_progress', 0).delayMs, 1_000)
})

test('a key in use is asked for every few seconds for 90 s, then every minute and shown as an error', () => {
  const policy = new RetryPolicy(() => 0.5)
  for (let atMs = 5_000; atMs < 95_000; atMs += 5_000)
    assert.deepEqual(policy.failed('already_publishing', atMs), { state: 'reconnecting', delayMs: 5_000 })
  assert.deepEqual(policy.failed('already_publishing', 95_000), { state: 'error', delayMs: 60_000 })
  assert.deepEqual(policy.failed('already_publishing', 160_000), { state: 'error', delayMs: 60_000 })
})

test('the 90 s begin anew after another failure, and after real publishing', () => {
  const policy = new RetryPolicy(() => 0.5)
  policy.failed('already_publishing', 0)
  policy.failed('connection_reset', 80_000)
  assert.equal(policy.failed('already_publishing', 100_000).state, 'reconnecting')
  policy.succeeded()
  assert.equal(policy.failed('already_publishing', 300_000).state, 'reconnecting')
  assert.equal(policy.failed('already_publishing', 390_000).state, 'error')
})

test('a close right after the publish is tried again quickly once; the second in a row is a refusal', () => {
  const policy = new RetryPolicy(() => 0.5)
  assert.deepEqual(policy.failed('closed_after_publish', 0), { state: 'reconnecting', delayMs: 1_000 })
  assert.deepEqual(policy.failed('closed_after_publish', 0), { state: 'error', delayMs: 60_000 })
  assert.deepEqual(policy.failed('closed_after_publish', 0), { state: 'error', delayMs: 60_000 })
})

test('closes that are not in a row are not counted together', () => {
  const policy = new RetryPolicy(() => 0.5)
  policy.failed('closed_after_publish', 0)
  policy.failed('connection_refused', 0)
  assert.equal(policy.failed('closed_after_publish', 0).state, 'reconnecting')
  policy.succeeded()
  assert.equal(policy.failed('closed_after_publish', 0).state, 'reconnecting')
})
