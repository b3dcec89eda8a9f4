import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { historyLengthMax } from '../../src/model/lifecycle.ts'
import { startDestination } from '../support/destination.ts'
import { freePort, waitFor } from '../support/processes.ts'
import { type Publisher, publish } from '../support/publisher.ts'
import {
  type Answer,
  type CreatedInput,
  type CreatedOutput,
  type Json,
  type ServerUnderTest,
  startServer,
} from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/**
 * What the API says of a live input and its outputs before, during and after a broadcast, and why an output is not live. Most of it is
 * waiting, so some of these tests go on together, each with an input of its own.
 */

const timeout = 60_000
const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

let server: ServerUnderTest
before(async () => {
  server = await startServer()
})
after(() => server[Symbol.asyncDispose]())

type Moment = Readonly<Record<'state' | 'reason' | 'ingestProtocol' | 'statusEnteredAt', string>>
type Status = {
  readonly current: Moment & {
    readonly statusLastSeen: string
    readonly step?: string
    readonly nextAttemptAt?: string
  }
  readonly history: readonly Moment[]
}
type OutputHealth = Readonly<
  Record<
    | 'bitrateKbps'
    | 'bytesSent'
    | 'messagesSent'
    | 'droppedMessages'
    | 'droppedMs'
    | 'lagMs'
    | 'attempts'
    | 'reconnects',
    number
  >
> & {
  readonly connectedAt?: string
  readonly lastError?: { readonly code: string; readonly message: string; readonly at: string }
}
type InputHealth = {
  readonly bitrateKbps: number
  readonly bytesReceived: number
  readonly connectedAt: string
  readonly uploadRatio: number
  readonly video: { readonly codec: string; readonly frameRate: number; readonly keyframeIntervalMs: number }
  readonly audio: { readonly codec: string }
  readonly warnings: readonly unknown[]
}

const statusOf = (thing: Json) => thing['status'] as unknown as Status | null
const healthOf = (thing: Json) => thing['health'] as unknown as OutputHealth | undefined
const words = (moment: Moment | undefined) => moment && `${moment.state}/${moment.reason}`

async function outputOf(input: CreatedInput, output: CreatedOutput, on = server): Promise<CreatedOutput> {
  return (await on.outputs(input.uid)).find(({ uid }) => uid === output.uid)!
}

