import type { OutputErrorCode } from '../errors.ts'

/** Exponential with full jitter between these; for ever. */
const firstDelayMs = 1_000
const longestDelayMs = 30_000
/** After so much real publishing the next failure counts as the first again. */
export const stablePublishMs = 30_000
/** A refusal that quick retries will not cure. */
const slowDelayMs = 60_000
/** A destination's dead session may hold the key for so long before it is a fault of somebody. */
const alreadyPublishingMs = 90_000
const alreadyPublishingDelayMs = 5_000
/** A close so soon after the publish was accepted is how most platforms refuse a key. */
export const closedEarlyMs = 15_000

/** Refusals: shown as `error`, tried again slowly. */
const refusals: ReadonlySet<OutputErrorCode> = new Set([
  'certificate_expired',
  'certificate_host_mismatch',
  'certificate_untrusted',
  'redirect_loop',
  'loop_detected',
  'publish_denied',
  'connect_rejected',
  'codec_refused',
  'destination_not_allowed',
  'destination_invalid',
])

export type Retry = { readonly state: 'reconnecting' | 'error'; readonly delayMs: number }

/** Decides after each failed connection of an output. Pure: time and chance come in. */
export class RetryPolicy {
  readonly #random: () => number
  #failures = 0
  #closedEarly = 0
  #alreadySince = Number.NaN

  /** @param random 0 ≤ x < 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  /** The connection has been publishing for stablePublishMs. */
  succeeded(): void {
    this.#failures = 0
    this.#closedEarly = 0
    this.#alreadySince = Number.NaN
  }

  /** @param nowMs monotonic. */
  failed(reason: OutputErrorCode, nowMs: number): Retry {
    this.#closedEarly = reason === 'closed_after_publish' ? this.#closedEarly + 1 : 0
    if (reason !== 'already_publishing') this.#alreadySince = Number.NaN
    if (reason === 'already_publishing') {
      if (Number.isNaN(this.#alreadySince)) this.#alreadySince = nowMs
      const state = nowMs - this.#alreadySince >= alreadyPublishingMs ? 'error' : 'reconnecting'
      return { state, delayMs: this.#jitter(state === 'error' ? slowDelayMs : alreadyPublishingDelayMs) }
    }
    if (refusals.has(reason) || this.#closedEarly >= 2) return { state: 'error', delayMs: this.#jitter(slowDelayMs) }
    const ceiling = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(this.#failures, 10))
    this.#failures++
    return { state: 'reconnecting', delayMs: Math.max(firstDelayMs, Math.round(this.#random() * ceiling)) }
  }

  /** A tenth less or more, so that fifty outputs do not come back in one moment. */
  #jitter(delayMs: number): number {
    return Math.round(delayMs * (0.9 + this.#random() * 0.2))
  }
}
