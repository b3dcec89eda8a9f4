/** So many intervals are judged together. */
const intervalsKept = 8
/** Fewer say nothing: a broadcast may begin with an odd one. */
const intervalsMin = 4
/** Off by more than this part of the usual interval is out of step, and one that is out of step may be a whim (a forced key frame). */
const deviationMax = 0.25
const outOfStepMax = 1

/** How far apart a feed's key frames are. Media time, milliseconds. Owned by a FeedHealth. */
export class KeyFrameRhythm {
  readonly #intervalsMs = new Float64Array(intervalsKept)
  #count = 0
  #keyAtMs = Number.NaN

  /** A key frame; constant time, nothing allocated. */
  observe(time: number): void {
    // Several key frames of one time (a field each) are one.
    if (time <= this.#keyAtMs) return
    if (!Number.isNaN(this.#keyAtMs)) this.#intervalsMs[this.#count++ % intervalsKept] = time - this.#keyAtMs
    this.#keyAtMs = time
  }

  /** What comes is not in step with what was: another publisher, or a jump of its clock. */
  restart(): void {
    this.#count = 0
    this.#keyAtMs = Number.NaN
  }

  /** From the last key frame but one to the last. NaN before there are two. */
  get lastMs(): number {
    return this.#count === 0 ? Number.NaN : this.#intervalsMs[(this.#count - 1) % intervalsKept]!
  }

  /** The longest of late, the one that goes on included. @param newestMs time of the newest frame. NaN before the first key frame. */
  longestMs(newestMs: number): number {
    return this.#known().reduce((longest, interval) => Math.max(longest, interval), newestMs - this.#keyAtMs)
  }

  /** The shortest and the longest of late, where they are not all (but one) about as long as the median. */
  irregularity(): { readonly shortestMs: number; readonly longestMs: number } | undefined {
    const sorted = this.#known().sort()
    if (sorted.length < intervalsMin) return undefined
    const median = sorted[sorted.length >> 1]!
    const outOfStep = sorted.filter((interval) => Math.abs(interval - median) > median * deviationMax)
    if (outOfStep.length <= outOfStepMax) return undefined
    return { shortestMs: sorted[0]!, longestMs: sorted.at(-1)! }
  }

  /** A copy. */
  #known(): Float64Array {
    return this.#intervalsMs.slice(0, Math.min(this.#count, intervalsKept))
  }
}
