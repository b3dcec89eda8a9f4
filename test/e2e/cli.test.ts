import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startDestination } from '../support/destination.ts'
import { startFeed } from '../support/live-feed.ts'
import { freePorts, temporaryFolder, waitFor, within } from '../support/processes.ts'
import { accountIdOfTests, type ServerUnderTest, startServer, tokenOfTests } from '../support/server.ts'

/** The command line in processes of its own, beside the server's own process; the launcher where it matters. */

const timeout = 60_000
const launcher = fileURLToPath(new URL('../../scripts/stream-connect.mjs', import.meta.url))
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** What the system has, and may be older than what the sources need; ours where it has none. */
function nodeOfTheSystem(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const found = folders.map((folder) => join(folder, 'node')).find((path) => existsSync(path))
  const version = found && spawnSync(found, ['--version'], { encoding: 'utf8' }).stdout
  return found && Number(/^v(\d+)/.exec(version ?? '')?.[1]) >= 18 ? found : process.execPath
}

type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string }
type Settings = Readonly<Record<string, string>>

function start(
  words: readonly string[],
  settings: Settings,
  program: readonly string[] = [process.execPath, mainFile],
) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STREAM_CONNECT_'))
  const own = Object.entries(settings).map(([name, value]) => [`STREAM_CONNECT_${name}`, value])
  const [node = '', ...files] = program
  const child = spawn(node, [...files, ...words], {
    env: { ...Object.fromEntries(inherited), ...Object.fromEntries(own) },
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  const ended = once(child, 'close').then(([status]): Ended => ({ status: status as number | null, ...written }))
  return { child, written, ended: within(`stream-connect ${words.join(' ')} to end`, ended, 20_000) }
}

let server: ServerUnderTest
let atServer: Settings
before(async () => {
  server = await startServer()
  atServer = { DATA_DIR: server.dataDir, API_TOKEN: tokenOfTests }
})
after(() => server[Symbol.asyncDispose]())

async function run(
  words: readonly string[],
  input = '',
  settings = atServer,
  program?: readonly string[],
): Promise<Ended> {
  const { child, ended } = start(words, settings, program)
  child.stdin.end(input)
  return ended
}

async function json<Result>(words: readonly string[], input = ''): Promise<Result> {
  const { status, stdout, stderr } = await run([...words, '--json'], input)
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Result
}

type Input = { readonly uid: string; readonly rtmp: { readonly streamKey: string } }
type Figures = {
  readonly input: {
    readonly status: { readonly current: { readonly state: string } } | null
    readonly health?: { readonly bitrateKbps: number }
  }
  readonly outputs: readonly {
    readonly status: { readonly current: { readonly state: string } } | null
    readonly health?: { readonly bytesSent: number }
  }[]
}

test('from nothing to live and back, without curl', { timeout }, async () => {
  await using destination = await startDestination()
  const input = await json<Input>(['input', 'create', '--name', 'Sunday'])
  const added = await run(['output', 'create', input.uid, '--url', destination.url(), '--name', 'there'], 'the-key\n')
  assert.equal(added.status, 0, added.stderr)
  assert(!added.stdout.includes('the-key'))

  await using _feed = await startFeed(server.rtmpUrl, input.rtmp.streamKey)
  const watch = start(['input', 'watch', input.uid, '--interval', '1', '--json'], atServer)
  const isLive = (line: string) => {
    const { input: shown, outputs } = JSON.parse(line) as Figures
    const [output] = outputs
    const states = [shown.status?.current.state, output?.status?.current.state]
    return (
      states.every((state) => state === 'connected') && shown.health!.bitrateKbps > 0 && output!.health!.bytesSent > 0
    )
  }
  await waitFor('figures of a live output', () => watch.written.stdout.split('\n').slice(0, -1).some(isLive), 20_000)
  watch.child.kill('SIGINT')
  const watched = await watch.ended
  assert.equal(watched.status, 0, watched.stderr)
  for (const secret of ['the-key', input.rtmp.streamKey, tokenOfTests]) assert(!watched.stdout.includes(secret))

  const [inputs, outputs, figures] = await Promise.all([
    run(['input', 'list']),
    run(['output', 'list', input.uid]),
    run(['input', 'watch', input.uid, '--count', '1']),
  ])
  assert.match(inputs.stdout, new RegExp(`^${input.uid}  Sunday +connected +yes`, 'm'))
  assert.match(outputs.stdout, / there +rtmp:\/\/\S+ +yes +connected$/m)
  assert.match(figures.stdout, /^input {2}connected {2}\d+ kbps/m)
  for (const { stdout, stderr } of [watched, figures]) assert.doesNotMatch(stdout + stderr, /[^\P{Cc}\n]/u, 'no ANSI')
  assert.equal((await run(['input', 'disable', input.uid])).status, 0)
  await waitFor('the destination to be let go', () => destination.connections.every(({ end }) => end), 10_000)
})

test('exit status: 0 done, 1 refused, 2 wrong usage, 3 not reachable', { timeout }, async () => {
  const [port] = (await freePorts(1)) as [number]
  await using folder = await temporaryFolder('cli')
  const nowhere = { DATA_DIR: folder.path, API_TOKEN: 'x', HTTP_PORT: `${port}` }
  const ends = await Promise.all([
    run(['account', 'list']),
    run(['input', 'show', 'f'.repeat(32)]),
    run(['input', 'show']),
    run(['input', 'list'], '', nowhere),
    run(['token', 'list'], '', nowhere),
    run(['token', 'list'], '', { ...atServer, HTTP_PORT: 'many' }),
  ])
  assert.deepEqual(
    ends.map(({ status }) => status),
    [0, 1, 2, 3, 3, 2],
  )
  for (const { status, stdout, stderr } of ends) {
    if (status === 0) continue
    assert.equal(stdout, '')
    assert.match(stderr, /^[^\n]+\n$/)
  }
})

test('token and account commands speak to the server while it runs, and open the database while none does', {
  timeout,
}, async () => {
  // Not the usual port, where somebody's own server may run.
  const HTTP_PORT = `${server.ports.http}`
  const settings = { DATA_DIR: server.dataDir, API_TOKEN: tokenOfTests, ACCOUNT_ID: accountIdOfTests, HTTP_PORT }
  const online = await run(['token', 'create', '--name', 'made online'], '', settings)
  assert.deepEqual([online.status, online.stderr.includes('database')], [0, false])
  assert.equal(await readFile(join(server.dataDir, 'api-url'), 'utf8'), `${server.origin}\n`)
  await server.stop()
  assert(!existsSync(join(server.dataDir, 'api-url')))

  const offline = await run(['token', 'create', '--name', 'made offline'], '', settings)
  assert.equal(offline.status, 0, offline.stderr)
  assert.match(offline.stderr, /No server runs on .*; its database was opened/)
  const list = await run(['token', 'list'], '', settings)
  assert.match(list.stdout, /made online.*\n.*made offline/)
  const [, revoked = ''] = /^([0-9a-f]{32}) +made online/m.exec(list.stdout) ?? []
  assert.equal((await run(['token', 'revoke', revoked], '', settings)).status, 0)
  const made = await run(['account', 'create', '--name', 'Two', '--email', 'ada@example.com'], '', settings)
  assert.match(made.stdout, /^X-Auth-Key +[0-9a-f]{64}$/m)
  assert.equal((await run(['input', 'list'], '', settings)).status, 3, 'inputs are for a server that runs')

  await server.start()
  const withToken = async (text: string) => {
    const headers = { authorization: `Bearer ${text.trim()}`, connection: 'close' }
    return (await fetch(`${server.baseUrl}/user/tokens/verify`, { headers })).status
  }
  assert.deepEqual([await withToken(offline.stdout), await withToken(online.stdout)], [200, 401])
})

test('the launcher serves, and what ends it ends the server', { timeout }, async () => {
  await using folder = await temporaryFolder('cli')
  const [http] = (await freePorts(1)) as [number]
  const settings = {
    DATA_DIR: `${folder.path}/data`,
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: `${http}`,
    RTMP_PORT: '0',
    RTMPS_PORT: '0',
  }
  const throughLauncher = [nodeOfTheSystem(), launcher]
  const serving = start([], settings, throughLauncher)
  await waitFor('the server to be ready', async () => (await fetch(`http://127.0.0.1:${http}/readyz`)).ok, 60_000)
  // No token and no address: both are in the data directory.
  const list = await run(['account', 'list', '--data-dir', settings.DATA_DIR], '', {}, throughLauncher)
  assert.deepEqual([list.status, list.stderr], [0, ''])
  const second = await run([], '', { ...settings, HTTP_PORT: '0' }, throughLauncher)
  assert.equal(second.status, 2)
  assert.match(second.stderr, /in use by another server/)
  serving.child.kill('SIGTERM')
  assert.equal((await serving.ended).status, 0)
  await assert.rejects(fetch(`http://127.0.0.1:${http}/readyz`))
})
