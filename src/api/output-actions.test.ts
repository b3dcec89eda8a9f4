import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { test } from 'node:test'
import { type ApiFixture, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import type { Plain } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import type { WireStatus } from '../model/lifecycle.ts'
import {
  type PreflightReport,
  type PreflightRequest,
  preflightSubject,
  retryOutputSubject,
} from '../model/preflight.ts'
import { type StatusDocument, statusKey } from '../model/status.ts'
import { retryAnswer, successOf, testAnswer, type WireOutput } from './schemas.ts'

const destination = { url: 'rtmps://a.example/live', streamKey: 'uzya-f19y' }
const report: PreflightReport = {
  ok: false,
  steps: [
    { name: 'resolve', ok: true, durationMs: 1 },
    { name: 'connect_tcp', ok: false, durationMs: 2, code: 'connection_refused', detail: 'Nothing listens there.' },
  ],
}

/** An API, the one bus beside it, an input, and an output. */
async function start(options: { clock?: ManualClock } = {}) {
  const errors: unknown[] = []
  const bus = new InProcessBus({ onError: (error) => errors.push(error), ...options })
  const server = await startApi({ bus })
  const uid = (await server.result('POST', inputsPath)).uid as LiveInputId
  const outputs = `${inputsPath}/${uid}/outputs`
  const output = await server.result<WireOutput>('POST', outputs, {
    ...destination,
    ...{ username: 'someone', password: 'hunter-two', tls: { verify: false } },
  })
  return {
    ...{ bus, server, uid, outputs, output, errors },
    async [Symbol.asyncDispose]() {
      await server.api.close()
      await bus.close()
    },
  }
}

async function statusIs(server: ApiFixture, output: string, state: string, reason: string): Promise<void> {
  const at = '2026-01-02T03:04:05.000Z'
  const current = { ingestProtocol: 'rtmp' as const, state, reason, statusEnteredAt: at, statusLastSeen: at }
  const document: StatusDocument = { owner: 'node-1', epoch: 7, status: { current, history: [] } satisfies WireStatus }
  await server.store.put(statusKey(output as OutputId), JSON.stringify(document), 'any')
  await new Promise((resolve) => setImmediate(resolve))
}

test('retry asks whoever runs the output, and says why there was nothing to end', async () => {
  await using fixture = await start()
  const { bus, server, uid, outputs, output } = fixture
  const retry = async () => {
    const answer = await server.call('POST', `${outputs}/${output.uid}/retry`)
    assert.equal(answer.status, 200, answer.text)
    assert.ok(successOf(retryAnswer).safeParse(answer.body).success, answer.text)
    return [(answer.body.result as { retried: boolean }).retried, answer.body.messages.map(({ message }) => message)]
  }
  const asked: Plain[] = []
  let retried = true
  bus.respond(retryOutputSubject, (message) => {
    asked.push(message)
    return { retried }
  })
  assert.deepEqual(await retry(), [true, []])
  assert.deepEqual(asked, [{ inputId: uid, outputId: output.uid }])

  retried = false
  assert.match(String(await retry()), /^false,No encoder sends/)
  const rows = [
    ['connected', 'connected', /is connected/],
    ['connecting', 'proving', /is connecting/],
    ['disconnected', 'client_disconnect', /No encoder sends/],
    ['error', 'publish_denied', /has just begun/],
  ] as const
  for (const [state, reason, says] of rows) {
    await statusIs(server, output.uid, state, reason)
    assert.match(String(await retry()), says)
  }
  await server.result('PUT', `${outputs}/${output.uid}`, { enabled: false })
  assert.match(String(await retry()), /output is disabled/)
  await server.result('POST', `${inputsPath}/${uid}/disable`)
  assert.match(String(await retry()), /live input is disabled/)
})

test('a test hands the destination on with sealed secrets, and the report back as it is', async () => {
  await using fixture = await start()
  const { bus, server, outputs, output } = fixture
  const asked: PreflightRequest[] = []
  bus.respond(preflightSubject, (message) => {
    asked.push(message as PreflightRequest)
    return report as unknown as Plain
  })
  const fingerprint = 'ab'.repeat(32)
  const given = await server.call('POST', `${outputs}/test`, {
    ...{ url: ' rtmps://a.example/live', streamKey: 'uzya-f19y ', username: 'someone', password: 'hunter-two' },
    ...{ tls: { fingerprint: fingerprint.toUpperCase() }, spelt: 'wrong' },
  })
  assert.equal(given.status, 200)
  assert.ok(successOf(testAnswer).safeParse(given.body).success, given.text)
  assert.deepEqual(given.body.result, report)
  assert.deepEqual(
    given.body.messages.map(({ source }) => source?.pointer),
    ['/spelt'],
  )
  const existing = await server.call('POST', `${outputs}/test`, { output_id: output.uid })
  assert.deepEqual(existing.body.result, report)

  const opened = asked.map(({ streamKey, password, ...rest }) => ({
    ...rest,
    streamKey: server.cipher.open(streamKey, 'preflight.streamKey').reveal(),
    password: server.cipher.open(password!, 'preflight.password').reveal(),
  }))
  const common = { ...destination, username: 'someone', password: 'hunter-two' }
  assert.deepEqual(opened, [
    { ...common, tls: { fingerprint } },
    { ...common, tls: { verify: false } },
  ])
  assert.ok(!JSON.stringify(asked).includes('hunter-two'))
  assert.equal((await server.result<WireOutput[]>('GET', outputs)).length, 1, 'nothing was saved')
})

test('a test of what looks wrong is made all the same, and lint is told', async () => {
  await using fixture = await start()
  const { bus, server, outputs } = fixture
  bus.respond(preflightSubject, () => report as unknown as Plain)
  const rows = [
    ['rtmp://live-api-s.facebook.com:80/rtmp', 'FB-123-0-AbC', '/url'],
    ['srt://a.example', 'key', '/url'],
    ['rtmp://a.example/live', 'ab\ncd', '/streamKey'],
  ] as const
  for (const [url, streamKey, pointer] of rows) {
    const { status, body } = await server.call('POST', `${outputs}/test`, { url, streamKey })
    assert.deepEqual([status, body.result], [200, report])
    assert.equal(body.messages[0]!.source?.pointer, pointer)
  }
})

test('ten tests of an account run at once; the eleventh is told to wait', async () => {
  await using fixture = await start()
  const { bus, server, outputs } = fixture
  const release = Promise.withResolvers<Plain>()
  const arrived = Promise.withResolvers<void>()
  let count = 0
  bus.respond(preflightSubject, () => {
    if (++count === 10) arrived.resolve()
    return release.promise
  })
  const ask = () => server.call('POST', `${outputs}/test`, destination)
  const running = Array.from({ length: 10 }, ask)
  await arrived.promise
  const refused = await ask()
  assert.deepEqual([refused.status, refused.body.errors[0]?.code], [429, 11429])
  assert.match(refused.body.errors[0]!.message, /10 destinations.*Wait/)
  assert.ok(Number(refused.headers['retry-after']) > 0)
  release.resolve(report as unknown as Plain)
  assert.deepEqual(new Set((await Promise.all(running)).map(({ status }) => status)), new Set([200]))
  assert.equal((await ask()).status, 200, 'the places are free again')
})

test('a responder that never answers, or fails, becomes an answer, and its place is free again', async () => {
  const clock = new ManualClock()
  await using fixture = await start({ clock })
  const { bus, server, outputs, errors } = fixture
  const asked = Promise.withResolvers<void>()
  bus.respond(preflightSubject, () => {
    asked.resolve()
    return new Promise(() => {})
  })
  const late = server.call('POST', `${outputs}/test`, destination)
  await asked.promise
  clock.advance(60_000)
  const answer = await late
  assert.deepEqual([answer.status, answer.body.errors[0]?.code], [503, 11503])
  bus.respond(preflightSubject, () => {
    throw new TypeError('a mistake of ours')
  })
  for (let count = 0; count < 12; count++) {
    const failed = await server.call('POST', `${outputs}/test`, destination)
    assert.deepEqual([failed.status, failed.body.errors[0]?.code], [500, 11500])
    assert.ok(!failed.text.includes('mistake of ours'))
  }
  assert.equal(errors.length, 12)
})

test('a client that goes away ends its test', async () => {
  await using fixture = await start()
  const { bus, server, outputs } = fixture
  const asked = Promise.withResolvers<AbortSignal>()
  bus.respond(preflightSubject, (_, signal) => {
    asked.resolve(signal)
    return new Promise(() => {})
  })
  const { port } = await server.api.listen('127.0.0.1', 0)
  const client = httpRequest({
    ...{ port, host: '127.0.0.1', path: `${outputs}/test`, method: 'POST' },
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  })
  client.on('error', () => {})
  client.end(JSON.stringify(destination))
  const signal = await asked.promise
  assert.equal(signal.aborted, false)
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  client.destroy()
  await aborted
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'error'),
    [],
  )
})
