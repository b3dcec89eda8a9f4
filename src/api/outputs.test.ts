import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { z } from 'zod'
import {
  type ApiFixture,
  account,
  inputsPath,
  ManualClock,
  startApi,
  unknownId,
} from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import {
  connectingSteps,
  type InputState,
  inputWords,
  type OutputState,
  outputWords,
  type WireStatus,
} from '../model/lifecycle.ts'
import { decodeLiveInput, encodeLiveInput, liveInputKey } from '../model/live-input.ts'
import {
  figuresSubject,
  type InputFigures,
  type OutputHealth,
  type StatusDocument,
  statusKey,
} from '../model/status.ts'
import { liveInputAnswer, outputAnswer, outputList, successOf, type WireOutput } from './schemas.ts'

const destination = { url: 'rtmp://a.example/live', streamKey: 'uzya-f19y' }

function assertMatches(schema: z.ZodType, value: unknown): void {
  const read = schema.safeParse(value)
  assert.ok(read.success, `${JSON.stringify(value)}: ${read.error?.message}`)
}

async function newInput(server: ApiFixture): Promise<{ uid: LiveInputId; path: string; outputs: string }> {
  const uid = (await server.result('POST', inputsPath)).uid as LiveInputId
  return { uid, path: `${inputsPath}/${uid}`, outputs: `${inputsPath}/${uid}/outputs` }
}

test('outputs are added, listed in their order, switched, read and deleted', async () => {
  await using server = await startApi()
  const { path, outputs } = await newInput(server)
  const created = await server.call('POST', outputs, destination)
  assert.equal(created.status, 200)
  assertMatches(successOf(outputAnswer), created.body)
  const { uid } = created.body.result as { uid: string }
  assert.deepEqual(created.body, {
    result: { uid, ...destination, enabled: true, status: null },
    success: true,
    errors: [],
    messages: [],
  })
  const second = await server.result<WireOutput>('POST', outputs, { ...destination, enabled: false })
  assert.equal(second.enabled, false)
  const listed = await server.call('GET', outputs)
  assertMatches(successOf(outputList), listed.body)
  assert.deepEqual(listed.body.result, [created.body.result, second])
  const off = await server.result<WireOutput>('PUT', `${outputs}/${uid}`, { enabled: false })
  assert.deepEqual(off, { ...(created.body.result as object), enabled: false })
  assert.deepEqual(await server.result<WireOutput>('GET', `${outputs}/${uid}`), off)
  const modified = (await server.result('GET', path)).modified
  await server.result<WireOutput>('PUT', `${outputs}/${uid}`, off)
  assert.equal((await server.result('GET', path)).modified, modified, 'nothing was changed')
  const gone = await server.call('DELETE', `${outputs}/${uid}`, {})
  assert.deepEqual([gone.status, gone.text], [200, '{}'])
  assert.ok((await server.result('GET', path)).modified > modified)
  assert.deepEqual(await server.result('GET', outputs), [second])
  for (const method of ['GET', 'DELETE'] as const)
    assert.equal((await server.call(method, `${outputs}/${uid}`)).body.errors[0]?.code, 10003)
})

test('url and key of a destination are kept as they were given, and the key is sealed in the store', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const odd = { url: 'rtmps://b.rtmps.youtube.com/live2?backup=1', streamKey: 'live_1?bandwidthtest=true&x=%3D/ÿ' }
  const { uid } = await server.result<WireOutput>('POST', outputs, odd)
  assert.deepEqual(await server.result<WireOutput>('GET', `${outputs}/${uid}`), {
    uid,
    ...odd,
    enabled: true,
    status: null,
  })
  const [entry] = await server.store.list('input')
  assert.ok(!entry!.value.includes('bandwidthtest'))
})

test('what looks wrong with a destination is saved, and said', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const slip = { url: 'rtmp://live.twitch.tv/app', streamKey: 'abcd-efgh-1234-5678-wxyz' }
  const { status, body } = await server.call('POST', outputs, { ...slip, enbled: true })
  assert.equal(status, 200)
  assertMatches(successOf(outputAnswer), body)
  assert.deepEqual(
    body.messages.map(({ source }) => source?.pointer),
    ['/streamKey', '/enbled'],
  )
  assert.match(body.messages[0]!.message, /YouTube key/)
  assert.equal((await server.result<WireOutput[]>('GET', outputs)).length, 1)
})

const secured = { url: 'rtmps://a.example/live', streamKey: 'uzya-f19y' }
const fingerprint = 'ab'.repeat(32)

