import { laneCountMax } from './media-log.ts'

/** Farther from the broadcast's clock than this, a timestamp is trouble and not jitter: encoders send in bursts of less. */
const jumpMs = 3_000
/** Assumed between the last message before a gap and the first one after it, until the feed has shown its own frame time. */
const defaultFrameMs = 33

/**
 * A publisher's timestamps (unsigned 32 bits, starting anywhere, wrapping at 2^32 or, with some encoders, at 2^31, jumping
 * when the encoder hiccups) on the broadcast's own continuous clock: milliseconds, a plain number that never wraps.
 *
 * One offset serves all tracks of a publisher, so that the offset between audio and video is never touched; only a track that
 * jumps alone gets a correction of its own.
 */
export class Timeline {
  /** The newest time of the broadcast. */
  #newest = 0
  #begun = false
  #frameMs = defaultFrameMs
  readonly #lastVideo = { time: Number.NaN }

  get newest(): number {
    return this.#newest
  }
  /** The time between two frames of video, as last seen. */
  get frameMs(): number {
    return this.#frameMs
  }

  /** Moves the clock forward while nobody publishes (a held picture in real time). */
  advanceTo(time: number): void {
    if (time > this.#newest) this.#newest = time
  }

  /**
   * A new publisher: its message with the timestamp `anchor` goes where the broadcast is: at 0 when it is new, one frame after
   * the newest message otherwise.
   */
  attach(anchor: number): PublisherClock {
    const at = this.#begun ? this.#newest + this.#frameMs : 0
    this.#begun = true
    this.#lastVideo.time = Number.NaN
    return new PublisherClock(this, anchor, at)
  }

  /** Only for PublisherClock. */
  told(time: number, isVideoFrame: boolean): void {
    if (time > this.#newest) this.#newest = time
    if (!isVideoFrame) return
    const step = time - this.#lastVideo.time
    // B-frames do not matter here: RTMP carries decode times. 10 to 1000 frames a second are believed.
    if (step >= 1 && step <= 100) this.#frameMs = step
    this.#lastVideo.time = time
  }
}

/** One publisher's share of a Timeline. */
export class PublisherClock {
  readonly #timeline: Timeline
  #offset: number
  #raw: number
  #unwrapped: number
  /** The offset before the last common jump, while it is not settled whether all tracks have jumped. */
  #previousOffset = Number.NaN
  #jumpedLane = -1
  /** Corrections of single tracks, and the last time told on each. */
  readonly #laneOffset = new Float64Array(laneCountMax)
  readonly #laneLast = new Float64Array(laneCountMax).fill(Number.NaN)
  /** How often the encoder's clock jumped. */
  jumps = 0

  constructor(timeline: Timeline, anchor: number, at: number) {
    this.#timeline = timeline
    this.#raw = anchor
    this.#unwrapped = anchor
    this.#offset = at - anchor
  }

  /** Where a timestamp of this publisher would fall, without a correction: for messages around the anchor. */
  peek(timestamp: number): number {
    return this.#unwrap(timestamp) + this.#offset
  }

  /**
   * The time of a message on the broadcast's clock; never less than the lane's last one.
   * @param timestamp unsigned 32 bits, as received.
   */
  map(timestamp: number, lane: number, isVideoFrame: boolean): number {
    const unwrapped = this.#unwrap(timestamp)
    this.#raw = timestamp
    this.#unwrapped = unwrapped
    const { newest } = this.#timeline
    let time = unwrapped + this.#offset + this.#laneOffset[lane]!
    if (Math.abs(time - newest) > jumpMs && this.#hasBegun()) time = this.#straighten(unwrapped, lane, newest)
    else if (this.#jumpedLane >= 0 && lane !== this.#jumpedLane) this.#jumpedLane = -1
    const last = this.#laneLast[lane]!
    if (time < last) time = last
    this.#laneLast[lane] = time
    this.#timeline.told(time, isVideoFrame)
    return time
  }

  #hasBegun(): boolean {
    return this.#laneLast.some((time) => !Number.isNaN(time))
  }

  #straighten(unwrapped: number, lane: number, newest: number): number {
    if (this.#jumpedLane >= 0 && lane !== this.#jumpedLane) {
      // Another track still follows the old clock: only the first one has jumped. Its correction becomes its own.
      const time = unwrapped + this.#previousOffset + this.#laneOffset[lane]!
      if (Math.abs(time - newest) <= jumpMs) {
        this.#laneOffset[this.#jumpedLane]! += this.#offset - this.#previousOffset
        this.#offset = this.#previousOffset
        this.#jumpedLane = -1
        return time
      }
    }
    this.jumps++
    const last = this.#laneLast[lane]!
    const at = Math.max(newest, Number.isNaN(last) ? newest : last) + (lane === 0 ? this.#timeline.frameMs : 0)
    this.#previousOffset = this.#offset
    this.#jumpedLane = lane
    this.#offset = at - unwrapped - this.#laneOffset[lane]!
    return at
  }

  #unwrap(timestamp: number): number {
    let step = (timestamp - this.#raw) | 0
    // Some encoders' clocks have 31 bits: a step of almost −2^31 is their wrap, not a jump of 24 days.
    if (step < -(2 ** 30)) step += 2 ** 31
    return this.#unwrapped + step
  }
}
