import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { statesPage } from '../../scripts/states-page.ts'
import { inputTransitions, outputTransitions } from '../../src/model/lifecycle.ts'
import { root } from './repository.ts'

const file = join(root, 'docs/states.md')

test('docs/states.md shows the tables of the code (else: npm run docs, or UPDATE=1 for this test)', () => {
  if (process.env['UPDATE'] === '1') writeFileSync(file, statesPage())
  assert.equal(readFileSync(file, 'utf8'), statesPage())
})

for (const [name, transitions, start] of [
  ['outputs', outputTransitions, 'idle'],
  ['live inputs', inputTransitions, 'disconnected'],
] as const) {
  const table: Readonly<Record<string, readonly string[]>> = transitions

  test(`the chart of ${name} has an arrow for each entry of the table, and no other`, () => {
    const charts = [...statesPage().matchAll(/```mermaid\nstateDiagram-v2\n([\s\S]*?)```/g)].map(([, body]) => body!)
    const chart = charts.find((body) => body.includes(`[*] --> ${start}`))!
    const arrows = [...chart.matchAll(/^ {4}(\w+) --> (\w+)$/gm)].map(([, from, to]) => `${from} ${to}`)
    assert.deepEqual(
      arrows.toSorted(),
      Object.entries(table)
        .flatMap(([from, all]) => all.map((to) => `${from} ${to}`))
        .toSorted(),
    )
  })

  test(`every state of ${name} can be reached from ${start}, and ${start} from every state`, () => {
    const states = Object.keys(table).toSorted()
    assert.deepEqual([...reachable(table, start)].toSorted(), states)
    for (const state of states) assert(reachable(table, state).has(start), `${state} has no way back`)
  })
}

function reachable(table: Readonly<Record<string, readonly string[]>>, from: string): Set<string> {
  const found = new Set([from])
  for (const state of found) for (const next of table[state]!) found.add(next)
  return found
}
