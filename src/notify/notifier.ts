import { Webhook } from 'standardwebhooks'
import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import { type Cancel, sleep } from '../clock.ts'
import { isCoded } from '../errors.ts'
import type { Log } from '../log.ts'
import type { SecretCipher } from '../model/live-input.ts'
import type { InputStateEvent, OutputStateEvent } from '../model/status.ts'
import {
  type Delivery,
  type DeliveryOutcome,
  decodeDelivery,
  decodeDestination,
  decodePolicy,
  deliveryKey,
  deliveryPrefix,
  destinationPrefix,
  inputEventTypes,
  type NotificationPolicy,
  policyPrefix,
  type WebhookDestination,
  type WebhookResendRequest,
  type WebhookTestRequest,
  webhookResendSubject,
  webhookTestSubject,
} from '../model/webhook.ts'
import type { Store } from '../store/store.ts'
import { bodyOf, inputNotification, type Notification, newDeliveryId, outputNotification } from './payload.ts'
import { type PostParts, post } from './post.ts'

export type NotifierParts = PostParts & {
  readonly store: Store
  readonly bus: Bus
  readonly cipher: SecretCipher
  readonly log: Log
  readonly random: () => number
}

/** Tried again after so long, doubled each time up to an hour, with a quarter of chance; given up after a day. */
const firstRetryMs = 5_000
const longestRetryMs = 3_600_000
const givenUpMs = 24 * 3_600_000
/** So many failures, and later events of the same input need not wait any more. */
const failuresThatHoldUp = 5
/** Deliveries that are over are kept for so long, to be looked at and sent again. */
const keptMs = 3 * 24 * 3_600_000
/** Posts under way at once; a receiver that hangs takes one for ten seconds. */
const atOnceMax = 32
const tidyMs = 3_600_000
/** Of all accounts together. Beyond it the oldest that are over go first, then nothing more is taken. */
const deliveriesMax = 10_000

/**
 * From what happens to deliveries to signed POSTs. An event is stored before it is tried, once for each policy that wants it and each of its
 * destinations; tried until the receiver answers 2xx, in order for each input and destination, with the same `webhook-id` each time.
 * Survives a restart: what was pending is read from the store.
 *
 * Owned by the app; `close()` ends what is under way, which is tried again at the next start.
 */
export class Notifier {
  readonly #parts: NotifierParts
  readonly #closing = new AbortController()
  readonly #destinations = new Map<string, WebhookDestination>()
  readonly #policies = new Map<string, NotificationPolicy>()
  /** All deliveries, by key, oldest first: keys sort by time within an account. */
  readonly #deliveries = new Map<string, Delivery>()
  readonly #underWay = new Set<string>()
  readonly #liveInputs = new Set<string>()
  readonly #outputStates = new Map<string, string>()
  #stops: Unsubscribe[] = []
  #watches: Promise<void>[] = []
  #timer: Cancel = () => {}
  #writing: Promise<void> = Promise.resolve()
  /** Outcomes since the start, for metrics. */
  readonly outcomes = { delivered: 0, retried: 0, failed: 0 }

  constructor(parts: NotifierParts) {
    this.#parts = parts
  }

