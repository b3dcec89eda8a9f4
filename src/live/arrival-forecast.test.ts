import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ArrivalForecast } from './arrival-forecast.ts'
import { lanes } from './media-log.ts'

/** As in the pump. */
const lateMs = 0.2
const lookAgainMs = 0.4

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

type Beats = {
  /** Rounds that were slept into, and others. */
  slept: number
  woken: number
  /** Woke up before anything had come. */
  early: number
  /** Times that it looked for a message that was late. */
  steps: number
  /** Ended without a message that was expected. */
  incomplete: number
  /** How long each message of those that were slept into had to wait. */
  readonly waitedMs: number[]
}

/** Rounds as the pump has them, which takes no time here. */
function run(coming: readonly Coming[], gatherMs = 8): Beats {
  const forecast = new ArrivalForecast()
  const beats: Beats = { slept: 0, woken: 0, early: 0, steps: 0, incomplete: 0, waitedMs: [] }
  let endsMs = Number.NaN
  for (let index = 0; index < coming.length; ) {
    const first = coming[index]!
    const isSlept = !Number.isNaN(endsMs) && !forecast.isLook
    // Nothing had come when it woke up: it goes out at once, and was seen to come.
    const isSeen = !isSlept || first.atMs > endsMs
    let roundMs = isSlept ? endsMs : first.atMs + gatherMs
    if (forecast.isLook && !Number.isNaN(endsMs)) roundMs = endsMs
    roundMs = Math.max(roundMs, first.atMs)
    const from = index
    const read = () => {
      for (; index < coming.length && coming[index]!.atMs <= roundMs; index++)
        forecast.observe(coming[index]!.lane, coming[index]!.time)
    }
    read()
    if (!Number.isNaN(endsMs)) {
      for (; forecast.isWorthWaiting(roundMs); read()) {
        roundMs += lookAgainMs
        beats.steps++
      }
      if (!forecast.isComplete) beats.incomplete++
    }
    if (isSlept) {
      beats.slept++
      if (isSeen) beats.early++
      for (const { atMs } of coming.slice(from, index)) beats.waitedMs.push(roundMs - atMs)
    } else beats.woken++
    forecast.roundBegins()
    endsMs = forecast.nextBeat(gatherMs, roundMs, isSeen ? first.atMs : Number.NaN) + lateMs
  }
  return beats
}

const quantile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]!

test('a steady feed is slept into nine times of ten, and what goes out together is complete when it goes', () => {
  const { slept, woken, incomplete, waitedMs } = run(feed(30, () => 2))
  assert.ok(slept > 9 * woken, `${slept} slept, ${woken} woken`)
  assert.equal(incomplete, 0)
  assert.ok(quantile(waitedMs, 0.5) < 1, `half of them wait for ${quantile(waitedMs, 0.5)} ms`)
  assert.ok(quantile(waitedMs, 0.99) < 8.5, `${quantile(waitedMs, 0.99)} ms`)
})

test('within half a frame each sound finds a picture to go out with, before it or after it', () => {
  const rounds = ({ slept, woken }: Beats) => (slept + woken) / 30
  // 60 pictures and 47 sounds a second. Resting for as long from the first of them makes 67 rounds.
  assert.ok(
    rounds(
      run(
        feed(30, () => 2),
        8.4,
      ),
    ) < 62,
  )
  assert.ok(
    rounds(
      run(
        feed(30, () => 2, 30),
        8.4,
      ),
    ) < 55,
  )
  // What comes within 40 ms, three pictures mostly: no beat may begin with one that has waited.
  const long = run(
    feed(30, () => 2),
    40,
  )
  assert.ok(rounds(long) < 26)
  assert.ok(Math.max(...long.waitedMs) < 42, `${Math.max(...long.waitedMs)} ms`)
})

test('sound that comes long before or after the picture of its time has a delay of its own', () => {
  for (const soundMs of [-90, 70]) {
    const { slept, woken, waitedMs } = run(feed(30, (lane) => (lane === lanes.audio ? soundMs : 0)))
    assert.ok(slept > 9 * woken, `${slept} slept, ${woken} woken`)
    assert.ok(quantile(waitedMs, 0.99) < 8.5, `${quantile(waitedMs, 0.99)} ms`)
  }
})

test('an encoder’s clock that is not ours, and another delay from one moment to the next, are followed', () => {
  const drifts = run(feed(60, (_, index) => index * 0.002))
  assert.ok(drifts.slept > 9 * drifts.woken, `${drifts.slept} slept, ${drifts.woken} woken`)
  assert.ok(quantile(drifts.waitedMs, 0.99) < 9, `${quantile(drifts.waitedMs, 0.99)} ms`)
  const later = run(feed(60, (_, index) => (index > 1_600 ? 14 : 0)))
  assert.ok(later.slept > 5 * later.woken, `${later.slept} slept, ${later.woken} woken`)
  assert.ok(later.early < 100, `${later.early} times before anything had come`)
  const jumps = run(feed(60, (lane, index) => (index > (lane === lanes.video ? 1_800 : 1_400) ? 120 : 0)))
  assert.ok(jumps.slept > 5 * jumps.woken, `${jumps.slept} slept, ${jumps.woken} woken`)
})

