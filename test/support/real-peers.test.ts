import assert from 'node:assert/strict'
import test from 'node:test'
import { startDestination } from './destination.ts'
import { decodesCleanly, makeClip, makeLoadClip, publishWithFfmpeg, receiveWithFfmpeg, sentByFfmpeg } from './ffmpeg.ts'
import { isAudio, isVideo, readFlv } from './flv.ts'
import { publishWithGstreamer } from './gstreamer.ts'
import { startNginxRtmp } from './nginx-rtmp.ts'
import { comparePackets, packetsOf, streamsOf } from './packets.ts'
import { temporaryFolder } from './processes.ts'
import { publish } from './publisher.ts'
import { needs, type Requirement } from './requirements.ts'
import { testCa, tlsFront } from './tls.ts'

const within = (...names: Requirement[]) => ({ ...needs(...names), timeout: 120_000 })
const clip = () => makeClip({ seconds: 4 })

test('publisher -> nginx-rtmp: the recording equals what was sent', within('ffmpeg', 'nginx-rtmp'), async () => {
  await using nginx = await startNginxRtmp()
  const file = await clip()
  await using publisher = await publish({ url: nginx.url(), key: 'stream' })
  const replay = publisher.replay(await readFlv(file))
  const seen = await nginx.waitForPublisher('stream')
  assert.ok(seen.bytesIn > 0)
  await replay
  await publisher.goodbye()
  await nginx.waitForNoPublisher('stream')
  const [recording, ...further] = await nginx.recordings('stream')
  assert.deepEqual(further, [])
  const received = await packetsOf(recording!)
  const sent = await packetsOf(file)
  const { video, audio, baseMs } = comparePackets(sent, received, { untilEnd: true })
  assert.deepEqual({ video, audio, baseMs }, { video: 120, audio: sent.length - 120, baseMs: 0 })
  assert.deepEqual(
    (await streamsOf(recording!)).map(({ headerMd5 }) => headerMd5).sort(),
    (await streamsOf(file)).map(({ headerMd5 }) => headerMd5).sort(),
  )
  await decodesCleanly(recording!)
})

test(
  'publisher -> TLS front -> nginx-rtmp; pause, stop and start of nginx',
  within('ffmpeg', 'nginx-rtmp'),
  async () => {
    await using ca = await testCa()
    await using nginx = await startNginxRtmp()
    await using front = await tlsFront({ ...(await ca.serverCert('live.example')), port: nginx.port })
    const file = await clip()
    {
      await using publisher = await publish({
        url: `rtmps://127.0.0.1:${front.port}/live`,
        key: 'secure',
        tls: { ca: ca.cert, servername: 'live.example', rejectUnauthorized: true },
      })
      await publisher.replay(await readFlv(file), { realtime: false })
      await publisher.goodbye()
    }
    assert.deepEqual(front.serverNames, ['live.example'])
    await nginx.waitForNoPublisher('secure')
    comparePackets(await packetsOf(file), await packetsOf((await nginx.recordings('secure'))[0]!), { untilEnd: true })

    nginx.pause()
    await assert.rejects(publish({ url: nginx.url(), key: 'paused', deadlineMs: 300 }), /handshake/)
    nginx.resume()
    await nginx.stop()
    await assert.rejects(publish({ url: nginx.url(), key: 'stopped' }), { code: 'ECONNREFUSED' })
    await nginx.start()
    await using again = await publish({ url: nginx.url(), key: 'again' })
    again.vanish()
  },
)

