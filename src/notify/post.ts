import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import { addressesMax, type Resolve } from '../destination/look-up.ts'
import type { DeliveryOutcome } from '../model/webhook.ts'

export type PostParts = {
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly clock: Clock
}

/** A receiver that does not begin to answer within this time has failed, whatever it does with what it got. */
export const postDeadlineMs = 10_000
/** Of the answer only the status matters; what a receiver sends beyond is not read. */
const answerBytesMax = 64 * 1024

/**
 * One POST. Receivers obey the same network policy as outputs: every resolved address is checked, and a checked address is
 * connected to. Redirects are not followed. Never throws: what went wrong is in the outcome, without the url.
 */
export async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  parts: PostParts,
  signal: AbortSignal,
): Promise<DeliveryOutcome> {
  // Also where the url itself holds an address, and nothing is looked up.
  await parts.policy.refresh()
  return send(url, headers, body, parts, signal)
}

function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  parts: PostParts,
  signal: AbortSignal,
): Promise<DeliveryOutcome> {
  const { clock } = parts
  const startedAtMs = clock.monotonicMs()
  return new Promise((resolve) => {
    const late = new AbortController()
    const over = AbortSignal.any([signal, late.signal])
    const cancel = clock.after(postDeadlineMs, () => late.abort())
    const settle = (result: { status: number } | { error: string }) => {
      cancel()
      resolve({
        at: new Date(clock.now()).toISOString(),
        durationMs: Math.round(clock.monotonicMs() - startedAtMs),
        ...result,
      })
    }
    const fail = (error: unknown) => {
      if (signal.aborted) settle({ error: 'The attempt was cut short.' })
      else if (late.signal.aborted) settle({ error: `No answer came within ${postDeadlineMs / 1000} s.` })
      else settle({ error: sentenceOf(error) })
    }
    const target = readUrl(url)
    const host = target?.hostname.replace(/^\[|\]$/g, '') ?? ''
    const refusal = target === undefined ? 'The url is not one of http or https.' : refusalOf(parts.policy, host)
    if (target === undefined || refusal !== undefined) {
      settle({ error: refusal! })
      return
    }
    try {
      const request = (target.protocol === 'https:' ? requestHttps : requestHttp)(
        target,
        {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'user-agent': 'stream-connect', ...headers },
          lookup: checkedLookup(parts, over),
          signal: over,
          agent: false,
        },
        (answer) => {
          let bytes = 0
          answer.on('data', (part: Buffer) => {
            bytes += part.length
            if (bytes > answerBytesMax) answer.destroy()
          })
          answer.on('error', () => {})
          answer.on('close', () => settle({ status: answer.statusCode ?? 0 }))
        },
      )
      request.on('error', fail)
      // 101: Node destroys the request without an error or an answer.
      request.on('upgrade', (answer, socket) => {
        socket.destroy()
        settle({ status: answer.statusCode ?? 101 })
      })
      // Whatever Node makes of a request that is over already: the deadline holds.
      over.addEventListener('abort', () => fail(over.reason), { once: true })
      request.end(body)
    } catch (error) {
      // A header that HTTP cannot say: the API lets none through.
      fail(error)
    }
  })
}

function readUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined
}

/** An address in the url itself is never looked up. */
function refusalOf(policy: AddressPolicy, host: string): string | undefined {
  if (isIP(host) === 0) return undefined
  const verdict = policy.check(host)
  return verdict.allowed
    ? undefined
    : `${host} is ${verdict.reason}, which may not be reached; STREAM_CONNECT_DESTINATION_ALLOW (--destination-allow) can permit it.`
}

class AddressRefused extends Error {}

function checkedLookup({ resolve, policy }: PostParts, signal: AbortSignal): LookupFunction {
  return (host, options, callback) => {
    resolve(host, signal).then(
      (addresses) => {
        const allowed = addresses.slice(0, addressesMax).filter(({ address }) => policy.check(address).allowed)
        const first = allowed[0]
        if (first === undefined) {
          const refused = addresses[0]
          const error =
            refused === undefined
              ? Object.assign(new Error(`no address of ${host}`), { code: 'ENOTFOUND' })
              : new AddressRefused(refusalOf(policy, refused.address))
          callback(error, '', 0)
        } else if (options.all === true) callback(null, allowed as { address: string; family: number }[])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
}

const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens at the host and port of the url.',
  ECONNRESET: 'The receiver cut the connection.',
  EPIPE: 'The receiver cut the connection.',
  ETIMEDOUT: 'The receiver did not answer the connection.',
  EHOSTUNREACH: 'The host of the url cannot be reached.',
  ENETUNREACH: 'The network of the host cannot be reached.',
  ENOTFOUND: 'The host name of the url could not be resolved.',
  EAI_AGAIN: 'The host name of the url could not be resolved.',
  CERT_HAS_EXPIRED: 'The TLS certificate of the receiver has expired.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'The TLS certificate of the receiver was made for another host name.',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'The TLS certificate of the receiver is not signed by a known authority.',
  SELF_SIGNED_CERT_IN_CHAIN: 'The TLS certificate of the receiver is not signed by a known authority.',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'The TLS certificate of the receiver is not signed by a known authority.',
  EPROTO: 'The TLS handshake failed: perhaps the port does not speak https.',
}

/** Of what went wrong, without the url: several addresses tried at once give one error that holds the others. */
function sentenceOf(error: unknown): string {
  const first = error instanceof AggregateError ? error.errors[0] : error
  if (first instanceof AddressRefused) return first.message
  const code = (first as { code?: unknown } | undefined)?.code
  if (typeof code !== 'string') return 'The connection failed.'
  const known = sentences[code]
  if (known !== undefined) return known
  return code.startsWith('HPE_') ? 'What answered does not speak HTTP.' : `The connection failed (${code}).`
}
