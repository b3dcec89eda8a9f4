import type { WireOutput } from '../../../src/api/schemas.ts'
import type { OutputErrorCode } from '../../../src/errors.ts'
import type { ConnectingStep } from '../../../src/model/lifecycle.ts'
import { bytesWords } from './output-figures.ts'

/** What a person wants to know of an output at a glance. */
export type OutputView = {
  readonly kind: OutputKind
  /** One or two words, as on a badge. */
  readonly label: string
  /** In plain words what goes on, or why the output is not live; undefined when there is nothing to add. */
  readonly detail: string | undefined
  /** ISO 8601; undefined while nothing has happened yet. */
  readonly since: string | undefined
  /** It may have begun before `since`: what is remembered does not reach further back. */
  readonly isLonger: boolean
  /** ISO 8601: when the next attempt begins. */
  readonly nextAttemptAt: string | undefined
}

export type OutputKind = 'off' | 'waiting' | 'connecting' | 'live' | 'slow' | 'reconnecting' | 'failed'

const stepWords: Readonly<Record<ConnectingStep, string>> = {
  resolving: 'Looking up the host name.',
  dialing: 'Opening the connection.',
  securing: 'Agreeing on encryption (TLS).',
  handshaking: 'Shaking hands (RTMP).',
  connecting: 'Asking for the application.',
  publishing: 'Offering the stream key.',
  waiting_for_key_frame: 'Accepted. Waiting for the next key frame of the encoder.',
  proving: 'Sending. It counts as live once the destination has taken 5 s of video without an error.',
}

/** For the moment between a change of state and the server's own sentence, which says more. */
const reasonWords: Readonly<Record<OutputErrorCode, string>> = {
  no_progress: 'The destination stopped taking data.',
  connect_timeout: 'The destination did not answer in time.',
  publish_timeout: 'The destination never confirmed the publish.',
  connection_reset: 'The destination cut the connection.',
  connection_refused: 'Nothing listens at the host and port of the destination.',
  dns_failed: 'The host name of the destination could not be resolved.',
  already_publishing: 'The destination says that this stream key is in use.',
  closed_after_publish: 'The destination closed the connection right after the start. Check the stream key.',
  protocol_violation: 'The destination does not speak valid RTMP.',
  certificate_expired: 'The TLS certificate of the destination has expired.',
  certificate_host_mismatch: 'The TLS certificate of the destination is for another host name.',
  certificate_untrusted: 'The TLS certificate of the destination is not from a known authority.',
  tls_failed: 'The TLS handshake with the destination failed.',
  redirect_loop: 'The destination sent the connection on too many times.',
  loop_detected: 'The output leads back to the live input that it comes from.',
  publish_denied: 'The destination refused the stream key or the login.',
  connect_rejected: 'The destination refused the connection or the application name.',
  codec_refused: 'The destination does not take the codec that the encoder sends.',
  destination_not_allowed: 'The address of the destination is not public, and not in DESTINATION_ALLOW.',
  destination_invalid: 'The url of the destination cannot be used.',
  internal_error: 'The server made a mistake while serving this output; it is tried again.',
}

type Seen = Pick<WireOutput, 'enabled' | 'status' | 'health'>

/**
 * @param output as the API answers it. What a destination said is in `detail`, to be shown as text and never as markup.
 * @param inputIsEnabled a disabled live input feeds nobody.
 */
