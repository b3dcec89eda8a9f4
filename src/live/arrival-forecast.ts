import { lanes } from './media-log.ts'

/** Picture and sound; whatever else a feed has comes with them. */
const laneCount = 2
/** Encoders stamp in whole milliseconds, and frames are 16 or 17 apart. */
const stampErrorMs = 2
/** What comes by more than this before or after its time is not to be foretold. */
const arrivalErrorMs = 1.5
/** By how much a lane's delay may grow from one look to the next: an encoder's clock, and a way that has become longer. */
const delayGrowthMs = 0.05
/** Of the newest steps of a lane, the mean. */
const stepsWeighed = 8
/** A step that is longer is a pause. */
const stepMsMax = 200
/** So many right forecasts in a row until one is believed; one that is wrong costs half of them. */
const trustMin = 16
const trustMax = 2 * trustMin
/** What is slept through is not seen to arrive: every so many rounds it is. */
const looksEvery = 16

/**
 * When the next message of a feed is likely to arrive, from the times that the encoder stamps: their rhythm, and by how much each of picture
 * and sound uses to arrive behind its stamp. For a thread that would rather sleep until then than be woken by it. Says nothing of a feed
 * that does not keep its rhythm. Pure: times come in.
 */
export class ArrivalForecast {
  readonly #newest = new Float64Array(laneCount).fill(Number.NaN)
  readonly #step = new Float64Array(laneCount).fill(Number.NaN)
  /** Arrival minus stamp, milliseconds; NaN while it was not seen. */
  readonly #delay = new Float64Array(laneCount).fill(Number.NaN)
  /** The last one that was seen, where it was too long. */
  readonly #late = new Float64Array(laneCount).fill(Number.NaN)
  /** What came first since the last round. */
  #firstLane = -1
  #firstTime = Number.NaN
  /** The same of the round under way. */
  #roundLane = -1
  #roundTime = Number.NaN
  #expectedLane = -1
  #expectedTime = Number.NaN
  #trust = 0
  #rounds = 0

  /** Each picture and sound that comes. @param time milliseconds on the broadcast's clock. */
  observe(lane: number, time: number): void {
    if (lane !== lanes.video && lane !== lanes.audio) return
    if (this.#firstLane < 0) {
      this.#firstLane = lane
      this.#firstTime = time
    }
    const step = time - this.#newest[lane]!
    this.#newest[lane] = time
    if (!(step > 0 && step <= stepMsMax)) return
    const mean = this.#step[lane]!
    this.#step[lane] = Number.isNaN(mean) ? step : mean + (step - mean) / stepsWeighed
  }

  /** At the beginning of each round. */
  roundBegins(): void {
    this.#roundLane = this.#firstLane
    this.#roundTime = this.#firstTime
    this.#firstLane = -1
  }

  /**
   * At the end of a round, where somebody wants to know.
   * @param arrivedMs monotonic: when the first of its messages was seen to arrive; NaN when the thread slept then.
   * @returns when the next one is likely to arrive, monotonic; NaN where that cannot be said, or should be seen once more.
   */
  next(arrivedMs: number): number {
    const lane = this.#roundLane
    if (lane >= 0) {
      this.#judge(lane)
      if (!Number.isNaN(arrivedMs)) this.#learn(lane, arrivedMs - this.#roundTime)
    }
    const arrivesMs = this.#foretell()
    const isLook = ++this.#rounds % looksEvery === 0
    return this.#trust < trustMin || isLook ? Number.NaN : arrivesMs
  }

  #judge(lane: number): void {
    if (this.#expectedLane < 0) return
    const isRight = lane === this.#expectedLane && Math.abs(this.#roundTime - this.#expectedTime) <= stampErrorMs
    if (isRight) this.#trust = Math.min(trustMax, this.#trust + 1)
    else this.#doubt()
  }

  #learn(lane: number, delayMs: number): void {
    const before = this.#delay[lane]!
    const isEarly = delayMs < before - arrivalErrorMs
    const isLate = delayMs > before + arrivalErrorMs
    if (isEarly || isLate) this.#doubt()
    // Late once is late; twice in a row is how long it takes now.
    const lately = Math.min(delayMs, this.#late[lane]!)
    this.#late[lane] = isLate ? delayMs : Number.NaN
    const isNew = Number.isNaN(before) || (isLate && !Number.isNaN(lately))
    if (isNew) this.#delay[lane] = Number.isNaN(lately) ? delayMs : lately
    else this.#delay[lane] = Math.min(delayMs, before + delayGrowthMs)
  }

  #doubt(): void {
    this.#trust = Math.max(0, this.#trust - trustMin / 2)
  }

  /** Also says to `#judge` what it said. */
  #foretell(): number {
    let arrivesMs = Number.NaN
    this.#expectedLane = -1
    const newest = Math.max(this.#newest[lanes.video]! || 0, this.#newest[lanes.audio]! || 0)
    for (let lane = 0; lane < laneCount; lane++) {
      const time = this.#newest[lane]! + this.#step[lane]!
      // A track that has ended, or pauses.
      if (Number.isNaN(time) || newest - time > stepMsMax) continue
      const laneArrivesMs = time + this.#delay[lane]!
      // One of which nothing is known may come at any time.
      if (Number.isNaN(laneArrivesMs)) {
        this.#expectedLane = -1
        return Number.NaN
      }
      if (laneArrivesMs >= arrivesMs) continue
      arrivesMs = laneArrivesMs
      this.#expectedLane = lane
      this.#expectedTime = time
    }
    return arrivesMs
  }
}
