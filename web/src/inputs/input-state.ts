import type { Current } from '../api/live.ts'
import type { Tone } from '../parts/StateBadge.tsx'

/** A live input at a glance. */
export type InputView = {
  readonly kind: 'live' | 'held' | 'offline' | 'unused' | 'disabled'
  readonly tone: Tone
  /** As on a badge. */
  readonly words: string
  /** ISO 8601; undefined where nothing has happened yet. */
  readonly since: string | undefined
}

/** In a list sorted by state: what runs, and what needs somebody, comes first. */
const places: Readonly<Record<InputView['kind'], number>> = { held: 0, live: 1, offline: 2, unused: 3, disabled: 4 }

export function viewOf(isEnabled: boolean, current: Current | null | undefined): InputView {
  const since = current?.statusEnteredAt
  if (!isEnabled) return { kind: 'disabled', tone: 'idle', words: 'Disabled', since: undefined }
  if (!current) return { kind: 'unused', tone: 'idle', words: 'Not used yet', since: undefined }
  if (current.state === 'connected') return { kind: 'live', tone: 'good', words: 'Live', since }
  if (current.reason === 'reconnecting') return { kind: 'held', tone: 'wait', words: 'Encoder lost', since }
  return { kind: 'offline', tone: 'idle', words: 'Offline', since }
}

export function placeOf({ kind }: InputView): number {
  return places[kind]
}

/** A line of the history of an input. */
export function momentWords(state: string, reason: string): string {
  if (state === 'connected') return reason === 'reconnected' ? 'Live again' : 'Live'
  return reason === 'reconnecting' ? 'Encoder lost, outputs held' : 'Offline'
}

export function toneOf(state: string, reason: string): Tone {
  if (state === 'connected') return 'good'
  return reason === 'reconnecting' ? 'wait' : 'idle'
}
