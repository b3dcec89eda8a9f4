import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { type ProblemCode, parseDestination, streamKeyLengthMax, urlLengthMax } from './destination-url.ts'

type Parts = readonly [scheme: string, host: string, port: number, app: string, tcUrl: string]

/** Every shape of OBS's list of services and of the platforms' pages. */
const urls: readonly { readonly name: string; readonly url: string; readonly parts: Parts }[] = [
  {
    name: 'YouTube',
    url: 'rtmp://a.rtmp.youtube.com/live2',
    parts: ['rtmp', 'a.rtmp.youtube.com', 1935, 'live2', 'rtmp://a.rtmp.youtube.com/live2'],
  },
  {
    name: 'YouTube backup: a query in the app',
    url: 'rtmp://b.rtmp.youtube.com/live2?backup=1',
    parts: ['rtmp', 'b.rtmp.youtube.com', 1935, 'live2?backup=1', 'rtmp://b.rtmp.youtube.com/live2?backup=1'],
  },
  {
    name: 'YouTube over TLS: the port as typed stays in tcUrl',
    url: 'rtmps://a.rtmps.youtube.com:443/live2',
    parts: ['rtmps', 'a.rtmps.youtube.com', 443, 'live2', 'rtmps://a.rtmps.youtube.com:443/live2'],
  },
  {
    name: 'YouTube backup over TLS',
    url: 'rtmps://b.rtmps.youtube.com:443/live2?backup=1',
    parts: ['rtmps', 'b.rtmps.youtube.com', 443, 'live2?backup=1', 'rtmps://b.rtmps.youtube.com:443/live2?backup=1'],
  },
  {
    name: 'Twitch',
    url: 'rtmps://live.twitch.tv/app',
    parts: ['rtmps', 'live.twitch.tv', 443, 'app', 'rtmps://live.twitch.tv/app'],
  },
  {
    name: 'Facebook: one slash at the end goes',
    url: 'rtmps://live-api-s.facebook.com:443/rtmp/',
    parts: ['rtmps', 'live-api-s.facebook.com', 443, 'rtmp', 'rtmps://live-api-s.facebook.com:443/rtmp'],
  },
  {
    name: 'Instagram',
    url: 'rtmps://live-upload.instagram.com:443/rtmp/',
    parts: ['rtmps', 'live-upload.instagram.com', 443, 'rtmp', 'rtmps://live-upload.instagram.com:443/rtmp'],
  },
  {
    name: 'TikTok',
    url: 'rtmps://push-rtmp-f5.tiktokcdn.com:443/game/',
    parts: ['rtmps', 'push-rtmp-f5.tiktokcdn.com', 443, 'game', 'rtmps://push-rtmp-f5.tiktokcdn.com:443/game'],
  },
  {
    name: 'Kick: no app',
    url: 'rtmps://fa723fc1b171.global-contribute.live-video.net',
    parts: [
      'rtmps',
      'fa723fc1b171.global-contribute.live-video.net',
      443,
      '',
      'rtmps://fa723fc1b171.global-contribute.live-video.net',
    ],
  },
  {
    name: 'Kick with a slash: still no app',
    url: 'rtmps://fa723fc1b171.global-contribute.live-video.net/',
    parts: [
      'rtmps',
      'fa723fc1b171.global-contribute.live-video.net',
      443,
      '',
      'rtmps://fa723fc1b171.global-contribute.live-video.net',
    ],
  },
  {
    name: 'Amazon IVS',
    url: 'rtmps://0123456789ab.global-contribute.live-video.net:443/app/',
    parts: [
      'rtmps',
      '0123456789ab.global-contribute.live-video.net',
      443,
      'app',
      'rtmps://0123456789ab.global-contribute.live-video.net:443/app',
    ],
  },
  {
    name: 'X: plain RTMP at port 80',
    url: 'rtmp://de.pscp.tv:80/x',
    parts: ['rtmp', 'de.pscp.tv', 80, 'x', 'rtmp://de.pscp.tv:80/x'],
  },
  {
    name: 'LinkedIn (of old): an id in the path',
    url: 'rtmp://abc.channel.media.azure.net:1935/live/0f1e2d',
    parts: [
      'rtmp',
      'abc.channel.media.azure.net',
      1935,
      'live/0f1e2d',
      'rtmp://abc.channel.media.azure.net:1935/live/0f1e2d',
    ],
  },
  {
    name: 'Vimeo',
    url: 'rtmp://rtmp.cloud.vimeo.com/live',
    parts: ['rtmp', 'rtmp.cloud.vimeo.com', 1935, 'live', 'rtmp://rtmp.cloud.vimeo.com/live'],
  },
  {
    name: 'Trovo',
    url: 'rtmp://livepush.trovo.live/live/',
    parts: ['rtmp', 'livepush.trovo.live', 1935, 'live', 'rtmp://livepush.trovo.live/live'],
  },
  {
    name: 'Restream',
    url: 'rtmp://live.restream.io/live',
    parts: ['rtmp', 'live.restream.io', 1935, 'live', 'rtmp://live.restream.io/live'],
  },
  {
    name: 'Bilibili',
    url: 'rtmp://live-push.bilivideo.com/live-bvc/',
    parts: ['rtmp', 'live-push.bilivideo.com', 1935, 'live-bvc', 'rtmp://live-push.bilivideo.com/live-bvc'],
  },
  {
    name: 'Cloudflare Stream',
    url: 'rtmps://live.cloudflare.com:443/live/',
    parts: ['rtmps', 'live.cloudflare.com', 443, 'live', 'rtmps://live.cloudflare.com:443/live'],
  },
  {
    name: 'AWS MediaLive: an address and an instance',
    url: 'rtmp://203.0.113.7:1935/app/instance',
    parts: ['rtmp', '203.0.113.7', 1935, 'app/instance', 'rtmp://203.0.113.7:1935/app/instance'],
  },
  {
    name: 'niconico: two segments',
    url: 'rtmp://liveorigin.dlive.nicovideo.jp/live/input',
    parts: [
      'rtmp',
      'liveorigin.dlive.nicovideo.jp',
      1935,
      'live/input',
      'rtmp://liveorigin.dlive.nicovideo.jp/live/input',
    ],
  },
  {
    name: 'Mux: port 5222',
    url: 'rtmp://global-live.mux.com:5222/app',
    parts: ['rtmp', 'global-live.mux.com', 5222, 'app', 'rtmp://global-live.mux.com:5222/app'],
  },
  {
    name: 'nanoStream: TLS at port 1937',
    url: 'rtmps://bintu-stream.nanocosmos.de:1937/live',
    parts: ['rtmps', 'bintu-stream.nanocosmos.de', 1937, 'live', 'rtmps://bintu-stream.nanocosmos.de:1937/live'],
  },
  {
    name: 'Aparat: plain RTMP at port 443',
    url: 'rtmp://rtmp.cdn.asset.aparat.com:443/event',
    parts: ['rtmp', 'rtmp.cdn.asset.aparat.com', 443, 'event', 'rtmp://rtmp.cdn.asset.aparat.com:443/event'],
  },
  {
    name: 'a login in the query is the app, not credentials of the url',
    url: 'rtmp://host.example:1935/ingest?user=a@b:pass',
    parts: ['rtmp', 'host.example', 1935, 'ingest?user=a@b:pass', 'rtmp://host.example:1935/ingest?user=a@b:pass'],
  },
  {
    name: 'a query without a path',
    url: 'rtmp://host.example?vhost=a',
    parts: ['rtmp', 'host.example', 1935, '?vhost=a', 'rtmp://host.example/?vhost=a'],
  },
  {
    name: 'nothing is decoded, collapsed or resolved',
    url: 'rtmp://host.example//a%2Fb/../c%3D/?x=%26&y=/z#h',
    parts: [
      'rtmp',
      'host.example',
      1935,
      '/a%2Fb/../c%3D/?x=%26&y=/z#h',
      'rtmp://host.example//a%2Fb/../c%3D/?x=%26&y=/z#h',
    ],
  },
  {
    name: 'only one slash at the end goes',
    url: 'rtmp://host.example/live//',
    parts: ['rtmp', 'host.example', 1935, 'live/', 'rtmp://host.example/live/'],
  },
  {
    name: 'the host as typed in tcUrl, in lower case for connecting; the app keeps its case',
    url: '  RTMP://Host.Example/Live\n',
    parts: ['rtmp', 'host.example', 1935, 'Live', 'rtmp://Host.Example/Live'],
  },
  {
    name: 'an IPv6 literal',
    url: 'rtmp://[2001:DB8::1]/live',
    parts: ['rtmp', '2001:db8::1', 1935, 'live', 'rtmp://[2001:DB8::1]/live'],
  },
  {
    name: 'an IPv6 literal with a port',
    url: 'rtmps://[::1]:1936/live',
    parts: ['rtmps', '::1', 1936, 'live', 'rtmps://[::1]:1936/live'],
  },
  {
    name: 'an internationalised name',
    url: 'rtmp://bücher.example:1940/live',
    parts: ['rtmp', 'xn--bcher-kva.example', 1940, 'live', 'rtmp://xn--bcher-kva.example:1940/live'],
  },
  {
    name: 'an odd spelling of an address stays for the look-up',
    url: 'rtmp://0x7f.1/live',
    parts: ['rtmp', '0x7f.1', 1935, 'live', 'rtmp://0x7f.1/live'],
  },
  {
    name: 'the dot of the root, and an underscore',
    url: 'rtmp://my_host.example./live',
    parts: ['rtmp', 'my_host.example.', 1935, 'live', 'rtmp://my_host.example./live'],
  },
]

