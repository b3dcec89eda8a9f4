import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawFigure, fitLine } from './plot.ts'

test('the line that fits best', () => {
  assert.deepEqual(
    fitLine([
      [1, 5],
      [3, 9],
      [10, 23],
    ]),
    { offset: 3, slope: 2 },
  )
  // One point above, one below: the line goes between them.
  const { offset, slope } = fitLine([
    [0, 1],
    [0, 3],
    [10, 2],
  ])
  assert.deepEqual([offset, slope].map(Math.round), [2, 0])
  assert.deepEqual(fitLine([[4, 7]]), { offset: 7, slope: 0 })
})

test('a figure has each point of each panel, inside of it, and nothing of a title is read as markup', () => {
  const svg = drawFigure([
    { title: 'a < b', xTitle: 'x', points: [[1, 10] as const, [50, 400] as const], says: ({ slope }) => `${slope}` },
    { title: 'second', xTitle: 'x', points: [[1, 0] as const], says: () => '' },
  ])
  const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])
  assert.equal(circles.length, 3)
  for (const [x, y] of circles) assert.ok(x! > 0 && x! <= 420 && y! > 0 && y! < 300, `${x}, ${y}`)
  assert.ok(!svg.includes('a < b'))
})
