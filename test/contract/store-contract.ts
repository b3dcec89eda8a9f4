import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { type ErrorCode, isCoded } from '../../src/errors.ts'
import { type Entry, type Store, valueBytesMax, type WatchEvent } from '../../src/store/store.ts'
import type { ManualClock } from './manual-clock.ts'

export type OpenedStore = {
  readonly store: Store
  /** The clock that dates the store's leases. */
  readonly clock: ManualClock
  /** Closes the store and opens it again on what it has stored. */
  reopen(): Promise<Store>
  /** Closes the store, if that has not happened, and removes what it has stored. */
  dispose(): Promise<void>
}

/** What every store must do, told as tests. Each test has keys of its own, so that they share one store. */
export function storeContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the contract of the store: ${name}`, () => {
    let opened: OpenedStore
    let store: Store
    before(async () => {
      opened = await open()
      store = opened.store
    })
    after(() => opened.dispose())

    describe('documents', () => {
      it('are undefined until they are put', async () => {
        assert.equal(await store.get('none.here'), undefined)
        const revision = await store.put('doc.a', '{"a":1}', 'absent')
        assert.deepEqual(await store.get('doc.a'), { key: 'doc.a', value: '{"a":1}', revision })
      })

      it('are replaced only at the revision that was read', async () => {
        const first = await store.put('cas.a', '1', 'absent')
        await rejects(store.put('cas.a', '2', 'absent'), 'revision_conflict')
        const second = await store.put('cas.a', '2', first)
        await rejects(store.put('cas.a', '3', first), 'revision_conflict')
        await rejects(store.put('cas.b', '1', second), 'revision_conflict')
        assert.deepEqual(await store.get('cas.a'), { key: 'cas.a', value: '2', revision: second })
        assert.equal(await store.get('cas.b'), undefined)
      })

      it('are overwritten, whatever is there, with any', async () => {
        const first = await store.put('any.a', '1', 'any')
        const second = await store.put('any.a', '2', 'any', { durability: 'relaxed' })
        assert.ok(second > first)
        assert.equal((await store.get('any.a'))?.value, '2')
      })

      it('get revisions that grow over all keys, deletions and reopenings', async () => {
        const seen: number[] = []
        seen.push(await store.put('grow.a', '1', 'absent'))
        seen.push(await store.put('grow.b', '1', 'absent', { durability: 'relaxed' }))
        seen.push(await store.delete('grow.a', 'any'))
        seen.push(await store.put('grow.a', '2', 'absent'))
        seen.push(await store.delete('grow.a', seen[3]!))
        store = await opened.reopen()
        seen.push(await store.put('grow.c', '1', 'absent'))
        for (let index = 1; index < seen.length; index += 1) assert.ok(seen[index]! > seen[index - 1]!, String(seen))
        assert.equal((await store.get('grow.b'))?.value, '1')
      })

      it('are deleted only when they are there, at the revision that was read', async () => {
        const first = await store.put('del.a', '1', 'absent')
        const second = await store.put('del.a', '2', first)
        await rejects(store.delete('del.a', first), 'revision_conflict')
        await rejects(store.delete('del.none', 'any'), 'revision_conflict')
        await rejects(store.delete('del.none', second), 'revision_conflict')
        assert.ok((await store.delete('del.a', second)) > second)
        assert.equal(await store.get('del.a'), undefined)
        await rejects(store.put('del.a', '3', second), 'revision_conflict')
      })

      it('of which one fails leave the others of the same moment alone', async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 40 }, (_, index) => store.put(`burst.${index % 20}`, String(index), 'absent')),
        )
        assert.deepEqual(
          results.map(({ status }) => status),
          Array.from({ length: 40 }, (_, index) => (index < 20 ? 'fulfilled' : 'rejected')),
        )
        assert.deepEqual(
          (await store.list('burst')).map(({ value }) => Number(value)).sort((a, b) => a - b),
          Array.from({ length: 20 }, (_, index) => index),
        )
      })

      it('lose no change of many writers that try again', async () => {
        await store.put('count', '0', 'absent')
        const add = async () => {
          for (;;) {
            const { value, revision } = (await store.get('count')) as Entry
            try {
              await store.put('count', String(Number(value) + 1), revision)
              return
            } catch (error) {
              if (!isCoded(error, 'revision_conflict')) throw error
            }
          }
        }
        await Promise.all(Array.from({ length: 12 }, add))
        assert.equal((await store.get('count'))?.value, '12')
      })

      it('may have 512 KiB of UTF-8 and not a byte more', async () => {
        const largest = 'é'.repeat(valueBytesMax / 2)
        await store.put('size.a', largest, 'absent')
        assert.equal((await store.get('size.a'))?.value, largest)
        await rejects(store.put('size.a', `${largest}x`, 'any'), 'value_too_large')
        await rejects(store.put('size.b', '€'.repeat(valueBytesMax / 3 + 1), 'any'), 'value_too_large')
        await store.delete('size.a', 'any')
      })

      it('keep every text as it is', async () => {
        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary' }), async (value) => {
            await store.put('text.a', value, 'any', { durability: 'relaxed' })
            assert.equal((await store.get('text.a'))?.value, value)
          }),
          { numRuns: 50 },
        )
      })
    })

    describe('keys', () => {
      const invalid = ['', '.', 'a.', '.a', 'a..b', 'a b', 'a/b', 'ä', 'a*', 'a.>', 'a\n', "a'b", '\0']
      for (const key of invalid) {
        it(`such as ${JSON.stringify(key)} are refused`, async () => {
          await rejects(store.get(key), 'key_invalid')
          await rejects(store.put(key, '1', 'any'), 'key_invalid')
          await rejects(store.delete(key, 'any'), 'key_invalid')
          await rejects(store.acquire(key, 'me', 1000), 'key_invalid')
          if (key === '') return
          await rejects(store.list(key), 'key_invalid')
          await rejects(take(store, key, 1), 'key_invalid')
        })
      }

      it('are listed in order, by prefixes of whole tokens', async () => {
        const keys = ['pre.a', 'pre', 'pre.b.c', 'pre-x.a', 'pref.a', 'pre_.a', 'Pre.a', 'pre.b', 'pre0']
        for (const key of keys) await store.put(key, key, 'absent', { durability: 'relaxed' })
        const listed = async (prefix: string) => (await store.list(prefix)).map(({ key }) => key)
        assert.deepEqual(await listed('pre'), ['pre', 'pre.a', 'pre.b', 'pre.b.c'])
        assert.deepEqual(await listed('pre.b'), ['pre.b', 'pre.b.c'])
        assert.deepEqual(await listed('pr'), [])
        const all = await listed('')
        assert.deepEqual(all, all.toSorted())
        assert.ok(keys.every((key) => all.includes(key)))
      })
    })

    describe('a watch', () => {
      it('tells what is there, then upToDate, then what changes, tombstones too', async () => {
        const a = await store.put('watch.a', '1', 'absent')
        const b = await store.put('watch.b', '1', 'absent')
        await store.put('watchman.a', '1', 'absent')
        const abort = new AbortController()
        const watch = reader(store, 'watch', abort.signal)
        assert.deepEqual(await watch.take(3), [
          { type: 'put', entry: { key: 'watch.a', value: '1', revision: a } },
          { type: 'put', entry: { key: 'watch.b', value: '1', revision: b } },
          { type: 'upToDate' },
        ])
        const changed = watch.take(1)
        const a2 = await store.put('watch.a', '2', a)
        assert.deepEqual(await changed, [{ type: 'put', entry: { key: 'watch.a', value: '2', revision: a2 } }])
        await store.put('watchman.a', '2', 'any')
        await rejects(store.put('watch.b', 'lost', 'absent'), 'revision_conflict')
        const gone = await store.delete('watch.b', b)
        assert.deepEqual(await watch.take(1), [{ type: 'delete', key: 'watch.b', revision: gone }])
        const b2 = await store.put('watch.b', '3', 'absent', { durability: 'relaxed' })
        assert.deepEqual(await watch.take(1), [{ type: 'put', entry: { key: 'watch.b', value: '3', revision: b2 } }])
        abort.abort()
      })

      it('ends when its signal aborts, while it waits and before it begins', async () => {
        const abort = new AbortController()
        const watch = reader(store, 'ending', abort.signal)
        assert.deepEqual(await watch.take(1), [{ type: 'upToDate' }])
        const next = watch.next()
        abort.abort()
        assert.deepEqual(await next, { done: true, value: undefined })
        assert.deepEqual(await reader(store, 'ending', abort.signal).next(), { done: true, value: undefined })
      })

      it('leaves nothing out that changes while it begins', async () => {
        for (let round = 0; round < 10; round += 1) {
          const key = `begin.${round}`
          const puts = (async () => {
            for (let value = 0; value < 10; value += 1)
              await store.put(key, String(value), 'any', { durability: 'relaxed' })
          })()
          const abort = new AbortController()
          let last: string | undefined
          for await (const event of store.watch(key, abort.signal)) {
            if (event.type !== 'put') continue
            last = event.entry.value
            if (last === '9') break
          }
          assert.equal(last, '9')
          await puts
        }
      })

      it('tells a slow reader the newest of each key, revisions of a key in order', async () => {
        const abort = new AbortController()
        const watch = reader(store, 'slow', abort.signal)
        await watch.take(1)
        const newest = new Map<string, number>()
        for (let value = 0; value < 60; value += 1) {
          const key = `slow.${value % 3}`
          newest.set(key, await store.put(key, String(value), 'any', { durability: 'relaxed' }))
        }
        newest.set('slow.1', await store.delete('slow.1', 'any'))
        const told = new Map<string, number>()
        while ([...newest].some(([key, revision]) => told.get(key) !== revision)) {
          const [event] = await watch.take(1)
          assert.ok(event?.type === 'put' || event?.type === 'delete')
          const { key, revision } = event.type === 'put' ? event.entry : event
          assert.ok(revision > (told.get(key) ?? 0))
          told.set(key, revision)
        }
        abort.abort()
      })

      it('and a model agree after any sequence of changes', async () => {
        let round = 0
        const step = fc.record({
          key: fc.constantFrom('a', 'b', 'b.c', 'd'),
          change: fc.constantFrom('put', 'delete', 'stale'),
          value: fc.string(),
        })
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
            round += 1
            const root = `model.${round}`
            const model = new Map<string, Entry>()
            const abort = new AbortController()
            const watched = followed(store, root, `${root}.end`, abort.signal)
            for (const { key: name, change, value } of steps) {
              const key = `${root}.${name}`
              const current = model.get(key)
              if (change === 'put') {
                const revision = await store.put(key, value, current?.revision ?? 'absent', { durability: 'relaxed' })
                model.set(key, { key, value, revision })
              } else if (change === 'delete' && current !== undefined) {
                await store.delete(key, current.revision, { durability: 'relaxed' })
                model.delete(key)
              } else {
                await rejects(store.put(key, value, (current?.revision ?? 0) + 1_000_000), 'revision_conflict')
              }
            }
            const end = `${root}.end`
            model.set(end, {
              key: end,
              value: '',
              revision: await store.put(end, '', 'absent', { durability: 'relaxed' }),
            })
            const wanted = [...model.values()].sort((x, y) => (x.key < y.key ? -1 : 1))
            assert.deepEqual(await store.list(root), wanted)
            const seen = await watched
            assert.deepEqual(
              [...seen.values()].sort((x, y) => (x.key < y.key ? -1 : 1)),
              wanted,
            )
            abort.abort()
          }),
          { numRuns: 25 },
        )
      })
    })

    describe('a lease', () => {
      it('has one holder until it is released or runs out', async () => {
        const lease = await store.acquire('lease.a', 'one', 10_000)
        assert.ok(lease)
        assert.equal(lease.name, 'lease.a')
        assert.equal(lease.expiresAt, opened.clock.now() + 10_000)
        assert.equal(await store.acquire('lease.a', 'two', 10_000), undefined)
        opened.clock.advance(9_999)
        assert.equal(await store.acquire('lease.a', 'two', 10_000), undefined)
        opened.clock.advance(1)
        const taken = await store.acquire('lease.a', 'two', 10_000)
        assert.ok(taken && taken.epoch > lease.epoch)
        assert.equal(await store.renew(lease, 'one', 10_000), undefined)
        await store.release(lease, 'one')
        assert.equal(await store.acquire('lease.a', 'three', 10_000), undefined)
        await store.release(taken, 'two')
        const third = await store.acquire('lease.a', 'three', 10_000)
        assert.ok(third && third.epoch > taken.epoch)
      })

      it('lives on while it is renewed in time, with the same epoch', async () => {
        const lease = await store.acquire('lease.b', 'one', 1_000)
        assert.ok(lease)
        opened.clock.advance(900)
        const renewed = await store.renew(lease, 'one', 1_000)
        assert.deepEqual(renewed, { name: 'lease.b', epoch: lease.epoch, expiresAt: opened.clock.now() + 1_000 })
        opened.clock.advance(900)
        assert.equal(await store.acquire('lease.b', 'two', 1_000), undefined)
        assert.equal(await store.renew(lease, 'two', 1_000), undefined)
        opened.clock.advance(100)
        assert.equal(await store.renew(lease, 'one', 1_000), undefined)
      })

      it('goes to one of those that want it at once, and outlives a reopening', async () => {
        const leases = await Promise.all(
          Array.from({ length: 8 }, (_, index) => store.acquire('lease.c', `holder-${index}`, 5_000)),
        )
        const won = leases.filter((lease) => lease !== undefined)
        assert.equal(won.length, 1)
        store = await opened.reopen()
        assert.equal(await store.acquire('lease.c', 'late', 5_000), undefined)
        opened.clock.advance(5_000)
        const late = await store.acquire('lease.c', 'late', 5_000)
        assert.ok(late && late.epoch > won[0]!.epoch)
      })
    })

    it('keeps what was asked before close, ends watches, and refuses what comes after', async () => {
      const watch = reader(store, 'closing', new AbortController().signal)
      await watch.take(1)
      const next = watch.next()
      const put = store.put('closed.a', '1', 'absent')
      const closing = store.close()
      await rejects(store.put('closed.b', '1', 'absent'), 'store_closed')
      await put
      await closing
      await store.close()
      assert.deepEqual(await next, { done: true, value: undefined })
      await rejects(store.get('closed.a'), 'store_closed')
      await rejects(store.list(''), 'store_closed')
      await rejects(store.acquire('lease.d', 'me', 1), 'store_closed')
      await rejects(take(store, '', 1), 'store_closed')
      store = await opened.reopen()
      assert.equal((await store.get('closed.a'))?.value, '1')
      assert.equal(await store.get('closed.b'), undefined)
    })
  })
}

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => isCoded(error, code) || assert.fail(`${String(error)} is not ${code}`))
}

async function take(store: Store, prefix: string, count: number): Promise<WatchEvent[]> {
  return reader(store, prefix, new AbortController().signal).take(count)
}

export function reader(store: Store, prefix: string, signal: AbortSignal) {
  const events = store.watch(prefix, signal)[Symbol.asyncIterator]()
  return {
    next: () => events.next(),
    async take(count: number): Promise<WatchEvent[]> {
      const taken: WatchEvent[] = []
      while (taken.length < count) {
        const { done, value } = await events.next()
        if (done === true) throw new Error(`the watch ended after ${taken.length} of ${count} events`)
        taken.push(value)
      }
      return taken
    },
  }
}

/** What a watcher believes to be there once it has been told of `lastKey`. */
async function followed(
  store: Store,
  prefix: string,
  lastKey: string,
  signal: AbortSignal,
): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>()
  for await (const event of store.watch(prefix, signal)) {
    if (event.type === 'gap') entries.clear()
    if (event.type === 'delete') entries.delete(event.key)
    if (event.type === 'put') entries.set(event.entry.key, event.entry)
    if (event.type === 'put' && event.entry.key === lastKey) break
  }
  return entries
}
