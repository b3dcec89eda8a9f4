import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { Secret } from '../secret.ts'

/** A destination, taken apart. What the peer gets to see (app, tcUrl, key) is verbatim what the person gave. */
export type Destination = {
  readonly scheme: 'rtmp' | 'rtmps'
  /** Name or address to connect to: lower case, ASCII, without the brackets of IPv6. */
  readonly host: string
  readonly port: number
  /** Everything after the host, query included, without the first and one last slash; may be empty (Kick). */
  readonly app: string
  /** As OBS builds it: the url without a last slash. Never holds the key. */
  readonly tcUrl: string
  readonly streamKey: Secret
}

export type Problem = {
  readonly field: 'url' | 'streamKey'
  /** A sentence that says what to do. */
  readonly message: string
}

export type ParsedDestination =
  | { readonly ok: true; readonly destination: Destination }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** OBS and FFmpeg take 1,024 for parts of it; no platform's url has 200. */
const urlLengthMax = 2048
/** Instagram's and Facebook's keys have some hundred characters. */
const streamKeyLengthMax = 1024
export const defaultPorts = { rtmp: 1935, rtmps: 443 } as const

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacters = /[\u0000-\u001f\u007f]/

/**
 * Takes url and key apart without changing anything inside them: no decoding, no splitting at `?`, `&`, `=` or `/`. WHATWG's URL
 * would normalise what platforms expect to get back as they gave it out.
 */
export function parseDestination(url: string, streamKey: string): ParsedDestination {
  const problems: Problem[] = []
  const located = locate(url.trim(), (message) => problems.push({ field: 'url', message }))
  const key = checkKey(streamKey, (message) => problems.push({ field: 'streamKey', message }))
  if (located === undefined || key === undefined) return { ok: false, problems }
  return { ok: true, destination: { ...located, streamKey: new Secret(key) } }
}

type Location = Omit<Destination, 'streamKey'>

/** A url alone, as a redirect gives it. */
export function parseLocation(url: string): Location | undefined {
  return locate(url.trim(), () => {})
}

function locate(url: string, complain: (message: string) => void): Location | undefined {
  const fail = (message: string): undefined => {
    complain(message)
    return undefined
  }
  if (url === '') return fail('Give the url of the destination, for example rtmp://a.rtmp.youtube.com/live2.')
  if (url.length > urlLengthMax)
    return fail(`The url is longer than ${urlLengthMax} characters. Check what was pasted.`)
  if (/\s/.test(url) || controlCharacters.test(url))
    return fail('The url contains white space or control characters. Remove them.')
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i.exec(url)
  if (parts === null) return fail('The url must begin with rtmp:// or rtmps:// and a host name.')
  const scheme = parts[1]!.toLowerCase()
  const authority = parts[2]!
  if (scheme !== 'rtmp' && scheme !== 'rtmps')
    return fail(`The scheme ${scheme}:// is not supported. Use an url that begins with rtmp:// or rtmps://.`)
  if (authority.includes('@'))
    return fail('The url must not contain a user name or password. Give them in the fields username and password.')
  const hostAndPort = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(authority)
  if (hostAndPort === null)
    return fail('The host of the url cannot be read. Write an IPv6 address in brackets: rtmp://[2001:db8::1]/app.')
  const host = readHost(hostAndPort[1]!)
  if (host === undefined) return fail('The url has no valid host. Check its spelling.')
  const portText = hostAndPort[2]
  const port = portText === undefined || portText === '' ? defaultPorts[scheme] : Number(portText)
  if ((portText !== undefined && !/^\d*$/.test(portText)) || !(port >= 1 && port <= 65535))
    return fail('The port of the url must be a number from 1 to 65535.')
  const rest = parts[3]!
  const app = rest.replace(/^\//, '').replace(/\/$/, '')
  return { scheme, host, port, app, tcUrl: url.replace(/\/$/, '') }
}

function readHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const address = text.slice(1, -1)
    // A zone (fe80::1%eth0) is nothing that a public destination has.
    return isIP(address) === 6 && !address.includes('%') ? address.toLowerCase() : undefined
  }
  const ascii = domainToASCII(text)
  if (ascii === '' || ascii.length > 253) return undefined
  return /^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?$/.test(ascii) ? ascii : undefined
}

function checkKey(given: string, complain: (message: string) => void): string | undefined {
  const key = given.trim()
  if (key === '') complain('Give the stream key of the destination.')
  else if (controlCharacters.test(key))
    complain('The streamKey contains line breaks or control characters. Copy the key again.')
  else if (key.length > streamKeyLengthMax)
    complain(`The streamKey is longer than ${streamKeyLengthMax} characters. Check what was pasted.`)
  else return key
  return undefined
}
