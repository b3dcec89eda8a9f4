import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg, sentByFfmpeg } from '../support/ffmpeg.ts'
import type { FlvTag } from '../support/flv.ts'
import { assertUndisturbed, startFeed } from '../support/live-feed.ts'
import { type NginxRtmp, startNginxRtmp } from '../support/nginx-rtmp.ts'
import { type Packet, packetsOf, strictlyRising } from '../support/packets.ts'
import { type RunningProgram, temporaryFolder, waitFor, within } from '../support/processes.ts'
import { type Publisher, PublishRefused, publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { readStamp, type SyntheticOptions, syntheticTags } from '../support/synthetic-source.ts'

/**
 * Whatever the encoder does, a destination has one connection, on which time only rises and sound and picture stay together. Short in
 * `npm test`; BLIPS=long kills the encoders ten times.
 */
const isLong = process.env['BLIPS'] === 'long'
const kills = isLong ? 10 : 3
const lipSyncMsMax = 40

type Scene = {
  readonly server: ServerUnderTest
  readonly destination: Destination
  readonly folder: string
}

/** A live input with an output to the destination, whose key is the scenario's name, and to nginx-rtmp where there is one. */
class Stage {
  readonly name: string
  readonly server: ServerUnderTest
  readonly uid: string
  readonly streamKey: string
  readonly destination: Destination
  constructor(name: string, scene: Scene, input: { uid: string; rtmps: { streamKey: string } }) {
    this.name = name
    this.server = scene.server
    this.destination = scene.destination
    this.uid = input.uid
    this.streamKey = input.rtmps.streamKey
  }

  get publishUrl(): string {
    return `${this.server.rtmpUrl}/${this.streamKey}`
  }

  /** The one connection of this scenario. @throws AssertionError when there was another. */
  async connection(): Promise<DestinationConnection> {
    await this.destination.publishOf(this.name)
    const all = this.destination.connections.filter(({ key }) => key === this.name)
    assert.equal(all.length, 1, `${this.name} has one connection`)
    return all[0]!
  }

  feed(options: SyntheticOptions = {}) {
    return startFeed(this.server.rtmpUrl, this.streamKey, { ...small, ...options })
  }

  async waitFor(state: string, reason: string, deadlineMs = 10_000): Promise<void> {
    let seen: unknown
    await waitFor(
      `input ${this.name} to be ${state} ${reason}`,
      async () => {
        const { current } = (await this.server.input(this.uid))['status'] as unknown as WireStatus
        seen = `${current.state} ${current.reason}`
        return current.state === state && current.reason === reason
      },
      deadlineMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${seen}`)
    })
  }

  held = () => this.waitFor('disconnected', 'reconnecting')
  back = () => this.waitFor('connected', 'reconnected')
  over = () => this.waitFor('disconnected', 'client_disconnect')

  async outputsAre(state: string): Promise<void> {
    for (const output of await this.server.outputs(this.uid)) {
      const { current } = output['status'] as unknown as WireStatus
      assert.equal(current.state, state, `an output of ${this.name} is ${current.state} ${current.reason}`)
    }
  }

  async outputsBecome(state: string): Promise<void> {
    for (const { uid } of await this.server.outputs(this.uid)) await this.server.waitForOutput(this.uid, uid, { state })
  }
}

async function stage(
  scene: Scene,
  name: string,
  options: Record<string, unknown> = {},
  nginx?: NginxRtmp,
): Promise<Stage> {
  const input = await scene.server.createInput(options)
  await scene.server.addOutput(input.uid, { url: scene.destination.url(), streamKey: name })
  if (nginx) await scene.server.addOutput(input.uid, { url: nginx.url(), streamKey: name })
  return new Stage(name, scene, input)
}

test('the encoder blips', { concurrency: true, timeout: 300_000, ...needs('ffmpeg', 'nginx-rtmp') }, async (t) => {
  await using server = await startServer()
  await using destination = await startDestination({ recording: 'bodies' })
  await using nginx = await startNginxRtmp()
  await using folder = await temporaryFolder('blips')
  const scene = { server, destination, folder: folder.path }
  const scenario = (name: string, run: (scene: Scene, t: TestContext) => Promise<void>) =>
    t.test(name, (subtest) => run(scene, subtest))
  await Promise.all([
    scenario(`ffmpeg is killed ${kills} times and starts again`, (at) => killed(at, nginx, 'killed', {})),
    scenario(`ffmpeg is killed ${kills} times and starts each time with another timestamp`, (at) =>
      killed(at, nginx, 'other-start', { offsetSeconds: [0, 7_000, 12.345, 90_000] }),
    ),
    scenario('a second ffmpeg takes over while the first is connected', (at) => takenOver(at, nginx)),
    scenario('the last picture is held while ffmpeg is gone', (at) => pictureHeld(at, nginx)),
    scenario('who is taken over is told; a third takeover within a minute is refused, and shown', fight),
    scenario('an encoder says goodbye while the next one waits for its key frame', handOver),
    scenario('reconnectWindowSeconds: 0 ends it at once', windowOfNothing),
    scenario('reconnectWindowSeconds: 2 ends it after two seconds', windowOfTwo),
    scenario('reconnectWindowOnStopSeconds: 2 holds after a goodbye, too', windowOnStop),
    scenario('a goodbye ends it at once', goodbyeEnds),
    scenario('an encoder that is frozen is held, and comes back', frozen),
    scenario('an encoder that is frozen, with its picture held, comes back at a key frame', frozenWithPicture),
    scenario('a frozen encoder that does not come back is cut', frozenForGood),
    scenario('what ends a track is kept back until the broadcast ends', endings),
    ...troubles.map((trouble) => scenario(`timestamps: ${trouble.name}`, (at) => troubled(at, trouble))),
  ])
})

// --- Real encoders ---------------------------------------------------------------------------------------------------

const clipOf = () => makeClip({ seconds: 14, videoKbps: 500, gop: 30, sound: 'noise' })

async function killed(
  scene: Scene,
  nginx: NginxRtmp,
  name: string,
  { offsetSeconds = [0] }: { offsetSeconds?: readonly number[] },
): Promise<void> {
  const clip = await clipOf()
  const at = await stage(scene, name, {}, nginx)
  const encode = (run: number) => {
    const offset = offsetSeconds[run % offsetSeconds.length]!
    return publishWithFfmpeg(clip, at.publishUrl, { outputArgs: ['-output_ts_offset', `${offset}`] })
  }
  let encoder = await encode(0)
  const connection = await at.connection()
  await at.outputsBecome('connected')
  for (let run = 1; run <= kills; run++) {
    await encoder.kill()
    await at.held()
    await at.outputsAre('connected')
    encoder = await encode(run)
    await at.back()
    // Each time it is killed at another place of its group of pictures.
    await connection.receives(35 + ((run * 17) % 30), 'video')
    await at.outputsAre('connected')
  }
  await assertUndisturbed(scene.server, at.uid)
  await stops(encoder)
  await recordedWell(scene, nginx, at, { clip, runs: kills + 1 })
}

async function takenOver(scene: Scene, nginx: NginxRtmp): Promise<void> {
  const clip = await clipOf()
  const at = await stage(scene, 'taken-over', {}, nginx)
  const encoders = [await publishWithFfmpeg(clip, at.publishUrl)]
  const connection = await at.connection()
  await at.outputsBecome('connected')
  for (const offset of [5_000, 1]) {
    encoders.push(await publishWithFfmpeg(clip, at.publishUrl, { outputArgs: ['-output_ts_offset', `${offset}`] }))
    const exit = await within('the first encoder to be cut', encoders.at(-2)!.exited, 10_000)
    assert.notEqual(exit.code, 0)
    await connection.receives(50, 'video')
    await at.outputsAre('connected')
    await at.waitFor('connected', 'connected')
  }
  await assertUndisturbed(scene.server, at.uid)
  await stops(encoders.at(-1)!)
  await recordedWell(scene, nginx, at, { clip, runs: 3 })
}

async function pictureHeld(scene: Scene, nginx: NginxRtmp): Promise<void> {
  const clip = await clipOf()
  const at = await stage(scene, 'picture-held', { holdPicture: true }, nginx)
  let encoder = await publishWithFfmpeg(clip, at.publishUrl)
  const connection = await at.connection()
  await at.outputsBecome('connected')
  for (let run = 1; run <= (isLong ? 3 : 1); run++) {
    await connection.receives(20 * run, 'video')
    await encoder.kill()
    await at.held()
    const [from, began] = [connection.messages.length, performance.now()]
    await connection.receives(3, 'video')
    await at.outputsAre('connected')
    const wallMs = performance.now() - began
    assert.ok(wallMs > 1_900 && wallMs < 6_000, `three pictures in ${Math.round(wallMs)} ms`)
    isHeldPicture(connection, from)
    encoder = await publishWithFfmpeg(clip, at.publishUrl, { outputArgs: ['-output_ts_offset', `${run * 777}`] })
    await at.back()
    await connection.receives(45, 'video')
  }
  await assertUndisturbed(scene.server, at.uid)
  await stops(encoder)
  await recordedWell(scene, nginx, at, { clip, runs: isLong ? 4 : 2 })
}

/** From a message on: the key frame that was last sent, once a second, and silence at the pace of the sound. */
function isHeldPicture({ messages }: DestinationConnection, from: number): void {
  const isKey = ({ type, body }: { type: number; body?: Buffer }) => type === 9 && body![0] === 0x17 && body![1] === 1
  const last = messages.slice(0, from).findLast(isKey)!
  // What was under way when it was killed may come first.
  const start = messages.findIndex((message, index) => index >= from && message.hash === last.hash)
  const held = messages.slice(start, messages.findLastIndex((message) => message.hash === last.hash) + 1)
  const pictures = held.filter(({ type }) => type === 9)
  assert.ok(pictures.length >= 3 && pictures.every(({ hash }) => hash === last.hash), 'one picture, again and again')
  const apart = pictures.slice(1).map(({ timestamp }, index) => timestamp - pictures[index]!.timestamp)
  assert.deepEqual([...new Set(apart)], [1_000])
  const sounds = held.filter(({ type }) => type === 8)
  assert.equal(new Set(sounds.map(({ hash }) => hash)).size, 1, 'one silence')
  const pace = (sounds.at(-1)!.timestamp - sounds[0]!.timestamp) / (sounds.length - 1)
  assert.ok(Math.abs(pace - 1_024 / 48) < 0.2, `silence every ${pace} ms`)
}

/** Ends an encoder properly: FFmpeg says goodbye at SIGTERM. */
async function stops(encoder: RunningProgram): Promise<void> {
  await encoder.stop()
}

/** One connection, one recording; every run of the clip in it, whole, with its sound at its picture; and all of it decodes. */
async function recordedWell(
  scene: Scene,
  nginx: NginxRtmp,
  at: Stage,
  expected: { readonly clip: string; readonly runs: number },
): Promise<void> {
  const connection = await at.connection()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.deepEqual(connection.violations, [])
  await nginx.waitForNoPublisher(at.name)
  const recordings = await nginx.recordings(at.name)
  assert.equal(recordings.length, 1, 'one recording')
  const fake = join(scene.folder, `${at.name}.flv`)
  await connection.writeFlv(fake)
  const sent = await packetsOf(await sentByFfmpeg(expected.clip))
  for (const file of [recordings[0]!, fake]) {
    const packets = await packetsOf(file)
    const [video, audio] = (['video', 'audio'] as const).map((kind) => runsOf(kind, sent, packets))
    assert.equal(video!.length, expected.runs, 'runs of picture')
    assert.equal(audio!.length, expected.runs, 'runs of sound')
    for (const [index, { offsetMs }] of video!.entries()) {
      const apart = Math.abs(audio![index]!.offsetMs - offsetMs)
      assert.ok(apart <= lipSyncMsMax, `in run ${index} sound and picture are ${apart} ms apart`)
    }
    await decodesCleanly(file)
  }
}

type Run = { next: number; count: number; readonly offsetMs: number }

/** The stretches of the clip, told from each packet's bytes. Within one nothing is missing and the distances are the clip's. */
function runsOf(kind: Packet['kind'], sent: readonly Packet[], received: readonly Packet[]): Run[] {
  const source = sent.filter((packet) => packet.kind === kind)
  const packets = received.filter((packet) => packet.kind === kind)
  strictlyRising(kind, packets)
  const places = new Map(source.map(({ md5 }, index) => [md5, index]))
  const runs: Run[] = []
  for (const { md5, dts } of packets) {
    const place = places.get(md5)
    // Silence while the picture is held.
    if (place === undefined) continue
    const offsetMs = dts - source[place]!.dts
    const run = runs.at(-1)
    if (run?.next !== place) runs.push({ next: place + 1, count: 1, offsetMs })
    else {
      assert.ok(Math.abs(run.offsetMs - offsetMs) <= 1, `${kind} at ${dts} ms is off by ${offsetMs - run.offsetMs} ms`)
      run.next++
      run.count++
    }
  }
  // A picture that is held is a run of one.
  return runs.filter(({ count }) => count > 1)
}

// --- Encoders made for the test --------------------------------------------------------------------------------------

const fps = 30
const small = { kbps: 500, fps, gopMs: 1_000 } as const

type Stamped = {
  readonly track: 'video' | 'audio'
  readonly session: number
  readonly sourceMs: number
  readonly timeMs: number
}

function stampsOf(connection: DestinationConnection): Stamped[] {
  return connection.messages.flatMap(({ type, timestamp, length, body }) => {
    const stamp = readStamp({ type, length, body: body! })
    if (!stamp) return []
    const { track, session, sequence } = stamp
    const sourceMs = track === 'video' ? (sequence * 1_000) / fps : (sequence * 1_024) / 48
    return [{ track, session, sourceMs, timeMs: timestamp }]
  })
}

/**
 * Between two publishers: the first one's last picture in decoding order may be shown three frames later, for one frame; the next one's
 * first picture comes after it, one frame after its decoding; and a sound is under way on either side.
 */
const holeMsMax = Math.ceil((3 * 1_000) / fps + (2 * 1_024) / 48) + 5

/** Nothing is missing, time rises on each track, there is no hole in it, and sound is where its picture is. */
function assertSmooth(connection: DestinationConnection, sessions: readonly number[] = [0]): void {
  const { violations, ledger } = connection
  assert.deepEqual(
    { violations, gaps: ledger.gaps, broken: ledger.brokenGroups, sessions: ledger.sessions },
    { violations: [], gaps: [], broken: [], sessions },
  )
  const last = new Map<string, number>()
  const offset = new Map<string, number>()
  for (const { track, session, sourceMs, timeMs } of stampsOf(connection)) {
    const before = last.get(track)
    if (before !== undefined) {
      assert.ok(timeMs > before, `${track} at ${timeMs} ms after ${before} ms`)
      assert.ok(timeMs - before <= holeMsMax, `${track}: a hole from ${before} ms to ${timeMs} ms`)
    }
    last.set(track, timeMs)
    offset.set(`${track} ${session}`, timeMs - sourceMs)
    const other = offset.get(`${track === 'video' ? 'audio' : 'video'} ${session}`)
    const apart = other === undefined ? 0 : Math.abs(timeMs - sourceMs - other)
    assert.ok(apart <= lipSyncMsMax, `at ${timeMs} ms sound and picture are ${apart} ms apart`)
  }
}

async function fight(scene: Scene): Promise<void> {
  const at = await stage(scene, 'fight')
  await using first = await at.feed({ session: 1 })
  const connection = await at.connection()
  await connection.receives(20, 'video')
  await using second = await at.feed({ session: 2 })
  assert.equal((await first.publisher.waitForStatus('NetStream.Publish.BadName')).level, 'error')
  await within('the first one to be cut', first.publisher.closed, 5_000)
  await connection.receives(20, 'video')
  await using again = await at.feed({ session: 3 })
  await second.publisher.waitForStatus('NetStream.Publish.BadName')
  await connection.receives(20, 'video')

  const refused = await at.feed({ session: 4 }).catch((error: unknown) => error)
  assert.ok(refused instanceof PublishRefused, `${refused}`)
  assert.equal(refused.status?.code, 'NetStream.Publish.BadName')
  await within('the refused one to be cut', refused.publisher.closed, 5_000)
  refused.publisher.vanish()
  await connection.receives(20, 'video')
  await waitFor('the warning', async () => {
    const { warnings } = (await scene.server.input(at.uid))['health'] as unknown as {
      warnings: { code: string; message: string }[]
    }
    return warnings.some(({ code, message }) => code === 'encoders_fight' && /Stop one/.test(message))
  })
  await again.stop()
  assert.equal((await connection.ends()).goodbye, true)
  assertSmooth(connection, [1, 2, 3])
}

async function handOver(scene: Scene): Promise<void> {
  const at = await stage(scene, 'hand-over')
  await using first = await at.feed({ session: 1 })
  const connection = await at.connection()
  await connection.receives(20, 'video')
  // A key frame every two seconds, and its first ones are over: there is none for a while.
  const late = syntheticTags({ ...small, gopMs: 2_000, session: 2 })
  const tags = (function* (): Generator<FlvTag> {
    for (const tag of late) if (tag.timestamp === 0 || tag.timestamp > 500) if (!isFirstKey(tag)) yield tag
  })()
  await using publisher = await publish({ url: scene.server.rtmpUrl, key: at.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(tags, { signal: stop.signal })
  await waitFor('media of the second one', () => publisher.lastTimestamp > 700)
  await first.stop()
  await waitFor('the second one to be let in', () => connection.ledger.sessions.includes(2))
  await connection.receives(20, 'video')
  stop.abort()
  await replay
  await publisher.goodbye()
  assert.equal((await connection.ends()).goodbye, true)
  assertSmooth(connection, [1, 2])
}
const isFirstKey = ({ type, timestamp, body }: FlvTag) => type === 9 && timestamp === 0 && body[1] === 1

async function windowOfNothing(scene: Scene): Promise<void> {
  const at = await stage(scene, 'window-0', { reconnectWindowSeconds: 0 })
  await using encoder = await at.feed()
  const connection = await at.connection()
  await connection.receives(30)
  const began = performance.now()
  await encoder.vanish()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.ok(performance.now() - began < 1_500)
  await at.over()
}

async function windowOfTwo(scene: Scene): Promise<void> {
  const at = await stage(scene, 'window-2', { reconnectWindowSeconds: 2 })
  await using encoder = await at.feed()
  const connection = await at.connection()
  await connection.receives(30)
  await encoder.vanish()
  const began = performance.now()
  await at.held()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  const afterMs = performance.now() - began
  assert.ok(afterMs > 1_500 && afterMs < 4_000, `ended after ${Math.round(afterMs)} ms`)
  await at.over()
}

async function windowOnStop(scene: Scene): Promise<void> {
  const at = await stage(scene, 'window-on-stop', { reconnectWindowOnStopSeconds: 2 })
  const first = await at.feed({ session: 1 })
  const connection = await at.connection()
  await connection.receives(30, 'video')
  // As OBS: the end of the picture, at 0, and goodbye.
  first.publisher.send(9, 0, endOfSequence)
  await first.stop()
  await at.held()
  const second = await at.feed({ session: 2 })
  await at.back()
  await connection.receives(30, 'video')
  second.publisher.send(9, 0, endOfSequence)
  await second.stop()
  const began = performance.now()
  await at.held()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.ok(performance.now() - began > 1_500)
  await at.over()
  assertSmooth(connection, [1, 2])
  endsOnce(connection)
}

async function goodbyeEnds(scene: Scene): Promise<void> {
  const at = await stage(scene, 'goodbye')
  await using encoder = await at.feed()
  const connection = await at.connection()
  await connection.receives(30)
  await encoder.stop()
  const began = performance.now()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.ok(performance.now() - began < 1_500)
  await at.over()
}

async function frozen(scene: Scene): Promise<void> {
  const at = await stage(scene, 'frozen')
  await using encoder = await at.feed()
  const connection = await at.connection()
  await at.outputsBecome('connected')
  encoder.publisher.freeze()
  await at.held()
  await at.outputsAre('connected')
  const before = connection.counts.video
  encoder.publisher.thaw()
  await at.back()
  await waitFor('what comes after', () => connection.counts.video > before + 30)
  await assertUndisturbed(scene.server, at.uid)
  await encoder.stop()
  assert.equal((await connection.ends()).goodbye, true)
  assertSmooth(connection)
}

async function frozenWithPicture(scene: Scene): Promise<void> {
  const at = await stage(scene, 'frozen-picture', { holdPicture: true })
  await using encoder = await at.feed()
  const connection = await at.connection()
  await connection.receives(30, 'video')
  encoder.publisher.freeze()
  await at.held()
  await connection.receives(2, 'video')
  encoder.publisher.thaw()
  await at.back()
  await connection.receives(40, 'video')
  await encoder.stop()
  assert.equal((await connection.ends()).goodbye, true)
  assert.deepEqual(connection.violations, [])
  // What is repeated is no reference for the frames that follow: they begin at a key frame.
  const { gaps, brokenGroups } = connection.ledger
  assert.deepEqual(brokenGroups, [])
  assert.ok(gaps.filter(({ track }) => track === 'video').length >= 2)
  const times = (type: number) => connection.messages.filter((message) => message.type === type)
  for (const type of [8, 9]) {
    const media = times(type).slice(1)
    for (const [index, { timestamp }] of media.entries())
      if (index > 1) assert.ok(timestamp > media[index - 1]!.timestamp, `type ${type} at ${timestamp} ms`)
  }
}

async function frozenForGood(scene: Scene): Promise<void> {
  const at = await stage(scene, 'frozen-for-good', { reconnectWindowSeconds: 1 })
  await using encoder = await at.feed()
  const connection = await at.connection()
  await connection.receives(30)
  encoder.publisher.freeze()
  assert.deepEqual(await connection.ends(15_000), { how: 'fin', goodbye: true })
  await at.over()
  await within('the encoder to be cut', encoder.publisher.closed, 5_000)
}

const endOfSequence = Buffer.from('1702000000', 'hex')

async function endings(scene: Scene): Promise<void> {
  const at = await stage(scene, 'endings')
  await using first = await at.feed({ session: 1 })
  const connection = await at.connection()
  await connection.receives(30, 'video')
  first.publisher.send(9, first.publisher.lastTimestamp, endOfSequence)
  await connection.receives(30, 'video')
  first.publisher.send(9, 0, endOfSequence)
  await first.vanish()
  await at.held()
  await using second = await at.feed({ session: 2 })
  await connection.receives(30, 'video')
  second.publisher.send(9, 0, endOfSequence)
  await second.stop()
  assert.equal((await connection.ends()).goodbye, true)
  assertSmooth(connection, [1, 2])
  endsOnce(connection)
}

/** The end of the picture comes once, and last. */
function endsOnce({ messages }: DestinationConnection): void {
  const places = messages.flatMap(({ body }, index) => (body!.equals(endOfSequence) ? [index] : []))
  assert.deepEqual(places, [messages.length - 1])
  assert.ok(messages.at(-1)!.timestamp > 1_000)
}

// --- Timestamp trouble -----------------------------------------------------------------------------------------------

type Trouble = {
  readonly name: string
  /** The timestamp that is sent, told from the true one (milliseconds from 0). */
  readonly clock: (timeMs: number, track: 'video' | 'audio') => number
  /** The trouble is at troubleMs. Further messages there. */
  readonly meanwhile?: (publisher: Publisher) => void
}
/** By then the output has its connection, even on a busy machine. */
const troubleMs = 4_000
const endMs = 6_000
const after = (timeMs: number) => timeMs >= troubleMs

const troubles: readonly Trouble[] = [
  { name: 'a backward jump of ten seconds', clock: (time) => 20_000 + time - (after(time) ? 10_000 : 0) },
  { name: 'a backward jump of half a second', clock: (time) => 20_000 + time - (after(time) ? 500 : 0) },
  { name: 'a restart from 0', clock: (time) => (after(time) ? time - troubleMs : 1_234_567 + time) },
  { name: 'a gap of a minute', clock: (time) => time + (after(time) ? 60_000 : 0) },
  { name: 'a wrap at 2^31', clock: (time) => (2 ** 31 - troubleMs + time) % 2 ** 31 },
  { name: 'a wrap at 2^32', clock: (time) => (2 ** 32 - troubleMs + time) % 2 ** 32 },
  { name: 'past 0xFFFFFF', clock: (time) => 0xffffff - troubleMs + time },
  {
    name: 'the sound alone jumps ahead',
    clock: (time, track) => time + (track === 'audio' && after(time) ? 40_000 : 0),
  },
  {
    name: 'the sound alone goes back',
    clock: (time, track) => 50_000 + time - (track === 'audio' && after(time) ? 700 : 0),
  },
  {
    name: 'the picture alone jumps ahead',
    clock: (time, track) => time + (track === 'video' && after(time) ? 3_600_000 : 0),
  },
  {
    name: 'the picture alone restarts from 0',
    clock: (time, track) => (track === 'video' && after(time) ? time - troubleMs : 100_000 + time),
  },
  {
    name: 'the end of the picture at 0, in the middle',
    clock: (time) => 5_000 + time,
    meanwhile: (publisher) => publisher.send(9, 0, endOfSequence),
  },
]

async function troubled(scene: Scene, { name, clock, meanwhile }: Trouble): Promise<void> {
  const at = await stage(scene, name.replaceAll(/[^a-z0-9]+/g, '-'))
  await using publisher = await publish({ url: scene.server.rtmpUrl, key: at.streamKey })
  const began = performance.now()
  let told = false
  for (const { type, timestamp, body } of syntheticTags(small)) {
    if (timestamp > endMs) break
    const wait = began + timestamp - performance.now()
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait))
    if (after(timestamp) && !told) {
      told = true
      meanwhile?.(publisher)
    }
    publisher.send(type, clock(timestamp, type === 8 ? 'audio' : 'video'), body)
  }
  const connection = await at.connection()
  await publisher.goodbye()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assertSmooth(connection)
  assert.deepEqual([connection.firstTimestamp.video, connection.firstTimestamp.audio], [0, 0])
  const startMs = stampsOf(connection).find(({ track }) => track === 'video')!.sourceMs
  assert.ok(startMs < troubleMs, 'the trouble came after the connection')
  const { video = 0, audio = 0 } = connection.lastTimestamp
  for (const last of [video, audio]) assert.ok(Math.abs(startMs + last - endMs) < 120, `it ends at ${last} ms`)
}
