import { createHash, randomBytes } from 'node:crypto'
import type { InputStateEvent, OutputStateEvent } from '../model/status.ts'
import { alertType, type NotificationPolicy, type WebhookEventType } from '../model/webhook.ts'
import type { FeedTrouble } from './feed-troubles.ts'

/** What has happened, before it is known who wants to hear of it. */
export type Happening = {
  readonly eventType: WebhookEventType
  readonly inputId: string
  readonly accountId: string
  /** Cloudflare's `data`, with what is ours beside it. */
  readonly details: Readonly<Record<string, unknown>>
}

/** An event, with its place in the order of events. */
export type Notification = Happening & {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/**
 * The event that a change of an input's status is; undefined when it is none. An input that is held is still live for its viewers: it
 * counts as disconnected when the window ends, and a comeback within it is no second connection.
 */
export function inputHappening(event: InputStateEvent, wasLive: boolean): Happening | undefined {
  const { state, reason } = event.status.current
  const base = { inputId: event.inputId, accountId: event.accountId, details: {} }
  if (state === 'connected' && !wasLive) return { ...base, eventType: 'live_input.connected' }
  if (state === 'disconnected' && reason !== 'reconnecting' && wasLive)
    return { ...base, eventType: 'live_input.disconnected' }
  return undefined
}

/** What an earlier run of the server did not live to tell: whatever was live is not any more. Ours: `reason`. */
export function restartHappening(accountId: string, inputId: string): Happening {
  return { eventType: 'live_input.disconnected', accountId, inputId, details: { reason: 'server_restarted' } }
}

/** Cloudflare's `live_input_errored`. */
export function troubleHappening(accountId: string, inputId: string, trouble: FeedTrouble): Happening {
  const { code, message, videoCodec, audioCodec } = trouble
  return {
    eventType: 'live_input.errored',
    accountId,
    inputId,
    details: { live_input_errored: { error: { code, message }, video_codec: videoCodec, audio_codec: audioCodec } },
  }
}

/** What receivers know of an output: the worst since it was last connected. */
export type ToldOutput = 'connected' | 'reconnecting' | 'error'

/**
 * The event that a change of an output's status is. `recovered`: connected again after it had been reconnecting or in error. An output
 * in error that now and then gets as far as reconnecting stays in error, or each slow attempt would be two events.
 */
export function outputHappening(event: OutputStateEvent, before: ToldOutput | undefined): Happening | undefined {
  const { state, reason } = event.status.current
  const eventType = outputEventOf(state, before)
  if (eventType === undefined) return undefined
  return {
    eventType,
    inputId: event.inputId,
    accountId: event.accountId,
    details: {
      output_id: event.outputId,
      output: { state, reason, ...(event.lastError && state !== 'connected' && { error: event.lastError }) },
    },
  }
}

function outputEventOf(state: string, before: ToldOutput | undefined): WebhookEventType | undefined {
  switch (state) {
    case 'connected':
      if (before === 'connected') return undefined
      return before === undefined ? 'output.connected' : 'output.recovered'
    case 'reconnecting':
      return before === 'reconnecting' || before === 'error' ? undefined : 'output.reconnecting'
    case 'error':
      return before === 'error' ? undefined : 'output.error'
    default:
      return undefined
  }
}

const notificationName = 'Stream Live Input'

/** Cloudflare's body, word for word; fields of ours stand in `data` beside theirs, and lines of ours at the end of `text`. */
export function bodyOf(
  { eventType, inputId, accountId, at, details }: Notification,
  policy: Pick<NotificationPolicy, 'id' | 'name'>,
): string {
  const updatedAt = new Date(at).toISOString()
  const lines = [
    `Notification type: ${notificationName}`,
    `Input ID: ${inputId}`,
    `Event type: ${eventType}`,
    `Updated at: ${updatedAt}`,
    ...linesOf(details),
  ]
  return JSON.stringify({
    name: policy.name,
    text: lines.join('\n'),
    data: {
      notification_name: notificationName,
      input_id: inputId,
      event_type: eventType,
      updated_at: updatedAt,
      ...details,
    },
    ts: Math.floor(at / 1000),
    account_id: accountId,
    policy_id: policy.id,
    policy_name: policy.name,
    alert_type: alertType,
  })
}

type Errored = { error: { code: string; message: string }; video_codec: string; audio_codec: string }
type OutputDetails = { state: string; error?: { message: string } }

function linesOf(details: Notification['details']): string[] {
  const errored = details['live_input_errored'] as Errored | undefined
  if (errored !== undefined)
    return [
      `Error Code: ${errored.error.code}`,
      `Error Message: ${errored.error.message}`,
      `Video Codec: ${errored.video_codec}`,
      `Audio Codec: ${errored.audio_codec}`,
    ]
  const output = details['output'] as OutputDetails | undefined
  if (output === undefined) return []
  return [
    `Output ID: ${details['output_id']}`,
    ...(output.error === undefined ? [] : [`Error Message: ${output.error.message}`]),
  ]
}

/** What Cloudflare sends when a destination is made. @param nowMs milliseconds since 1970 */
export function testBody(destinationName: string, nowMs: number): string {
  return JSON.stringify({
    name: destinationName,
    text: 'Hello World! This is a test message sent from stream-connect. If you can see this, your webhook is configured properly.',
    data: {},
    ts: Math.floor(nowMs / 1000),
  })
}

/** Gives events their ids: each sorts after all before it, whatever the system's clock does, also after a restart. */
export class EventIds {
  #newestUs = 0

  /** @param id of an event or a delivery that exists. */
  startAfter(id: string): void {
    this.#newestUs = Math.max(this.#newestUs, Number.parseInt(id.slice(0, stampLength), 36) || 0)
  }

  /** `<microseconds, base 36><8 random hex>`: unique among servers too. */
  next(nowMs: number): string {
    this.#newestUs = Math.max(nowMs * 1000, this.#newestUs + 1)
    return this.#newestUs.toString(36).padStart(stampLength, '0') + randomBytes(4).toString('hex')
  }
}
const stampLength = 11

/** The same for the same event, policy and destination, so that an event told twice over a crash makes no second delivery. */
export function deliveryId(eventId: string, policyId: string, destinationId: string): string {
  return eventId + createHash('sha256').update(`${policyId} ${destinationId}`).digest('hex').slice(0, 12)
}