test('the options of an output are kept and answered, the password is neither answered nor readable', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const options = {
    name: 'Main stage',
    username: 'someone',
    tls: { fingerprint: `SHA256:${'AB:'.repeat(31)}AB` },
    resumeSeconds: 15,
  }
  const answer = await server.call('POST', outputs, { ...secured, ...options, password: 'hunter-two' })
  assert.equal(answer.status, 200)
  assertMatches(successOf(outputAnswer), answer.body)
  const { uid } = answer.body.result as { uid: string }
  assert.deepEqual(answer.body, {
    result: { uid, ...secured, enabled: true, ...options, tls: { fingerprint }, status: null },
    success: true,
    errors: [],
    messages: [],
  })
  const [entry] = await server.store.list('input')
  const answers = [answer, await server.call('GET', outputs), await server.call('GET', `${outputs}/${uid}`)]
  for (const { text } of answers) assert.ok(!text.includes('password'))
  assert.ok(!entry!.value.includes('hunter-two'))
  assert.equal(await passwordOf(server, uid), 'hunter-two')
})

async function passwordOf(server: ApiFixture, output: string): Promise<string | undefined> {
  const [entry] = await server.store.list('input')
  const { outputs } = decodeLiveInput(entry!.value, server.cipher)
  return outputs.find(({ uid }) => uid === output)?.password?.reveal()
}

test('PUT on an output changes what it names, null removes, and what was read can be sent back', async () => {
  await using server = await startApi()
  const { path, outputs } = await newInput(server)
  const { uid } = await server.result<WireOutput>('POST', outputs, {
    ...secured,
    ...{ name: 'one', username: 'someone', password: 'hunter-two', tls: { verify: false }, resumeSeconds: 5 },
  })
  const put = (body: object) => server.result<WireOutput>('PUT', `${outputs}/${uid}`, body)
  const before = await put({})
  const modified = async () => (await server.result('GET', path)).modified
  const stamp = await modified()
  for (const body of [before, { name: 'one' }, { password: 'hunter-two' }, { tls: {} }, { tls: { verify: false } }])
    assert.deepEqual(await put(body), before)
  assert.equal(await modified(), stamp, 'nothing was changed')

  assert.deepEqual(await put({ enabled: false }), { ...before, enabled: false })
  assert.ok((await modified()) > stamp)
  assert.equal(await passwordOf(server, uid), 'hunter-two', 'what is not named stays')
  assert.deepEqual(await put({ url: ' rtmps://b.example/live ', streamKey: 'other', enabled: true }), {
    ...before,
    url: 'rtmps://b.example/live',
    streamKey: 'other',
  })
  await put({ password: 'other-secret' })
  assert.equal(await passwordOf(server, uid), 'other-secret')
  assert.deepEqual((await put({ tls: { fingerprint } })).tls, { verify: false, fingerprint })
  assert.deepEqual((await put({ tls: { verify: null } })).tls, { fingerprint })
  assert.equal((await put({ tls: { fingerprint: null } })).tls, undefined)
  const bare = await put({ name: null, username: null, password: null, tls: null, resumeSeconds: null })
  assert.deepEqual(bare, { uid, url: 'rtmps://b.example/live', streamKey: 'other', enabled: true, status: null })
  assert.equal(await passwordOf(server, uid), undefined)
})

test('options without effect are saved, and said', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const rows = [
    [{ username: 'someone' }, '/username', /Give both/],
    [{ password: 'secret' }, '/password', /Give both/],
    [{ url: 'rtmp://a.example/live', tls: { verify: false } }, '/tls', /no TLS/],
    [{ tls: { verify: false } }, '/tls', /anyone in between/],
    [{ tls: { verify: false, fingerprint } }, '/tls', /whatever `verify` says/],
  ] as const
  for (const [options, pointer, says] of rows) {
    const { status, body } = await server.call('POST', outputs, { ...secured, ...options })
    assert.deepEqual([status, body.messages.map(({ source }) => source?.pointer)], [200, [pointer]])
    assert.match(body.messages[0]!.message, says)
  }
  const { uid } = (await server.result<WireOutput[]>('GET', outputs))[0]!
  const message = (body: object) => server.call('PUT', `${outputs}/${uid}`, body).then((answer) => answer.body.messages)
  assert.equal((await message({ name: 'x' })).length, 1)
  assert.deepEqual(await message({ enabled: false }), [], 'who switches an output is not lectured')
  assert.deepEqual(await message({ password: 'secret' }), [])
})

