import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { z } from 'zod'
import { account, inputsPath, ManualClock, startApi, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { newAccountId, newLiveInputId, newOutputId } from '../model/id.ts'
import { decodeLiveInput, encodeLiveInput, type LiveInput, liveInputKey } from '../model/live-input.ts'
import { liveInputOfKey, newStreamKey } from '../model/stream-key.ts'
import { Secret, SecretBox } from '../secret.ts'
import { deleted, liveInputAnswer, liveInputList, successOf, videoList } from './schemas.ts'

function assertMatches(schema: z.ZodType, value: unknown): void {
  const read = schema.safeParse(value)
  assert.ok(read.success, `${JSON.stringify(value)}: ${read.error?.message}`)
}

test('an input is created with Cloudflare’s shape', async () => {
  await using server = await startApi({ clock: new ManualClock() })
  const { status, body, headers } = await server.call('POST', inputsPath, { meta: { name: 'test stream 1' } })
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^application\/json/)
  assert.equal(headers['cache-control'], 'no-store')
  assertMatches(successOf(liveInputAnswer), body)
  const { uid, rtmps } = body.result as { uid: string; rtmps: { streamKey: string } }
  assert.equal(liveInputOfKey(rtmps.streamKey), uid)
  assert.deepEqual(body, {
    result: {
      uid,
      rtmps: { url: 'rtmps://localhost:1936/live/', streamKey: rtmps.streamKey },
      rtmp: { url: 'rtmp://localhost:1935/live/', streamKey: rtmps.streamKey },
      created: '2026-01-02T03:04:05.678000Z',
      modified: '2026-01-02T03:04:05.678000Z',
      meta: { name: 'test stream 1' },
      deleteRecordingAfterDays: null,
      preferLowLatency: false,
      recording: { mode: 'off', requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
      status: null,
      enabled: true,
    },
    success: true,
    errors: [],
    messages: [],
  })
})

test('a listener that is off is left out of the answer', async () => {
  await using server = await startApi({ addresses: () => ({ rtmpUrl: 'rtmp://localhost:1935/live/' }) })
  const input = await server.result('POST', inputsPath)
  assert.ok('rtmp' in input)
  assert.ok(!('rtmps' in input))
})

test('an input is created without a body, without a Content-Type and with any Content-Type', async () => {
  await using server = await startApi()
  const types = [
    'application/x-www-form-urlencoded',
    'text/plain',
    '',
    'nonsense',
    'multipart/form-data',
    'application/json',
  ]
  for (const type of types) {
    const { status, body } = await server.call('POST', inputsPath, { meta: { type } }, { 'content-type': type })
    assert.equal(status, 200, `${type}: ${JSON.stringify(body)}`)
    assert.deepEqual((body.result as { meta: object }).meta, { type })
  }
  for (const body of [undefined, '', '{}']) assert.deepEqual((await server.result('POST', inputsPath, body)).meta, {})
})

test('the list is a bare array of what tells inputs apart, the newest first, and has no keys', async () => {
  await using server = await startApi()
  const names = ['a', 'b', 'c']
  for (const name of names) await server.result('POST', inputsPath, { meta: { name }, deleteRecordingAfterDays: 45 })
  const answer = await server.call('GET', inputsPath)
  assertMatches(successOf(liveInputList), answer.body)
  const list = answer.body.result as { uid: string; id: string; meta: { name: string } }[]
  assert.deepEqual(
    list.map((item) => item.meta.name),
    ['c', 'b', 'a'],
  )
  for (const item of list) {
    assert.equal(item.id, item.uid)
    const names = ['uid', 'id', 'created', 'modified', 'meta', 'deleteRecordingAfterDays', 'enabled']
    assert.deepEqual(Object.keys(item), names)
  }
  const counted = await server.call('GET', `${inputsPath}?include_counts=true`)
  assertMatches(successOf(liveInputList), counted.body)
  assert.deepEqual(counted.body.result, { liveInputs: list, range: 3, total: 3 })
  assert.deepEqual((await server.call('GET', `${inputsPath}?include_counts=false`)).body.result, list)
})

test('PUT changes what it names, null puts the default back, and nothing else is touched', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath, { meta: { name: 'one' } })
  const path = `${inputsPath}/${created.uid}`
  const disabled = await server.result('PUT', path, { enabled: false })
  assert.deepEqual({ ...disabled, modified: '' }, { ...created, enabled: false, modified: '' })
  assert.ok((disabled.modified as string) > created.modified)
  assert.deepEqual(await server.result('GET', path), disabled)
  assert.deepEqual((await server.result('PUT', path, { meta: { other: [1, null] } })).meta, { other: [1, null] })
  const reset = await server.call('PUT', path, { meta: null, enabled: null })
  assert.deepEqual({ ...(reset.body.result as object), modified: '' }, { ...created, meta: {}, modified: '' })
  // That encoders are let in again is said.
  assert.deepEqual(
    reset.body.messages.map(({ source }) => source?.pointer),
    ['/enabled'],
  )
})

