import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { runProgram, temporaryFolder, within } from '../test/support/processes.ts'
import type { Work } from './works.ts'

/**
 * Encoders and destinations of a bench, in processes of their own. They share the machine with the server that is measured, so they are
 * C programs (bench/load), compiled when the bench starts. Without a compiler, and for RTMPS destinations, they are
 * bench/publishers.ts and bench/sinks.ts, which answer the same questions and cost several times as much.
 */

export type Quantiles = { readonly p50: number; readonly p99: number; readonly max: number }

/** Since `measure`. */
export type SinksReport = {
  readonly bytes: number
  readonly messages: number
  /** Places where stamps do not follow one another, and messages that are missing there. */
  readonly gaps: number
  readonly missing: number
  /** Since the start: more than there are outputs means that connections were begun anew. */
  readonly connections: number
  readonly publishing: number
  readonly cpuSeconds: number
  /** From the encoder's stamp to the destination's read: at all destinations that read, and at the one that came first. */
  readonly delayMs: Quantiles
  readonly oneDelayMs: Quantiles
}

/** Since `measure`. */
export type PublishersReport = {
  readonly publishing: number
  /** Connections that the server closed. */
  readonly gone: number
  readonly messages: number
  readonly bytes: number
  /** What the server has not taken from the encoders: now, and the most of one encoder. */
  readonly waitingBytes: number
  readonly waitingBytesMax: number
  readonly cpuSeconds: number
  /** How much later than its time a message was made. */
  readonly latenessMs: Quantiles
}

export type LoadKind = 'native' | 'node'

export type Load = AsyncDisposable & {
  readonly kind: LoadKind
  readonly ports: readonly number[]
  readonly pids: readonly number[]
  /** Adds encoders, and waits until the server has accepted all. */
  publish(targets: readonly Target[]): Promise<void>
  publishingAtSinks(): Promise<number>
  /** So many destinations stop reading. */
  stall(count: number): Promise<void>
  measure(): Promise<void>
  report(): Promise<{ readonly sinks: SinksReport; readonly publishers: PublishersReport }>
}

/** Where an encoder publishes; always on the loopback interface. */
export type Target = { readonly port: number; readonly app: string; readonly key: string }

export type LoadPrograms = AsyncDisposable & { readonly kind: LoadKind; readonly folder: string }

const sourceOf = (name: string): string => fileURLToPath(new URL(`load/${name}.c`, import.meta.url))
const moduleOf = (name: string): string => fileURLToPath(new URL(`${name}.ts`, import.meta.url))

/** Compiles the C programs. @returns what says `node` where there is no compiler, or when it is asked for. */
export async function buildLoad(wanted: LoadKind): Promise<LoadPrograms> {
  const folder = await temporaryFolder('load')
  const dispose = () => folder[Symbol.asyncDispose]()
  let kind: LoadKind = wanted
  if (wanted === 'native') {
    const compile = (name: string) =>
      runProgram('cc', ['-std=gnu11', '-O2', '-o', join(folder.path, name), sourceOf(name)])
    try {
      await Promise.all(['sinks', 'publishers', 'relay'].map(compile))
    } catch (error) {
      process.stderr.write(`encoders and destinations run in Node: ${(error as Error).message}\n`)
      kind = 'node'
    }
  }
  return { kind, folder: folder.path, [Symbol.asyncDispose]: dispose }
}

/** @param tls makes the destinations RTMPS. */
export async function startLoad(
  programs: LoadPrograms,
  work: Work,
  tls?: { readonly cert: string; readonly key: string },
): Promise<Load> {
  const isNative = programs.kind === 'native'
  // Of this load alone: another one may be started at the same time.
  const folder = await mkdtemp(join(programs.folder, 'load-'))
  const tlsFiles: string[] = []
  for (const [name, pem] of Object.entries({ ...tls })) {
    const path = join(folder, `${name}.pem`)
    await writeFile(path, pem)
    tlsFiles.push(path)
  }
  const start = (name: string, native: boolean, args: readonly string[]) =>
    native
      ? new LineProgram(name, join(programs.folder, name), args)
      : new LineProgram(name, process.execPath, [moduleOf(name), ...args])
  const sinks = start('sinks', isNative && tls === undefined, [`${work.outputs}`, ...tlsFiles])
  const publishers = start('publishers', isNative, [`${work.kbps}`, `${work.fps}`, ...(work.audio ? [] : ['video'])])
  const { ports } = await sinks.next<{ ports: number[] }>()
  return {
    kind: programs.kind,
    ports,
    pids: [sinks.pid, publishers.pid],
    async publish(targets) {
      for (const { port, app, key } of targets) publishers.tell(`target ${port} ${app} ${key}`)
      await within(`${targets.length} encoders to publish`, publishers.ask('start'), 120_000)
    },
    async publishingAtSinks() {
      return (await sinks.ask<{ publishing: number }>('count')).publishing
    },
    async stall(count) {
      await sinks.ask(`stall ${count}`)
    },
    async measure() {
      await Promise.all([sinks.ask('measure'), publishers.ask('measure')])
    },
    async report() {
      const [ofSinks, ofPublishers] = await Promise.all([
        sinks.ask<SinksReport>('report'),
        publishers.ask<PublishersReport>('report'),
      ])
      return { sinks: ofSinks, publishers: ofPublishers }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([publishers.stop(), sinks.stop()])
    },
  }
}

/**
 * The relay that does nothing: bench/load/relay.c, or bench/null-relay.ts.
 * @param restMs rests for so long before it reads.
 */
export async function startNullRelay(
  programs: LoadPrograms | 'in Node',
  sinkPorts: readonly number[],
  restMs: number,
): Promise<AsyncDisposable & { readonly pid: number; readonly port: number }> {
  const args = [restMs, ...sinkPorts].map(String)
  const relay =
    programs === 'in Node'
      ? new LineProgram('null-relay', process.execPath, [moduleOf('null-relay'), ...args])
      : new LineProgram('relay', join(programs.folder, 'relay'), args)
  const port = await relay.next<number>()
  return { pid: relay.pid, port, [Symbol.asyncDispose]: () => relay.stop() }
}

/** A program that answers each line on stdin with a line of JSON on stdout. Owned by its load. */
class LineProgram {
  readonly #name: string
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting: { resolve(answer: unknown): void; reject(error: Error): void }[] = []
  readonly #early: unknown[] = []
  readonly #ended: Promise<void>
  #isOver = false

  constructor(name: string, command: string, args: readonly string[]) {
    this.#name = name
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer: unknown = JSON.parse(line)
      const waiting = this.#waiting.shift()
      if (waiting) waiting.resolve(answer)
      else this.#early.push(answer)
    })
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#isOver = true
        for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error(`${name} has ended`))
        resolve()
      }
      this.#child.once('exit', end)
      this.#child.once('error', end)
    })
    // Its end is told by 'exit'.
    this.#child.stdin.on('error', () => {})
  }

  get pid(): number {
    return this.#child.pid!
  }

  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  ask<Answer>(line: string): Promise<Answer> {
    const answer = this.next<Answer>()
    this.tell(line)
    return answer
  }

  /** The next line that it writes. @throws Error when it ends before. */
  next<Answer>(): Promise<Answer> {
    if (this.#early.length > 0) return Promise.resolve(this.#early.shift() as Answer)
    if (this.#isOver) return Promise.reject(new Error(`${this.#name} has ended`))
    return new Promise((resolve, reject) =>
      this.#waiting.push({ resolve: (answer) => resolve(answer as Answer), reject }),
    )
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