test('an address that outputs may not reach is told of, and saved', async () => {
  await using server = await startApi({ policy: new AddressPolicy(['192.168.0.0/16']) })
  const { outputs } = await newInput(server)
  const told = async (url: string) => {
    const { status, body } = await server.call('POST', outputs, { url, streamKey: 'key' })
    assert.equal(status, 200)
    return body.messages.map(({ code, message, source }) => [code, source?.pointer, message])
  }
  const mend = 'which outputs may not reach. To permit it, add its range to STREAM_CONNECT_DESTINATION_ALLOW.'
  assert.deepEqual(await told('rtmp://10.0.0.1/live'), [[11200, '/url', `10.0.0.1 is a private address, ${mend}`]])
  assert.deepEqual(await told('rtmps://[::1]/live'), [[11200, '/url', `::1 is a loopback address, ${mend}`]])
  for (const url of ['rtmp://192.168.7.1/live', 'rtmp://8.8.8.8/live', 'rtmp://localhost/live'])
    assert.deepEqual(await told(url), [], url)
})

test('lint: each finding is told or refused, and what was saved once can always be switched', async () => {
  await using server = await startApi()
  const { uid, outputs } = await newInput(server)
  const youtubeKey = 'abcd-efgh-1234-5678-wxyz'
  const told = [
    ['rtmp://a.rtmp.youtube.com/live2', '<redacted>', '/streamKey', /placeholder/],
    ['rtmp://live.twitch.tv/app', youtubeKey, '/streamKey', /YouTube key/],
    ['rtmp://my.example:443/live', 'key', '/url', /rtmps:/],
    ['rtmp://my.example/live', 'rtmp://my.example/live/abc', '/streamKey', /holds a url/],
    ['rtmp://my.example/live', 'ab cd', '/streamKey', /white space/],
    [
      `rtmps://fa723fc1b171.global-contribute.live-video.net/sk_us-west-2_AbCdEfGh`,
      'sk_us-west-2_AbCdEfGh',
      '/url',
      /also part/,
    ],
    ['rtmp://www.twitch.tv/app', 'live_1_a', '/url', /web page/],
  ] as const
  for (const [url, streamKey, pointer, says] of told) {
    const { status, body, text } = await server.call('POST', outputs, { url, streamKey })
    assert.equal(status, 200, text)
    assert.ok(
      body.messages.some(
        ({ code, message, source }) => code === 11200 && source?.pointer === pointer && says.test(message),
      ),
      text,
    )
  }
  const list = await server.result<WireOutput[]>('GET', outputs)
  assert.equal(list.length, told.length)

  // Saved before lint knew that it can never work.
  const stored = await server.store.get(liveInputKey(uid))
  const old = decodeLiveInput(stored!.value, server.cipher)
  const facebook = { ...old.outputs[0]!, url: 'rtmp://live-api-s.facebook.com:80/rtmp/' }
  const revision = await server.store.put(
    liveInputKey(uid),
    encodeLiveInput({ ...old, outputs: [facebook, ...old.outputs.slice(1)] }, server.cipher),
    stored!.revision,
  )
  assert.ok(revision > stored!.revision)
  const one = `${outputs}/${facebook.uid}`
  while ((await server.result<WireOutput>('GET', one)).url !== facebook.url) await server.store.get('x')
  assert.equal((await server.result<WireOutput>('PUT', one, { enabled: false, url: facebook.url })).enabled, false)
  const other = await server.call('PUT', one, { streamKey: 'FB-123-0-AbC' })
  assert.deepEqual([other.status, other.body.errors[0]?.source?.pointer], [400, '/url'])
})

test('51 outputs are added at once: 50 are, and one is refused', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const answers = await Promise.all(Array.from({ length: 51 }, () => server.call('POST', outputs, destination)))
  assert.equal(answers.filter(({ status }) => status === 200).length, 50)
  const [refusal] = answers.filter(({ status }) => status !== 200)
  assert.equal(refusal!.status, 400)
  assert.equal(refusal!.body.errors[0]!.code, 10005)
  assert.match(refusal!.body.errors[0]!.message, /50 outputs.*Delete one/)
  const list = await server.result<WireOutput[]>('GET', outputs)
  assert.equal(new Set(list.map(({ uid }) => uid)).size, 50)
  await server.call('DELETE', `${outputs}/${list[0]!.uid}`)
  await server.result<WireOutput>('POST', outputs, destination)
})

