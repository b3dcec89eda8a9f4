import { availableParallelism } from 'node:os'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { MediaSettings } from '../live/media-parts.ts'
import type { ThreadData } from './calls.ts'

/** Of the server's settings, those that carrying media depends on. */
export type MediaConfig = Omit<MediaSettings, 'bufferTotalBytesMax' | 'threads'> & {
  /** Of all threads together. */
  readonly bufferTotalBytesMax: number
  readonly logLevel: string
}

/** How many threads carry media: MEDIA_THREADS, or as many as there are cores. */
export function mediaThreads(config: { readonly mediaThreads: number | undefined }): number {
  return config.mediaThreads ?? availableParallelism()
}

/** For one of so many threads. */
export function mediaSettings(config: MediaConfig, threads: number): MediaSettings {
  const { maxLagMs, bufferMs, bufferBytesMax, reconnectWindowSeconds, maxBitrateKbps, maxIngestKbps } = config
  const { latencyMode, destinationAllow, publicHost } = config
  return {
    ...{ maxLagMs, bufferMs, bufferBytesMax, reconnectWindowSeconds, maxBitrateKbps, maxIngestKbps },
    ...{ latencyMode, destinationAllow, publicHost, threads },
    bufferTotalBytesMax: Math.ceil(config.bufferTotalBytesMax / threads),
  }
}

/** For one of so many threads. */
export function spawnData(config: MediaConfig, threads: number): SpawnData {
  return { settings: mediaSettings(config, threads), logLevel: config.logLevel }
}

/** What a thread is told when it begins; its end of the bus comes with it. */
export type SpawnData = Omit<ThreadData, 'busPort' | 'index'>

/** A media thread that has begun and is used by nobody yet. `busPort` is the main thread's end of its way to the bus. */
export type SpawnedThread = { readonly worker: Worker; readonly busPort: MessagePort }

/**
 * Begins a thread that loads what it needs while the main thread goes on with its own start: that is why this file knows nothing else.
 */
export function spawnThread(index: number, data: SpawnData): SpawnedThread {
  const { port1, port2 } = new MessageChannel()
  const workerData: ThreadData = { ...data, index, busPort: port2 }
  const url = new URL('./media-thread.ts', import.meta.url)
  const worker = new Worker(url, { workerData, transferList: [port2], name: `media ${index}` })
  return { worker, busPort: port1 }
}
