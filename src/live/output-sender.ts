import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Broadcast, BroadcastListener, LogForm } from './broadcast.ts'
import { Cursor } from './cursor.ts'
import { Delivery, type Sent } from './delivery.ts'
import { DirectWriter } from './direct-write.ts'
import type { Pump, PumpTurn } from './pump.ts'
import type { Slab, SlabPool } from './slab-pool.ts'

/** Behind by more than this, an output is served after those that are live. */
const catchingUpBytes = 512 * 1024
/** Of the turn under way: one turn at a time, so that no output has such lists of its own. */
const pieces: Buffer[] = []
const slabs: (Slab | undefined)[] = []
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
  readonly maxLagMs: number
  /** Begin with what was missed since this time on the log's clock. */
  readonly resumeAt: number | undefined
  /** Called once when the first media is handed out. */
  readonly onStarted: () => void
  /** A mistake of ours: this connection cannot go on. */
  readonly onFailed: (error: unknown) => void
  /** The broadcast goes on in a way that this connection cannot carry. */
  readonly onRestart: () => void
}

/**
 * The way of the log's bytes into one connection: a cursor, and one write under way at a time, so that what is pending is never
 * more than 64 KiB. Lives from the publish that was accepted until the connection ends; owned by an OutputSession.
 */
export class OutputSender implements PumpTurn, BroadcastListener {
  #cursor: Cursor
  readonly #parts: SenderParts
  readonly #stopListening: () => void
  readonly #direct: DirectWriter | undefined
  readonly #pending: Slab[] = []
  #writing = 0
  #open = true
  #leaving: { goodbye: Buffer; atEdge: boolean; said: () => void } | undefined
  queued = false

