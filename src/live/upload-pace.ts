/** So long is looked back: a key frame that takes a second to arrive is no slow uplink. */
const windowMs = 30_000
/** Before this, the ratio is a matter of when the last message happened to come. */
const tellableMs = 5_000

/**
 * Media time over wall time: 1 where a feed arrives as fast as it plays. Below, the encoder's uplink is too slow (or its computer is),
 * and what it holds back grows. Owned by a FeedHealth.
 */
export class UploadPace {
  readonly #spans: { readonly mediaMs: number; readonly wallMs: number }[] = []
  #mediaMs = 0
  #wallMs = 0
  /** Wall time since the last span in which something came. */
  #silentMs = 0
  #countedMs = Number.NaN

  /**
   * A span of wall time is over.
   * @param newestMs the newest media time. @param isSilent nothing came: counted only when more comes, or an encoder that is gone and
   *   waited for would look like a slow one.
   */
  tick(newestMs: number, wallMs: number, isSilent: boolean): void {
    if (isSilent) {
      this.#silentMs += wallMs
      return
    }
    if (!Number.isNaN(this.#countedMs)) this.#add(newestMs - this.#countedMs, wallMs + this.#silentMs)
    this.#silentMs = 0
    this.#countedMs = newestMs
  }

  /** What comes is not comparable with what was: another publisher, or a jump of its clock. */
  restart(): void {
    this.#spans.length = 0
    this.#mediaMs = 0
    this.#wallMs = 0
    this.#silentMs = 0
    this.#countedMs = Number.NaN
  }

  get ratio(): number | undefined {
    return this.#wallMs < tellableMs ? undefined : this.#mediaMs / this.#wallMs
  }
  /** The ratio is that of a whole window. */
  get isSettled(): boolean {
    return this.#wallMs >= windowMs
  }

  #add(mediaMs: number, wallMs: number): void {
    this.#spans.push({ mediaMs, wallMs })
    this.#mediaMs += mediaMs
    this.#wallMs += wallMs
    while (this.#wallMs - this.#spans[0]!.wallMs >= windowMs) {
      const oldest = this.#spans.shift()!
      this.#mediaMs -= oldest.mediaMs
      this.#wallMs -= oldest.wallMs
    }
  }
}
