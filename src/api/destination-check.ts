import { isIP } from 'node:net'
import type { AddressPolicy } from '../destination/address-policy.ts'
import { parseDestination } from '../destination/destination-url.ts'
import { type Advice, type AdviceCode, lintDestination } from '../destination/lint.ts'
import type { Output } from '../model/live-input.ts'
import { invalid, invalidBecause, type Notice, noticeCode } from './envelope.ts'

/**
 * What is done with each slip that lint finds, before a destination is saved (docs/adr/0003-lint-in-messages.md).
 *
 * `refused`: it can never work, and what can is known and costs nothing. `told`: it is saved, and `messages` says how to mend it: it may
 * be meant, work where nobody has tried, or stand in a documented example (`"streamKey": "<redacted>"`). Refused is only what lint is
 * sure of (`severity: 'error'`): on hosts that it does not know, everything is told.
 */
export const verdicts: Readonly<Record<AdviceCode, 'refused' | 'told'>> = {
  app_missing: 'told',
  app_unusual: 'told',
  host_for_other_scheme: 'told',
  host_is_web_page: 'told',
  key_contains_url: 'told',
  key_in_url: 'told',
  key_incomplete: 'told',
  key_of_other_platform: 'told',
  key_placeholder: 'told',
  key_quoted: 'told',
  key_starts_with_slash: 'told',
  /** No platform has white space in its keys. */
  key_white_space: 'refused',
  port_for_other_scheme: 'told',
  port_unusual: 'told',
  /** The platform closes plain RTMP; its RTMPS url is in the sentence. */
  rtmps_needed: 'refused',
  /** The braces would be sent; the key has a field of its own. */
  url_placeholder: 'refused',
}

/** @throws Refusal with every problem at once. */
export function checkDestination(url: string, streamKey: string): void {
  // White space around a key is a slip of the mouse; a line break in what was pasted means that more than the key came along.
  if (/[\r\n\u2028\u2029]/.test(streamKey))
    throw invalid('/streamKey', 'The streamKey contains line breaks. Copy the key alone, in one line.')
  if (!streamKey.isWellFormed() || !url.isWellFormed())
    throw invalid(url.isWellFormed() ? '/streamKey' : '/url', 'Contains half a character. Copy it again.')
  const parsed = parseDestination(url, streamKey)
  const problems = parsed.ok ? lintDestination(url, streamKey).filter(isRefused) : parsed.problems
  if (problems.length > 0)
    throw invalidBecause(
      problems.map(({ field, message }) => ({ code: 10005, message, source: { pointer: `/${field}` } })),
    )
}

function isRefused({ severity, code }: Advice): boolean {
  return severity === 'error' && code in verdicts && verdicts[code as AdviceCode] === 'refused'
}

/** What looks wrong with url and key, and how to mend it. */
export function adviceOnDestination(url: string, streamKey: string): Notice[] {
  return lintDestination(url, streamKey).map(({ field, message }) => notice(field, message))
}

/** That outputs may not reach the url's host, where that is an address. Names are told of when they are looked up, at each attempt. */
export function adviceOnAddress(url: string, streamKey: string, policy: Pick<AddressPolicy, 'check'>): Notice[] {
  const parsed = parseDestination(url, streamKey)
  const host = parsed.ok ? parsed.destination.host : ''
  const verdict = isIP(host) === 0 ? undefined : policy.check(host)
  if (verdict === undefined || verdict.allowed) return []
  const message = `${host} is ${verdict.reason}, which outputs may not reach. To permit it, add its range to STREAM_CONNECT_DESTINATION_ALLOW.`
  return [notice('url', message)]
}

/** Options of an output that do nothing, or not what they seem to. */
export function adviceOnOptions({
  url,
  username,
  password,
  tls,
}: Pick<Output, 'url' | 'username' | 'password' | 'tls'>) {
  const notices: Notice[] = []
  if (username !== undefined && password === undefined)
    notices.push(notice('username', 'A username without a password has no effect. Give both.'))
  if (password !== undefined && username === undefined)
    notices.push(notice('password', 'A password without a username has no effect. Give both.'))
  if (tls !== undefined && /^rtmp:/i.test(url))
    notices.push(notice('tls', 'The url begins with rtmp://, so there is no TLS and this has no effect.'))
  else if (tls?.verify === false && tls.fingerprint !== undefined)
    notices.push(notice('tls', 'With a fingerprint that certificate alone is taken, whatever `verify` says.'))
  else if (tls?.verify === false)
    notices.push(
      notice('tls', 'Any certificate is taken, so anyone in between can read the stream key. A fingerprint is safer.'),
    )
  return notices
}

function notice(field: string, message: string): Notice {
  return { code: noticeCode, message, source: { pointer: `/${field}` } }
}
