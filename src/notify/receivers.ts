import type { Log } from '../log.ts'
import {
  type DeliveryOutcome,
  decodeReceiver,
  isAccepted,
  type ReceiverStatus,
  receiverKey,
  receiverPrefix,
  type WebhookDestination,
} from '../model/webhook.ts'
import type { Store } from '../store/store.ts'

type Receiver = { status: ReceiverStatus; isDirty: boolean; writing: Promise<void> | undefined }

/**
 * When each destination last answered and last did not: `last_success` and `last_failure` of the API, which reads them from the store. One
 * write at a time for each, so that a burst of notifications is a few of them. Owned by the notifier.
 */
export class Receivers {
  readonly #store: Store
  readonly #log: Log
  readonly #receivers = new Map<string, Receiver>()

  constructor(store: Store, log: Log) {
    this.#store = store
    this.#log = log
  }

  async load(): Promise<void> {
    for (const { key, value } of await this.#store.list(receiverPrefix))
      try {
        this.#receivers.set(key, { status: decodeReceiver(value), isDirty: false, writing: undefined })
      } catch (error) {
        this.#log.error({ key, err: error }, 'a stored document cannot be read and is left out')
      }
  }

  heard(destination: Pick<WebhookDestination, 'accountId' | 'id'>, outcome: DeliveryOutcome): void {
    const key = receiverKey(destination)
    const receiver: Receiver = this.#receivers.get(key) ?? { status: {}, isDirty: false, writing: undefined }
    const { at } = outcome
    receiver.status = { ...receiver.status, ...(isAccepted(outcome) ? { lastSuccess: at } : { lastFailure: at }) }
    receiver.isDirty = true
    this.#receivers.set(key, receiver)
    receiver.writing ??= this.#write(key, receiver)
  }

  /** Destinations that are no more have no status. @param exists by the key of the receiver's status */
  prune(exists: (key: string) => boolean): void {
    for (const [key, { writing }] of this.#receivers) {
      if (exists(key) || writing !== undefined) continue
      this.#receivers.delete(key)
      this.#store.delete(key, 'any', { durability: 'relaxed' }).catch(() => {})
    }
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#receivers.values()].map(({ writing }) => writing))
  }

  async #write(key: string, receiver: Receiver): Promise<void> {
    while (receiver.isDirty) {
      receiver.isDirty = false
      try {
        await this.#store.put(key, JSON.stringify(receiver.status), 'any', { durability: 'relaxed' })
      } catch (error) {
        this.#log.warn({ err: error }, 'the status of a webhook could not be stored')
      }
    }
    receiver.writing = undefined
  }
}
