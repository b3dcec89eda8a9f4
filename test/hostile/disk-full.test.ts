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

/** A disk that is full: changes are refused with a code that says so, broadcasts go on, and all is well when there is room again. */

const main = fileURLToPath(new URL('limited-machine.ts', import.meta.url))
/** A namespace of its own with a small disk: containers and some systems do not let everybody make one. */
const mayMount =
  spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0

test('a disk that is full', {
  timeout: 300_000,
  ...(mayMount ? {} : { skip: 'needs unshare, and the right to mount in a namespace of its own' }),
}, async () => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({
    main,
    env: { TEST_DISK_KB: '2048' },
    settings: { MEDIA_THREADS: '1' },
    readyDeadlineMs: 30_000,
  })
  const input = await server.createInput({ meta: { name: 'before' } })
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'one' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25 }), { signal: stop.signal })
  const connection = await destination.publishOf('one')

  // As the process sees it: its disk is in a namespace of its own.
  const ballast = `/proc/${server.program.pid}/root${server.dataDir}/ballast`
  fill(ballast)
  // What the log has room for already may still go in.
  const acknowledged = await untilRefused(server)
  const refused = await server.api('POST', '', { meta: { name: 'refused' } })
  assert.equal(refused.status, 507)
  assert.equal(refused.json.errors[0]?.code, 11507)
  assert.match(refused.json.errors[0]?.message ?? '', /full.*Free some room/)
  // What is only read goes on, and so does the broadcast; statuses that cannot be stored stop nothing.
  assert.equal((await server.input(input.uid)).uid, input.uid)
  await connection.receives(50)
  const lines = server.log.filter(({ msg }) => String(msg).includes('statuses cannot be stored'))
  assert.ok(lines.length <= 2, `${lines.length} lines about statuses: a full disk often holds the log, too`)

  rmSync(ballast)
  const after = await waitFor('a change to be taken again', async () => {
    const { status, json } = await server.api<{ uid: string }>('POST', '', { meta: { name: 'after' } })
    return status === 200 && json.result.uid
  })
  await connection.receives(10)
  assert.deepEqual(connection.ledger.gaps, [])
  stop.abort()
  await replay
  await publisher.goodbye()

  // Its disk ends with the process: what was acknowledged is asked of this one.
  const { json } = await server.api<{ uid: string; meta: { name: string } }[]>('GET')
  const names = new Map(json.result.map(({ uid, meta }) => [uid, meta.name]))
  assert.equal(names.get(after), 'after')
  for (const uid of [input.uid, ...acknowledged]) assert.ok(names.has(uid), 'an acknowledged input is gone')
  assert.ok(![...names.values()].includes('refused'))
})

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

/** @returns inputs that the API still acknowledged. */
async function untilRefused(server: ServerUnderTest): Promise<string[]> {
  const acknowledged: string[] = []
  for (;;) {
    const { status, json } = await server.api<{ uid: string }>('POST', '', { meta: { text: 'x'.repeat(20_000) } })
    if (status !== 200) return acknowledged
    acknowledged.push(json.result.uid)
    assert.ok(acknowledged.length < 500, 'the disk does not get full')
  }
}
