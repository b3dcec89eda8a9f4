import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, it } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { waitFor } from '../../test/support/processes.ts'
import { type Clock, systemClock } from '../clock.ts'
import { type CodedError, isCoded, type StartErrorCode, type StoreErrorCode } from '../errors.ts'
import { isFull, probeBeside, rewriteDocuments } from './sqlite-file.ts'
import { openSqliteStore } from './sqlite-store.ts'
import type { Store, WatchEvent } from './store.ts'

describe('the SQLite store', () => {
  let root: string
  let count = 0
  const freshFile = () => join(root, `data-${++count}`, 'server.sqlite')
  const open = (file: string, options: { pageCountMax?: number } = {}) =>
    openSqliteStore({ file, clock: systemClock, ...options })
  /** A database with one document, closed. */
  async function closedDatabase(): Promise<string> {
    const file = freshFile()
    const store = await open(file)
    await store.put('doc.a', '1', 'absent')
    await store.close()
    return file
  }

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'stream-connect-sqlite-'))
  })
  after(() => rm(root, { recursive: true, force: true }))

  describe('on disk', () => {
    for (const umask of [0o000, 0o777]) {
      it(`has files of mode 0600 in a directory of mode 0700 with umask ${umask.toString(8)}`, async () => {
        const file = join(root, `modes-${umask}`, 'nested', 'server.sqlite')
        // What lies between is made by the operator.
        await mkdir(dirname(dirname(file)))
        const umaskBefore = process.umask(umask)
        try {
          const store = await open(file)
          try {
            await store.put('doc.a', '1', 'absent')
            assert.equal(statSync(dirname(file)).mode & 0o777, 0o700)
            const modes = readdirSync(dirname(file)).map((name) => [
              name,
              statSync(join(dirname(file), name)).mode & 0o777,
            ])
            assert.deepEqual(modes.sort(), [
              ['server.lock', 0o600],
              ['server.pid', 0o600],
              ['server.sqlite', 0o600],
              ['server.sqlite-shm', 0o600],
              ['server.sqlite-wal', 0o600],
            ])
          } finally {
            await store.close()
          }
        } finally {
          process.umask(umaskBefore)
        }
      })
    }

    it('takes back the mode of a database that others could read', async () => {
      const file = freshFile()
      await mkdir(dirname(file))
      writeFileSync(file, '', { mode: 0o644 })
      const store = await open(file)
      assert.equal(statSync(file).mode & 0o777, 0o600)
      await store.close()
    })

    it('is one file and an empty lock after close', async () => {
      const file = await closedDatabase()
      assert.deepEqual(readdirSync(dirname(file)).sort(), ['server.lock', 'server.sqlite'])
    })

    it('can be read by a person’s sqlite3 while the server runs', async () => {
      const file = freshFile()
      const store = await open(file)
      await store.put('doc.a', '1', 'absent')
      const other = new DatabaseSync(file, { readOnly: true })
      assert.deepEqual({ ...other.prepare('SELECT key, value FROM documents').get() }, { key: 'doc.a', value: '1' })
      other.close()
      await store.put('doc.a', '2', 'any')
      await store.close()
    })
  })

  describe('refuses to open, and changes nothing of', () => {
    async function refuses(file: string, code: StartErrorCode, sentence: RegExp): Promise<void> {
      const before = statSync(file, { throwIfNoEntry: false })?.isFile() ? readFileSync(file) : undefined
      await assert.rejects(open(file), (error: CodedError) => {
        assert.equal(error.code, code, error.message)
        assert.match(error.message, sentence)
        return true
      })
      if (before !== undefined) assert.ok(readFileSync(file).equals(before), 'the file was changed')
    }

    it('a database of a newer version', async () => {
      const file = await closedDatabase()
      const database = new DatabaseSync(file)
      database.exec('PRAGMA user_version = 99')
      database.close()
      await refuses(file, 'data_dir_newer', /version 99.*newer server/)
      // Nothing holds on to the directory after a refusal.
      const again = new DatabaseSync(file)
      again.exec('PRAGMA user_version = 1')
      again.close()
      const store = await open(file)
      assert.equal((await store.get('doc.a'))?.value, '1')
      await store.close()
    })

    it('a database of another program', async () => {
      const file = freshFile()
      await mkdir(dirname(file))
      const database = new DatabaseSync(file)
      database.exec('CREATE TABLE theirs (id)')
      database.close()
      await refuses(file, 'data_dir_corrupt', /another program/)
    })

    it('a file that is no database', async () => {
      const file = freshFile()
      await mkdir(dirname(file))
      writeFileSync(file, 'a letter to my bank. '.repeat(1000))
      await refuses(file, 'data_dir_corrupt', /not a database/)
    })

    it('a database with a page overwritten', async () => {
      const file = await closedDatabase()
      const bytes = readFileSync(file)
      bytes.fill(0xa5, 4096, 3 * 4096)
      writeFileSync(file, bytes)
      await refuses(file, 'data_dir_corrupt', /is damaged/)
    })

    it('a database that was cut off', async () => {
      const file = await closedDatabase()
      truncateSync(file, 2 * 4096)
      await refuses(file, 'data_dir_corrupt', /is damaged/)
    })

    it('a write-ahead log whose database is empty', async () => {
      const file = freshFile()
      const store = await open(file)
      await store.put('doc.a', '1', 'absent')
      const orphan = freshFile()
      await mkdir(dirname(orphan))
      writeFileSync(orphan, '')
      copyFileSync(`${file}-wal`, `${orphan}-wal`)
      await store.close()
      const log = readFileSync(`${orphan}-wal`)
      assert.ok(log.length > 0)
      await refuses(orphan, 'data_dir_corrupt', /write-ahead log/)
      assert.ok(readFileSync(`${orphan}-wal`).equals(log))
    })

    it('a directory that cannot be', async () => {
      const file = await closedDatabase()
      await refuses(join(file, 'server.sqlite'), 'data_dir_unusable', /cannot be used.*make it writable/)
      const taken = freshFile()
      await mkdir(taken, { recursive: true })
      await refuses(taken, 'data_dir_unusable', /cannot be used/)
    })

    it('a directory that may not be written', {
      skip: process.getuid?.() === 0 && 'root may write everywhere',
    }, async () => {
      const file = freshFile()
      await mkdir(dirname(file), { mode: 0o500 })
      await refuses(file, 'data_dir_unusable', /permission denied/i)
    })

    it('a directory that another store of this process has', async () => {
      const file = freshFile()
      const store = await open(file)
      for (const other of [file, join(dirname(file), 'other.sqlite')]) {
        await assert.rejects(open(other), (error: CodedError) => {
          assert.equal(error.code, 'data_dir_in_use')
          assert.ok(error.message.includes(dirname(file)))
          assert.ok(error.message.includes(`process ${process.pid}`))
          return true
        })
      }
      await store.put('doc.a', '1', 'absent')
      await store.close()
      await (await open(file)).close()
    })
  })

  describe('and a process that is killed', { timeout: 60_000 }, () => {
    it('lets nobody else in while it lives, and everybody afterwards', async () => {
      const file = freshFile()
      const child = startChild(
        `await openSqliteStore({ file: ${JSON.stringify(file)}, clock: systemClock }); say('open')`,
      )
      assert.deepEqual((await child.lines.next()).value, 'open')
      await assert.rejects(
        open(file),
        (error) => isCoded(error, 'data_dir_in_use') && error.message.includes(`process ${child.process.pid}`),
      )
      await child.kill()
      const store = await open(file)
      await store.put('doc.a', '1', 'absent')
      await store.close()
    })

    for (const durability of ['durable', 'relaxed']) {
      it(`keeps every ${durability} write that it acknowledged`, async () => {
        const file = freshFile()
        // Eight writers, each with keys of its own and one key that all of them share.
        const child = startChild(`
          const store = await openSqliteStore({ file: ${JSON.stringify(file)}, clock: systemClock })
          const options = { durability: '${durability}' }
          for (let writer = 0; writer < 8; writer += 1) (async () => {
            for (let count = 0; ; count += 1) {
              const key = 'burst.' + writer + '.' + (count % 20)
              const value = count + '.' + 'x'.repeat(count % 3000)
              const revision = await store.put(key, value, 'any', options)
              say(JSON.stringify({ key, count, revision }))
              if (count % 7 === 0) {
                await store.put('gone.' + writer + '.' + count, '1', 'absent', options)
                await store.delete('gone.' + writer + '.' + count, 'any', options)
                say(JSON.stringify({ gone: 'gone.' + writer + '.' + count }))
              }
            }
          })()`)
        const acknowledged = new Map<string, { count: number; revision: number }>()
        const gone: string[] = []
        let lines = 0
        for await (const line of child.lines) {
          const told = JSON.parse(line)
          if ('gone' in told) gone.push(told.gone)
          else acknowledged.set(told.key, told)
          lines += 1
          if (lines === 1500) void child.kill()
        }
        await child.kill()
        const store = await open(file)
        try {
          const stored = new Map((await store.list('burst')).map((entry) => [entry.key, entry]))
          assert.ok(acknowledged.size > 100)
          for (const [key, { count, revision }] of acknowledged) {
            const entry = stored.get(key)
            assert.ok(entry !== undefined, `${key} is lost`)
            const storedCount = Number.parseInt(entry.value, 10)
            assert.ok(entry.revision >= revision && storedCount >= count, `${key} fell back`)
            assert.equal(entry.value, `${storedCount}.${'x'.repeat(storedCount % 3000)}`)
          }
          const back = new Set((await store.list('gone')).map(({ key }) => key))
          assert.deepEqual(
            gone.filter((key) => back.has(key)),
            [],
          )
          const revisionMax = Math.max(...[...acknowledged.values()].map(({ revision }) => revision))
          assert.ok((await store.put('next', '1', 'absent')) > revisionMax)
        } finally {
          await store.close()
        }
      })
    }
  })

  describe('whose database is full', () => {
    it('says so, does what still can be done, and goes on when there is room', async () => {
      const file = freshFile()
      const store = await open(file, { pageCountMax: 40 })
      await store.put('small', '1', 'absent')
      await store.put('large', 'x'.repeat(80_000), 'absent')
      const results = await Promise.allSettled([
        store.put('small', '2', 'any'),
        store.put('too-much', 'x'.repeat(200_000), 'absent'),
        store.get('small'),
        store.delete('large', 'any'),
      ])
      assert.deepEqual(
        results.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      )
      const [, refused, read] = results
      assert.ok(refused?.status === 'rejected' && isCoded(refused.reason, 'store_full' satisfies StoreErrorCode))
      assert.ok(read?.status === 'fulfilled' && typeof read.value === 'object' && read.value.value === '2')
      assert.equal(await store.get('too-much'), undefined)
      await store.put('large-again', 'x'.repeat(80_000), 'absent')
      await store.close()
      const again = await open(file)
      assert.deepEqual(
        (await again.list('')).map(({ key, value }) => [key, value.length]),
        [
          ['large-again', 80_000],
          ['small', 1],
        ],
      )
      await again.close()
    })
  })

  it('takes a write that failed for a full disk where the system has no room, and for a broken one elsewhere', () => {
    const failed = (errcode: number) => Object.assign(new Error('disk I/O error'), { errcode })
    const told = (code: string) => () => {
      throw Object.assign(new Error(code), { code })
    }
    const mayNotAsk = () => assert.fail('it was not a write')
    const write = 778
    assert.equal(isFull(failed(13), mayNotAsk), true)
    for (const [code, full] of [
      ['EDQUOT', true],
      ['ENOSPC', true],
      ['EIO', false],
    ] as const)
      assert.equal(isFull(failed(write), told(code)), full, code)
    const file = join(root, 'beside')
    assert.equal(isFull(failed(write), probeBeside(file)), false, 'there is room')
    assert.ok(!readdirSync(root).some((name) => name.startsWith('beside')))
    // Reading failed; a document was damaged.
    for (const errcode of [266, 11]) assert.equal(isFull(failed(errcode), mayNotAsk), false)
  })

  it('fails with the cause and goes on when somebody meddles with the database', async () => {
    const file = freshFile()
    const store = await open(file)
    await store.put('doc.a', '1', 'absent')
    const other = new DatabaseSync(file)
    other.exec(`CREATE TRIGGER meddling BEFORE INSERT ON documents BEGIN SELECT RAISE(ABORT, 'not today'); END`)
    await assert.rejects(store.put('doc.b', '1', 'absent'), (error) => {
      assert.ok(isCoded(error, 'store_failed'))
      assert.match(error.message, /not today/)
      assert.match(String(error.cause), /not today/)
      return true
    })
    assert.equal((await store.get('doc.a'))?.value, '1')
    other.exec('DROP TRIGGER meddling')
    other.close()
    await store.put('doc.b', '1', 'absent')
    await store.close()
  })

  describe('whose documents are rewritten while nobody has it', () => {
    const marks = ['the old secret of a', 'the old secret of b']
    async function twoDocuments(): Promise<string> {
      const file = freshFile()
      const store = await open(file)
      await store.put('doc.a', `${marks[0]} ${'x'.repeat(20_000)}`, 'absent')
      // What was deleted stays in the file for a while.
      await store.put('doc.gone', `${marks[1]} ${'y'.repeat(20_000)}`, 'absent')
      await store.delete('doc.gone', 'any')
      await store.put('doc.c', 'stays', 'absent')
      await store.close()
      return file
    }
    const holds = (file: string, text: string) =>
      readdirSync(dirname(file)).some((name) => readFileSync(join(dirname(file), name)).includes(text))

    it('has the new texts, the same revisions, and nothing of the old ones in its files', async () => {
      const file = await twoDocuments()
      assert.ok(marks.every((mark) => holds(file, mark)))
      const changed = rewriteDocuments(file, (read) => {
        assert.match(read('doc.a') ?? '', /^the old secret of a/)
        assert.equal(read('doc.b'), undefined)
        return (key, value) => (key === 'doc.a' ? 'new' : value)
      })
      assert.equal(changed, 1)
      assert.deepEqual(
        marks.filter((mark) => holds(file, mark)),
        [],
      )
      const store = await open(file)
      assert.deepEqual(await store.list('doc'), [
        { key: 'doc.a', value: 'new', revision: 1 },
        { key: 'doc.c', value: 'stays', revision: 4 },
      ])
      await store.close()
    })

    it('is as it was when one of them cannot be, or nothing is planned', async () => {
      const file = await twoDocuments()
      const before = readFileSync(file)
      const failing = () => (key: string) => {
        if (key === 'doc.c') throw new Error('not this one')
        return 'new'
      }
      assert.throws(() => rewriteDocuments(file, failing), /not this one/)
      assert.equal(
        rewriteDocuments(file, () => undefined),
        0,
      )
      assert.ok(readFileSync(file).equals(before))
    })

    it('is refused to two at once', async () => {
      const file = await twoDocuments()
      const store = await open(file)
      const refused = (error: unknown) => isCoded(error, 'data_dir_in_use')
      assert.throws(() => rewriteDocuments(file, () => (_, value) => `${value}!`), refused)
      await store.close()
    })

    it('is wiped at the next start when the power failed in between', async () => {
      const file = await twoDocuments()
      // As the transaction leaves it.
      const database = new DatabaseSync(file)
      database.exec(
        `UPDATE documents SET value = 'new' WHERE key = 'doc.a'; INSERT INTO counters VALUES ('wipe wanted', 1)`,
      )
      database.close()
      assert.ok(holds(file, marks[1]!))
      const store = await open(file)
      assert.equal((await store.get('doc.a'))?.value, 'new')
      await store.close()
      assert.deepEqual(
        marks.filter((mark) => holds(file, mark)),
        [],
      )
    })
  })

  describe('whose thread dies', () => {
    /** A store, and what kills its thread of the moment. */
    async function mortal(clock: Clock = systemClock) {
      const threads: Worker[] = []
      const onWorker = (worker: Worker) => threads.push(worker)
      process.on('worker', onWorker)
      const file = freshFile()
      const crashes: CodedError[] = []
      const reopened: number[] = []
      let onCrash = () => {}
      const store = await openSqliteStore({
        file,
        clock,
        onCrash: (error) => {
          crashes.push(error)
          onCrash()
        },
        onReopened: () => reopened.push(crashes.length),
      })
      return {
        ...{ store, file, crashes, reopened },
        kill: () => void threads.at(-1)!.terminate(),
        whenCrashed: (act: () => void) => {
          onCrash = act
        },
        async [Symbol.asyncDispose]() {
          process.off('worker', onWorker)
          await store.close()
        },
      }
    }
    const restarting = (error: unknown) => isCoded(error, 'store_restarting')

    it('goes on with another: what was under way is rejected, what waits is done, watchers see all', async () => {
      await using one = await mortal()
      const { store } = one
      await store.put('doc.a', '1', 'absent')
      const events = store.watch('doc', new AbortController().signal)[Symbol.asyncIterator]()
      const next = async () => (await events.next()).value as WatchEvent
      assert.deepEqual([(await next()).type, (await next()).type], ['put', 'upToDate'])
      const [gap, underWay] = [next(), store.put('doc.b', '1', 'absent')]
      // The group of the first is on its way by now, and the second waits.
      await Promise.resolve()
      const waits = store.put('doc.c', '1', 'absent')
      one.kill()
      await assert.rejects(underWay, restarting)
      assert.ok((await waits) > 1)
      assert.deepEqual(await gap, { type: 'gap' })
      const told = new Set<string>()
      for (let event = await next(); event.type !== 'upToDate'; event = await next())
        if (event.type === 'put') told.add(event.entry.key)
      // Whether the write under way was done is not known; watchers are told.
      const stored = (await store.list('doc')).map(({ key }) => key)
      for (const key of ['doc.a', ...stored.filter((other) => other === 'doc.b')]) assert.ok(told.has(key), key)
      assert.ok(stored.includes('doc.c'))
      assert.equal(one.crashes.length, 1)
      assert.deepEqual(one.reopened, [1])
    })

    it('tells a watcher that waits for its list all the same', async () => {
      await using one = await mortal()
      await one.store.put('doc.a', '1', 'absent')
      const events = one.store.watch('', new AbortController().signal)[Symbol.asyncIterator]()
      const first = events.next()
      await Promise.resolve()
      one.kill()
      assert.equal(((await first).value as WatchEvent).type, 'put')
      assert.equal(((await events.next()).value as WatchEvent).type, 'upToDate')
    })

    it('waits longer each time, refuses meanwhile, and goes on when the database is back', async () => {
      const clock = new ManualClock()
      await using one = await mortal(clock)
      const { store, file, crashes } = one
      await store.put('doc.a', '1', 'absent')
      one.whenCrashed(() => {
        if (crashes.length > 1) return
        renameSync(file, `${file}.away`)
        writeFileSync(file, 'this is no database '.repeat(500))
      })
      const watched = store.watch('doc', new AbortController().signal)[Symbol.asyncIterator]()
      assert.equal(((await watched.next()).value as WatchEvent).type, 'put')
      one.kill()
      await waitFor('the second', () => crashes.length === 2)
      assert.match(crashes[1]!.message, /cannot be opened again: .* is damaged/)
      await assert.rejects(store.get('doc.a'), (error) => isCoded(error, 'store_failed'))
      assert.equal(readFileSync(file, 'utf8').slice(0, 10), 'this is no', 'what is not ours was overwritten')
      clock.advance(1_000)
      await waitFor('the third', () => crashes.length === 3)
      clock.advance(1_000)
      rmSync(file)
      renameSync(`${file}.away`, file)
      assert.equal(one.reopened.length, 0, 'two seconds have not passed')
      clock.advance(1_000)
      await waitFor('the database to be open', () => one.reopened.length === 1)
      assert.equal((await store.get('doc.a'))?.value, '1')
    })

    it('closes while it has none', async () => {
      const one = await mortal(new ManualClock())
      one.whenCrashed(() => writeFileSync(one.file, 'this is no database '.repeat(500)))
      one.kill()
      await waitFor('the second', () => one.crashes.length === 2)
      await one.store.close()
      await assert.rejects(one.store.get('doc.a'), (error) => isCoded(error, 'store_closed'))
    })
  })

  describe('and a watcher that falls far behind', () => {
    async function behind(watchLimits: { keysMax: number; charactersMax: number }, values: readonly string[]) {
      const store = await openSqliteStore({ file: freshFile(), clock: systemClock, watchLimits })
      const events = store.watch('many', new AbortController().signal)[Symbol.asyncIterator]()
      assert.deepEqual((await events.next()).value, { type: 'upToDate' })
      await Promise.all(
        values.map((value, index) => store.put(`many.${index}`, value, 'absent', { durability: 'relaxed' })),
      )
      return { store, events }
    }
    async function told(store: Store, events: AsyncIterator<WatchEvent, unknown>, count: number): Promise<string[]> {
      const words: string[] = []
      while (words.length < count) {
        const { value: event, done } = await events.next()
        assert.ok(done !== true)
        words.push(event.type === 'put' ? event.entry.key : event.type)
      }
      await store.put('many.after', '1', 'absent')
      const { value: event, done } = await events.next()
      assert.ok(done !== true && event.type === 'put' && event.entry.key === 'many.after')
      await store.close()
      assert.equal((await events.next()).done, true)
      return words
    }

    it('is told everything up to the bound of keys', async () => {
      const { store, events } = await behind({ keysMax: 5, charactersMax: 1000 }, Array(5).fill('x'))
      assert.deepEqual(await told(store, events, 5), ['many.0', 'many.1', 'many.2', 'many.3', 'many.4'])
    })

    it('is told of a gap beyond it, then everything anew', async () => {
      const { store, events } = await behind({ keysMax: 4, charactersMax: 1000 }, Array(5).fill('x'))
      const all = ['gap', 'many.0', 'many.1', 'many.2', 'many.3', 'many.4', 'upToDate']
      assert.deepEqual(await told(store, events, 7), all)
    })

    it('is told of a gap beyond the bound of characters', async () => {
      const { store, events } = await behind({ keysMax: 100, charactersMax: 1000 }, ['x'.repeat(600), 'x'.repeat(600)])
      assert.deepEqual(await told(store, events, 4), ['gap', 'many.0', 'many.1', 'upToDate'])
    })
  })
})

/** A process of its own that runs a few lines with `openSqliteStore`, `systemClock` and `say`. */
function startChild(lines: string): {
  process: ChildProcess
  lines: AsyncIterator<string> & AsyncIterable<string>
  kill(): Promise<void>
} {
  const program = `
    import { writeSync } from 'node:fs'
    const { openSqliteStore } = await import(${JSON.stringify(new URL('./sqlite-store.ts', import.meta.url).href)})
    const { systemClock } = await import(${JSON.stringify(new URL('../clock.ts', import.meta.url).href)})
    const say = (line) => writeSync(1, line + '\\n')
    process.stdin.on('end', () => process.exit()).resume() // ends with its parent, come what may
    ${lines}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  return {
    process: child,
    lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
