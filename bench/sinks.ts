import { type Destination, type DestinationConnection, startDestination } from '../test/support/destination.ts'

/**
 * The destinations of a bench, in a process of their own. Counts bytes and messages of every connection, checks their numbers, and takes
 * the added delay at one of them.
 */
export type SinksOrder = {
  readonly ports: number
  readonly tls?: { readonly cert: string; readonly key: string }
}
export type SinksReport = {
  readonly bytes: number
  readonly connections: number
  readonly gaps: number
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly cpuSeconds: number
}

let destinations: Destination[] = []
let since = { bytes: 0, gaps: 0, cpu: 0 }

const connections = (): DestinationConnection[] => destinations.flatMap(({ connections: all }) => all)
const bytesOf = (all: readonly DestinationConnection[]): number =>
  all.reduce((sum, { counts }) => sum + counts.bytes, 0)
const gapsOf = (all: readonly DestinationConnection[]): number =>
  all.reduce((sum, { ledger }) => sum + ledger.gaps.length, 0)
const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

process.on('disconnect', () => process.exit(0))
process.on('message', async (order: SinksOrder | 'measure' | 'report' | 'count' | { stall: number }) => {
  if (order === 'count') process.send?.(destinations.reduce((sum, one) => sum + one.publishing.length, 0))
  else if (order === 'measure') {
    for (const { ledger } of connections()) ledger.delaysMs.length = 0
    since = { bytes: bytesOf(connections()), gaps: gapsOf(connections()), cpu: cpu() }
    process.send?.('measuring')
  } else if (order === 'report') {
    const all = connections()
    const reading = all.find(({ ledger }) => ledger.delaysMs.length > 0)
    const report: SinksReport = {
      bytes: bytesOf(all) - since.bytes,
      connections: all.length,
      gaps: gapsOf(all) - since.gaps,
      delayMs: {
        p50: reading?.ledger.delayMs(0.5) ?? Number.NaN,
        p99: reading?.ledger.delayMs(0.99) ?? Number.NaN,
        max: reading?.ledger.delayMs(1) ?? Number.NaN,
      },
      cpuSeconds: cpu() - since.cpu,
    }
    process.send?.(report)
  } else if (typeof order === 'object' && 'stall' in order) {
    for (const one of destinations.flatMap(({ publishing }) => publishing).slice(-order.stall)) one.stopReading()
    process.send?.('stalled')
  } else if (typeof order === 'object') {
    destinations = await Promise.all(
      Array.from({ length: order.ports }, () =>
        startDestination({ recording: 'counts', app: 'live', ...(order.tls && { tls: order.tls }) }),
      ),
    )
    process.send?.(destinations.map(({ port }) => port))
  }
})
