import type { Cancel, Clock } from '../clock.ts'
import { isCoded } from '../errors.ts'
import type { Log } from '../log.ts'
import {
  type Delivery,
  type DeliveryOutcome,
  decodeDelivery,
  deliveryKey,
  deliveryPrefix,
  isAccepted,
  type WebhookDeliveriesAnswer,
  type WebhookDeliveriesRequest,
} from '../model/webhook.ts'
import type { Store } from '../store/store.ts'

/** Tried again after so long, doubled each time up to an hour, an eighth more or less; given up after a day. */
const firstRetryMs = 5_000
const longestRetryMs = 3_600_000
const waitMsMax = longestRetryMs * 1.125
export const givenUpMs = 24 * 3_600_000
/** So many failures (a minute and more), and later events of the same input need not wait any longer. */
export const failuresThatHoldUp = 5
/** Deliveries that are over are kept for so long, to be looked at and sent again. */
export const keptMs = 3 * 24 * 3_600_000
const tidyMs = 3_600_000
/** Attempts under way at once: a receiver that hangs takes each for ten seconds, and must not take those of the others. */
export const atOnceMax = 256
/** A quarter: whoever has many receivers that hang does not hold up another account. */
export const atOnceOfAccountMax = 64
const atOnceOfDestinationMax = 8
/** For each account, some kilobytes each: a receiver that is gone for a day must not fill memory and disk. */
export const pendingMax = 5_000
export const deliveriesMax = 10_000

export type DeliveryQueueParts = {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** 0 to 1. */
  readonly random: () => number
  /** One attempt. Never throws. Undefined: the destination was deleted. */
  readonly attempt: (
    delivery: Delivery,
    isOutOfOrder: boolean,
    signal: AbortSignal,
  ) => Promise<DeliveryOutcome | undefined>
}

/**
 * Deliveries on their way. Each is stored before it is tried, tried until the receiver answers 2xx or a day is over, in order for each
 * destination and input. What is pending survives a restart, and so does the order.
 *
 * Owned by the notifier; `close()` ends what is under way, which is tried again at the next start.
 */
export class DeliveryQueue {
  readonly #parts: DeliveryQueueParts
  readonly #closing = new AbortController()
  /** All that are kept, by key, about in the order of their ids. */
  readonly #accounts = new Map<string, Map<string, Delivery>>()
  /** Keys of what is pending, the oldest first; within a row one waits for the other. */
  readonly #rows = new Map<string, Set<string>>()
  readonly #pendingOf = new Map<string, number>()
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #underWayTo = new Tally()
  readonly #underWayOf = new Tally()
  #timer: Cancel = () => {}
  #tidyTimer: Cancel = () => {}
  #isWoken = false
  /** Attempts since the start, for metrics; `failed`: given up. */
  readonly outcomes = { delivered: 0, retried: 0, failed: 0 }

  constructor(parts: DeliveryQueueParts) {
    this.#parts = parts
  }

  /** Takes up what an earlier run left. @param onDelivery each one's id. */
  async load(onDelivery: (id: string) => void): Promise<void> {
    const { store, log } = this.#parts
    for (const { key, value } of await store.list(deliveryPrefix)) {
      try {
        const delivery = decodeDelivery(value)
        onDelivery(delivery.id)
        this.#keep(delivery)
        if (delivery.state === 'pending') this.#queue(delivery)
      } catch (error) {
        log.error({ key, err: error }, 'a stored document cannot be read and is left out')
      }
    }
  }

