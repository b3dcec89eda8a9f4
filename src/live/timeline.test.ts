import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { lanes } from './media-log.ts'
import { Timeline } from './timeline.ts'

const { video, audio } = lanes

/** Maps a row of [lane, timestamp] and gives the times. */
function run(timeline: Timeline, messages: readonly (readonly [number, number])[]): number[] {
  const clock = timeline.attach(messages[0]![1])
  return messages.map(([lane, timestamp]) => clock.map(timestamp >>> 0, lane, lane === video))
}

test('a broadcast begins at 0, whatever the encoder’s clock shows', () => {
  assert.deepEqual(
    run(new Timeline(), [
      [video, 5_000_000],
      [audio, 5_000_007],
      [video, 5_000_033],
    ]),
    [0, 7, 33],
  )
})

for (const [name, end] of [
  ['2^32', 2 ** 32],
  ['2^31, with encoders that have 31 bits', 2 ** 31],
  ['0xFFFFFF', 0xffffff],
] as const)
  test(`time goes on past ${name}`, () => {
    const wraps = name.startsWith('0x') ? Number.POSITIVE_INFINITY : end
    const at = (time: number) => time % wraps
    assert.deepEqual(
      run(new Timeline(), [
        [video, at(end - 40)],
        [audio, at(end - 30)],
        [video, at(end - 7)],
        [audio, at(end + 5)],
        [video, at(end + 26)],
        [audio, at(end + 40)],
      ]),
      [0, 10, 33, 45, 66, 80],
    )
  })

test('a clock that restarts goes on one frame later, for all tracks with one offset', () => {
  const times = run(new Timeline(), [
    [video, 100_000],
    [audio, 100_010],
    [video, 100_033],
    [audio, 100_031],
    [video, 0],
    [audio, 12],
    [video, 33],
    [audio, 33],
  ])
  assert.deepEqual(times, [0, 10, 33, 31, 66, 78, 99, 99])
})

test('a gap of the encoder’s clock is closed; a small one is kept', () => {
  assert.deepEqual(
    run(new Timeline(), [
      [video, 0],
      [video, 33],
      [video, 2_000],
      [video, 90_000],
      [audio, 90_005],
    ]),
    [0, 33, 2_000, 2_033, 2_038],
  )
})

test('one track that jumps alone is corrected alone, and lip-sync of the rest stays', () => {
  const times = run(new Timeline(), [
    [video, 0],
    [audio, 0],
    [video, 33],
    [audio, 21],
    [audio, 50_042], // sound jumps
    [video, 66], // the picture has not
    [audio, 50_063],
    [video, 99],
    [audio, 50_084],
  ])
  assert.deepEqual(times.slice(5), [66, times[4]! + 21, 99, times[4]! + 42])
  assert.ok(times[4]! >= 33 && times[4]! <= 70)
})

/** Two tracks of one encoder, 40 ms of picture and 20 ms of sound each, in the order of time; `shift` is its trouble. */
function* interleaved(count: number, shift: (lane: number, time: number) => number) {
  for (let time = 0; time < count * 20; time += 20) {
    if (time % 40 === 0) yield [video, time + shift(video, time), time] as const
    yield [audio, time + 5 + shift(audio, time), time + 5] as const
  }
}

for (const [name, shift, off] of [
  ['all tracks go back by half a second', (_: number, time: number) => (time < 1_000 ? 0 : -500), 0],
  ['all tracks go back by a quarter of an hour', (_: number, time: number) => (time < 1_000 ? 0 : -900_000), 0],
  [
    'the sound alone goes back by half a second',
    (lane: number, time: number) => (lane === audio && time >= 1_000 ? -500 : 0),
    1,
  ],
  [
    'the picture alone goes back by half a second',
    (lane: number, time: number) => (lane === video && time >= 1_000 ? -500 : 0),
    1,
  ],
  [
    'the sound alone goes ahead by a minute',
    (lane: number, time: number) => (lane === audio && time >= 1_000 ? 60_000 : 0),
    1,
  ],
  [
    'the picture alone goes back to 0',
    (lane: number, time: number) => (lane === video && time >= 1_000 ? -time : 0),
    40,
  ],
  [
    'sound and picture go ahead one after the other',
    (lane: number, time: number) => (time >= (lane === audio ? 1_100 : 1_000) ? 50_000 : 0),
    1,
  ],
] as const)
  test(`as if nothing had happened: ${name}`, () => {
    const timeline = new Timeline()
    const clock = timeline.attach(1_000_000)
    for (const [lane, timestamp, time] of interleaved(200, shift)) {
      if (name.endsWith('back to 0') && lane === video && time > 1_000) continue
      const told = clock.map((1_000_000 + timestamp) >>> 0, lane, lane === video)
      assert.ok(Math.abs(told - time) <= off, `lane ${lane} at ${time} is told as ${told}`)
    }
  })

