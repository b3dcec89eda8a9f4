/** How often it is written down up to which media time so many bytes reach. At 12 Mbit/s every 44 ms. */
const markEveryBytes = 64 * 1024
/** 16 MiB: more than the kernels on both sides keep for one connection. */
const marksMax = 256
const bytesUnderWayMax = marksMax * markEveryBytes
/** What a peer may leave unacknowledged beyond its own habit before its silence means something. */
const silenceSlackBytes = 512 * 1024
const uint32 = 2 ** 32

/**
 * What the acknowledgements of one destination tell: whether it still reads, and how far what it has read is behind.
 *
 * The kernels between take megabytes for a peer that does not read, so a finished write says little. An acknowledgement says
 * that something was read; how much, is not to be trusted: most peers send the sum of all bytes, YouTube the bytes since the last time,
 * some nonsense. That a peer has stopped is therefore judged without the values, and a value that cannot be true makes the lag
 * smaller, never larger. Pure: bytes and times come in. One for each connection.
 */
export class Delivery {
  readonly #markBytes = new Float64Array(marksMax)
  readonly #markTimes = new Float64Array(marksMax)
  #marks = 0
  #newestMarkBytes = 0

  #acknowledgedAtMs = Number.NaN
  #sentAtAcknowledgement = 0
  /** The most that was sent between two acknowledgements. */
  #sentHabitBytes = 0

  #lastValue = 0
  #cumulative = 0
  #sum = 0
  #isIncremental = false
  #acknowledgedBytes = 0
  /** The most that one acknowledgement added. */
  #habitBytes = 0
  #lagAtAcknowledgementMs = 0

  /** Monotonic time of the last acknowledgement; NaN before the first. */
  get acknowledgedAtMs(): number {
    return this.#acknowledgedAtMs
  }
  /** What the destination has read, as far as its acknowledgements can be believed; 0 before the first. */
  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes
  }

  /** It is time to write down how far the media is: after so many bytes, whose writes are finished. */
  wants(sentBytes: number): boolean {
    return sentBytes - this.#newestMarkBytes >= markEveryBytes || this.#marks === 0
  }

  /** @param mediaTime up to where the media is handed out with so many bytes. Not before the one of the call before. */
  mark(sentBytes: number, mediaTime: number): void {
    this.#newestMarkBytes = sentBytes
    this.#markBytes[this.#marks % marksMax] = sentBytes
    this.#markTimes[this.#marks % marksMax] = mediaTime
    this.#marks++
  }

  /**
   * The destination acknowledged.
   * @param value unsigned 32 bits, as it came
   * @param sent bytes whose writes are finished, and the media time up to which they reach
   * @param newestMs media time of the newest message there is
   */
  acknowledged(value: number, sent: Sent, newestMs: number, nowMs: number): void {
    this.#sentHabitBytes = Math.max(this.#sentHabitBytes, sent.bytes - this.#sentAtAcknowledgement)
    this.#sentAtAcknowledgement = sent.bytes
    const isFirst = Number.isNaN(this.#acknowledgedAtMs)
    this.#acknowledgedAtMs = nowMs

    // A sum grows, until it wraps.
    const wraps = this.#lastValue >= uint32 / 2 && value < uint32 / 4
    if (!isFirst && value <= this.#lastValue && !wraps) this.#isIncremental = true
    this.#cumulative += wraps ? value - this.#lastValue + uint32 : value - this.#lastValue
    this.#sum += value
    this.#lastValue = value
    let told = Math.min(sent.bytes, this.#isIncremental ? this.#sum : this.#cumulative)
    if (sent.bytes - told > bytesUnderWayMax) told = sent.bytes
    if (told > this.#acknowledgedBytes) {
      this.#habitBytes = Math.max(this.#habitBytes, told - this.#acknowledgedBytes)
      this.#acknowledgedBytes = told
    }
    this.#lagAtAcknowledgementMs = newestMs - this.#timeOf(this.#acknowledgedBytes, sent)
  }

  /**
   * A destination that has acknowledged before, was silent for so long, and was sent more than twice its habit since then, does not
   * read any more, even if the kernels still take data for it.
   */
  hasStopped(sentBytes: number, nowMs: number, silenceMs: number): boolean {
    if (Number.isNaN(this.#acknowledgedAtMs) || nowMs - this.#acknowledgedAtMs < silenceMs) return false
    return sentBytes - this.#sentAtAcknowledgement > 2 * this.#sentHabitBytes + silenceSlackBytes
  }

  /**
   * How far what the destination has read is behind the newest message, in media time; 0 where it does not acknowledge. Known exactly
   * at an acknowledgement; between two of them what it uses to leave unacknowledged is no lag.
   */
  lagMs(sent: Sent, newestMs: number): number {
    if (Number.isNaN(this.#acknowledgedAtMs)) return 0
    const expected = this.#acknowledgedBytes + this.#habitBytes
    const waiting = expected < sent.bytes ? newestMs - this.#timeOf(expected, sent) : 0
    return Math.max(0, this.#lagAtAcknowledgementMs, waiting)
  }

  /** Media up to this time was read for certain; where the destination does not acknowledge, it was sent. */
  readUntil(sent: Sent): number {
    return Number.isNaN(this.#acknowledgedAtMs) ? sent.mediaTime : this.#timeOf(this.#acknowledgedBytes, sent)
  }

  /** The media time that was reached after so many bytes. */
  #timeOf(bytes: number, sent: Sent): number {
    let [aboveBytes, aboveTime] = [sent.bytes, sent.mediaTime]
    for (let mark = this.#marks - 1; mark >= Math.max(0, this.#marks - marksMax); mark--) {
      const markBytes = this.#markBytes[mark % marksMax]!
      const markTime = this.#markTimes[mark % marksMax]!
      if (markBytes <= bytes) {
        const part = aboveBytes > markBytes ? Math.min(1, (bytes - markBytes) / (aboveBytes - markBytes)) : 0
        return markTime + (aboveTime - markTime) * part
      }
      aboveBytes = markBytes
      aboveTime = markTime
    }
    return aboveTime
  }
}

/** Bytes whose writes are finished, and the media time up to which they reach. */
export type Sent = { readonly bytes: number; readonly mediaTime: number }
