import { Webhook } from 'standardwebhooks'
import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import type { Log } from '../log.ts'
import type { SecretCipher } from '../model/live-input.ts'
import type { InputStateEvent, OutputStateEvent, ToldFigures } from '../model/status.ts'
import {
  type Delivery,
  type DeliveryOutcome,
  decodeDestination,
  decodePolicy,
  destinationKey,
  destinationPrefix,
  inputEventTypes,
  isAccepted,
  type NotificationPolicy,
  policyPrefix,
  receiverPrefix,
  type WebhookDeliveriesRequest,
  type WebhookDestination,
  type WebhookResendRequest,
  type WebhookTestRequest,
  webhookDeliveriesSubject,
  webhookResendSubject,
  webhookTestSubject,
} from '../model/webhook.ts'
import type { Store } from '../store/store.ts'
import { DeliveryQueue, givenUpMs } from './delivery-queue.ts'
import { FeedTroubles } from './feed-troubles.ts'
import { followInto } from './follow.ts'
import { Ledger } from './ledger.ts'
import {
  bodyOf,
  deliveryId,
  EventIds,
  type Happening,
  inputHappening,
  type Notification,
  outputHappening,
  restartHappening,
  type ToldOutput,
  testBody,
  troubleHappening,
} from './payload.ts'
import { type PostParts, post } from './post.ts'
import { Receivers } from './receivers.ts'

export type NotifierParts = PostParts & {
  readonly store: Store
  readonly bus: Bus
  readonly cipher: SecretCipher
  readonly log: Log
  readonly random: () => number
}

/** A live input that is live, as its receivers know it. */
type LiveInput = {
  /** An encoder is there; not while it is waited for. */
  isFed: boolean
  readonly outputs: Map<string, ToldOutput>
  readonly troubles: FeedTroubles
}

/**
 * From what happens to deliveries to signed POSTs: hears of changes on the bus, writes them down (Ledger), makes one delivery for each
 * policy that wants the event and each of its destinations, and has them sent (DeliveryQueue). docs/webhooks.md says what is promised.
 *
 * Owned by the app: starts before anything can be live, closes after everything has ended, so that the last events are stored.
 */
export class Notifier {
  readonly #parts: NotifierParts
  readonly #closing = new AbortController()
  readonly #ids = new EventIds()
  readonly #ledger: Ledger
  readonly #queue: DeliveryQueue
  readonly #receivers: Receivers
  readonly #destinations = new Map<string, WebhookDestination>()
  readonly #policies = new Map<string, NotificationPolicy>()
  readonly #liveInputs = new Map<string, LiveInput>()
  #stops: Unsubscribe[] = []
  #watches: readonly Promise<void>[] = []