  /** From now on deliveries are sent. */
  start(): void {
    this.#tidy()
    this.#wake()
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the server ends'))
    this.#timer()
    this.#tidyTimer()
    await Promise.all(this.#underWay.values())
  }

  /** Stores new deliveries, all of one event; they are tried once that is done. One that exists already is left as it is. */
  async add(deliveries: readonly Delivery[]): Promise<void> {
    await Promise.all(deliveries.map((delivery) => this.#store(delivery)))
    for (const delivery of deliveries) {
      if (this.#find(delivery) !== undefined) continue
      this.#makeRoom(delivery.accountId)
      this.#keep(delivery)
      this.#queue(delivery)
    }
    this.#wake()
  }

  /** A delivery that is over is sent once more, whatever else is on its way; one that is pending need not wait for its time. */
  async resend(accountId: string, id: string): Promise<Delivery | undefined> {
    const before = this.#find({ accountId, id })
    if (before === undefined) return undefined
    const now = this.#parts.clock.now()
    if (before.state === 'pending') {
      const delivery = { ...before, nextAttemptAt: now }
      this.#change(delivery)
      this.#wake()
      return delivery
    }
    const delivery: Delivery = {
      ...before,
      state: 'pending',
      resent: true,
      failures: 0,
      nextAttemptAt: now,
      giveUpAt: now + givenUpMs,
    }
    await this.#parts.store.put(deliveryKey(delivery), JSON.stringify(delivery), 'any')
    // Somebody else may have asked for the same meanwhile.
    const current = this.#find(delivery)
    if (current !== undefined && current !== before) return current
    this.#keep(delivery)
    this.#queue(delivery)
    this.#wake()
    return delivery
  }

  list({ accountId, before, limit, ...wanted }: WebhookDeliveriesRequest): WebhookDeliveriesAnswer {
    const fitting = [...(this.#accounts.get(accountId)?.values() ?? [])].filter(
      (delivery) =>
        (before === undefined || delivery.id < before) &&
        (wanted.destinationId ?? delivery.destinationId) === delivery.destinationId &&
        (wanted.inputId ?? delivery.inputId) === delivery.inputId &&
        (wanted.state ?? delivery.state) === delivery.state,
    )
    fitting.sort((a, b) => (a.id < b.id ? 1 : -1))
    return { deliveries: fitting.slice(0, limit), hasMore: fitting.length > limit }
  }

  /** A destination was deleted: what waits for it fails now. */
  giveUp(destinationId: string): void {
    const now = this.#parts.clock.now()
    for (const deliveries of this.#accounts.values())
      for (const [key, delivery] of deliveries)
        if (delivery.state === 'pending' && delivery.destinationId === destinationId && !this.#underWay.has(key))
          this.#change({ ...delivery, failures: failuresThatHoldUp, nextAttemptAt: now })
    this.#wake()
  }

  #find(which: { readonly accountId: string; readonly id: string }): Delivery | undefined {
    return this.#accounts.get(which.accountId)?.get(deliveryKey(which))
  }

  #keep(delivery: Delivery): void {
    const ofAccount = this.#accounts.get(delivery.accountId) ?? new Map<string, Delivery>()
    this.#accounts.set(delivery.accountId, ofAccount.set(deliveryKey(delivery), delivery))
  }

  #queue(delivery: Delivery): void {
    const row = rowOf(delivery)
    const keys = this.#rows.get(row)
    if (keys === undefined) this.#rows.set(row, new Set([deliveryKey(delivery)]))
    else keys.add(deliveryKey(delivery))
    this.#pendingOf.set(delivery.accountId, (this.#pendingOf.get(delivery.accountId) ?? 0) + 1)
  }

  #unqueue(delivery: Delivery): void {
    const row = rowOf(delivery)
    const keys = this.#rows.get(row)
    keys?.delete(deliveryKey(delivery))
    if (keys?.size === 0) this.#rows.delete(row)
    this.#pendingOf.set(delivery.accountId, (this.#pendingOf.get(delivery.accountId) ?? 1) - 1)
  }

  /** A delivery that is there changes: in memory now, in the store soon. */
  #change(delivery: Delivery): void {
    const before = this.#find(delivery)
    this.#keep(delivery)
    if (before?.state === 'pending' && delivery.state !== 'pending') this.#unqueue(before)
    // The outcome may be lost with the power; then it is tried once more.
    this.#parts.store
      .put(deliveryKey(delivery), JSON.stringify(delivery), 'any', { durability: 'relaxed' })
      .catch((error) => this.#storeFailed(error))
  }

  async #store(delivery: Delivery): Promise<void> {
    try {
      await this.#parts.store.put(deliveryKey(delivery), JSON.stringify(delivery), 'absent')
    } catch (error) {
      // It was made before a crash. Or the disk is full, and then it is better sent unstored than not at all.
      if (!isCoded(error, 'revision_conflict')) this.#storeFailed(error)
    }
  }

  #storeFailed(error: unknown): void {
    if (!this.#closing.signal.aborted) this.#parts.log.error({ err: error }, 'a notification could not be stored')
  }

  #wake(): void {
    if (this.#isWoken || this.#closing.signal.aborted) return
    this.#isWoken = true
    queueMicrotask(() => {
      this.#isWoken = false
      this.#sendDue()
    })
  }

  /** Starts what may be sent now, and sets the timer for what comes next. */
  #sendDue(): void {
    if (this.#closing.signal.aborted) return
    const now = this.#parts.clock.now()
    let next = Number.POSITIVE_INFINITY
    for (const keys of this.#rows.values()) {
      /** Of those before it in the row, the failures of the one that failed least. */
      let failuresBefore = Number.POSITIVE_INFINITY
      for (const key of keys) {
        if (failuresBefore < failuresThatHoldUp) break
        const delivery = this.#deliveryOf(key)
        const isOutOfOrder = failuresBefore < Number.POSITIVE_INFINITY
        failuresBefore = Math.min(failuresBefore, delivery.failures)
        if (this.#underWay.has(key)) continue
        const at = delivery.nextAttemptAt ?? now
        // Longer than any wait that is ever begun: the clock of the machine was set back meanwhile.
        const due = at - now > waitMsMax ? now : at
        if (due > now) next = Math.min(next, due)
        else if (this.#hasRoom(delivery)) this.#begin(key, delivery, isOutOfOrder)
      }
    }
    this.#timer()
    if (next < Number.POSITIVE_INFINITY) this.#timer = this.#parts.clock.after(next - now, () => this.#sendDue())
  }

  #deliveryOf(key: string): Delivery {
    return this.#accounts.get(key.split('.')[1]!)!.get(key)!
  }

  #hasRoom({ accountId, destinationId }: Delivery): boolean {
    return (
      this.#underWay.size < atOnceMax &&
      this.#underWayOf.of(accountId) < atOnceOfAccountMax &&
      this.#underWayTo.of(destinationId) < atOnceOfDestinationMax
    )
  }

  #begin(key: string, delivery: Delivery, isOutOfOrder: boolean): void {
    const { accountId, destinationId } = delivery
    this.#underWayOf.add(accountId, 1)
    this.#underWayTo.add(destinationId, 1)
    const attempt = this.#parts.attempt(delivery, isOutOfOrder, this.#closing.signal).then((outcome) => {
      this.#underWay.delete(key)
      this.#underWayOf.add(accountId, -1)
      this.#underWayTo.add(destinationId, -1)
      // An attempt that the end of the server cut short does not count.
      if (this.#closing.signal.aborted && !(outcome !== undefined && isAccepted(outcome))) return
      // It may have been asked for again, or have given way to newer ones meanwhile.
      const current = this.#find(delivery)
      if (current?.state === 'pending') this.#change(this.#after(current, outcome, isOutOfOrder))
      this.#wake()
    })
    this.#underWay.set(key, attempt)
  }

