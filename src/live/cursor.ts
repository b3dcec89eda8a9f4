import type { DropReason } from '../model/status.ts'
import { frameMessage, writeMessageHeader } from '../rtmp/chunk-header.ts'
import type { MediaHeader } from './media-headers.ts'
import {
  chunkBytes,
  chunkStreamOf,
  type LogReader,
  laneCountMax,
  lanes,
  type MediaLog,
  messageFlags,
  sharedHeaderBytes,
} from './media-log.ts'
import type { Slab, SlabPool } from './slab-pool.ts'

const allLanes = Array.from({ length: laneCountMax }, (_, lane) => lane)

/** What the next write holds. `slab` is counted up by whoever writes, and down when the write is finished. */
export type Piece = { readonly bytes: Buffer; readonly slab: Slab | undefined }
type Held = { bytes: Buffer; readonly slab: Slab }

/**
 * An output's position in a log, for one connection: what goes out next, as bytes.
 *
 * In step with the log a cursor hands out slices of it, many messages at once, and looks at none of them. Where it started,
 * jumped or left something out, the next message of each lane gets a header of the cursor's own; the shared bytes of its body
 * follow. An own header carries exactly (timestamp − base) minus what was last sent on that lane, so the offset between audio
 * and video is the source's to the millisecond. What is older than that is left out, never bent.
 *
 * Lifecycle: made when the destination accepted the publish; waits for a start; follows; `close()` when the connection ends.
 * Owned by an OutputSession.
 */
export class Cursor implements LogReader {
  readonly #log: MediaLog
  readonly #pool: SlabPool
  readonly #messageStreamId: number
  readonly #takesSpecial: boolean

  /** The log's timestamp that is 0 on this connection. */
  #base = 0
  #started = false
  #position = 0
  /** Where the message that is being sent ends; equal to #position between messages and in step. */
  #messageEnd = 0
  /** A message that the log let go while it was half sent: its remaining bytes, whose slabs this cursor holds. */
  readonly #remainder: Held[] = []
  /** Own bytes that come before anything of the log, whole messages. */
  readonly #own: Buffer[] = []
  /** Control messages that wait for the end of a chunk. */
  readonly #control: Buffer[] = []
  /** Bit per lane: the shared headers' deltas hold for this connection. */
  #inStep = 0
  /** Bit per lane: the chunk stream has been opened on this connection by a header of type 0. */
  #opened = 0
  /** Bit per lane: a header of this lane was lost with the tail and must be sent before the next frame. */
  #missedHeader = 0
  /** Per lane, while out of step: the timestamp that was last sent, relative to the base. */
  readonly #sentAt = new Float64Array(laneCountMax)
  /** Video frames are left out until the first key frame at or after this sequence; −1: nothing is left out. */
  #skipVideoUntil = -1
  #skippedFrom = Number.NaN
  #startSequence = 0
  /** Where the body of the message under way begins, for finding the ends of chunks. */
  #bodyStart = 0
  #caughtUp = false
  /** Where it is while it goes with others; undefined: where #position says. */
  #shared: { readonly position: number } | undefined

  droppedMessages = 0
  /** The same, by reason. */
  readonly dropped: Record<DropReason, number> = { lag: 0, overtaken: 0, late: 0 }
  /** Why video frames are left out now. */
  #skipReason: 'lag' | 'overtaken' = 'lag'
  /** Special data that was not meant for this destination. */
  #leftOutMessages = 0
  /** Media time left out, milliseconds: from the first frame that was left out to the key frame that was sent again. */
  droppedMs = 0
  #ownMessages = 0
  /** What it had sent when it left the log, where nothing can be counted any more. */
  #messagesUntilEnd = 0

  /**
   * @param messageStreamId what the destination answered to createStream.
   * @param takesSpecial whether messages with the flag `special` are for it, too.
   */
  constructor(log: MediaLog, pool: SlabPool, messageStreamId: number, takesSpecial = true) {
    this.#log = log
    this.#pool = pool
    this.#messageStreamId = messageStreamId
    this.#takesSpecial = takesSpecial
  }

