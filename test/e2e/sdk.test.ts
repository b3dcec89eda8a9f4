import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import Cloudflare, { APIError, BadRequestError, NotFoundError, PermissionDeniedError } from 'cloudflare'
import { startDestination } from '../support/destination.ts'
import { publish } from '../support/publisher.ts'
import { type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** The official `cloudflare` package against the server's own process, as a program that was written for Cloudflare uses it. */

const timeout = 60_000
const unknownId = 'f'.repeat(32)

let server: ServerUnderTest
before(async () => {
  server = await startServer({ settings: { MAX_OUTPUTS: '3', MAX_LIVE_INPUTS: '5' } })
})
after(() => server[Symbol.asyncDispose]())

/** A client with the SDK's own defaults (two retries), which counts what it sends. */
function client(options: { readonly apiToken?: string; readonly ending?: string } = {}): {
  readonly cf: Cloudflare
  readonly sent: string[]
} {
  const sent: string[] = []
  const cf = new Cloudflare({
    baseURL: server.baseUrl + (options.ending ?? ''),
    apiToken: options.apiToken ?? server.token,
    fetch: (url, init) => {
      sent.push(`${init?.method ?? 'GET'} ${new URL(String(url)).pathname}`)
      return server.fetch(url, init)
    },
  })
  return { cf, sent }
}

/** The rows of a list: Cloudflare answers a bare array, its types say `{liveInputs, range, total}`. */
function rows(list: unknown): { uid: string; id: string }[] {
  return Array.isArray(list) ? list : ((list as { liveInputs?: { uid: string; id: string }[] }).liveInputs ?? [])
}

for (const ending of ['', '/'])
  test(`the whole life of an input and its outputs (base url ending in "${ending}")`, { timeout }, async () => {
    const account_id = server.accountId
    const { cf, sent } = client({ ending })
    const inputs = cf.stream.liveInputs

    const created = await inputs.create({
      account_id,
      meta: { name: 'test stream 1' },
      recording: { mode: 'automatic', timeoutSeconds: 10 },
    })
    const uid = created.uid!
    assert.match(uid, /^[0-9a-f]{32}$/)
    assert.equal(created.rtmps?.url, `rtmps://localhost:${server.ports.rtmps}/live/`)
    assert.match(created.rtmps?.streamKey ?? '', new RegExp(`^[0-9a-f]{32}k${uid}$`))
    assert.equal(created.enabled, true)
    assert.equal(created.status ?? null, null)
    assert.ok(Date.parse(created.created!) <= Date.now() && created.modified === created.created)

    const read = await inputs.get(uid, { account_id })
    assert.deepEqual(read, created)
    const disabled = await inputs.update(uid, { account_id, enabled: false })
    assert.deepEqual([disabled.enabled, disabled.meta], [false, { name: 'test stream 1' }])
    const enabled = await inputs.update(uid, {
      account_id,
      enabled: true,
      deleteRecordingAfterDays: null as unknown as number,
    })
    assert.equal(enabled.enabled, true)

    const list = rows(await inputs.list({ account_id }))
    assert.ok(list.some((item) => item.uid === uid && item.id === uid))
    assert.ok(list.every((item) => !('rtmps' in item)))
    const counted = await inputs.list({ account_id, include_counts: true })
    assert.ok(rows(counted).some((item) => item.uid === uid))
    assert.deepEqual([counted.range, counted.total], [1, 1])

    const ofInput = { account_id, live_input_identifier: uid }
    const output = await inputs.outputs.create(uid, {
      account_id,
      url: 'rtmp://a.rtmp.youtube.com/live2',
      streamKey: 'uzya-f19y',
    })
    assert.deepEqual(output, {
      uid: output.uid,
      url: 'rtmp://a.rtmp.youtube.com/live2',
      streamKey: 'uzya-f19y',
      enabled: true,
      status: null,
    })
    const off = await inputs.outputs.update(output.uid!, { ...ofInput, enabled: false })
    assert.equal(off.enabled, false)
    const outputs: unknown[] = []
    for await (const each of inputs.outputs.list(uid, { account_id })) outputs.push(each)
    assert.deepEqual(outputs, [off])

    for (const verb of ['disable', 'enable', 'rotate_keys']) {
      const path = `/accounts/${account_id}/stream/live_inputs/${uid}/${verb}`
      const { result } = await cf.post<{ result: Cloudflare.Stream.LiveInput & { keysRotatedAt?: string } }>(path)
      assert.equal(result.enabled, verb !== 'disable')
      assert.equal(result.uid, uid)
      assert.equal(result.rtmps?.streamKey !== created.rtmps?.streamKey, verb === 'rotate_keys')
      assert.equal(result.keysRotatedAt !== undefined, verb === 'rotate_keys')
    }
    const videos = await cf.get<{ result: unknown }>(`/accounts/${account_id}/stream/live_inputs/${uid}/videos`)
    assert.deepEqual(videos.result, [])

    await inputs.outputs.delete(output.uid!, ofInput)
    assert.deepEqual((await inputs.outputs.list(uid, { account_id })).result, [])
    await inputs.delete(uid, { account_id })
    await assert.rejects(
      async () => inputs.get(uid, { account_id }),
      (error) => error instanceof NotFoundError && error.errors[0]?.code === 10003,
    )
    assert.deepEqual(rows(await inputs.list({ account_id })), [])
    // Each call above was one request: nothing that it answered made the SDK ask again.
    assert.equal(sent.length, 18)
  })

type Call = (cf: Cloudflare, known: { account_id: string; uid: string }) => Promise<unknown>

const refusals: readonly {
  readonly name: string
  readonly call: Call
  readonly type: typeof BadRequestError | typeof NotFoundError | typeof PermissionDeniedError
  readonly code: number
  readonly pointer?: string
  readonly apiToken?: string
}[] = [
  {
    name: 'an unknown input',
    call: async (cf, { account_id }) => cf.stream.liveInputs.get(unknownId, { account_id }),
    type: NotFoundError,
    code: 10003,
  },
  {
    name: 'an output of an unknown input',
    call: async (cf, { account_id }) =>
      cf.stream.liveInputs.outputs.create(unknownId, { account_id, url: 'rtmp://a.example/b', streamKey: 'k' }),
    type: NotFoundError,
    code: 10003,
  },
  {
    name: 'an unknown output',
    call: async (cf, { account_id, uid }) =>
      cf.stream.liveInputs.outputs.delete(unknownId, { account_id, live_input_identifier: uid }),
    type: NotFoundError,
    code: 10003,
  },
  {
    name: 'an id that is none',
    call: async (cf, { account_id }) => cf.stream.liveInputs.get('not-an-id', { account_id }),
    type: NotFoundError,
    code: 7003,
  },
  {
    name: 'a scheme that is not RTMP',
    call: async (cf, { account_id, uid }) =>
      cf.stream.liveInputs.outputs.create(uid, { account_id, url: 'srt://a.example', streamKey: 'k' }),
    type: BadRequestError,
    code: 10005,
    pointer: '/url',
  },
  {
    name: 'no stream key',
    call: async (cf, { account_id, uid }) =>
      cf.stream.liveInputs.outputs.create(uid, {
        account_id,
        url: 'rtmp://a.example/b',
      } as unknown as Cloudflare.Stream.LiveInputs.OutputCreateParams),
    type: BadRequestError,
    code: 10005,
    pointer: '/streamKey',
  },
  {
    name: 'a wrong token',
    call: async (cf, { account_id }) => cf.stream.liveInputs.list({ account_id }),
    type: PermissionDeniedError,
    code: 10000,
    apiToken: 'bad',
  },
  {
    name: "another account's inputs",
    call: async (cf) => cf.stream.liveInputs.list({ account_id: unknownId }),
    type: PermissionDeniedError,
    code: 10000,
  },
]

test('each refusal has the type of the SDK, a code and a sentence, and is asked for once', { timeout }, async (t) => {
  const account_id = server.accountId
  const { uid } = await server.createInput()
  for (const { name, call, type, code, pointer, apiToken } of refusals)
    await t.test(name, async () => {
      const { cf, sent } = client(apiToken === undefined ? {} : { apiToken })
      await assert.rejects(call(cf, { account_id, uid }), (error) => {
        assert.ok(error instanceof type, String(error))
        const told = error.errors[0] as { code?: number; message?: string; source?: { pointer?: string } }
        assert.equal(told.code, code)
        assert.match(told.message ?? '', /\w+ \w+/)
        assert.equal(told.source?.pointer, pointer)
        return true
      })
      assert.equal(sent.length, 1, `asked ${sent.length} times: ${sent.join(', ')}`)
    })
  await server.api('DELETE', `/${uid}`)
})

test('one more than the limits allow is refused for good, and what is there stays', { timeout }, async () => {
  const account_id = server.accountId
  const { cf, sent } = client()
  const inputs = cf.stream.liveInputs
  const made = []
  for (let count = 0; count < 5; count++) made.push((await inputs.create({ account_id })).uid!)
  sent.length = 0
  await assert.rejects(
    async () => inputs.create({ account_id }),
    (error) => error instanceof APIError && error.status! < 500 && /5/.test(error.errors[0]?.message ?? ''),
  )
  const uid = made[0]!
  for (let count = 0; count < 3; count++)
    await inputs.outputs.create(uid, { account_id, url: `rtmp://a.example/${count}`, streamKey: 'k' })
  await assert.rejects(
    async () => inputs.outputs.create(uid, { account_id, url: 'rtmp://a.example/more', streamKey: 'k' }),
    (error) => error instanceof APIError && error.status! < 500 && /3/.test(error.errors[0]?.message ?? ''),
  )
  assert.equal(sent.length, 5)
  assert.equal((await inputs.outputs.list(uid, { account_id })).result.length, 3)
  assert.equal(rows(await inputs.list({ account_id })).length, 5)
  await Promise.all(made.map((each) => inputs.delete(each, { account_id })))
  assert.deepEqual(rows(await inputs.list({ account_id })), [])
})

test('what the SDK creates is what an encoder and a destination meet', { timeout }, async () => {
  const account_id = server.accountId
  const { cf } = client()
  const inputs = cf.stream.liveInputs
  await using destination = await startDestination()
  const created = await inputs.create({ account_id, meta: { name: 'live' } })
  const uid = created.uid!
  const output = await inputs.outputs.create(uid, { account_id, url: destination.url(), streamKey: 'from-the-sdk' })
  const [url, key] = [`rtmps://127.0.0.1:${server.ports.rtmps}/live/`, created.rtmps!.streamKey!]
  await using publisher = await publish({ url, key })
  const stop = new AbortController()
  const sending = publisher.replay(syntheticTags({ kbps: 500, fps: 30 }), { signal: stop.signal })

  const connection = await destination.nextPublish()
  assert.equal(connection.key, 'from-the-sdk')
  await connection.receives(30)
  // Clients in the wild read it like this, past the type, which says string.
  const { status } = (await inputs.get(uid, { account_id })) as unknown as { status: WireStatus }
  assert.equal(status.current.state, 'connected')
  const [listed] = (await inputs.outputs.list(uid, { account_id })).result as unknown as { status: WireStatus }[]
  assert.match(listed!.status.current.state, /^connect(ing|ed)$/)

  await inputs.outputs.update(output.uid!, { account_id, live_input_identifier: uid, enabled: false })
  assert.deepEqual(await connection.ends(1_000), { how: 'fin', goodbye: true })
  await inputs.outputs.update(output.uid!, { account_id, live_input_identifier: uid, enabled: true })
  const again = await destination.nextPublish()
  await again.receives(30)
  await inputs.delete(uid, { account_id })
  assert.equal((await again.ends(1_000)).goodbye, true)
  await publisher.closed
  stop.abort()
  await sending
})
