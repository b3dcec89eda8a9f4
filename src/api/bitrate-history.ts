import { z } from 'zod'
import type { Bus, Unsubscribe } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import type { BitratesOfInput } from './dashboard-types.ts'
import { notAuthenticated, notFound, success } from './envelope.ts'
import { isFigures } from './figures.ts'
import type { HttpRoutes } from './routes.ts'
import { id } from './schemas.ts'

/** What the dashboard's graph shows: ten minutes, a figure a second, 2.4 KB for each live input that is or was live in that time. */
const lengthMax = 600
const stepMs = 1_000

type Kept = { readonly accountId: AccountId; readonly kbps: Float32Array; newest: number }

/**
 * What came in at each live input in the last ten minutes, for a person who opens its page now. Lives from its construction to `close()`;
 * nothing survives a restart.
 */
export class BitrateHistory {
  readonly #clock: Clock
  readonly #isInput: (uid: LiveInputId) => boolean
  readonly #kept = new Map<LiveInputId, Kept>()
  readonly #unsubscribe: Unsubscribe
  #sweptAt: number

  /** @param isInput figures of what is no live input are not kept. */
  constructor({ bus, clock, isInput }: { bus: Bus; clock: Clock; isInput: (uid: LiveInputId) => boolean }) {
    this.#clock = clock
    this.#isInput = isInput
    this.#sweptAt = this.#now()
    this.#unsubscribe = bus.subscribe('figures.>', (message) => {
      if (isFigures(message)) this.#remember(message.accountId, message.inputId, message.input.bitrateKbps)
    })
  }

  /** Kilobits per second, oldest first, the last one of this second; null where nothing was live. Empty: nothing in ten minutes. */
  of(accountId: AccountId, input: LiveInputId): readonly (number | null)[] {
    const kept = this.#kept.get(input)
    if (kept?.accountId !== accountId) return []
    const now = this.#now()
    const all = Array.from({ length: lengthMax }, (_, index) => {
      const second = now - lengthMax + 1 + index
      const kbps = second > kept.newest || second <= kept.newest - lengthMax ? Number.NaN : kept.kbps[place(second)]!
      return Number.isNaN(kbps) ? null : Math.round(kbps)
    })
    const first = all.findIndex((kbps) => kbps !== null)
    return first === -1 ? [] : all.slice(first)
  }

  close(): void {
    this.#unsubscribe()
    this.#kept.clear()
  }

  #remember(accountId: AccountId, input: LiveInputId, kbps: number): void {
    const now = this.#now()
    this.#sweep(now)
    if (!this.#isInput(input)) return
    let kept = this.#kept.get(input)
    if (kept === undefined) {
      kept = { accountId, kbps: new Float32Array(lengthMax).fill(Number.NaN), newest: now }
      this.#kept.set(input, kept)
    }
    for (let second = Math.max(kept.newest + 1, now - lengthMax + 1); second < now; second++)
      kept.kbps[place(second)] = Number.NaN
    kept.kbps[place(now)] = kbps
    kept.newest = now
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < lengthMax / 10) return
    this.#sweptAt = now
    for (const [input, { newest }] of this.#kept)
      if (now - newest >= lengthMax || !this.#isInput(input)) this.#kept.delete(input)
  }

  /** Whole seconds of the clock that only goes forward. */
  #now(): number {
    return Math.floor(this.#clock.monotonicMs() / stepMs)
  }
}

function place(second: number): number {
  return ((second % lengthMax) + lengthMax) % lengthMax
}

const params = z.object({
  account_id: id as unknown as z.ZodType<AccountId>,
  input_id: id as unknown as z.ZodType<LiveInputId>,
})

/** For the graph of a live input's page. */
export function addBitrateRoute(
  routes: HttpRoutes,
  history: BitrateHistory,
  exists: (accountId: AccountId, input: LiveInputId) => boolean,
): void {
  routes.get(
    '/dashboard/bitrates/:account_id/:input_id',
    { schema: { params } },
    ({ params: { account_id, input_id }, principal }) => {
      if (!principal.mayUse(account_id, 'read')) throw notAuthenticated()
      if (!exists(account_id, input_id)) throw notFound('live input', input_id)
      return success<BitratesOfInput>({ stepMs, kbps: history.of(account_id, input_id) })
    },
  )
}
