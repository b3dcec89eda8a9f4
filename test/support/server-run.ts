import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { freePorts, type RunningProgram, startProgram, temporaryFolder, waitFor, within } from './processes.ts'

/**
 * The server as a person starts it: with these settings and no others, so that what it prints, how it fails and how it ends can be
 * looked at. For all else there is `startServer`.
 */

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export type RunOptions = {
  /** Settings, without STREAM_CONNECT_. */
  readonly settings?: Readonly<Record<string, string>>
  /** Other environment variables. */
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  readonly cwd?: string
  /** A user and group other than root's: what rights mean can only be tried by somebody who has not all of them. */
  readonly uid?: number
}

/** How a run ended, and what it wrote. */
export type EndedRun = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The environment of this process without the settings of the person who runs the tests (and of the npm that does), and with these. */
export function environmentWith(settings: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(STREAM_CONNECT_|npm_)/.test(name))
  const ours = Object.entries(settings).map(([name, value]) => [`STREAM_CONNECT_${name}`, value])
  return Object.fromEntries([...inherited, ...ours])
}

/** Runs the server to its end: for starts that fail. @throws Error when it has not ended after 15 s. */
export async function runServer(options: RunOptions = {}): Promise<EndedRun> {
  const child = spawn(process.execPath, [mainFile, ...(options.args ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environmentWith(options.settings), ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  const ended = new Promise<EndedRun>((resolve, reject) => {
    child.once('error', reject)
    // 'close': when all that it wrote has been read.
    child.once('close', (code, signal) => resolve({ code, signal, ...written }))
  })
  try {
    return await within('the server to end', ended, 15_000)
  } catch (error) {
    throw new Error(`${(error as Error).message}; it wrote:\n${written.stdout}${written.stderr}`)
  } finally {
    child.kill('SIGKILL')
  }
}

export type StartedRun = AsyncDisposable & {
  readonly program: RunningProgram
  readonly ports: { readonly http: number; readonly rtmp: number; readonly rtmps: number }
  readonly settings: Readonly<Record<string, string>>
  readonly dataDir: string
}

/**
 * Starts the server on free ports of the loopback interface and waits until it has printed its curl line.
 * @param options `settings` win over the ports and the DATA_DIR chosen here; `startedBy` is the program and its arguments in place of
 * node and src/main.ts.
 */
export async function startRun(
  options: RunOptions & {
    readonly startedBy?: readonly [string, ...string[]]
    readonly detached?: boolean
    readonly deadlineMs?: number
  } = {},
): Promise<StartedRun> {
  const folder = await temporaryFolder('run')
  const [http, rtmp, rtmps] = (await freePorts(3)) as [number, number, number]
  const settings = {
    HTTP_HOST: 'localhost',
    RTMP_HOST: 'localhost',
    HTTP_PORT: `${http}`,
    RTMP_PORT: `${rtmp}`,
    RTMPS_PORT: `${rtmps}`,
    DATA_DIR: `${folder.path}/data`,
    ...options.settings,
  }
  const [command, ...args] = options.startedBy ?? [process.execPath, mainFile]
  const program = await startProgram(command, [...args, ...(options.args ?? [])], {
    env: { ...environmentWith(settings), ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.detached && { detached: true }),
  })
  const dispose = async () => {
    await program.stop(10_000)
    await folder[Symbol.asyncDispose]()
  }
  try {
    await waitFor(
      'the server to print its curl line',
      () => program.exit !== undefined || /^ {2}curl .*\n/m.test(program.output),
      options.deadlineMs ?? 15_000,
    )
    if (program.exit) throw new Error(`the server ended with ${program.exit.code ?? program.exit.signal}`)
  } catch (error) {
    await dispose()
    throw new Error(`${(error as Error).message}:\n${program.output.slice(-4_000)}`)
  }
  return {
    program,
    ports: { http, rtmp, rtmps },
    settings,
    dataDir: settings.DATA_DIR,
    [Symbol.asyncDispose]: dispose,
  }
}
