import type { OutputErrorCode } from '../errors.ts'

/**
 * The two lifecycles as union and table. Whoever holds one changes it through one door that asks the table first.
 * docs/states.md is printed from these tables by a test. All times are milliseconds since 1970.
 */

/** What an output is doing while it is `connecting`, in the order in which it happens. */
export const connectingSteps = [
  'resolving',
  'dialing',
  'securing',
  'handshaking',
  'connecting',
  'publishing',
  'waiting_for_key_frame',
  'proving',
] as const
export type ConnectingStep = (typeof connectingSteps)[number]

export type OutputState =
  /** There is no publisher: nothing to send. */
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly step: ConnectingStep }
  /** The destination answered NetStream.Publish.Start and then took media for a while without an error. */
  | { readonly name: 'connected' }
  | { readonly name: 'reconnecting'; readonly reason: OutputErrorCode; readonly nextAttemptAt: number }
  /** Refused in a way that quick retries will not cure; still tried again, slowly. */
  | { readonly name: 'error'; readonly reason: OutputErrorCode; readonly nextAttemptAt: number }
  | { readonly name: 'disabled' }
export type OutputStateName = OutputState['name']

export const outputTransitions: Readonly<Record<OutputStateName, readonly OutputStateName[]>> = {
  idle: ['connecting', 'disabled'],
  connecting: ['connecting', 'connected', 'reconnecting', 'error', 'idle', 'disabled'],
  // `connecting`: begun anew on purpose, because the encoder goes on with another codec.
  connected: ['connecting', 'reconnecting', 'error', 'idle', 'disabled'],
  reconnecting: ['connecting', 'error', 'idle', 'disabled'],
  error: ['connecting', 'idle', 'disabled'],
  disabled: ['idle', 'connecting'],
}

export type InputState =
  | { readonly name: 'disconnected' }
  | { readonly name: 'connected' }
  /** The publisher vanished; its outputs stay up until `until`. */
  | { readonly name: 'held'; readonly until: number }
export type InputStateName = InputState['name']

export const inputTransitions: Readonly<Record<InputStateName, readonly InputStateName[]>> = {
  disconnected: ['connected'],
  connected: ['held', 'disconnected'],
  held: ['connected', 'disconnected'],
}

export type IngestProtocol = 'rtmp'

/** Cloudflare's status object, word for word (states, reasons, field names); an extension of ours is marked. */
export type WireMoment = {
  readonly ingestProtocol: IngestProtocol
  readonly reason: string
  readonly state: string
  /** ISO 8601, milliseconds, Z. */
  readonly statusEnteredAt: string
  /** Ours: what an output is doing while it connects. */
  readonly step?: ConnectingStep
  /** Ours: when the next attempt begins. ISO 8601. */
  readonly nextAttemptAt?: string
}
export type WireStatus = {
  readonly current: WireMoment & { readonly statusLastSeen: string }
  /** What was before, newest first. */
  readonly history: readonly WireMoment[]
}

export const historyLengthMax = 50

/** Input: what Cloudflare says for our three states. `returning` tells a comeback within the window from a first connection. */
export function inputWords(state: InputState, returning: boolean): { state: string; reason: string } {
  switch (state.name) {
    case 'connected':
      return { state: 'connected', reason: returning ? 'reconnected' : 'connected' }
    case 'held':
      return { state: 'disconnected', reason: 'reconnecting' }
    case 'disconnected':
      return { state: 'disconnected', reason: 'client_disconnect' }
  }
}

export function outputWords(state: OutputState): { state: string; reason: string } {
  switch (state.name) {
    case 'idle':
      return { state: 'disconnected', reason: 'client_disconnect' }
    case 'disabled':
      return { state: 'disconnected', reason: 'disabled' }
    case 'connecting':
      return { state: 'connecting', reason: state.step }
    case 'connected':
      return { state: 'connected', reason: 'connected' }
    case 'reconnecting':
      return { state: 'reconnecting', reason: state.reason }
    case 'error':
      return { state: 'error', reason: state.reason }
  }
}
