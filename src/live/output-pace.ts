import type { OutputWarningCode } from '../errors.ts'

/** Figures are taken over so long. */
const windowMs = 10_000
/** A destination that is too slow drops again and again; between two drops lie some groups of pictures. */
const dropsCountMs = 30_000
/** Who takes so large a part of what there is keeps up: a single stall is over then. */
const keepsUpPart = 0.97
/** Acknowledgements that lie closer together say too little about a rate. */
const acknowledgedSpanMsMin = 3_000

/** Totals of one connection, once a second. */
export type PaceSample = {
  /** Monotonic. */
  readonly atMs: number
  /** Bytes that the log has had for it. */
  readonly offeredBytes: number
  readonly writtenBytes: number
  readonly acknowledgedBytes: number
  /** NaN where the destination does not acknowledge. */
  readonly acknowledgedAtMs: number
  readonly droppedMessages: number
}

/** Says how much of the feed a destination takes, while messages are dropped for it. Pure. One for each connection. */
export class OutputPace {
  readonly #samples: PaceSample[] = []
  #droppedAtMs = Number.NaN

  observe(sample: PaceSample): void {
    if (sample.droppedMessages > (this.#samples.at(-1)?.droppedMessages ?? 0)) this.#droppedAtMs = sample.atMs
    this.#samples.push(sample)
    while (this.#samples.length > 2 && sample.atMs - this.#samples[0]!.atMs > windowMs) this.#samples.shift()
  }

  warning(): { readonly code: OutputWarningCode; readonly message: string } | undefined {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || !(last.atMs - this.#droppedAtMs <= dropsCountMs)) return undefined
    const wallMs = last.atMs - first.atMs
    const offered = (last.offeredBytes - first.offeredBytes) / wallMs
    const accepted = this.#acceptedPerMs(first, last)
    if (!(offered > 0 && accepted < offered * keepsUpPart)) return undefined
    return {
      code: 'too_slow',
      message: `The destination accepts ${mbps(accepted)} of ${mbps(offered)} Mbit/s, and pictures are left out. Check the way to it, or lower the bitrate of the encoder.`,
    }
  }

  /** What was acknowledged says most, because the kernel may take some megabytes for a slow peer; else what was written. */
  #acceptedPerMs(first: PaceSample, last: PaceSample): number {
    const acknowledged = this.#samples.find(({ acknowledgedAtMs }) => !Number.isNaN(acknowledgedAtMs)) ?? last
    const spanMs = last.acknowledgedAtMs - acknowledged.acknowledgedAtMs
    if (spanMs >= acknowledgedSpanMsMin) return (last.acknowledgedBytes - acknowledged.acknowledgedBytes) / spanMs
    return (last.writtenBytes - first.writtenBytes) / (last.atMs - first.atMs)
  }
}

function mbps(bytesPerMs: number): string {
  return ((bytesPerMs * 8) / 1000).toFixed(1)
}
