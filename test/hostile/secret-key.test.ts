import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, rename } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startDestination } from '../support/destination.ts'
import { freePorts, temporaryFolder } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type ServerUnderTest, startServer, tokenOfTests } from '../support/server.ts'
import { environmentWith, runServer } from '../support/server-run.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** Another SECRET_KEY for a database that is there: nothing is lost, the old key opens nothing any more, whatever happens meanwhile. */

const isLong = process.env['HOSTILE'] === 'long'
const timeout = isLong ? 1_200_000 : 300_000
const killRounds = isLong ? 100 : 3
const outputs = isLong ? 50 : 8
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

const newKey = () => randomBytes(32).toString('base64')

/** Everything that the API shows, keys included, but for the addresses of this run. */
async function shown(server: ServerUnderTest): Promise<unknown> {
  const { json } = await server.api<{ uid: string }[]>('GET')
  return Promise.all(
    json.result.map(async ({ uid }) => {
      const { meta, modified, rtmps } = await server.input(uid)
      return { uid, meta, modified, streamKey: rtmps.streamKey, outputs: await server.outputs(uid) }
    }),
  )
}

async function settingsOn(dataDir: string): Promise<Record<string, string>> {
  const [http, rtmp, rtmps] = await freePorts(3)
  return {
    ...{ HTTP_HOST: '127.0.0.1', HTTP_PORT: `${http}`, RTMP_HOST: '127.0.0.1', RTMP_PORT: `${rtmp}` },
    ...{ RTMPS_PORT: `${rtmps}`, DATA_DIR: dataDir, API_TOKEN: tokenOfTests, MEDIA_THREADS: '1' },
  }
}

test('a key in DATA_DIR: moved away, it is replaced, and everything goes on', { timeout }, async () => {
  await using destination = await startDestination()
  await using receiver = createServer((_request, response) => response.end())
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  await using server = await startServer()
  const input = await server.createInput()
  await server.addOutput(input.uid, {
    url: destination.url(),
    streamKey: 'the key of the destination',
    username: 'somebody',
    password: 'the password of somebody',
  })
  const account = `/client/v4/accounts/${server.accountId}/alerting/v3/destinations/webhooks`
  const hook = await server.api('POST', account, {
    name: 'mine',
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`,
    secret: 'a-secret-of-the-hook',
  })
  assert.equal(hook.status, 200, JSON.stringify(hook.json.errors))
  const before = await shown(server)
  await server.stop()
  const file = join(server.dataDir, 'secret-key')
  const oldKey = await readFile(file, 'utf8')
  await rename(file, `${file}-previous`)
  await server.start()
  await server.waitForLog(
    'the change of keys',
    ({ msg }) => msg === 'the database is encrypted with the new SECRET_KEY now',
  )
  assert.notEqual(await readFile(file, 'utf8'), oldKey)
  assert.deepEqual(await shown(server), before)
  // The keys are those that encoder and destination know.
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const sending = publisher.replay(syntheticTags({ kbps: 500, fps: 25 }))
  await (await destination.publishOf('the key of the destination')).receives(10)
  await publisher.goodbye()
  await sending

  // A second start does nothing more; the old key alone opens nothing.
  const lines = server.log.length
  await server.restart()
  assert.ok(!server.log.slice(lines).some(({ msg }) => String(msg).includes('SECRET_KEY')))
  await server.stop()
  const refused = await runServer({
    settings: { ...(await settingsOn(server.dataDir)), SECRET_KEY: oldKey.trim(), SECRET_KEY_PREVIOUS: newKey() },
  })
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /^Neither SECRET_KEY nor SECRET_KEY_PREVIOUS is the key [^\n]+\.\n$/)
  assert.ok(!refused.stderr.includes(oldKey.trim()))
})

test(`killed ${killRounds} times in the middle of a change of keys: all is there, with one key or the other`, {
  timeout,
}, async (t) => {
  await using folder = await temporaryFolder('secret-key')
  const dataDir = join(folder.path, 'data')
  const keys = [newKey(), newKey()]
  let before: unknown
  const began = performance.now()
  let startMs: number
  {
    await using server = await startServer({
      settings: { DATA_DIR: dataDir, SECRET_KEY: keys[0]!, MEDIA_THREADS: '1' },
    })
    startMs = performance.now() - began
    for (let count = 0; count < 4; count++) {
      const { uid } = await server.createInput({ meta: { name: `input ${count}` } })
      for (let output = 0; output < outputs; output++)
        await server.addOutput(uid, {
          url: 'rtmp://a.example/app',
          streamKey: `key ${count} ${output} of a destination`,
        })
    }
    before = await shown(server)
  }
  let killedWhile = 0
  for (let round = 0; round < killRounds; round++) {
    const [previous, next] = keys as [string, string]
    const settings = {
      ...(await settingsOn(dataDir)),
      SECRET_KEY: next,
      SECRET_KEY_PREVIOUS: previous,
      LOG_FORMAT: 'json',
    }
    const child = spawn(process.execPath, [mainFile], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: environmentWith(settings),
    })
    let written = ''
    child.stdout.on('data', (text) => (written += String(text)))
    const ended = new Promise((resolve) => child.once('close', resolve))
    await pause(startMs * (0.2 + Math.random()))
    child.kill('SIGKILL')
    await ended
    if (!written.includes('the server is ready')) killedWhile++
    // Not always the same direction: from now on the other key is the new one, half of the time.
    if (Math.random() < 0.5) keys.reverse()
  }
  t.diagnostic(`${killedWhile} of ${killRounds} before the server was ready`)
  // A kill leaves no log of the change: both keys are given, whichever it was.
  await using server = await startServer({
    settings: { DATA_DIR: dataDir, SECRET_KEY: keys[1]!, SECRET_KEY_PREVIOUS: keys[0]!, MEDIA_THREADS: '1' },
  })
  assert.deepEqual(await shown(server), before)
  await server.stop()
  const names = await readdir(dataDir)
  assert.ok(!names.some((name) => name.startsWith('secret-key')), 'keys that were set must not be written down')
})
