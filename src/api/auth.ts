import type { IncomingHttpHeaders } from 'node:http'
import type { Accounts, Principal } from './accounts.ts'
import { notAuthenticated, Refusal } from './envelope.ts'

/** RFC 6750 section 2.1: the characters of a Bearer token. The length is a limit of ours. */
const bearer = /^Bearer +([A-Za-z0-9\-._~+/]{1,512}=*) *$/i
/** Cloudflare's global API keys. */
const apiKey = /^[0-9a-f]{37,64}$/i

/** @throws Refusal 9106 without authentication, 6003 when it is malformed, 10000 when it is nobody's. */
export function authenticate(headers: IncomingHttpHeaders, accounts: Accounts): Principal {
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
  throw new Refusal(400, [{ code: 9106, message: 'Missing X-Auth-Key, X-Auth-Email or Authorization headers' }])
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