test(
  'ffmpeg -> destination: the messages equal what ffmpeg sends, looped, stopped properly',
  within('ffmpeg'),
  async () => {
    await using folder = await temporaryFolder('destination')
    await using destination = await startDestination({ recording: 'bodies' })
    const file = await clip()
    await using ffmpeg = await publishWithFfmpeg(file, `${destination.url()}/stream`, { realtime: false, loops: 2 })
    const connection = await destination.nextPublish()
    assert.deepEqual(await ffmpeg.exited, { code: 0, signal: null })
    assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
    await connection.writeFlv(`${folder.path}/received.flv`)
    const received = await packetsOf(`${folder.path}/received.flv`)
    comparePackets(await packetsOf(await sentByFfmpeg(file, 2)), received, { untilEnd: true })
    comparePackets(await packetsOf(await sentByFfmpeg(file)), received, {
      looped: true,
      untilEnd: true,
      audioToleranceMs: 1,
    })
    await decodesCleanly(`${folder.path}/received.flv`)
    assert.match(String(connection.connect['flashVer']), /^FMLE/)
  },
)

test('publisher -> ffmpeg as destination', within('ffmpeg'), async () => {
  await using folder = await temporaryFolder('destination')
  const file = await clip()
  await using ffmpeg = await receiveWithFfmpeg(folder.path)
  await using publisher = await publish({ url: ffmpeg.url, key: ffmpeg.key })
  await publisher.replay(await readFlv(file), { realtime: false, startTimestamp: 0 })
  await publisher.goodbye()
  const received = await packetsOf(await ffmpeg.finished())
  comparePackets(await packetsOf(file), received, { untilEnd: true, audioToleranceMs: 1 })
})

test('rtmp2sink -> destination', within('ffmpeg', 'gstreamer'), async () => {
  await using destination = await startDestination()
  await using gstreamer = await publishWithGstreamer(await clip(), `${destination.url()}/stream`)
  const connection = await destination.nextPublish()
  await connection.receives(60, 'video')
  await gstreamer.stop()
  await connection.ends()
})

test('comparison: a loss, damage, an offset of one track and a late start are found', within('ffmpeg'), async () => {
  const sent = await packetsOf(await clip())
  const startsAt = (index: number) => {
    const base = sent[index]!.dts
    return sent
      .slice(index)
      .filter(({ dts }) => dts >= base)
      .map((packet) => ({ ...packet, dts: packet.dts - base, pts: packet.pts - base }))
  }
  const second = sent.findIndex(
    (packet, index) => index > 0 && packet.kind === 'video' && packet.key && packet.dts > 1_000,
  )
  assert.equal(comparePackets(sent, startsAt(second)).baseMs, sent[second]!.dts)
  const good = startsAt(second)
  const spoil = (change: (packets: typeof good) => typeof good) => () =>
    comparePackets(sent, change(structuredClone(good)))
  const inner = good.findIndex(({ kind, key }) => kind === 'video' && !key)
  assert.throws(
    spoil((packets) => packets.toSpliced(inner, 1)),
    /other bytes/,
  )
  assert.throws(
    spoil((packets) => packets.with(inner, { ...packets[inner]!, md5: 'x' })),
    /other bytes/,
  )
  assert.throws(
    spoil((packets) =>
      packets.map((each) => (each.kind === 'audio' ? { ...each, dts: each.dts + 1, pts: each.pts + 1 } : each)),
    ),
    /at that time/,
  )
  assert.throws(
    spoil((packets) => packets.map((each) => ({ ...each, dts: each.dts + 5 }))),
    /starts at 5/,
  )
  assert.throws(
    spoil((packets) => packets.with(inner, { ...packets[inner]!, pts: packets[inner]!.pts + 33 })),
    /composition/,
  )
  assert.throws(
    spoil((packets) => packets.filter(({ kind, dts }) => kind === 'video' || dts > 300)),
    /begins only/,
  )
  assert.throws(
    () => comparePackets(sent, startsAt(sent.findIndex(({ kind, key }) => kind === 'video' && !key))),
    /key frame/,
  )
})

test('the load clip has the bitrate that it claims', within('ffmpeg'), async () => {
  const tags = await readFlv(await makeLoadClip())
  const bytes = tags.filter((tag) => isVideo(tag) || isAudio(tag)).reduce((sum, { body }) => sum + body.length, 0)
  const kbps = (bytes * 8) / (tags.at(-1)!.timestamp + 1_000 / 60)
  assert.ok(kbps > 11_500 && kbps < 12_500, `${kbps} kbps`)
})
