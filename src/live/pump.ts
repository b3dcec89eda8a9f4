import type { Clock } from '../clock.ts'
import type { ArrivalForecast } from './arrival-forecast.ts'
import { LoopDelays } from './loop-delays.ts'

/** Whoever has bytes to write: an output's connection, or all of a broadcast that are in step. */
export interface PumpTurn {
  /** Writes at most `bytesMax` to each of its outputs. @param nowMs monotonic. @returns whether there is more to write at once. */
  takeTurn(bytesMax: number, nowMs: number): boolean
  /** Its turn has thrown: a mistake of ours, which is to end this one and nobody else. */
  failed(error: unknown): void
  /** Far behind: served after those that are live. */
  readonly catchingUp: boolean
  /** How many it writes to. */
  readonly outputs: number
  /** After a turn: there is more, as soon as the event loop says that what was written is out. A thread that rested would not hear of it. */
  readonly awaitsLoop?: boolean
  /** Kept by the pump. */
  queued: boolean
}

/** One write's and one turn's most: a TLS socket encrypts at once what it is given, so that larger turns would hold up everybody else. */
const turnBytesMax = 64 * 1024
/** Where what comes in 40 ms goes out in one write, at 20 Mbit/s. */
const largeTurnBytesMax = 128 * 1024
/** After so long the loop goes back to reading sockets. */
const roundMsMax = 5

/** How long a thread rests before a round, so that more comes together, milliseconds. By what the last round had to do. */
export type Rests = {
  /** Few outputs. When it is more than 0, somebody cares for what it costs, and not for delay. */
  readonly few: number
  /** Many outputs: the rest and the round together, so that the last one has everything in time. */
  readonly many: number
  /** So much longer where it is known when messages come: most of them need not wait for so long then. */
  readonly foretold: number
  /** Many broadcasts. */
  readonly crowd: number
}

/** Everything goes out at once, whatever that costs. */
export const noRests: Rests = { few: 0, many: 0, foretold: 0, crowd: 0 }

/** What has something for its outputs: a broadcast. */
export interface Marked {
  /** Offers them their turn. */
  flush(): void
  readonly forecast?: ArrivalForecast
}

/** Fewer outputs cost so little that their delay counts for more. */
const manyOutputs = 16
/** Whatever else the thread has to do waits for so long at the most, where the coming of bytes is foretold, or for so many rests. */
const foretoldRestMsMax = 25
const longestRests = 1.5
/** Bytes that are there when the thread wakes up are read within so long. */
const readsAtOnceMs = 0.5
/** A foretold message comes so much later than its time, mostly; for one that is later still the thread sleeps once more. */
const lateMs = 0.2
const laterMs = 0.4
/** What waits for the event loop is out in its next turn; a destination that takes nothing is waited for no longer. */
const loopAwaitedMs = 5
/** Without another broadcast for so long a thread has one: none has longer steps between its messages. */
const aloneMs = 200
/** So many broadcasts in one round are a crowd. */
const crowdMin = 8
/** Nobody ever wakes the thread from its rest. */
const bed = new Int32Array(new SharedArrayBuffer(4))

/**
 * Gives every output of a thread its turn: round robin, live before catching up, at most 64 KiB each, and back to the event
 * loop after about 5 ms. One for each thread.
 *
 * A publisher's data only marks its log, and goes out in a round, which comes when the loop has read all sockets that were ready. What a write
 * costs depends little on its size, and a thread that is woken for every message finds nothing of its code and their state in a cache. So
 * where there is much to do it works in beats: the first bytes that come are a reason to rest for some milliseconds, then they and everything
 * that has come meanwhile are looked at, and go out in one round. Where bytes always come at once, the rest follows the round before.
 * See docs/adr/0011-beats.md.
 */
