import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/clock.ts'
import { openSqliteStore } from '../../src/store/sqlite-store.ts'
import { temporaryFolder } from '../support/processes.ts'

/**
 * The store, killed at any moment: while it opens, in bursts of writes of all kinds, while it closes. One database over all rounds, so that
 * each begins with what the kill before it has left. HOSTILE=long: 500 rounds, a third of a second each; STORE_KILLS: so many.
 */
const isLong = process.env['HOSTILE'] === 'long'
const rounds = Number(process.env['STORE_KILLS'] ?? (isLong ? 500 : 12))
/** For a machine that has much else to do: one round needs a second or two. */
const roundMsMax = 20_000
const writerFile = fileURLToPath(new URL('store-writer.ts', import.meta.url))

/** What is known of one key: the count that was acknowledged last, and the one that was begun. Undefined: not there. */
type Known = { acknowledged: number | undefined; begun: number | undefined }

test(`${rounds} kills of the store: it opens, and has all that it acknowledged`, {
  timeout: 60_000 + rounds * roundMsMax,
}, async (t) => {
  await using folder = await temporaryFolder('store-crash')
  const file = `${folder.path}/data/store.sqlite`
  const known = new Map<string, Known>()
  let acknowledgements = 0
  let revisionMax = 0
  let beforeOpen = 0
  for (let round = 0; round < rounds; round++) {
    const lines = await killedWriter(file, round)
    if (lines.length === 0) beforeOpen++
    for (const line of lines) {
      const [what, key = '', count, revision] = line.split(' ')
      const value = count === '-' ? undefined : Number(count)
      const one = known.get(key) ?? { acknowledged: undefined, begun: undefined }
      known.set(key, one)
      one.begun = value
      if (what !== 'done') continue
      one.acknowledged = value
      revisionMax = Math.max(revisionMax, Number(revision))
      acknowledgements++
    }

    const store = await openSqliteStore({ file, clock: systemClock })
    try {
      const stored = new Map((await store.list('doc')).map((entry) => [entry.key, entry.value]))
      for (const [key, { acknowledged, begun }] of known) {
        const value = stored.get(key)
        const count = value === undefined ? undefined : Number.parseInt(value, 10)
        assert.ok(
          count === acknowledged || count === begun,
          `round ${round}: ${key} is ${count}; acknowledged was ${acknowledged}, begun ${begun}`,
        )
        if (value !== undefined) assert.equal(value, textOf(count!), `round ${round}: ${key} is damaged`)
        known.set(key, { acknowledged: count, begun: count })
      }
      for (const key of stored.keys()) assert.ok(known.has(key), `round ${round}: nobody wrote ${key}`)
      const revision = await store.put('next', `${round}`, 'any')
      assert.ok(revision > revisionMax, `round ${round}: revision ${revision} was given before`)
      revisionMax = revision
    } finally {
      await store.close()
    }
  }
  t.diagnostic(`${rounds} kills, ${beforeOpen} of them before the first write, ${acknowledgements} writes acknowledged`)
  assert.ok(acknowledgements > rounds, 'the kills came too early to show anything')
})

/** As store-writer.ts makes them. */
function textOf(count: number): string {
  return `${count} ${'x'.repeat((count * 37) % 5_000)}`
}

/** Runs the writer and kills it. @returns all whole lines that it wrote. */
async function killedWriter(file: string, round: number): Promise<string[]> {
  const child = spawn(process.execPath, [writerFile, file, `${round}`], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: string[] = []
  // One in four at any time from the start on, which is mostly spent on loading; the others after so many lines.
  const afterLines = round % 4 === 3 ? Number.POSITIVE_INFINITY : 1 + Math.floor(Math.random() ** 2 * 600)
  const kill = () => child.kill('SIGKILL')
  const timer = setTimeout(kill, afterLines === Number.POSITIVE_INFINITY ? Math.random() * 700 : 60_000)
  for await (const line of createInterface({ input: child.stdout })) {
    // The last one may have been cut off: whole ones end with a point.
    if (line.endsWith(' .')) lines.push(line)
    if (lines.length === afterLines) kill()
  }
  clearTimeout(timer)
  return lines
}
