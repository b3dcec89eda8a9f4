import type { OutputErrorCode } from '../errors.ts'
import type { AccountId, LiveInputId, OutputId } from './id.ts'
import { historyLengthMax, type WireMoment, type WireStatus } from './lifecycle.ts'

/**
 * What happened to a live input or an output: stored under `status.<uid>` by the owner of the running broadcast alone,
 * at most once a second. `owner` and `epoch` say which run of which server wrote it: when that run is over, an unfinished
 * status reads as disconnected.
 */
export type StatusDocument = {
  readonly owner: string
  readonly epoch: number
  readonly status: WireStatus
  readonly lastError?: LastError
}

export type LastError = {
  readonly code: OutputErrorCode
  /** The sentence that a person needs, with the destination's own words where it had any. Never a key. */
  readonly message: string
  /** ISO 8601 */
  readonly at: string
}

export function statusKey(uid: LiveInputId | OutputId): string {
  return `status.${uid}`
}

/**
 * The status after one more change. Nothing is added to the history when state and reason stay as they are, nor for the steps of
 * one connecting: they would push out what a person looks for.
 */
export function nextStatus(previous: WireStatus | undefined, moment: WireMoment, seenAt: string): WireStatus {
  if (previous === undefined) return { current: { ...moment, statusLastSeen: seenAt }, history: [] }
  const { statusLastSeen: _, ...before } = previous.current
  const isSame = before.state === moment.state && (before.reason === moment.reason || moment.state === 'connecting')
  if (isSame)
    return {
      current: { ...moment, statusEnteredAt: before.statusEnteredAt, statusLastSeen: seenAt },
      history: previous.history,
    }
  return {
    current: { ...moment, statusLastSeen: seenAt },
    history: [{ ...before }, ...previous.history].slice(0, historyLengthMax),
  }
}

/** How a status reads when the server run that wrote it is over: whatever was going on has ended. */
export function statusAfterOwner(status: WireStatus): WireStatus {
  if (status.current.state === 'disconnected') return status
  const { current } = status
  return nextStatus(
    status,
    {
      ingestProtocol: current.ingestProtocol,
      state: 'disconnected',
      reason: 'client_disconnect',
      statusEnteredAt: current.statusLastSeen,
    },
    current.statusLastSeen,
  )
}

/** Figures of a running broadcast. */
export type InputFigures = {
  readonly accountId: AccountId
  readonly inputId: LiveInputId
  /** ISO 8601 */
  readonly at: string
  readonly input: InputHealth
  readonly outputs: { readonly [outputId: string]: OutputHealth }
}

/**
 * As they are told, once a second on the bus: `figures.<account>.<input>`. Without the outputs where they do what they have been doing; those are told every
 * few seconds then, or every second while somebody asks for it (`mediaSubjects.figuresWanted`).
 */
export type ToldFigures = Omit<InputFigures, 'outputs'> & Partial<Pick<InputFigures, 'outputs'>>

/** @param before of the same live input, for the outputs that are not told anew. */
export function completeFigures(told: ToldFigures, before: InputFigures | undefined): InputFigures {
  return { ...told, outputs: told.outputs ?? before?.outputs ?? {} }
}

export type InputHealth = {
  /** What arrived in the last five seconds, kilobits per second. */
  readonly bitrateKbps: number
  readonly bytesReceived: number
  readonly connectedAt?: string
  readonly video?: {
    readonly codec: string
    readonly profile?: string
    readonly width?: number
    readonly height?: number
    readonly frameRate?: number
    readonly keyframeIntervalMs?: number
    readonly bFrames?: boolean
  }
  readonly audio?: { readonly codec: string; readonly sampleRate?: number; readonly channels?: number }
  /** Media time over wall time: 1 is real time, less means that the encoder's uplink is too slow. */
  readonly uploadRatio?: number
  readonly warnings: readonly { readonly code: string; readonly message: string }[]
}

/**
 * Why a message was left out for an output. `lag`: it was further behind than MAX_LAG_MS, and went forward to a key frame. `overtaken`:
 * it stood so long that the log let go what it had not taken. `late`: older than what had been sent on the same chunk stream.
 */
export const dropReasons = ['lag', 'overtaken', 'late'] as const
export type DropReason = (typeof dropReasons)[number]

export type OutputHealth = {
  readonly bitrateKbps: number
  readonly bytesSent: number
  readonly messagesSent: number
  readonly droppedMessages: number
  readonly droppedMs: number
  /** `droppedMessages` by reason. */
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly lagMs: number
  readonly connectedAt?: string
  /** Connections tried since the broadcast, or this output's part in it, began; all counts here are since then. */
  readonly attempts: number
  /** Connections that had been live and were lost. */
  readonly reconnects: number
  readonly lastError?: LastError
  readonly warning?: { readonly code: string; readonly message: string }
}

/** What a media thread has carried since it told that last: every byte of media and every message left out is in one of these. */
export type Carried = Pick<InputHealth, 'bytesReceived'> & Pick<OutputHealth, 'bytesSent' | 'dropped'>

/** Subjects of the bus. State changes: `state.input.…` carries InputStateEvent, `state.output.…` OutputStateEvent. */
export function figuresSubject(account: AccountId, input: LiveInputId): string {
  return `figures.${account}.${input}`
}
export function inputStateSubject(account: AccountId, input: LiveInputId): string {
  return `state.input.${account}.${input}`
}
export function outputStateSubject(account: AccountId, input: LiveInputId, output: OutputId): string {
  return `state.output.${account}.${input}.${output}`
}

export type InputStateEvent = {
  readonly accountId: AccountId
  readonly inputId: LiveInputId
  readonly status: WireStatus
}
export type OutputStateEvent = {
  readonly accountId: AccountId
  readonly inputId: LiveInputId
  readonly outputId: OutputId
  readonly status: WireStatus
  readonly lastError?: LastError
}

/** How a media thread does, once a second while it has anything to do; what happens to its inputs; and what is asked of all threads. */
export const mediaSubjects = {
  thread: (index: number) => `media.thread.${index}`,
  /** A publisher whose input another thread has. */
  relayed: 'media.relayed',
  /** A thread died, and another one took its place. */
  replaced: 'media.replaced',
  /** Once a second, where there was anything: Carried. */
  carried: 'media.carried',
  /** Somebody looks: for some seconds all figures are to come once a second. */
  figuresWanted: 'media.figures_wanted',
} as const

export type ThreadFigures = {
  readonly thread: number
  /** Since the last ones: how long what had come waited for the thread to be done with other work; its rests are not in it. Milliseconds. */
  readonly loopDelayP99Ms: number
  readonly loopDelayMaxMs: number
  /** Since the last ones, without rests: from 0 to 1. */
  readonly busy: number
}
