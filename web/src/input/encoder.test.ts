import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whyNotPlayable } from './codec-words.ts'
import { addressesOf, ffmpegCommand, joined } from './encoder-address.ts'

const endpoint = (url: string) => ({ url, streamKey: 'key' })

test('encoders are offered what is open, the encrypted way first', () => {
  const all = addressesOf({ rtmp: endpoint('rtmp://a/live/'), rtmps: endpoint('rtmps://a/live/') })
  assert.deepEqual(
    all.map(({ protocol }) => protocol),
    ['rtmps', 'rtmp'],
  )
  assert.deepEqual(addressesOf({}), [])
})

test('server and key are joined by one slash', () => {
  for (const server of ['rtmp://a:1935/live', 'rtmp://a:1935/live/'])
    assert.equal(joined({ server, streamKey: 'key' }), 'rtmp://a:1935/live/key')
  assert.match(
    ffmpegCommand({ server: 'rtmp://a/live/', streamKey: 'key' }),
    /^ffmpeg .* -f flv "rtmp:\/\/a\/live\/key"$/,
  )
})

test('why a feed cannot be shown is said before anything is loaded', () => {
  const plays = (type: string) => !type.includes('hvc1')
  assert.equal(whyNotPlayable('avc1', 'mp4a', plays), undefined)
  assert.equal(whyNotPlayable(undefined, undefined, plays), undefined)
  assert.match(whyNotPlayable('hvc1', 'mp4a', plays) ?? '', /^This browser cannot play HEVC/)
  assert.match(whyNotPlayable('vvc1', 'mp4a', plays) ?? '', /^VVC .* cannot be previewed/)
  assert.match(whyNotPlayable('avc1', 'xxxx', plays) ?? '', /^xxxx cannot be previewed/)
})
