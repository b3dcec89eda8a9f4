import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { encodeAmf } from '../support/amf0.ts'
import { type DestinationConnection, type DestinationOptions, startDestination } from '../support/destination.ts'
import {
  asManyTracks,
  asOneTrack,
  enhancedForm,
  legacyHevc,
  multichannelConfig,
  withModEx,
} from '../support/enhanced-forms.ts'
import { publishWithFfmpeg8 } from '../support/enhanced-peer.ts'
import { decodesCleanly, makeClip } from '../support/ffmpeg.ts'
import { type FlvTag, isAudio, isKeyFrame, isSequenceHeader, isVideo, readFlv, writeFlv } from '../support/flv.ts'
import { type NginxRtmp, startNginxRtmp } from '../support/nginx-rtmp.ts'
import { comparePackets, packetsOf } from '../support/packets.ts'
import { temporaryFolder, waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { type ServerUnderTest, startServer } from '../support/server.ts'

/** Enhanced RTMP, whole: from FFmpeg 8 and in every form that the specification has, towards destinations of every manner. */

const fixture = (name: string) => new URL(`../fixtures/flv/${name}.flv`, import.meta.url).pathname

/** What FFmpeg 8 and MediaMTX-like servers would say: everything is welcome. */
const everything = { capsEx: 6, fourCcList: ['*'], videoFourCcInfoMap: { '*': 4 }, audioFourCcInfoMap: { '*': 4 } }
const takesEverything: DestinationOptions = { behaviour: { connectResult: everything }, recording: 'bodies' }
const saysNothing: DestinationOptions = { recording: 'bodies' }

const trackOf = (body: Buffer) => body[6]!
const isMultitrack = ({ type, body }: FlvTag) =>
  (type === 9 && (body[0]! & 0x8f) === 0x86) || (type === 8 && body[0] === 0x95)
const isMultichannel = ({ type, body }: FlvTag) =>
  type === 8 && (body[0] === 0x94 || (body[0] === 0x95 && (body[1]! & 0x0f) === 4))
const isColourMetadata = ({ type, body }: FlvTag) => type === 9 && body[0] === 0xd4
const isMetadata = ({ type, body }: FlvTag) => type === 18 && body.includes('onMetaData')
const isHeader = (tag: FlvTag) =>
  isMetadata(tag) || isSequenceHeader(tag) || isMultichannel(tag) || isColourMetadata(tag)
const isEnd = ({ type, body }: FlvTag) =>
  type === 9 &&
  (body[0]! & 0x80
    ? (body[0]! & 0x0f) === 2 || ((body[0]! & 0x0f) === 6 && (body[1]! & 0x0f) === 2)
    : [7, 12].includes(body[0]! & 0x0f) && body[1] === 2)
/** What is left of FFmpeg's messages for a destination that says nothing. */
const isPlain = (tag: FlvTag) => !(isMultitrack(tag) && trackOf(tag.body) > 0) && !isMultichannel(tag)

/** Everything on the wire, data with its @setDataFrame. */
const received = (connection: DestinationConnection): FlvTag[] =>
  connection.messages.map(({ type, timestamp, body }) => ({ type, timestamp, body: body! }))

const told = ({ type, timestamp, body }: FlvTag) =>
  `${type} at ${timestamp} ms: ${body.length} bytes ${body.subarray(0, 8).toString('hex')}`
const digest = (body: Buffer) => createHash('md5').update(body).digest('hex')
const distinct = (tags: readonly FlvTag[]) => [...new Set(tags.map(({ body }) => digest(body)))].sort()

/**
 * Asserts that a connection got these messages and no others: the headers first, then all the media from the first key frame on, at the
 * same distances, beginning at 0. Repeated headers are not asked for, and headers have no time of their own.
 */
function gotAll(connection: DestinationConnection, sent: readonly FlvTag[], { untilEnd = true } = {}): void {
  const got = received(connection)
  assert.deepEqual(connection.violations, [])
  assert.ok(got.length > 0, 'nothing was received')
  const media = (tags: readonly FlvTag[]) => tags.filter((tag) => tag.type !== 18 && !isHeader(tag) && !isEnd(tag))
  const firstKey = sent.findIndex(isKeyFrame)
  const base = sent[firstKey]!.timestamp
  const expected = media(sent.slice(firstKey)).filter((tag) => tag.timestamp >= base)
  const actual = media(got)
  for (const [index, tag] of actual.entries()) {
    const wanted = expected[index]
    assert.ok(wanted, `message ${index} is one too many: ${told(tag)}`)
    const same = tag.type === wanted.type && tag.body.equals(wanted.body)
    assert.ok(same, `message ${index} is ${told(tag)} and not ${told(wanted)}`)
    assert.equal(tag.timestamp, wanted.timestamp - base, `${told(wanted)} came at another time`)
  }
  if (untilEnd) assert.equal(actual.length, expected.length, 'the end is missing')
  assert.deepEqual(distinct(got.filter(isHeader)), distinct(sent.filter(isHeader)), 'other headers')
  headersComeFirst(got)
}

/** Metadata, then sound's headers, then those of the picture, then a key frame. */
function headersComeFirst(got: readonly FlvTag[]): void {
  const start = got.findIndex((tag) => !isHeader(tag))
  const ranks = got.slice(0, start).map((tag) => (tag.type === 18 ? 0 : tag.type === 8 ? 1 : 2))
  assert.deepEqual(ranks, ranks.toSorted(), `the headers came as ${got.slice(0, start).map(told).join('; ')}`)
  const first = got.find((tag) => isVideo(tag) && !isHeader(tag))
  assert.ok(first === undefined || isKeyFrame(first) || firstTrackIsKey(first), `begins with ${first && told(first)}`)
}
const firstTrackIsKey = ({ body }: FlvTag) => (body[0]! & 0x80) !== 0 && ((body[0]! >> 4) & 7) === 1

type Setting = { readonly server: ServerUnderTest; readonly folder: string }

/** A live input with one output to each of these. */
async function inputWith(server: ServerUnderTest, ...destinations: readonly { url(): string }[]) {
  const input = await server.createInput()
  const outputs: string[] = []
  for (const destination of destinations)
    outputs.push((await server.addOutput(input.uid, { url: destination.url(), streamKey: 'key' })).uid)
  const { streamKey } = input.rtmps
  return { uid: input.uid, outputs, streamKey, publishUrl: `${server.rtmpUrl}/${streamKey}` }
}

test('Enhanced RTMP', { concurrency: true, timeout: 120_000, ...needs('ffmpeg', 'nginx-rtmp') }, async (t) => {
  await using server = await startServer()
  await using folder = await temporaryFolder('enhanced')
  const setting = { server, folder: folder.path }
  const scenario = (name: string, run: (setting: Setting, t: TestContext) => Promise<void>) =>
    t.test(name, (subtest) => run(setting, subtest))
  await Promise.all([
    ...['hevc', 'av1opus', 'mt'].map((name) =>
      scenario(`FFmpeg 8 publishes ${name}: bit for bit, and plain where nothing is said`, (to) =>
        fromFfmpeg8(to, name),
      ),
    ),
    scenario('H.264 and AAC in every form of Enhanced RTMP are flattened to legacy tags', everyForm),
    scenario('HEVC in every wrapping is unwrapped', everyWrapping),
    scenario('a destination that does not take the codec: error with the reason, and a proper goodbye', refusedCodec),
    scenario('HEVC as codec id 12 has key frames and headers', codecId12),
    scenario('another codec in mid-broadcast begins the outputs anew, at its first key frame', codecChange),
    scenario('HDR metadata that changes passes', hdrMetadata),
    scenario('data that only some understand does not disturb anything', specialData),
  ])
})

/** As FFmpeg sends it to anybody: recorded without the server between. */
async function reference(file: string, laps: number): Promise<FlvTag[]> {
  await using destination = await startDestination(saysNothing)
  await using encoder = await publishWithFfmpeg8(file, `${destination.url()}/key`, { laps, realtime: false })
  const connection = await destination.nextPublish()
  await connection.ends()
  assert.equal((await encoder.exited).code, 0, encoder.output)
  return received(connection)
}

async function fromFfmpeg8({ server }: Setting, name: string): Promise<void> {
  const laps = name === 'av1opus' ? 6 : 3
  const sent = await reference(fixture(name), laps)
  await using full = await startDestination(takesEverything)
  await using plain = await startDestination(saysNothing)
  await using nginx = await startNginxRtmp()
  const input = await inputWith(server, full, plain, nginx)
  await using encoder = await publishWithFfmpeg8(fixture(name), input.publishUrl, { laps })
  const early = [await full.nextPublish(), await plain.nextPublish()] as const

  await early[0].receives(40)
  await using lateFull = await startDestination(takesEverything)
  await using latePlain = await startDestination(saysNothing)
  for (const late of [lateFull, latePlain]) await server.addOutput(input.uid, { url: late.url(), streamKey: 'late' })
  const late = [await lateFull.nextPublish(), await latePlain.nextPublish()] as const

  const ofNginx = async () => (await server.outputs(input.uid)).find(({ uid }) => uid === input.outputs[2])!
  await waitFor('its figures', async () => (await ofNginx())['health'] !== undefined)
  const { attempts, droppedMessages, lastError } = (await ofNginx())['health'] as Record<string, unknown>
  assert.deepEqual({ attempts, droppedMessages, lastError }, { attempts: 1, droppedMessages: 0, lastError: undefined })

  assert.equal((await encoder.exited).code, 0, encoder.output)
  for (const connection of [...early, ...late]) assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.deepEqual(early[0].connect['capsEx'], 14, 'the destination is told of Enhanced RTMP')
  gotAll(early[0], sent)
  gotAll(early[1], sent.filter(isPlain))

  for (const [connection, all] of [
    [late[0], sent],
    [late[1], sent.filter(isPlain)],
  ] as const) {
    const first = received(connection).find((tag) => isVideo(tag) && !isHeader(tag))!
    const from = all.findIndex((tag) => tag.body.equals(first.body) && tag.timestamp > 0)
    assert.ok(from > 0, 'the late one began at some key frame that was sent')
    const lap = all.findLastIndex((tag) => tag.body.equals(first.body) && joinsAt(connection, all, tag))
    gotAll(connection, [...all.filter((tag) => isHeader(tag)), ...all.slice(lap)])
  }
  for (const { connections } of [full, plain, lateFull, latePlain]) assert.equal(connections.length, 1)
  await soundAtNginx(nginx, early[1])
  // It was never lost: the history would tell.
  const { current, history } = (await ofNginx())['status'] as {
    current: { state: string }
    history: { state: string }[]
  }
  for (const { state } of [current, ...history]) assert.ok(state !== 'reconnecting' && state !== 'error', state)
}

/** nginx-rtmp knows no picture of Enhanced RTMP, and records none; the sound it records as any plain destination gets it. */
async function soundAtNginx(nginx: NginxRtmp, plain: DestinationConnection): Promise<void> {
  await nginx.waitForNoPublisher('key')
  const [recording, ...others] = await nginx.recordings('key')
  assert.deepEqual(others, [])
  const sound = (tags: readonly FlvTag[]) => tags.filter((tag) => isAudio(tag) && !isHeader(tag)).map(toldWhole)
  const got = sound(await readFlv(recording!))
  assert.ok(got.length > 100)
  assert.deepEqual(got, sound(received(plain)))
}
const toldWhole = ({ timestamp, body }: FlvTag) => `${timestamp} ms: ${digest(body)}`

/** The file is sent several times: the end tells in which lap a connection joined. */
function joinsAt(connection: DestinationConnection, sent: readonly FlvTag[], first: FlvTag): boolean {
  const end = (tags: readonly FlvTag[]) => tags.findLast((tag) => isAudio(tag) && !isHeader(tag))!.timestamp
  return end(sent) - first.timestamp === end(received(connection))
}

const interesting = (tags: readonly FlvTag[]) => tags.filter((tag) => isAudio(tag) || isVideo(tag))

async function everyForm({ server, folder }: Setting): Promise<void> {
  const clip = await makeClip({ seconds: 4, videoKbps: 600, gop: 30 })
  const legacy = interesting(await readFlv(clip)).filter((tag) => !isEnd(tag))
  const second = Buffer.from('a second track')
  const forms: readonly ((tag: FlvTag) => Buffer)[] = [
    ({ body }) => body,
    (tag) => asOneTrack(tag),
    (tag) => withModEx(tag),
    (tag) => asManyTracks(tag, second),
    (tag) => asManyTracks(tag, second, { ownCodecs: true }),
    (tag) => asManyTracks(tag, second, { front: true }),
    (tag) => withModEx({ ...tag, body: asOneTrack(tag) }),
    (tag) => withModEx({ ...tag, body: withModEx(tag) }, 1),
  ]
  const sent = legacy.flatMap((tag, index): FlvTag[] => {
    const form = { ...tag, body: enhancedForm(tag) }
    if (isSequenceHeader(tag)) return [form]
    const message = { ...tag, body: forms[index % forms.length]!(form) }
    // Now and then tracks of their own, and what describes channels.
    const further = index % 5 === 0 ? [{ ...tag, body: asOneTrack(form, 1) }] : []
    return [message, ...further]
  })
  const configured = sent.findIndex((tag) => isAudio(tag) && isSequenceHeader(tag)) + 1
  sent.splice(configured, 0, { type: 8, timestamp: 0, body: multichannelConfig })

  await using nginx = await startNginxRtmp()
  await using full = await startDestination(takesEverything)
  await using plain = await startDestination(saysNothing)
  const input = await inputWith(server, full, plain, nginx)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  const replay = publisher.replay(sent)
  const connections = [await full.nextPublish(), await plain.nextPublish()] as const
  await replay
  await publisher.goodbye()
  for (const connection of connections) assert.equal((await connection.ends()).goodbye, true)
  gotAll(connections[0], sent)
  gotAll(connections[1], legacy)
  assert.deepEqual([full.connections.length, plain.connections.length], [1, 1])

  await nginx.waitForNoPublisher('key')
  const recordings = await nginx.recordings('key')
  assert.equal(recordings.length, 1)
  const original = join(folder, 'original.flv')
  await writeFlv(original, legacy)
  comparePackets(await packetsOf(original), await packetsOf(recordings[0]!), { untilEnd: true })
  await decodesCleanly(recordings[0]!)
}

async function everyWrapping({ server }: Setting): Promise<void> {
  const bare = lapped(interesting(await readFlv(fixture('hevc'))), 2)
  const forms: readonly ((tag: FlvTag) => Buffer)[] = [
    (tag) => asOneTrack(tag),
    (tag) => withModEx(tag),
    (tag) => asManyTracks(tag, Buffer.from('another'), { ownCodecs: true, front: true }),
  ]
  const sent = bare.map((tag, index) =>
    isVideo(tag) && !isColourMetadata(tag) ? { ...tag, body: forms[index % forms.length]!(tag) } : tag,
  )
  await using full = await startDestination(takesEverything)
  await using plain = await startDestination(saysNothing)
  const input = await inputWith(server, full, plain)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  await publisher.replay(sent)
  await publisher.goodbye()
  const connections = [await full.nextPublish(), await plain.nextPublish()] as const
  for (const connection of connections) assert.equal((await connection.ends()).goodbye, true)
  gotAll(connections[1], bare)
  const [first] = connections
  assert.deepEqual(first.violations, [])
  assert.equal(first.counts.audio + first.counts.video, new Set(sent.map(told)).size - repeatedHeaders(sent))
}

/** Headers that come again in the next lap, unchanged: they are left out. */
function repeatedHeaders(sent: readonly FlvTag[]): number {
  const headers = [...new Map(sent.filter(isHeader).map((tag) => [told(tag), tag])).values()]
  return headers.length - distinct(headers).length
}

/** The same again and again on one clock. */
function lapped(tags: readonly FlvTag[], laps: number): FlvTag[] {
  const lapMs = Math.max(...tags.map(({ timestamp }) => timestamp)) + 40
  return Array.from({ length: laps }, (_, lap) => lap).flatMap((lap) =>
    tags
      .filter((tag) => !isEnd(tag) && (lap === 0 || !isHeader(tag)))
      .map((tag) => ({ ...tag, timestamp: tag.timestamp + lap * lapMs })),
  )
}

async function refusedCodec({ server }: Setting): Promise<void> {
  const behaviours = [
    { connectResult: { fourCcList: ['av01', 'vp09'] } },
    { connectResult: { videoFourCcInfoMap: { avc1: 7, av01: 7 }, capsEx: 6 } },
    { connectResult: { videoFourCcInfoMap: { hvc1: 2, '*': 4 } } },
  ]
  await using first = await startDestination({ behaviour: behaviours[0]! })
  await using second = await startDestination({ behaviour: behaviours[1]! })
  await using third = await startDestination({ behaviour: behaviours[2]! })
  await using willing = await startDestination({ behaviour: { connectResult: { fourCcList: ['hvc1'] } } })
  const destinations = [first, second, third]
  const input = await inputWith(server, ...destinations, willing)
  await using encoder = await publishWithFfmpeg8(fixture('hevc'), input.publishUrl, { laps: 10 })
  for (const [index, destination] of destinations.entries()) {
    const output = await server.waitForOutput(input.uid, input.outputs[index]!, {
      state: 'error',
      reason: 'codec_refused',
    })
    const { lastError } = output['health'] as { lastError: { code: string; message: string } }
    assert.equal(lastError.code, 'codec_refused')
    assert.match(lastError.message, /hvc1|HEVC/)
    const [connection] = destination.connections
    assert.deepEqual(await connection!.ends(), { how: 'fin', goodbye: true })
    assert.deepEqual([connection!.counts.video, connection!.counts.audio, connection!.violations], [0, 0, []])
  }
  const connection = await willing.nextPublish()
  await connection.receives(10, 'video')
  await server.waitForOutput(input.uid, input.outputs[3]!, { state: 'connected' })
  assert.deepEqual(connection.violations, [])
  // It is not asked again and again.
  for (const destination of destinations) assert.equal(destination.connections.length, 1)
  await encoder.stop()
  await connection.ends()
}

async function codecId12({ server }: Setting): Promise<void> {
  const enhanced = lapped(interesting(await readFlv(fixture('hevc'))), 3).filter((tag) => !isColourMetadata(tag))
  const sent = enhanced.map((tag) => (isVideo(tag) ? { ...tag, body: legacyHevc(tag) } : tag))
  await using early = await startDestination(saysNothing)
  const input = await inputWith(server, early)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  const replay = publisher.replay(sent)
  const first = await early.nextPublish()
  await first.receives(35)
  await using late = await startDestination(saysNothing)
  await server.addOutput(input.uid, { url: late.url(), streamKey: 'late' })
  const second = await late.nextPublish()
  await replay
  await publisher.goodbye()
  for (const connection of [first, second]) assert.equal((await connection.ends()).goodbye, true)
  gotAll(first, sent)
  const keys = sent.filter(isKeyFrame)
  const began = received(second).find((tag) => isVideo(tag) && !isHeader(tag))!
  assert.ok(
    keys.some((key) => key.body.equals(began.body)),
    `begins with ${told(began)}`,
  )
  assert.deepEqual(distinct(received(second).filter(isHeader)), distinct(sent.filter(isHeader)))
}

async function codecChange({ server }: Setting): Promise<void> {
  const clip = await makeClip({ seconds: 4, videoKbps: 600, gop: 30 })
  const before = interesting(await readFlv(clip)).filter((tag) => tag.timestamp < 2_500 && !isEnd(tag))
  const start = 2_600
  const hevc = lapped(interesting(await readFlv(fixture('hevc'))), 2)
  // The encoder's clock goes on, its sound, too; the picture has another codec from now on.
  const after = hevc.map((tag) => ({ ...tag, timestamp: tag.timestamp + start }))
  await using full = await startDestination(takesEverything)
  await using plain = await startDestination(saysNothing)
  const input = await inputWith(server, full, plain)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  const replay = publisher.replay([...before, ...after])
  const old = [await full.nextPublish(), await plain.nextPublish()] as const
  for (const connection of old) assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  const anew = [await full.nextPublish(), await plain.nextPublish()] as const
  await replay
  await publisher.goodbye()
  for (const connection of anew) assert.equal((await connection.ends()).goodbye, true)
  for (const connection of old) {
    const video = received(connection).filter(isVideo)
    assert.ok(
      video.every(({ body }) => (body[0]! & 0x8f) === 7),
      'the first connection has only what it began with',
    )
    assert.deepEqual(connection.violations, [])
  }
  for (const connection of anew) gotAll(connection, after)
  assert.deepEqual([full.connections.length, plain.connections.length], [2, 2])
}

async function hdrMetadata({ server }: Setting): Promise<void> {
  const tags = lapped(interesting(await readFlv(fixture('hevc'))), 2)
  const colour = (maximum: number) =>
    Buffer.concat([
      Buffer.of(0xd4),
      Buffer.from('hvc1'),
      encodeAmf('colorInfo', { hdrCll: { maxFall: maximum, maxCLL: 1_000 } }),
    ])
  const key = tags.findLastIndex(isKeyFrame)
  const { timestamp } = tags[key]!
  const sent = tags.toSpliced(key, 0, { type: 9, timestamp, body: colour(400) })
  await using destination = await startDestination(saysNothing)
  const input = await inputWith(server, destination)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  await publisher.replay(sent)
  await publisher.goodbye()
  const connection = await destination.nextPublish()
  assert.equal((await connection.ends()).goodbye, true)
  gotAll(connection, sent)
  const got = received(connection)
  const changed = got.findIndex(({ body }) => body.equals(colour(400)))
  const next = got.slice(changed).find((tag) => isVideo(tag) && !isHeader(tag))
  assert.ok(next?.body.equals(tags[key]!.body), 'it stands before the frame that it is about')
}

async function specialData({ server }: Setting): Promise<void> {
  const clip = await makeClip({ seconds: 4, videoKbps: 600, gop: 30 })
  const media = interesting(await readFlv(clip)).filter((tag) => !isEnd(tag))
  // OBS 26 to 30 with a Twitch VOD track: each audio frame in AMF3 inside of AMF0.
  const track = Buffer.concat([
    encodeAmf('additionalMedia'),
    Buffer.from('0300026964020007', 'hex'),
    Buffer.from('stream0', 'latin1'),
    Buffer.from('00056d65646961110c0bafafafafaf000009', 'hex'),
  ])
  const expected = encodeAmf('@setDataFrame', 'onExpectAdditionalMedia', {
    processingIntents: ['ArchiveProgramNarrationAudio'],
  })
  const bodies = [
    expected,
    track,
    Buffer.from('subtitles in a form of their own'),
    Buffer.from([0x00, 0xff, 0x13, 0x37]),
    Buffer.from([0x02, 0xff, 0xff, 0x41]),
  ]
  const caption = encodeAmf('onTextData', { text: 'for everybody' })
  const special: FlvTag[] = []
  const ordinary: FlvTag[] = []
  const sent = media.flatMap((tag, index): FlvTag[] => {
    if (index < 60 || index % 3 !== 0) return [tag]
    const isForAll = index % 9 === 0
    const data = { type: 18, timestamp: tag.timestamp, body: isForAll ? caption : bodies[index % bodies.length]! }
    ;(isForAll ? ordinary : special).push(data)
    return [tag, data]
  })
  await using full = await startDestination(takesEverything)
  await using plain = await startDestination(saysNothing)
  const input = await inputWith(server, full, plain)
  await using publisher = await publish({ url: server.rtmpUrl, key: input.streamKey })
  const replay = publisher.replay(sent)
  const first = await plain.nextPublish()
  await first.receives(100)
  await using late = await startDestination(saysNothing)
  await server.addOutput(input.uid, { url: late.url(), streamKey: 'late' })
  assert.equal((await replay).completed, true)
  const output = (await server.outputs(input.uid)).find(({ uid }) => uid === input.outputs[1])
  assert.ok(output)
  assert.equal((output['health'] as { droppedMessages: number }).droppedMessages, 0, 'left out is not dropped')
  await publisher.goodbye()
  const connections = [await full.nextPublish(), first] as const
  for (const connection of connections) {
    assert.equal((await connection.ends()).goodbye, true)
    gotAll(connection, media)
  }
  const dataOf = (connection: DestinationConnection) => received(connection).filter(({ type }) => type === 18)
  assert.deepEqual(distinct(dataOf(connections[1])), distinct(ordinary), 'only what everybody understands')
  assert.equal(dataOf(connections[1]).length, ordinary.length)
  assert.equal(dataOf(connections[0]).length, ordinary.length + special.length)
  const joined = await late.nextPublish()
  await joined.ends()
  assert.ok(dataOf(joined).every(({ body }) => body.equals(caption)))
  for (const { connections: all } of [full, plain, late]) assert.equal(all.length, 1, 'nobody was connected anew')
}
