import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { programPath } from '../test/support/requirements.ts'
import type { Capacity } from './capacity.ts'
import type { FlatSeries } from './flat.ts'
import type { LoadKind } from './load.ts'
import type { Measurement, Timing } from './measure.ts'
import type { OutputMemory } from './memory.ts'
import type { MicroResult } from './micro.ts'
import type { PeerName } from './peers.ts'
import type { SystemCalls } from './system-calls.ts'
import type { Work } from './works.ts'

/** What a bench keeps: with each result where and how it was taken. docs/performance/*.json, from which docs/performance.md is filled. */
export type Circumstances = {
  /** ISO 8601. */
  readonly taken: string
  readonly command: string
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
}
export type WorkResult = Circumstances & {
  readonly work: Work
  readonly timing: Timing
  readonly load: LoadKind
  /** One for each round. */
  readonly peers: Readonly<Partial<Record<PeerName, readonly Measurement[]>>>
}
export type WorksFile = {
  readonly works: Readonly<Record<string, WorkResult>>
  readonly capacity?: Circumstances & { readonly work: Work; readonly peers: readonly Capacity[] }
}
export type MemoryFile = Circumstances & { readonly results: readonly OutputMemory[] }
export type FlatFile = Circumstances & FlatSeries & { readonly timing: Timing }
export type MicroFile = Circumstances & { readonly results: readonly MicroResult[] }
export type CallsFile = {
  readonly works: Readonly<
    Record<string, Circumstances & { readonly work: Work; readonly peers: readonly SystemCalls[] }>
  >
}
/** Durations of API calls over a socket. */
export type ApiFile = Circumstances & {
  readonly inputs: number
  readonly outputsOfInput: number
  readonly calls: number
  /** Until all that is stored has been read. */
  readonly startMs: number
  readonly results: readonly ApiResult[]
}
export type ApiResult = {
  readonly call: string
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** What p99 is to stay below. */
  readonly targetMs?: number
}
export type ResultFiles = {
  works: WorksFile
  flat: FlatFile
  memory: MemoryFile
  micro: MicroFile
  calls: CallsFile
  api: ApiFile
}

const folder = fileURLToPath(new URL('../docs/performance/', import.meta.url))

export const resultPath = (name: string): string => `${folder}${name}`

export function readResults<Name extends keyof ResultFiles>(name: Name): ResultFiles[Name] | undefined {
  const path = resultPath(`${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ResultFiles[Name]) : undefined
}

export function writeResults<Name extends keyof ResultFiles>(name: Name, results: ResultFiles[Name]): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(resultPath(`${name}.json`), `${JSON.stringify(rounded(results), null, 1)}\n`)
}

/** @param script of package.json. */
export function circumstances(script: string): Circumstances {
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  const memory = Math.round(totalmem() / 2 ** 30)
  const srs = process.env['SRS_BIN']
  const versions = {
    node: process.version.slice(1),
    nginx: versionOf(programPath('nginx'), ['-v']),
    'libnginx-mod-rtmp': versionOf('dpkg-query', ['--show', 'libnginx-mod-rtmp']),
    stunnel: versionOf(programPath('stunnel'), ['-version']),
    SRS: srs === undefined ? undefined : versionOf(srs, ['-v']),
    commit: versionOf('git', ['rev-parse', '--short=12', 'HEAD']),
  }
  return {
    taken: new Date().toISOString(),
    command: [`npm run ${script} --`, ...process.argv.slice(2)].join(' ').replace(/ --$/, ''),
    machine: `${cpus().length} x ${model}, ${memory} GiB, Linux ${release()}`,
    versions: Object.fromEntries(
      Object.entries(versions).filter((pair): pair is [string, string] => pair[1] !== undefined),
    ),
  }
}

/** The first thing in a program's answer that looks like a version; some say it on stderr. */
function versionOf(command: string, args: readonly string[]): string | undefined {
  try {
    // A program that tells its version and then says that it was called wrongly has told it all the same.
    const shown = execFileSync('sh', ['-c', '"$0" "$@" 2>&1 || true', command, ...args], { encoding: 'utf8' })
    return /\d[\w.+:~-]*[.:][\w.+:~-]*|^[0-9a-f]{12}$/m.exec(shown)?.[0]
  } catch {
    return undefined
  }
}

/** Six digits are more than any of these figures has. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? value : Number(value.toPrecision(6))
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rounded(inner)]))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
}
