import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { startDestination } from '../support/destination.ts'
import { freePorts, waitFor, within } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { startServer, tokenOfTests } from '../support/server.ts'
import { type EndedRun, runServer } from '../support/server-run.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** Starts and ends under bad circumstances, as whoever runs a machine meets them. */

const timeout = 300_000

async function startOn(dataDir: string, settings: Readonly<Record<string, string>> = {}): Promise<EndedRun> {
  const [http, rtmp, rtmps] = await freePorts(3)
  return runServer({
    settings: {
      ...{ HTTP_HOST: '127.0.0.1', HTTP_PORT: `${http}`, RTMP_HOST: '127.0.0.1', RTMP_PORT: `${rtmp}` },
      ...{ RTMPS_PORT: `${rtmps}`, DATA_DIR: dataDir, API_TOKEN: tokenOfTests, MEDIA_THREADS: '1' },
      ...settings,
    },
  })
}

test('a database that is damaged, or newer, ends the start with a sentence and stays as it is', {
  timeout,
}, async () => {
  await using server = await startServer({ settings: { MEDIA_THREADS: '1' } })
  const input = await server.createInput({ meta: { text: 'x'.repeat(10_000) } })
  await server.stop()
  const file = join(server.dataDir, 'stream-connect.sqlite')
  const sound = readFileSync(file)
  const refuses = async (sentence: RegExp) => {
    const before = readFileSync(file)
    const { code, stderr } = await startOn(server.dataDir)
    assert.equal(code, 2, stderr)
    assert.match(stderr, sentence)
    assert.equal(stderr.split('\n').length, 2, 'one line')
    assert.ok(readFileSync(file).equals(before), 'the database was changed')
  }

  const damaged = Buffer.from(sound)
  damaged.fill(0xa5, 4_096, 12_288)
  writeFileSync(file, damaged)
  await refuses(/^DATA_DIR: the database .* is damaged .* put a backup in its place .*\.$/m)

  writeFileSync(file, sound)
  const database = new DatabaseSync(file)
  database.exec('PRAGMA user_version = 99')
  database.close()
  await refuses(/^DATA_DIR: the database .* has version 99 .* start the newer server .*\.$/m)

  writeFileSync(file, sound)
  await server.start()
  assert.equal((await server.input(input.uid)).uid, input.uid)
})

test('a port that is taken ends the start with its name, and nothing is left behind', { timeout }, async () => {
  await using server = await startServer({ settings: { MEDIA_THREADS: '2' } })
  const input = await server.createInput()
  await server.stop()
  await using other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  for (const setting of ['HTTP_PORT', 'RTMP_PORT', 'RTMPS_PORT']) {
    const { code, stderr } = await startOn(server.dataDir, { [setting]: `${port}`, MEDIA_THREADS: '2' })
    assert.equal(code, 2, stderr)
    assert.match(stderr, new RegExp(`${setting}.*${port}|${port}.*${setting}`))
  }
  await server.start()
  assert.equal((await server.input(input.uid)).uid, input.uid)
})

test('a resolver that is down: the server starts, and relays to what needs no name', { timeout }, async () => {
  await using destination = await startDestination()
  // No name is known, its own included.
  await using server = await startServer({ hosts: {}, settings: { PUBLIC_HOST: 'live.exmaple.invalid' } })
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'by address' })
  const named = await server.addOutput(input.uid, { url: 'rtmp://a.exmaple.invalid/app', streamKey: 'by name' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const sending = publisher.replay(syntheticTags({ kbps: 500, fps: 25 }))
  await (await destination.publishOf('by address')).receives(10)
  await server.waitForOutput(input.uid, named.uid, { state: 'reconnecting', reason: 'dns_failed' })
  await publisher.goodbye()
  await sending
})

test('SIGTERM under load: ended in time, with every change that was acknowledged', { timeout }, async () => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({ settings: { MAX_LIVE_INPUTS: '100000' } })
  const inputs = await Promise.all(Array.from({ length: 8 }, () => server.createInput()))
  for (const { uid } of inputs)
    for (const name of ['a', 'b', 'c'])
      await server.addOutput(uid, { url: destination.url(), streamKey: `${name}-${uid}` })
  const publishers = await Promise.all(
    inputs.map(({ rtmps }) => publish({ url: server.rtmpUrl, key: rtmps.streamKey })),
  )
  const replays = publishers.map((publisher) => publisher.replay(syntheticTags({ kbps: 2_000, fps: 30 })))
  await waitFor('all outputs', () => destination.publishing.length === 24, 30_000)
  const acknowledged = new Set(inputs.map(({ uid }) => uid))
  const writing = Array.from({ length: 4 }, async () => {
    for (;;) acknowledged.add((await server.createInput()).uid)
  })
  const ended = Promise.allSettled(writing)
  // Encoders that come at this very moment, too.
  const knocking = (async () => {
    for (let count = 0; count < 20; count++)
      await publish({ url: server.rtmpUrl, key: 'no-such-key', deadlineMs: 2_000 }).catch(() => {})
  })()
  await waitFor('changes under way', () => acknowledged.size > 30, 30_000)

  const { program } = server
  const start = performance.now()
  program.signal('SIGTERM')
  const { code } = await within('the server to end', program.exited, 20_000)
  assert.equal(code, 0, program.output.slice(-2_000))
  // 5 s on a machine that does nothing else.
  assert.ok(performance.now() - start < 12_000, `it took ${Math.round(performance.now() - start)} ms`)
  await Promise.all([...replays, knocking])
  for (const { status } of await ended) assert.equal(status, 'rejected')
  for (const connection of destination.connections) assert.equal((await connection.ends()).goodbye, true)
  for (const publisher of publishers) await publisher[Symbol.asyncDispose]()
  await server.kill().catch(() => {})

  await server.start()
  const found = new Set<string>()
  for (let page = 1; ; page++) {
    const { json } = await server.api<{ uid: string }[]>('GET', `?per_page=100&page=${page}`)
    for (const { uid } of json.result) found.add(uid)
    if (json.result.length < 100) break
  }
  assert.deepEqual(
    [...acknowledged].filter((uid) => !found.has(uid)),
    [],
  )
  assert.ok(!server.log.some(({ level }) => level === 'error'))
})
