import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type DestinationConnection, startDestination } from '../support/destination.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { type ProgramExit, type RunningProgram, temporaryFolder, waitFor, within } from '../support/processes.ts'
import { type Publisher, publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { accountIdOfTests, type CreatedInput, startServer, tokenOfTests } from '../support/server.ts'
import { environmentWith, type StartedRun, startRun } from '../support/server-run.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** The first minute with the server, every later start, and every way of ending it. */

const timeout = 90_000
/** What the server promises. */
const endMsMax = 5_000
const readyMsMax = 1_000
/** The processor time of a start, over all its threads: however busy the machine is, more would not fit into that second on two cores. */
const readyCpuMsMax = 1_600
/** Tests share the machine with others: what needs a second alone may need so many. */
const busyMachine = 3
const root = dirname(dirname(import.meta.dirname))

const execute = promisify(execFile)

type Printed = Readonly<Record<'api' | 'rtmp' | 'rtmps' | 'account' | 'token' | 'curl', string | undefined>>

function readWelcome({ program }: StartedRun): Printed {
  const find = (pattern: RegExp) => pattern.exec(program.output)?.[1]
  return {
    api: find(/^ {2}API {8}(\S+)$/m),
    rtmp: find(/^ {2}RTMP {7}(\S+)$/m),
    rtmps: find(/^ {2}RTMPS {6}(\S+)$/m),
    account: find(/^ {2}Account {4}(\S+)$/m),
    token: find(/^ {2}API token {2}(\S+) /m),
    curl: find(/^ {2}(curl .*)$/m),
  }
}

/** Types the curl line as it was printed. */
async function type(curl: string, settings: Readonly<Record<string, string>> = {}): Promise<CreatedInput> {
  const { stdout } = await execute('sh', ['-c', curl], { env: environmentWith(settings) })
  const { success, result } = JSON.parse(stdout) as { success: boolean; result: CreatedInput }
  assert.equal(success, true, stdout)
  return result
}

const timesIn = (text: string, part: string) => text.split(part).length - 1

test('a first start tells all that is needed; a later one all but the token', { timeout }, async () => {
  await using folder = await temporaryFolder('first start')
  // As a newcomer has it: DATA_DIR is ./data, and the folder may be called anything.
  const cwd = join(folder.path, "it's mine")
  await mkdir(cwd)
  const settings = { DATA_DIR: '', LOG_LEVEL: 'trace' }
  const tokenFile = join(cwd, 'data', 'api-token')
  let token: string
  let account: string
  {
    await using run = await startRun({ settings, cwd })
    const printed = readWelcome(run)
    assert.equal(printed.api, `http://localhost:${run.ports.http}/client/v4`)
    assert.equal(printed.rtmp, `rtmp://localhost:${run.ports.rtmp}/live/`)
    assert.equal(printed.rtmps, `rtmps://localhost:${run.ports.rtmps}/live/`)
    assert.match(printed.account ?? '', /^[0-9a-f]{32}$/)
    assert.match(printed.token ?? '', /^\S{40}$/)
    token = printed.token!
    account = printed.account!
    assert.equal((await readFile(tokenFile, 'utf8')).trim(), token)
    assert.equal((await stat(tokenFile)).mode & 0o777, 0o600)

    const input = await type(printed.curl!)
    assert.deepEqual(input['meta'], { name: 'my first live input' })
    const publisher = await publish({ url: printed.rtmp!, key: input.rtmps.streamKey })
    await publisher.goodbye()
    assert.equal((await run.program.stop()).code, 0)
    // Printed for the person, twice: by itself and in the curl line. In no line of the log.
    assert.equal(timesIn(run.program.output, token), 2)
    const logged = run.program.output.split('\n').filter((line) => line.startsWith('{'))
    assert.ok(logged.length > 3 && logged.every((line) => !line.includes(token)))
  }
  await using run = await startRun({ settings, cwd })
  const printed = readWelcome(run)
  assert.deepEqual([printed.account, printed.token], [account, undefined])
  assert.match(printed.curl ?? '', /\$\(cat /)
  const input = await type(printed.curl!)
  assert.match(input.uid, /^[0-9a-f]{32}$/)
  const answer = await fetch(`${printed.api}/accounts/${account}/stream/live_inputs`, {
    headers: { authorization: `Bearer ${token}`, connection: 'close' },
  })
  assert.equal(((await answer.json()) as { result: unknown[] }).result.length, 2)
  assert.equal((await run.program.stop()).code, 0)
  assert.equal(timesIn(run.program.output, token), 0)
})

test('an API_TOKEN that was set is neither printed nor stored', { timeout }, async () => {
  const settings = { API_TOKEN: 'a-token-of-my-own', RTMP_PORT: '0', LOG_LEVEL: 'trace' }
  await using run = await startRun({ settings })
  const printed = readWelcome(run)
  assert.deepEqual([printed.rtmp, printed.token], ['off', undefined])
  await type(printed.curl!, settings)
  assert.equal((await run.program.stop()).code, 0)
  assert.ok(!run.program.output.includes('a-token-of-my-own'))
  for (const name of await readdir(run.dataDir)) {
    assert.notEqual(name, 'api-token')
    assert.ok(!(await readFile(join(run.dataDir, name))).includes('a-token-of-my-own'), name)
  }
})

test('a later start is ready within a second', { timeout }, async (t) => {
  await using server = await startServer()
  await server.createInput()
  const figures: { readonly readyMs: number; readonly cpuMs: number }[] = []
  for (let count = 0; count < 5; count++) {
    await server.stop()
    const start = performance.now()
    await server.start()
    figures.push({ readyMs: Math.round(performance.now() - start), cpuMs: await server.program.cpuMs() })
  }
  const told = figures.map(({ readyMs, cpuMs }) => `${readyMs} (${cpuMs} of CPU)`).join(', ')
  t.diagnostic(`ready after ${told} ms; promised: ${readyMsMax} on a machine that does nothing else`)
  assert.ok(Math.min(...figures.map(({ readyMs }) => readyMs)) < readyMsMax * busyMachine, told)
  assert.ok(Math.min(...figures.map(({ cpuMs }) => cpuMs)) < readyCpuMsMax, told)
})

/** Nothing that this program or its process group started is left. */
async function assertNothingLeft(pid: number): Promise<void> {
  await waitFor('the process group to be empty', async () => (await processesOfGroup(pid)).length === 0, 1_000)
}

async function processesOfGroup(group: number): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')))
  // After the name in brackets: state, parent, process group. A zombie waits for its parent, which is this process.
  return stats.filter((line) => {
    const [state, , processGroup] = line.slice(line.lastIndexOf(')') + 2).split(' ')
    return Number(processGroup) === group && state !== 'Z'
  })
}

/** Ends the program by `signal` and measures. @returns how it ended, after how many ms. */
async function ended(program: RunningProgram, signal: () => void): Promise<ProgramExit & { readonly ms: number }> {
  const start = performance.now()
  signal()
  const exit = await within('the server to end', program.exited, 2 * endMsMax)
  return { ...exit, ms: performance.now() - start }
}

function assertEndedInTime({ code, ms }: { code: number | null; ms: number }, program: RunningProgram): void {
  assert.equal(code, 0, program.output.slice(-2_000))
  assert.ok(ms < endMsMax, `ended after ${Math.round(ms)} ms`)
}

/** FCUnpublish and deleteStream, then an orderly end of the connection. */
async function assertGoodbye(connection: DestinationConnection): Promise<void> {
  assert.deepEqual(await connection.ends(1_000), { how: 'fin', goodbye: true })
  assert.deepEqual(connection.commandNames().slice(-2), ['FCUnpublish', 'deleteStream'])
  assert.deepEqual(connection.violations, [])
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`${signal} while live: goodbye at the destinations, status 0, whatever else is open`, {
    timeout,
    ...needs('nginx-rtmp'),
  }, async () => {
    await using nginx = await startNginxRtmp()
    await using destination = await startDestination()
    await using server = await startServer()
    const input = await server.createInput()
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'to-nginx' })
    await server.addOutput(input.uid, { url: destination.url(), streamKey: 'to-fake' })
    await server.addOutput(input.uid, { url: 'rtmp://127.0.0.1:1/app', streamKey: 'to-nobody' })
    await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    const sending = publisher.replay(syntheticTags({ kbps: 2_000, fps: 30 }))
    const connection = await destination.publishOf('to-fake')
    await connection.receives(30)
    await nginx.waitForPublisher('to-nginx')
    // Clients that hold their connections: one that has asked, one in the middle of asking, one that has only connected to RTMP.
    const agent = new Agent({ keepAlive: true })
    const [answer] = await once(get(`${server.origin}/readyz`, { agent }), 'response')
    answer.resume()
    const idle = [connect(server.ports.http, '127.0.0.1'), connect(server.ports.rtmp, '127.0.0.1')]
    idle[0]!.write('GET /readyz HTTP/1.1\r\nHost: lo')
    for (const socket of idle) socket.on('error', () => {})
    await Promise.all(idle.map((socket) => once(socket, 'connect')))

    const { program } = server
    const exit = await ended(program, () => {
      program.signal(signal)
      // An impatient person, and a supervisor that sends both.
      for (const again of ['SIGINT', 'SIGTERM', signal] as const) setTimeout(() => program.signal(again), 20)
    })
    agent.destroy()
    for (const socket of idle) socket.destroy()
    assertEndedInTime(exit, program)
    await assertGoodbye(connection)
    await nginx.waitForNoPublisher('to-nginx', 2_000)
    // nginx deletes the stream of one that was cut, too, but after the disconnect.
    assert.match(await nginx.log(), /publish: name='to-nginx'[\s\S]*deleteStream[\s\S]* disconnect,/)
    await publisher.closed
    await sending
    await assert.rejects(server.stop().then(() => server.api('GET')))
    assert.ok(!server.log.some((line) => Number(line['level']) >= 50), 'an error was logged')
  })

