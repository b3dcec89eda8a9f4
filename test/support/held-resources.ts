import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { ServerUnderTest } from './server.ts'

/** What a server's process holds at one moment, after collecting its garbage. Bytes; of the main thread and those of media together. */
export type Held = {
  readonly heapUsed: number
  /** Outside of the heap: buffers, and with them the slabs of the media logs; without what pools keep for later use. */
  readonly arrayBuffers: number
  /** That: slabs (64 of each thread at most) and rings (16 at most). */
  readonly pooled: number
  readonly rss: number
  /** What keeps the loops going, counted by kind: TCPServerWrap, TCPSocketWrap, Timeout, … */
  readonly resources: Readonly<Record<string, number>>
  /** On `process`. */
  readonly listeners: number
  readonly fileDescriptors: number
  /** Kernel threads. */
  readonly threads: number
}

const probeFile = fileURLToPath(new URL('inner-probe.ts', import.meta.url))

/** For `startServer({ nodeArgs })`: a server that can be asked what it holds. */
export const probed: readonly string[] = ['--expose-gc', '--import', probeFile]

/** @param server one that was started with `probed`. */
export async function heldBy(server: ServerUnderTest): Promise<Held> {
  const last = () => server.log.findLast((line) => typeof line['probe'] === 'number')
  const before = Number(last()?.['probe'] ?? 0)
  const { program } = server
  // The log shares the way, and one line may have been torn by another.
  for (let attempt = 1; Number(last()?.['probe'] ?? 0) <= before; attempt++) {
    program.signal('SIGUSR2')
    const told = server.waitForLog('what the process holds', () => Number(last()?.['probe'] ?? 0) > before, 30_000)
    if (attempt < 3) await told.catch(() => {})
    else await told
  }
  type Told = Pick<Held, 'rss' | 'listeners'> & {
    threads: Pick<Held, 'heapUsed' | 'arrayBuffers' | 'pooled' | 'resources'>[]
  }
  const { rss, listeners, threads: each } = last() as unknown as Told
  const heapUsed = each.reduce((sum, one) => sum + one.heapUsed, 0)
  const pooled = each.reduce((sum, one) => sum + one.pooled, 0)
  const arrayBuffers = each.reduce((sum, one) => sum + one.arrayBuffers, 0) - pooled
  const resources: Record<string, number> = {}
  for (const one of each)
    for (const [name, count] of Object.entries(one.resources)) resources[name] = (resources[name] ?? 0) + count
  const fileDescriptors = (await readdir(`/proc/${program.pid}/fd`)).length
  const threads = Number(/^Threads:\s+(\d+)/m.exec(await readFile(`/proc/${program.pid}/status`, 'utf8'))![1])
  return { heapUsed, arrayBuffers, pooled, rss, resources, listeners, fileDescriptors, threads }
}

/** The figures in one line, for a person. */
export function inWords({ heapUsed, arrayBuffers, pooled, rss, resources, fileDescriptors }: Held): string {
  const mb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`
  const sockets = (resources['TCPSocketWrap'] ?? 0) + (resources['TCPWRAP'] ?? 0)
  return `heap ${mb(heapUsed)}, buffers ${mb(arrayBuffers)} and ${mb(pooled)} in pools, resident ${mb(rss)}, ${fileDescriptors} file descriptors, ${sockets} sockets`
}
