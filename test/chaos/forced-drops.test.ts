import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type DestinationConnection, startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg } from '../support/ffmpeg.ts'
import { type Packet, packetsOf, strictlyRising } from '../support/packets.ts'
import { temporaryFolder, waitFor } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'
import { startServer } from '../support/server.ts'
import { OutputWatch } from './output-watch.ts'

/**
 * Real H.264 and AAC, left out on purpose: a destination that is too slow, and one that stops reading and goes on. The log is short,
 * so that both ways of falling behind are taken: the jump to a key frame ahead, and the tail that passes an output in the
 * middle of a message.
 */
const isLong = process.env['CHAOS'] === 'long'
const rounds = isLong ? 4 : 1
const feedKbps = 12_000

test('what is recorded after forced drops decodes without one error', {
  ...needs('ffmpeg'),
  timeout: isLong ? 300_000 : 120_000,
}, async (t) => {
  // Small pictures, held at the bitrate with filler: it is the bytes that fill the kernel's buffers.
  const clip = await makeClip({ seconds: 6, size: '640x360', rate: 30, videoKbps: feedKbps - 130 })
  await using folder = await temporaryFolder('forced-drops')
  await using slow = await startDestination({ recording: 'bodies', behaviour: { readKbps: feedKbps / 2 } })
  await using stalling = await startDestination({ recording: 'bodies' })
  await using server = await startServer({ settings: { MAX_LAG_MS: '500', BUFFER_MS: '2000' } })
  const input = await server.createInput()
  const outputs = {
    slow: (await server.addOutput(input.uid, { url: slow.url(), streamKey: 'slow' })).uid,
    stalling: (await server.addOutput(input.uid, { url: stalling.url(), streamKey: 'stalling' })).uid,
  }
  await using watch = new OutputWatch(server, input.uid)
  await using encoder = await publishWithFfmpeg(clip, `${server.rtmpUrl}/${input.rtmps.streamKey}`, {
    loops: Number.POSITIVE_INFINITY,
  })
  const connections = { slow: await slow.nextPublish(), stalling: await stalling.nextPublish() }

  const dropped = (name: keyof typeof outputs) => watch.health(outputs[name]).droppedMessages ?? 0
  for (let round = 0; round < rounds; round++)
    // Behind by more than MAX_LAG_MS, then by more than BUFFER_MS, and in all less than the 10 s after which it is begun anew.
    for (const furtherMs of [500, 2_000]) {
      const before = dropped('stalling')
      connections.stalling.stopReading()
      // The kernel takes the first two to six seconds.
      await nothingSent(() => watch.health(outputs.stalling).bytesSent)
      await pause(furtherMs)
      connections.stalling.resumeReading()
      await waitFor('messages to be dropped for the output that stalled', () => dropped('stalling') > before)
      await connections.stalling.receives(45, 'video')
    }
  await waitFor('messages to be dropped for the slow output', () => dropped('slow') > 0)
  // What was sent before that is still in the kernels: the gap is behind it.
  const beyond = watch.health(outputs.slow).bytesSent + 1024 * 1024
  await waitFor('the slow one to read beyond the gap', () => connections.slow.counts.bytes > beyond, 30_000)
  assert.equal(encoder.exit, undefined, 'the encoder has noticed')

  const sent = await packetsOf(clip)
  for (const [name, connection] of Object.entries(connections)) {
    await t.test(name, async (t) => {
      assert.deepEqual(connection.violations, [])
      assert.equal(watch.health(outputs[name as keyof typeof outputs]).reconnects, 0)
      const { gaps, video } = await recorded(connection, join(folder.path, `${name}.flv`), sent)
      t.diagnostic(`${video} pictures recorded, with ${gaps} gaps`)
      assert(gaps >= rounds, 'nothing was left out: the test has shown nothing')
    })
  }
  assert.equal(slow.connections.length + stalling.connections.length, 2, 'each has had one connection')
})

/** Until the figure, which comes once a second, has not grown for a second. */
async function nothingSent(bytesSent: () => number): Promise<void> {
  let bytes = bytesSent()
  let since = performance.now()
  await waitFor(
    'the kernel to take no more',
    () => {
      if (bytesSent() === bytes) return performance.now() - since > 1_500
      bytes = bytesSent()
      since = performance.now()
      return false
    },
    20_000,
  )
}

/** Writes the recording and checks it. @returns how often pictures were left out, and how many there are. */
async function recorded(
  connection: DestinationConnection,
  file: string,
  sent: readonly Packet[],
): Promise<{ readonly gaps: number; readonly video: number }> {
  await connection.writeFlv(file)
  await decodesCleanly(file)
  const packets = await packetsOf(file)
  const video = packets.filter(({ kind }) => kind === 'video')
  strictlyRising('video', video)
  strictlyRising(
    'audio',
    packets.filter(({ kind }) => kind === 'audio'),
  )
  const source = sent.filter(({ kind }) => kind === 'video')
  const placeOf = new Map(source.map(({ md5 }, index) => [md5, index]))
  let gaps = 0
  for (const [index, packet] of video.entries()) {
    const place = placeOf.get(packet.md5)
    assert(place !== undefined, `picture ${index} at ${packet.dts} ms is none that was sent`)
    const before = index === 0 ? undefined : placeOf.get(video[index - 1]!.md5)
    if (before !== undefined && (before + 1) % source.length === place) continue
    assert(packet.key, `after a gap, picture ${index} at ${packet.dts} ms is no key frame`)
    if (index > 0) gaps++
  }
  return { gaps, video: video.length }
}
