import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Broadcast, BroadcastListener, FormatChange, LogForm, Missed } from './broadcast.ts'
import { Cursor } from './cursor.ts'
import { Delivery, type Sent } from './delivery.ts'
import { DirectWriter } from './direct-write.ts'
import type { Pump, PumpTurn } from './pump.ts'
import type { Follower, SharedCursor } from './shared-cursor.ts'
import type { Slab, SlabPool } from './slab-pool.ts'

/** Behind by more than this, an output is served after those that are live. */
const catchingUpBytes = 512 * 1024
/** Of a turn, through a stream: under TLS it is copied, into buffers that stay. Half of it is a frame of 12 Mbit/s at 60 a second still, and 35 KB less for each connection. */
const streamShare = 0.5
/** What waits for the end of a chunk: answers to pings. A peer that asks for more does not read. */
const controlWaitingMax = 100

export type SenderParts = {
  readonly stream: Duplex
  readonly broadcast: Broadcast
  readonly pool: SlabPool
  readonly pump: Pump
  readonly clock: Clock
  readonly messageStreamId: number
  readonly form: LogForm
  readonly takesModEx: boolean
  readonly maxLagMs: number
  /** Begin with what the connection before this one did not deliver. */
  readonly missed: Missed | undefined
  /** Called once when the first media is handed out. */
  readonly onStarted: () => void
  /** A mistake of ours: this connection cannot go on. */
  readonly onFailed: (error: unknown) => void
  /** The broadcast goes on in a way that this connection cannot carry. */
  readonly onRestart: () => void
}

/**
 * The way of the log's bytes into one connection: a cursor, and one write under way at a time, so that what is pending is never
 * more than 64 KiB. While its destination takes everything at once it follows the cursor that such outputs share, and has no turns of its
 * own. Lives from the publish that was accepted until the connection ends; owned by an OutputSession.
 */
export class OutputSender implements PumpTurn, BroadcastListener, Follower {
  #cursor: Cursor
  #shared: SharedCursor
  readonly #parts: SenderParts
  readonly #stopListening: () => void
  readonly #direct: DirectWriter | undefined
  readonly #pending: Slab[] = []
  #writing = 0
  #open = true
  #leaving: { goodbye: Buffer; atEdge: boolean; said: () => void } | undefined
  queued = false
  catchingUp = false
  readonly outputs = 1

  readonly #delivery = new Delivery()
  /** Of what it sent alone, and of all before it began to follow. */
  #bytesSent = 0
  #lastProgressMs: number
  #isFollowing = false
  /** Where it began to follow. */
  #followsFrom = 0
  #marksSeen = 0
  /** Its kernel has just taken less than it was offered: no use to ask again. */
  #isFull = false
  #maxLagMs: number
  /** Monotonic: since when there has been something to send all the time; NaN at the edge of the log. */
  #behindSinceMs = Number.NaN

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#maxLagMs = parts.maxLagMs
    this.#cursor = this.#makeCursor()
    this.#shared = parts.broadcast.sharedCursor(parts.form)
    this.#direct = DirectWriter.for(parts.stream)
    if (this.#direct !== undefined) this.#direct.onClosed = () => this.#shared.part(this)
    this.#lastProgressMs = parts.clock.monotonicMs()
    this.#stopListening = parts.broadcast.listen(this)
    this.onAppended()
  }

