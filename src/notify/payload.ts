import { randomBytes } from 'node:crypto'
import type { InputStateEvent, OutputStateEvent } from '../model/status.ts'
import type { WebhookEventType } from '../model/webhook.ts'

/** An event, as it is told to receivers. */
export type Notification = {
  readonly eventType: WebhookEventType
  readonly inputId: string
  readonly accountId: string
  /** Cloudflare's `data`, with what is ours beside it. */
  readonly details: Readonly<Record<string, unknown>>
}

/**
 * The event that a change of an input's status is; undefined when it is none. An input that is held is still live for its viewers: it
 * counts as disconnected when the window ends, and a comeback within it is no second connection.
 */
export function inputNotification(event: InputStateEvent, wasLive: boolean): Notification | undefined {
  const { state, reason } = event.status.current
  const base = { inputId: event.inputId, accountId: event.accountId, details: {} }
  if (state === 'connected' && !wasLive) return { ...base, eventType: 'live_input.connected' }
  if (state === 'disconnected' && reason !== 'reconnecting' && wasLive)
    return { ...base, eventType: 'live_input.disconnected' }
  return undefined
}

/** The event that a change of an output's status is. `recovered`: connected again after it had been reconnecting or in error. */
export function outputNotification(event: OutputStateEvent, before: string | undefined): Notification | undefined {
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

function outputEventOf(state: string, before: string | undefined): WebhookEventType | undefined {
  switch (state) {
    case 'connected':
      return before === 'reconnecting' || before === 'error' ? 'output.recovered' : 'output.connected'
    case 'reconnecting':
      return before === 'reconnecting' ? undefined : 'output.reconnecting'
    case 'error':
      return before === 'error' ? undefined : 'output.error'
    default:
      return undefined
  }
}

const notificationName = 'Stream Live Input'

/** Cloudflare's body, word for word; fields of ours stand in `data`. @param nowMs milliseconds since 1970. */
export function bodyOf(notification: Notification, policyName: string, nowMs: number): string {
  const { eventType, inputId, details } = notification
  const updatedAt = new Date(nowMs).toISOString()
  return JSON.stringify({
    name: policyName,
    text: `Notification type: ${notificationName}\nInput ID: ${inputId}\nEvent type: ${eventType}\nUpdated at: ${updatedAt}`,
    data: {
      notification_name: notificationName,
      input_id: inputId,
      event_type: eventType,
      updated_at: updatedAt,
      ...details,
    },
    ts: Math.floor(nowMs / 1000),
  })
}

/** Sorts by the time at which it was made; unique. */
export function newDeliveryId(nowMs: number): string {
  return `${nowMs.toString(36).padStart(9, '0')}${randomBytes(8).toString('hex')}`
}
