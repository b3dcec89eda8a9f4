import { networkOf } from './doorkeeper.ts'

/** A person may mistype, and a studio may have a few encoders with keys of yesterday. */
const freeFailures = 5
/** The answer to the next one; each further one waits twice as long. */
const firstDelayMs = 250
/** Encoders give an answer ten seconds and more; one that asks again and again with an old key waits so long each time. */
const longestDelayMs = 5_000
/** One failure is forgotten in this time. */
const forgetMs = 10_000
/** Networks that are remembered; with more, the one that was quiet longest is forgotten. About 1 MB. */
const networksMax = 10_000
/** Each of the first failures of a network is worth a line in the log, then every hundredth. */
const toldMax = 20
const toldEvery = 100

export type FailedKey = {
  /** How long the answer is kept back. */
  readonly delayMs: number
  /** Of this network, those forgotten left out. */
  readonly failures: number
  /** Whether it belongs in the log. */
  readonly isTold: boolean
}

/**
 * Counts wrong stream keys by network, and says how long the answer to one waits. A right key is never looked up here: who shares an
 * address with somebody who guesses is let in at once.
 */
export class FailedKeys {
  readonly #now: () => number
  /** The one that was quiet longest first. */
  readonly #networks = new Map<string, { failures: number; atMs: number }>()

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Networks that are remembered. */
  get size(): number {
    return this.#networks.size
  }

  note(address: string): FailedKey {
    const network = networkOf(address)
    const atMs = this.#now()
    const before = this.#networks.get(network)
    const forgotten = before === undefined ? 0 : Math.floor((atMs - before.atMs) / forgetMs)
    const failures = Math.max(0, (before?.failures ?? 0) - forgotten) + 1
    this.#networks.delete(network)
    this.#networks.set(network, { failures, atMs })
    if (this.#networks.size > networksMax) this.#networks.delete(this.#networks.keys().next().value!)
    const doubled = Math.min(failures - freeFailures - 1, 10)
    return {
      delayMs: doubled < 0 ? 0 : Math.min(longestDelayMs, firstDelayMs * 2 ** doubled),
      failures,
      isTold: failures <= toldMax || failures % toldEvery === 0,
    }
  }
}
