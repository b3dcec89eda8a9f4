import { isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'
import { Secret } from '../secret.ts'

/** A destination, taken apart. What the peer gets to see (app, tcUrl, key) is verbatim what the person gave. */
export type Destination = {
  readonly scheme: Scheme
  /** Name or address to connect to: lower case, ASCII (IDN converted), without the brackets of IPv6. */
  readonly host: string
  readonly port: number
  /** Everything after the host, query included, without the first and one last slash; may be empty (Kick). */
  readonly app: string
  /** As OBS builds it: scheme://host[:port as typed][/app]. Never holds the key. */
  readonly tcUrl: string
  readonly streamKey: Secret
}

export type Scheme = 'rtmp' | 'rtmps'

export type Problem = {
  readonly field: 'url' | 'streamKey'
  readonly code: ProblemCode
  /** A sentence that says what to do. It repeats nothing that could be a secret. */
  readonly message: string
}

export type ProblemCode =
  | 'url_missing'
  | 'url_too_long'
  | 'url_characters'
  | 'scheme_missing'
  | 'scheme_unsupported'
  | 'credentials_in_url'
  | 'host_missing'
  | 'host_invalid'
  | 'port_invalid'
  | 'stream_key_missing'
  | 'stream_key_too_long'
  | 'stream_key_characters'

export type ParsedDestination =
  | { readonly ok: true; readonly destination: Destination }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Characters. FFmpeg keeps 1,024 bytes of a tcUrl; the longest url of a platform has fewer than 200. */
export const urlLengthMax = 2048
/** Characters. Signed keys (Instagram, TikTok) have a few hundred. */
export const streamKeyLengthMax = 1024
/** Characters of a host name in its ASCII form, and of one label of it (RFC 1035). */
const hostLengthMax = 253
const labelLengthMax = 63

export const defaultPorts: Readonly<Record<Scheme, number>> = { rtmp: 1935, rtmps: 443 }

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/**
 * Takes url and key apart. White space around them is dropped; inside them nothing is split, decoded or changed: WHATWG's URL
 * would normalise what platforms expect to get back as they gave it out (`%3D`, `//`, `?` in a path, …).
 */
export function parseDestination(url: string, streamKey: string): ParsedDestination {
  const location = locate(url)
  const keyProblem = problemOfStreamKey(streamKey.trim())
  const problems = [...('message' in location ? [location] : []), ...(keyProblem ? [keyProblem] : [])]
  if ('message' in location || problems.length > 0) return { ok: false, problems }
  return { ok: true, destination: { ...location, streamKey: new Secret(streamKey.trim()) } }
}

function locate(text: string): Omit<Destination, 'streamKey'> | Problem {
  const url = text.trim()
  if (url === '') return urlProblem('url_missing', 'Give the url of the destination, such as rtmp://a.example/live.')
  if (url.length > urlLengthMax)
    return urlProblem('url_too_long', `The url is longer than ${urlLengthMax} characters. Check what was pasted.`)
  if (controlCharacter.test(url) || /\s/.test(url) || !url.isWellFormed())
    return urlProblem(
      'url_characters',
      'The url contains white space, a line break or control characters. Remove them.',
    )

  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?]*)(.*)$/i.exec(url)
  if (parts === null) return urlProblem('scheme_missing', 'The url must begin with rtmp:// or rtmps://.')
  const scheme = parts[1]!.toLowerCase()
  if (scheme !== 'rtmp' && scheme !== 'rtmps')
    return urlProblem(
      'scheme_unsupported',
      `Outputs speak RTMP and RTMPS, not ${scheme}. Use a url that begins with rtmp:// or rtmps://.`,
    )

  const authority = parts[2]!
  if (authority.includes('@'))
    return urlProblem(
      'credentials_in_url',
      'The url must not hold a user name or password. Remove everything between :// and @, and give them in fields of their own.',
    )
  const hostAndPort = /^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/.exec(authority)
  if (hostAndPort === null)
    return urlProblem('host_invalid', 'Put an IPv6 address in brackets, as in rtmp://[2001:db8::1]:1935/live.')
  const typedHost = hostAndPort[1]!
  const typedPort = hostAndPort[2]
  if (typedHost === '') return urlProblem('host_missing', 'The url has no host. Write it after rtmp:// or rtmps://.')
  const host = asciiHost(typedHost)
  if (host === undefined)
    return urlProblem(
      'host_invalid',
      'The host in the url is neither a host name nor an IP address. Check its spelling.',
    )
  const port = typedPort === undefined ? defaultPorts[scheme] : readPort(typedPort)
  if (port === undefined)
    return urlProblem(
      'port_invalid',
      `The port in the url must be a number from 1 to 65535. Without a port (and without a colon) it is ${defaultPorts[scheme]}.`,
    )

  const app = parts[3]!.replace(/^\//, '').replace(/\/$/, '')
  const authorityAsTyped = `${host.typed}${typedPort === undefined ? '' : `:${typedPort}`}`
  const tcUrl = `${scheme}://${authorityAsTyped}${app === '' ? '' : `/${app}`}`
  return { scheme, host: host.ascii, port, app, tcUrl }
}

/** How the host is connected to, and how the peer is told of it: as typed, but in ASCII. */
function asciiHost(text: string): { ascii: string; typed: string } | undefined {
  if (text.startsWith('[')) {
    const address = text.slice(1, -1)
    // A zone (fe80::1%eth0) names an interface of this machine: no destination has one.
    if (!isIPv6(address) || address.includes('%')) return undefined
    return { ascii: address.toLowerCase(), typed: text }
  }
  // Only names beyond ASCII are converted: the conversion would also decode %61 and rewrite 127.1, which the look-up must see.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII
  const typed = /^[\u0000-\u007f]*$/.test(text) ? text : domainToASCII(text)
  const labels = typed.replace(/\.$/, '').split('.')
  if (typed.length > hostLengthMax || !labels.every(isLabel)) return undefined
  return { ascii: typed.toLowerCase(), typed }
}

function isLabel(text: string): boolean {
  return text.length <= labelLengthMax && /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/i.test(text)
}

function readPort(text: string): number | undefined {
  const port = /^\d{1,8}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65535 ? port : undefined
}

function problemOfStreamKey(key: string): Problem | undefined {
  if (key === '')
    return { field: 'streamKey', code: 'stream_key_missing', message: 'Give the stream key that the platform shows.' }
  if (key.length > streamKeyLengthMax)
    return {
      field: 'streamKey',
      code: 'stream_key_too_long',
      message: `The stream key is longer than ${streamKeyLengthMax} characters. Check what was pasted.`,
    }
  if (controlCharacter.test(key) || !key.isWellFormed())
    return {
      field: 'streamKey',
      code: 'stream_key_characters',
      message: 'The stream key contains a line break or control characters. Copy the key again, and nothing around it.',
    }
  return undefined
}

function urlProblem(code: ProblemCode, message: string): Problem {
  return { field: 'url', code, message }
}