export class Pump {
  readonly #rests: Rests
  readonly #isAwaited: () => boolean
  readonly #clock: Clock
  readonly #turnBytesMax: number
  #live: PumpTurn[] = []
  #late: PumpTurn[] = []
  #marked: Marked[] = []
  #scheduled = false
  #roundIsSet = false
  /** What is marked goes out at the next run. */
  #isDue = false
  /** Before the next round, milliseconds. */
  #restMs: number
  /** Broadcasts that had something since then, and how many they were in the time before. */
  readonly #recent = new Set<Marked>()
  #recentSinceMs = 0
  #recentCount = 0
  /** The broadcast that had something last, and since when no other had. */
  #newest: Marked | undefined
  #aloneSinceMs = Number.NEGATIVE_INFINITY
  /** Bytes always come at once: the rest begins when a round is over. */
  #isSteady = false
  /** Of which it is known when the next messages come, and when the last of those that are to go out together does. */
  #foretold: ArrivalForecast | undefined
  #beatEndsMs = Number.NaN
  /** Before the round to come. */
  #hasRested = false
  /** When its first bytes came; NaN where the thread slept then, or they came amid something else. */
  #arrivedMs = Number.NaN
  /** From the last rest until more had come. */
  #wokeMs = Number.NEGATIVE_INFINITY
  /** While the loop was reading: it has to read once more before the round. */
  #restedAmidReading = false
  /** So far, milliseconds: to the event loop this looks like work. */
  restedMs = 0
  #markedAtMs = 0
  /** How long the loop took to come to a round, while it did something else; the rests are not in it. */
  readonly delays = new LoopDelays()
  /** Of the run under way. */
  #isFlushing = false
  #nowMs = 0
  #endsAtMs = 0
  #outputs = 0
  #hasTime = true
  /** When a turn ended that waits for the event loop. */
  #loopAwaitedAtMs = Number.NEGATIVE_INFINITY

  /** @param isAwaited somebody waits for something else that this thread does: it does not rest then. */
  constructor(clock: Clock, rests: Rests, isAwaited = () => false) {
    this.#clock = clock
    this.#rests = rests
    this.#isAwaited = isAwaited
    this.#restMs = rests.few
    this.#turnBytesMax = rests.few > 0 ? largeTurnBytesMax : turnBytesMax
  }