test('what happens while an encoder is away is set, answered, changed and removed', async () => {
  await using server = await startApi()
  const options = { reconnectWindowSeconds: 0, reconnectWindowOnStopSeconds: 3600, holdPicture: true }
  const answer = await server.call('POST', inputsPath, { meta: {}, ...options })
  assertMatches(successOf(liveInputAnswer), answer.body)
  assert.deepEqual(answer.body.messages, [])
  const created = answer.body.result as { uid: string; modified: string }
  const path = `${inputsPath}/${created.uid}`
  const read = async () => {
    const input = await server.result('GET', path)
    const { reconnectWindowSeconds, reconnectWindowOnStopSeconds, holdPicture } = input
    return { reconnectWindowSeconds, reconnectWindowOnStopSeconds, holdPicture }
  }
  assert.deepEqual(await read(), options)
  for (const body of [{}, options, created]) await server.result('PUT', path, body)
  assert.equal((await server.result('GET', path)).modified, created.modified, 'nothing was changed')
  await server.result('PUT', path, { reconnectWindowSeconds: 60, holdPicture: false })
  assert.deepEqual(await read(), { ...options, reconnectWindowSeconds: 60, holdPicture: false })
  await server.result('POST', `${path}/rotate_keys`)
  const removed = { reconnectWindowSeconds: null, reconnectWindowOnStopSeconds: null, holdPicture: null }
  const bare = await server.result('PUT', path, removed)
  for (const name of Object.keys(removed)) assert.ok(!(name in bare), name)
  assert.ok(!('holdPicture' in (await server.result('POST', inputsPath, removed))))
})

test('modified stays as it is when a PUT changes nothing', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath, { meta: { name: 'one' } })
  const path = `${inputsPath}/${created.uid}`
  for (const body of [{}, undefined, { meta: { name: 'one' } }, { enabled: true }, created])
    assert.deepEqual(await server.result('PUT', path, body), created)
  assert.deepEqual(await server.result('POST', `${path}/enable`), created)
})

test('fields that have no effect yet are validated, kept, announced and answered', async () => {
  await using server = await startApi()
  const recording = { mode: 'automatic', timeoutSeconds: 10, requireSignedURLs: false }
  const { body } = await server.call('POST', inputsPath, {
    meta: {},
    recording,
    defaultCreator: 'someone',
    deleteRecordingAfterDays: 30,
    enabld: false,
  })
  const input = body.result as { uid: string }
  assertMatches(successOf(liveInputAnswer), body)
  assert.deepEqual(body.messages.map(({ source }) => source?.pointer).sort(), [
    '/defaultCreator',
    '/deleteRecordingAfterDays',
    '/enabld',
    '/recording',
  ])
  const kept = async () => {
    const entry = await server.store.get(`input.${input.uid}`)
    return decodeLiveInput(entry!.value, server.cipher).kept
  }
  assert.deepEqual(await kept(), { recording, defaultCreator: 'someone', deleteRecordingAfterDays: 30 })
  await server.result('PUT', `${inputsPath}/${input.uid}`, {
    recording: { mode: 'off', timeoutSeconds: null },
    deleteRecordingAfterDays: null,
  })
  assert.deepEqual(await kept(), { recording: { mode: 'off', requireSignedURLs: false }, defaultCreator: 'someone' })
  const { defaultCreator, ...answered } = await server.result('GET', `${inputsPath}/${input.uid}`)
  assert.equal(defaultCreator, 'someone')
  assert.deepEqual(answered.recording, {
    ...{ mode: 'off', requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
  })
  assert.equal(answered.deleteRecordingAfterDays, null)
})

test('what stands in recording and does not belong there is announced, and nothing is said to be kept', async () => {
  await using server = await startApi()
  const { body } = await server.call('POST', inputsPath, {
    recording: { Mode: 'automatic', deleteRecordingAfterDays: 45, mode: 'off' },
  })
  assert.deepEqual(
    body.messages.map(({ message, source }) => [source?.pointer, message]),
    [
      ['/recording/Mode', 'This field is not known and was passed over. Check its spelling.'],
      ['/recording/deleteRecordingAfterDays', 'This field was passed over: it stands beside `recording`, not in it.'],
    ],
  )
})

test('what was read and is sent back changes nothing, and there is nothing to announce', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath, { meta: { name: 'one' } })
  const { body } = await server.call('PUT', `${inputsPath}/${created.uid}`, created)
  assert.deepEqual(body.result, created)
  assert.deepEqual(body.messages, [])
})

