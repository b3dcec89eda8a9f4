import { type Destination, type Problem, parseDestination } from './destination-url.ts'
import { keyForms, type Platform, platformOf, webPages } from './platforms.ts'

/**
 * A slip that people make with urls and keys. `error`: this cannot work; `warning`: it works nowhere that is known, or seldom.
 * The sentences say how to mend it, and repeat nothing of the key.
 */
export type Advice = {
  readonly severity: 'error' | 'warning'
  readonly field: 'url' | 'streamKey'
  readonly code: AdviceCode | Problem['code']
  readonly message: string
}

export type AdviceCode =
  | 'app_missing'
  | 'app_unusual'
  | 'host_is_web_page'
  | 'host_for_other_scheme'
  | 'key_contains_url'
  | 'key_in_url'
  | 'key_incomplete'
  | 'key_of_other_platform'
  | 'key_placeholder'
  | 'key_quoted'
  | 'key_starts_with_slash'
  | 'key_white_space'
  | 'port_for_other_scheme'
  | 'port_unusual'
  | 'rtmps_needed'
  | 'url_placeholder'

/** A key that is shorter may be in the path of the url by chance: live, test, stream, … */
const tellingKeyLengthMin = 8

/**
 * Reads url and key as a person who knows the platforms would. A url or key that cannot be used at all gives its problems as errors
 * and nothing more. Pure: looks nothing up.
 */
export function lintDestination(url: string, streamKey: string): Advice[] {
  const parsed = parseDestination(url, streamKey)
  if (!parsed.ok) return parsed.problems.map((problem) => ({ severity: 'error', ...problem }))
  const { destination } = parsed
  const platform = platformOf(destination.host)
  const key = destination.streamKey.reveal()
  return [
    ...lintHost(destination, platform),
    ...lintScheme(destination, platform),
    ...lintApp(destination, platform, key),
    ...lintKey(url.trim(), platform, key),
  ]
}

function lintHost({ host, scheme }: Destination, platform: Platform | undefined): Advice[] {
  if (webPages.test(host))
    return [warning('url', 'host_is_web_page', `${host} is a web page. Paste the server url that the platform shows.`)]
  if (platform?.id !== 'youtube') return []
  if (scheme === 'rtmps' && !host.endsWith('.rtmps.youtube.com'))
    return [
      warning(
        'url',
        'host_for_other_scheme',
        `YouTube takes RTMPS at other hosts. Use ${platform.example}, or rtmp://.`,
      ),
    ]
  if (scheme === 'rtmp' && host.endsWith('.rtmps.youtube.com'))
    return [warning('url', 'host_for_other_scheme', `This host of YouTube takes RTMPS. Use ${platform.example}.`)]
  return []
}

function lintScheme({ scheme, port }: Destination, platform: Platform | undefined): Advice[] {
  const advice: Advice[] = []
  if (scheme === 'rtmp' && platform?.rtmpsOnly)
    advice.push(error('url', 'rtmps_needed', `${platform.name} takes RTMPS only. Use ${platform.example}.`))
  else if (scheme === 'rtmp' && port === 443)
    advice.push(
      warning('url', 'port_for_other_scheme', 'Port 443 is the one for RTMPS. Write rtmps:// in place of rtmp://.'),
    )
  else if (scheme === 'rtmps' && (port === 1935 || port === 80))
    advice.push(
      warning('url', 'port_for_other_scheme', `Port ${port} is one for plain RTMP. Write rtmp://, or port 443.`),
    )
  if (platform?.id === 'x' && scheme === 'rtmp' && port !== 80)
    advice.push(warning('url', 'port_unusual', `X takes plain RTMP at port 80. Use ${platform.example}.`))
  return advice
}

