import assert from 'node:assert/strict'
import { test } from 'node:test'
import Cloudflare, { BadRequestError, ConflictError, NotFoundError, PermissionDeniedError } from 'cloudflare'
import { account, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { CodedError } from '../errors.ts'

const account_id = account

for (const ending of ['', '/'])
  test(`the official SDK does the whole life of an input and its outputs (base url ending in "${ending}")`, async () => {
    await using server = await startApi()
    const { port } = await server.api.listen('127.0.0.1', 0)
    const baseURL = `http://127.0.0.1:${port}/client/v4${ending}`
    const cf = new Cloudflare({ baseURL, apiToken: token, maxRetries: 0 })
    const inputs = cf.stream.liveInputs

    const a = await inputs.create({
      account_id,
      meta: { name: 'test stream 1' },
      recording: { mode: 'automatic', timeoutSeconds: 10 },
    })
    const uid = a.uid!
    assert.match(uid, /^[0-9a-f]{32}$/)
    assert.ok(a.rtmps?.url && a.rtmps.streamKey)
    assert.equal(a.enabled, true)
    assert.equal(a.status ?? null, null)
    assert.deepEqual((await inputs.create({ account_id })).meta, {})
    assert.equal((await inputs.get(uid, { account_id })).rtmps?.streamKey, a.rtmps.streamKey)
    const b = await inputs.update(uid, { account_id, enabled: false })
    assert.equal(b.enabled, false)
    assert.deepEqual(b.meta, { name: 'test stream 1' })
    await inputs.update(uid, { account_id, enabled: true, deleteRecordingAfterDays: null as unknown as number })

    // The types say {liveInputs, range, total}; Cloudflare answers a bare array, and so do we.
    const list = (await inputs.list({ account_id })) as unknown as { uid: string; id: string }[]
    assert.ok(Array.isArray(list))
    assert.ok(list.some((item) => item.uid === uid && item.id === uid))
    assert.ok(!('rtmps' in list[0]!))
    const counted = await inputs.list({ account_id, include_counts: true })
    assert.ok(counted.liveInputs?.some((item) => item.uid === uid))
    assert.deepEqual([counted.range, counted.total], [2, 2])

    const output = await inputs.outputs.create(uid, {
      account_id,
      url: 'rtmp://a.rtmp.youtube.com/live2',
      streamKey: 'uzya-f19y',
    })
    assert.equal(output.enabled, true)
    const ofInput = { account_id, live_input_identifier: uid }
    const off = await inputs.outputs.update(output.uid!, { ...ofInput, enabled: false })
    assert.equal(off.enabled, false)
    const outputs = []
    for await (const each of inputs.outputs.list(uid, { account_id })) outputs.push(each)
    assert.deepEqual(outputs, [off])

    for (const verb of ['disable', 'enable', 'rotate_keys']) {
      const path = `/accounts/${account_id}/stream/live_inputs/${uid}/${verb}`
      const { result } = await cf.post<{ result: Record<string, unknown> }>(path)
      assert.equal(result['enabled'], verb !== 'disable')
      if (verb !== 'rotate_keys') continue
      assert.notEqual((result['rtmps'] as { streamKey: string }).streamKey, a.rtmps.streamKey)
      assert.ok(result['keysRotatedAt'])
      assert.equal(result['uid'], uid)
    }
    const { result: videos } = await cf.get<{ result: unknown }>(
      `/accounts/${account_id}/stream/live_inputs/${uid}/videos`,
    )
    assert.deepEqual(videos, [])

    await inputs.outputs.delete(output.uid!, ofInput)
    assert.equal((await inputs.outputs.list(uid, { account_id })).result.length, 0)
    await inputs.delete(uid, { account_id })
    await assert.rejects(
      async () => inputs.get(uid, { account_id }),
      (error) => error instanceof NotFoundError && error.status === 404 && error.errors[0]?.code === 10003,
    )
    const stranger = new Cloudflare({ baseURL, apiToken: 'bad', maxRetries: 0 })
    await assert.rejects(
      async () => stranger.stream.liveInputs.list({ account_id }),
      (error) => error instanceof PermissionDeniedError && error.errors[0]?.code === 10000,
    )
    await assert.rejects(
      async () => inputs.outputs.create(unknownId, { account_id, url: 'srt://a', streamKey: 'k' }),
      (error) => error instanceof BadRequestError && error.errors[0]?.code === 10005,
    )
  })

test('the SDK does not repeat what cannot go better, and repeats a lost race', async () => {
  const store = new MemoryStore()
  await using server = await startApi({ store })
  const { port } = await server.api.listen('127.0.0.1', 0)
  let requests = 0
  const cf = new Cloudflare({
    baseURL: `http://127.0.0.1:${port}/client/v4`,
    apiToken: token,
    maxRetries: 1,
    fetch: (url, init) => {
      requests++
      return fetch(url, init)
    },
  })
  const { uid } = await cf.stream.liveInputs.create({ account_id })
  requests = 0
  await assert.rejects(async () => cf.stream.liveInputs.get(unknownId, { account_id }), NotFoundError)
  assert.equal(requests, 1)
  requests = 0
  store.before = (operation) => {
    if (operation === 'put') throw new CodedError('revision_conflict')
  }
  await assert.rejects(async () => cf.stream.liveInputs.update(uid!, { account_id, enabled: false }), ConflictError)
  assert.equal(requests, 2)
})
