import { createHash } from 'node:crypto'
import type { Secret } from '../secret.ts'

/**
 * The two logins of Flash Media Server and its heirs (Akamai, Limelight, Wowza), as librtmp and FFmpeg speak them. Both take three
 * connections: the first is refused with the name of the scheme, the second with a challenge, the third has the answer.
 * What a client has to say goes behind `app` and `tcUrl`, not percent-encoded.
 */
export type Credentials = { readonly username: string; readonly password: Secret }

/** What a refusal says about the login. */
export type Challenge =
  /** The server wants the scheme and the user name. */
  | { readonly step: 'name'; readonly scheme: 'adobe' | 'llnw' }
  /** The server asks to prove the password. */
  | { readonly step: 'prove'; readonly scheme: 'adobe' | 'llnw'; readonly parameters: ReadonlyMap<string, string> }
  /** The server knows neither this user nor this password, or a scheme that we do not. */
  | { readonly step: 'denied' }

/**
 * Reads the description of a NetConnection.Connect.Rejected:
 *   [ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ]
 *   [ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=U&salt=S&challenge=C&opaque=O
 *   [ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=O
 * Undefined when it is not about a login.
 */
export function readChallenge(description: string): Challenge | undefined {
  const scheme = /authmod\s*=\s*([a-z]+)/i.exec(description)?.[1]?.toLowerCase()
  if (scheme === undefined) return undefined
  if (scheme !== 'adobe' && scheme !== 'llnw') return { step: 'denied' }
  const query = /\?(\S*)/.exec(description)?.[1]
  if (query === undefined) return /need auth/i.test(description) ? { step: 'name', scheme } : { step: 'denied' }
  const parameters = new Map<string, string>()
  for (const pair of query.split('&')) {
    // Values are Base64 and may end in `=`.
    const at = pair.indexOf('=')
    if (at > 0) parameters.set(pair.slice(0, at), pair.slice(at + 1))
  }
  return parameters.get('reason') === 'needauth' ? { step: 'prove', scheme, parameters } : { step: 'denied' }
}

/** The query that names scheme and user, without `?`. */
export function namingQuery(scheme: 'adobe' | 'llnw', username: string): string {
  return `authmod=${scheme}&user=${username}`
}

/** @param nonce eight hex digits of ours, new each time. */
export function adobeQuery(
  { username, password }: Credentials,
  parameters: ReadonlyMap<string, string>,
  nonce: string,
): string {
  const salt = parameters.get('salt') ?? ''
  const opaque = parameters.get('opaque') ?? ''
  const challenge = opaque !== '' ? opaque : (parameters.get('challenge') ?? '')
  const login = md5(username + salt + password.reveal(), 'base64')
  const response = md5(login + challenge + nonce, 'base64')
  return `${namingQuery('adobe', username)}&challenge=${nonce}&response=${response}${opaque && `&opaque=${opaque}`}`
}

/** @param app without the query of the login. @param nonce as for adobe. */
export function llnwQuery(
  { username, password }: Credentials,
  parameters: ReadonlyMap<string, string>,
  app: string,
  nonce: string,
): string {
  const serverNonce = parameters.get('nonce') ?? ''
  const count = '00000001'
  const uri = `/${app}${app.includes('/') ? '' : '/_definst_'}`
  const login = md5(`${username}:live:${password.reveal()}`, 'hex')
  const action = md5(`publish:${uri}`, 'hex')
  const response = md5(`${login}:${serverNonce}:${count}:${nonce}:auth:${action}`, 'hex')
  return `${namingQuery('llnw', username)}&nonce=${serverNonce}&cnonce=${nonce}&nc=${count}&response=${response}`
}

function md5(text: string, encoding: 'hex' | 'base64'): string {
  return createHash('md5').update(text).digest(encoding)
}