  async start(): Promise<void> {
    const { store, bus, cipher } = this.#parts
    for (const { key, value } of await store.list(deliveryPrefix)) this.#deliveries.set(key, decodeDelivery(value))
    this.#watches = [
      await this.#follow(destinationPrefix, this.#destinations, (value) => decodeDestination(value, cipher)),
      await this.#follow(policyPrefix, this.#policies, decodePolicy),
    ].map(({ ended }) => ended)
    this.#stops = [
      bus.subscribe('state.input.>', (message) => this.#inputChanged(message as unknown as InputStateEvent)),
      bus.subscribe('state.output.>', (message) => this.#outputChanged(message as unknown as OutputStateEvent)),
      bus.respond(webhookTestSubject, async (message, signal) => {
        const destination = decodeDestination((message as WebhookTestRequest).destination, cipher)
        return (await this.#test(destination, signal)) as unknown as Plain
      }),
      bus.respond(webhookResendSubject, async (message) => ({
        sent: await this.#resend(message as WebhookResendRequest),
      })),
    ]
    this.#every(tidyMs, () => this.#tidy())
    this.#sendDue()
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the server ends'))
    this.#timer()
    for (const stop of this.#stops) stop()
    await Promise.all(this.#watches)
    await this.#writing
  }

  /** Follows a prefix into a map; resolves when all current values are in. */
  async #follow<Value>(
    prefix: string,
    into: Map<string, Value>,
    decode: (value: string) => Value,
  ): Promise<{ ended: Promise<void> }> {
    const { store, clock, log } = this.#parts
    const { signal } = this.#closing
    const upToDate = Promise.withResolvers<void>()
    const follow = async () => {
      while (!signal.aborted) {
        try {
          for await (const event of store.watch(prefix, signal)) {
            if (event.type === 'upToDate') upToDate.resolve()
            else if (event.type === 'gap') into.clear()
            else if (event.type === 'delete') into.delete(event.key)
            else into.set(event.entry.key, decode(event.entry.value))
          }
        } catch (error) {
          if (!signal.aborted) log.error({ err: error, prefix }, 'a watch of the notifier ended and is begun anew')
        }
        await sleep(clock, 1_000, signal).catch(() => {})
      }
      upToDate.resolve()
    }
    const ended = follow()
    await upToDate.promise
    return { ended }
  }

  #inputChanged(event: InputStateEvent): void {
    const notification = inputNotification(event, this.#liveInputs.has(event.inputId))
    if (notification?.eventType === 'live_input.connected') this.#liveInputs.add(event.inputId)
    if (notification?.eventType === 'live_input.disconnected') this.#liveInputs.delete(event.inputId)
    if (notification !== undefined) this.#take(notification)
  }

  #outputChanged(event: OutputStateEvent): void {
    const { state } = event.status.current
    const before = this.#outputStates.get(event.outputId)
    const notification = outputNotification(event, before)
    // Between two attempts an output is `connecting`: what counts is what it was before it tried.
    if (state === 'disconnected') this.#outputStates.delete(event.outputId)
    else if (state !== 'connecting') this.#outputStates.set(event.outputId, state)
    if (notification !== undefined) this.#take(notification)
  }

  /** Stores a delivery for each policy and destination that wants the event, in one order. */
  #take(notification: Notification): void {
    const { clock, log } = this.#parts
    const now = clock.now()
    for (const policy of this.#policies.values()) {
      if (!wants(policy, notification)) continue
      for (const destinationId of policy.destinationIds) {
        if (this.#deliveries.size >= deliveriesMax) {
          log.warn({ inputId: notification.inputId }, 'too many notifications wait: this one is left out')
          return
        }
        const delivery: Delivery = {
          id: newDeliveryId(now),
          accountId: policy.accountId,
          destinationId,
          inputId: notification.inputId as Delivery['inputId'],
          eventType: notification.eventType,
          body: bodyOf(notification, policy.name, now),
          created: new Date(now).toISOString(),
          state: 'pending',
          attempts: 0,
          nextAttemptAt: now,
        }
        this.#deliveries.set(deliveryKey(delivery), delivery)
        this.#writing = this.#writing
          .then(() => this.#parts.store.put(deliveryKey(delivery), JSON.stringify(delivery), 'any'))
          .then(
            () => this.#sendDue(),
            (error) => log.error({ err: error }, 'a notification could not be stored'),
          )
      }
    }
  }

  /** Starts what may be sent now, and sets the timer for what comes next. */
  #sendDue(): void {
    if (this.#closing.signal.aborted) return
    const now = this.#parts.clock.now()
    /** Per input and destination: how often the oldest pending one has failed. */
    const heldBy = new Map<string, number>()
    let next = Number.POSITIVE_INFINITY
    for (const [key, delivery] of this.#deliveries) {
      if (delivery.state !== 'pending') continue
      const row = `${delivery.destinationId} ${delivery.inputId}`
      const failures = heldBy.get(row)
      const mayGo = failures === undefined || failures >= failuresThatHoldUp
      heldBy.set(row, Math.min(failures ?? Number.POSITIVE_INFINITY, delivery.attempts))
      if (!mayGo || this.#underWay.has(key)) continue
      const due = delivery.nextAttemptAt ?? now
      if (due > now) next = Math.min(next, due)
      else if (this.#underWay.size < atOnceMax) void this.#send(key, delivery, failures !== undefined)
    }
    this.#timer()
    if (next < Number.POSITIVE_INFINITY) this.#timer = this.#parts.clock.after(next - now, () => this.#sendDue())
  }

  async #send(key: string, delivery: Delivery, outOfOrder: boolean): Promise<void> {
    this.#underWay.add(key)
    const destination = this.#destinations.get(`${destinationPrefix}.${delivery.destinationId}`)
    const outcome =
      destination === undefined
        ? { at: new Date(this.#parts.clock.now()).toISOString(), error: 'the destination was deleted', durationMs: 0 }
        : await this.#post(destination, delivery.id, delivery.body, outOfOrder, this.#closing.signal)
    this.#underWay.delete(key)
    if (this.#closing.signal.aborted) return
    const after = this.#afterAttempt(delivery, outcome, outOfOrder, destination === undefined)
    this.#deliveries.set(key, after)
    try {
      await this.#parts.store.put(key, JSON.stringify(after), 'any', { durability: 'relaxed' })
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'the outcome of a notification could not be stored')
    }
    this.#sendDue()
  }

  #afterAttempt(delivery: Delivery, outcome: DeliveryOutcome, outOfOrder: boolean, isHopeless: boolean): Delivery {
    const { clock, log, random } = this.#parts
    const attempts = delivery.attempts + 1
    const { nextAttemptAt: _, ...rest } = delivery
    const tried = { ...rest, attempts, lastOutcome: outcome, ...(outOfOrder && { outOfOrder }) }
    if (outcome.status !== undefined && outcome.status >= 200 && outcome.status < 300) {
      this.outcomes.delivered++
      return { ...tried, state: 'delivered' }
    }
    const now = clock.now()
    if (isHopeless || now - Date.parse(delivery.created) >= givenUpMs) {
      this.outcomes.failed++
      log.warn({ deliveryId: delivery.id, attempts }, 'a notification was given up')
      return { ...tried, state: 'failed' }
    }
    this.outcomes.retried++
    const waitMs = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(attempts - 1, 20)) * (0.875 + random() * 0.25)
    return { ...tried, state: 'pending', nextAttemptAt: now + Math.round(waitMs) }
  }

  #post(
    destination: WebhookDestination,
    id: string,
    body: string,
    outOfOrder: boolean,
    signal: AbortSignal,
  ): Promise<DeliveryOutcome> {
    const now = new Date(this.#parts.clock.now())
    const signature = new Webhook(destination.signingSecret.reveal()).sign(id, now, body)
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': signature,
      ...(destination.secret !== undefined && { 'cf-webhook-auth': destination.secret.reveal() }),
      ...(outOfOrder && { 'webhook-out-of-order': 'true' }),
    }
    return post(destination.url, headers, body, this.#parts, signal)
  }

  /** What Cloudflare sends when a destination is made: it must be answered with 2xx. */
  #test(destination: WebhookDestination, signal: AbortSignal): Promise<DeliveryOutcome> {
    const now = this.#parts.clock.now()
    const body = JSON.stringify({
      name: destination.name,
      text: 'Hello World! This is a test message sent from stream-connect. If you can see this, your webhook is configured properly.',
      data: {},
      ts: Math.floor(now / 1000),
    })
    return this.#post(destination, newDeliveryId(now), body, false, AbortSignal.any([signal, this.#closing.signal]))
  }

  async #resend({ accountId, id }: WebhookResendRequest): Promise<boolean> {
    const key = `${deliveryPrefix}.${accountId}.${id}`
    const delivery = this.#deliveries.get(key)
    if (delivery === undefined) return false
    const again: Delivery = {
      ...delivery,
      state: 'pending',
      created: new Date(this.#parts.clock.now()).toISOString(),
      attempts: 0,
      nextAttemptAt: this.#parts.clock.now(),
    }
    this.#deliveries.set(key, again)
    await this.#parts.store.put(key, JSON.stringify(again), 'any')
    this.#sendDue()
    return true
  }

  #every(periodMs: number, act: () => void): void {
    this.#stops.push(() => cancel())
    let cancel: Cancel = () => {}
    const again = () => {
      cancel = this.#parts.clock.after(periodMs, () => {
        act()
        again()
      })
    }
    again()
  }

  /** Lets go what has been over for long. */
  #tidy(): void {
    const { clock, store, log } = this.#parts
    const before = clock.now() - keptMs
    for (const [key, delivery] of this.#deliveries) {
      if (delivery.state === 'pending' || Date.parse(delivery.created) > before) continue
      this.#deliveries.delete(key)
      store.delete(key, 'any', { durability: 'relaxed' }).catch((error) => {
        if (!isCoded(error, 'revision_conflict')) log.warn({ err: error }, 'an old notification could not be deleted')
      })
    }
  }
}

function wants(policy: NotificationPolicy, { accountId, inputId, eventType }: Notification): boolean {
  if (!policy.enabled || policy.accountId !== accountId) return false
  if (policy.inputIds.length > 0 && !policy.inputIds.some((id) => id === inputId)) return false
  if (policy.eventTypes.length > 0) return policy.eventTypes.includes(eventType)
  return (inputEventTypes as readonly string[]).includes(eventType)
}
