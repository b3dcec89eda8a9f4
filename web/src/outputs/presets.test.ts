import assert from 'node:assert/strict'
import { test } from 'node:test'
import { presets } from '../../../src/api/presets.ts'
import { presetOf } from './presets.ts'

test('a url is known by its host, or by its site where a platform has many', () => {
  const table = [
    ['rtmp://a.rtmp.youtube.com/live2', 'youtube'],
    ['rtmps://b.rtmps.youtube.com:443/live2?backup=1', 'youtube-backup'],
    ['rtmp://live-fra.twitch.tv/app', 'twitch'],
    ['rtmps://fa723fc1b171.global-contribute.live-video.net', 'kick'],
    // Amazon's, as Kick's is, and nobody knows whose.
    ['rtmps://0123456789ab.global-contribute.live-video.net:443/app', undefined],
    ['rtmp://va.pscp.tv:80/x', 'x'],
    ['rtmps://push-rtmp-l1.tiktokcdn.com:443/game', 'tiktok'],
    ['rtmps://live.example.com/live', undefined],
    ['rtmp://127.0.0.1/live', undefined],
  ] as const
  for (const [url, id] of table) assert.equal(presetOf(presets, url)?.id, id, url)
  assert.equal(presetOf(undefined, table[0][0]), undefined)
})
