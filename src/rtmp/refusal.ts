import { CodedError, type OutputErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { type AmfObject, type AmfValue, field, textField } from './amf0.ts'
import type { Command } from './command.ts'
import { ConnectionClosed } from './connection.ts'
import { ProtocolError } from './message.ts'

/** How far the dialogue with a destination had come: the same close means different things. */
export type PublishPhase = 'connecting' | 'publishing' | 'published'

const wordsMax = 200
/** A destination's words are looked through for a reason so far: the longest that is known has 200 characters. */
const wordsReadMax = 1000

/** Thrown when a destination sends the connection on (SRS, Flash Media Server). The url has no key in it. */
export class RedirectError extends Error {
  readonly url: string

  constructor(url: string) {
    super('the destination redirects the connection')
    this.name = 'RedirectError'
    this.url = url
  }
}

/** Cause of a failure whose message is the destination's own words: it has closed nothing yet. */
export class SaidByDestination extends Error {}

/** Whether an information object says no. `level` is the reliable sign, but some leave it out. */
export function isRefusal(information: AmfValue): boolean {
  if (textField(information, 'level')?.toLowerCase() === 'error') return true
  const code = textField(information, 'code') ?? ''
  return /\.(?:BadName|Denied|Rejected|Failed|InvalidSign|InvalidApp|Unauthorized|AppShutdown)$|^NetConnection\.Connect\.Closed$/i.test(
    code,
  )
}

/** @param secrets what must not appear in the message although the destination says it. */
export function refusal(
  command: Command,
  phase: PublishPhase,
  secrets: readonly Secret[],
): CodedError<OutputErrorCode> {
  const information = command.values.find((value) => value instanceof Map && (value.has('code') || value.has('level')))
  // What a server of ours says besides, because BadName stands for everything with encoders.
  const reason = textField(information, 'reason')
  if (reason === 'feed_loops') return new CodedError('loop_detected')
  const code = textField(information, 'code') ?? ''
  const description =
    textField(information, 'description') ??
    textField(information, 'details') ??
    command.values.find((value) => typeof value === 'string') ??
    ''
  const words = cleanWords([code, description].filter((part) => part !== '').join(': '), secrets)
  const said = words === '' ? `The destination answered ${command.name} and no reason.` : words
  if (reason === 'stream_key_unknown' || reason === 'input_disabled') return new CodedError('publish_denied', said)
  return new CodedError(codeOf(code.slice(0, wordsReadMax), description.slice(0, wordsReadMax), phase), said, {
    cause: new SaidByDestination(command.name),
  })
}

function codeOf(code: string, description: string, phase: PublishPhase): OutputErrorCode {
  if (/BadName$/i.test(code) || /already (?:publishing|exists|in use)/i.test(description)) return 'already_publishing'
  if (/codec/i.test(code) || /codec.*\b(?:not|un)|(?:not |un)(?:supported|known|allowed).*codec/i.test(description))
    return 'codec_refused'
  if (/^NetStream\.Publish\.(?:Denied|Rejected|InvalidSign|Unauthorized)/i.test(code)) return 'publish_denied'
  if (/(?:authfailed|nosuchuser|unauthori[sz]ed|access denied)/i.test(description)) return 'publish_denied'
  if (phase === 'connecting') return 'connect_rejected'
  if (phase === 'publishing') return /^NetConnection\./i.test(code) ? 'connect_rejected' : 'publish_denied'
  return 'connection_reset'
}

/** The destination sent the command `close`. */
export function saidClose(phase: PublishPhase): CodedError<OutputErrorCode> {
  return phase === 'connecting'
    ? new CodedError('connect_rejected', 'The destination said close in answer to connect. Check the path of the url.')
    : closedWithoutWord(phase)
}

function closedWithoutWord(phase: PublishPhase): CodedError<OutputErrorCode> {
  switch (phase) {
    case 'connecting':
      return new CodedError(
        'connect_rejected',
        'The destination closed the connection in place of answering connect. Check the path of the url.',
      )
    case 'publishing':
      return new CodedError(
        'closed_after_publish',
        'The destination closed the connection in place of answering publish; most platforms do this for a wrong or expired stream key. Check the key.',
      )
    case 'published':
      return new CodedError(
        'connection_reset',
        'The destination closed the connection. The output is connected again by itself.',
      )
    default:
      return phase satisfies never
  }
}

/** Why a connection to a destination was over, as an error for the person. Errors that have a code are passed on. */
export function connectionFailure(reason: unknown, phase: PublishPhase): CodedError<OutputErrorCode> {
  if (reason instanceof CodedError) return reason
  if (reason instanceof ConnectionClosed) return closedWithoutWord(phase)
  if (reason instanceof ProtocolError)
    return new CodedError('protocol_violation', `The destination did not keep to RTMP: ${reason.reason}.`, {
      cause: reason,
    })
  const systemCode = (reason as { code?: unknown } | undefined)?.code
  const suffix = typeof systemCode === 'string' ? ` (${systemCode})` : ''
  return new CodedError(
    'connection_reset',
    `The destination cut the connection${suffix}. The output is connected again by itself.`,
    { cause: reason },
  )
}

/**
 * Where a refusal sends us on; undefined when it does not. `redirect` is a tcUrl; `redirect2` (SRS) has the stream name behind it.
 * Both are a stranger's words: the caller checks the url like any other.
 */
export function redirectOf(information: AmfObject | undefined, streamKey: Secret): string | undefined {
  const ex = field(information, 'ex')
  if (field(ex, 'code') !== 302) return undefined
  const url = textField(ex, 'redirect') ?? textField(ex, 'redirect2')
  if (url === undefined || url.length > 2048 || !/^rtmps?:\/\/[^/]/i.test(url)) return undefined
  const suffix = `/${streamKey.reveal()}`
  const name = suffix.replace(/\?.*$/s, '')
  if (url.endsWith(suffix)) return url.slice(0, -suffix.length)
  if (name !== '/' && url.endsWith(name)) return url.slice(0, -name.length)
  return url
}

/**
 * A destination's words, fit for a screen and a log: without control characters and what turns text around, at most 200
 * characters, and without our secrets, which some destinations echo.
 */
export function cleanWords(words: string, secrets: readonly Secret[]): string {
  let clean = plain(words).trim()
  for (const variant of secrets.flatMap(variants).sort((a, b) => b.length - a.length))
    clean = clean.replaceAll(variant, '[redacted]')
  return [...clean].slice(0, wordsMax).join('')
}

function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
}

/** A destination may say a key decoded or encoded, or leave its parameters away. Shorter than four characters is no secret. */
function variants(secret: Secret): string[] {
  const text = secret.reveal()
  const all = [text, text.replace(/\?.*$/s, ''), encodeURIComponent(text), encodeURI(text), decoded(text)]
  return all.map(plain).filter((variant) => variant.length >= 4)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