test('encoders of 31 bits: a track that has not wrapped yet is no jump', () => {
  const end = 2 ** 31
  const times = run(new Timeline(), [
    [video, end - 40],
    [audio, 5],
    [video, end - 7],
    [audio, 26],
    [video, 26],
  ])
  assert.deepEqual(times, [0, 45, 33, 66, 66])
})

test('a small step back is bent by a millisecond: encoders that write the time of showing', () => {
  const times = run(new Timeline(), [
    [video, 0],
    [video, 100],
    [video, 33],
    [video, 66],
    [video, 200],
  ])
  assert.deepEqual(times, [0, 100, 101, 102, 200])
})

test('data follows the clock and does not set it', () => {
  const times = run(new Timeline(), [
    [video, 90_000],
    [video, 90_033],
    [lanes.data, 0],
    [video, 90_066],
    [lanes.data, 90_070],
    [lanes.data, 92_900],
    [video, 90_100],
    [audio, 90_105],
  ])
  assert.deepEqual(times, [0, 33, 33, 66, 70, 2_900, 100, 105])
})

test('a second publisher’s picture is not shown before the last one of the first', () => {
  const timeline = new Timeline()
  const first = timeline.attach(0, 66)
  // I P, and the encoder is gone before the B-frames between them.
  for (const [timestamp, compositionMs] of [
    [0, 66],
    [33, 133],
  ] as const)
    first.map(timestamp, video, true, compositionMs)
  assert.equal(timeline.attach(5_000, 66).map(5_000, video, true, 66), 33 + 133 + 33 - 66)
  assert.ok(timeline.attach(0, -8_000_000).map(0, video, true, 8_000_000) < 500)
  assert.ok(timeline.attach(0, 0).map(0, video, true, 0) < 1_500)
})

test('what a second publisher sends of the time before its beginning is left out, not bent', () => {
  const timeline = new Timeline()
  run(timeline, [
    [video, 0],
    [audio, 10],
    [video, 40],
    [audio, 31],
  ])
  // Its sound is behind its picture.
  const times = run(timeline, [
    [video, 500],
    [audio, 440],
    [audio, 461],
    [audio, 482],
    [video, 540],
  ])
  assert.deepEqual(times, [80, Number.NaN, 41, 62, 120])
})

test('a second publisher goes on where the first one was, one frame later', () => {
  const timeline = new Timeline()
  run(timeline, [
    [video, 7_000],
    [video, 7_020],
    [video, 7_040],
  ])
  assert.equal(timeline.newest, 40)
  assert.deepEqual(
    run(timeline, [
      [video, 999_000],
      [audio, 999_004],
      [video, 999_020],
    ]),
    [60, 64, 80],
  )
})

test('whatever an encoder’s clock does, no track ever goes backward and no time is lost between tracks that do not jump', () => {
  const message = fc.tuple(
    fc.constantFrom(video, audio),
    fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 0, max: 50 }) },
      { weight: 1, arbitrary: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
      { weight: 1, arbitrary: fc.integer({ min: -2000, max: 0 }) },
    ),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.array(message, { minLength: 1, maxLength: 200 }),
      (start, steps) => {
        const timeline = new Timeline()
        const clock = timeline.attach(start)
        let raw = start
        const last = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
        let newest = 0
        for (const [lane, step] of steps) {
          raw = (raw + step) >>> 0
          const time = clock.map(raw, lane, lane === video)
          assert.ok(Number.isFinite(time))
          assert.ok(time >= last[lane]!, 'never backward on a track')
          assert.ok(time - newest <= 3_100 || newest === 0, 'no jump forward beyond what is believed')
          last[lane] = time
          newest = Math.max(newest, time)
        }
      },
    ),
    { numRuns: 500 },
  )
})
