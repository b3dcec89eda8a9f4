import { createServer } from 'node:net'
import type { InProcessBus } from '../bus/in-process-bus.ts'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { Resolve } from '../destination/dial.ts'
import type { Listening } from '../live/ingest-server.ts'
import { makeMedia } from '../live/media-parts.ts'
import type { Supervisor } from '../live/supervisor.ts'
import type { Log } from '../log.ts'
import { MediaThreads } from './media-threads.ts'
import { type MediaConfig, mediaSettings, type SpawnedThread, spawnData } from './spawn.ts'
import { figuresTeller } from './thread-figures.ts'

type Pair = { readonly cert: string; readonly key: string }

/** Everything that carries media, wherever it runs. */
export interface Media {
  /** @param tls for RTMPS. @throws the error of listen (EADDRINUSE, EACCES, …). */
  listen(host: string, port: number, tls?: Pair): Promise<Listening>
  /** No new encoders. */
  stopListening(): void
  /** After the supervisor has ended everything that runs. */
  close(): Promise<void>
  /** Threads that died and were replaced, since the start. */
  readonly threadsReplaced: number
  /** For tests: kills a thread, as running out of memory would. */
  killThread(index: number): Promise<void>
}

export type MediaParts = {
  /** MEDIA_THREADS. One: in this thread, without another. */
  readonly threads: number
  readonly config: MediaConfig
  /** Threads that have begun already. */
  readonly spawned?: readonly SpawnedThread[]
  readonly supervisor: Supervisor
  readonly bus: InProcessBus
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  readonly clock: Clock
  readonly log: Log
  /** For media in this thread: somebody waits for something else that it does. */
  readonly isAwaited?: () => boolean
}

/** Gives the supervisor its engines; nothing listens yet. One thread where the system cannot share a port among several. */
export async function openMedia(parts: MediaParts, canShare = canSharePorts): Promise<Media> {
  if (parts.threads === 1) return inThisThread(parts)
  if (await canShare()) return inThreads(parts)
  parts.log.info({}, 'this system does not share a port among threads (SO_REUSEPORT): media stays in one thread')
  for (const { worker } of parts.spawned ?? []) void worker.terminate()
  return inThisThread(parts)
}

function inThisThread({ supervisor, config, ...parts }: MediaParts): Media {
  let media: ReturnType<typeof makeMedia> | undefined
  const secondTold = figuresTeller(0, parts.bus, () => media!.pump)
  const engine = supervisor.addEngine((reports) => {
    media = makeMedia(mediaSettings(config, 1), { ...parts, reports: { ...reports, secondTold } })
    return media.engine
  })
  return {
    listen: (host, port, tls) => media!.ingest.listen(host, port, tls),
    stopListening: () => media!.ingest.stopListening(),
    async close() {
      media!.ingest.close()
      engine.close()
    },
    threadsReplaced: 0,
    killThread: () => Promise.reject(new Error('there is no thread but this one')),
  }
}

function inThreads(parts: MediaParts): Media {
  const { threads: count, config, spawned = [] } = parts
  const threads = new MediaThreads({ ...parts, count, spawned, data: spawnData(config, count) })
  return {
    async listen(host, port, tls) {
      const free = await freePort(host, port)
      await threads.listen({ host, port: free, tls })
      return { port: free, setSecureContext: (pair) => threads.renewCertificate(free, pair) }
    },
    stopListening: () => threads.stopListening(),
    close: () => threads.close(),
    get threadsReplaced() {
      return threads.replaced
    },
    killThread: (index) => threads.kill(index),
  }
}

/** Only trying tells: Node refuses SO_REUSEPORT where connections would not be dealt out. */
function canSharePorts(): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: '127.0.0.1', port: 0, reusePort: true }, () => probe.close(() => resolve(true)))
  })
}

/**
 * Bound alone for a moment: a port that another program has would be shared with it, if that allows it, and half of all encoders would
 * end up there. And 0 is chosen once, for all threads. @throws the error of listen.
 */
function freePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen({ host, port }, () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port))
    })
  })
}
