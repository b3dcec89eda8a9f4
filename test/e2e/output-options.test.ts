import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { generate } from 'selfsigned'
import { type DestinationConnection, startDestination } from '../support/destination.ts'
import { freePorts, waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type CreatedOutput, type Json, type ServerUnderTest, startServer } from '../support/server.ts'
import { readStamp, syntheticTags } from '../support/synthetic-source.ts'

/** What an output can be told beyond url and key, with the real server and destinations that play their part. */

let server: ServerUnderTest

before(async () => {
  server = await startServer()
})
after(() => server[Symbol.asyncDispose]())

type Feed = AsyncDisposable & {
  readonly uid: string
  /** Resolves when so many more video messages went out. */
  publisherHasSent(frames: number): Promise<void>
}

/** A live input with an encoder that sends to it. */
async function feed(): Promise<Feed> {
  const input = await server.createInput()
  const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const ending = new AbortController()
  const tags = syntheticTags({ kbps: 600, fps: 30, gopMs: 1_000 })
  const replayed = publisher.replay(tags, { signal: ending.signal })
  return {
    uid: input.uid,
    async publisherHasSent(frames) {
      const until = publisher.lastTimestamp + (frames * 1_000) / 30
      await waitFor(`${frames} more frames`, () => publisher.lastTimestamp >= until)
    },
    async [Symbol.asyncDispose]() {
      ending.abort()
      await replayed
      await publisher.goodbye()
    },
  }
}

async function put(inputUid: string, outputUid: string, body: Json): Promise<CreatedOutput> {
  const { status, json } = await server.api<CreatedOutput>('PUT', `/${inputUid}/outputs/${outputUid}`, body)
  assert.equal(status, 200, JSON.stringify(json))
  return json.result
}

type Health = { readonly lastError?: { readonly code: string; readonly message: string }; readonly reconnects?: number }
const healthOf = (output: CreatedOutput) => (output['health'] ?? {}) as Health

/** A certificate that nobody vouches for. */
async function selfSigned() {
  const { cert, private: key } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 }
}

