import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BitrateHistory, historyMs } from './bitrate-history.ts'

test('figures of the last ten minutes are kept, oldest first', () => {
  const history = new BitrateHistory()
  for (let second = 0; second < 700; second++) history.add(second * 1_000, second)
  const { points } = history
  assert.equal(points.length, 600)
  assert.equal(points.at(-1)?.kbps, 699)
  assert.equal(points[0]?.kbps, 100)
  history.add(699_000 + historyMs + 1, 1)
  assert.deepEqual(history.points, [{ atMs: 699_000 + historyMs + 1, kbps: 1 }])
})

test('two tellings of one second are one figure', () => {
  const history = new BitrateHistory()
  history.add(1_000, 5)
  history.add(1_100, 6)
  history.add(2_000, 7)
  assert.deepEqual(
    history.points.map(({ kbps }) => kbps),
    [6, 7],
  )
})

test('the points are the same array until something comes', () => {
  const history = new BitrateHistory()
  history.add(1_000, 5)
  const before = history.points
  assert.equal(history.points, before)
  history.add(2_000, 5)
  assert.notEqual(history.points, before)
  assert.equal(before.length, 1)
})

test('what the server remembers fills what was not seen here, and takes the place of nothing', () => {
  const history = new BitrateHistory()
  for (const atMs of [10_000, 11_000, 20_000]) history.add(atMs, 1)
  const told = [5, 6, 9.5, 10.4, 11.2, 14, 15, 20.3].map((seconds) => ({ atMs: seconds * 1_000, kbps: 2 }))
  history.fill(told)
  assert.deepEqual(
    history.points.map(({ atMs, kbps }) => [atMs / 1_000, kbps]),
    [
      ...[
        [5, 2],
        [6, 2],
        [10, 1],
        [11, 1],
      ],
      ...[
        [14, 2],
        [15, 2],
        [20, 1],
      ],
    ],
  )
  const before = history.points
  history.fill([])
  assert.equal(history.points, before)
})
