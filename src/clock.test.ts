import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from './clock.ts'

test('a wait that is longer than a timer of Node can be does not end at once', async () => {
  let fired = 0
  const cancels = [2 ** 31, 400 * 86_400_000, Number.POSITIVE_INFINITY].map((durationMs) =>
    systemClock.after(durationMs, () => fired++),
  )
  await pause(20)
  for (const cancel of cancels) cancel()
  assert.equal(fired, 0)
})