test('with a destination that has stopped reading it still ends in time', { timeout }, async () => {
  await using stalled = await startDestination({ behaviour: { stopReadingAfterBytes: 200_000 } })
  await using healthy = await startDestination()
  await using server = await startServer()
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: stalled.url(), streamKey: 'stalled' })
  await server.addOutput(input.uid, { url: healthy.url(), streamKey: 'healthy' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  // More than the kernel takes for a peer that does not read.
  const sending = publisher.replay(syntheticTags({ kbps: 60_000, fps: 30 }))
  const connection = await healthy.publishOf('healthy')
  await waitFor('12 MB at the healthy destination', () => connection.counts.bytes > 12_000_000)
  const { program } = server
  assertEndedInTime(await ended(program, () => program.signal('SIGTERM')), program)
  await assertGoodbye(connection)
  // Cut, not closed: the kernel would go on delivering megabytes.
  const [cut] = stalled.connections
  assert.ok(cut!.counts.bytes < 1_000_000)
  cut!.resumeReading()
  assert.equal((await cut!.ends()).how, 'reset')
  await sending
})

/**
 * What a person has after `git clone` and the first `npm start`: the repository's files, and packages that are installed. Those are
 * links to the ones of this repository, so that nothing that goes wrong here can harm them.
 */
async function installedCopy(folder: string): Promise<void> {
  for (const name of ['src', 'scripts']) await cp(join(root, name), join(folder, name), { recursive: true })
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
    if (existsSync(join(root, name))) await copyFile(join(root, name), join(folder, name))
  }
  const [there, here] = [join(root, 'node_modules'), join(folder, 'node_modules')]
  for (const inner of ['', '.bin']) {
    await mkdir(join(here, inner), { recursive: true })
    for (const entry of await readdir(join(there, inner), { withFileTypes: true })) {
      if (entry.name === '.bin' || entry.name === '.cache') continue
      const [from, to] = [join(there, inner, entry.name), join(here, inner, entry.name)]
      await (entry.isFile() ? copyFile(from, to) : symlink(from, to))
    }
  }
}

