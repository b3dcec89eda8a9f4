import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressPolicy } from '../destination/address-policy.ts'
import { Secret } from '../secret.ts'
import { preflight } from './preflight.ts'

test('a try-out ends: each step has 8 s, and all of them together 45', async () => {
  for (const [seconds, words] of [
    [8, /\b8 s\b/],
    [45, /took longer than 45 s in all/],
  ] as const) {
    const alarms = new Map<number, () => void>()
    const clock = {
      now: () => 0,
      monotonicMs: () => 0,
      after(durationMs: number, callback: () => void) {
        alarms.set(durationMs, callback)
        return () => {}
      },
    }
    const { signal } = new AbortController()
    // Its name server never answers.
    const resolve = () => new Promise<never>(() => {})
    const output = { url: 'rtmp://slow.example.com/live', streamKey: new Secret('key') }
    const trying = preflight(output, { clock, resolve, policy: new AddressPolicy([]), signal })
    await new Promise(setImmediate)
    alarms.get(seconds * 1_000)!()
    const { ok, steps } = await trying
    assert.equal(ok, false)
    assert.match(JSON.stringify(steps.at(-1)), words)
  }
})
