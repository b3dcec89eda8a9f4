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
import type { LiveInputId, OutputId } from '../model/id.ts'
import type { WireStatus } from '../model/lifecycle.ts'
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
    ...{ bitrateKbps: 6000, bytesSent: 1, messagesSent: 2, droppedMessages: 3, droppedMs: 4, lagMs: 5, attempts: 1 },
    reconnects: 0,
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
  assert.ok(!('health' in second!), String(idle))
  clock.advance(5_001)
  assert.ok(!('health' in (await server.result('GET', path))))
  assert.ok(!('health' in (await server.result<WireOutput>('GET', `${outputs}/${output}`))))
})
