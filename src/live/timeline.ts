import { laneCountMax, lanes } from './media-log.ts'

/** Farther from the broadcast's clock than this, a timestamp is trouble and not jitter: encoders send in bursts of less. */
const jumpMs = 3_000
/** A track that goes back by more has jumped. By less: encoders that write the time of showing for that of decoding. */
const backMs = 200
/** Assumed between the last message before a gap and the first one after it, until the feed has shown its own frame time. */
const defaultFrameMs = 33
const defaultSoundMs = 21
/** Times are rounded: 33, 33 and 34 ms take turns, and the longest is a whole frame for whoever counts in frames. */
const stepsKept = 3
/** Sixteen B-frames in a row at 25 a second, which no encoder does. */
const compositionMsMax = 640

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
  /** The last few; in any order, because the longest is asked for. */
  readonly #steps: number[] = []
  #stepCount = 0
  /** When the last picture is over, B-frames put in their order. */
  #shownUntil = Number.NEGATIVE_INFINITY
  readonly #newestOnLane = new Float64Array(laneCountMax).fill(Number.NEGATIVE_INFINITY)

  get newest(): number {
    return this.#newest
  }
  /** The time between two frames of video, as last seen. */
  get frameMs(): number {
    return this.#frameMs
  }
  /** Whoever published it; −Infinity before the first. */
  newestOn(lane: number): number {
    return this.#newestOnLane[lane]!
  }

  /**
   * Moves the clock forward, also while nobody publishes (a held picture in real time).
   * @param compositionMs from decoding to showing, of a picture.
   */
  advanceTo(time: number, lane: number, compositionMs = 0): void {
    if (time > this.#newest && lane !== lanes.data) this.#newest = time
    if (time > this.#newestOnLane[lane]!) this.#newestOnLane[lane] = time
    if (lane === lanes.video)
      this.#shownUntil = Math.max(this.#shownUntil, time + believed(compositionMs) + this.#frameMs)
  }

  /**
   * A new publisher: its message with the timestamp `anchor` goes where the broadcast is: at 0 when it is new, one frame after
   * the newest message otherwise; and so that its picture is not shown before the last one of the publisher before it.
   * @param compositionMs of that message.
   */
  attach(anchor: number, compositionMs = 0): PublisherClock {
    const at = this.#begun ? Math.max(this.#newest + this.#frameMs, this.#shownUntil - believed(compositionMs)) : 0
    this.#begun = true
    this.#lastVideo.time = Number.NaN
    return new PublisherClock(this, anchor, at)
  }

  /** Only for PublisherClock. */
  told(time: number, lane: number, isVideoFrame: boolean, compositionMs: number): void {
    this.advanceTo(time, lane, compositionMs)
    if (!isVideoFrame) return
    const step = time - this.#lastVideo.time
    // B-frames do not matter here: RTMP carries decode times. 10 to 1000 frames a second are believed.
    if (isFrameTime(step)) {
      this.#steps[this.#stepCount++ % stepsKept] = step
      this.#frameMs = 0
      for (const each of this.#steps) if (each > this.#frameMs) this.#frameMs = each
    }
    this.#lastVideo.time = time
  }
}

/** Composition times are a stranger's words. */
function believed(compositionMs: number): number {
  return Math.max(0, Math.min(compositionMs, compositionMsMax))
}

function isFrameTime(step: number): boolean {
  return step >= 1 && step <= 100
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
  /** Corrections of single tracks, the last time told on each, and the time between its messages. */
  readonly #laneOffset = new Float64Array(laneCountMax)
  readonly #laneLast = new Float64Array(laneCountMax).fill(Number.NaN)
  readonly #laneStep = new Float64Array(laneCountMax).fill(defaultSoundMs)
  #begun = false
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
   *
   * @param timestamp unsigned 32 bits, as received.
   * @param compositionMs from decoding to showing, of a picture.
   * @returns NaN for what falls before the last message of the publisher before this one: it is to be left out.
   */
  map(timestamp: number, lane: number, isVideoFrame: boolean, compositionMs = 0): number {
    const unwrapped = this.#unwrap(timestamp)
    const { newest } = this.#timeline
    if (lane === lanes.data) return this.#ofData(unwrapped + this.#offset, newest)
    this.#raw = timestamp
    this.#unwrapped = unwrapped
    const last = this.#laneLast[lane]!
    if (this.#jumpedLane >= 0 && lane !== this.#jumpedLane) this.#settle(unwrapped, lane, newest)
    let time = unwrapped + this.#offset + this.#laneOffset[lane]!
    const hasJumped = this.#begun && (Math.abs(time - newest) > jumpMs || time < last - backMs)
    if (hasJumped) time = this.#straighten(unwrapped, lane, newest)
    // Bent by a millisecond, and not left out: a decoder needs it.
    else if (time < last) time = last + 1
    if (Number.isNaN(last) && time <= this.#timeline.newestOn(lane)) return Number.NaN
    if (isFrameTime(time - last)) this.#laneStep[lane] = time - last
    this.#begun = true
    this.#laneLast[lane] = time
    this.#timeline.told(time, lane, isVideoFrame, compositionMs)
    return time
  }

  /** Data follows the clock and does not set it: some encoders write 0 into all of it. */
  #ofData(time: number, newest: number): number {
    const near = this.#begun && Math.abs(time - newest) > jumpMs ? newest : time
    const told = Math.max(near, this.#timeline.newestOn(lanes.data))
    this.#timeline.advanceTo(told, lanes.data)
    return told
  }

  /** The first message of another track after a jump: has it jumped, too? What continues that track better is believed. */
  #settle(unwrapped: number, lane: number, newest: number): void {
    const last = this.#laneLast[lane]!
    const expected = Number.isNaN(last) ? newest : last + this.#stepOf(lane)
    const follows = (offset: number) => Math.abs(unwrapped + offset + this.#laneOffset[lane]! - expected)
    if (follows(this.#previousOffset) < follows(this.#offset)) {
      this.#laneOffset[this.#jumpedLane]! += this.#offset - this.#previousOffset
      this.#offset = this.#previousOffset
    }
    this.#jumpedLane = -1
  }

  /** The track goes on where it was, and all others with it. */
  #straighten(unwrapped: number, lane: number, newest: number): number {
    this.jumps++
    const last = this.#laneLast[lane]!
    const at = Number.isNaN(last) ? newest : last + this.#stepOf(lane)
    if (this.#jumpedLane !== lane) this.#previousOffset = this.#offset
    this.#jumpedLane = lane
    this.#offset = at - unwrapped - this.#laneOffset[lane]!
    return at
  }

  #stepOf(lane: number): number {
    return lane === lanes.video ? this.#timeline.frameMs : this.#laneStep[lane]!
  }

  #unwrap(timestamp: number): number {
    let step = (timestamp - this.#raw) | 0
    // Some encoders' clocks have 31 bits: a step of almost −2^31 is their wrap, not a jump of 24 days,
    // and one of almost +2^31 another track that has not wrapped yet.
    if (step < -(2 ** 30)) step += 2 ** 31
    else if (step > 2 ** 30) step -= 2 ** 31
    return this.#unwrapped + step
  }
}
