import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg, sentByFfmpeg } from '../support/ffmpeg.ts'
import { assertUndisturbed } from '../support/live-feed.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { comparePackets, packetsOf, strictlyRising } from '../support/packets.ts'
import { type RunningProgram, temporaryFolder, waitFor } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'
import { startServer, type WireStatus } from '../support/server.ts'

/**
 * 49 of 50 destinations stop reading, all at once, as real programs do: nginx-rtmp stands still (SIGSTOP), its kernel goes on accepting.
 * Twenty seconds in `npm test`; STALLED=long makes it the sixty of the promise.
 */
const stallMs = process.env['STALLED'] === 'long' ? 60_000 : 20_000
const feedKbps = 12_000
const recordedOutputs = 3
const stalledOutputs = 49

const mebibyte = 2 ** 20
/**
 * What the server may take beyond what it takes before there is a broadcast:
 *
 *   BUFFER_MB                                    the log of the one input (BUFFER_MS may make it smaller, nothing larger)
 *   16 MiB                                       slabs that were given back and wait to be used again
 *   50 outputs × (64 KiB + 512 KiB + 64 KiB)     one write under way; the slabs of one message that is half sent; socket and session
 *   64 MiB                                       what the collector has not come to
 *
 * A queue for each output would hold 49 × 12 Mbit/s × 20 s = 1,400 MiB.
 */
const bufferMb = 32
const growthMax = bufferMb * mebibyte + 16 * mebibyte + 50 * 640 * 1024 + 64 * mebibyte

test('49 of 50 destinations stop reading: memory stays bounded, the 50th has no gap, and they come back cleanly', {
  ...needs('ffmpeg', 'nginx-rtmp'),
  timeout: stallMs + 180_000,
}, async (t) => {
  // Small pictures, held at the bitrate with filler: it is the bytes that count here.
  const clip = await makeClip({ seconds: 6, size: '640x360', rate: 30, videoKbps: feedKbps - 130 })
  await using folder = await temporaryFolder('stalled')
  await using many = await startNginxRtmp({ record: false })
  await using recorded = await startNginxRtmp()
  await using healthy = await startDestination({ recording: 'bodies' })
  await using server = await startServer({ settings: { BUFFER_MB: `${bufferMb}` } })
  const input = await server.createInput()
  const stalled: string[] = []
  for (let index = 0; index < stalledOutputs; index++) {
    const nginx = index < recordedOutputs ? recorded : many
    stalled.push((await server.addOutput(input.uid, { url: nginx.url(), streamKey: `stalled-${index}` })).uid)
  }
  const fiftieth = await server.addOutput(input.uid, { url: healthy.url(), streamKey: 'fiftieth' })
  await using memory = new MemoryWatch(server.program)
  const residentBefore = await memory.now()

  await using encoder = await publishWithFfmpeg(clip, `${server.rtmpUrl}/${input.rtmps.streamKey}`, {
    loops: Number.POSITIVE_INFINITY,
  })
  const connection = await healthy.publishOf('fiftieth')
  const states = async () => {
    const outputs = await server.outputs(input.uid)
    return stalled.map((uid) => (outputs.find((each) => each.uid === uid)!['status'] as WireStatus | null)?.current)
  }
  const allConnected = () =>
    waitFor(
      'all outputs to be connected',
      async () => (await states()).every((current) => current?.state === 'connected'),
      60_000,
    )
  await allConnected()
  const residentAtEase = await memory.now()

  many.pause()
  recorded.pause()
  memory.begin()
  await pause(stallMs)
  const whileStalled = await states()
  const peakWhileStalled = memory.peakBytes
  recorded.resume()
  many.resume()
  const resumedAt = performance.now()
  await allConnected()
  const backMs = performance.now() - resumedAt
  const residentPeak = memory.peakBytes

  await t.test('meanwhile they were not called connected', () => {
    for (const current of whileStalled) {
      assert.notEqual(current?.state, 'connected')
      assert(['no_progress', 'connect_timeout'].includes(current?.reason ?? '') || current?.state === 'connecting')
    }
  })

  await t.test('memory stayed within the bound', (t) => {
    const told = (bytes: number) => `${Math.round(bytes / mebibyte)} MiB`
    t.diagnostic(
      `before ${told(residentBefore)}, at ease ${told(residentAtEase)}, stalled at most ${told(peakWhileStalled)}, at most ${told(residentPeak)}; allowed ${told(residentBefore + growthMax)}; all back after ${(backMs / 1_000).toFixed(1)} s`,
    )
    assert(residentPeak <= residentBefore + growthMax, `${told(residentPeak)} is too much`)
  })

  await assertUndisturbed(server, input.uid, [fiftieth.uid])
  await encoder.stop()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })

  await t.test('the 50th has every packet', async () => {
    assert.deepEqual(connection.violations, [])
    assert.equal(healthy.connections.length, 1)
    const file = join(folder.path, 'fiftieth.flv')
    await connection.writeFlv(file)
    const sent = await packetsOf(await sentByFfmpeg(clip))
    const { video } = comparePackets(sent, await packetsOf(file), { looped: true, audioToleranceMs: 1 })
    assert(video > (30 * stallMs) / 1_000, `only ${video} pictures`)
  })

  await t.test('the others go on at a key frame, and all that they recorded decodes', async () => {
    const known = new Set((await packetsOf(clip)).map(({ md5 }) => md5))
    for (let index = 0; index < recordedOutputs; index++) {
      const key = `stalled-${index}`
      await recorded.waitForNoPublisher(key)
      const recordings = await recorded.recordings(key)
      assert(recordings.length >= 2, `${key} was published ${recordings.length} times`)
      for (const recording of recordings) {
        await decodesCleanly(recording)
        const packets = await packetsOf(recording)
        const video = packets.filter(({ kind }) => kind === 'video')
        assert.equal(video[0]!.key, true, `${key} begins with a key frame`)
        strictlyRising('video', video)
        strictlyRising(
          'audio',
          packets.filter(({ kind }) => kind === 'audio'),
        )
        for (const { md5, dts } of packets) assert(known.has(md5), `the packet at ${dts} ms is none that was sent`)
      }
      const last = await packetsOf(recordings.at(-1)!)
      assert(last.length > 100, `${key} received only ${last.length} packets after it was back`)
    }
  })
})

/** The resident memory of a process, looked at ten times a second. */
class MemoryWatch implements AsyncDisposable {
  peakBytes = 0
  readonly #program: RunningProgram
  readonly #ending = new AbortController()
  #running: Promise<void> | undefined

  constructor(program: RunningProgram) {
    this.#program = program
  }

  now(): Promise<number> {
    return this.#program.residentBytes()
  }

  begin(): void {
    this.#running = this.#run()
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.peakBytes = Math.max(this.peakBytes, await this.now())
      await pause(100, undefined, { signal: this.#ending.signal }).catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await this.#running
  }
}