export function viewOf(output: Seen, inputIsEnabled = true): OutputView {
  const current = output.status?.current
  const since = current?.statusEnteredAt
  if (!output.enabled)
    return {
      ...nothing,
      kind: 'off',
      label: 'Off',
      detail: 'Nothing is sent until it is switched on.',
      since: isOff(output) ? since : undefined,
    }
  switch (current?.state) {
    case 'connecting':
      return {
        ...nothing,
        kind: 'connecting',
        label: 'Connecting',
        detail: current.step === undefined ? undefined : stepWords[current.step],
        since,
      }
    case 'connected': {
      const warning = output.health?.warning
      const sent = output.health?.bytesSent
      const detail = sent === undefined ? undefined : `${bytesWords(sent)} sent.`
      if (warning === undefined) return { ...nothing, kind: 'live', label: 'Live', detail, since }
      return { ...nothing, kind: 'slow', label: 'Live, too slow', detail: warning.message, since }
    }
    case 'reconnecting':
    case 'error':
      return {
        kind: current.state === 'error' ? 'failed' : 'reconnecting',
        label: current.state === 'error' ? 'Not live' : 'Reconnecting',
        detail: reasonOf(output, current.reason),
        ...troubleOf(output.status!),
        nextAttemptAt: current.nextAttemptAt,
      }
    default:
      return {
        ...nothing,
        kind: 'waiting',
        label: 'Ready',
        detail: inputIsEnabled
          ? 'Starts by itself when the encoder sends.'
          : 'The live input is disabled; nothing is sent.',
      }
  }
}

const nothing = { detail: undefined, since: undefined, isLonger: false, nextAttemptAt: undefined } as const

function isOff({ status }: Seen): boolean {
  return status?.current.state === 'disconnected' && status.current.reason === 'disabled'
}

/** Their message may be a destination's own words (src/rtmp/refusal.ts); with every other code it is the server that speaks. */
const saidByDestination: ReadonlySet<string> = new Set([
  'already_publishing',
  'closed_after_publish',
  'codec_refused',
  'connect_rejected',
  'connection_reset',
  'publish_denied',
] satisfies OutputErrorCode[])

/** With these codes too the server may have a sentence of its own, which is about the destination … */
const ownSentence = /^[Tt]he destination /
/** … or, where a connection was cut, has the system's code (ECONNRESET) before it, behind the host where that is a name. */
const systemCode = /^(?:\S+: )?E[A-Z]{3,} /

/** What the server says; where that is a destination's own words, in plain words before them. */
function reasonOf({ health }: Seen, reason: string): string {
  const plain = reasonWords[reason as OutputErrorCode] ?? `The destination could not be served (${reason}).`
  const error = health?.lastError
  if (error?.code !== reason) return plain
  const isOwn =
    !saidByDestination.has(reason) ||
    ownSentence.test(error.message) ||
    (reason === 'connection_reset' && systemCode.test(error.message))
  return isOwn ? error.message : `${plain} It says: “${error.message}”`
}

/** As many moments before the current one does the server remember (src/model/lifecycle.ts): the times before them are not known. */
export const momentsRememberedMax = 50

/**
 * Since when an output in trouble is not live: since it was live last, or else since it failed first. The state that it is in
 * begins anew with every attempt.
 */
function troubleOf({ current, history }: NonNullable<Seen['status']>): Pick<OutputView, 'since' | 'isLonger'> {
  let failedAt = current.statusEnteredAt
  let endedAt = current.statusEnteredAt
  for (const { state, statusEnteredAt } of history) {
    if (state === 'disconnected') return { since: failedAt, isLonger: false }
    if (state === 'connected') return { since: endedAt, isLonger: false }
    if (state !== 'connecting') failedAt = statusEnteredAt
    endedAt = statusEnteredAt
  }
  return { since: failedAt, isLonger: history.length >= momentsRememberedMax }
}

/** A line of the history of an output, in words. */
export function momentWords(state: string, reason: string): string {
  switch (state) {
    case 'connected':
      return 'Live'
    case 'connecting':
      return 'Connecting'
    case 'disconnected':
      return reason === 'disabled' ? 'Off' : 'Ready, no encoder'
    default:
      return `${state === 'error' ? 'Not live' : 'Reconnecting'}: ${reasonWords[reason as OutputErrorCode] ?? reason}`
  }
}

/** What a person calls it: its name, or the host that it goes to. */
export function nameOfOutput({ name, url }: Pick<WireOutput, 'name' | 'url'>): string {
  return name ?? hostOf(url)
}

/** The host of a url as it was typed; the url itself where it has none. */
export function hostOf(url: string): string {
  return /^[a-z]+:\/\/(\[[^\]]*\]|[^/:?]+)/i.exec(url)?.[1] ?? url
}
