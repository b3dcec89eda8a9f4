import type { Clock } from '../clock.ts'
import type { AccountId } from '../model/id.ts'
import type { SecretCipher } from '../model/live-input.ts'
import {
  decodeDestination,
  decodePolicy,
  decodeReceiver,
  destinationPrefix,
  encodeDestination,
  type NotificationPolicy,
  policyPrefix,
  type ReceiverStatus,
  receiverKey,
  receiverPrefix,
  type WebhookDestination,
} from '../model/webhook.ts'
import type { Store } from '../store/store.ts'
import { AccountDocuments } from './account-documents.ts'
import { Deadline, storeDeadlineMs } from './deadline.ts'
import type { ApiLog } from './log.ts'

/** More receivers, and more rules, than a person can keep an eye on; a stranger's loop ends here. */
export const destinationsMax = 50
export const policiesMax = 100

/** What Cloudflare calls alerting: where notifications go, and which go there. The notifier reads the same from the store. */
export class Alerting {
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: ApiLog
  readonly cipher: SecretCipher
  readonly destinations: AccountDocuments<WebhookDestination>
  readonly policies: AccountDocuments<NotificationPolicy>

  constructor(parts: {
    readonly store: Store
    readonly cipher: SecretCipher
    readonly clock: Clock
    readonly log: ApiLog
  }) {
    const { cipher } = parts
    this.#store = parts.store
    this.#clock = parts.clock
    this.#log = parts.log
    this.cipher = cipher
    this.destinations = new AccountDocuments(
      {
        prefix: destinationPrefix,
        noun: 'webhook destination',
        max: destinationsMax,
        encode: (destination) => encodeDestination(destination, cipher),
        decode: (value) => decodeDestination(value, cipher),
      },
      parts,
    )
    this.policies = new AccountDocuments(
      {
        prefix: policyPrefix,
        noun: 'notification policy',
        max: policiesMax,
        encode: (policy) => JSON.stringify(policy),
        decode: decodePolicy,
      },
      parts,
    )
  }

  /** When each destination of the account last answered, by its id. */
  async receivers(account: AccountId): Promise<ReadonlyMap<string, ReceiverStatus>> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const receivers = new Map<string, ReceiverStatus>()
    const ofAccount = receiverKey({ accountId: account, id: '' })
    for (const { key, value } of await deadline.race(this.#store.list(`${receiverPrefix}.${account}`)))
      try {
        receivers.set(key.slice(ofAccount.length), decodeReceiver(value))
      } catch (error) {
        this.#log.error({ key, err: error }, 'a stored document cannot be read; it is not shown')
      }
    return receivers
  }
}