test('two servers on one store write to one input at once: lost races are run again, and nothing is lost', async () => {
  const store = new MemoryStore()
  await using one = await startApi({ store })
  await using two = await startApi({ store, cipher: one.cipher })
  const { uid, path, outputs } = await newInput(one)
  while ((await two.call('GET', path)).status !== 200) await new Promise((resolve) => setImmediate(resolve))
  const answers = await Promise.all([
    ...Array.from({ length: 30 }, (_, index) =>
      (index % 2 ? one : two).call('POST', outputs, { ...destination, streamKey: `key-${index}` }),
    ),
    one.call('PUT', path, { meta: { by: 'one' } }),
    two.call('PUT', path, { enabled: false }),
  ])
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.ok(store.conflicts > 0, 'there were races')
  await using three = await startApi({ store, cipher: one.cipher })
  const list = await three.result<WireOutput[]>('GET', outputs)
  assert.deepEqual(
    list.map(({ streamKey }) => streamKey).sort(),
    Array.from({ length: 30 }, (_, i) => `key-${i}`).sort(),
  )
  const input = await three.result('GET', path)
  assert.deepEqual([input.uid, input.meta, input.enabled], [uid, { by: 'one' }, false])
})

test('51 outputs are added at once through two servers: exactly 50 are', async () => {
  const store = new MemoryStore()
  await using one = await startApi({ store })
  await using two = await startApi({ store, cipher: one.cipher })
  const { path, outputs } = await newInput(one)
  while ((await two.call('GET', path)).status !== 200) await new Promise((resolve) => setImmediate(resolve))
  const answers = await Promise.all(
    Array.from({ length: 51 }, (_, index) => (index % 2 ? one : two).call('POST', outputs, destination)),
  )
  assert.deepEqual(
    [200, 400].map((wanted) => answers.filter(({ status }) => status === wanted).length),
    [50, 1],
  )
})

const running: WireStatus = {
  current: {
    ingestProtocol: 'rtmp',
    state: 'connected',
    reason: 'connected',
    statusEnteredAt: '2026-01-02T03:04:05.000Z',
    statusLastSeen: '2026-01-02T03:09:05.000Z',
  },
  history: [
    { ingestProtocol: 'rtmp', state: 'connecting', reason: 'proving', statusEnteredAt: '2026-01-02T03:04:01.000Z' },
  ],
}

test('the status is what the owner wrote, and disconnected when the owner is gone', async () => {
  let isAlive = true
  const asked: unknown[] = []
  await using server = await startApi({
    ownerIsAlive: (owner, epoch) => {
      asked.push([owner, epoch])
      return isAlive
    },
  })
  const { uid, path, outputs } = await newInput(server)
  const output = (await server.result<WireOutput>('POST', outputs, destination)).uid as OutputId
  const lastError = { code: 'connection_reset', message: 'It was cut.', at: '2026-01-02T03:04:00.000Z' } as const
  const document: StatusDocument = { owner: 'node-1', epoch: 7, status: running }
  await server.store.put(statusKey(uid), JSON.stringify(document), 'absent', { durability: 'relaxed' })
  await server.store.put(statusKey(output), JSON.stringify({ ...document, lastError }), 'absent')
  while ((await server.result<WireOutput>('GET', `${outputs}/${output}`)).status === null) await server.store.get('x')
  assert.deepEqual((await server.result('GET', path)).status, running)
  const live = await server.result<WireOutput>('GET', `${outputs}/${output}`)
  assert.deepEqual([live.status, live.health], [running, { lastError }])
  assertMatches(outputAnswer, live)
  assert.deepEqual(asked[0], ['node-1', 7])

  isAlive = false
  const ended = (await server.result('GET', path)).status!
  assert.deepEqual(
    [ended.current.state, ended.current.reason, ended.current.statusEnteredAt],
    ['disconnected', 'client_disconnect', running.current.statusLastSeen],
  )
  assert.equal(ended.history.length, 2)
})

