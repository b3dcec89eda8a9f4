import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type ServerUnderTest, startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** No room: changes are refused with a code that says so, broadcasts go on, and all is well when there is room again. */

const inThisFolder = (name: string) => fileURLToPath(new URL(name, import.meta.url))

type Way = {
  readonly main: string
  readonly env: Readonly<Record<string, string>>
  /** @returns how room is made again; `acknowledged` may be deleted. */
  readonly fill: (server: ServerUnderTest) => (acknowledged: Set<string>) => Promise<void>
}

const disk: Way = {
  main: inThisFolder('limited-machine.ts'),
  env: { TEST_DISK_KB: '2048' },
  fill(server) {
    // As the process sees it: its disk is in a namespace of its own.
    const ballast = `/proc/${server.program.pid}/root${server.dataDir}/ballast`
    fill(ballast)
    return async () => rmSync(ballast)
  },
}
const database: Way = {
  main: inThisFolder('small-database.ts'),
  env: { TEST_DATABASE_PAGES: '60' },
  fill: (server) => async (acknowledged) => {
    for (const uid of [...acknowledged].slice(0, 2)) {
      assert.equal((await server.api('DELETE', `/${uid}`)).status, 200)
      acknowledged.delete(uid)
    }
  },
}

/** A namespace of its own with a small disk. Where that may not be made (many containers), the small database stands in. */
const mayMount =
  spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
const isLong = process.env['HOSTILE'] === 'long'

const options = { timeout: 300_000 }
if (mayMount || isLong)
  test('a disk that is full', { ...options, ...(!mayMount && { skip: 'needs unshare, and the right to mount' }) }, () =>
    story(disk),
  )
if (!mayMount || isLong) test('a database that is full', options, () => story(database))

async function story(way: Way): Promise<void> {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({
    main: way.main,
    env: way.env,
    settings: { MEDIA_THREADS: '1' },
    readyDeadlineMs: 30_000,
  })
  const input = await server.createInput({ meta: { name: 'before' } })
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'one' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25 }), { signal: stop.signal })
  const connection = await destination.publishOf('one')

  const makeRoom = way.fill(server)
  const { acknowledged, refused } = await untilRefused(server)
  assert.equal(refused.status, 507)
  assert.equal(refused.json.errors[0]?.code, 11507)
  assert.match(refused.json.errors[0]?.message ?? '', /full.*Free some room/)
  // What is only read goes on, and so does the broadcast; statuses that cannot be stored stop nothing.
  assert.equal((await server.input(input.uid)).uid, input.uid)
  await connection.receives(50)
  const lines = server.log.filter(({ msg }) => String(msg).includes('statuses cannot be stored'))
  assert.ok(lines.length <= 2, `${lines.length} lines about statuses: a full disk often holds the log, too`)

  await makeRoom(acknowledged)
  const after = await waitFor('a change to be taken again', async () => {
    const { status, json } = await server.api<{ uid: string }>('POST', '', { meta: { name: 'after' } })
    return status === 200 && json.result.uid
  })
  await connection.receives(10)
  assert.deepEqual(connection.ledger.gaps, [])
  stop.abort()
  await replay
  await publisher.goodbye()

  // A disk of its own ends with the process: what was acknowledged is asked of this one.
  const { json } = await server.api<{ uid: string; meta: { name: string } }[]>('GET')
  const names = new Map(json.result.map(({ uid, meta }) => [uid, meta.name]))
  assert.equal(names.get(after), 'after')
  for (const uid of [input.uid, ...acknowledged]) assert.ok(names.has(uid), 'an acknowledged input is gone')
  assert.deepEqual(new Set(names.keys()), new Set([input.uid, ...acknowledged, after]), 'a refused input is there')
}

/** Writes until the disk is full. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (const block of [65_536, 4_096]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(block))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      }
    }
  } finally {
    closeSync(file)
  }
  assert.ok(readFileSync(path).length > 100_000)
}

/** What there is room for still goes in. @returns inputs that the API acknowledged, and the answer to the first that it did not. */
async function untilRefused(server: ServerUnderTest) {
  const acknowledged = new Set<string>()
  for (;;) {
    const answer = await server.api<{ uid: string }>('POST', '', { meta: { text: 'x'.repeat(15_000) } })
    if (answer.status !== 200) return { acknowledged, refused: answer }
    acknowledged.add(answer.json.result.uid)
    assert.ok(acknowledged.size < 500, 'it does not get full')
  }
}