const refusedUrls: readonly { readonly url: string; readonly code: ProblemCode }[] = [
  { url: '', code: 'url_missing' },
  { url: ' \n', code: 'url_missing' },
  { url: `rtmp://host/${'a'.repeat(urlLengthMax)}`, code: 'url_too_long' },
  { url: 'rtmp://host/live\nx', code: 'url_characters' },
  { url: 'rtmp://host/a\u0000b', code: 'url_characters' },
  { url: 'rtmp://host/live live=1', code: 'url_characters' },
  { url: 'rtmp://host/\ud800', code: 'url_characters' },
  { url: 'live.twitch.tv/app', code: 'scheme_missing' },
  { url: 'rtmp:/host/app', code: 'scheme_missing' },
  { url: '//host/app', code: 'scheme_missing' },
  { url: 'http://host/app', code: 'scheme_unsupported' },
  { url: 'rtmpe://host/app', code: 'scheme_unsupported' },
  { url: 'srt://host:9000', code: 'scheme_unsupported' },
  { url: 'rtmp://', code: 'host_missing' },
  { url: 'rtmp:///app', code: 'host_missing' },
  { url: 'rtmp://:1935/app', code: 'host_missing' },
  { url: 'rtmp://?a', code: 'host_missing' },
  { url: 'rtmp://user:planted@host/app', code: 'credentials_in_url' },
  { url: 'rtmp://planted@host/app', code: 'credentials_in_url' },
  { url: 'rtmp://host:0/app', code: 'port_invalid' },
  { url: 'rtmp://host:65536/app', code: 'port_invalid' },
  { url: 'rtmp://host:99999999999/app', code: 'port_invalid' },
  { url: 'rtmp://host:-1/app', code: 'port_invalid' },
  { url: 'rtmp://host:/app', code: 'port_invalid' },
  { url: 'rtmp://host:19x5/app', code: 'port_invalid' },
  { url: 'rtmp://user:planted/x@host/app', code: 'port_invalid' },
  { url: 'rtmp://::1/app', code: 'host_invalid' },
  { url: 'rtmp://2001:db8::1/app', code: 'host_invalid' },
  { url: 'rtmp://[::1/app', code: 'host_invalid' },
  { url: 'rtmp://[::1]x/app', code: 'host_invalid' },
  { url: 'rtmp://[127.0.0.1]/app', code: 'host_invalid' },
  { url: 'rtmp://[fe80::1%eth0]/app', code: 'host_invalid' },
  { url: 'rtmp://[]/app', code: 'host_invalid' },
  { url: 'rtmp://a..b/app', code: 'host_invalid' },
  { url: 'rtmp://./app', code: 'host_invalid' },
  { url: 'rtmp://-a.example/app', code: 'host_invalid' },
  { url: 'rtmp://ex%61mple.com/app', code: 'host_invalid' },
  { url: 'rtmp://host\\other/app', code: 'host_invalid' },
  { url: 'rtmp://host#/app', code: 'host_invalid' },
  { url: 'rtmp://a／b.example/app', code: 'host_invalid' },
  { url: `rtmp://${'a'.repeat(64)}.example/app`, code: 'host_invalid' },
  { url: `rtmp://${'a.'.repeat(127)}example/app`, code: 'host_invalid' },
]

