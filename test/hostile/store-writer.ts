import { writeSync } from 'node:fs'
import { systemClock } from '../../src/clock.ts'
import { openSqliteStore } from '../../src/store/sqlite-store.ts'

/**
 * Writes into a store until it is killed: eight writers with keys of their own, durable and relaxed writes and deletions in turn, some of
 * them in one group; now and then it closes the store and opens it again. Says `begun key count` before, `done key count revision` after each.
 */
const [file, round] = process.argv.slice(2) as [string, string]
// Ends with its parent, come what may.
process.stdin.on('end', () => process.exit()).resume()

/** What was said is out when the next operation begins, also when the reader is slow: the pipe does not block by itself. */
function say(...words: readonly (string | number)[]): void {
  const bytes = Buffer.from(`${words.join(' ')} .\n`)
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(1, bytes, written)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

let base = Number(round) * 1_000_000
for (;;) {
  const store = await openSqliteStore({ file, clock: systemClock })
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let turn = 0; turn < 25; turn++) {
        const key = `doc.${writer}-${turn % 10}`
        const count = base + turn
        const durability = (turn + writer) % 3 === 0 ? 'durable' : 'relaxed'
        if (turn % 6 === 5 && (await store.get(key)) !== undefined) {
          say('begun', key, '-', 0)
          say('done', key, '-', await store.delete(key, 'any', { durability }))
          continue
        }
        say('begun', key, count, 0)
        const text = `${count} ${'x'.repeat((count * 37) % 5_000)}`
        say('done', key, count, await store.put(key, text, 'any', { durability }))
      }
    }),
  )
  await store.close()
  base += 1_000
}
