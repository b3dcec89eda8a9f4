import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { Secret } from '../secret.ts'
import type { AccountId, LiveInputId } from './id.ts'
import type { SecretCipher } from './live-input.ts'

/** What can be told: Cloudflare's three of live inputs, and ours of outputs. */
export const inputEventTypes = ['live_input.connected', 'live_input.disconnected', 'live_input.errored'] as const
export const outputEventTypes = ['output.connected', 'output.reconnecting', 'output.error', 'output.recovered'] as const
export const webhookEventTypes = [...inputEventTypes, ...outputEventTypes] as const
export type WebhookEventType = (typeof webhookEventTypes)[number]

/** Cloudflare's name for notifications of live inputs. */
export const alertType = 'stream_live_notifications'

/** Where notifications go. */
export type WebhookDestination = {
  /** 32 hex characters. */
  readonly id: string
  readonly accountId: AccountId
  readonly name: string
  /** http:// or https://. Often as good as a password (…/services/T0/B0/x), so sealed at rest as the secrets are. */
  readonly url: string
  /** Sent as `cf-webhook-auth`, as Cloudflare does. */
  readonly secret?: Secret
  /** Signs after the Standard Webhooks specification: `whsec_` and 24 bytes in base64. Made by the server, shown once. */
  readonly signingSecret: Secret
  /** ISO 8601 */
  readonly created: string
}

/** When a destination last answered, and last did not. ISO 8601. Written by the notifier alone. */
export type ReceiverStatus = { readonly lastSuccess?: string; readonly lastFailure?: string }

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
  /** ISO 8601 */
  readonly created: string
  readonly modified: string
}

/** One event on its way to one destination for one policy: stored before it is tried. */
export type Delivery = {
  /** Sorts by the time of the event; the same for the same event, policy and destination. The `webhook-id` of every attempt. */
  readonly id: string
  readonly accountId: AccountId
  readonly policyId: string
  readonly destinationId: string
  readonly inputId: LiveInputId
  readonly eventType: WebhookEventType
  /** The JSON text that is sent, the same each time. */
  readonly body: string
  /** When the event happened: ISO 8601. */
  readonly created: string
  readonly state: DeliveryState
  readonly attempts: number
  /** Attempts that failed since it was queued. What the back-off and the order go by. */
  readonly failures: number
  /** Milliseconds since 1970; only while pending. */
  readonly nextAttemptAt?: number
  /** The last attempt is made then. Milliseconds since 1970; only while pending. */
  readonly giveUpAt?: number
  /** An earlier event of the same input was still failing when this one was sent. */
  readonly outOfOrder?: boolean
  /** Sent again by hand: it neither waits for others nor holds them up. */
  readonly resent?: boolean
  readonly lastOutcome?: DeliveryOutcome
}
export const deliveryStates = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof deliveryStates)[number]
export type DeliveryOutcome = {
  /** ISO 8601 */
  readonly at: string
  /** HTTP status, when there was an answer. */
  readonly status?: number
  /** A sentence when there was none. */
  readonly error?: string
  readonly durationMs: number
}

export function isAccepted(outcome: DeliveryOutcome): boolean {
  return outcome.status !== undefined && outcome.status >= 200 && outcome.status < 300
}

/** Keys hold the account, so that nothing of another account is ever found. */
export const destinationPrefix = 'webhook'
export const policyPrefix = 'policy'
export const deliveryPrefix = 'delivery'
export const receiverPrefix = 'receiver'
type Keyed = { readonly accountId: string; readonly id: string }
export const destinationKey = ({ accountId, id }: Keyed): string => `${destinationPrefix}.${accountId}.${id}`
export const policyKey = ({ accountId, id }: Keyed): string => `${policyPrefix}.${accountId}.${id}`
export const deliveryKey = ({ accountId, id }: Keyed): string => `${deliveryPrefix}.${accountId}.${id}`
export const receiverKey = ({ accountId, id }: Keyed): string => `${receiverPrefix}.${accountId}.${id}`

/** 32 hex characters, as Cloudflare's. */
export function newWebhookId(): string {
  return randomBytes(16).toString('hex')
}

/** Standard Webhooks: 24 to 64 random bytes. */
export function newSigningSecret(): Secret {
  return new Secret(`whsec_${randomBytes(24).toString('base64')}`)
}

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
  const { url, secret, signingSecret, id } = destination
  return JSON.stringify({
    ...destination,
    url: cipher.seal(new Secret(url), `webhook.${id}.url`),
    signingSecret: cipher.seal(signingSecret, `webhook.${id}.signingSecret`),
    ...(secret !== undefined && { secret: cipher.seal(secret, `webhook.${id}.secret`) }),
  })
}

/** @throws Error when the document is not one, or its secrets do not open with this key. */
export function decodeDestination(value: string, cipher: SecretCipher): WebhookDestination {
  const document = destinationDocument.parse(JSON.parse(value))
  const { id, url, secret, signingSecret, ...rest } = document
  return {
    ...rest,
    id,
    accountId: document.accountId as AccountId,
    url: cipher.open(url, `webhook.${id}.url`).reveal(),
    signingSecret: cipher.open(signingSecret, `webhook.${id}.signingSecret`),
    ...(secret !== undefined && { secret: cipher.open(secret, `webhook.${id}.secret`) }),
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

/** @throws Error when the document is not one. */
export function decodePolicy(value: string): NotificationPolicy {
  return policyDocument.parse(JSON.parse(value)) as unknown as NotificationPolicy
}

const deliveryDocument = z.object({
  id: z.string(),
  accountId: z.string(),
  policyId: z.string(),
  destinationId: z.string(),
  inputId: z.string(),
  eventType: z.enum(webhookEventTypes),
  body: z.string(),
  created: z.string(),
  state: z.enum(deliveryStates),
  attempts: z.number(),
  failures: z.number(),
  nextAttemptAt: z.number().optional(),
  giveUpAt: z.number().optional(),
  outOfOrder: z.boolean().optional(),
  resent: z.boolean().optional(),
  lastOutcome: z
    .object({ at: z.string(), status: z.number().optional(), error: z.string().optional(), durationMs: z.number() })
    .optional(),
})

/** @throws Error when the document is not one. */
export function decodeDelivery(value: string): Delivery {
  return deliveryDocument.parse(JSON.parse(value)) as unknown as Delivery
}

const receiverDocument = z.object({ lastSuccess: z.string().optional(), lastFailure: z.string().optional() })

/** @throws Error when the document is not one. */
export function decodeReceiver(value: string): ReceiverStatus {
  return receiverDocument.parse(JSON.parse(value)) as ReceiverStatus
}

/** Asked of the notifier over the bus. */
export const webhookTestSubject = 'notify.test'
export const webhookResendSubject = 'notify.resend'
export const webhookDeliveriesSubject = 'notify.deliveries'
/** As encodeDestination writes it, with what is sealed; answered with a DeliveryOutcome. */
export type WebhookTestRequest = { readonly destination: string }
export type WebhookResendRequest = { readonly accountId: string; readonly id: string }
/** Undefined: there is no such delivery in this account. */
export type WebhookResendAnswer = { readonly delivery?: Delivery }
export type WebhookDeliveriesRequest = {
  readonly accountId: string
  readonly destinationId?: string
  readonly inputId?: string
  readonly state?: DeliveryState
  readonly limit: number
  /** Only what is older than the delivery with this id. */
  readonly before?: string
}
/** The newest first. */
export type WebhookDeliveriesAnswer = { readonly deliveries: readonly Delivery[]; readonly hasMore: boolean }
