import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import Cloudflare, { BadRequestError, ConflictError, NotFoundError, PermissionDeniedError } from 'cloudflare'
import * as sdk4 from 'cloudflare4'
import { type ServerUnderTest, startServer } from '../support/server.ts'

/**
 * The API of today as the official SDK speaks it, the newest and 4.x, against the server's own process. Each answer on the way is held
 * against the server's own /openapi.json.
 */
const timeout = 60_000
const unknownId = 'f'.repeat(32)

type ErrorClass = abstract new (...parts: never[]) => { readonly status?: unknown; readonly errors?: unknown }
type OutputCalls = {
  readonly enable: (enabled: boolean) => PromiseLike<{ enabled?: boolean }>
  readonly delete: () => PromiseLike<unknown>
}
type Sdk = {
  readonly version: string
  readonly open: (options: { baseURL: string; apiToken: string; fetch: typeof fetch }) => Cloudflare
  /** 4.x takes both ids in the path's order, the newest one among the parameters. */
  readonly ofOutput: (cf: Cloudflare, input: string, output: string) => OutputCalls
  readonly errors: Readonly<Record<'BadRequest' | 'Conflict' | 'NotFound' | 'PermissionDenied', ErrorClass>>
}

const sdks: readonly Sdk[] = [
  {
    version: 'newest',
    open: (options) => new Cloudflare(options),
    ofOutput: (cf, live_input_identifier, output) => {
      const params = { account_id: server.accountId, live_input_identifier }
      return {
        enable: (enabled) => cf.stream.liveInputs.outputs.update(output, { ...params, enabled }),
        delete: () => cf.stream.liveInputs.outputs.delete(output, params),
      }
    },
    errors: {
      BadRequest: BadRequestError,
      Conflict: ConflictError,
      NotFound: NotFoundError,
      PermissionDenied: PermissionDeniedError,
    },
  },
  {
    version: '4.x',
    // The two have the same names and speak the same; their types are of different packages.
    open: (options) => new sdk4.Cloudflare(options as never) as unknown as Cloudflare,
    ofOutput: (cf, input, output) => {
      const { outputs } = (cf as unknown as sdk4.Cloudflare).stream.liveInputs
      const params = { account_id: server.accountId }
      return {
        enable: (enabled) => outputs.update(input, output, { ...params, enabled }),
        delete: () => outputs.delete(input, output, params),
      }
    },
    errors: {
      BadRequest: sdk4.BadRequestError,
      Conflict: sdk4.ConflictError,
      NotFound: sdk4.NotFoundError,
      PermissionDenied: sdk4.PermissionDeniedError,
    },
  },
]

let server: ServerUnderTest
before(async () => {
  server = await startServer({ settings: { RATE_LIMIT: '1000' } })
})
after(() => server[Symbol.asyncDispose]())

/** With the SDK's own defaults, two retries among them; `sent` counts what goes out. */
function client({ open }: Sdk, apiToken = server.token): { readonly cf: Cloudflare; readonly sent: string[] } {
  const sent: string[] = []
  const held: typeof fetch = async (url, init) => {
    const method = init?.method?.toUpperCase() ?? 'GET'
    sent.push(`${method} ${new URL(String(url)).pathname}`)
    const { headers = {}, body = null, signal = null } = init ?? {}
    const answer = await server.fetch(String(url), { method, headers, body, signal })
    assert.match(answer.headers.get('ratelimit') ?? '', /^"default";r=\d+;t=\d+$/)
    return answer
  }
  return { cf: open({ baseURL: server.baseUrl, apiToken, fetch: held }), sent }
}

/** Cloudflare answers a bare array where the types say `{liveInputs, range, total}`. */
function rows(list: unknown): { uid: string; rtmps?: unknown }[] {
  return Array.isArray(list) ? list : ((list as { liveInputs: { uid: string }[] }).liveInputs ?? [])
}

const firstCodeOf = (error: unknown) => (error as { errors: { code: number }[] }).errors[0]?.code

