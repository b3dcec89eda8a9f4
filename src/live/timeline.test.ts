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