describe('parseDestination: url', () => {
  for (const { name, url, parts } of urls)
    it(name, () => {
      const parsed = parseDestination(url, 'key')
      assert.ok(parsed.ok)
      const { scheme, host, port, app, tcUrl } = parsed.destination
      assert.deepEqual([scheme, host, port, app, tcUrl], parts)
    })

  for (const { url, code } of refusedUrls)
    it(`${JSON.stringify(url).slice(0, 60)}: ${code}`, () => {
      const parsed = parseDestination(url, 'key')
      assert.ok(!parsed.ok)
      assert.deepEqual(
        parsed.problems.map(({ field, code: found }) => [field, found]),
        [['url', code]],
      )
      assert.match(parsed.problems[0]!.message, /^[A-Z].*\.$/)
      assert.doesNotMatch(parsed.problems[0]!.message, /planted/)
    })

  it('takes a url of the greatest length', () => {
    const url = `rtmp://host/${'a'.repeat(urlLengthMax - 12)}`
    assert.equal(url.length, urlLengthMax)
    assert.ok(parseDestination(url, 'key').ok)
  })

  it('keeps every app as it was typed', () => {
    const character = fc.constantFrom(...'abzAZ09-._~!$&\'()*+,;=:@%/?#[]{}|"<>^`äß漢')
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 60 }), (app) => {
        const parsed = parseDestination(`rtmp://host.example:1936/${app}`, 'key')
        assert.ok(parsed.ok)
        const kept = app.replace(/\/$/, '')
        assert.equal(parsed.destination.app, kept)
        assert.equal(parsed.destination.tcUrl, `rtmp://host.example:1936${kept === '' ? '' : `/${kept}`}`)
      }),
    )
  })

  it('never throws, and what it accepts it accepts again', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'rtmps:/[]@?#%.:1a\n ') }).map((rest) => `rtmp://${rest}`),
    )
    fc.assert(
      fc.property(text, text, (url, key) => {
        const parsed = parseDestination(url, key)
        if (!parsed.ok) {
          assert.ok(parsed.problems.length > 0)
          return
        }
        const { scheme, host, port, app } = parsed.destination
        assert.ok(host !== '' && port >= 1 && port <= 65535)
        const again = parseDestination(parsed.destination.tcUrl, parsed.destination.streamKey.reveal())
        assert.ok(again.ok)
        assert.deepEqual(
          [again.destination.scheme, again.destination.host, again.destination.port],
          [scheme, host, port],
        )
        assert.equal(again.destination.app, app.replace(/\/$/, ''))
      }),
      { numRuns: 500 },
    )
  })
})