for (const one of sdks) {
  test(`SDK ${one.version}: everything that a program does with live inputs and outputs`, { timeout }, async () => {
    const account_id = server.accountId
    const { cf, sent } = client(one)
    const inputs = cf.stream.liveInputs
    const keyed = { headers: { 'Idempotency-Key': `today-${one.version}` } }

    const a = await inputs.create(
      { account_id, meta: { name: 'test stream 1' }, recording: { mode: 'automatic', timeoutSeconds: 10 } },
      keyed,
    )
    const uid = a.uid ?? ''
    assert.match(uid, /^[0-9a-f]{32}$/)
    assert.ok(a.rtmps?.url && a.rtmps.streamKey)
    assert.equal(a.enabled, true)
    assert.equal(a.status ?? null, null)
    assert.deepEqual([a.recording?.mode, a.recording?.timeoutSeconds], ['automatic', 10])
    assert.equal((await inputs.create({ account_id }, keyed)).uid, uid)
    assert.equal((await inputs.get(uid, { account_id })).rtmps?.streamKey, a.rtmps.streamKey)

    const b = await inputs.update(uid, { account_id, enabled: false })
    assert.equal(b.enabled, false)
    assert.deepEqual(b.meta, { name: 'test stream 1' })
    const c = await inputs.update(uid, {
      account_id,
      enabled: true,
      deleteRecordingAfterDays: null as unknown as number,
    })
    assert.equal(c.deleteRecordingAfterDays, null)
    assert.equal((await inputs.update(uid, { account_id, deleteRecordingAfterDays: 30 })).deleteRecordingAfterDays, 30)

    const list = await inputs.list({ account_id })
    assert.ok(Array.isArray(list))
    const counted = await inputs.list({ account_id, include_counts: true })
    assert.equal(counted.total, counted.range)
    for (const each of [list, counted]) {
      assert.ok(rows(each).some((item) => item.uid === uid))
      assert.ok(!('rtmps' in rows(each)[0]!))
    }

    const wish = { account_id, url: 'rtmp://a.rtmp.youtube.com/live2', streamKey: 'uzya-f19y' }
    const o = await inputs.outputs.create(uid, wish)
    assert.equal(o.enabled, true)
    const calls = one.ofOutput(cf, uid, o.uid ?? '')
    const off = await calls.enable(false)
    assert.equal(off.enabled, false)
    const outputs = []
    for await (const each of inputs.outputs.list(uid, { account_id })) outputs.push(each.uid)
    assert.deepEqual(outputs, [o.uid])

    const path = `/accounts/${account_id}/stream/live_inputs/${uid}`
    for (const verb of ['disable', 'enable', 'rotate_keys']) {
      const { result } = await cf.post<{ result: typeof a & { keysRotatedAt?: string } }>(`${path}/${verb}`)
      assert.equal(result.enabled, verb !== 'disable')
      assert.equal(result.uid, uid)
      if (verb !== 'rotate_keys') continue
      assert.notEqual(result.rtmps?.streamKey, a.rtmps.streamKey)
      assert.ok(result.keysRotatedAt)
    }
    assert.deepEqual((await cf.get<{ result: unknown }>(`${path}/videos`)).result, [])

    const found = await cf.get<{ result: { uid: string }[]; result_info: object }>(
      `/accounts/${account_id}/stream/live_inputs`,
      { query: { search: uid, sort: '-modified', limit: 1, include: 'status,health' } },
    )
    assert.deepEqual(
      found.result.map((item) => item.uid),
      [uid],
    )
    assert.deepEqual(found.result_info, { count: 1, total_count: 1 })

    await calls.delete()
    assert.equal((await inputs.outputs.list(uid, { account_id })).result.length, 0)
    await inputs.delete(uid, { account_id })
    assert.equal(new Set(sent).size > 10, true)
  })

  test(`SDK ${one.version}: errors arrive as its typed classes, and nothing is sent again`, { timeout }, async () => {
    const account_id = server.accountId
    const { cf, sent } = client(one)
    const inputs = cf.stream.liveInputs
    const keyed = { headers: { 'Idempotency-Key': `errors-${one.version}` } }
    const gone = (await inputs.create({ account_id }, keyed)).uid ?? ''
    await inputs.delete(gone, { account_id })
    const badUrl = { account_id, url: 'srt://a', streamKey: 'k' }
    const stranger = client(one, 'bad')
    const { BadRequest, Conflict, NotFound, PermissionDenied } = one.errors
    const cases: readonly (readonly [string, () => PromiseLike<unknown>, ErrorClass, number, number])[] = [
      ['a deleted input', () => inputs.get(gone, { account_id }), NotFound, 404, 10003],
      ['an unknown output', () => one.ofOutput(cf, gone, unknownId).enable(true), NotFound, 404, 10003],
      ['the key of a deleted input', () => inputs.create({ account_id }, keyed), Conflict, 409, 11410],
      [
        'a retention out of range',
        () => inputs.create({ account_id, deleteRecordingAfterDays: 7 }),
        BadRequest,
        400,
        10060,
      ],
      ['a bad url', () => inputs.outputs.create(gone, badUrl), BadRequest, 400, 10005],
      ['another account', () => inputs.list({ account_id: unknownId }), PermissionDenied, 403, 10000],
    ]
    for (const [name, call, Typed, status, code] of cases) {
      sent.length = 0
      await assert.rejects(
        async () => call(),
        (error) => {
          assert.ok(error instanceof Typed, `${name}: ${error}`)
          assert.deepEqual([(error as { status?: number }).status, firstCodeOf(error)], [status, code], name)
          return true
        },
      )
      assert.equal(sent.length, 1, `${name}: ${sent.join(', ')}`)
    }
    await assert.rejects(
      async () => stranger.cf.stream.liveInputs.list({ account_id }),
      (error) => error instanceof PermissionDenied && firstCodeOf(error) === 10000,
    )
    assert.equal(stranger.sent.length, 1)
  })
}

test('what needs no token: the lifecycle, the figures, the page', { timeout }, async () => {
  const headers = { connection: 'close' }
  const ask = (path: string, init: RequestInit = {}) => fetch(server.origin + path, { headers, ...init })
  const { cf } = client(sdks[0]!)
  const { uid } = await cf.stream.liveInputs.create({ account_id: server.accountId })
  assert.deepEqual(await (await ask(`/${uid}/lifecycle`)).json(), { isInput: true, videoUID: null, live: false })
  assert.equal((await ask(`/${unknownId}/lifecycle`)).status, 404)
  const figures = await (await ask('/metrics')).text()
  assert.match(figures, /^stream_connect_http_request_seconds_count\{.*live_inputs.*\} \d+$/m)
  assert.ok(!figures.includes(uid ?? '?'))
  assert.match(await (await ask('/docs')).text(), /Create a live input/)
  assert.equal((await ask('/healthz')).status, 200)
  assert.equal((await ask('/readyz')).status, 200)
})
