/** In the order in which they happen; redirects and logins begin again at `resolve`. */
export const preflightStepNames = ['url', 'resolve', 'connect_tcp', 'secure', 'handshake', 'connect_rtmp'] as const

/** A try-out of a destination, step by step, without publishing. */
export type PreflightStep = {
  readonly name: (typeof preflightStepNames)[number]
  readonly ok: boolean
  readonly durationMs: number
  /** An OutputErrorCode when the step failed. */
  readonly code?: string
  /** For the person: what was found, or why it failed and what to do. */
  readonly detail?: string
}

/** What is told while a try-out goes on, and at its end. */
export type PreflightEvent =
  | { readonly begun: PreflightStep['name'] }
  | { readonly ended: PreflightStep }
  | { readonly report: PreflightReport }

export type PreflightReport = { readonly ok: boolean; readonly steps: readonly PreflightStep[] }

/** Asked over the bus of whoever runs the live input; the secrets are sealed, because a bus may cross machines. */
export const preflightSubject = 'live.preflight'
/** The same question, answered as a stream: one PreflightEvent in JSON a line, the report last. */
export const preflightStepsSubject = 'live.preflight-steps'
export const retryOutputSubject = 'live.retry-output'

export type PreflightRequest = {
  readonly url: string
  /** Sealed for `preflight.streamKey`, `preflight.password`. */
  readonly streamKey: string
  readonly username?: string
  readonly password?: string
  readonly tls?: { readonly verify?: boolean; readonly fingerprint?: string }
}

export type RetryOutputRequest = { readonly inputId: string; readonly outputId: string }
/** `waiting`: a wait was ended and the next attempt begins now. */
export type RetryOutputAnswer = { readonly retried: boolean }
