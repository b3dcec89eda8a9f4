import type { WireStatus } from '../model/lifecycle.ts'
import type { LiveInput, Output } from '../model/live-input.ts'
import type { LatestFigures } from './figures.ts'
import { keptOnWire } from './kept.ts'
import type { Projection } from './projection.ts'
import type { WireLiveInput, WireLiveInputItem, WireOutput } from './schemas.ts'

/** Where encoders publish to; a listener that is off is left out. */
export type IngestAddresses = { readonly rtmpUrl?: string; readonly rtmpsUrl?: string }

/** From what people want and what is going on to what the API answers. */
export class Wire {
  readonly #projection: Projection
  readonly #figures: LatestFigures
  readonly #addresses: () => IngestAddresses

  constructor(options: { projection: Projection; figures: LatestFigures; addresses: () => IngestAddresses }) {
    this.#projection = options.projection
    this.#figures = options.figures
    this.#addresses = options.addresses
  }

  liveInput(input: LiveInput): WireLiveInput {
    const { rtmpUrl, rtmpsUrl } = this.#addresses()
    const streamKey = input.streamKey.reveal()
    const health = this.#figures.ofInput(input.uid)
    return {
      uid: input.uid,
      ...(rtmpsUrl !== undefined && { rtmps: { url: rtmpsUrl, streamKey } }),
      ...(rtmpUrl !== undefined && { rtmp: { url: rtmpUrl, streamKey } }),
      created: input.created,
      modified: input.modified,
      meta: input.meta,
      ...keptOnWire(input.kept),
      status: this.#projection.status(input.uid)?.status ?? null,
      enabled: input.enabled,
      ...(input.keysRotatedAt !== undefined && { keysRotatedAt: input.keysRotatedAt }),
      ...(input.reconnectWindowSeconds !== undefined && { reconnectWindowSeconds: input.reconnectWindowSeconds }),
      ...(input.reconnectWindowOnStopSeconds !== undefined && {
        reconnectWindowOnStopSeconds: input.reconnectWindowOnStopSeconds,
      }),
      ...(input.holdPicture !== undefined && { holdPicture: input.holdPicture }),
      ...(health && { health }),
    }
  }

  /** @param included what else the item shall hold. */
  liveInputItem(input: LiveInput, included?: ReadonlySet<'status' | 'health' | 'summary'>): WireLiveInputItem {
    const health = included?.has('health') ? this.#figures.ofInput(input.uid) : undefined
    return {
      uid: input.uid,
      id: input.uid,
      created: input.created,
      modified: input.modified,
      meta: input.meta,
      deleteRecordingAfterDays: keptOnWire(input.kept).deleteRecordingAfterDays,
      enabled: input.enabled,
      ...(included?.has('status') && { status: this.#projection.status(input.uid)?.status ?? null }),
      ...(health && { health }),
      ...(included?.has('summary') && { summary: this.#summary(input) }),
    }
  }

  #summary({ uid, outputs }: LiveInput): NonNullable<WireLiveInputItem['summary']> {
    return {
      status: this.#projection.status(uid)?.status.current ?? null,
      outputs: outputs.length,
      outputsEnabled: outputs.filter(({ enabled }) => enabled).length,
    }
  }

  output(input: LiveInput, output: Output): WireOutput {
    const known = this.#projection.status(output.uid)
    const figures = this.#figures.ofOutput(input.uid, output.uid)
    const lastError = figures?.lastError ?? known?.lastError
    return {
      uid: output.uid,
      url: output.url,
      streamKey: output.streamKey.reveal(),
      enabled: output.enabled,
      ...(output.name !== undefined && { name: output.name }),
      ...(output.username !== undefined && { username: output.username }),
      ...(output.tls !== undefined && { tls: output.tls }),
      ...(output.resumeSeconds !== undefined && { resumeSeconds: output.resumeSeconds }),
      status: known === undefined ? null : statusAsWanted(output, known.status),
      ...((figures || lastError) && { health: { ...figures, ...(lastError && { lastError }) } }),
    }
  }
}

/**
 * An output that does nothing says why: it is disabled, or nobody sends. What runs hears of a switch only while its input is live, so
 * the wish decides.
 */
function statusAsWanted({ enabled }: Output, status: WireStatus): WireStatus {
  const { current, history } = status
  if (current.state !== 'disconnected' || (current.reason === 'disabled') === !enabled) return status
  return { current: { ...current, reason: enabled ? 'client_disconnect' : 'disabled' }, history }
}
