import { z } from 'zod'
import type { Secret } from '../secret.ts'
import type { AccountId, LiveInputId } from './id.ts'
import type { SecretCipher } from './live-input.ts'

/** What can be told: Cloudflare's three of live inputs, and ours of outputs. */
export const inputEventTypes = ['live_input.connected', 'live_input.disconnected', 'live_input.errored'] as const
export const outputEventTypes = ['output.connected', 'output.reconnecting', 'output.error', 'output.recovered'] as const
export const webhookEventTypes = [...inputEventTypes, ...outputEventTypes] as const
export type WebhookEventType = (typeof webhookEventTypes)[number]

/** Where notifications go. */
export type WebhookDestination = {
  /** 32 hex characters. */
  readonly id: string
  readonly accountId: AccountId
  readonly name: string
  /** http:// or https:// */
  readonly url: string
  /** Sent as `cf-webhook-auth`, as Cloudflare does. */
  readonly secret?: Secret
  /** Signs after the Standard Webhooks specification: `whsec_` and 24 bytes in base64. Made by the server, shown once. */
  readonly signingSecret: Secret
  readonly created: string
}

/** Which events of which inputs go to which destinations. */
export type NotificationPolicy = {
  readonly id: string
  readonly accountId: AccountId
  readonly name: string
  readonly description: string
  readonly enabled: boolean
  /** Empty: all inputs. */
  readonly inputIds: readonly LiveInputId[]
  /** Empty: Cloudflare's three; events of outputs only where they are named. */
  readonly eventTypes: readonly WebhookEventType[]
  readonly destinationIds: readonly string[]
  readonly created: string
  readonly modified: string
}

/** One event on its way to one destination: stored before it is tried. */
export type Delivery = {
  /** Sorts by time. Also the `webhook-id` of every attempt. */
  readonly id: string
  readonly accountId: AccountId
  readonly destinationId: string
  readonly inputId: LiveInputId
  readonly eventType: WebhookEventType
  /** The JSON text that is sent, the same each time. */
  readonly body: string
  /** ISO 8601 */
  readonly created: string
  readonly state: 'pending' | 'delivered' | 'failed'
  readonly attempts: number
  /** Milliseconds since 1970; only while pending. */
  readonly nextAttemptAt?: number
  /** An earlier event of the same input was still failing when this one was sent. */
  readonly outOfOrder?: boolean
  readonly lastOutcome?: DeliveryOutcome
}
export type DeliveryOutcome = {
  readonly at: string
  /** HTTP status, when there was an answer. */
  readonly status?: number
  /** A sentence when there was none. */
  readonly error?: string
  readonly durationMs: number
}

export const destinationPrefix = 'webhook'
export const policyPrefix = 'policy'
export const deliveryPrefix = 'delivery'
export const destinationKey = (id: string): string => `${destinationPrefix}.${id}`
export const policyKey = (id: string): string => `${policyPrefix}.${id}`
export const deliveryKey = (delivery: Pick<Delivery, 'accountId' | 'id'>): string =>
  `${deliveryPrefix}.${delivery.accountId}.${delivery.id}`

const destinationDocument = z.object({
  id: z.string(),
  accountId: z.string(),
  name: z.string(),
  url: z.string(),
  secret: z.string().optional(),
  signingSecret: z.string(),
  created: z.string(),
})

export function encodeDestination(destination: WebhookDestination, cipher: SecretCipher): string {
  const { secret, signingSecret, id } = destination
  return JSON.stringify({
    ...destination,
    signingSecret: cipher.seal(signingSecret, `webhook.${id}.signingSecret`),
    ...(secret !== undefined && { secret: cipher.seal(secret, `webhook.${id}.secret`) }),
  })
}

/** @throws Error when the document is not one, or its secrets do not open with this key. */
export function decodeDestination(value: string, cipher: SecretCipher): WebhookDestination {
  const document = destinationDocument.parse(JSON.parse(value))
  const { secret, ...rest } = document
  return {
    ...rest,
    accountId: document.accountId as AccountId,
    signingSecret: cipher.open(document.signingSecret, `webhook.${document.id}.signingSecret`),
    ...(secret !== undefined && { secret: cipher.open(secret, `webhook.${document.id}.secret`) }),
  }
}

const policyDocument = z.object({
  id: z.string(),
  accountId: z.string(),
  name: z.string(),
  description: z.string(),
  enabled: z.boolean(),
  inputIds: z.array(z.string()),
  eventTypes: z.array(z.enum(webhookEventTypes)),
  destinationIds: z.array(z.string()),
  created: z.string(),
  modified: z.string(),
})

export function decodePolicy(value: string): NotificationPolicy {
  return policyDocument.parse(JSON.parse(value)) as unknown as NotificationPolicy
}

export function decodeDelivery(value: string): Delivery {
  return JSON.parse(value) as Delivery
}

/** Asked of the notifier over the bus. */
export const webhookTestSubject = 'notify.test'
export const webhookResendSubject = 'notify.resend'
/** The destination's url and its sealed secrets, as encodeDestination writes them; answered with a DeliveryOutcome. */
export type WebhookTestRequest = { readonly destination: string }
export type WebhookResendRequest = { readonly accountId: string; readonly id: string }
