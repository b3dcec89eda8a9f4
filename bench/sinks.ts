import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Destination, type DestinationConnection, startDestination } from '../test/support/destination.ts'
import type { Quantiles, SinksReport } from './load.ts'

/**
 * The destinations of a bench, for RTMPS and where there is no C compiler: sinks.ts PORTS [CERT KEY]. Answers the questions of
 * bench/load/sinks.c.
 */
const [ports = '1', certFile, keyFile] = process.argv.slice(2)
const tls =
  certFile !== undefined && keyFile !== undefined
    ? { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
    : undefined
const destinations: readonly Destination[] = await Promise.all(
  Array.from({ length: Number(ports) }, () =>
    startDestination({ recording: 'counts', app: 'live', ...(tls && { tls }) }),
  ),
)
const stalled = new Set<DestinationConnection>()
let since = { bytes: 0, messages: 0, gaps: 0, missing: 0, cpu: 0 }

const connections = (): DestinationConnection[] => destinations.flatMap(({ connections: all }) => all)
const publishing = (): DestinationConnection[] => destinations.flatMap(({ publishing: all }) => all)
const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
const sumOf = (of: (connection: DestinationConnection) => number): number =>
  connections().reduce((sum, connection) => sum + of(connection), 0)
const totals = (): typeof since => ({
  bytes: sumOf(({ counts }) => counts.bytes),
  messages: sumOf(({ counts }) => counts.video + counts.audio),
  gaps: sumOf(({ ledger }) => ledger.gaps.length),
  missing: sumOf(({ ledger }) => ledger.gaps.reduce((sum, { last, next }) => sum + Math.max(0, next - last - 1), 0)),
  cpu: cpu(),
})

function quantilesOf(delaysMs: readonly number[]): Quantiles {
  const sorted = Float64Array.from(delaysMs).sort()
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function report(): SinksReport {
  const now = totals()
  const reading = connections().filter((connection) => !stalled.has(connection))
  return {
    bytes: now.bytes - since.bytes,
    messages: now.messages - since.messages,
    gaps: now.gaps - since.gaps,
    missing: now.missing - since.missing,
    connections: connections().length,
    publishing: publishing().length,
    cpuSeconds: now.cpu - since.cpu,
    delayMs: quantilesOf(reading.flatMap(({ ledger }) => ledger.delaysMs)),
    oneDelayMs: quantilesOf(reading.find(({ ledger }) => ledger.delaysMs.length > 0)?.ledger.delaysMs ?? []),
  }
}

function answer(line: string): unknown {
  const stall = /^stall (\d+)$/.exec(line)?.[1]
  if (stall !== undefined) {
    for (const destination of destinations.slice(-Number(stall))) {
      // Those that come later are not answered either.
      destination.behaviour = { silent: true }
      for (const connection of destination.publishing) {
        stalled.add(connection)
        connection.stopReading()
      }
    }
    return {}
  }
  if (line === 'measure') {
    for (const { ledger } of connections()) ledger.delaysMs.length = 0
    since = totals()
    return {}
  }
  return line === 'report' ? report() : { publishing: publishing().length }
}

const say = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
createInterface({ input: process.stdin })
  .on('line', (line) => say(answer(line)))
  .on('close', () => process.exit(0))
say({ ports: destinations.map(({ port }) => port) })
