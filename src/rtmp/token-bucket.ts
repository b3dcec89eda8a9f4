/** Says whether something comes too often: so many at once, and so many a second in the long run. */
export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  readonly #now: () => number
  #tokens: number
  #filledAt: number

  /** @param now monotonic milliseconds. */
  constructor(rate: { readonly perSecond: number; readonly burst: number }, now: () => number) {
    this.#perSecond = rate.perSecond
    this.#burst = rate.burst
    this.#now = now
    this.#tokens = rate.burst
    this.#filledAt = now()
  }

  /** @returns false when fewer are left. */
  take(count = 1): boolean {
    if (this.#tokens < count) {
      // Only an empty bucket looks at the clock: media must not pay for it.
      const now = this.#now()
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) * this.#perSecond) / 1000)
      this.#filledAt = now
      if (this.#tokens < count) return false
    }
    this.#tokens -= count
    return true
  }
}
