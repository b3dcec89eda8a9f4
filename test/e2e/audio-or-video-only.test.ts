import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg, sentByFfmpeg } from '../support/ffmpeg.ts'
import { assertUndisturbed, startFeed } from '../support/live-feed.ts'
import { type NginxRtmp, startNginxRtmp } from '../support/nginx-rtmp.ts'
import { comparePackets, packetsOf } from '../support/packets.ts'
import { waitFor } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'
import { type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { type SyntheticOptions, syntheticTags } from '../support/synthetic-source.ts'

/** Radio, and cameras without a microphone: nobody waits for what never comes. */

/** A picture may come later than the sound: so long it is waited for. */
const noVideoMs = 2_000

type Scene = { readonly server: ServerUnderTest; readonly destination: Destination; readonly nginx: NginxRtmp }

async function inputWith(scene: Scene, name: string, options: Record<string, unknown> = {}) {
  const { server, destination } = scene
  const input = await server.createInput(options)
  const output = await server.addOutput(input.uid, { url: destination.url(), streamKey: name })
  const { streamKey } = input.rtmps
  return {
    uid: input.uid,
    output: output.uid,
    publishUrl: `${server.rtmpUrl}/${streamKey}`,
    feed: (source: SyntheticOptions) =>
      startFeed(server.rtmpUrl, streamKey, { fps: 30, kbps: 400, gopMs: 1_000, ...source }),
    async connection(): Promise<DestinationConnection> {
      await destination.publishOf(name)
      const all = destination.connections.filter(({ key }) => key === name)
      assert.equal(all.length, 1, `${name} has one connection`)
      return all[0]!
    },
    becomes: (state: string, reason: string) =>
      waitFor(`${name} to be ${state} ${reason}`, async () => {
        const { current } = (await server.input(input.uid))['status'] as unknown as WireStatus
        return current.state === state && current.reason === reason
      }),
  }
}

const sound = { video: false } as const
const picture = { audio: false } as const

/** In order, without a gap, on a clock that only rises and has no hole. */
function assertSmooth({ violations, ledger, messages }: DestinationConnection, sessions: readonly number[]): void {
  assert.deepEqual(
    { violations, gaps: ledger.gaps, broken: ledger.brokenGroups, sessions: ledger.sessions },
    { violations: [], gaps: [], broken: [], sessions },
  )
  for (const type of [8, 9]) {
    const times = messages.filter((message) => message.type === type && !isHeader(message))
    for (const [index, { timestamp }] of times.entries()) {
      const step = index === 0 ? 1 : timestamp - times[index - 1]!.timestamp
      assert.ok(step > 0 && step < 150, `type ${type} at ${timestamp} ms, ${step} ms after the one before`)
    }
  }
}
const isHeader = ({ body }: { body?: Buffer }) => body?.[1] === 0

test('sound alone, and a picture alone', {
  concurrency: true,
  timeout: 120_000,
  ...needs('ffmpeg', 'nginx-rtmp'),
}, async (t) => {
  await using server = await startServer()
  await using destination = await startDestination({ recording: 'bodies' })
  await using nginx = await startNginxRtmp()
  const scene = { server, destination, nginx }
  const scenario = (name: string, run: (scene: Scene, t: TestContext) => Promise<void>) =>
    t.test(name, (subtest) => run(scene, subtest))
  await Promise.all([
    scenario('sound alone begins after two seconds, for early and late destinations', soundAlone),
    scenario('a picture alone begins at its first key frame', pictureAlone),
    scenario('a picture that comes after its sound is waited for', pictureLater),
    scenario('sound takes over from sound after two seconds', soundTakesOver),
    scenario('sound comes back after a blip', (at) => soundComesBack(at, 'blip', {})),
    scenario('sound comes back after a blip, with silence meanwhile', (at) =>
      soundComesBack(at, 'blip-held', { holdPicture: true }),
    ),
    scenario('sound alone takes over from sound and picture', soundAfterPicture),
    scenario('ffmpeg with sound alone is recorded at nginx-rtmp', (at) => recorded(at, 'sound', { video: false })),
    scenario('ffmpeg with a picture alone is recorded at nginx-rtmp', (at) =>
      recorded(at, 'picture', { audio: false }),
    ),
  ])
})

async function soundAlone(scene: Scene): Promise<void> {
  const at = await inputWith(scene, 'sound-alone')
  const began = performance.now()
  await using feed = await at.feed(sound)
  const connection = await at.connection()
  await connection.receives(10, 'audio')
  const afterMs = performance.now() - began
  assert.ok(afterMs > noVideoMs - 100 && afterMs < noVideoMs + 3_000, `begins after ${Math.round(afterMs)} ms`)
  await using late = await startDestination({ recording: 'bodies' })
  await scene.server.addOutput(at.uid, { url: late.url(), streamKey: 'late' })
  const added = performance.now()
  const joined = await late.nextPublish()
  await joined.receives(10, 'audio')
  assert.ok(performance.now() - added < 2_000, 'who comes later does not wait')
  await scene.server.waitForOutput(at.uid, at.output, { state: 'connected' })
  await assertUndisturbed(scene.server, at.uid)
  await feed.stop()
  for (const one of [connection, joined]) {
    assert.deepEqual(await one.ends(), { how: 'fin', goodbye: true })
    assertSmooth(one, [0])
    assert.equal(one.firstTimestamp.audio, 0)
    const kinds = one.messages.slice(0, 3).map(({ type, body }) => (type === 8 && body![1] === 0 ? 'header' : type))
    assert.deepEqual(kinds, [18, 'header', 8])
    assert.deepEqual(one.ledger.newest.audio, feed.newest.audio, 'to the end')
  }
}

async function pictureAlone(scene: Scene): Promise<void> {
  const at = await inputWith(scene, 'picture-alone')
  const began = performance.now()
  await using feed = await at.feed(picture)
  const connection = await at.connection()
  await connection.receives(5, 'video')
  assert.ok(performance.now() - began < noVideoMs, 'begins at once')
  await scene.server.waitForOutput(at.uid, at.output, { state: 'connected' })
  await assertUndisturbed(scene.server, at.uid)
  await feed.stop()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assertSmooth(connection, [0])
  assert.deepEqual([connection.firstTimestamp.video, connection.counts.audio], [0, 0])
  assert.equal(connection.ledger.newest.video, feed.newest.video, 'to the end')
}

async function pictureLater(scene: Scene): Promise<void> {
  const at = await inputWith(scene, 'picture-later')
  // The camera takes a second and a half; the metadata has told of it.
  const tags = syntheticTags({ fps: 30, kbps: 400, gopMs: 1_500 })
  const later = (function* () {
    for (const tag of tags) if (tag.type !== 9 || tag.timestamp >= 1_450 || tag.body[1] === 0) yield tag
  })()
  const { server } = scene
  const { streamKey } = (await server.input(at.uid)).rtmps
  await using feed = await startFeed(server.rtmpUrl, streamKey, { tags: later })
  const connection = await at.connection()
  await connection.receives(20, 'video')
  await feed.stop()
  await connection.ends()
  assertSmooth(connection, [0])
  assert.equal(connection.firstTimestamp.video, 0)
  assert.ok((connection.firstTimestamp.audio ?? 1_000) < 100, 'sound begins with the picture')
}

async function soundTakesOver(scene: Scene): Promise<void> {
  const at = await inputWith(scene, 'sound-takes-over')
  await using first = await at.feed({ ...sound, session: 1 })
  const connection = await at.connection()
  await connection.receives(10, 'audio')
  const began = performance.now()
  await using second = await at.feed({ ...sound, session: 2 })
  await waitFor('the second one to be let in', () => connection.ledger.sessions.includes(2))
  const afterMs = performance.now() - began
  assert.ok(afterMs > noVideoMs - 100 && afterMs < noVideoMs + 2_500, `let in after ${Math.round(afterMs)} ms`)
  await first.publisher.waitForStatus('NetStream.Publish.BadName')
  await connection.receives(20, 'audio')
  await second.stop()
  assert.equal((await connection.ends()).goodbye, true)
  // Until then the first one was on.
  assertSmooth(connection, [1, 2])
}

async function soundComesBack(scene: Scene, name: string, options: { holdPicture?: boolean }): Promise<void> {
  const at = await inputWith(scene, name, options)
  await using first = await at.feed({ ...sound, session: 1 })
  const connection = await at.connection()
  await connection.receives(10, 'audio')
  await first.vanish()
  await at.becomes('disconnected', 'reconnecting')
  await using second = await at.feed({ ...sound, session: 2 })
  await at.becomes('connected', 'reconnected')
  await connection.receives(20, 'audio')
  await second.stop()
  assert.equal((await connection.ends()).goodbye, true)
  assertSmooth(connection, [1, 2])
  const silence = connection.messages.filter((one) => one.type === 8 && one.length < 10 && !isHeader(one)).length
  if (options.holdPicture) assert.ok(silence > 80, `${silence} silent frames in two seconds`)
  else assert.equal(silence, 0)
}

async function soundAfterPicture(scene: Scene): Promise<void> {
  const at = await inputWith(scene, 'sound-after-picture')
  await using first = await at.feed({ session: 1 })
  const connection = await at.connection()
  await connection.receives(20, 'video')
  await using second = await at.feed({ ...sound, session: 2 })
  await waitFor('the second one to be let in', () => connection.ledger.sessions.includes(2))
  await first.publisher.waitForStatus('NetStream.Publish.BadName')
  await connection.receives(20, 'audio')
  assert.equal(second.publisher.statuses.length, 1)
  await using third = await at.feed({ session: 3 })
  await waitFor('a picture again', () => connection.ledger.sessions.includes(3))
  await connection.receives(10, 'video')
  await third.stop()
  assert.equal((await connection.ends()).goodbye, true)
  const { violations, ledger } = connection
  assert.deepEqual(
    { violations, gaps: ledger.gaps, broken: ledger.brokenGroups, sessions: ledger.sessions },
    { violations: [], gaps: [], broken: [], sessions: [1, 2, 3] },
  )
}

async function recorded(scene: Scene, name: string, tracks: { audio?: boolean; video?: boolean }): Promise<void> {
  const { server, nginx } = scene
  const clip = await makeClip({ seconds: 5, videoKbps: 500, gop: 30, sound: 'noise', ...tracks })
  const at = await inputWith(scene, `fake-${name}`)
  await server.addOutput(at.uid, { url: nginx.url(), streamKey: name })
  await using encoder = await publishWithFfmpeg(clip, at.publishUrl)
  assert.equal((await encoder.exited).code, 0, encoder.output)
  assert.equal((await (await at.connection()).ends()).goodbye, true)
  await nginx.waitForNoPublisher(name)
  const [recording, ...others] = await nginx.recordings(name)
  assert.deepEqual(others, [])
  const sent = await packetsOf(await sentByFfmpeg(clip))
  const got = await packetsOf(recording!)
  comparePackets(sent, got, { untilEnd: true })
  await decodesCleanly(recording!)
}
