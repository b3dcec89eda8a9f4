import { isIP } from 'node:net'
import { AddressPolicy, parseCidr } from '../../../src/destination/address-policy.ts'
import { parseDestination } from '../../../src/destination/destination-url.ts'
import { lintDestination } from '../../../src/destination/lint.ts'
import { readRelayPath, relayPathLengthMax, writeRelayPath } from '../../../src/live/relay-path.ts'
import { liveInputOfKey } from '../../../src/model/stream-key.ts'
import { candidateKeys } from '../../../src/rtmp/stream-key-search.ts'
import { addressSeeds, destinationSeeds, streamKeySeeds } from '../seeds.ts'
import { must, mustEqual, show, type Target, texts } from '../target.ts'

function lines(input: Buffer, count: number): string[] {
  const parts = input.toString('utf8').split('\n')
  return Array.from({ length: count }, (_, index) => parts[index] ?? '')
}

const keyEnd = '9f3b71c2'

/** | url | \n | stream key | */
const destination: Target = {
  name: 'destination',
  covers: ['destination-url', 'lint', 'platforms'].map((name) => `src/destination/${name}.ts`),
  seeds: destinationSeeds,
  words: texts(
    ...[
      'rtmp://',
      'rtmps://',
      'RTMP://',
      ':443',
      ':1935',
      ':0',
      ':65536',
      '[::1]',
      '[fe80::1%25eth0]',
      '@',
      '?',
      '/',
      '//',
    ],
    ...[
      '{key}',
      '<stream-key>',
      'a.rtmp.youtube.com',
      'live.twitch.tv',
      'live-api-s.facebook.com',
      'rtmps.youtube.com',
    ],
    ...[
      'youtube.com',
      'ü.example',
      'xn--',
      '%2f',
      '0x7f.1',
      '127.1',
      '2130706433',
      '．',
      '\u200b',
      '\u0000',
      '"',
      'live_1_a',
      'FB-1-0-A',
    ],
  ),
  bytesMax: 6000,
  run(input) {
    const [url, key] = lines(input, 2) as [string, string]
    const parsed = parseDestination(url, key)
    const advice = lintDestination(url, key)
    for (const { message } of [...advice, ...(parsed.ok ? [] : parsed.problems)]) {
      must(message.isWellFormed() && !/\p{Cc}/u.test(message), 'advice can be shown')
    }
    // A key may read like advice: this end of one does not.
    for (const { message } of lintDestination(url, `${key}${keyEnd}`))
      must(!message.includes(keyEnd), 'advice tells no key')
    if (!parsed.ok) {
      mustEqual(
        show(advice.map(({ code }) => code)),
        show(parsed.problems.map(({ code }) => code)),
        'problems are told',
      )
      return parsed.problems.map(({ code }) => code).join(' ')
    }
    const { scheme, host, port, app, tcUrl, streamKey } = parsed.destination
    must(port >= 1 && port <= 65_535 && host !== '' && /^[\x21-\x7e]+$/.test(host), 'host and port can be connected to')
    mustEqual(streamKey.reveal(), key.trim(), 'the key is what was given')
    must(url.trim().endsWith(app) || url.trim().endsWith(`${app}/`), 'the app is what was given')
    must(isIP(host) !== 0 || !host.includes(':'), 'a colon is in addresses only')
    const again = parseDestination(tcUrl, key)
    must(again.ok, 'a tcUrl is a url')
    const { streamKey: _, ...rest } = again.destination
    // One slash at the end is dropped; of several there is another one.
    if (!app.endsWith('/')) mustEqual(show(rest), show({ scheme, host, port, app, tcUrl }), 'a tcUrl says the same')
    return advice
      .map(({ code }) => code)
      .sort()
      .join(' ')
  },
}

/** | app | \n | stream name | \n | tcUrl | */
const streamKey: Target = {
  name: 'stream-key',
  covers: ['src/rtmp/stream-key-search.ts', 'src/model/stream-key.ts', 'src/live/relay-path.ts'],
  seeds: streamKeySeeds,
  words: texts('?key=', '&token=', '/', '_definst_', 'mp4:', 'rtmp://', '%', '%2', '%61', '+', 'k', 'live'),
  bytesMax: 4096,
  run(input) {
    const [app, name, tcUrl] = lines(input, 3) as [string, string, string]
    const candidates = candidateKeys(app, name, tcUrl)
    must(candidates.length <= 12, 'a dozen candidates at most')
    const texts = candidates.map((candidate) => candidate.reveal())
    must(new Set(texts).size === texts.length && !texts.includes(''), 'each candidate is one of its own')
    const found = texts.map((text) => liveInputOfKey(text)).filter((id) => id !== undefined)
    for (const id of found) must(/^[0-9a-f]{32}$/.test(id), 'an id is one')
    const path = readRelayPath(name)
    must(path.length <= relayPathLengthMax, 'a path has a limit')
    mustEqual(show(readRelayPath(writeRelayPath(path))), show(path), 'a path that is sent on is read as it was')
    return `${texts.length} ${found.length} ${path.length}`
  },
}

const strict = new AddressPolicy([])
const lenient = new AddressPolicy(['127.0.0.0/8', '::1/128'])

/** An address or a range, as text. */
const addressPolicy: Target = {
  name: 'address-policy',
  covers: ['src/destination/address-policy.ts'],
  seeds: addressSeeds,
  words: texts(
    '127.0.0.1',
    '::ffff:',
    '64:ff9b::',
    '2002:',
    '169.254.169.254',
    '/8',
    '/128',
    '%eth0',
    '::',
    '0x7f',
    '010.',
    '.',
    ':',
  ),
  bytesMax: 100,
  run(input) {
    const text = input.toString('utf8')
    const verdict = strict.check(text)
    if (isIP(text) === 0) must(!verdict.allowed, 'what is no address is not reached')
    if (verdict.allowed) must(lenient.check(text).allowed, 'a range that is allowed forbids nothing else')
    // Whatever the spelling: an address inside of 127.0.0.0/8 is one.
    if (/^(?:::ffff:)?127\.\d+\.\d+\.\d+$/i.test(text)) must(!verdict.allowed, 'loopback is not reached')
    let range = 'none'
    try {
      range = `/${parseCidr(text)[1] > 32}`
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
    return `${verdict.allowed ? 'allowed' : verdict.reason} ${range}`
  },
}

export const addressTargets: readonly Target[] = [destination, streamKey, addressPolicy]
