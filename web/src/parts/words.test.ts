import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bitrateWords } from './bitrate-words.ts'
import { sparkPath } from './spark-path.ts'
import { agoWords, durationWords, wordsLastMs } from './time-words.ts'

test('durations have two units at most', () => {
  const minutes = 60_000
  const words = [
    -5,
    999,
    8_000,
    61_000,
    59 * minutes,
    60 * minutes,
    185 * minutes,
    24 * 60 * minutes,
    52.5 * 60 * minutes,
  ]
  assert.deepEqual(words.map(durationWords), [
    '0 s',
    '0 s',
    '8 s',
    '1 min',
    '59 min',
    '1 h',
    '3 h 5 min',
    '1 d',
    '2 d 4 h',
  ])
})

test('words of a duration stay as they are for as long as is said, and then change', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 * 86_400_000 }), (ms) => {
      const lastMs = wordsLastMs(ms)
      assert(lastMs > 0)
      assert.equal(durationWords(ms + lastMs - 1), durationWords(ms))
      assert.notEqual(durationWords(ms + lastMs), durationWords(ms))
    }),
  )
})

test('before and after now', () => {
  assert.equal(agoWords(10_000, 15_000), '5 s ago')
  assert.equal(agoWords(15_000, 10_000), 'in 5 s')
  // A next attempt in 4.2 s is "in 5 s", and never "in 0 s".
  assert.equal(agoWords(14_200, 10_000), 'in 5 s')
  assert.equal(agoWords(10_500, 10_000), 'just now')
})

test('bitrates have a unit, and three digits where there are as many', () => {
  const words = [0, 850.4, 999.4, 1_000, 4_523, 12_440, 125_000].map((kbps) =>
    Object.values(bitrateWords(kbps)).join(' '),
  )
  assert.deepEqual(words, ['0 kb/s', '850 kb/s', '999 kb/s', '1.00 Mb/s', '4.52 Mb/s', '12.4 Mb/s', '125 Mb/s'])
})

test('a spark line ends at the right edge, stays inside, and breaks where nothing came', () => {
  const points = [0, 1, 2, 30, 31].map((second) => ({ atMs: second * 1_000, kbps: second * 100 }))
  const path = sparkPath(points, 100, 20, 60_000)
  assert.equal(path.match(/M/g)?.length, 2)
  const places = [...path.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const)
  assert.equal(places.at(-1)?.[0], 100)
  for (const [x, y] of places) assert(x >= 0 && x <= 100 && y >= 0 && y <= 20)
  assert.equal(sparkPath([], 100, 20, 60_000), '')
  assert.equal(sparkPath(points, 100, 20, 5_000).match(/[ML]/g)?.length, 2)
})
