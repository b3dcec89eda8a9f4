import { createHash, randomBytes } from 'node:crypto'
import type { Secret } from '../secret.ts'

/**
 * The two logins that RTMP servers ask of publishers, as librtmp and FFmpeg speak them: the server refuses `connect` with a text,
 * and the client connects anew, over a new connection, with an answer in the query of its application name.
 */
export type Credentials = { readonly username: string; readonly password: Secret }

const md5 = (algorithm: 'base64' | 'hex', ...parts: string[]): string =>
  createHash('md5').update(parts.join('')).digest(algorithm)

/** What the refusal's description asks for. `refused`: the login itself was wrong. */
export type AuthChallenge =
  | { readonly scheme: 'adobe' | 'llnw'; readonly query: URLSearchParams | undefined }
  | 'refused'
  | undefined

export function readAuthChallenge(description: string): AuthChallenge {
  if (!/AccessManager\.Reject|authmod=/i.test(description)) return undefined
  if (/reason=(?:authfailed|nosuchuser)/i.test(description)) return 'refused'
  const scheme = /authmod=\s*(adobe|llnw)/i.exec(description)?.[1]?.toLowerCase()
  if (scheme !== 'adobe' && scheme !== 'llnw') return undefined
  const needAuth = /\?reason=needauth(\S*)/i.exec(description)
  return { scheme, query: needAuth ? new URLSearchParams(needAuth[1]!.replace(/^&/, '')) : undefined }
}

/**
 * The query with which to connect again; begins with `?`. Nothing in it is url-encoded: no server decodes it.
 * @param app the application as it was sent first, without a query of ours.
 */
export function authQuery(
  challenge: Exclude<AuthChallenge, 'refused' | undefined>,
  credentials: Credentials,
  app: string,
  nonce: string = randomBytes(4).toString('hex'),
): string {
  const { scheme, query } = challenge
  const { username } = credentials
  if (query === undefined) return `?authmod=${scheme}&user=${username}`
  const password = credentials.password.reveal()
  if (scheme === 'adobe') {
    const salt = spacesToPlus(query.get('salt'))
    const challengeText = spacesToPlus(query.get('challenge'))
    const opaque = spacesToPlus(query.get('opaque'))
    const first = md5('base64', username, salt, password)
    const response = md5('base64', first, opaque || challengeText, nonce)
    const opaquePart = opaque === '' ? '' : `&opaque=${opaque}`
    return `?authmod=adobe&user=${username}&challenge=${nonce}&response=${response}${opaquePart}`
  }
  const realm = 'live'
  const method = 'publish'
  const qop = 'auth'
  const count = '00000001'
  const serverNonce = query.get('nonce') ?? ''
  const uri = `/${app.includes('/') ? app : `${app}/_definst_`}`
  const first = md5('hex', username, ':', realm, ':', password)
  const second = md5('hex', method, ':', uri)
  const response = md5('hex', first, ':', serverNonce, ':', count, ':', nonce, ':', qop, ':', second)
  return `?authmod=llnw&user=${username}&nonce=${serverNonce}&cnonce=${nonce}&nc=${count}&response=${response}`
}

/** Base64 in a query that nobody encoded: URLSearchParams reads its plus signs as spaces. */
function spacesToPlus(text: string | null): string {
  return (text ?? '').replaceAll(' ', '+')
}
