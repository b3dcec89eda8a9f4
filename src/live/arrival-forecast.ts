import { lanes } from './media-log.ts'

/** Picture and sound; whatever else a feed has comes with them. */
const laneCount = 2
/** Encoders stamp in whole milliseconds, and frames are 16 or 17 apart. */
const stampErrorMs = 2
/** What comes by more than this before or after its time is not to be foretold. */
const arrivalErrorMs = 1.5
/** By how much a lane's delay may grow from one look to the next: an encoder's clock, and a way that has become longer. */
const delayGrowthMs = 0.05
/** Of so many stamps the newest have a say in a lane's rhythm: their rounding is about an eighth of a millisecond then. */
const stampsWeighed = 24
/** By how much it grows each time that a message is looked for in vain: arrivals that scatter are expected at their later times. */
const lateGrowthMs = 0.05
/** A step that is longer is a pause, and one that is shorter no rhythm. */
const stepMsMax = 200
const stepMsMin = 2
/** So many right forecasts in a row until one is believed; one that is wrong costs half of them. */
const trustMin = 16
const trustMax = 2 * trustMin
/** What is slept through is not seen to arrive: each lane is after so many beats, when it is the first to come. */
const looksEvery = 32

/** The rhythm of one lane's stamps, as a line through the newest of them: a filter with a growing, then fading memory (g-h, least squares). */
class Rhythm {
  /** The newest stamp, as it was and on the line; milliseconds on the broadcast's clock. */
  newest = Number.NaN
  smooth = Number.NaN
  step = Number.NaN
  /** Arrival minus stamp on the line, milliseconds; NaN while it was not seen. */
  delay = Number.NaN
  /** The last one that was seen, where it was too long. */
  late = Number.NaN
  /** The last stamp on the line that the beat under way is to bring; NaN where it brings none. */
  expected = Number.NaN
  /** Beats since it was looked at. */
  unseen = 0
  #stamps = 0

  /** @returns whether it came at its time. */
  observe(time: number): boolean {
    const error = time - (this.smooth + this.step)
    const step = time - this.newest
    this.newest = time
    if (Math.abs(error) <= stampErrorMs) {
      const count = Math.min(++this.#stamps, stampsWeighed)
      this.smooth += this.step + error * ((4 * count - 2) / (count * (count + 1)))
      this.step += error * (6 / (count * (count + 1)))
      return true
    }
    this.smooth = time
    this.step = step > 0 && step <= stepMsMax ? step : Number.NaN
    this.#stamps = 2
    return false
  }

  get hasExpected(): boolean {
    return Number.isNaN(this.expected) || this.newest >= this.expected - stampErrorMs
  }
}

/**
 * When the next messages of a feed are likely to arrive, from the times that the encoder stamps: their rhythm, and by how much each of picture
 * and sound uses to arrive behind its stamp. For a thread that would rather sleep until then than be woken by it, and that would like to send
 * together what comes soon after each other. Says nothing of a feed that does not keep its rhythm. Pure: times come in.
 */
export class ArrivalForecast {
  readonly #rhythms = Array.from({ length: laneCount }, () => new Rhythm())
  /** What came first since the last round, and its stamp on the line. */
  #first: Rhythm | undefined
  #firstTime = Number.NaN
  /** The same of the round under way. */
  #roundFirst: Rhythm | undefined
  #roundTime = Number.NaN
  #isPlanned = false
  #trust = 0
  /** Of the beat that was planned: when its last message should be there, monotonic. */
  #lastMs = Number.NaN
  /** This beat is to be seen to arrive. */
  isLook = false

