import type { Cursor } from './cursor.ts'
import { writeAllNow, writeNow } from './direct-write.ts'
import type { LogReader, MediaLog } from './media-log.ts'
import type { PumpTurn } from './pump.ts'

/** An output that is in step with the log, and whose destination takes at once what there is. */
export interface Follower {
  readonly cursor: Cursor
  /** Where it is written to, until it parts: it does so before that is closed. */
  readonly descriptor: number
  /**
   * It goes on alone.
   * @param position of the log, up to which everything was sent.
   * @param isFull its kernel did not take all.
   * @param behindSinceMs monotonic: since when there has been something to send all the time; NaN at the edge of the log.
   */
  parted(position: number, isFull: boolean, behindSinceMs: number): void
  /** A mistake of ours, which ends this one. */
  failed(error: unknown): void
}

/** Behind for longer than this, each goes on alone: what is left out then is decided for each. */
const behindMsMax = 1_000
/** Behind by more than this, they are served after those that are live. */
const catchingUpBytes = 512 * 1024
/** How often it is written down up to which media time so many bytes reach: as often as a Delivery wants to know. */
const markEveryBytes = 64 * 1024
/** Followers look once a second: 16 MiB a second of one feed. */
const marksMax = 256

/**
 * The one position of all outputs of a log that are in step with it and whose destinations take everything at once: nearly all,
 * nearly always. What goes out next is found once for all of them, and costs each of them a system call and nothing else: no state
 * of its own is looked at, and none is written. Whatever is special about one makes it part, and go on alone with its own cursor: a
 * destination that is slow, an answer to a ping, the end. It comes back when it is at the edge of the log.
 *
 * Owned by a Broadcast, one for each of its logs. See docs/adr/0013-one-position.md.
 */
export class SharedCursor implements PumpTurn, LogReader {
  readonly #log: MediaLog
  readonly #followers: Follower[] = []
  /** Of the followers, in their order: the way to one must not lead through its state, which is in no cache. */
  readonly #descriptors: number[] = []
  #position = 0
  /** Bit per lane: the shared headers' deltas hold for all of them. */
  #inStep = 0
  #behindSinceMs = Number.NaN
  #lastWriteMs = Number.NaN
  readonly #markPositions = new Float64Array(marksMax)
  readonly #markTimes = new Float64Array(marksMax)
  #marks = 0
  #newestMark = 0
  queued = false
  catchingUp = false

  constructor(log: MediaLog) {
    this.#log = log
  }

  get position(): number {
    return this.#position
  }
  get outputs(): number {
    return this.#followers.length
  }
  /** Monotonic: when all of them were written to last. */
  get lastWriteMs(): number {
    return this.#lastWriteMs
  }
  /** How many marks there have been; mark m is kept while m ≥ marks − 256. */
  get marks(): number {
    return this.#marks
  }
  get oldestMark(): number {
    return Math.max(0, this.#marks - marksMax)
  }
  markPosition(mark: number): number {
    return this.#markPositions[mark % marksMax]!
  }
  /** The media time that is reached at a mark, on the log's clock. */
  markTime(mark: number): number {
    return this.#markTimes[mark % marksMax]!
  }

  /** Takes in who is at the edge of the log, as all others are. @returns whether it follows now. */
  admit(follower: Follower): boolean {
    const log = this.#log
    const { cursor } = follower
    const isFirst = this.#followers.length === 0
    if (!cursor.isAtEdgeInStep || !(isFirst || this.#position === log.end)) return false
    if (isFirst) {
      this.#position = log.end
      this.#inStep = cursor.inStep
      this.#behindSinceMs = this.#lastWriteMs = Number.NaN
      this.catchingUp = false
      this.#mark()
      log.join(this)
    }
    this.#inStep &= cursor.inStep
    cursor.follow(this)
    this.#followers.push(follower)
    this.#descriptors.push(follower.descriptor)
    return true
  }

  /** One goes on alone. Nothing happens where it does not follow. */
  part(follower: Follower): void {
    const index = this.#followers.indexOf(follower)
    if (index >= 0) this.#part(index, this.#position, false)
  }

  takeTurn(bytesMax: number, nowMs: number): boolean {
    const log = this.#log
    const from = this.#position
    if (this.#followers.length === 0 || from === log.end) return false
    if (nowMs - this.#behindSinceMs > behindMsMax || !log.isInStepFrom(from, this.#inStep)) {
      this.#partAll()
      return false
    }
    const { bytes } = log.slice(from, log.end, bytesMax)
    // At the end of a slab: one more piece, and one system call all the same.
    const isAll = bytes.length === bytesMax || from + bytes.length === log.end
    this.#position = isAll ? this.#write(bytes) : this.#writePieces(bytes, bytesMax)
    this.#lastWriteMs = nowMs
    if (this.#position - this.#newestMark >= markEveryBytes) this.#mark()
    const isBehind = this.#position < log.end
    if (!isBehind) this.#behindSinceMs = Number.NaN
    else if (Number.isNaN(this.#behindSinceMs)) this.#behindSinceMs = nowMs
    this.catchingUp = log.end - this.#position > catchingUpBytes
    return isBehind
  }

  failed(error: unknown): void {
    const followers = [...this.#followers]
    this.#partAll()
    for (const follower of followers) follower.failed(error)
  }

  /** LogReader: none of them has what goes. */
  overtakenBy(first: number): void {
    // Their own cursors are readers again then, and are told next.
    if (this.#position < this.#log.positionOf(first)) this.#partAll()
  }

  #write(bytes: Buffer): number {
    const from = this.#position
    const descriptors = this.#descriptors
    // From the last to the first: whoever parts has its place taken by one that has had its turn.
    for (let index = descriptors.length - 1; index >= 0; index--) {
      const taken = writeNow(descriptors[index]!, bytes)
      if (taken < bytes.length) this.#part(index, from + taken, true)
    }
    return from + bytes.length
  }

  #writePieces(first: Buffer, bytesMax: number): number {
    const from = this.#position
    const log = this.#log
    const { bytes: second } = log.slice(from + first.length, log.end, bytesMax - first.length)
    const pieces = [first, second]
    const count = first.length + second.length
    for (let index = this.#descriptors.length - 1; index >= 0; index--) {
      const taken = writeAllNow(this.#descriptors[index]!, pieces)
      if (taken < count) this.#part(index, from + taken, true)
    }
    return from + count
  }

  #part(index: number, position: number, isFull: boolean): void {
    const follower = this.#followers[index]!
    const last = this.#followers.pop()!
    const lastDescriptor = this.#descriptors.pop()!
    if (last !== follower) {
      this.#followers[index] = last
      this.#descriptors[index] = lastDescriptor
    }
    if (this.#followers.length === 0) this.#log.leave(this)
    try {
      follower.cursor.part(position)
      follower.parted(position, isFull, this.#behindSinceMs)
    } catch (error) {
      follower.failed(error)
    }
  }

  #partAll(): void {
    for (let index = this.#followers.length - 1; index >= 0; index--) this.#part(index, this.#position, false)
  }

  #mark(): void {
    const log = this.#log
    const position = this.#position
    const slot = this.#marks % marksMax
    this.#newestMark = position
    this.#markPositions[slot] = position
    this.#markTimes[slot] =
      position === log.end
        ? log.newestTimestamp
        : Math.min(log.newestTimestamp, log.timestampOf(log.sequenceAt(position)))
    this.#marks++
  }
}