  constructor(parts: NotifierParts) {
    this.#parts = parts
    this.#ledger = new Ledger({ ...parts, fanOut: (notification) => this.#fanOut(notification) })
    this.#queue = new DeliveryQueue({
      ...parts,
      attempt: (delivery, isOutOfOrder, signal) => this.#attempt(delivery, isOutOfOrder, signal),
    })
    this.#receivers = new Receivers(parts.store, parts.log)
  }

  /** Attempts since the start, for metrics; `failed`: given up. */
  get outcomes(): { readonly delivered: number; readonly retried: number; readonly failed: number } {
    return this.#queue.outcomes
  }

  async start(): Promise<void> {
    const { bus, cipher } = this.#parts
    const { signal } = this.#closing
    const onId = (id: string) => this.#ids.startAfter(id)
    await this.#queue.load(onId)
    await this.#receivers.load()
    const readDestination = (value: string) => decodeDestination(value, cipher)
    const onDeleted = (key: string) => this.#queue.giveUp(key.split('.')[2]!)
    const destinations = this.#destinations
    this.#watches = [
      await followInto(destinationPrefix, destinations, readDestination, this.#parts, signal, onDeleted),
      await followInto(policyPrefix, this.#policies, decodePolicy, this.#parts, signal),
    ].map(({ ended }) => ended)
    this.#receivers.prune((key) => destinations.has(`${destinationPrefix}${key.slice(receiverPrefix.length)}`))

    for (const { accountId, inputId } of await this.#ledger.load(onId))
      this.#record(restartHappening(accountId, inputId), false)
    await this.#ledger.flush()

    this.#stops = [
      bus.subscribe('state.input.>', (message) => this.#inputChanged(message as unknown as InputStateEvent)),
      bus.subscribe('state.output.>', (message) => this.#outputChanged(message as unknown as OutputStateEvent)),
      bus.subscribe('figures.>', (message) => this.#figuresCame(message as unknown as ToldFigures)),
      bus.respond(webhookTestSubject, async (message, abandoned) => {
        const destination = readDestination((message as WebhookTestRequest).destination)
        return (await this.#test(destination, AbortSignal.any([abandoned, signal]))) as unknown as Plain
      }),
      bus.respond(webhookResendSubject, async (message) => {
        const { accountId, id } = message as WebhookResendRequest
        return { delivery: (await this.#queue.resend(accountId, id)) as unknown as Plain }
      }),
      bus.respond(
        webhookDeliveriesSubject,
        (message) => this.#queue.list(message as unknown as WebhookDeliveriesRequest) as unknown as Plain,
      ),
    ]
    this.#queue.start()
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop()
    await this.#ledger.flush()
    this.#closing.abort(new Error('the server ends'))
    await this.#queue.close()
    await this.#receivers.flush()
    await Promise.all(this.#watches)
  }

  #inputChanged(event: InputStateEvent): void {
    const { inputId, status } = event
    const live = this.#liveInputs.get(inputId)
    const happening = inputHappening(event, live !== undefined)
    if (live !== undefined) {
      live.isFed = status.current.state === 'connected'
      if (!live.isFed) live.troubles.interrupt()
    }
    if (happening === undefined) return
    const isLive = happening.eventType === 'live_input.connected'
    if (isLive) this.#liveInputs.set(inputId, { isFed: true, outputs: new Map(), troubles: new FeedTroubles() })
    else this.#liveInputs.delete(inputId)
    this.#record(happening, isLive)
  }

  #outputChanged(event: OutputStateEvent): void {
    const outputs = this.#liveInputs.get(event.inputId)?.outputs
    // Outputs run while their input is live. What one says after that is its farewell.
    if (outputs === undefined) return
    const { state } = event.status.current
    const before = outputs.get(event.outputId)
    const happening = outputHappening(event, before)
    // Between two attempts an output is `connecting`: what counts is what it was before it tried.
    if (state === 'disconnected') outputs.delete(event.outputId)
    else if (state === 'connected' || state === 'error') outputs.set(event.outputId, state)
    else if (state === 'reconnecting' && before !== 'error') outputs.set(event.outputId, state)
    if (happening !== undefined && this.#isWanted(happening)) this.#record(happening, true)
  }

  #figuresCame(figures: ToldFigures): void {
    const live = this.#liveInputs.get(figures.inputId)
    if (live === undefined || !live.isFed) return
    for (const trouble of live.troubles.observe(figures, this.#parts.clock.monotonicMs())) {
      const happening = troubleHappening(figures.accountId, figures.inputId, trouble)
      if (this.#isWanted(happening)) this.#record(happening, true)
    }
  }

  #isWanted(happening: Happening): boolean {
    return this.#policies.values().some((policy) => wants(policy, happening))
  }

  #record(happening: Happening, isLive: boolean): void {
    const { accountId, inputId } = happening
    const at = this.#parts.clock.now()
    const notification: Notification = { ...happening, id: this.#ids.next(at), at }
    this.#ledger.record(accountId, inputId, { isLive, ...(this.#isWanted(happening) && { notification }) })
  }

  async #fanOut(notification: Notification): Promise<void> {
    const deliveries = this.#policies
      .values()
      .filter((policy) => wants(policy, notification))
      .flatMap((policy) =>
        policy.destinationIds
          .filter((id) => this.#destinations.has(destinationKey({ accountId: policy.accountId, id })))
          .map((destinationId) => newDelivery(notification, policy, destinationId)),
      )
    await this.#queue.add([...deliveries].sort((a, b) => (a.id < b.id ? -1 : 1)))
  }

  async #attempt(delivery: Delivery, isOutOfOrder: boolean, signal: AbortSignal): Promise<DeliveryOutcome | undefined> {
    const { accountId, destinationId } = delivery
    const destination = this.#destinations.get(destinationKey({ accountId, id: destinationId }))
    if (destination === undefined) return undefined
    const outcome = await this.#post(destination, delivery.id, delivery.body, isOutOfOrder, signal)
    if (!signal.aborted) this.#receivers.heard(destination, outcome)
    return outcome
  }

  async #test(destination: WebhookDestination, signal: AbortSignal): Promise<DeliveryOutcome> {
    const now = this.#parts.clock.now()
    const outcome = await this.#post(destination, this.#ids.next(now), testBody(destination.name, now), false, signal)
    // Where it fails, one that was just being made will not be.
    if (isAccepted(outcome) || this.#destinations.has(destinationKey(destination)))
      this.#receivers.heard(destination, outcome)
    return outcome
  }

  #post(
    { url, secret, signingSecret }: WebhookDestination,
    id: string,
    body: string,
    isOutOfOrder: boolean,
    signal: AbortSignal,
  ): Promise<DeliveryOutcome> {
    const now = new Date(this.#parts.clock.now())
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(signingSecret.reveal()).sign(id, now, body),
      ...(secret !== undefined && { 'cf-webhook-auth': secret.reveal() }),
      ...(isOutOfOrder && { 'webhook-out-of-order': 'true' }),
    }
    return post(url, headers, body, this.#parts, signal)
  }
}

function wants(policy: NotificationPolicy, { accountId, inputId, eventType }: Happening): boolean {
  if (!policy.enabled || policy.accountId !== accountId) return false
  if (policy.inputIds.length > 0 && !policy.inputIds.some((id) => id === inputId)) return false
  if (policy.eventTypes.length > 0) return policy.eventTypes.includes(eventType)
  return (inputEventTypes as readonly string[]).includes(eventType)
}

function newDelivery(notification: Notification, policy: NotificationPolicy, destinationId: string): Delivery {
  const { id, at, eventType } = notification
  return {
    id: deliveryId(id, policy.id, destinationId),
    accountId: policy.accountId,
    policyId: policy.id,
    destinationId,
    inputId: notification.inputId as Delivery['inputId'],
    eventType,
    body: bodyOf(notification, policy),
    created: new Date(at).toISOString(),
    state: 'pending',
    attempts: 0,
    failures: 0,
    nextAttemptAt: at,
    giveUpAt: at + givenUpMs,
  }
}