  /** Each picture and sound that comes. @param time milliseconds on the broadcast's clock. */
  observe(lane: number, time: number): void {
    if (lane !== lanes.video && lane !== lanes.audio) return
    const rhythm = this.#rhythms[lane]!
    if (!rhythm.observe(time)) this.#doubt()
    if (this.#first !== undefined) return
    this.#first = rhythm
    this.#firstTime = rhythm.smooth
  }

  /** Whether everything has come that the beat under way is to bring. */
  get isComplete(): boolean {
    for (const rhythm of this.#rhythms) if (!rhythm.hasExpected) return false
    return true
  }

  /** Whether to wait a little for a message of the beat under way: it is late, and not too late. @param nowMs monotonic. */
  isWorthWaiting(nowMs: number): boolean {
    if (this.isComplete || !(nowMs >= this.#lastMs && nowMs < this.#lastMs + arrivalErrorMs)) return false
    for (const rhythm of this.#rhythms) if (!rhythm.hasExpected) rhythm.delay += lateGrowthMs
    return true
  }

  /** At the beginning of each round. */
  roundBegins(): void {
    this.#roundFirst = this.#first
    this.#roundTime = this.#firstTime
    this.#first = undefined
  }

  /**
   * At the end of a round, where somebody wants to know: a beat is what arrives within `gatherMs` of its first message.
   * @param nowMs monotonic, as all times here.
   * @param arrivedMs when the first message of the last round was seen to arrive; NaN when the thread slept then.
   * @returns when the last message of the next beat is likely to arrive; NaN where that cannot be said.
   */
  nextBeat(gatherMs: number, nowMs: number, arrivedMs: number): number {
    // A round before its time, of what nothing is known, says nothing of it.
    if (this.#isPlanned && nowMs >= this.#lastMs) {
      if (this.isComplete) this.#trust = Math.min(trustMax, this.#trust + 1)
      else this.#doubt()
    }
    if (this.#roundFirst !== undefined && !Number.isNaN(arrivedMs))
      this.#learn(this.#roundFirst, arrivedMs - this.#roundTime)
    // What is there has come, whether it was seen or not.
    for (const rhythm of this.#rhythms) rhythm.delay = Math.min(rhythm.delay, nowMs - rhythm.smooth)
    for (const rhythm of this.#rhythms) rhythm.unseen++
    const arrivesMs = this.#plan(gatherMs)
    return this.#trust < trustMin ? Number.NaN : arrivesMs
  }

  #learn(rhythm: Rhythm, delayMs: number): void {
    const before = rhythm.delay
    const isEarly = delayMs < before - arrivalErrorMs
    const isLate = delayMs > before + arrivalErrorMs
    if (isEarly || isLate) this.#doubt()
    // Late once is late; twice in a row is how long it takes now.
    const lately = Math.min(delayMs, rhythm.late)
    rhythm.late = isLate ? delayMs : Number.NaN
    const isNew = Number.isNaN(before) || (isLate && !Number.isNaN(lately))
    if (isNew) rhythm.delay = Number.isNaN(lately) ? delayMs : lately
    else rhythm.delay = Math.min(delayMs, before + delayGrowthMs)
  }

  #doubt(): void {
    this.#trust = Math.max(0, this.#trust - trustMin / 2)
  }

  #plan(gatherMs: number): number {
    const [one, other] = this.#rhythms as [Rhythm, Rhythm]
    this.#isPlanned = false
    one.expected = other.expected = Number.NaN
    const newest = Math.max(one.newest || 0, other.newest || 0)
    let oneMs = nextArrivalMs(one, newest)
    let otherMs = nextArrivalMs(other, newest)
    // Of one nothing is known; of none is there anything to come.
    if (Number.isNaN(oneMs + otherMs) || !Number.isFinite(Math.min(oneMs, otherMs))) return Number.NaN
    this.#isPlanned = true
    const firstMs = Math.min(oneMs, otherMs)
    // By lane: counted in beats alone, looks fall on the same lane for ever where rates are multiples of one another.
    const first = oneMs <= otherMs ? one : other
    this.isLook = first.unseen >= looksEvery
    if (this.isLook) first.unseen = 0
    let lastMs = firstMs
    while (Math.min(oneMs, otherMs) <= firstMs + gatherMs) {
      lastMs = Math.min(oneMs, otherMs)
      if (oneMs <= otherMs) {
        one.expected = (one.expected || one.smooth) + one.step
        oneMs += one.step
      } else {
        other.expected = (other.expected || other.smooth) + other.step
        otherMs += other.step
      }
    }
    this.#lastMs = lastMs
    return lastMs
  }
}

/** @returns monotonic milliseconds; infinity for a track that has ended, or pauses; NaN for one that may come at any time. */
function nextArrivalMs(rhythm: Rhythm, newest: number): number {
  const time = rhythm.smooth + rhythm.step
  if (Number.isNaN(rhythm.newest) || newest - time > stepMsMax) return Number.POSITIVE_INFINITY
  return rhythm.step < stepMsMin ? Number.NaN : time + rhythm.delay
}
