import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
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

const execute = promisify(execFile)

test('the curl lines of the documentation work as they stand', async () => {
  await using server = await startApi()
  const { port } = await server.api.listen('127.0.0.1', 0)
  const environment: Record<string, string> = {
    ...{ PATH: process.env['PATH'] ?? '', TOKEN: token, ACCOUNT: account },
    INPUTS: `http://127.0.0.1:${port}/client/v4/accounts/${account}/stream/live_inputs`,
  }
  /** `$INPUTS` is host and path; all else is typed as the documentation has it. */
  const type = async (line: string) => {
    const { stdout } = await execute('sh', ['-c', `curl --silent --show-error ${line}`], { env: environment })
    return JSON.parse(stdout) as { success: boolean; errors: []; messages: object[]; result: Record<string, unknown> }
  }
  const bearer = '-H "Authorization: Bearer $TOKEN"'

  const created = await type(`-X POST ${bearer} $INPUTS --data '{"meta": {"name":"test stream 1"}}'`)
  assert.deepEqual([created.success, created.errors, created.messages], [true, [], []])
  assert.deepEqual(created.result['meta'], { name: 'test stream 1' })
  environment['INPUT_UID'] = String(created.result['uid'])
  const added = await type(
    `-X POST --data '{"url": "rtmp://a.rtmp.youtube.com/live2","streamKey": "<redacted>"}' ${bearer} $INPUTS/$INPUT_UID/outputs`,
  )
  assert.equal(added.success, true)
  environment['OUTPUT_UID'] = String(added.result['uid'])
  const read = await type(`${bearer} $INPUTS/$INPUT_UID`)
  assert.deepEqual(read.result, { ...created.result, modified: read.result['modified'] })
  assert.equal(((await type(`${bearer} $INPUTS`)).result as unknown as object[]).length, 1)
  assert.deepEqual((await type(`${bearer} $INPUTS/$INPUT_UID/outputs`)).result, [added.result])

  const disabled = await type(`-X PUT ${bearer} $INPUTS/$INPUT_UID --data '{"enabled": false}'`)
  assert.equal(disabled.result['enabled'], false)
  const off = await type(`-X PUT ${bearer} $INPUTS/$INPUT_UID/outputs/$OUTPUT_UID --data '{"enabled": false}'`)
  assert.equal(off.result['enabled'], false)
  assert.equal((await type(`-X POST ${bearer} $INPUTS/$INPUT_UID/enable`)).result['enabled'], true)
  assert.equal((await type(`-X POST ${bearer} $INPUTS/$INPUT_UID/disable`)).result['enabled'], false)
  assert.ok((await type(`-X POST ${bearer} $INPUTS/$INPUT_UID/rotate_keys`)).result['keysRotatedAt'])
  const recorded = await type(
    `-X POST ${bearer} $INPUTS --data '{"meta": {"name":"test stream"},"recording": { "mode": "automatic", "timeoutSeconds": 10, "requireSignedURLs": false }}'`,
  )
  assert.equal(recorded.success, true)

  assert.deepEqual(await type(`-X DELETE ${bearer} $INPUTS/$INPUT_UID/outputs/$OUTPUT_UID`), {})
  assert.deepEqual((await type(`${bearer} $INPUTS/$INPUT_UID/outputs`)).result, [])
  assert.deepEqual(await type(`-X DELETE ${bearer} $INPUTS/$INPUT_UID`), {})
  const gone = await type(`${bearer} $INPUTS/$INPUT_UID`)
  assert.deepEqual([gone.success, gone.result], [false, null])
})
