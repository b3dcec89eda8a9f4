import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg } from '../support/ffmpeg.ts'
import { assertUndisturbed, assertWhole, assertWholeToTheEnd, healthOf, startFeed } from '../support/live-feed.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { packetsOf, strictlyRising } from '../support/packets.ts'
import { freePort, waitFor } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'
import { type CreatedInput, startServer } from '../support/server.ts'

/** What was down comes back by itself: destinations, and the server. */

const timeout = 90_000
const small = { kbps: 1_500, fps: 30, gopMs: 1_000 }
/** Waits between two tries grow to 30 s at most; after the few seconds that something is down here they are mostly shorter than 8 s. */
const foundAgainMs = 40_000

describe('recovery', { concurrency: true }, () => {
  test('a destination that is down at first and comes up later receives the broadcast; one that dies comes back', {
    timeout,
  }, async () => {
    await using server = await startServer()
    await using steady = await startDestination({ recording: 'counts' })
    const latePort = await freePort()
    await using mortal = await startDestination({ recording: 'counts' })
    const input = await server.createInput()
    const undisturbed = await server.addOutput(input.uid, { url: steady.url(), streamKey: 'steady' })
    const late = await server.addOutput(input.uid, { url: `rtmp://127.0.0.1:${latePort}/app`, streamKey: 'late' })
    const dying = await server.addOutput(input.uid, { url: mortal.url(), streamKey: 'dying' })
    await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, small)
    const steadily = await steady.publishOf('steady')

    const down = await server.waitForOutput(input.uid, late.uid, {
      state: 'reconnecting',
      reason: 'connection_refused',
    })
    assert.match((healthOf(down).lastError as { message: string }).message, /127\.0\.0\.1|refused|listens/i)
    await using comesUp = await startDestination({ recording: 'counts', port: latePort })
    const before = await mortal.publishOf('dying')
    await server.waitForOutput(input.uid, dying.uid, { state: 'connected' })
    assertWhole(before)
    const { port } = mortal
    await mortal.stop()
    await server.waitForOutput(input.uid, dying.uid, { state: 'reconnecting' })

    await using comesBack = await startDestination({ recording: 'counts', port })
    const [reachedLate, reachedAgain] = await Promise.all([
      comesUp.publishOf('late', foundAgainMs),
      comesBack.publishOf('dying', foundAgainMs),
    ])
    for (const { uid } of [late, dying]) await server.waitForOutput(input.uid, uid, { state: 'connected' })
    const outputs = await server.outputs(input.uid)
    const reconnects = (uid: string) => healthOf(outputs.find((output) => output.uid === uid)!).reconnects
    assert.deepEqual([reconnects(late.uid), reconnects(dying.uid)], [0, 1])
    await assertUndisturbed(server, input.uid, [undisturbed.uid])
    await feed.stop()
    for (const connection of [steadily, reachedLate, reachedAgain]) {
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
      assertWholeToTheEnd(connection, feed)
    }
    assert.equal(comesUp.connections.length + comesBack.connections.length, 2, 'each needed one connection')
  })

  test('nginx-rtmp that is stopped and started again has the broadcast again, and both recordings decode', {
    ...needs('ffmpeg', 'nginx-rtmp'),
    timeout,
  }, async () => {
    const clip = await makeClip({ seconds: 6, gop: 30 })
    await using nginx = await startNginxRtmp()
    await using server = await startServer()
    const input = await server.createInput()
    const { uid } = await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'restarted' })
    await using encoder = await publishWithFfmpeg(clip, `${server.rtmpUrl}/${input.rtmps.streamKey}`, {
      loops: Number.POSITIVE_INFINITY,
    })
    await nginx.waitForPublisher('restarted')
    await server.waitForOutput(input.uid, uid, { state: 'connected' })
    await nginx.stop()
    await server.waitForOutput(input.uid, uid, { state: 'reconnecting' })
    await nginx.start()
    await nginx.waitForPublisher('restarted', foundAgainMs)
    await server.waitForOutput(input.uid, uid, { state: 'connected' })
    await encoder.stop()
    await nginx.waitForNoPublisher('restarted')
    const recordings = await nginx.recordings('restarted')
    assert.equal(recordings.length, 2)
    for (const recording of recordings) {
      await decodesCleanly(recording)
      const packets = await packetsOf(recording)
      assert.equal(Math.min(...packets.map(({ dts }) => dts)), 0)
      assert.equal(packets.find(({ kind }) => kind === 'video')!.key, true)
      for (const kind of ['video', 'audio'])
        strictlyRising(
          kind,
          packets.filter((packet) => packet.kind === kind),
        )
    }
  })

  test('the server is killed: running encoders come back to its next run, and everything goes on with no call', {
    timeout,
  }, async () => {
    await using server = await startServer()
    const inputs: { input: CreatedInput; keys: string[] }[] = []
    await using destination = await startDestination({ recording: 'counts' })
    for (const name of ['one', 'two']) {
      const input = await server.createInput()
      const keys = [`${name}-first`, `${name}-second`]
      for (const streamKey of keys) await server.addOutput(input.uid, { url: destination.url(), streamKey })
      const off = `${name}-disabled`
      await server.addOutput(input.uid, { url: destination.url(), streamKey: off, enabled: false })
      inputs.push({ input, keys })
    }
    await using encoders = new AsyncDisposableStack()
    const running = inputs.map(({ input }) =>
      encoders.use(new PersistentEncoder(server.rtmpUrl, input.rtmps.streamKey)),
    )
    const wanted = inputs.flatMap(({ keys }) => keys)
    const allOf = (session: number) =>
      waitFor(
        `all outputs in session ${session}`,
        () => {
          const now = destination.publishing.filter(({ ledger }) => ledger.sessions.includes(session))
          return now.length === wanted.length && now.every(({ counts }) => counts.video > 30) ? now : undefined
        },
        foundAgainMs,
      )
    const first = await allOf(1)
    for (const connection of first) assertWhole(connection)

    await server.kill('SIGKILL')
    await Promise.all(first.map((connection) => connection.ends()))
    // The encoders knock in vain for a while.
    await pause(1_500)
    await server.start()
    const second = await allOf(2)
    assert.deepEqual(second.map(({ key }) => key).toSorted(), wanted.toSorted())
    for (const connection of second) assertWhole(connection)
    assert.equal(
      destination.connections.length,
      2 * wanted.length,
      'one connection for each run, and none for the disabled',
    )
    for (const { input } of inputs) {
      const [one, two, off] = await server.outputs(input.uid)
      for (const { uid } of [one!, two!]) await server.waitForOutput(input.uid, uid, { state: 'connected' })
      await assertUndisturbed(server, input.uid, [one!.uid, two!.uid])
      assert.deepEqual([off!.enabled, (await server.outputs(input.uid)).length], [false, 3])
    }
    for (const encoder of running) assert.equal(encoder.sessions, 2)
  })
})

/** Connects again whenever its connection is closed, as OBS does: each time with a session number, and times, of its own. */
class PersistentEncoder implements AsyncDisposable {
  sessions = 0
  readonly #ending = new AbortController()
  readonly #running: Promise<void>

  constructor(url: string, key: string) {
    this.#running = this.#run(url, key)
  }

  async #run(url: string, key: string): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const feed = await startFeed(url, key, { ...small, session: this.sessions + 1 }).catch(() => undefined)
      if (feed) {
        this.sessions++
        const ended = new Promise((resolve) => this.#ending.signal.addEventListener('abort', resolve, { once: true }))
        await Promise.race([feed.publisher.closed, ended])
        await feed.vanish()
      } else await pause(300, undefined, { signal: this.#ending.signal }).catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await this.#running
  }
}