  /**
   * Called with what an encoder has sent, before it is looked at: where there is much to do the thread rests here, once before each round. Not
   * later: what is looked at after the rest finds its code in a cache, for what has come meanwhile, too.
   */
  rest(): void {
    if (this.#restMs <= 0) return
    if (!this.#roundIsSet) this.#noteArrival()
    if (this.#hasRested) return
    this.#restedAmidReading = this.#rest(this.#restOfBeatMs())
  }

  #restOfBeatMs(): number {
    if (this.#foretold === undefined) return this.#restMs
    return Math.min(this.#restMs + this.#rests.foretold, Math.max(0, this.#beatEndsMs - this.#clock.monotonicMs()))
  }

  /** Of the first bytes. It is seen where the thread waited for them, which it does after a rest that ended too early, too. */
  #noteArrival(): void {
    if (!Number.isNaN(this.#arrivedMs)) return
    const nowMs = this.#clock.monotonicMs()
    if (!this.#hasRested || nowMs - this.#wokeMs > readsAtOnceMs) this.#arrivedMs = nowMs
  }

  #rest(durationMs: number): boolean {
    if (this.#isBehind || this.#isLoopAwaited || this.#isAwaited()) return false
    Atomics.wait(bed, 0, 0, durationMs)
    this.#wokeMs = this.#clock.monotonicMs()
    this.restedMs += durationMs
    if (this.#roundIsSet) this.#markedAtMs += durationMs
    this.#hasRested = true
    return true
  }

  /** Flushes it once, soon: it offers the outputs that have something to write. Not twice before it is flushed. */
  mark(marked: Marked): void {
    this.#marked.push(marked)
    if (this.#roundIsSet) return
    this.#roundIsSet = true
    this.#markedAtMs = this.#clock.monotonicMs()
    setImmediate(this.#gather)
  }
  readonly #gather = (): void => {
    this.delays.note(this.#clock.monotonicMs() - this.#markedAtMs)
    // The loop reads what has come during the rest before it comes to this.
    if (this.#restedAmidReading) setImmediate(this.#complete)
    else this.#complete()
  }
  /** A round costs many times what it costs to look once more for a message that is late. */
  readonly #complete = (): void => {
    if (this.#isWorthWaiting() && this.#rest(laterMs)) setImmediate(this.#complete)
    else this.#round()
  }
  #isWorthWaiting(): boolean {
    const forecast = this.#foretold
    if (forecast === undefined || this.#marked.length > 1 || this.#marked[0]!.forecast !== forecast) return false
    return forecast.isWorthWaiting(this.#clock.monotonicMs())
  }
  readonly #round = (): void => {
    this.#roundIsSet = false
    this.#hasRested = this.#restedAmidReading = false
    this.#isDue = true
    const only = this.#marked.length === 1 ? this.#marked[0] : undefined
    this.#run()
    const arrivedMs = this.#arrivedMs
    this.#arrivedMs = Number.NaN
    if (this.#restMs <= 0) return
    this.#foretold = undefined
    if (only?.forecast !== undefined && this.#nowMs - this.#aloneSinceMs >= aloneMs)
      this.#restUntilComplete(only.forecast, arrivedMs)
    else if (this.#isSteady) this.#rest(this.#restMs)
  }

  /**
   * Where it can be foretold when the next bytes will come, their coming is slept through, until all have come that are to go out together: one
   * wake-up for a beat, and not two, and no beat that ends just before a message.
   */
  #restUntilComplete(forecast: ArrivalForecast, arrivedMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    const endsMs = forecast.nextBeat(this.#restMs + this.#rests.foretold, nowMs, arrivedMs) + lateMs
    if (Number.isNaN(endsMs)) return
    this.#foretold = forecast
    this.#beatEndsMs = endsMs
    const durationMs = endsMs - nowMs
    const isLong = durationMs > Math.max(foretoldRestMsMax, longestRests * this.#restMs)
    if (durationMs > 0 && !isLong && !forecast.isLook) this.#rest(durationMs)
  }

  get #isLoopAwaited(): boolean {
    return this.#clock.monotonicMs() - this.#loopAwaitedAtMs < loopAwaitedMs
  }

  get #isBehind(): boolean {
    return this.#live.length > 0 || this.#late.length > 0
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
    this.#outputs = 0
    this.#hasTime = true
    const marked = this.#isDue ? this.#marked : undefined
    if (marked !== undefined) {
      this.#isDue = false
      this.#marked = []
      this.#isFlushing = true
      for (const one of marked) alone(one)
      this.#isFlushing = false
    }
    if (this.#live.length > 0) this.#live = this.#serve(this.#live)
    // Those that had waited for their turn already are of this round, too.
    if (marked !== undefined) this.#restMs = this.#restAfter(marked)
    if (this.#late.length > 0) this.#late = this.#serve(this.#late)
    if (this.#isBehind) this.#schedule()
  }

  #restAfter(marked: readonly Marked[]): number {
    const { few, many, crowd } = this.#rests
    const isCrowd = marked.length >= crowdMin || this.#recentBroadcasts(marked) >= crowdMin
    this.#isSteady = isCrowd || few > 0
    if (isCrowd) return crowd
    if (this.#outputs < manyOutputs) return few
    const roundMs = this.#clock.monotonicMs() - (this.#endsAtMs - roundMsMax)
    return Math.max(many / 2, many - roundMs)
  }

  /** Rounds without rests have one broadcast each, however many there are: how many there were within a crowd's rest. */
  #recentBroadcasts(marked: readonly Marked[]): number {
    if (this.#nowMs - this.#recentSinceMs > this.#rests.crowd) {
      this.#recentCount = this.#recent.size
      this.#recent.clear()
      this.#recentSinceMs = this.#nowMs
    }
    for (const one of marked) {
      this.#recent.add(one)
      if (one === this.#newest) continue
      if (this.#newest !== undefined) this.#aloneSinceMs = this.#nowMs
      this.#newest = one
    }
    return this.#recentCount
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
    const eights = this.#outputs >>> 3
    this.#outputs += turn.outputs
    if (this.#outputs >>> 3 !== eights) {
      this.#nowMs = this.#clock.monotonicMs()
      this.#hasTime = this.#nowMs <= this.#endsAtMs
    }
    try {
      const hasMore = turn.takeTurn(this.#turnBytesMax, this.#nowMs)
      if (turn.awaitsLoop) this.#loopAwaitedAtMs = this.#nowMs
      return hasMore
    } catch (error) {
      turn.failed(error)
      return false
    }
  }
}

/** What one broadcast throws must not keep the others from their flush: it is thrown where nobody else is. */
function alone(marked: Marked): void {
  try {
    marked.flush()
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}