  #after(delivery: Delivery, outcome: DeliveryOutcome | undefined, isOutOfOrder: boolean): Delivery {
    const { clock, random } = this.#parts
    const now = clock.now()
    const { nextAttemptAt: _, giveUpAt = now, ...rest } = delivery
    if (outcome === undefined)
      return this.#failed({ ...rest, lastOutcome: withoutAnswer('The destination was deleted.', now) })
    const { outOfOrder: __, ...others } = rest
    const tried = {
      ...others,
      attempts: delivery.attempts + 1,
      lastOutcome: outcome,
      ...(isOutOfOrder && { outOfOrder: true }),
    }
    if (isAccepted(outcome)) {
      this.outcomes.delivered++
      return { ...tried, state: 'delivered' }
    }
    const failures = delivery.failures + 1
    if (now >= giveUpAt) return this.#failed({ ...tried, failures })
    this.outcomes.retried++
    const waitMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 20)) * (0.875 + random() * 0.25)
    return {
      ...tried,
      failures,
      state: 'pending',
      nextAttemptAt: Math.min(now + Math.round(waitMs), giveUpAt),
      giveUpAt,
    }
  }

  #failed(delivery: Delivery): Delivery {
    this.outcomes.failed++
    const { id, destinationId, attempts, lastOutcome } = delivery
    this.#parts.log.warn({ deliveryId: id, destinationId, attempts, lastOutcome }, 'a notification was given up')
    return { ...delivery, state: 'failed' }
  }

  /** Of what waits, the oldest give way: whoever comes back after long wants to know how things are now. */
  #makeRoom(accountId: string): void {
    const deliveries = this.#accounts.get(accountId)
    if (deliveries === undefined) return
    if ((this.#pendingOf.get(accountId) ?? 0) >= pendingMax)
      for (const delivery of deliveries.values()) {
        if (delivery.state !== 'pending') continue
        const { nextAttemptAt: _, giveUpAt: __, ...rest } = delivery
        const outcome = withoutAnswer(`More than ${pendingMax} notifications waited.`, this.#parts.clock.now())
        this.#change(this.#failed({ ...rest, lastOutcome: outcome }))
        break
      }
    if (deliveries.size >= deliveriesMax)
      for (const delivery of deliveries.values()) {
        if (delivery.state === 'pending') continue
        this.#forget(delivery)
        break
      }
  }

  #forget(delivery: Delivery): void {
    const key = deliveryKey(delivery)
    const ofAccount = this.#accounts.get(delivery.accountId)
    ofAccount?.delete(key)
    if (ofAccount?.size === 0) this.#accounts.delete(delivery.accountId)
    this.#parts.store.delete(key, 'any', { durability: 'relaxed' }).catch((error) => {
      if (!isCoded(error, 'revision_conflict')) this.#storeFailed(error)
    })
  }

  /** Once an hour: lets go what has been over for long. */
  #tidy(): void {
    const before = this.#parts.clock.now() - keptMs
    for (const deliveries of [...this.#accounts.values()])
      for (const delivery of deliveries.values()) {
        const overSince = delivery.lastOutcome?.at ?? delivery.created
        if (delivery.state !== 'pending' && Date.parse(overSince) <= before) this.#forget(delivery)
      }
    this.#tidyTimer = this.#parts.clock.after(tidyMs, () => this.#tidy())
  }
}

/** Counts by name; who has none takes no memory. */
class Tally {
  readonly #counts = new Map<string, number>()

  of(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  add(name: string, change: number): void {
    const count = this.of(name) + change
    if (count === 0) this.#counts.delete(name)
    else this.#counts.set(name, count)
  }
}

/** Deliveries of one row go one after the other. */
function rowOf({ destinationId, inputId, id, resent }: Delivery): string {
  return resent ? `${destinationId} ${inputId} ${id}` : `${destinationId} ${inputId}`
}

function withoutAnswer(error: string, nowMs: number): DeliveryOutcome {
  return { at: new Date(nowMs).toISOString(), error, durationMs: 0 }
}
