import type { Clock } from '../clock.ts'

/** Whoever has bytes to write: an output's connection. */
export interface PumpTurn {
  /** Writes at most `bytesMax`. @param nowMs monotonic. @returns whether there is more to write at once. */
  takeTurn(bytesMax: number, nowMs: number): boolean
  /** Its turn has thrown: a mistake of ours, which is to end this one and nobody else. */
  failed(error: unknown): void
  /** Far behind: served after those that are live. */
  readonly catchingUp: boolean
  /** Kept by the pump. */
  queued: boolean
}

/** One write's and one turn's most: a TLS socket encrypts at once what it is given, so that larger turns would hold up everybody else. */
export const turnBytesMax = 64 * 1024
/** After so long the loop goes back to reading sockets. */
const roundMsMax = 5

/**
 * Gives every output of a thread its turn: round robin, live before catching up, at most 64 KiB each, and back to the event
 * loop after about 5 ms. One for each thread.
 *
 * A publisher's data only marks its log, and goes out when the loop has read all sockets that were ready; but what follows the last such round
 * by less than a few milliseconds (40 in `efficient` mode) waits for the rest of them. So one broadcast's frames leave at once, and where there
 * are many the thread has a round every few milliseconds instead of one for each message. One timer serves all logs of the thread.
 */
export class Pump {
  readonly #gatherMs: number
  readonly #clock: Clock
  #live: PumpTurn[] = []
  #late: PumpTurn[] = []
  #marked: (() => void)[] = []
  #scheduled = false
  #gathering = false
  /** What is marked goes out at the next run. */
  #isDue = false
  #flushedAtMs = Number.NEGATIVE_INFINITY
  /** Of the run under way. */
  #isFlushing = false
  #nowMs = 0
  #endsAtMs = 0
  #turns = 0
  #hasTime = true

  /** @param gatherMs how close two rounds may be. */
  constructor(clock: Clock, gatherMs: number) {
    this.#clock = clock
    this.#gatherMs = gatherMs
  }

  /** Calls `flush` once, soon: it queues the outputs that have something to write. Not twice before it is called. */
  mark(flush: () => void): void {
    this.#marked.push(flush)
    if (this.#gathering) return
    // What comes after a quiet time goes at once; what follows it closely waits for company.
    const waitMs = this.#gatherMs === 0 ? 0 : this.#flushedAtMs + this.#gatherMs - this.#clock.monotonicMs()
    if (waitMs < 1) {
      this.#isDue = true
      this.#schedule()
    } else {
      this.#gathering = true
      setTimeout(this.#gathered, waitMs)
    }
  }
  readonly #gathered = (): void => {
    this.#gathering = false
    this.#isDue = true
    this.#run()
  }

  /** For whoever is flushed: its turn at once, while there is time and nobody has waited for longer; otherwise it is queued. */
  offer(turn: PumpTurn): void {
    if (turn.queued) return
    const isNext = this.#isFlushing && this.#hasTime && this.#live.length === 0 && !turn.catchingUp
    if (!isNext || this.#take(turn)) this.queue(turn)
  }

  queue(turn: PumpTurn): void {
    if (turn.queued) return
    turn.queued = true
    if (turn.catchingUp) this.#late.push(turn)
    else this.#live.push(turn)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#scheduledRun)
  }
  readonly #scheduledRun = (): void => {
    this.#scheduled = false
    this.#run()
  }

  #run(): void {
    this.#nowMs = this.#clock.monotonicMs()
    this.#endsAtMs = this.#nowMs + roundMsMax
    this.#turns = 0
    this.#hasTime = true
    if (this.#isDue) {
      this.#isDue = false
      const marked = this.#marked
      if (marked.length > 0) {
        this.#marked = []
        this.#flushedAtMs = this.#nowMs
        this.#isFlushing = true
        for (const flush of marked) alone(flush)
        this.#isFlushing = false
      }
    }
    if (this.#live.length > 0) this.#live = this.#serve(this.#live)
    if (this.#late.length > 0) this.#late = this.#serve(this.#late)
    if (this.#live.length > 0 || this.#late.length > 0) this.#schedule()
  }

  /** @returns those whose turn has not come, or who have more. */
  #serve(turns: PumpTurn[]): PumpTurn[] {
    const again: PumpTurn[] = []
    for (let index = 0; index < turns.length; index++) {
      if (!this.#hasTime) return turns.slice(index).concat(again)
      const turn = turns[index]!
      turn.queued = false
      if (this.#take(turn)) {
        turn.queued = true
        again.push(turn)
      }
    }
    return again
  }

  #take(turn: PumpTurn): boolean {
    // The clock is looked at now and then: it costs about as much as a short turn.
    if ((++this.#turns & 7) === 0) {
      this.#nowMs = this.#clock.monotonicMs()
      this.#hasTime = this.#nowMs <= this.#endsAtMs
    }
    try {
      return turn.takeTurn(turnBytesMax, this.#nowMs)
    } catch (error) {
      turn.failed(error)
      return false
    }
  }
}

/** What one broadcast throws must not keep the others from their flush: it is thrown where nobody else is. */
function alone(flush: () => void): void {
  try {
    flush()
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}
