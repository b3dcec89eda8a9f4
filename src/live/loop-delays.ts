/** Each bucket's upper edge is a fifth above that of the one before; from 0.01 ms to a minute. */
const growth = 1.2
const smallestMs = 0.01
const bucketCount = 87

/**
 * How long what had come waited for its thread, for a percentile of all of them: to a fifth, in constant memory. Counts instead of samples,
 * and no timer of its own, which would wake a thread that has nothing to do.
 */
export class LoopDelays {
  readonly #counts = new Uint32Array(bucketCount)
  #count = 0
  /** Since the last reset, milliseconds. */
  maxMs = 0

  note(ms: number): void {
    if (ms > this.maxMs) this.maxMs = ms
    this.#counts[bucketOf(ms)]!++
    this.#count++
  }

  /** @returns milliseconds: what `share` of all stayed under; 0 where there was none. */
  quantileMs(share: number): number {
    if (this.#count === 0) return 0
    let bucket = 0
    for (let left = this.#count * share - this.#counts[0]!; left > 0; left -= this.#counts[bucket]!) bucket++
    return Math.min(this.maxMs, smallestMs * growth ** bucket)
  }

  reset(): void {
    this.#counts.fill(0)
    this.#count = 0
    this.maxMs = 0
  }
}

function bucketOf(ms: number): number {
  const bucket = Math.ceil(Math.log(ms / smallestMs) / Math.log(growth))
  return Math.min(Math.max(0, bucket), bucketCount - 1)
}
