import { enableCompileCache } from 'node:module'
import { constants } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import type { App, Started } from './app.ts'
import { commandsHelp, isCommand, runCommand } from './cli/cli.ts'
import { systemClock } from './clock.ts'
import { helpText, readCommand, versionText } from './command-line.ts'
import { httpOrigins, readConfig, settingsWithoutEffect } from './config.ts'
import { CodedError } from './errors.ts'
import { createLog, type Log } from './log.ts'
import { mediaThreads, spawnData, spawnThread } from './threads/spawn.ts'

/** A wrong setting, or whatever else keeps the server from starting. */
const startFailedStatus = 2
/** For the destinations to take what is pending. */
const drainMs = 2_000
/** Whatever hangs then is left behind: the process ends. */
const exitMs = 4_500

// Stripping types and compiling take a third of a start. Where nothing may be written, nothing is kept, and that is all.
const { directory } = enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/stream-connect'))
// And for the threads, which do not inherit it.
if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] ??= directory

// V8 compiles for good what has run 3,000 times, which is soon for a computation, and half a minute for a feed. Unknown before Node 24.
if (Number.parseInt(process.versions.v8, 10) >= 13) setFlagsFromString('--invocation-count-for-turbofan=300')

await start(process.argv.slice(2)).catch((error: unknown) => {
  const isExpected = error instanceof CodedError
  // Thrown on, it would meet the handler below, and the process would end with 0.
  const words = isExpected ? error.message : `The server could not start, by a mistake of ours: ${inspect(error)}`
  process.stderr.write(`${words}\n`)
  process.exit(isExpected ? startFailedStatus : 1)
})

async function start(argv: readonly string[]): Promise<void> {
  if (isCommand(argv)) {
    await speak(argv)
    return undefined
  }
  const command = readCommand(argv)
  if (command.name === 'help') process.stdout.write(helpText(commandsHelp()))
  else if (command.name === 'version') process.stdout.write(`${versionText()}\n`)
  else return serve(command.flags)
  return undefined
}

/** A command of a person, and not the server: the server's own rooms are loaded only when it needs them. */
async function speak(words: readonly string[]): Promise<void> {
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  // Whoever reads has had enough: `… | head -1`.
  process.stdout.on('error', () => process.exit(0))
  const configOf = (dataDir: string | undefined) =>
    readConfig(process.env, dataDir === undefined ? [] : [`--data-dir=${dataDir}`])
  const status = await runCommand(words, {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    signal: interrupted.signal,
    settings(dataDir) {
      const config = configOf(dataDir)
      const { httpUrl, httpsUrl } = httpOrigins(config)
      return { ...config, origin: httpUrl ?? httpsUrl ?? 'http://localhost:8080' }
    },
    async openOffline(dataDir) {
      const { openOfflineApi } = await import('./app.ts')
      const config = configOf(dataDir)
      return openOfflineApi(config, createLog({ ...config, logLevel: 'error' }))
    },
  })
  // Standard input may stay open for ever.
  process.stdout.write('', () => process.exit(status))
}

async function serve(flags: readonly string[]): Promise<void> {
  const config = readConfig(process.env, flags)
  const log = createLog(config)
  // A mistake of ours ends the session that it happened in, and not everybody else's broadcast.
  process.on('uncaughtException', (error) =>
    log.error({ err: error, code: 'internal_error' }, 'uncaught exception: a mistake of ours'),
  )
  process.on('unhandledRejection', (error) =>
    log.error({ err: error, code: 'internal_error' }, 'unhandled rejection: a mistake of ours'),
  )
  const without = settingsWithoutEffect(config)
  if (without !== undefined) log.warn({}, without)
  // They load while everything else does.
  const threads = mediaThreads(config)
  const spawned =
    threads === 1 ? [] : Array.from({ length: threads }, (_, index) => spawnThread(index, spawnData(config, threads)))
  const { startApp } = await import('./app.ts')
  const app = await startApp(config, log, { spawned })
  // Before anything is said: whoever reads it may end the server at once.
  endOnSignal(app, log)
  process.stdout.write(welcome(app.started, config.dataDir))
  const { httpUrl, httpsUrl, rtmpUrl, rtmpsUrl } = app.started
  log.info({ httpUrl, httpsUrl, rtmpUrl, rtmpsUrl }, 'the server is ready')
}

/** The one place where secrets are printed: the token that was generated at this start, and a link that signs in once. */
function welcome(started: Started, dataDir: string): string {
  const token = started.newToken?.reveal()
  const bearer =
    token ?? (started.tokenFile === undefined ? '$STREAM_CONNECT_API_TOKEN' : `$(cat ${quoted(started.tokenFile)})`)
  const api = started.httpUrl ?? started.httpsUrl
  const once = started.signInPath?.reveal()
  const lines = [
    '',
    `  Dashboard  ${api === undefined ? 'off' : `${api}/`}`,
    ...(api === undefined
      ? []
      : [`  Sign in    ${once === undefined ? signInCommand(dataDir) : `${api}${once}   (once, within an hour)`}`]),
    `  API        ${api === undefined ? 'off' : `${api}/client/v4`}`,
    ...(started.httpsUrl === undefined ? [] : [`  HTTPS      ${started.httpsUrl}/client/v4`]),
    `  RTMP       ${started.rtmpUrl ?? 'off'}`,
    `  RTMPS      ${started.rtmpsUrl ?? 'off'}`,
    `  Account    ${started.accountId}`,
    ...(token === undefined ? [] : [`  API token  ${token}   (shown this once; kept in ${started.tokenFile})`]),
    '',
    ...(api === undefined ? [] : ['  Create a live input:', '', `  ${firstCall(api, started.accountId, bearer)}`, '']),
    '',
  ]
  return lines.join('\n')
}

/** The link of the first start is used up; the command makes another. */
function signInCommand(dataDir: string): string {
  return `npx stream-connect sign-in-link${dataDir === './data' ? '' : ` --data-dir ${quoted(dataDir)}`}`
}

function firstCall(api: string, accountId: string, bearer: string): string {
  const url = `${api}/client/v4/accounts/${accountId}/stream/live_inputs`
  return `curl -X POST ${url} -H "Authorization: Bearer ${bearer}" --data '{"meta": {"name": "my first live input"}}'`
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** SIGINT and SIGTERM end the broadcasts properly and exit with 0; a second one changes nothing. */
function endOnSignal(app: App, log: Log): void {
  let ending = false
  const end = (signal: NodeJS.Signals) => {
    if (ending) return
    ending = true
    log.info({ signal }, 'the server ends')
    setTimeout(() => {
      log.error({}, 'not everything ended in time')
      process.exit(0)
    }, exitMs).unref()
    app.close(drainMs).then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'the server did not end in order')
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    if (signal in constants.signals) process.on(signal, () => end(signal))
}
