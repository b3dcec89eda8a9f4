import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseEngine, workOf } from './placement.ts'

const output = (url: string, enabled = true) => ({ url, enabled }) as never
const plain = (count: number) => Array.from({ length: count }, () => output('rtmp://127.0.0.1/live'))

test('an input counts for as much as three plain outputs, an RTMPS output too; disabled ones for nothing', () => {
  assert.equal(workOf({ outputs: [] }), 3)
  assert.equal(workOf({ outputs: plain(4) }), 7)
  assert.equal(workOf({ outputs: [output('rtmps://127.0.0.1/live'), output('rtmp://127.0.0.1/live', false)] }), 6)
})

test('not busy, an input with hardly an output, or all alike: it stays where its encoder arrived', () => {
  const stays = (works: readonly number[], work: number) =>
    assert.equal(chooseEngine(0, new Map(works.map((has, engine) => [engine, has])), work), 0)
  stays([0], 500)
  stays([0, 0], 500)
  stays([346, 0], 53)
  stays([5_000, 0], 5)
  stays([800, 800], 53)
  stays([800, 780], 53)
  stays([500, 400], 7)
})

test('the next large broadcast of a busy thread goes to the one that has the least', () => {
  const busy = [['a', 400], ['b', 700], ['c', 300]] as const // biome-ignore format: one line is easier to read
  assert.equal(chooseEngine('a', new Map([...busy].slice(0, 1)), 53), 'a')
  assert.equal(chooseEngine('b', new Map(busy), 53), 'c')
  assert.equal(chooseEngine('c', new Map(busy), 53), 'c')
})

test('however encoders are dealt out, no busy thread has much more than its share, and none gets more by being chosen', () => {
  const engine = fc.nat(3)
  fc.assert(
    fc.property(fc.array(engine, { minLength: 60, maxLength: 300 }), fc.constantFrom(7, 13, 53), (arrivals, work) => {
      const works = new Map([0, 1, 2, 3].map((id) => [id, 0]))
      for (const arrivedAt of arrivals) {
        const chosen = chooseEngine(arrivedAt, works, work)
        assert.ok(works.get(chosen)! <= works.get(arrivedAt)!)
        works.set(chosen, works.get(chosen)! + work)
      }
      const share = (arrivals.length * work) / 4
      for (const has of works.values()) assert.ok(has <= Math.max(1.15 * share + work, 400), `${has} of ${share}`)
    }),
  )
})
