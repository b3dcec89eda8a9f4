import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newOutputId } from '../model/id.ts'
import { Secret } from '../secret.ts'
import { codecWarnings } from './codec-warning.ts'

const output = (url: string, enabled = true) => ({
  uid: newOutputId(),
  url,
  streamKey: new Secret('k'),
  enabled,
  created: '',
})
const youtube = output('rtmps://a.rtmps.youtube.com:443/live2')
const twitch = output('rtmp://live.twitch.tv/app')
const own = output('rtmp://192.0.2.1/live')

test('HEVC and AV1 towards a platform that takes only H.264 are told; towards YouTube and servers that nobody knows they are not', () => {
  assert.deepEqual(codecWarnings('avc1', [twitch]), [])
  assert.deepEqual(codecWarnings('', [twitch]), [])
  assert.deepEqual(codecWarnings('hvc1', [youtube, own, output('rtmp://live.twitch.tv/app', false)]), [])
  const [warning] = codecWarnings('hvc1', [youtube, twitch, own])
  assert.equal(warning?.code, 'codec_not_taken')
  assert.match(warning.message, /HEVC, which Twitch /)
  assert.equal(codecWarnings('av01', [youtube]).length, 0)
  assert.equal(codecWarnings('vp09', [youtube]).length, 1)
})
