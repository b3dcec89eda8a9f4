import type { Bus } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { Resolve } from '../destination/dial.ts'
import type { Log } from '../log.ts'
import { mediaSubjects } from '../model/status.ts'
import { shareOf, unpublishedLimits } from './doorkeeper.ts'
import { IngestServer } from './ingest-server.ts'
import { type EngineReports, MediaEngine } from './media-engine.ts'
import { Pump, type Rests } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

/** The settings that carrying media depends on: plain data, for a thread to be told. */
export type MediaSettings = {
  readonly maxLagMs: number
  readonly bufferMs: number
  readonly bufferBytesMax: number
  /** Of this thread. */
  readonly bufferTotalBytesMax: number
  readonly reconnectWindowSeconds: number
  readonly maxBitrateKbps: number
  readonly maxIngestKbps: number
  readonly latencyMode: 'realtime' | 'efficient'
  /** CIDRs. */
  readonly destinationAllow: readonly string[]
  readonly publicHost: string
  /** That carry media: each has its part of the connections that have not published. */
  readonly threads: number
}

/**
 * See Pump. With `realtime` and one broadcast 99 of 100 messages are to be out within 10 ms: a thread wakes up late, and destinations take some
 * time, too. In a crowd a rest and the work after it take about as long as a frame at 60 frames a second, so that each broadcast's picture and
 * sound go out together.
 */
const rests = {
  realtime: { few: 0, many: 8, foretold: 1, crowd: 15 },
  efficient: { few: 40, many: 40, foretold: 1.5, crowd: 40 },
} as const satisfies Record<MediaSettings['latencyMode'], Rests>

/** Everything that one thread needs to carry media, put together. */
export function makeMedia(
  settings: MediaSettings,
  parts: {
    readonly clock: Clock
    readonly log: Log
    readonly bus: Bus
    readonly resolve: Resolve
    readonly policy: AddressPolicy
    readonly reports: EngineReports
    /** Somebody waits for something else that this thread does. */
    readonly isAwaited?: () => boolean
  },
): { readonly engine: MediaEngine; readonly ingest: IngestServer; readonly pump: Pump } {
  const { clock, log } = parts
  const isAwaited = () => ingest.isBusyAtTheDoor() || (parts.isAwaited?.() ?? false)
  const pump = new Pump(clock, rests[settings.latencyMode], isAwaited)
  const engine = new MediaEngine({
    ...parts,
    previewBus: parts.bus,
    pump,
    pool: new SlabPool(settings.bufferTotalBytesMax),
    random: Math.random,
    maxLagMs: settings.maxLagMs,
    logLimits: { durationMsMax: settings.bufferMs, bytesMax: settings.bufferBytesMax },
    reconnectWindowMs: settings.reconnectWindowSeconds * 1000,
    maxBitrateKbps: settings.maxBitrateKbps,
  })
  parts.bus.subscribe(mediaSubjects.figuresWanted, engine.figuresWanted)
  const ingest: IngestServer = new IngestServer({
    seats: engine,
    clock,
    log,
    maxIngestKbps: settings.maxIngestKbps,
    onArrival: () => pump.rest(),
    unpublishedLimits: shareOf(unpublishedLimits, settings.threads),
  })
  return { engine, ingest, pump }
}