describe('options of outputs', { concurrency: true, timeout: 60_000 }, () => {
  test('adobe login: with username and password the output goes live, with a wrong one it says so', async () => {
    const authentication = { mode: 'adobe', username: 'someone', password: 'hunter-two' } as const
    await using destination = await startDestination({ behaviour: { authentication } })
    await using live = await feed()
    const url = destination.url()
    const right = await server.addOutput(live.uid, { url, streamKey: 'right', ...login('hunter-two') })
    const wrong = await server.addOutput(live.uid, { url, streamKey: 'wrong', ...login('hunter-three') })
    const none = await server.addOutput(live.uid, { url, streamKey: 'none' })
    assert.equal(right['username'], 'someone')

    const connection = await destination.publishOf('right')
    await connection.receives(20, 'video')
    assert.deepEqual(connection.violations, [])
    await server.waitForOutput(live.uid, right.uid, { state: 'connected' })
    for (const { uid } of [wrong, none]) {
      const output = await server.waitForOutput(live.uid, uid, { state: 'error', reason: 'publish_denied' })
      assert.match(healthOf(output).lastError!.message, /username and password/)
    }
    assert.ok(!JSON.stringify(await server.outputs(live.uid)).includes('hunter'))
    assert.equal(destination.publishing.length, 1)

    await put(live.uid, wrong.uid, { password: 'hunter-two' })
    await (await destination.publishOf('wrong')).receives(5, 'video')
  })

  test('tls: a self-signed destination is refused, taken without verification, and taken when it is pinned', async () => {
    const { cert, key, fingerprint } = await selfSigned()
    await using destination = await startDestination({ tls: { cert, key } })
    await using live = await feed()
    const add = (streamKey: string, options: Json = {}) =>
      server.addOutput(live.uid, { url: destination.url(), streamKey, ...options })
    const bare = await add('bare')
    await add('unverified', { tls: { verify: false } })
    const pinned = await add('pinned', { tls: { fingerprint } })
    const mispinned = await add('mispinned', { tls: { fingerprint: 'ab'.repeat(32), verify: false } })
    const plainFingerprint = fingerprint.replaceAll(':', '').toLowerCase()
    assert.deepEqual(pinned['tls'], { fingerprint: plainFingerprint })

    for (const streamKey of ['unverified', 'pinned'])
      await (await destination.publishOf(streamKey)).receives(10, 'video')
    for (const { uid } of [bare, mispinned]) {
      const output = await server.waitForOutput(live.uid, uid, { state: 'error', reason: 'certificate_untrusted' })
      assert.ok(healthOf(output).lastError!.message.includes(plainFingerprint), 'the sentence has what to pin')
    }
    assert.deepEqual(destination.publishing.map((connection) => connection.key).toSorted(), ['pinned', 'unverified'])

    await put(live.uid, bare.uid, { tls: { fingerprint: plainFingerprint } })
    await (await destination.publishOf('bare')).receives(10, 'video')
  })

  test('a change of url or key restarts that output alone; a change of name restarts none', async () => {
    await using one = await startDestination()
    await using two = await startDestination()
    await using live = await feed()
    const outputs = await Promise.all(
      ['a', 'b', 'c'].map((streamKey) => server.addOutput(live.uid, { url: one.url(), streamKey })),
    )
    const moving = outputs[1]!
    const connections = await Promise.all(['a', 'b', 'c'].map((streamKey) => one.publishOf(streamKey)))
    for (const connection of connections) await connection.receives(10, 'video')

    const moved = await put(live.uid, moving.uid, { url: two.url(), streamKey: 'moved' })
    assert.deepEqual([moved.uid, moved.url, moved.streamKey], [moving.uid, two.url(), 'moved'])
    const there = await two.publishOf('moved')
    await there.receives(30, 'video')
    assert.deepEqual(await connections[1]!.ends(), { how: 'fin', goodbye: true })
    assert.deepEqual([there.violations, there.ledger.gaps, there.ledger.brokenGroups], [[], [], []])

    await put(live.uid, moving.uid, { name: 'Second stage', resumeSeconds: 5 })
    await put(live.uid, outputs[0]!.uid, { name: 'Main stage' })
    await there.receives(30, 'video')
    assert.equal(there.end, undefined)
    assert.equal(two.connections.length, 1)

    assert.equal(one.connections.length, 3, 'nobody reconnected')
    for (const connection of [connections[0]!, connections[2]!]) {
      assert.equal(connection.end, undefined)
      assert.deepEqual([connection.violations, connection.ledger.gaps], [[], []])
    }
    for (const { uid } of outputs) {
      const output = await server.waitForOutput(live.uid, uid, { state: 'connected' })
      assert.deepEqual([healthOf(output).reconnects, healthOf(output).lastError], [0, undefined])
    }
  })

  test('retry ends a wait at once, and says when there is none', async () => {
    const refusing = { answerPublish: { code: 'NetStream.Publish.InvalidSign', description: 'invalid sign' } } as const
    await using destination = await startDestination({ behaviour: refusing })
    await using live = await feed()
    const { uid } = await server.addOutput(live.uid, { url: destination.url(), streamKey: 'the-key' })
    const retry = async () => {
      const answer = await server.api<{ retried: boolean }>('POST', `/${live.uid}/outputs/${uid}/retry`)
      assert.equal(answer.status, 200)
      return { ...answer.json.result, why: answer.json.messages.map(({ message }) => message).join() }
    }
    const refused = await server.waitForOutput(live.uid, uid, { state: 'error', reason: 'publish_denied' })
    const { nextAttemptAt } = (refused['status'] as { current: { nextAttemptAt: string } }).current
    assert.ok(Date.parse(nextAttemptAt) - Date.now() > 30_000, 'it would wait for long')
    assert.equal(destination.connections.length, 1)

    destination.behaviour = {}
    assert.deepEqual(await retry(), { retried: true, why: '' })
    await (await destination.publishOf('the-key', 5_000)).receives(5, 'video')
    await server.waitForOutput(live.uid, uid, { state: 'connected' })
    const again = await retry()
    assert.equal(again.retried, false)
    assert.match(again.why, /is connected/)
    await put(live.uid, uid, { enabled: false })
    assert.match((await retry()).why, /disabled/)
    assert.equal(destination.connections.length, 2)
  })

  test('resumeSeconds, set within a broadcast, holds for the next break', async () => {
    await using destination = await startDestination({ recording: 'bodies' })
    await using live = await feed()
    const frames = (connection: DestinationConnection) =>
      connection.messages.flatMap(({ type, length, body }) => {
        const stamp = body && readStamp({ type, length, body })
        return stamp?.track === 'video' ? [stamp.sequence] : []
      })
    /** Frames between the last one of a connection that is cut and the first one after three seconds. */
    const missedIn = async (uid: string, streamKey: string) => {
      const before = await destination.publishOf(streamKey)
      await before.receives(10, 'video')
      destination.behaviour = { resetAfterMs: 0 }
      before.reset()
      await live.publisherHasSent(90)
      destination.behaviour = {}
      const again = await waitFor('the output to be back', async () => {
        // Once may be too early: in the middle of an attempt that is about to fail.
        await server.api('POST', `/${live.uid}/outputs/${uid}/retry`)
        return destination.publishing[0]
      })
      await again.receives(10, 'video')
      return frames(again)[0]! - frames(before).at(-1)!
    }
    const { uid } = await server.addOutput(live.uid, { url: destination.url(), streamKey: 'resumed' })
    assert.ok((await missedIn(uid, 'resumed')) > 45, 'the live edge by default')
    await put(live.uid, uid, { resumeSeconds: 10 })
    const missed = await missedIn(uid, 'resumed')
    assert.ok(missed <= 1 && missed > -30, `nothing, from the key frame on before which it was left: ${missed}`)
  })

  test('disabled and enabled again while nobody sends, an output says which of them it is', async () => {
    await using destination = await startDestination()
    const live = await feed()
    const { uid } = await server.addOutput(live.uid, { url: destination.url(), streamKey: 'switched' })
    await (await destination.publishOf('switched')).receives(5, 'video')
    await live[Symbol.asyncDispose]()
    await server.waitForOutput(live.uid, uid, { state: 'disconnected', reason: 'client_disconnect' })
    const reason = (output: CreatedOutput) => (output['status'] as { current: { reason: string } }).current.reason
    assert.equal(reason(await put(live.uid, uid, { enabled: false })), 'disabled')
    assert.equal(reason(await put(live.uid, uid, { enabled: true })), 'client_disconnect')
  })
})

