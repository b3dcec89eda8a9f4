import type { FastifyRequest } from 'fastify'
import type { Accounts, Principal } from './accounts.ts'
import { notAuthenticated, Refusal, refused } from './envelope.ts'
import { dashboardHeader, refuseForeign, type SessionCookie } from './session-cookie.ts'
import type { Sessions } from './sessions.ts'

/** RFC 6750 section 2.1: the characters of a Bearer token. The length is a limit of ours. */
const bearer = /^Bearer +([A-Za-z0-9\-._~+/]{1,512}=*) *$/i
/** Cloudflare's global API keys. */
const apiKey = /^[0-9a-f]{37,64}$/i

/** Whom a request is let in by. */
export type Doors = { readonly accounts: Accounts; readonly sessions: Sessions; readonly cookie: SessionCookie }

/**
 * @throws Refusal 9106 without authentication, 6003 when it is malformed, 10000 when it is nobody's; 11401 for a session that is over,
 * 11403 for a cookie that a page from elsewhere makes use of.
 */
export function authenticate(request: FastifyRequest, { accounts, sessions, cookie }: Doors): Principal {
  const { headers } = request
  const { authorization } = headers
  if (authorization !== undefined) {
    const token = bearer.exec(authorization)?.[1]
    if (token === undefined) throw malformed(6111, 'Authorization')
    return known(accounts.principalOfToken(token))
  }
  const key = headers['x-auth-key']
  const email = headers['x-auth-email']
  if (key !== undefined || email !== undefined) {
    if (typeof email !== 'string' || !/^[^@\s]+@[^@\s]+$/.test(email)) throw malformed(6102, 'X-Auth-Email')
    if (typeof key !== 'string' || !apiKey.test(key)) throw malformed(6103, 'X-Auth-Key')
    return known(accounts.principalOfKey(email, key))
  }
  if (headers['x-auth-user-service-key'] !== undefined) throw notAuthenticated()
  const session = cookie.read(request)
  if (session !== undefined) {
    refuseForeign(request)
    const principal = sessions.principalOf(session)
    if (principal === undefined) throw refused(401)
    return principal
  }
  if (headers[dashboardHeader] !== undefined) throw refused(401)
  throw new Refusal(400, [{ code: 9106, message: 'Missing X-Auth-Key, X-Auth-Email or Authorization headers' }])
}

/** @returns the text of a token that can be one; undefined for everything else. */
export function tokenIn(text: string): string | undefined {
  return bearer.exec(`Bearer ${text.trim()}`)?.[1]
}

function known(principal: Principal | undefined): Principal {
  if (principal === undefined) throw notAuthenticated()
  return principal
}

function malformed(code: 6102 | 6103 | 6111, header: string): Refusal {
  return new Refusal(400, [
    {
      code: 6003,
      message: 'Invalid request headers',
      error_chain: [{ code, message: `Invalid format for ${header} header` }],
    },
  ])
}