test('an encoder’s clock that is faster than ours is followed in both lanes, whatever their rates and offset', () => {
  for (const fps of [24, 25, 30, 50, 60])
    for (let offsetMs = 0; offsetMs < 21; offsetMs += 3) {
      const { waitedMs } = run(
        feed(60, (lane, index) => 60 + (lane === lanes.audio ? offsetMs : 0) - index * 0.004, fps),
      )
      assert.ok(quantile(waitedMs, 0.99) < 9, `${fps} fps, ${offsetMs} ms: ${quantile(waitedMs, 0.99)} ms`)
    }
})

test('a delay that was taken for too long is put right by what is there before its time', () => {
  // Pictures are seen to arrive 30 ms late until the feed is trusted, and never come first after that.
  const late = 40
  const { waitedMs, slept, woken } = run(
    feed(60, (lane, index) => (lane === lanes.video && index < late ? 30 : 0)),
    40,
  )
  assert.ok(slept > 5 * woken, `${slept} slept, ${woken} woken`)
  assert.ok(quantile(waitedMs, 0.99) < 42, `${quantile(waitedMs, 0.99)} ms`)
})

/** Each by so much at most, anew for each message. */
function scattered(ms: number): () => number {
  let seed = 1
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return (ms * seed) / 2 ** 31
  }
}

test('small lateness is waited for, does not end the trust, and becomes what is expected', () => {
  const sometimes = run(feed(30, (_, index) => (index % 7 === 0 ? 1 : 0)))
  assert.ok(sometimes.slept > 9 * sometimes.woken, `${sometimes.slept} slept, ${sometimes.woken} woken`)
  assert.equal(sometimes.incomplete, 0)
  assert.ok(quantile(sometimes.waitedMs, 0.99) < 9.5, `${quantile(sometimes.waitedMs, 0.99)} ms`)
  const always = run(feed(30, scattered(1)))
  assert.ok(always.slept > 9 * always.woken, `${always.slept} slept, ${always.woken} woken`)
  assert.ok(always.steps < always.slept, `${always.steps} steps in ${always.slept} beats`)
  assert.ok(quantile(always.waitedMs, 0.99) < 9.5, `${quantile(always.waitedMs, 0.99)} ms`)
})

test('of a feed that does not keep its rhythm nothing is foretold, and it is not looked for again and again', () => {
  for (const ms of [6, 12, 40]) {
    const arrivals = run(feed(30, scattered(ms)))
    assert.ok(arrivals.slept < arrivals.woken / 2, `${ms}: ${arrivals.slept} slept, ${arrivals.woken} woken`)
    assert.ok(arrivals.steps < arrivals.woken / 2, `${ms}: ${arrivals.steps} steps`)
  }
  const scatter = scattered(12)
  const stamps = run(feed(30, () => 0).map((one) => ({ ...one, time: one.time + Math.round(scatter()) })))
  assert.equal(stamps.slept, 0)
})

test('what comes between, of which nothing is known, is not kept until the next picture, nor held against the forecast', () => {
  const forecast = new ArrivalForecast()
  let endsMs = Number.NaN
  let foretold = 0
  // Five pictures a second, and captions, which are no picture: each has a round of its own.
  for (let atMs = 0; atMs < 60_000; atMs += 50) {
    if (atMs % 200 === 0) forecast.observe(lanes.video, atMs)
    else assert.ok(!forecast.isWorthWaiting(atMs + 8))
    forecast.roundBegins()
    endsMs = forecast.nextBeat(8, atMs + 8, atMs)
    if (!Number.isNaN(endsMs)) foretold++
  }
  assert.ok(foretold > 1_000, `${foretold} of 1,200`)
})

test('a frame that was left out, and another rate, are over within a second', () => {
  const all = feed(20, () => 2)
  const gaps = run(all.filter(({ lane, time }) => lane === lanes.audio || Math.floor(time / 4_000) * 4_000 + 20 < time))
  assert.ok(gaps.slept > 5 * gaps.woken, `${gaps.slept} slept, ${gaps.woken} woken`)
  const halved = run([
    ...all.filter(({ time }) => time < 10_000),
    ...feed(20, () => 2, 30).filter(({ time }) => time >= 10_000),
  ])
  assert.ok(halved.slept > 5 * halved.woken, `${halved.slept} slept, ${halved.woken} woken`)
})

test('a track that ends is not waited for, and one that nobody saw come is not slept into', () => {
  const both = feed(10, () => 2)
  const { slept } = run(both.filter(({ lane, time }) => lane === lanes.video || time < 5_000))
  assert.ok(slept > 300, `${slept} slept`)
  assert.equal(run([]).slept, 0)
})

test('stamps that hardly differ are no rhythm', () => {
  const burst = Array.from({ length: 500 }, (_, index) => ({ lane: lanes.video, time: index, atMs: 1_000 + index }))
  assert.equal(run(burst).slept, 0)
})

test('data and further tracks say nothing', () => {
  const forecast = new ArrivalForecast()
  for (let time = 0; time < 1_000; time += 10) {
    forecast.observe(lanes.data, time)
    forecast.observe(lanes.firstExtra, time)
    forecast.roundBegins()
    assert.ok(Number.isNaN(forecast.nextBeat(8, time + 1, time)))
  }
})
