import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { handshakeBytes } from '../../src/rtmp/handshake.ts'
import { startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { readCorpus } from './corpus.ts'
import { clientSeeds, keyOfSeeds } from './seeds.ts'

/** At a time: one address may have 200 connections that have not published. */
const connectionsAtOnce = 40

/** The inputs that publish with the key of the seeds publish with the live input's, which has as many characters. */
function withKey(input: Buffer, key: string): Buffer {
  assert.equal(key.length, keyOfSeeds.length)
  const changed = Buffer.from(input)
  for (let at = changed.indexOf(keyOfSeeds); at >= 0; at = changed.indexOf(keyOfSeeds, at + 1)) changed.write(key, at)
  return changed
}

/** Says it all and closes. @returns how many bytes were answered, when the server has closed, too. */
function say(port: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    let answered = 0
    socket.on('data', (part) => {
      answered += part.length
    })
    socket.once('error', () => {})
    socket.once('close', () => resolve(answered))
    socket.end(bytes)
  })
}

test('the real server takes all that the fuzzers have kept, and an encoder after that', {
  timeout: 150_000,
}, async () => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({ settings: { MEDIA_THREADS: '1' } })
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'output' })
  const handshake = Buffer.alloc(1 + 2 * handshakeBytes, 3)
  const all = [...clientSeeds(), ...readCorpus('accept-publish'), ...readCorpus('chunk-reader')]
  const inputs = all.map((bytes) => Buffer.concat([handshake, withKey(bytes, input.rtmps.streamKey)]))
  for (let at = 0; at < inputs.length; at += connectionsAtOnce) {
    const batch = inputs.slice(at, at + connectionsAtOnce)
    for (const answered of await Promise.all(batch.map((bytes) => say(server.ports.rtmp, bytes))))
      assert.ok(answered >= handshake.length, 'the handshake is answered')
  }
  assert.ok(
    server.log.some(({ msg }) => msg === 'an encoder publishes'),
    'some of them are let in',
  )
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey, deadlineMs: 20_000 })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25, gopMs: 500 }), { signal: stop.signal })
  // Some of what the fuzzers have kept was media, for which the output had connected, too.
  await waitFor('media of the encoder', () =>
    destination.connections.some(({ counts }) => counts.video + counts.audio >= 50),
  )
  stop.abort()
  await replay.catch(() => {})
  const mistakes = server.log.filter(
    ({ level, code }) => level === 'error' || level === 'fatal' || code === 'internal_error',
  )
  assert.deepEqual(mistakes, [])
})
