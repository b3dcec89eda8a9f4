import type { Clock } from '../clock.ts'

/** Whoever has bytes to write: an output's connection. */
export interface PumpTurn {
  /** Writes at most `turnBytesMax`. @returns whether there is more to write at once. */
  takeTurn(bytesMax: number): boolean
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
 * A publisher's data only marks its log. What is appended within the next few milliseconds (40 in `efficient` mode) goes out with it, so that
 * a frame and the sound beside it cost each output one write: most of what an output costs is paid per write, not per byte. One timer serves
 * all logs of the thread.
 */
export class Pump {
  readonly #gatherMs: number
  readonly #clock: Clock
  #live: PumpTurn[] = []
  #late: PumpTurn[] = []
  #marked: (() => void)[] = []
  #scheduled = false
  #gathering = false

  /** @param gatherMs how long data may wait to be written together; 0: until the loop has read all sockets that were ready. */
  constructor(clock: Clock, gatherMs: number) {
    this.#clock = clock
    this.#gatherMs = gatherMs
  }

  /** Calls `flush` once, soon: it queues the outputs that have something to write. Not twice before it is called. */
  mark(flush: () => void): void {
    this.#marked.push(flush)
    if (this.#gatherMs === 0) {
      this.#schedule()
    } else if (!this.#gathering) {
      this.#gathering = true
      setTimeout(this.#gathered, this.#gatherMs)
    }
  }
  readonly #gathered = (): void => {
    this.#gathering = false
    this.#run()
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
    if (!this.#gathering || this.#gatherMs === 0) {
      const marked = this.#marked
      if (marked.length > 0) {
        this.#marked = []
        for (const flush of marked) alone(flush)
      }
    }
    const endsAt = this.#clock.monotonicMs() + roundMsMax
    this.#live = this.#serve(this.#live, endsAt)
    if (this.#late.length > 0) this.#late = this.#serve(this.#late, endsAt)
    if (this.#live.length > 0 || this.#late.length > 0) this.#schedule()
  }

  /** @returns those whose turn has not come, or who have more. */
  #serve(turns: PumpTurn[], endsAt: number): PumpTurn[] {
    if (turns.length === 0) return turns
    const again: PumpTurn[] = []
    for (let index = 0; index < turns.length; index++) {
      const turn = turns[index]!
      turn.queued = false
      if (this.#take(turn)) {
        turn.queued = true
        again.push(turn)
      }
      if ((index & 7) === 7 && this.#clock.monotonicMs() > endsAt) return turns.slice(index + 1).concat(again)
    }
    return again
  }

  #take(turn: PumpTurn): boolean {
    try {
      return turn.takeTurn(turnBytesMax)
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