  readonly delivery = new Delivery()
  bytesSent = 0
  /** Monotonic: when a write was finished, or the peer acknowledged, last. */
  lastProgressMs: number
  #maxLagMs: number
  /** Monotonic: since when there has been something to send all the time; NaN at the edge of the log. */
  #behindSinceMs = Number.NaN

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#maxLagMs = parts.maxLagMs
    this.#cursor = this.#makeCursor()
    this.#direct = DirectWriter.for(parts.stream)
    this.lastProgressMs = parts.clock.monotonicMs()
    this.#stopListening = parts.broadcast.listen(this)
    this.onAppended()
  }

  get cursor(): Cursor {
    return this.#cursor
  }
  get catchingUp(): boolean {
    return this.cursor.bytesBehind > catchingUpBytes
  }
  /** All bytes that the log has had, for comparison with those that were sent. */
  get bytesOffered(): number {
    return this.#parts.broadcast.log(this.#parts.form).end
  }
  /** How far the destination is behind: what it was not sent yet, and what it does not seem to have read. */
  get lagMs(): number {
    return Math.max(this.cursor.lagMs, this.delivery.lagMs(this.#sent(), this.#newestMs()))
  }
  /** A write is under way: bytes wait for the peer. */
  get isWaiting(): boolean {
    return this.#writing > 0
  }

  onAppended(): void {
    if (Number.isNaN(this.#behindSinceMs)) this.#behindSinceMs = this.#parts.clock.monotonicMs()
    if (this.#writing === 0 && this.#open) this.#parts.pump.queue(this)
  }

  onFormatChanged(change: 'codec' | 'beyond_plain'): void {
    // A destination that takes everything, in the form as received, need not notice tracks and wrappings that are new.
    if (!this.#open || (change === 'beyond_plain' && this.#parts.form === 'received')) return
    if (this.#cursor.started) this.#parts.onRestart()
    else this.#cursor = this.#makeCursor()
  }

  /** The peer acknowledged. @param value as it came. */
  acknowledged(value: number): void {
    const nowMs = this.#parts.clock.monotonicMs()
    this.lastProgressMs = nowMs
    this.delivery.acknowledged(value, this.#sent(), this.#newestMs(), nowMs)
  }

  /** An answer to a ping, or an acknowledgement: goes between two chunks. */
  sendControl(bytes: Buffer): void {
    if (!this.#open || this.cursor.controlWaiting >= controlWaitingMax) return
    this.cursor.sendControl(bytes)
    this.onAppended()
  }

  /**
   * Ends the publish in order: the message under way (or, `atEdge`, all that is in the log), the goodbye, the end of the stream.
   * @returns when the goodbye has been handed to the kernel. Never, when the peer does not read: the caller has a deadline.
   */
  leave(goodbye: Buffer, atEdge: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (!atEdge) this.cursor.finishMessage()
      this.#leaving = { goodbye, atEdge, said: resolve }
      this.onAppended()
    })
  }

  failed(error: unknown): void {
    this.close()
    this.#parts.onFailed(error)
  }

  takeTurn(bytesMax: number): boolean {
    if (!this.#open || this.#writing > 0) return false
    const { cursor } = this
    if (!cursor.started && this.#leaving === undefined) this.#start()
    if (this.#isTooFarBehind()) cursor.jumpAhead()
    // A turn that failed, by a mistake of ours, may have left some.
    pieces.length = 0
    slabs.length = 0
    // More than one piece (an own header, the end of a slab) goes out with one system call all the same.
    let bytes = 0
    while (bytes < bytesMax) {
      const piece = cursor.next(bytesMax - bytes)
      if (piece === undefined) {
        this.#behindSinceMs = Number.NaN
        break
      }
      pieces.push(piece.bytes)
      slabs.push(piece.slab)
      bytes += piece.bytes.length
    }
    if (bytes === 0) {
      if (this.#leaving !== undefined) this.#sayGoodbye(this.#leaving)
      return false
    }
    const taken = this.#direct?.write(pieces) ?? 0
    const isOut = taken === bytes
    if (!isOut) this.#leaveToStream(taken)
    cursor.pieceTaken()
    if (taken > 0) this.#wrote(taken)
    return isOut && (bytes >= bytesMax || this.#leaving !== undefined)
  }

  /** What the kernel did not take at once waits in the stream, and holds its slabs until then. */
  #leaveToStream(taken: number): void {
    const { stream } = this.#parts
    const last = pieces.length - 1
    let passed = taken
    if (last > 0) stream.cork()
    for (const [index, piece] of pieces.entries()) {
      const rest = passed === 0 ? piece : piece.subarray(passed)
      passed -= piece.length - rest.length
      if (rest.length === 0) continue
      const slab = slabs[index]
      if (slab !== undefined) {
        slab.references++
        this.#pending.push(slab)
      }
      this.#writing += rest.length
      if (index < last) stream.write(rest)
      else stream.write(rest, this.#onWritten)
    }
    if (last > 0) stream.uncork()
  }

  /** The connection is over: nothing more is written; what is pending is let go by its callbacks. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#stopListening()
    this.cursor.close()
  }

  /** An encoder that was frozen and then sends all at once makes nobody slow: the destination must have had the time to take it. */
  #isTooFarBehind(): boolean {
    const { cursor } = this
    if (!cursor.caughtUp || cursor.bytesBehind === 0 || cursor.lagMs <= this.#maxLagMs) return false
    return this.#parts.clock.monotonicMs() - this.#behindSinceMs > this.#maxLagMs
  }

  readonly #onWritten = (error?: Error | null): void => {
    const bytes = this.#writing
    this.#writing = 0
    for (const slab of this.#pending) this.#parts.pool.release(slab)
    this.#pending.length = 0
    if (error) return
    this.#wrote(bytes)
    if (this.#open && (!this.cursor.atEdge || this.#leaving !== undefined)) this.#parts.pump.queue(this)
  }

  #wrote(bytes: number): void {
    this.bytesSent += bytes
    this.lastProgressMs = this.#parts.clock.monotonicMs()
    this.delivery.wrote(this.bytesSent, this.#mediaTime)
  }

  readonly #mediaTime = (): number => {
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
    const { broadcast, form, resumeAt } = this.#parts
    const sequence = broadcast.startSequence(broadcast.log(form), resumeAt)
    if (sequence === undefined) return
    this.cursor.start(sequence)
    this.lastProgressMs = this.#parts.clock.monotonicMs()
    this.#parts.onStarted()
  }

  #sayGoodbye(leaving: { goodbye: Buffer; said: () => void }): void {
    const { stream } = this.#parts
    this.close()
    stream.end(leaving.goodbye, leaving.said)
  }
}
