import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { Resolve } from '../destination/look-up.ts'
import type { DeliveryOutcome } from '../model/webhook.ts'

export type PostParts = {
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly clock: Clock
}

/** A receiver that answers later than this has failed, whatever it does with what it got. */
const deadlineMs = 10_000
/** Of the answer only the status matters; what a receiver sends beyond is not read. */
const answerBytesMax = 64 * 1024

/**
 * One POST. Receivers obey the same network policy as outputs: every resolved address is checked, and a checked address is
 * connected to. Redirects are not followed. Never throws: what went wrong is in the outcome.
 */
export function post(
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
    const cancel = clock.after(deadlineMs, () => late.abort())
    const settle = (result: { status: number } | { error: string }) => {
      cancel()
      resolve({
        at: new Date(clock.now()).toISOString(),
        durationMs: Math.round(clock.monotonicMs() - startedAtMs),
        ...result,
      })
    }
    const target = readUrl(url)
    if (target === undefined) {
      settle({ error: 'the url is not one of http or https' })
      return
    }
    const host = target.hostname.replace(/^\[|\]$/g, '')
    const refusal = isIP(host) === 0 ? undefined : refusalOf(parts.policy, host)
    if (refusal !== undefined) {
      settle({ error: refusal })
      return
    }
    const request = (target.protocol === 'https:' ? requestHttps : requestHttp)(
      target,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'stream-connect', ...headers },
        lookup: checkedLookup(parts, signal),
        signal: AbortSignal.any([signal, late.signal]),
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
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (late.signal.aborted) settle({ error: `no answer within ${deadlineMs / 1000} s` })
      else settle({ error: error.code ?? error.message.slice(0, 200) })
    })
    request.end(body)
  })
}

function readUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined
}

function refusalOf(policy: AddressPolicy, address: string): string | undefined {
  const verdict = policy.check(address)
  return verdict.allowed
    ? undefined
    : `${address} is ${verdict.reason}, which may not be reached; see DESTINATION_ALLOW`
}

function checkedLookup({ resolve, policy }: PostParts, signal: AbortSignal): LookupFunction {
  return (host, options, callback) => {
    resolve(host, signal).then(
      (addresses) => {
        const allowed = addresses.filter(({ address }) => policy.check(address).allowed)
        const first = allowed[0]
        if (first === undefined) {
          const refused = addresses[0]
          const message = refused === undefined ? `ENOTFOUND ${host}` : refusalOf(policy, refused.address)
          callback(new Error(message), '', 0)
        } else if (options.all === true) callback(null, allowed as { address: string; family: number }[])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
}