  get started(): boolean {
    return this.#started
  }
  /** Nothing to hand out now. */
  get atEdge(): boolean {
    this.#settle()
    return (
      this.#remainder.length === 0 &&
      this.#own.length === 0 &&
      (!this.#started || this.#position === this.#log.end) &&
      this.#control.length === 0
    )
  }
  get midMessage(): boolean {
    this.#settle()
    return this.#remainder.length > 0 || this.#position < this.#messageEnd
  }
  /** Once at the edge, ever after the lag policy holds. */
  get caughtUp(): boolean {
    return this.#caughtUp
  }
  get bytesBehind(): number {
    this.#settle()
    return this.#started ? this.#log.end - this.#position : 0
  }
  /** How far the next message is behind the newest, in media time. */
  get lagMs(): number {
    this.#settle()
    if (!this.#started || this.#position === this.#log.end) return 0
    return Math.max(0, this.#log.newestTimestamp - this.#log.timestampOf(this.#sequence()))
  }
  get messagesSent(): number {
    if (!this.#started) return this.#messagesUntilEnd
    this.#settle()
    const passed = this.#sequence() - this.#startSequence
    return Math.max(0, passed - this.droppedMessages - this.#leftOutMessages) + this.#ownMessages
  }
  /** On the log's clock: the time up to which this connection has handed out media. */
  get handedOutUntil(): number {
    return this.#started && this.#log.nextSequence > this.#log.firstSequence
      ? this.#log.newestTimestamp - this.lagMs
      : Number.NaN
  }

  /** Bit per lane: the shared headers' deltas hold for this connection. */
  get inStep(): number {
    return this.#inStep
  }
  /** It has handed out everything, and what comes next goes out as it lies in the log: on the lanes that are in step, at least. */
  get isAtEdgeInStep(): boolean {
    const isWhole = this.#skipVideoUntil < 0 && this.#missedHeader === 0
    return this.#started && isWhole && this.#inStep !== 0 && this.atEdge
  }

  /** From now on it is where `shared` is, and goes with others. Only at the edge, in step. */
  follow(shared: { readonly position: number }): void {
    this.#log.leave(this)
    this.#shared = shared
    this.#caughtUp = true
  }

  /** Alone again: everything up to `position` has been sent. */
  part(position: number): void {
    this.#shared = undefined
    this.#position = this.#messageEnd = position
    this.#log.join(this)
  }

  /**
   * Begins at a message: metadata and the sequence headers in force open the chunk streams at timestamp 0; that message's
   * timestamp becomes 0 on this connection.
   */
  start(sequence: number): void {
    const log = this.#log
    this.#base = log.timestampOf(sequence)
    this.#position = log.positionOf(sequence)
    this.#messageEnd = this.#position
    this.#startSequence = sequence
    this.#started = true
    // It starts with sound where there have been pictures: should they come again, then from a key frame on.
    const isKey = (log.flagsOf(sequence) & messageFlags.key) !== 0
    if (!isKey && log.newestOnLane[lanes.video]! >= 0) this.#skipVideoUntil = sequence
    for (const header of log.headersAt(sequence)) this.#sendHeader(header, 0)
    log.join(this)
  }

  /** Puts a control message between two chunks as soon as possible. */
  sendControl(bytes: Buffer): void {
    this.#control.push(bytes)
  }
  /** What still waits, for another cursor to send. */
  takeControl(): Buffer[] {
    return this.#control.splice(0)
  }
  get controlWaiting(): number {
    return this.#control.length
  }

  /** The lag policy: goes forward to the newest key frame ahead, sending the audio on the way. @returns whether it jumps. */
  jumpAhead(): boolean {
    if (!this.#started) return false
    const log = this.#log
    const sequence = this.#sequence()
    const target = log.newestKeyAfter(sequence)
    if (target === undefined || target <= this.#skipVideoUntil) return false
    this.#skipVideoUntil = target
    this.#skipReason = 'lag'
    return true
  }

  /** LogReader: the tail passes this cursor. What is half sent is held and finished; the rest up to `first` is left out. */
  overtakenBy(first: number): void {
    const log = this.#log
    const firstPosition = log.positionOf(first)
    if (!this.#started || this.#position >= firstPosition) return
    this.#holdRest()
    for (let sequence = this.#sequence(); sequence < first; sequence++) this.#passOver(sequence, 'overtaken')
    this.#position = this.#messageEnd = firstPosition
    if (this.#skipVideoUntil < first) {
      this.#skipVideoUntil = first
      this.#skipReason = 'overtaken'
    }
  }

  /** The next bytes to send, at most `limit`; undefined when there is nothing. */
  next(limit: number): Piece | undefined {
    if (this.#control.length > 0 && this.#atChunkEnd()) return own(this.#control.shift()!)
    if (this.#remainder.length > 0) return this.#nextOfRemainder(limit)
    if (this.#own.length > 0) return own(this.#own.shift()!)
    if (!this.#started) return undefined
    for (;;) {
      if (this.#position < this.#messageEnd) return this.#sliceTo(this.#messageEnd, limit)
      const log = this.#log
      if (this.#position === log.end) {
        this.#caughtUp = true
        return undefined
      }
      if (this.#wholeLogInStep()) {
        if (this.#control.length === 0) return this.#sliceAhead(limit)
        // A control message waits for the end of a chunk: look at the message under way until it is out.
        this.#findMessage()
        continue
      }
      // In step until a moment ago: the message under way is finished first.
      if (this.#findMessage()) continue
      const sequence = this.#sequence()
      if (this.#leavesOut(sequence)) {
        this.#passOver(sequence, this.#skipsVideo(sequence) ? this.#skipReason : 'late')
        this.#position = this.#messageEnd = log.endOf(sequence)
        continue
      }
      const header = this.#begin(sequence)
      if (header !== undefined) return own(header)
    }
  }

  /** For a goodbye: hands out the rest of the message under way and nothing more of the log. */
  finishMessage(): void {
    if (!this.#started) return
    this.#holdRest()
    this.#end()
  }

  close(): void {
    this.#end()
    for (const { slab } of this.#remainder.splice(0)) this.#pool.release(slab)
    this.#own.length = 0
    this.#control.length = 0
  }

  #end(): void {
    this.#messagesUntilEnd = this.messagesSent
    this.#log.leave(this)
    this.#started = false
  }

  #sequence(): number {
    return this.#log.sequenceAt(this.#position)
  }

  /** Every lane that has messages ahead is in step, nothing is to be left out, and no message ahead needs a header of its own. */
  #wholeLogInStep(): boolean {
    if (this.#skipVideoUntil >= 0 || this.#missedHeader !== 0) return false
    return this.#log.isInStepFrom(this.#position, this.#inStep)
  }

  /** While it goes with others, its own position is old. */
  #settle(): void {
    if (this.#shared !== undefined) this.#position = this.#messageEnd = this.#shared.position
  }

  #sliceAhead(limit: number): Piece {
    const slice = this.#log.slice(this.#position, this.#log.end, limit)
    this.#position += slice.bytes.length
    this.#messageEnd = this.#position
    return slice
  }

  #sliceTo(until: number, limit: number): Piece {
    let most = limit
    if (this.#control.length > 0) most = Math.min(limit, this.#bytesToChunkEnd())
    const slice = this.#log.slice(this.#position, until, most)
    this.#position += slice.bytes.length
    return slice
  }

  #nextOfRemainder(limit: number): Piece {
    const piece = this.#remainder[0]!
    const { slab } = piece
    const most = this.#control.length > 0 ? Math.min(limit, this.#bytesToChunkEnd()) : limit
    if (piece.bytes.length > most) {
      const bytes = piece.bytes.subarray(0, most)
      piece.bytes = piece.bytes.subarray(most)
      this.#remainderPosition += most
      return { bytes, slab }
    }
    this.#remainder.shift()
    this.#remainderPosition += piece.bytes.length
    // The writer counts the slab up before this count is given back.
    this.#releaseLater.push(slab)
    return piece
  }
  readonly #releaseLater: Slab[] = []

  /** To be called after a piece has been taken over by a write, which holds the slab by a count of its own. */
  pieceTaken(): void {
    while (this.#releaseLater.length > 0) this.#pool.release(this.#releaseLater.pop()!)
  }

  /** Takes the rest of the message under way out of the log's hands; the position is between two messages afterwards. */
  #holdRest(): void {
    if (!this.#findMessage()) return
    let position = this.#position
    this.#remainderPosition = position
    this.#remainderEnd = this.#messageEnd
    while (position < this.#messageEnd) {
      const { bytes, slab } = this.#log.slice(position, this.#messageEnd, this.#messageEnd - position)
      slab.references++
      this.#remainder.push({ bytes, slab })
      position += bytes.length
    }
    this.#position = this.#messageEnd
  }
  #remainderPosition = 0
  #remainderEnd = 0

  /** In step, slices end anywhere. Finds the message around the position. @returns whether the position is inside of it. */
  #findMessage(): boolean {
    const sequence = this.#sequence()
    const start = this.#log.positionOf(sequence)
    if (this.#position === start) return false
    this.#bodyStart = start + sharedHeaderBytes
    this.#messageEnd = this.#log.endOf(sequence)
    return true
  }

  /** Starts a message out of step. @returns the own header (or the whole message), or undefined for the shared bytes. */
  #begin(sequence: number): Buffer | undefined {
    const log = this.#log
    const lane = log.laneOf(sequence)
    const bit = 1 << lane
    const flags = log.flagsOf(sequence)
    if ((this.#missedHeader & bit) !== 0) {
      this.#missedHeader &= ~bit
      if ((flags & messageFlags.header) === 0) {
        const time = Math.max(this.#sentAt[lane]!, log.timestampOf(sequence) - this.#base)
        for (const header of log.headersOfLaneAt(lane, sequence)) this.#sendHeader(header, time)
        const first = this.#own.shift()
        if (first) return first
      }
    }
    if (this.#skipVideoUntil >= 0 && (flags & messageFlags.key) !== 0 && sequence >= this.#skipVideoUntil) {
      this.#skipVideoUntil = -1
      if (!Number.isNaN(this.#skippedFrom)) this.droppedMs += log.timestampOf(sequence) - this.#skippedFrom
      this.#skippedFrom = Number.NaN
    }
    if ((this.#inStep & bit) !== 0 && (flags & messageFlags.solo) === 0) {
      this.#messageEnd = log.endOf(sequence)
      this.#bodyStart = this.#position + sharedHeaderBytes
      return undefined
    }
    const time = log.timestampOf(sequence) - this.#base
    // In step before a message whose header is not shared: its predecessor on the lane was sent.
    const sentAt = (this.#inStep & bit) !== 0 ? log.predecessorOf(sequence) - this.#base : this.#sentAt[lane]!
    const opened = (this.#opened & bit) !== 0
    const delta = time - sentAt
    const bodyBytes = log.bodyBytesOf(sequence)
    const type = log.typeOf(sequence)
    this.#opened |= bit
    this.#inStep |= bit
    if ((opened ? delta : time) >= 0xffffff) {
      // An extended timestamp is repeated in every chunk, so the shared bytes do not fit: framed whole, for this output.
      const whole = frameMessage(
        {
          chunkStreamId: chunkStreamOf(lane),
          type,
          timestamp: time % 2 ** 32,
          messageStreamId: this.#messageStreamId,
          body: log.copyBody(sequence),
        },
        chunkBytes,
      )
      this.#position = this.#messageEnd = log.endOf(sequence)
      return whole
    }
    const header = Buffer.allocUnsafe(12)
    const bytes = writeMessageHeader(
      header,
      0,
      opened ? 1 : 0,
      chunkStreamOf(lane),
      opened ? delta : time,
      bodyBytes,
      type,
      this.#messageStreamId,
    )
    this.#messageEnd = log.endOf(sequence)
    this.#position += sharedHeaderBytes
    this.#bodyStart = this.#position
    return header.subarray(0, bytes)
  }

  #leavesOut(sequence: number): boolean {
    const log = this.#log
    const lane = log.laneOf(sequence)
    const flags = log.flagsOf(sequence)
    if ((flags & messageFlags.header) === 0) {
      if (!this.#takesSpecial && (flags & messageFlags.special) !== 0) return true
      if (this.#skipsVideo(sequence)) return true
    }
    if ((this.#inStep & (1 << lane)) !== 0) return false
    // A header that is too late is missed: it is sent before the next frame of its lane.
    const time = log.timestampOf(sequence) - this.#base
    return time < 0 || ((this.#opened & (1 << lane)) !== 0 && time < this.#sentAt[lane]!)
  }

  /** Until the key frame that is waited for. */
  #skipsVideo(sequence: number): boolean {
    if (this.#skipVideoUntil < 0) return false
    const flags = this.#log.flagsOf(sequence)
    if ((flags & messageFlags.video) === 0) return false
    return (flags & messageFlags.key) === 0 || sequence < this.#skipVideoUntil
  }

  #passOver(sequence: number, reason: DropReason): void {
    const log = this.#log
    const lane = log.laneOf(sequence)
    const bit = 1 << lane
    if ((this.#inStep & bit) !== 0) {
      this.#sentAt[lane] = log.predecessorOf(sequence) - this.#base
      this.#inStep &= ~bit
    }
    const flags = log.flagsOf(sequence)
    if ((flags & messageFlags.header) !== 0) this.#missedHeader |= bit
    if ((flags & messageFlags.video) !== 0 && Number.isNaN(this.#skippedFrom))
      this.#skippedFrom = log.timestampOf(sequence)
    if (!this.#takesSpecial && (flags & messageFlags.special) !== 0) this.#leftOutMessages++
    else {
      this.droppedMessages++
      this.dropped[reason]++
    }
  }

  /** A header in force as a message of its own, on its lane, at a time of this connection. */
  #sendHeader(header: MediaHeader, time: number): void {
    const { lane } = header
    const bit = 1 << lane
    const opened = (this.#opened & bit) !== 0
    const delta = opened ? time - this.#sentAt[lane]! : time
    const chunkStreamId = chunkStreamOf(lane)
    if (delta >= 0xffffff) {
      const timestamp = time % 2 ** 32
      const messageStreamId = this.#messageStreamId
      this.#own.push(
        frameMessage({ chunkStreamId, type: header.type, timestamp, messageStreamId, body: header.body }, chunkBytes),
      )
    } else {
      const start = Buffer.allocUnsafe(12)
      const { type, body } = header
      const fmt = opened ? 1 : 0
      const bytes = writeMessageHeader(start, 0, fmt, chunkStreamId, delta, body.length, type, this.#messageStreamId)
      const parts: Buffer[] = [start.subarray(0, bytes)]
      for (let read = 0; read < body.length; read += chunkBytes) {
        if (read > 0) parts.push(Buffer.of(0xc0 | chunkStreamId))
        parts.push(body.subarray(read, read + chunkBytes))
      }
      this.#own.push(Buffer.concat(parts))
    }
    this.#opened |= bit
    this.#inStep &= ~bit
    this.#sentAt[lane] = time
    this.#ownMessages++
  }

  #atChunkEnd(): boolean {
    if (this.#remainder.length === 0) {
      if (!this.#started) return true
      // Between messages as far as this cursor knows; in step it must look.
      if (this.#position === this.#messageEnd && !this.#findMessage()) return true
    }
    return this.#bytesToChunkEnd() === 0
  }

  /** Bytes until the chunk under way is complete; 0 between two chunks. A header is part of the first chunk of its message. */
  #bytesToChunkEnd(): number {
    const held = this.#remainder.length > 0
    const position = held ? this.#remainderPosition : this.#position
    const end = held ? this.#remainderEnd : this.#messageEnd
    const firstChunkEnd = this.#bodyStart + chunkBytes
    if (position >= end) return 0
    if (position <= firstChunkEnd) return Math.min(end, firstChunkEnd) - position
    const inChunk = (position - firstChunkEnd) % (chunkBytes + 1)
    return inChunk === 0 ? 0 : Math.min(end - position, chunkBytes + 1 - inChunk)
  }

  /** For tests and figures: lanes whose shared headers hold. */
  get lanesInStep(): number[] {
    return allLanes.filter((lane) => (this.#inStep & (1 << lane)) !== 0)
  }

  /** What this connection's clock shows at a time of the log, milliseconds. */
  timeOf(timestamp: number): number {
    return timestamp - this.#base
  }

  /** Audio has a lane of its own; a cursor that waits for a key frame goes on sending it. */
  get waitsForKey(): boolean {
    return this.#skipVideoUntil >= 0 && this.#log.newestOnLane[lanes.video]! >= 0
  }
}

/** Bytes that are no log's. */
function own(bytes: Buffer): Piece {
  return { bytes, slab: undefined }
}