function lintApp({ app }: Destination, platform: Platform | undefined, key: string): Advice[] {
  if ([...app.matchAll(/[{<][^{}<>]*[}>]/g)].some(([placeholder]) => /key/i.test(placeholder)))
    return [
      error(
        'url',
        'url_placeholder',
        'The url ends with a placeholder for the stream key. Remove it; the key is a field.',
      ),
    ]
  const path = app.replace(/\?.*$/, '')
  const segments = path.split('/').filter((segment) => segment !== '')
  // A signed key has a query of its own, so that it shows in the whole app alone.
  const endsWithKey = segments.at(-1) === key || app === key || app.endsWith(`/${key}`) || app.endsWith(`=${key}`)
  const holdsSomeKey =
    platform !== undefined && segments.some((segment) => keyForms.some(({ form }) => form.test(segment)))
  if (holdsSomeKey || (endsWithKey && key.length >= tellingKeyLengthMin)) {
    const mend = platform ? `Use ${platform.example} as the url.` : 'Remove it there; the key is a field of its own.'
    const message = `The stream key is also part of the url. ${mend}`
    return [platform ? error('url', 'key_in_url', message) : warning('url', 'key_in_url', message)]
  }
  if (platform === undefined)
    return path === ''
      ? [
          warning(
            'url',
            'app_missing',
            'The url has no path. Most servers need one, as in rtmp://host/live; few do not.',
          ),
        ]
      : []
  if (platform.app === undefined || path === platform.app) return []
  if (path === '')
    return [error('url', 'app_missing', `The url lacks /${platform.app} at its end. Use ${platform.example}.`)]
  if (segments.join('/') === platform.app) return []
  return [warning('url', 'app_unusual', `${platform.name}'s urls end with /${platform.app}. Use ${platform.example}.`)]
}

function lintKey(url: string, platform: Platform | undefined, key: string): Advice[] {
  if (/^(?:rtmps?|https?|srt):\/\//i.test(key) || key.includes(url))
    return [
      error(
        'streamKey',
        'key_contains_url',
        'The stream key holds a url. Paste only the key here; the url is a field.',
      ),
    ]
  if (/^(?:[{<[].*[}>\]]|your[-_ ]?(?:stream[-_ ]?)?key)$/i.test(key))
    return [error('streamKey', 'key_placeholder', 'This is a placeholder. Paste the key that the platform shows.')]

  const advice: Advice[] = []
  if (/^(["'`]).*\1$/.test(key))
    advice.push(warning('streamKey', 'key_quoted', 'The stream key stands in quotes, which are sent too. Remove them.'))
  // \s, and what looks like nothing at all: soft hyphen, zero-width characters, direction marks, a byte order mark within.
  if (/[\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]/u.test(key)) {
    const message =
      'The stream key contains white space or invisible characters. Copy the key again, and nothing around it.'
    advice.push(
      platform ? error('streamKey', 'key_white_space', message) : warning('streamKey', 'key_white_space', message),
    )
  }
  if (key.startsWith('/'))
    advice.push(
      warning(
        'streamKey',
        'key_starts_with_slash',
        'The stream key begins with a slash, which is sent too. Remove it.',
      ),
    )
  if (platform === undefined) return advice

  const form = keyForms.find((candidate) => candidate.form.test(key))
  if (form !== undefined && !form.platforms.includes(platform.id))
    advice.push(
      error(
        'streamKey',
        'key_of_other_platform',
        `This looks like a ${form.name} key, but the url is ${platform.name}'s. Paste the key of ${platform.name}, or the url of ${form.name}.`,
      ),
    )
  else if (platform.wholeKey !== undefined && !platform.wholeKey.pattern.test(key))
    advice.push(
      warning('streamKey', 'key_incomplete', `A part of the key seems to be missing. ${platform.wholeKey.mend}`),
    )
  return advice
}

function error(field: Advice['field'], code: AdviceCode, message: string): Advice {
  return { severity: 'error', field, code, message }
}

function warning(field: Advice['field'], code: AdviceCode, message: string): Advice {
  return { severity: 'warning', field, code, message }
}
