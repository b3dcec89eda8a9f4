import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDestination } from '../destination/destination-url.ts'
import { CodedError } from '../errors.ts'
import { redirectTarget } from './redirect-target.ts'

function follow(streamKey: string, url: string, from = 'rtmp://live.example/app') {
  const parsed = parseDestination(from, streamKey)
  assert.ok(parsed.ok)
  return redirectTarget(url, parsed.destination)
}

test('a redirect is a destination with the same key', () => {
  const { host, port, app, streamKey } = follow('abcd-1234', 'rtmp://edge.example:1936/other')
  assert.deepEqual([host, port, app, streamKey.reveal()], ['edge.example', 1936, 'other', 'abcd-1234'])
})

test('a redirect to a host with the stream key in its name is refused, and not repeated', () => {
  for (const [streamKey, host] of [
    ['s3cretkey', 's3cretkey.example'],
    ['S3cretKey', 'x-s3CRETkey-y.example'],
    ['live_1_AbCd?bandwidthtest=true', 'live_1_abcd.example'],
    ['abcd-efgh-ijkl', 'abcd.efgh.ijkl.example'],
  ] as const)
    assert.throws(
      () => follow(streamKey, `rtmp://${host}/app`),
      (error) =>
        error instanceof CodedError &&
        error.code === 'redirect_loop' &&
        !error.message.includes('example') &&
        !error.message.toLowerCase().includes(streamKey.slice(0, 4).toLowerCase()),
      host,
    )
  assert.throws(
    () => follow('s3cretkey', 'rtmp://s3cretkey .example'),
    new CodedError('redirect_loop', 'The destination redirects to an url that is none.'),
  )
})

test('a word that the first host has, too, and a short one are no secrets', () => {
  assert.equal(follow('live', 'rtmp://live-2.example/app').host, 'live-2.example')
  assert.equal(follow('abc', 'rtmp://abc.example/app').host, 'abc.example')
  assert.equal(follow('????', 'rtmp://edge.example/app').host, 'edge.example')
})
