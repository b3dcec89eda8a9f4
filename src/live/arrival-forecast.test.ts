import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ArrivalForecast } from './arrival-forecast.ts'
import { lanes } from './media-log.ts'

const gatherMs = 8

type Coming = { readonly lane: number; readonly time: number; readonly atMs: number }

/** 60 pictures and 47 sounds a second, stamped in whole milliseconds. @param behindMs by how much each comes behind its time. */
function feed(seconds: number, behindMs: (lane: number, index: number) => number, fps = 60): Coming[] {
  const of = (lane: number, everyMs: number) =>
    Array.from({ length: Math.floor((seconds * 1000) / everyMs) }, (_, index) => ({
      lane,
      time: Math.round(index * everyMs),
      atMs: 5_000 + index * everyMs + behindMs(lane, index),
    }))
  return [...of(lanes.video, 1000 / fps), ...of(lanes.audio, 1024 / 48)].sort((a, b) => a.atMs - b.atMs)
}

/** Rounds as the pump has them. @returns how many were slept into, how many were not, how often it woke up too early, and how long the first of each had to wait. */
function run(coming: readonly Coming[]): { slept: number; woken: number; early: number; waitedMs: number[] } {
  const forecast = new ArrivalForecast()
  const result = { slept: 0, woken: 0, early: 0, waitedMs: [] as number[] }
  let nextMs = Number.NaN
  for (let index = 0; index < coming.length; ) {
    const first = coming[index]!
    // Nothing had come when it woke up: it goes out at once, and was seen to come.
    const wokeMs = nextMs + gatherMs
    const isSeen = !(first.atMs <= wokeMs)
    const roundMs = Number.isNaN(nextMs) ? first.atMs + gatherMs : Math.max(first.atMs, wokeMs)
    const arrivedMs = isSeen ? first.atMs : Number.NaN
    if (Number.isNaN(nextMs)) result.woken++
    else {
      result.slept++
      if (isSeen) result.early++
      result.waitedMs.push(roundMs - first.atMs)
    }
    for (; index < coming.length && coming[index]!.atMs <= roundMs; index++)
      forecast.observe(coming[index]!.lane, coming[index]!.time)
    forecast.roundBegins()
    nextMs = forecast.next(arrivedMs)
  }
  return result
}

const quantile = (values: number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]!

test('a steady feed is slept into seven times of eight, and waits no longer for it', () => {
  const { slept, woken, waitedMs } = run(feed(30, () => 2))
  assert.ok(slept > 5 * woken, `${slept} slept, ${woken} woken`)
  assert.ok(quantile(waitedMs, 0.99) < gatherMs + 1, `${quantile(waitedMs, 0.99)} ms`)
})

test('sound that comes long before or after the picture of its time has a delay of its own', () => {
  for (const soundMs of [-90, 70]) {
    const { slept, woken, waitedMs } = run(feed(30, (lane) => (lane === lanes.audio ? soundMs : 0)))
    assert.ok(slept > 5 * woken, `${slept} slept, ${woken} woken`)
    assert.ok(quantile(waitedMs, 0.99) < gatherMs + 1, `${quantile(waitedMs, 0.99)} ms`)
  }
})

test('an encoder’s clock that is not ours, and another delay from one moment to the next, are followed', () => {
  const drifts = run(feed(60, (_, index) => index * 0.002))
  assert.ok(drifts.slept > 4 * drifts.woken, `${drifts.slept} slept, ${drifts.woken} woken`)
  assert.ok(quantile(drifts.waitedMs, 0.99) < gatherMs + 1.2, `${quantile(drifts.waitedMs, 0.99)} ms`)
  const later = run(feed(60, (_, index) => (index > 1_600 ? 14 : 0)))
  assert.ok(later.slept > 4 * later.woken, `${later.slept} slept, ${later.woken} woken`)
  assert.ok(later.early < 100, `${later.early} times before anything had come`)
  const jumps = run(feed(60, (lane, index) => (index > (lane === lanes.video ? 1_800 : 1_400) ? 120 : 0)))
  assert.ok(jumps.slept > 4 * jumps.woken, `${jumps.slept} slept, ${jumps.woken} woken`)
})

test('of a feed that does not keep its rhythm nothing is foretold', () => {
  let seed = 1
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return seed / 2 ** 31
  }
  const { slept, woken, waitedMs } = run(feed(30, () => random() * 12))
  assert.ok(slept < woken / 5, `${slept} slept, ${woken} woken`)
  assert.ok(waitedMs.length < 200)
})

test('a track that ends is not waited for, and one that nobody saw come is not slept into', () => {
  const both = feed(10, () => 2)
  const { slept } = run(both.filter(({ lane, time }) => lane === lanes.video || time < 5_000))
  assert.ok(slept > 300, `${slept} slept`)
  assert.equal(run([]).slept, 0)
})

test('data and further tracks say nothing', () => {
  const forecast = new ArrivalForecast()
  for (let time = 0; time < 1_000; time += 10) {
    forecast.observe(lanes.data, time)
    forecast.observe(lanes.firstExtra, time)
    forecast.roundBegins()
    assert.ok(Number.isNaN(forecast.next(time)))
  }
})