/** Waits until the input says so; a state is told once a second. */
async function waitForInput(input: CreatedInput, wanted: string, on = server): Promise<CreatedInput> {
  let seen = ''
  return waitFor(
    `the input to be ${wanted}`,
    async () => {
      const now = await on.input(input.uid)
      seen = words(statusOf(now)?.current) ?? 'null'
      return seen === wanted && now
    },
    10_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; it is ${seen}`)
  })
}

/** A publisher that sends until it is told to stop. */
async function feed(input: CreatedInput, on = server): Promise<AsyncDisposable & { publisher: Publisher }> {
  const publisher = await publish({ url: on.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const sending = publisher.replay(syntheticTags({ kbps: 2_000, fps: 30, gopMs: 1_000 }), { signal: stop.signal })
  return {
    publisher,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await sending
      await publisher[Symbol.asyncDispose]()
    },
  }
}

describe('the API while live', { concurrency: 3 }, () => {
  test('an input and its output through a whole broadcast', { timeout }, async () => {
    await using destination = await startDestination()
    const input = await server.createInput()
    const output = await server.addOutput(input.uid, { url: destination.url(), streamKey: 'whole' })
    assert.equal(input['status'], null)
    assert.equal(output['status'], null)
    assert.equal('health' in input || 'health' in output, false)

    const began = Date.now()
    const live = await feed(input)
    // Each state of the output in the order in which it is told, until it is connected.
    const seen: string[] = []
    const connected = await waitFor(
      'the output to be connected',
      async () => {
        const now = await outputOf(input, output)
        const current = statusOf(now)?.current
        if (current && seen.at(-1) !== current.state) seen.push(current.state)
        return current?.state === 'connected' && now
      },
      15_000,
    )
    assert.deepEqual(seen, ['connecting', 'connected'])
    const { current, history } = statusOf(connected)!
    assert.deepEqual([current.reason, current.ingestProtocol], ['connected', 'rtmp'])
    assert.match(current.statusEnteredAt, iso)
    assert.match(current.statusLastSeen, iso)
    // 5 s of media after the destination's yes; told at most one second later, and the clocks of both run apart from ours.
    const provenMs = Date.parse(current.statusEnteredAt) - began
    assert.ok(provenMs >= 5_000 && provenMs < 9_000, `connected after ${provenMs} ms`)
    assert.deepEqual(
      history.map(({ state, reason }) => [state, reason]),
      [['connecting', 'proving']],
    )
    assert.ok(!('statusLastSeen' in history[0]!))
    assert.ok(Date.parse(history[0]!.statusEnteredAt) >= began - 1)

    // Told last of all figures: the pace of a feed shows only after some seconds.
    const now = await waitFor('the upload ratio', async () => {
      const read = await server.input(input.uid)
      return (read['health'] as unknown as Partial<InputHealth> | undefined)?.uploadRatio !== undefined && read
    })
    assert.equal(words(statusOf(now)?.current), 'connected/connected')
    assert.deepEqual(statusOf(now)?.history, [])
    const inputHealth = now['health'] as unknown as InputHealth
    assert.ok(Math.abs(inputHealth.bitrateKbps - 2_000) < 500, `${inputHealth.bitrateKbps} kbit/s`)
    assert.ok(inputHealth.bytesReceived > 800_000)
    assert.ok(Math.abs(inputHealth.uploadRatio - 1) < 0.2, `upload ratio ${inputHealth.uploadRatio}`)
    assert.ok(Math.abs(inputHealth.video.frameRate - 30) < 4, `${inputHealth.video.frameRate} frames/s`)
    assert.equal(inputHealth.video.keyframeIntervalMs, 1_000)
    assert.match(inputHealth.video.codec, /^(h264|avc1?)/i)
    assert.match(inputHealth.audio.codec, /^(aac|mp4a)/i)
    assert.ok(Date.parse(inputHealth.connectedAt) - began < 2_000)
    assert.deepEqual(inputHealth.warnings, [])

    const health = healthOf(connected)!
    // Of one second, in which there may be no key frame, one or two: each as large as six others.
    assert.ok(Math.abs(health.bitrateKbps - 2_000) < 1_000, `${health.bitrateKbps} kbit/s`)
    const connection = await destination.publishOf('whole')
    assert.ok(
      health.bytesSent > 800_000 && health.bytesSent <= connection.counts.bytes,
      `${health.bytesSent} bytes sent`,
    )
    assert.ok(health.messagesSent > 300)
    assert.ok(health.lagMs < 1_000, `lag of ${health.lagMs} ms`)
    assert.deepEqual([health.droppedMessages, health.droppedMs, health.attempts, health.reconnects], [0, 0, 1, 0])
    const apartMs = Math.abs(Date.parse(health.connectedAt!) - Date.parse(current.statusEnteredAt))
    assert.ok(apartMs < 500, `connectedAt and statusEnteredAt are ${apartMs} ms apart`)
    assert.equal(health.lastError, undefined)

    await live.publisher.goodbye()
    await live[Symbol.asyncDispose]()
    const afterwards = await waitForInput(input, 'disconnected/client_disconnect')
    assert.deepEqual(statusOf(afterwards)!.history.map(words), ['connected/connected'])
    const idle = await server.waitForOutput(input.uid, output.uid, {
      state: 'disconnected',
      reason: 'client_disconnect',
    })
    assert.deepEqual(statusOf(idle)!.history.map(words), ['connected/connected', 'connecting/proving'])
    assert.equal('modified' in afterwards && afterwards['modified'], now['modified'])

    // Switched off, an output says so, whatever it was before.
    const { json }: Answer = await server.api('PUT', `/${input.uid}/outputs/${output.uid}`, { enabled: false })
    assert.equal(words(statusOf(json.result)?.current), 'disconnected/disabled')
  })

  test('an encoder that vanishes is waited for, and is back', { timeout }, async () => {
    await using own = await startServer({ settings: { RECONNECT_WINDOW: '3' } })
    const input = await own.createInput()
    {
      await using live = await feed(input, own)
      await waitForInput(input, 'connected/connected', own)
      live.publisher.vanish()
      await waitForInput(input, 'disconnected/reconnecting', own)
    }
    await using live = await feed(input, own)
    await waitForInput(input, 'connected/reconnected', own)
    live.publisher.vanish()
    await waitForInput(input, 'disconnected/reconnecting', own)
    const ended = await waitForInput(input, 'disconnected/client_disconnect', own)
    assert.deepEqual(statusOf(ended)!.history.map(words), [
      'disconnected/reconnecting',
      'connected/reconnected',
      'disconnected/reconnecting',
      'connected/connected',
    ])
  })

  test('why an output is not live: its reason, and a sentence in health.lastError', { timeout }, async () => {
    await using busy = await startDestination({ behaviour: { answerPublish: 'bad_name' } })
    await using denying = await startDestination({
      behaviour: { answerPublish: { code: 'NetStream.Publish.Denied', description: 'key has expired' } },
    })
    await using silent = await startDestination({ behaviour: { silent: true } })
    await using healthy = await startDestination()
    const closedPort = await freePort()
    const input = await server.createInput()
    const add = (url: string) => server.addOutput(input.uid, { url, streamKey: 'why' })
    const cases = [
      {
        output: await add(`rtmp://127.0.0.1:${closedPort}/app`),
        state: 'reconnecting',
        reason: 'connection_refused',
        message: new RegExp(`127\\.0\\.0\\.1.*${closedPort}`),
      },
      {
        output: await add(busy.url()),
        state: 'reconnecting',
        reason: 'already_publishing',
        message: /NetStream\.Publish\.BadName/,
      },
      {
        output: await add(denying.url()),
        state: 'error',
        reason: 'publish_denied',
        message: /NetStream\.Publish\.Denied.*key has expired/,
      },
      {
        output: await add(`rtmps://127.0.0.1:${healthy.port}/app`),
        state: 'reconnecting',
        reason: 'connection_reset',
        message: /TLS handshake.* Check that the port speaks TLS/,
      },
    ]
    const waiting = await add(silent.url())
    const good = await add(healthy.url())
    await using _live = await feed(input)
    const began = Date.now()
    for (const { output, state, reason, message } of cases) {
      const told = await waitFor(
        `${reason} to be told`,
        async () => {
          const now = await outputOf(input, output)
          const health = healthOf(now)
          // Figures come once a second, a status at once.
          return statusOf(now)?.current.reason === reason && health?.lastError && health.attempts >= 1 && now
        },
        15_000,
      ).catch(async (error: Error) => {
        throw new Error(`${error.message}; it is ${JSON.stringify(await outputOf(input, output))}`)
      })
      const { current } = statusOf(told)!
      assert.equal(current.state, state, reason)
      assert.ok(Date.parse(current.nextAttemptAt!) > began)
      const { lastError, attempts } = healthOf(told)!
      assert.deepEqual(lastError!.code, reason)
      assert.match(lastError!.message, message)
      assert.match(lastError!.at, iso)
      assert.ok(Date.parse(lastError!.at) >= began - 1_000 && Date.parse(lastError!.at) <= Date.now())
      assert.ok(attempts >= 1)
    }
    // One that never answers says at which step it is.
    const { current } = statusOf(await outputOf(input, waiting))!
    assert.deepEqual([current.state, current.step], ['connecting', 'handshaking'])
    // None of them has touched the good one.
    const connection = await healthy.publishOf('why')
    assert.deepEqual([connection.ledger.gaps, healthy.publishing.length], [[], 1])
    assert.equal(healthOf(await outputOf(input, good))?.attempts, 1)
  })

  test('a status that is over reads as disconnected after kill -9; what had gone wrong is still known', {
    timeout,
  }, async () => {
    await using own = await startServer()
    await using destination = await startDestination()
    const closedPort = await freePort()
    const input = await own.createInput()
    const output = await own.addOutput(input.uid, { url: destination.url(), streamKey: 'killed' })
    const refused = await own.addOutput(input.uid, { url: `rtmp://127.0.0.1:${closedPort}/app`, streamKey: 'killed' })
    await using live = await feed(input, own)
    await waitForInput(input, 'connected/connected', own)
    await own.waitForOutput(input.uid, output.uid, { state: 'connecting' })
    await own.waitForOutput(input.uid, refused.uid, { state: 'reconnecting', reason: 'connection_refused' })
    await own.kill('SIGKILL')
    await live.publisher.closed
    await own.start()

    const read = await own.input(input.uid)
    assert.equal(words(statusOf(read)!.current), 'disconnected/client_disconnect')
    assert.equal(words(statusOf(read)!.history[0]), 'connected/connected')
    for (const each of [output, refused])
      assert.equal(words(statusOf(await outputOf(input, each, own))!.current), 'disconnected/client_disconnect')
    assert.equal(healthOf(await outputOf(input, refused, own))?.lastError?.code, 'connection_refused')
    assert.equal('health' in read, false)

    // An encoder that connects again is enough: nobody has to call the API.
    await using _again = await feed(input, own)
    const again = await destination.nextPublish().then(() => destination.nextPublish())
    await again.receives(10)
    const back = await waitForInput(input, 'connected/connected', own)
    assert.deepEqual(statusOf(back)!.history.map(words), ['disconnected/client_disconnect', 'connected/connected'])
  })

  test('the history of a status is bounded, newest first', { timeout }, async () => {
    const input = await server.createInput()
    const comings = Math.ceil(historyLengthMax / 2) + 3
    let lastComing = 0
    for (let count = 0; count < comings; count++) {
      lastComing = Date.now()
      const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      await publisher.replay(syntheticTags({ kbps: 100, fps: 10 }), { durationMs: 200, realtime: false })
      await publisher.goodbye()
    }
    const { history } = await waitFor('the end of the last broadcast to be told', async () => {
      const status = statusOf(await server.input(input.uid))!
      const { state, statusEnteredAt } = status.current
      return state === 'disconnected' && Date.parse(statusEnteredAt) >= lastComing && status
    })
    assert.equal(history.length, historyLengthMax)
    const times = history.map(({ statusEnteredAt }) => Date.parse(statusEnteredAt))
    assert.deepEqual(
      times,
      times.toSorted((a, b) => b - a),
    )
    assert.deepEqual(history.slice(0, 2).map(words), ['connected/connected', 'disconnected/client_disconnect'])
  })

  test('without DESTINATION_ALLOW an output may not reach this machine', { timeout }, async () => {
    await using own = await startServer({ settings: { DESTINATION_ALLOW: '' } })
    await using destination = await startDestination()
    const input = await own.createInput()
    const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]']
    const accepted: CreatedOutput[] = []
    for (const host of hosts) {
      const answer = await own.api<CreatedOutput>('POST', `/${input.uid}/outputs`, {
        url: destination.url(host),
        streamKey: 'inside',
      })
      // Told at once where the address stands in the url; else when the name is looked up.
      if (answer.status === 200) accepted.push(answer.json.result)
      else assert.match(JSON.stringify(answer.json.errors), /DESTINATION_ALLOW/)
    }
    assert.ok(accepted.length > 0)
    await using _live = await feed(input, own)
    for (const output of accepted) {
      const told = await own.waitForOutput(input.uid, output.uid, { state: 'error', reason: 'destination_not_allowed' })
      const { lastError } = healthOf(told)!
      assert.equal(lastError?.code, 'destination_not_allowed')
      assert.match(lastError!.message, /DESTINATION_ALLOW/)
    }
    assert.equal(destination.connections.length, 0)
  })
})
