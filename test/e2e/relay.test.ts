import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { encodeAmf } from '../support/amf0.ts'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg, receiveWithFfmpeg, sentByFfmpeg } from '../support/ffmpeg.ts'
import { type FlvTag, isKeyFrame, readFlv } from '../support/flv.ts'
import { publishWithGstreamer } from '../support/gstreamer.ts'
import { assertUndisturbed, assertWholeToTheEnd, sameMessages, startFeed } from '../support/live-feed.ts'
import { type NginxRtmp, startNginxRtmp } from '../support/nginx-rtmp.ts'
import { comparePackets, packetsOf, streamsOf } from '../support/packets.ts'
import { type TemporaryFolder, temporaryFolder, waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { needs, type Requirement } from '../support/requirements.ts'
import { type CreatedInput, type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { type TestCa, testCa } from '../support/tls.ts'

/** Bit for bit: what an encoder sent is what each destination has, whoever the two are and whatever is between. */

let ca: TestCa
let server: ServerUnderTest
let folder: TemporaryFolder
/** A destination over TLS whose certificate the server can check. */
let secure: Destination
let plain: Destination

before(async () => {
  folder = await temporaryFolder('relay')
  ca = await testCa()
  secure = await startDestination({ recording: 'bodies', tls: await ca.serverCert('localhost') })
  plain = await startDestination({ recording: 'bodies' })
  server = await startServer({ env: { NODE_EXTRA_CA_CERTS: ca.caPem } })
})
after(async () => {
  await server?.[Symbol.asyncDispose]()
  await secure?.stop()
  await plain?.stop()
  await ca?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

const timeout = 60_000
const withPrograms = (...names: Requirement[]) => ({ ...needs(...names), timeout })

/** The one connection that published with this key, when it has ended as it should. */
async function onlyPublish(destination: Destination, key: string): Promise<DestinationConnection> {
  const connection = await destination.publishOf(key)
  assert.deepEqual(await connection.ends(20_000), { how: 'fin', goodbye: true })
  assert.equal(destination.connections.filter((each) => each.key === key).length, 1, `${key} reconnected`)
  assert.deepEqual(connection.violations, [])
  return connection
}

async function onlyRecording(nginx: NginxRtmp, key: string): Promise<string> {
  await nginx.waitForNoPublisher(key, 20_000)
  const recordings = await nginx.recordings(key)
  assert.equal(recordings.length, 1, `${key} was published to nginx-rtmp ${recordings.length} times`)
  return recordings[0]!
}

const secureUrl = () => secure.url('localhost')
const urlWithKey = (url: string, input: CreatedInput) => `${url}/${input.rtmps.streamKey}`
const headersOf = async (file: string) => (await streamsOf(file)).map(({ headerMd5 }) => headerMd5).toSorted()

describe('bit for bit', { concurrency: true }, () => {
  for (const protocol of ['rtmp', 'rtmps'] as const)
    test(
      `ffmpeg over ${protocol} -> nginx-rtmp, ffmpeg and a TLS destination`,
      withPrograms('ffmpeg', 'nginx-rtmp'),
      async () => {
        const key = `ffmpeg-${protocol}`
        const clip = await makeClip({ seconds: 6, gop: 30 })
        const expectedFile = await sentByFfmpeg(clip)
        await using nginx = await startNginxRtmp()
        await using listener = await receiveWithFfmpeg(folder.path)
        const input = await server.createInput()
        await server.addOutput(input.uid, { url: nginx.url(), streamKey: key })
        await server.addOutput(input.uid, { url: listener.url, streamKey: listener.key })
        await server.addOutput(input.uid, { url: secureUrl(), streamKey: key })

        const url = protocol === 'rtmp' ? server.rtmpUrl : server.rtmpsUrl
        await using encoder = await publishWithFfmpeg(clip, urlWithKey(url, input))
        const overTls = await secure.publishOf(key)
        await overTls.receives(60, 'video')
        assert.deepEqual(overTls.tls, { serverName: 'localhost', version: 'TLSv1.3' })
        await assertUndisturbed(server, input.uid)
        assert.deepEqual(await encoder.exited, { code: 0, signal: null }, encoder.output)

        assert.equal(await onlyPublish(secure, key), overTls)
        const recorded = {
          nginx: await onlyRecording(nginx, key),
          ffmpeg: await listener.finished(20_000),
          tls: join(folder.path, `${key}.flv`),
        }
        await overTls.writeFlv(recorded.tls)

        const sent = await packetsOf(expectedFile)
        const sentHeaders = await headersOf(expectedFile)
        for (const [name, file] of Object.entries(recorded)) {
          // FFmpeg rounds the times of audio anew when it records.
          const audioToleranceMs = name === 'ffmpeg' ? 1 : 0
          const { video } = comparePackets(sent, await packetsOf(file), { untilEnd: true, audioToleranceMs })
          assert(video > 100, `${name}: only ${video} pictures`)
          assert.deepEqual(await headersOf(file), sentHeaders, `sequence headers at ${name}`)
          await decodesCleanly(file)
        }
        // The same once more below any demuxer: metadata, and every byte of every message.
        sameMessages(await readFlv(expectedFile), overTls)
      },
    )

  test('GStreamer -> nginx-rtmp and two destinations', withPrograms('ffmpeg', 'gstreamer', 'nginx-rtmp'), async () => {
    const clip = await makeClip({ seconds: 6, gop: 30 })
    await using nginx = await startNginxRtmp()
    const input = await server.createInput()
    await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'gstreamer' })
    await server.addOutput(input.uid, { url: plain.url(), streamKey: 'gstreamer' })
    await using encoder = await publishWithGstreamer(clip, urlWithKey(server.rtmpUrl, input))
    assert.deepEqual(await encoder.exited, { code: 0, signal: null }, encoder.output)

    const received = await onlyPublish(plain, 'gstreamer')
    const file = join(folder.path, 'gstreamer.flv')
    await received.writeFlv(file)
    const atNginx = await onlyRecording(nginx, 'gstreamer')
    const sent = await packetsOf(clip)
    const digests = (packets: typeof sent, kind: string) =>
      packets.filter((packet) => packet.kind === kind).map(({ md5 }) => md5)
    for (const recording of [file, atNginx]) {
      await decodesCleanly(recording)
      // rtmp2sink makes times and headers of its own: the pictures and sounds are the clip's.
      const packets = await packetsOf(recording)
      const video = digests(packets, 'video')
      assert(video.length > 100)
      assert.deepEqual(video, digests(sent, 'video').slice(-video.length))
      const audio = digests(packets, 'audio')
      assert.deepEqual(audio, digests(sent, 'audio').slice(-audio.length))
    }
    // rtmp2sink gives the first two pictures one DTS; that, too, arrives everywhere as it was sent.
    assert.deepEqual(await packetsOf(atNginx), await packetsOf(file))
  })

  test('data messages arrive as they were sent, each at its time', { timeout }, async () => {
    const input = await server.createInput()
    for (const destination of [plain, secure])
      await server.addOutput(input.uid, {
        url: destination === secure ? secureUrl() : plain.url(),
        streamKey: 'data-messages',
      })
    const tags = withMessages(syntheticTags({ kbps: 800, fps: 30, gopMs: 1_000 }), [
      { type: 18, timestamp: 1_500, body: encodeAmf('onTextData', { text: 'caption', language: 'en' }) },
      { type: 18, timestamp: 1_500, body: encodeAmf('onTextData', { text: 'ü'.repeat(6_000) }) },
      { type: 18, timestamp: 2_750, body: encodeAmf('onCuePoint', { name: 'advert', time: 2.75, type: 'event' }) },
      { type: 18, timestamp: 2_760, body: encodeAmf('@clearDataFrame', 'onSomething') },
    ])
    const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, {
      tags: until(tags, 4_000),
      keep: true,
      // OBS has everything on one chunk stream.
      chunkStreams: { command: 3, audio: 4, video: 4, data: 4 },
    })
    await feed.sentAll()
    await assertUndisturbed(server, input.uid)
    await feed.stop()
    for (const destination of [plain, secure]) {
      const connection = await onlyPublish(destination, 'data-messages')
      sameMessages(feed.sent, connection)
      assertWholeToTheEnd(connection, feed)
      // @setDataFrame onMetaData, and the four.
      assert.equal(connection.counts.data, 5)
    }
  })

  test('a key frame of 5 MB, between which sound is interleaved', withPrograms('nginx-rtmp'), async () => {
    await using nginx = await startNginxRtmp()
    const input = await server.createInput()
    const streamKey = 'large-key-frame'
    for (const url of [plain.url(), secureUrl(), nginx.url()]) await server.addOutput(input.uid, { url, streamKey })
    const large = randomBytes(5_000_000)
    Buffer.of(0x17, 1, 0, 0, 0).copy(large)
    // In place of the key frame at 3 s.
    const tags = [...until(syntheticTags({ kbps: 2_000, fps: 30, gopMs: 1_000 }), 5_000)].map((tag) =>
      tag.timestamp === 3_000 && isKeyFrame(tag) ? { ...tag, body: large } : tag,
    )
    await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    await publisher.replay(tags, { interleave: true })
    await assertUndisturbed(server, input.uid)
    await publisher.goodbye()
    const arrived = inOrderOfTheirEnds(tags)
    for (const destination of [plain, secure]) sameMessages(arrived, await onlyPublish(destination, streamKey))
    const recorded = await readFlv(await onlyRecording(nginx, streamKey))
    const at = recorded.findIndex(({ body }) => body.equals(large))
    assert(at >= 0, 'nginx-rtmp has the key frame')
    const isPicture = ({ type, body }: FlvTag) => type === 9 && body[1] === 1
    assert.equal(
      recorded.slice(at).filter(isPicture).length,
      tags.filter((tag) => isPicture(tag) && tag.timestamp >= 3_000).length,
      'all that follows is there',
    )
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`an encoder over RTMPS with ${version}`, { timeout }, async () => {
      const input = await server.createInput()
      await server.addOutput(input.uid, { url: plain.url(), streamKey: version })
      const feed = await startFeed(server.rtmpsUrl, input.rtmps.streamKey, {
        tls: { minVersion: version, maxVersion: version },
        tags: until(syntheticTags({ kbps: 800, fps: 30, gopMs: 1_000 }), 2_500),
        keep: true,
      })
      assert.equal((feed.publisher.socket as unknown as { getProtocol(): string }).getProtocol(), version)
      await feed.sentAll()
      await feed.stop()
      sameMessages(feed.sent, await onlyPublish(plain, version))
    })
})

test('a TLS destination that nobody vouches for is refused, and the output says so', { timeout }, async () => {
  await using stranger = await testCa('an authority that the server does not know')
  await using untrusted = await startDestination({ tls: await stranger.serverCert('localhost') })
  await using unlike = await startDestination({ tls: await ca.serverCert('localhost', { wrongHost: true }) })
  const input = await server.createInput()
  const add = (url: string) => server.addOutput(input.uid, { url, streamKey: 'refused' })
  const refused = [
    { ...(await add(untrusted.url('localhost'))), reason: 'certificate_untrusted' },
    { ...(await add(unlike.url('localhost'))), reason: 'certificate_host_mismatch' },
  ]
  const good = await server.addOutput(input.uid, { url: secureUrl(), streamKey: 'beside-refused' })
  await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: 800, fps: 30, gopMs: 1_000 })
  for (const { uid, reason } of refused) {
    const output = await server.waitForOutput(input.uid, uid, { state: 'error', reason })
    const { lastError } = output['health'] as { lastError?: { code: string; message: string } }
    assert.equal(lastError?.code, reason)
    assert(lastError.message.length > reason.length, 'and a sentence')
    assert.equal((output['status'] as WireStatus).history[0]?.state, 'connecting')
  }
  for (const { connections } of [untrusted, unlike])
    for (const connection of connections) assert.deepEqual(connection.commandNames(), [], 'nothing was sent to it')
  await (await secure.publishOf('beside-refused')).receives(30, 'video')
  await waitFor('the good one to be undisturbed', () =>
    assertUndisturbed(server, input.uid, [good.uid]).then(() => true),
  )
  await feed.stop()
  assertWholeToTheEnd(await onlyPublish(secure, 'beside-refused'), feed)
})

function* until(tags: Iterable<FlvTag>, endMs: number): Generator<FlvTag> {
  for (const tag of tags) {
    if (tag.timestamp >= endMs) return
    yield tag
  }
}

/** Puts further messages in at their times. */
function* withMessages(tags: Iterable<FlvTag>, further: readonly FlvTag[]): Generator<FlvTag> {
  let next = 0
  for (const tag of tags) {
    while (next < further.length && further[next]!.timestamp <= tag.timestamp) yield further[next++]!
    yield tag
  }
}

/** Chunk by chunk in turn, a sound that follows a picture is whole before it. */
function inOrderOfTheirEnds(tags: readonly FlvTag[]): FlvTag[] {
  const ordered: FlvTag[] = []
  let picture: FlvTag | undefined
  for (const tag of tags) {
    const isTogether = picture !== undefined && tag.type === 8
    ordered.push(...(isTogether ? [tag, picture!] : [...(picture ? [picture] : []), ...(tag.type === 9 ? [] : [tag])]))
    picture = tag.type === 9 ? tag : undefined
  }
  return picture ? [...ordered, picture] : ordered
}
