import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseDestination } from './destination-url.ts'
import { type AdviceCode, lintDestination } from './lint.ts'
import { platformOf, platforms } from './platforms.ts'

const kick = 'rtmps://fa723fc1b171.global-contribute.live-video.net'
const youtubeKey = 'abcd-efgh-1234-5678-wxyz'
const twitchKey = 'live_123456_AbCdEfGh'
const kickKey = 'sk_us-west-2_AbCdEfGh'
const instagramKey = '178412345?s_efg=eyJ%3D%3D&s_sw=0&s_vt=ig&a=Abc'

const clean: readonly (readonly [url: string, key: string])[] = [
  ['rtmp://a.rtmp.youtube.com/live2', youtubeKey],
  ['rtmp://b.rtmp.youtube.com/live2?backup=1', youtubeKey],
  ['rtmps://a.rtmps.youtube.com:443/live2', youtubeKey],
  ['rtmps://live.twitch.tv/app', twitchKey],
  ['rtmp://fra05.contribute.live-video.net/app/', `${twitchKey}?bandwidthtest=true`],
  ['rtmps://live-api-s.facebook.com:443/rtmp/', 'FB-123-0-AbC'],
  ['rtmps://live-api-s.facebook.com:443/rtmp/', '123456789?s_bl=1&s_psm=1&s_sw=0&s_vt=api-s&a=Ab'],
  ['rtmps://live-upload.instagram.com:443/rtmp/', instagramKey],
  ['rtmps://push-rtmp-f5.tiktokcdn.com:443/game/', 'stream-123?expire=1&sign=2'],
  [kick, kickKey],
  [`${kick}/`, kickKey],
  [`${kick}:443/app`, kickKey],
  ['rtmps://0123456789ab.global-contribute.live-video.net:443/app/', kickKey],
  ['rtmp://0123456789ab.global-contribute.live-video.net/app/', kickKey],
  ['rtmp://de.pscp.tv:80/x', 'abcdefgh1234'],
  ['rtmp://rtmp.cloud.vimeo.com/live', '01234567-89ab'],
  ['rtmp://livepush.trovo.live/live/', '73846_1_2?bizid=1&txSecret=2'],
  ['rtmp://live.restream.io/live', 're_123_abc'],
  ['rtmp://live-push.bilivideo.com/live-bvc/', '?streamname=live_1&key=2'],
  ['rtmps://live.cloudflare.com:443/live/', '0123456789abcdef0123456789abcdefk0123'],
  ['rtmp://127.0.0.1:19350/live', 'test'],
  ['rtmp://127.0.0.1:19350/live', 'live'],
  ['rtmp://my.example/live/input?token=1', twitchKey],
  ['rtmp://my.example/app', youtubeKey],
]

