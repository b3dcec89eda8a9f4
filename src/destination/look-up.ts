import { lookup } from 'node:dns/promises'
import { type Clock, systemClock } from '../clock.ts'

/** Addresses of one name that are looked at. Sixty-four KiB of answer hold four thousand; each is checked against all of our own. */
export const addressesMax = 64

export type ResolvedAddress = { readonly address: string; readonly family: 4 | 6 }

/**
 * All addresses of a host name, in the order of preference. Never cached: an address that changes between two attempts counts.
 * @throws Error whose `code` is the resolver's (ENOTFOUND, EAI_AGAIN, …), or the signal's reason.
 */
export type Resolve = (host: string, signal: AbortSignal) => Promise<readonly ResolvedAddress[]>

/** A look-up that takes longer is a slow one. Name servers answer within some hundred milliseconds; the C library asks again after 5 s. */
const slowMs = 2_000
/** Of the places for look-ups one in so many may have a slow name, and one in so many is kept for quick ones. */
const slowOneIn = 4
/** Hosts of which it is remembered how quick they were: some 100 KB. The one that was asked longest ago is forgotten first. */
const hostsMax = 1_000

/** How the last look-up of a host was. `new` when there was none, or when it has been forgotten. */
type Pace = 'new' | 'quick' | 'slow'

/** What is asked about one host: by one attempt, or by several at the same time. */
type Question = {
  readonly answer: Promise<readonly ResolvedAddress[]>
  readonly settle: (answer: Promise<readonly ResolvedAddress[]>) => void
  /** Attempts that wait for the answer. */
  askers: number
}

/**
 * Look-ups share a few places, because the system's look-up cannot be cancelled: one whose name server is silent has its place for 10 s and
 * more, and asked at each attempt of fifty outputs it would leave none. So names that were slow share few of the places, names that are new
 * more of them, and some are kept for those that were quick. One that was slow and is quick again counts as quick at once.
 *
 * A question that nobody waits for any more leaves the queue: there are no more questions than attempts under way.
 */
export class LookUps {
  readonly #ask: (host: string) => Promise<readonly ResolvedAddress[]>
  readonly #clock: Clock
  readonly #places: number
  readonly #slowPlaces: number
  /** By host, in the order in which they were asked. */
  readonly #waiting = new Map<string, Question>()
  /** Those that have a place: no more than there are places. */
  readonly #underway = new Map<string, Question & { readonly askedAtMs: number }>()
  /** By host, the one that was asked longest ago first. */
  readonly #wasQuick = new Map<string, boolean>()

  /** @param places look-ups that may be under way at the same time. */
  constructor(parts: {
    readonly ask: (host: string) => Promise<readonly ResolvedAddress[]>
    readonly clock: Clock
    readonly places: number
  }) {
    this.#ask = parts.ask
    this.#clock = parts.clock
    this.#places = parts.places
    this.#slowPlaces = Math.max(1, Math.floor(parts.places / slowOneIn))
  }

  readonly resolve: Resolve = async (host, signal) => {
    signal.throwIfAborted()
    const question = this.#underway.get(host) ?? this.#waiting.get(host) ?? this.#newQuestion(host)
    question.askers++
    this.#beginWaiting()
    try {
      return await unlessAborted(question.answer, signal)
    } finally {
      question.askers--
      if (question.askers === 0 && this.#waiting.get(host) === question) this.#waiting.delete(host)
    }
  }

  /** How many names wait for a place. */
  get waiting(): number {
    return this.#waiting.size
  }

  #newQuestion(host: string): Question {
    const { promise: answer, resolve: settle } = Promise.withResolvers<readonly ResolvedAddress[]>()
    // Whoever asked may be gone when it fails.
    answer.catch(() => {})
    const question: Question = { answer, settle, askers: 0 }
    this.#waiting.set(host, question)
    return question
  }

  #beginWaiting(): void {
    for (const [host, question] of this.#waiting) {
      if (this.#underway.size >= this.#places) return
      if (this.#hasPlaceFor(host)) this.#begin(host, question)
    }
  }

  #begin(host: string, question: Question): void {
    const askedAtMs = this.#clock.monotonicMs()
    this.#waiting.delete(host)
    this.#underway.set(host, Object.assign(question, { askedAtMs }))
    question.settle(
      this.#ask(host).finally(() => {
        this.#underway.delete(host)
        this.#remember(host, this.#clock.monotonicMs() - askedAtMs <= slowMs)
        this.#beginWaiting()
      }),
    )
  }

  /** While there is a place at all. */
  #hasPlaceFor(host: string): boolean {
    const pace = this.#paceOf(host)
    if (pace === 'quick') return true
    const underway = { new: 0, quick: 0, slow: 0 }
    for (const [other, { askedAtMs }] of this.#underway) underway[this.#paceOf(other, askedAtMs)]++
    const keptForQuick = Math.min(this.#slowPlaces, this.#places - 1)
    if (underway.new + underway.slow >= this.#places - keptForQuick) return false
    return pace === 'new' || underway.slow < this.#slowPlaces
  }

  #paceOf(host: string, askedAtMs = Number.POSITIVE_INFINITY): Pace {
    if (this.#clock.monotonicMs() - askedAtMs > slowMs) return 'slow'
    const wasQuick = this.#wasQuick.get(host)
    return wasQuick === undefined ? 'new' : wasQuick ? 'quick' : 'slow'
  }

  #remember(host: string, wasQuick: boolean): void {
    this.#wasQuick.delete(host)
    this.#wasQuick.set(host, wasQuick)
    if (this.#wasQuick.size <= hostsMax) return
    for (const [oldest] of this.#wasQuick) {
      this.#wasQuick.delete(oldest)
      return
    }
  }
}

async function askSystem(host: string): Promise<readonly ResolvedAddress[]> {
  const found = await lookup(host, { all: true, order: 'verbatim' })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

/** libuv gives half of its threads to look-ups: 8 of the 16 with which `npm start` and `stream-connect` begin, 2 of its usual 4. */
const threads = Math.max(1, Number(process.env['UV_THREADPOOL_SIZE']) || 4)

/**
 * The system's resolver: /etc/hosts, DNS, and the odd spellings of IPv4 addresses (2130706433, 0x7f.1, 127.1). In the main thread only: all
 * threads of the process share the places.
 */
export const systemResolve: Resolve = new LookUps({
  ask: askSystem,
  clock: systemClock,
  places: Math.ceil(threads / 2),
}).resolve

/** Settles as the promise does, or with the signal's reason if that comes first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
