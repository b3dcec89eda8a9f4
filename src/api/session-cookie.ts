import type { FastifyRequest } from 'fastify'
import type { AccountId } from '../model/id.ts'
import type { Secret } from '../secret.ts'
import { Refusal } from './envelope.ts'
import { sessionDurationMsMax } from './sessions.ts'

/** Only a page of ours can send it: a page from elsewhere would have to ask first (CORS), and is never answered. */
export const dashboardHeader = 'x-stream-connect'
export const dashboardHeaderValue = 'dashboard'

/** What `sessions.begin` makes. */
const cookieValue = /^[\w-]{43}$/

/**
 * The cookie that says who is signed in. Cookies know no ports: its name has a part of this server's account, so that two servers on one
 * host do not sign each other's people out. Over TLS it has the prefix `__Host-` (RFC 6265bis, 4.1.3.2): nobody in between can plant one
 * over plain HTTP, and it goes back over TLS alone.
 */
export class SessionCookie {
  readonly #suffix: string

  constructor(firstAccount: AccountId) {
    this.#suffix = firstAccount.slice(0, 8)
  }

  /** @returns what the cookie holds; undefined when none was sent that can be one of ours. */
  read(request: FastifyRequest): string | undefined {
    const name = this.#name(request)
    for (const pair of (request.headers.cookie ?? '').split(';')) {
      const at = pair.indexOf('=')
      if (at > 0 && pair.slice(0, at).trim() === name) {
        const value = pair.slice(at + 1).trim()
        return cookieValue.test(value) ? value : undefined
      }
    }
    return undefined
  }

  /** The value of `Set-Cookie`. */
  set(request: FastifyRequest, text: Secret): string {
    return this.#write(request, text.reveal(), sessionDurationMsMax / 1000)
  }

  clear(request: FastifyRequest): string {
    return this.#write(request, '', 0)
  }

  #write(request: FastifyRequest, value: string, maxAgeSeconds: number): string {
    const secure = isSecure(request) ? '; Secure' : ''
    return `${this.#name(request)}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure}`
  }

  #name(request: FastifyRequest): string {
    return `${isSecure(request) ? '__Host-' : ''}stream-connect-${this.#suffix}`
  }
}

/** Over TLS here, or at a proxy that is believed (TRUST_PROXY). */
function isSecure({ protocol }: FastifyRequest): boolean {
  return protocol === 'https'
}

const readingMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses what a page from elsewhere makes a browser send, which adds the cookie by itself. Three doors, each of which is enough:
 * SameSite=Strict (but a page on another port of the same host is the same site), a header that no form can send, and where the browser
 * says that the request came from (Sec-Fetch-Site; where it is not sent, over plain HTTP to another machine, Origin).
 * @throws Refusal 11403
 */
export function refuseForeign(request: FastifyRequest): void {
  const { headers, method } = request
  const site = headers['sec-fetch-site']
  if (readingMethods.has(method)) {
    // `none`: a person typed the address.
    if (site !== undefined && site !== 'same-origin' && site !== 'none') throw foreign()
    return
  }
  if (headers[dashboardHeader] !== dashboardHeaderValue) throw foreign()
  if (site === undefined ? !isOwnOrigin(request) : site !== 'same-origin') throw foreign()
}

function isOwnOrigin({ headers: { origin }, host }: FastifyRequest): boolean {
  if (origin === undefined || !URL.canParse(origin)) return false
  const url = new URL(origin)
  return url.origin === origin && url.host === withoutDefaultPort(host, url.protocol)
}

function withoutDefaultPort(host: string, protocol: string): string {
  const written = `${protocol}//${host}`
  return URL.canParse(written) ? new URL(written).host : host
}

function foreign(): Refusal {
  return new Refusal(403, [
    {
      code: 11403,
      message:
        'This request has the cookie of the dashboard, and did not come from the dashboard. A program sends `Authorization: Bearer <token>`.',
    },
  ])
}