type Step = { readonly name: string; readonly ok: boolean; readonly code?: string; readonly detail?: string }
type Report = { readonly ok: boolean; readonly steps: readonly (Step & { readonly durationMs: number })[] }

const login = (password: string) => ({ username: 'someone', password })

describe('a test of a destination, without publishing', { concurrency: true, timeout: 60_000 }, () => {
  const tryOut = async (body: Json): Promise<Report> => {
    const input = await server.createInput()
    const { status, json } = await server.api<Report>('POST', `/${input.uid}/outputs/test`, body)
    assert.equal(status, 200, JSON.stringify(json))
    assert.ok(!JSON.stringify(json).includes('hunter'))
    for (const { durationMs } of json.result.steps) assert.ok(durationMs >= 0 && durationMs < 30_000)
    return json.result
  }
  const namesOf = ({ steps }: Report) => steps.map(({ name }) => name)
  const failureOf = ({ ok, steps }: Report) => {
    assert.equal(ok, false)
    assert.ok(steps.slice(0, -1).every((step) => step.ok))
    return steps.at(-1)!
  }
  const plainSteps = ['resolve', 'connect_tcp', 'handshake', 'connect_rtmp']
  /** Nothing that could start a broadcast, take a key, or cut whoever uses it. */
  const assertUntouched = async (destination: Awaited<ReturnType<typeof startDestination>>) => {
    for (const connection of destination.connections) {
      await connection.ends()
      assert.deepEqual(
        connection.commandNames().filter((name) => name !== 'connect' && name !== 'createStream'),
        [],
      )
      assert.deepEqual([connection.violations, connection.counts.video], [[], 0])
    }
    assert.equal(destination.publishing.length, 0)
  }

  test('a good one: by url and key, and by the output', async () => {
    await using destination = await startDestination()
    const report = await tryOut({ url: destination.url(), streamKey: 'the-key' })
    assert.deepEqual([report.ok, namesOf(report)], [true, plainSteps])
    assert.match(report.steps.at(-1)!.detail!, /takes publishers/)
    const input = await server.createInput()
    const output = await server.addOutput(input.uid, { url: destination.url(), streamKey: 'the-key' })
    const { json } = await server.api<Report>('POST', `/${input.uid}/outputs/test`, { output_id: output.uid })
    assert.deepEqual([json.result.ok, namesOf(json.result)], [true, plainSteps])
    assert.equal(destination.connections.length, 2)
    await assertUntouched(destination)
  })

  test('nobody listens, or it may not be reached', async () => {
    const [port] = await freePorts(1)
    const refused = failureOf(await tryOut({ url: `rtmp://127.0.0.1:${port}/app`, streamKey: 'k' }))
    assert.deepEqual([refused.name, refused.code], ['connect_tcp', 'connection_refused'])
    const hidden = failureOf(await tryOut({ url: 'rtmp://10.11.12.13/app', streamKey: 'k' }))
    assert.deepEqual([hidden.name, hidden.code], ['resolve', 'destination_not_allowed'])
    const nonsense = failureOf(await tryOut({ url: 'srt://a.example', streamKey: 'k' }))
    assert.deepEqual([nonsense.name, nonsense.code], ['url', 'destination_invalid'])
  })

  test('it takes the connection and stays silent', async () => {
    await using destination = await startDestination({ behaviour: { silent: true } })
    const silent = failureOf(await tryOut({ url: destination.url(), streamKey: 'k' }))
    assert.deepEqual([silent.name, silent.code], ['handshake', 'connect_timeout'])
  })

  test('a certificate that is not trusted, passed over, and pinned', async () => {
    const { cert, key, fingerprint } = await selfSigned()
    await using destination = await startDestination({ tls: { cert, key } })
    const at = { url: destination.url(), streamKey: 'k' }
    const wrong = failureOf(await tryOut(at))
    assert.deepEqual([wrong.name, wrong.code], ['secure', 'certificate_untrusted'])
    assert.ok(wrong.detail!.includes(fingerprint.replaceAll(':', '').toLowerCase()))
    for (const tls of [{ verify: false }, { fingerprint }]) {
      const report = await tryOut({ ...at, tls })
      assert.equal(report.ok, true, JSON.stringify(report))
      assert.deepEqual(namesOf(report), ['resolve', 'connect_tcp', 'secure', 'handshake', 'connect_rtmp'])
    }
    await assertUntouched(destination)
  })

  test('it sends us on, once or in a circle', async () => {
    await using destination = await startDestination()
    await using redirecting = await startDestination({ behaviour: { redirectTo: destination.url() } })
    const report = await tryOut({ url: redirecting.url(), streamKey: 'the-key' })
    assert.deepEqual([report.ok, namesOf(report)], [true, [...plainSteps, ...plainSteps]])
    assert.match(report.steps[3]!.detail!, new RegExp(`redirected to 127.0.0.1:${destination.port}`))
    redirecting.behaviour = { redirectTo: redirecting.url() }
    assert.equal(failureOf(await tryOut({ url: redirecting.url(), streamKey: 'k' })).code, 'redirect_loop')
    redirecting.behaviour = { redirectTo: 'rtmp://10.11.12.13/app' }
    assert.equal(failureOf(await tryOut({ url: redirecting.url(), streamKey: 'k' })).code, 'destination_not_allowed')
    await assertUntouched(destination)
    await assertUntouched(redirecting)
  })

  for (const mode of ['adobe', 'llnw'] as const)
    test(`it asks for a login (${mode})`, async () => {
      const authentication = { mode, ...login('hunter-two') }
      await using destination = await startDestination({ behaviour: { authentication } })
      const at = { url: destination.url(), streamKey: 'k' }
      const report = await tryOut({ ...at, ...login('hunter-two') })
      assert.equal(report.ok, true, JSON.stringify(report))
      assert.equal(destination.connections.length, 3)
      for (const options of [{}, login('hunter-three')]) {
        const denied = failureOf(await tryOut({ ...at, ...options }))
        assert.deepEqual([denied.name, denied.code], ['connect_rtmp', 'publish_denied'])
        assert.match(denied.detail!, /username and password/)
      }
      await assertUntouched(destination)
    })

  test('while the output is live, it goes on undisturbed', async () => {
    await using destination = await startDestination()
    await using live = await feed()
    const { uid } = await server.addOutput(live.uid, { url: destination.url(), streamKey: 'busy' })
    const connection = await destination.publishOf('busy')
    await connection.receives(5, 'video')
    const { json } = await server.api<Report>('POST', `/${live.uid}/outputs/test`, { output_id: uid })
    assert.equal(json.result.ok, true)
    await connection.receives(15, 'video')
    await waitFor('the try-out to be over', () => destination.connections[1]?.end, 5_000)
    assert.deepEqual([destination.publishing.length, connection.isPublishing, connection.ledger.gaps], [1, true, []])
  })
})