/** Starts through npm, goes live, and gives what is to be told goodbye. */
async function liveThroughNpm(cwd: string, destinationUrl: string): Promise<{ run: StartedRun; publisher: Publisher }> {
  // A registry that is not there: a start that needs the network would fail.
  await writeFile(join(cwd, 'npmrc'), 'registry=http://127.0.0.1:1/\nfetch-retries=0\n')
  const npmrc = { npm_config_userconfig: join(cwd, 'npmrc') }
  const run = await startRun({
    cwd,
    env: npmrc,
    settings: { API_TOKEN: tokenOfTests, ACCOUNT_ID: accountIdOfTests, DESTINATION_ALLOW: '127.0.0.0/8' },
    startedBy: ['npm', 'start', '--', '--log-level', 'debug'],
    detached: true,
    deadlineMs: 30_000,
  })
  const inputs = `http://localhost:${run.ports.http}/client/v4/accounts/${accountIdOfTests}/stream/live_inputs`
  const post = async (path: string, body: object) => {
    const headers = { authorization: `Bearer ${tokenOfTests}`, connection: 'close' }
    const answer = await fetch(inputs + path, { method: 'POST', headers, body: JSON.stringify(body) })
    return ((await answer.json()) as { result: CreatedInput }).result
  }
  const input = await post('', {})
  await post(`/${input.uid}/outputs`, { url: destinationUrl, streamKey: 'through-npm' })
  return { run, publisher: await publish({ url: input.rtmps.url, key: input.rtmps.streamKey }) }
}

const signals: readonly { name: string; send: (program: RunningProgram) => void }[] = [
  { name: 'SIGTERM to npm', send: (program) => program.signal('SIGTERM') },
  { name: 'SIGTERM to its process group', send: ({ pid }) => void process.kill(-pid, 'SIGTERM') },
  { name: 'SIGINT to its process group, as Ctrl-C', send: ({ pid }) => void process.kill(-pid, 'SIGINT') },
]
for (const { name, send } of signals)
  test(`npm start: ${name} while live`, { timeout }, async () => {
    await using folder = await temporaryFolder('clone')
    await installedCopy(folder.path)
    await using destination = await startDestination()
    const { run, publisher } = await liveThroughNpm(folder.path, destination.url())
    await using _run = run
    await using _publisher = publisher
    const sending = publisher.replay(syntheticTags({ kbps: 1_000, fps: 30 }))
    const connection = await destination.publishOf('through-npm')
    await connection.receives(30)

    const { program } = run
    const exit = await ended(program, () => {
      send(program)
      send(program)
    })
    assertEndedInTime(exit, program)
    await assertGoodbye(connection)
    await assertNothingLeft(program.pid)
    await sending
  })