const keys: readonly { readonly name: string; readonly given: string; readonly sent: string }[] = [
  { name: 'Twitch', given: 'live_123_AbC?bandwidthtest=true', sent: 'live_123_AbC?bandwidthtest=true' },
  { name: 'Facebook', given: '123?s_bl=1&s_psm=1&s_sw=0&a=Ab', sent: '123?s_bl=1&s_psm=1&s_sw=0&a=Ab' },
  { name: 'Instagram: %3D stays', given: '178?s_efg=eyJ%3D%3D&a=x', sent: '178?s_efg=eyJ%3D%3D&a=x' },
  { name: 'TikTok', given: 'stream-1?expire=2&sign=3', sent: 'stream-1?expire=2&sign=3' },
  { name: 'Bilibili: begins with a question mark', given: '?streamname=a&key=b', sent: '?streamname=a&key=b' },
  { name: 'slashes', given: '/a//b/', sent: '/a//b/' },
  { name: 'no file name rules', given: 'a.flv', sent: 'a.flv' },
  { name: 'white space around goes, inside stays', given: '\t a b \r\n', sent: 'a b' },
  { name: 'the greatest length', given: 'k'.repeat(streamKeyLengthMax), sent: 'k'.repeat(streamKeyLengthMax) },
]

describe('parseDestination: stream key', () => {
  for (const { name, given, sent } of keys)
    it(name, () => {
      const parsed = parseDestination('rtmp://host/live', given)
      assert.ok(parsed.ok)
      assert.equal(parsed.destination.streamKey.reveal(), sent)
    })

  for (const [key, code] of [
    ['', 'stream_key_missing'],
    [' \n ', 'stream_key_missing'],
    ['k'.repeat(streamKeyLengthMax + 1), 'stream_key_too_long'],
    ['a\nb', 'stream_key_characters'],
    ['a\rb', 'stream_key_characters'],
    ['a\u0000b', 'stream_key_characters'],
    ['a\u007fb', 'stream_key_characters'],
    ['a\u2028b', 'stream_key_characters'],
    ['a\ud800', 'stream_key_characters'],
  ] as const)
    it(`${JSON.stringify(key).slice(0, 20)}: ${code}`, () => {
      const parsed = parseDestination('rtmp://host/live', key)
      assert.ok(!parsed.ok)
      assert.deepEqual(
        parsed.problems.map((problem) => [problem.field, problem.code]),
        [['streamKey', code]],
      )
    })

  it('tells the problems of both at once', () => {
    const parsed = parseDestination('http://x', '')
    assert.ok(!parsed.ok)
    assert.deepEqual(
      parsed.problems.map(({ field }) => field),
      ['url', 'streamKey'],
    )
  })

  it('does not print', () => {
    const parsed = parseDestination('rtmp://host/live', 'planted')
    assert.doesNotMatch(JSON.stringify(parsed) + inspect(parsed, { depth: 9 }), /planted/)
  })
})