test('an output that does nothing says why: disabled, or nobody sends', async () => {
  await using server = await startApi()
  const { outputs } = await newInput(server)
  const { uid } = await server.result<WireOutput>('POST', outputs, { ...destination, enabled: false })
  const current = async () => (await server.result<WireOutput>('GET', `${outputs}/${uid}`)).status?.current
  let second = 0
  const statusIs = async (state: string, reason: string) => {
    const statusEnteredAt = `2026-01-02T03:04:0${second++}.000Z`
    const status: WireStatus = { current: { ...running.current, state, reason, statusEnteredAt }, history: [] }
    const document: StatusDocument = { owner: 'node-1', epoch: 7, status }
    await server.store.put(statusKey(uid as OutputId), JSON.stringify(document), 'any')
    while ((await current())?.statusEnteredAt !== statusEnteredAt) await server.store.get('x')
  }
  assert.equal(await current(), undefined, 'null before the first push, disabled or not')
  await statusIs('disconnected', 'client_disconnect')
  assert.deepEqual([(await current())?.state, (await current())?.reason], ['disconnected', 'disabled'])
  await server.result('PUT', `${outputs}/${uid}`, { enabled: true })
  assert.deepEqual([(await current())?.state, (await current())?.reason], ['disconnected', 'client_disconnect'])
  await statusIs('disconnected', 'disabled')
  assert.deepEqual([(await current())?.state, (await current())?.reason], ['disconnected', 'client_disconnect'])
  await statusIs('connected', 'connected')
  await server.result('PUT', `${outputs}/${uid}`, { enabled: false })
  assert.equal((await current())?.state, 'connected', 'not before it is true')
})

test('every state has a reason on the wire', () => {
  const until = { nextAttemptAt: 0 }
  const outputStates: OutputState[] = [
    ...[{ name: 'idle' } as const, { name: 'connected' } as const, { name: 'disabled' } as const],
    ...connectingSteps.map((step) => ({ name: 'connecting', step }) as const),
    { name: 'reconnecting', reason: 'no_progress', ...until },
    { name: 'error', reason: 'publish_denied', ...until },
  ]
  const inputStates: InputState[] = [{ name: 'disconnected' }, { name: 'connected' }, { name: 'held', until: 0 }]
  const words = [
    ...outputStates.map(outputWords),
    ...inputStates.flatMap((state) => [inputWords(state, false), inputWords(state, true)]),
  ]
  for (const { state, reason } of words) assert.ok(state !== '' && reason !== '')
})

test('a status that cannot be read does not hide the input', async () => {
  await using server = await startApi()
  const { uid, path } = await newInput(server)
  await server.store.put(statusKey(uid), '{"status": 7}', 'absent')
  while (!server.log.some(({ level }) => level === 'error')) {
    assert.equal((await server.result('GET', path)).status, null)
  }
})

test('health is what the bus said last, for five seconds', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const { uid, path, outputs } = await newInput(server)
  const output = (await server.result<WireOutput>('POST', outputs, destination)).uid as OutputId
  const idle = (await server.result<WireOutput>('POST', outputs, destination)).uid
  const health: OutputHealth = {
    ...{
      bitrateKbps: 6000,
      bytesSent: 1,
      messagesSent: 2,
      droppedMessages: 3,
      dropped: { lag: 3, overtaken: 0, late: 0 },
      droppedMs: 4,
      lagMs: 5,
      attempts: 1,
    },
    reconnects: 0,
    lastError: { code: 'no_progress', message: 'took no data for 10 s', at: '2026-01-02T03:04:05.000Z' },
    warning: { code: 'too_slow', message: 'accepts 3.1 of 6.0 Mbit/s' },
  }
  const figures: InputFigures = {
    accountId: account,
    inputId: uid,
    at: '2026-01-02T03:04:05.000Z',
    input: { bitrateKbps: 6001, bytesReceived: 9, video: { codec: 'avc' }, warnings: [] },
    outputs: { [output]: health },
  }
  server.bus.publish(figuresSubject(account, uid), figures)
  server.bus.publish(figuresSubject(account, unknownId as LiveInputId), { nonsense: true })
  await new Promise((resolve) => setImmediate(resolve))
  const input = await server.result('GET', path)
  assert.deepEqual(input.health, figures.input)
  assertMatches(liveInputAnswer, input)
  const [first, second] = await server.result<WireOutput[]>('GET', outputs)
  assert.deepEqual(first!.health, health)
  assertMatches(outputAnswer, first)
  assert.ok(!('health' in second!), String(idle))
  // Without outputs, where they do what they have been doing.
  clock.advance(4_000)
  const { outputs: _, ...only } = figures
  server.bus.publish(figuresSubject(account, uid), { ...only, input: { ...figures.input, bytesReceived: 10 } })
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(4_000)
  assert.equal((await server.result<{ health: { bytesReceived: number } }>('GET', path)).health.bytesReceived, 10)
  assert.deepEqual((await server.result<WireOutput[]>('GET', outputs))[0]!.health, health)
  clock.advance(5_001)
  assert.ok(!('health' in (await server.result('GET', path))))
  assert.ok(!('health' in (await server.result<WireOutput>('GET', `${outputs}/${output}`))))
})
