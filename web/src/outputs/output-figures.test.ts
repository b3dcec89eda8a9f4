import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesWords, countWords, droppedWords, lagWords } from './output-figures.ts'

test('figures have units, and what is not known is no nought', () => {
  assert.deepEqual([undefined, 0, 999, 1_000, 812_345, 999_499, 999_600, 1_420_000_000].map(bytesWords), [
    '–',
    '0 B',
    '999 B',
    '1.00 kB',
    '812 kB',
    '999 kB',
    '1.00 MB',
    '1.42 GB',
  ])
  assert.deepEqual(
    [undefined, 0, 40, 2_345].map((lagMs) => lagWords(lagMs === undefined ? {} : { lagMs })),
    ['–', '0.0 s', '0.0 s', '2.3 s'],
  )
  // The least that was left out is not called nothing.
  assert.deepEqual(
    [undefined, 0, 33, 9_940, 125_000].map((droppedMs) => droppedWords(droppedMs === undefined ? {} : { droppedMs })),
    ['–', '0 s', '0.1 s', '9.9 s', '2 min'],
  )
  assert.deepEqual([countWords(undefined), countWords(12_345)], ['–', '12,345'])
})
