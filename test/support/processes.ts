import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Programs that a test starts. Each is stopped by its own process id; whatever a test forgets, or leaves behind when it is
 * interrupted, is killed when the test process ends.
 */

/** What is kept of a program's output: enough to explain a failure, and no more however long it runs. */
const outputCharactersMax = 256 * 1024
/** What a program gets between SIGTERM and SIGKILL. ffmpeg writes its trailer and says goodbye within this time. */
const stopGraceMsDefault = 5_000

export type ProgramExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

const running = new Set<RunningProgram>()
const folders = new Set<string>()

function leaveNothingBehind(): void {
  for (const program of running) program.signal('SIGKILL')
  for (const path of folders) rmSync(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 })
}

process.on('exit', leaveNothingBehind)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    leaveNothingBehind()
    process.kill(process.pid, signal)
  })
}

/** A started program. Owned by the test that started it: `await using program = await startProgram(…)`. */
export class RunningProgram implements AsyncDisposable {
  readonly name: string
  readonly pid: number
  readonly exited: Promise<ProgramExit>
  readonly #child: ChildProcess
  readonly #onLine: ((line: string) => void) | undefined
  readonly #listeners = new Set<(line: string) => void>()
  #exit: ProgramExit | undefined
  #output = ''

  constructor(name: string, child: ChildProcess, onLine?: (line: string) => void) {
    this.name = name
    this.pid = child.pid!
    this.#child = child
    this.#onLine = onLine
    running.add(this)
    const { promise, resolve } = Promise.withResolvers<ProgramExit>()
    this.exited = promise
    // 'exit' and not 'close': a grandchild that keeps the pipes open must not hold up the test.
    child.once('exit', (code, signal) => {
      this.#exit = { code, signal }
      running.delete(this)
      resolve(this.#exit)
    })
    this.#collect(child.stdout)
    this.#collect(child.stderr)
  }

  /** What the program wrote, both streams mixed: its last 256 Ki characters. */
  get output(): string {
    return this.#output
  }

  /** How the program ended; undefined while it runs. */
  get exit(): ProgramExit | undefined {
    return this.#exit
  }

  /**
   * The first line, written already or yet to come, that matches.
   * @throws Error with the end of the output when the deadline passes, or when the program ends first.
   */
  async waitForLine(pattern: RegExp, deadlineMs = 10_000): Promise<RegExpMatchArray> {
    for (const line of this.#output.split('\n')) {
      const match = line.match(pattern)
      if (match) return match
    }
    const { promise, resolve } = Promise.withResolvers<RegExpMatchArray>()
    const listener = (line: string) => {
      const match = line.match(pattern)
      if (match) resolve(match)
    }
    this.#listeners.add(listener)
    try {
      const ended = this.exited.then(async ({ code, signal }): Promise<never> => {
        // What it wrote last may still be in the pipe.
        await new Promise((later) => setTimeout(later, 100))
        throw new Error(`${this.name} ended (${code ?? signal}) before it wrote ${pattern}`)
      })
      return await within(`${this.name} to write ${pattern}`, Promise.race([promise, ended]), deadlineMs)
    } catch (error) {
      throw new Error(`${(error as Error).message}; its output ends with:\n${this.#output.slice(-4_000)}`)
    } finally {
      this.#listeners.delete(listener)
    }
  }

  /** Sends a signal to this process alone; does nothing once it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#exit) this.#child.kill(signal)
  }

  pause(): void {
    this.signal('SIGSTOP')
  }

  resume(): void {
    this.signal('SIGCONT')
  }

  /** Ends the program: SIGTERM, and SIGKILL when that is not enough. Works on a paused one too. */
  async stop(graceMs = stopGraceMsDefault): Promise<ProgramExit> {
    this.signal('SIGTERM')
    this.signal('SIGCONT')
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the program as a crash or a power failure would. */
  async kill(): Promise<ProgramExit> {
    this.signal('SIGKILL')
    return this.exited
  }

  /** Resident memory in bytes, from /proc. */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024
  }

  /** CPU time used until now by all threads, user and kernel, in milliseconds, from /proc (in steps of 10 ms). */
  async cpuMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.pid}/stat`, 'utf8')
    // The second field, the name in brackets, may hold spaces: count from the bracket. Fields 14 and 15, in ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #collect(stream: NodeJS.ReadableStream | null): void {
    if (!stream) return
    let partial = ''
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-outputCharactersMax)
      // ffmpeg ends its progress lines with a carriage return.
      const lines = (partial + text).split(/\r\n|\n|\r/)
      partial = lines.pop()!
      for (const line of lines) {
        this.#onLine?.(line)
        for (const listener of this.#listeners) listener(line)
      }
    })
    stream.on('end', () => {
      if (partial) this.#onLine?.(partial)
    })
  }
}

export type ProgramOptions = {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Called with every line of either stream. */
  readonly onLine?: (line: string) => void
  /** A process group of its own, so that a test can signal the group. */
  readonly detached?: boolean
}

/** @throws Error when the program cannot be started (not installed). */
export async function startProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<RunningProgram> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env ?? process.env,
    ...(options.cwd ? { cwd: options.cwd } : {}),
    ...(options.detached ? { detached: true } : {}),
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => reject(new Error(`cannot start ${command}: ${cause.message}`, { cause })))
  })
  return new RunningProgram(command, child, options.onLine)
}

/** Runs a program to its end. @throws Error with what it wrote to stderr when it fails or takes too long. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { readonly deadlineMs?: number } = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  const closed = new Promise<ProgramExit>((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`cannot start ${command}: ${cause.message}`, { cause })))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  try {
    const exit = await within(`${command} to finish`, closed, options.deadlineMs ?? 60_000)
    if (exit.code === 0) return written
    throw new Error(
      `${command} ${args.join(' ')} ended with ${exit.code ?? exit.signal}:\n${written.stderr.slice(-4_000)}`,
    )
  } finally {
    child.kill('SIGKILL')
  }
}

/** A promise with a deadline. @throws Error "waited N ms for …" */
export async function within<T>(what: string, promise: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms in vain for ${what}`)), deadlineMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Asks again and again, every 20 ms, until the answer is truthy, and gives it.
 * @throws Error that says what was waited for, and the last error that the condition threw.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 10_000,
): Promise<Exclude<T, false | undefined | null | 0 | ''>> {
  const end = performance.now() + deadlineMs
  for (;;) {
    let cause: unknown
    try {
      const answer = await condition()
      if (answer) return answer as Exclude<T, false | undefined | null | 0 | ''>
    } catch (error) {
      cause = error
    }
    if (performance.now() >= end) {
      const last = cause instanceof Error ? `; it last failed with: ${cause.message}` : ''
      throw new Error(`waited ${deadlineMs} ms in vain for ${what}${last}`, { cause })
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** So many different loopback ports on which nothing listens now. They are held together before any is given back. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  while (servers.length < count) {
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(randomInt(portsBetween.min, portsBetween.max), '127.0.0.1', () => resolve(true))
    })
    if (isFree) servers.push(server)
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Below those that the system gives to connections (32768 and above): no connection has one by the time that it is used. */
const portsBetween = { min: 10_000, max: 32_000 }

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!
}

/** Is there a listener on this port (any address)? Asked of /proc, so that no connection is spent on it. */
export async function isListening(port: number): Promise<boolean> {
  const listening = '0A'
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const row of (await readFile(table, 'utf8').catch(() => '')).split('\n')) {
      const [, local, , state] = row.trim().split(/\s+/)
      if (state === listening && Number.parseInt(local!.split(':')[1]!, 16) === port) return true
    }
  }
  return false
}

export type TemporaryFolder = AsyncDisposable & { readonly path: string }

/** A folder in the system's place for temporary files, removed with all it holds. */
export async function temporaryFolder(name: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `stream-connect-${name}-`))
  folders.add(path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      // nginx or ffmpeg may still be writing its last file.
      await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
      folders.delete(path)
    },
  }
}