test('enable, disable and rotate_keys', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath)
  const path = `${inputsPath}/${created.uid}`
  assert.equal((await server.result('POST', `${path}/disable`)).enabled, false)
  assert.equal((await server.result('POST', `${path}/disable`)).enabled, false)
  assert.equal((await server.result('POST', `${path}/enable`)).enabled, true)
  const before = created.rtmps!
  const rotated = await server.result('POST', `${path}/rotate_keys`)
  const after = rotated.rtmps!
  assert.notEqual(after.streamKey, before.streamKey)
  assert.equal(liveInputOfKey(after.streamKey), created.uid)
  assert.match(rotated.keysRotatedAt!, /^\d{4}-.*\.\d{6}Z$/)
  assertMatches(liveInputAnswer, rotated)
  assert.deepEqual(await server.result('GET', path), rotated)
})

test('an input has an empty list of videos', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath)
  const { body } = await server.call('GET', `${inputsPath}/${created.uid}/videos`)
  assertMatches(successOf(videoList), body)
})

test('DELETE answers 200 and an empty object, whatever body comes with it; then the input is gone', async () => {
  await using server = await startApi()
  for (const body of [undefined, {}, 'no json']) {
    const { uid } = await server.result('POST', inputsPath)
    const answer = await server.call('DELETE', `${inputsPath}/${uid}`, body)
    assert.equal(answer.status, 200)
    assertMatches(deleted, answer.body)
    assert.equal(answer.text, '{}')
    assert.equal((await server.call('GET', `${inputsPath}/${uid}`)).status, 404)
    assert.equal((await server.call('DELETE', `${inputsPath}/${uid}`)).body.errors[0]?.code, 10003)
  }
  assert.deepEqual(await server.result('GET', inputsPath), [])
  assert.deepEqual(await server.store.list(''), [])
})

test('HEAD answers like GET without a body; OPTIONS says which methods there are', async () => {
  await using server = await startApi()
  const head = await server.call('HEAD', inputsPath)
  assert.deepEqual([head.status, head.text], [200, ''])
  const options = await server.api.inject({ method: 'OPTIONS', url: `${inputsPath}/${unknownId}` })
  assert.equal(options.statusCode, 204)
  assert.deepEqual(String(options.headers['allow']).split(', ').sort(), ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PUT'])
})

test('the stream key is sealed in the store', async () => {
  await using server = await startApi()
  const created = await server.result('POST', inputsPath)
  const [entry] = await server.store.list('input')
  assert.ok(!entry!.value.includes(created.rtmps!.streamKey))
  assert.equal(decodeLiveInput(entry!.value, server.cipher).accountId, account)
})

test('an input of another account cannot be seen or touched', async () => {
  const store = new MemoryStore()
  const cipher = new SecretBox(randomBytes(32))
  const uid = newLiveInputId()
  const created = '2026-01-02T03:04:05.678000Z'
  const outputs = [
    { uid: newOutputId(), url: 'rtmp://a.example/x', streamKey: new Secret('k'), enabled: true, created },
  ]
  const others: LiveInput = {
    ...{ uid, accountId: newAccountId(), created, modified: created, meta: {}, enabled: true, outputs },
    streamKey: newStreamKey(uid),
  }
  await store.put(liveInputKey(uid), encodeLiveInput(others, cipher), 'absent')
  const before = await store.list('')
  await using server = await startApi({ store, cipher })
  assert.deepEqual(await server.result('GET', inputsPath), [])
  const path = `${inputsPath}/${uid}`
  const output = { url: 'rtmp://a.example/live', streamKey: 'x' }
  const routes = [
    ['GET', path],
    ['PUT', path, { enabled: false }],
    ['DELETE', path],
    ['POST', `${path}/enable`],
    ['POST', `${path}/disable`],
    ['POST', `${path}/rotate_keys`],
    ['GET', `${path}/videos`],
    ['GET', `${path}/outputs`],
    ['POST', `${path}/outputs`, output],
    ['GET', `${path}/outputs/${outputs[0]!.uid}`],
    ['PUT', `${path}/outputs/${outputs[0]!.uid}`, { enabled: false }],
    ['DELETE', `${path}/outputs/${outputs[0]!.uid}`],
    ['POST', `${path}/outputs/${outputs[0]!.uid}/retry`],
    ['POST', `${path}/outputs/test`, output],
  ] as const
  for (const [method, url, body] of routes) {
    const answer = await server.call(method, url, body)
    assert.deepEqual([answer.status, answer.body.errors[0]?.code], [404, 10003], `${method} ${url}`)
  }
  assert.deepEqual(await store.list(''), before)
})