  get cursor(): Cursor {
    return this.#cursor
  }
  /** All bytes that the log has had, for comparison with those that were sent. */
  get bytesOffered(): number {
    return this.#parts.broadcast.log(this.#parts.form).end
  }
  get bytesSent(): number {
    return this.#isFollowing ? this.#bytesSent + this.#shared.position - this.#followsFrom : this.#bytesSent
  }
  /** Monotonic: when a write was finished, or one began to wait, or the peer acknowledged, last. */
  get lastProgressMs(): number {
    const { lastWriteMs } = this.#shared
    return this.#isFollowing && lastWriteMs > this.#lastProgressMs ? lastWriteMs : this.#lastProgressMs
  }
  get delivery(): Delivery {
    this.#noteMarks()
    return this.#delivery
  }
  /** How far the destination is behind: what it was not sent yet, and what it does not seem to have read. */
  get lagMs(): number {
    return Math.max(this.cursor.lagMs, this.delivery.lagMs(this.#sent(), this.#newestMs()))
  }
  /** On the log's clock: the destination has all before it, as far as anybody can know. NaN before the start. */
  get deliveredUntil(): number {
    return this.#cursor.started ? this.delivery.readUntil(this.#sent()) : Number.NaN
  }
  /** For the cursor that it follows; −1 where there is none, with which it does not. */
  get descriptor(): number {
    return this.#direct?.descriptor ?? -1
  }
  /** A write is under way: bytes wait for the peer. */
  get isWaiting(): boolean {
    return this.#writing > 0
  }

  get awaitsLoop(): boolean {
    return this.#writing > 0 && !this.#cursor.atEdge
  }

  onAppended(): void {
    if (!this.#open) return
    if (this.#writing === 0) this.#parts.pump.offer(this)
    else if (Number.isNaN(this.#behindSinceMs) && !this.#cursor.atEdge)
      this.#behindSinceMs = this.#parts.clock.monotonicMs()
  }

  onFormatChanged(change: FormatChange): void {
    const { form, takesModEx } = this.#parts
    // A destination that takes everything, in the form as received, need not notice tracks and wrappings that are new.
    if (!this.#open || (change === 'beyond_plain' && form === 'received')) return
    if (change === 'mod_ex' && (form === 'plain' || takesModEx)) return
    if (this.#cursor.started || change === 'mod_ex') this.#parts.onRestart()
    else {
      const waiting = this.#cursor.takeControl()
      this.#cursor = this.#makeCursor()
      for (const bytes of waiting) this.#cursor.sendControl(bytes)
      this.#shared = this.#parts.broadcast.sharedCursor(form)
    }
  }

  /** The peer acknowledged. @param value as it came. */
  acknowledged(value: number): void {
    const nowMs = this.#parts.clock.monotonicMs()
    this.#lastProgressMs = nowMs
    this.delivery.acknowledged(value, this.#sent(), this.#newestMs(), nowMs)
  }

  /** An answer to a ping, or an acknowledgement: goes between two chunks. */
  sendControl(bytes: Buffer): void {
    if (!this.#open || this.cursor.controlWaiting >= controlWaitingMax) return
    this.#shared.part(this)
    this.cursor.sendControl(bytes)
    this.onAppended()
  }

  /**
   * Ends the publish in order: the message under way (or, `atEdge`, all that is in the log), the goodbye, the end of the stream.
   * @returns when the goodbye has been handed to the kernel. Never, when the peer does not read: the caller has a deadline.
   */
  leave(goodbye: Buffer, atEdge: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#shared.part(this)
      if (!atEdge) this.cursor.finishMessage()
      this.#leaving = { goodbye, atEdge, said: resolve }
      this.onAppended()
    })
  }

  failed(error: unknown): void {
    this.close()
    this.#parts.onFailed(error)
  }

  takeTurn(pumpBytesMax: number, nowMs: number): boolean {
    if (!this.#open || this.#writing > 0) return false
    const cursor = this.#cursor
    const bytesMax = this.#direct === undefined ? pumpBytesMax * streamShare : pumpBytesMax
    if (!cursor.started && this.#leaving === undefined) this.#start()
    if (nowMs - this.#behindSinceMs > this.#maxLagMs && this.#isTooFarBehind()) cursor.jumpAhead()
    const piece = cursor.next(bytesMax)
    if (piece === undefined) {
      this.#isAtEdge()
      this.#follow()
      if (this.#leaving !== undefined) this.#sayGoodbye(this.#leaving)
      return false
    }
    const { bytes, slab } = piece
    if (!cursor.atEdge && bytes.length < bytesMax) return this.#takeSeveral(bytes, slab, bytesMax, nowMs)
    const taken = (!this.#isFull && this.#direct?.write(bytes)) || 0
    if (taken < bytes.length) this.#leaveToStream(bytes, slab, taken, true)
    cursor.pieceTaken()
    return this.#turnTaken(taken, taken === bytes.length, nowMs)
  }

  /** An own header, the end of a slab, an answer to a ping: several pieces, and one system call all the same. */
  #takeSeveral(firstBytes: Buffer, firstSlab: Slab | undefined, bytesMax: number, nowMs: number): boolean {
    const cursor = this.#cursor
    const pieces = [firstBytes]
    const slabs = [firstSlab]
    let bytes = firstBytes.length
    while (bytes < bytesMax) {
      const piece = cursor.next(bytesMax - bytes)
      if (piece === undefined) break
      pieces.push(piece.bytes)
      slabs.push(piece.slab)
      bytes += piece.bytes.length
    }
    const taken = (!this.#isFull && this.#direct?.writeAll(pieces)) || 0
    if (taken < bytes) {
      const { stream } = this.#parts
      stream.cork()
      let passed = taken
      for (const [index, piece] of pieces.entries()) {
        const skipped = Math.min(passed, piece.length)
        passed -= skipped
        if (skipped < piece.length) this.#leaveToStream(piece, slabs[index], skipped, index === pieces.length - 1)
      }
      stream.uncork()
    }
    cursor.pieceTaken()
    return this.#turnTaken(taken, taken === bytes, nowMs)
  }

  /** At the edge, and its kernel has taken everything: from here on it goes with the others of which that is true. */
  #follow(): void {
    if (this.#isFollowing || this.#direct === undefined || this.#writing > 0 || this.#leaving !== undefined) return
    if (!this.#direct.isFree || !this.#shared.admit(this)) return
    this.#isFollowing = true
    this.#followsFrom = this.#shared.position
    this.#marksSeen = this.#shared.marks
    this.#parts.broadcast.setCalled(this, false)
  }

  parted(position: number, isFull: boolean, behindSinceMs: number): void {
    this.#noteMarks()
    this.#lastProgressMs = this.lastProgressMs
    this.#bytesSent += position - this.#followsFrom
    this.#isFollowing = false
    this.#isFull = isFull
    this.#behindSinceMs = behindSinceMs
    this.#parts.broadcast.setCalled(this, true)
    if (!this.#cursor.atEdge) this.#parts.pump.queue(this)
  }

  /** What it would have written down by itself. */
  #noteMarks(): void {
    if (!this.#isFollowing) return
    const shared = this.#shared
    for (let mark = Math.max(this.#marksSeen, shared.oldestMark); mark < shared.marks; mark++) {
      const bytes = this.#bytesSent + shared.markPosition(mark) - this.#followsFrom
      if (this.#delivery.wants(bytes)) this.#delivery.mark(bytes, shared.markTime(mark))
    }
    this.#marksSeen = shared.marks
  }

  /** @returns whether there is more to write at once. */
  #turnTaken(taken: number, isOut: boolean, nowMs: number): boolean {
    if (taken > 0) this.#wrote(taken, nowMs)
    if (this.#cursor.atEdge) {
      this.#isAtEdge()
      this.#follow()
      return isOut && this.#leaving !== undefined
    }
    if (Number.isNaN(this.#behindSinceMs)) this.#behindSinceMs = nowMs
    this.catchingUp = this.#cursor.bytesBehind > catchingUpBytes
    return isOut
  }

  #isAtEdge(): void {
    if (Number.isNaN(this.#behindSinceMs)) return
    this.#behindSinceMs = Number.NaN
    this.catchingUp = false
  }

  /** What the kernel did not take at once waits in the stream, and holds its slab until then. */
  #leaveToStream(bytes: Buffer, slab: Slab | undefined, from: number, isLast: boolean): void {
    if (slab !== undefined) {
      slab.references++
      this.#pending.push(slab)
    }
    this.#isFull = false
    // Nobody had to take anything before: an encoder that was away for a while is no fault of the destination.
    if (this.#writing === 0) this.#lastProgressMs = this.#parts.clock.monotonicMs()
    const rest = from === 0 ? bytes : bytes.subarray(from)
    this.#writing += rest.length
    if (isLast) this.#parts.stream.write(rest, this.#onWritten)
    else this.#parts.stream.write(rest)
  }

  /** The connection is over: nothing more is written; what is pending is let go by its callbacks. */
  close(): void {
    if (!this.#open) return
    this.#shared.part(this)
    this.#open = false
    this.#stopListening()
    this.cursor.close()
  }

  /** An encoder that was frozen and then sends all at once makes nobody slow: the destination must have had the time to take it. */
  #isTooFarBehind(): boolean {
    const { cursor } = this
    return cursor.caughtUp && cursor.bytesBehind > 0 && cursor.lagMs > this.#maxLagMs
  }

  readonly #onWritten = (error?: Error | null): void => {
    const bytes = this.#writing
    this.#writing = 0
    for (const slab of this.#pending) this.#parts.pool.release(slab)
    this.#pending.length = 0
    if (error) return
    this.#wrote(bytes, this.#parts.clock.monotonicMs())
    // What has come since is offered with its round: whoever takes it before parts it from what the round waits for.
    const isBehind = !this.cursor.atEdge && !Number.isNaN(this.#behindSinceMs)
    if (this.#open && (isBehind || this.#leaving !== undefined)) this.#parts.pump.queue(this)
  }

  #wrote(bytes: number, nowMs: number): void {
    this.#bytesSent += bytes
    this.#lastProgressMs = nowMs
    if (this.#delivery.wants(this.#bytesSent)) this.#delivery.mark(this.#bytesSent, this.#mediaTime())
  }

  #mediaTime(): number {
    const { handedOutUntil } = this.cursor
    return Number.isNaN(handedOutUntil) ? this.#newestMs() : handedOutUntil
  }

  #newestMs(): number {
    return this.#parts.broadcast.timeline.newest
  }

  #sent(): Sent {
    return { bytes: this.bytesSent, mediaTime: this.#mediaTime() }
  }

  #makeCursor(): Cursor {
    const { broadcast, form, pool, messageStreamId } = this.#parts
    return new Cursor(broadcast.log(form), pool, messageStreamId, form === 'received')
  }

  #start(): void {
    const { broadcast, form, missed } = this.#parts
    const sequence = broadcast.startSequence(broadcast.log(form), missed)
    if (sequence === undefined) return
    this.cursor.start(sequence)
    this.#lastProgressMs = this.#parts.clock.monotonicMs()
    this.#parts.onStarted()
  }

  #sayGoodbye(leaving: { goodbye: Buffer; said: () => void }): void {
    const { stream } = this.#parts
    this.close()
    stream.end(leaving.goodbye, leaving.said)
  }
}