type Finding = `${'error' | 'warning'} ${'url' | 'streamKey'} ${AdviceCode}`
const slips: readonly (readonly [url: string, key: string, finding: Finding, mend: RegExp])[] = [
  [kick.replace('rtmps', 'rtmp'), kickKey, 'error url rtmps_needed', /Use rtmps:\/\/fa72/],
  [`${kick}/${kickKey}`, kickKey, 'error url key_in_url', /Use rtmps:\/\/fa72/],
  [`${kick}/${kickKey}`, 'something', 'error url key_in_url', /Use rtmps:\/\/fa72/],
  ['rtmp://live.twitch.tv/app', youtubeKey, 'error streamKey key_of_other_platform', /YouTube key.*Twitch's/],
  ['rtmp://a.rtmp.youtube.com/live2', twitchKey, 'error streamKey key_of_other_platform', /Twitch key.*YouTube's/],
  [kick, twitchKey, 'error streamKey key_of_other_platform', /Twitch key.*Kick's/],
  ['rtmp://live.twitch.tv/app', kickKey, 'error streamKey key_of_other_platform', /Kick/],
  ['rtmp://live.twitch.tv/app', 'FB-12345-0-Ab', 'error streamKey key_of_other_platform', /Facebook/],
  ['rtmp://a.rtmp.youtube.com/live2', 're_12_ab', 'error streamKey key_of_other_platform', /Restream/],
  ['rtmp://my.example:443/live', 'key', 'warning url port_for_other_scheme', /rtmps:\/\//],
  ['rtmps://my.example:1935/live', 'key', 'warning url port_for_other_scheme', /443/],
  ['rtmps://my.example:80/live', 'key', 'warning url port_for_other_scheme', /443/],
  ['rtmp://live-api-s.facebook.com/rtmp/', 'FB-123-0-AbC', 'error url rtmps_needed', /RTMPS only/],
  ['rtmp://live-api-s.facebook.com:443/rtmp/', 'FB-123-0-AbC', 'error url rtmps_needed', /RTMPS only/],
  ['rtmp://live-upload.instagram.com/rtmp/', instagramKey, 'error url rtmps_needed', /RTMPS only/],
  ['rtmp://live.cloudflare.com/live', '0123k4567', 'error url rtmps_needed', /RTMPS only/],
  ['rtmps://a.rtmp.youtube.com/live2', youtubeKey, 'warning url host_for_other_scheme', /a\.rtmps\.youtube/],
  ['rtmp://a.rtmps.youtube.com/live2', youtubeKey, 'warning url host_for_other_scheme', /takes RTMPS/],
  ['rtmp://de.pscp.tv/x', 'abcdefgh1234', 'warning url port_unusual', /port 80/],
  ['rtmp://a.rtmp.youtube.com', youtubeKey, 'error url app_missing', /\/live2/],
  ['rtmp://a.rtmp.youtube.com/?backup=1', youtubeKey, 'error url app_missing', /\/live2/],
  ['rtmps://live.twitch.tv/', twitchKey, 'error url app_missing', /\/app/],
  ['rtmp://a.rtmp.youtube.com/live', youtubeKey, 'warning url app_unusual', /\/live2/],
  ['rtmp://my.example', 'key', 'warning url app_missing', /no path/],
  ['rtmp://www.twitch.tv/app', twitchKey, 'warning url host_is_web_page', /web page/],
  ['rtmp://studio.youtube.com/live2', youtubeKey, 'warning url host_is_web_page', /web page/],
  ['rtmp://my.example/live/abcdefgh12', 'abcdefgh12', 'warning url key_in_url', /Remove it/],
  ['rtmp://my.example/live/abcdefgh12/', 'abcdefgh12', 'warning url key_in_url', /Remove it/],
  ['rtmp://my.example/live/abcdefgh12?a=1&b=2', 'abcdefgh12?a=1&b=2', 'warning url key_in_url', /Remove it/],
  ['rtmp://my.example/live?key=abcdefgh12', 'abcdefgh12', 'warning url key_in_url', /Remove it/],
  [`rtmp://live.twitch.tv/app/${twitchKey}`, twitchKey, 'error url key_in_url', /Use rtmps:\/\/live\.twitch/],
  [`rtmp://a.rtmp.youtube.com/live2/${youtubeKey}`, 'other', 'error url key_in_url', /Use rtmps/],
  ['rtmp://fra05.contribute.live-video.net/app/{stream_key}', twitchKey, 'error url url_placeholder', /Remove it/],
  ['rtmp://my.example/live', 'rtmp://my.example/live/abc', 'error streamKey key_contains_url', /only the key/],
  ['rtmp://my.example/live', 'HTTPS://my.example/abc', 'error streamKey key_contains_url', /only the key/],
  ['rtmp://my.example/live', 'key: rtmp://my.example/live', 'error streamKey key_contains_url', /only the key/],
  ['rtmp://my.example/live', '{stream_key}', 'error streamKey key_placeholder', /placeholder/],
  ['rtmp://my.example/live', 'YOUR_STREAM_KEY', 'error streamKey key_placeholder', /placeholder/],
  ['rtmp://my.example/live', '"abc"', 'warning streamKey key_quoted', /Remove them/],
  ['rtmp://my.example/live', 'ab cd', 'warning streamKey key_white_space', /white space/],
  ['rtmp://my.example/live', 'ab\u200bcd', 'warning streamKey key_white_space', /invisible/],
  ['rtmp://live.twitch.tv/app', 'live_123456_Ab cd', 'error streamKey key_white_space', /white space/],
  ['rtmp://my.example/live', '/abc', 'warning streamKey key_starts_with_slash', /Remove it/],
  ['rtmps://push-rtmp-f5.tiktokcdn.com:443/game/', 'stream-123', 'warning streamKey key_incomplete', /question mark/],
  ['rtmps://live-upload.instagram.com:443/rtmp/', '178412345', 'warning streamKey key_incomplete', /question mark/],
  ['rtmp://live-push.bilivideo.com/live-bvc/', 'live_1_2', 'warning streamKey key_incomplete', /streamname/],
]

describe('lintDestination', () => {
  for (const [url, key] of clean)
    it(`has nothing to say of ${url}`, () => assert.deepEqual(lintDestination(url, key), []))

  for (const [url, key, finding, mend] of slips)
    it(`${finding}: ${url}`, () => {
      const advice = lintDestination(url, key)
      assert.deepEqual(
        advice.map(({ severity, field, code }) => `${severity} ${field} ${code}`),
        [finding],
      )
      assert.match(advice[0]!.message, mend)
      assert.match(advice[0]!.message, /^[A-Za-z].*\.$/)
      if (key.length >= 8) assert.ok(!advice[0]!.message.includes(key), 'the key is not repeated')
    })

  it('gives the problems of what cannot be used as errors', () => {
    assert.deepEqual(
      lintDestination('http://x', 'a\nb').map(({ severity, code }) => `${severity} ${code}`),
      ['error scheme_unsupported', 'error stream_key_characters'],
    )
  })

  it('tells several slips at once', () => {
    assert.deepEqual(
      lintDestination('rtmp://live-api-s.facebook.com', twitchKey).map(({ code }) => code),
      ['rtmps_needed', 'app_missing', 'key_of_other_platform'],
    )
  })

  it('stays quick for the longest and worst of texts', () => {
    const begin = performance.now()
    for (const unit of ['{key', '<', '/a', '?', '"', 'a-', ' '])
      lintDestination(`rtmp://live.twitch.tv/${unit.trim().repeat(400)}`, `x${unit.repeat(200)}x`)
    assert.ok(performance.now() - begin < 1000)
  })
})

describe('platforms', () => {
  for (const { id, example } of platforms)
    it(`${id}: its own example passes`, () => {
      const url = example.replace('<id>', '0123456789ab').replace('<region>', 'de').replace('…', 'f5')
      const parsed = parseDestination(url, 'key')
      assert.ok(parsed.ok)
      assert.equal(platformOf(parsed.destination.host)?.id, id)
      assert.deepEqual(
        lintDestination(url, 'some-key').filter(({ field }) => field === 'url'),
        [],
      )
    })

  it('does not take a look-alike for a platform', () => {
    for (const host of ['twitch.tv.example', 'nottwitch.tv', 'a.rtmp.youtube.com.example', 'www.facebook.com'])
      assert.equal(platformOf(host), undefined, host)
  })
})
