import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ApiFixture, account, inputsPath, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryBus } from '../../test/support/memory-bus.ts'
import type { Plain } from '../bus/bus.ts'
import { failureAnswer } from './schemas.ts'

/** Answers whatever is asked of what runs, so that a 503 is a mistake of the API. */
class AnsweringBus extends MemoryBus {
  override async request(): Promise<Plain> {
    return {
      retried: true,
      ok: true,
      steps: [],
      deliveries: [],
      hasMore: false,
      at: '2026-01-02T03:04:05.678Z',
      status: 200,
      durationMs: 1,
    }
  }
}

/** A request that takes longer than this has hung. */
const answeredWithinMs = 5_000
const requestsPerRoute = 20

/** Texts that have broken readers of JSON, and bodies that are right but for one thing. */
const corpus: readonly string[] = [
  ...[
    '',
    ' ',
    '{',
    '}',
    '[',
    '"',
    'null',
    'true',
    '7',
    '-0',
    '1e999',
    'NaN',
    '"text"',
    '[]',
    '[{}]',
    '{}',
    '\u0000',
    '\ufeff{}',
  ],
  ...['{"a":1,"a":2}', '{"enabled":true,"enabled":false}', '{"meta":{"x":1,"x":2}}', '{"a":1}{"b":2}', '{"a":1,}'],
  ...['{"__proto__":{"enabled":true}}', '{"meta":{"__proto__":1}}', '{"constructor":{"prototype":{"x":1}}}'],
  ...['{"toString":1,"hasOwnProperty":null,"valueOf":[]}', '{"then":true}', '{"length":-1}'],
  '['.repeat(100_000),
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  `{"meta":{"a":"${'x'.repeat(90_000)}"}}`,
  `{"meta":${JSON.stringify(Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`n${index}`, index])))}}`,
  'x'.repeat(200_000),
  '{"url":"rtmp://a.example/live","streamKey":"\\ud800"}',
  '{"url":["rtmp://a.example/live"],"streamKey":{"toString":"x"}}',
  '{"url":"rtmp://a.example/live","streamKey":"k","tls":{"verify":"no"},"resumeSeconds":-1}',
  '{"recording":{"mode":{},"allowedOrigins":[[]],"timeoutSeconds":9007199254740993}}',
  '{"deleteRecordingAfterDays":1e308,"preferLowLatency":"yes","defaultCreator":[]}',
  '{"name":"n","scopes":["Stream Write","Stream Write"],"expires_on":"9999-99-99T99:99:99Z"}',
  '{"name":"n","scopes":[],"expires_on":"-271821-04-20T00:00:00Z"}',
  '{"name":"n","url":"http://[::1]:99999/","secret":{}}',
]

/** Names that mean something somewhere: what is random alone never gets past the first check. */
const names = (
  'meta enabled url streamKey name recording mode deleteRecordingAfterDays tls verify fingerprint resumeSeconds username password ' +
  'output_id scopes expires_on email secret filters mechanisms webhooks id enabled alert_type all_accounts holdPicture __proto__ constructor'
).split(' ')

const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      null,
      true,
      false,
      0,
      -1,
      1e308,
      '',
      'rtmp://a.example/live',
      'https://a.example/',
      unknownId,
      'Stream Read',
    ),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.double(),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 10 })), tie('value'), { maxKeys: 6 }),
  ),
})).value

const body = fc.oneof(
  fc.constantFrom(...corpus),
  value.map((one) => JSON.stringify(one) ?? ''),
  fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 8 }).map((one) => JSON.stringify(one)),
  fc.string({ unit: 'binary', maxLength: 200 }),
)

const query = fc.oneof(
  fc.constant(''),
  fc
    .array(
      fc.tuple(
        fc.constantFrom(
          'search',
          'sort',
          'limit',
          'cursor',
          'include',
          'include_counts',
          'page',
          'per_page',
          'before',
          'x',
        ),
        fc.oneof(
          fc.constantFrom('-1', '1', 'name', 'true', 'status', '[]', '%', '__proto__'),
          fc.string({ maxLength: 30 }),
        ),
      ),
      { maxLength: 4 },
    )
    .map((pairs) => `?${new URLSearchParams(pairs)}`),
  fc.constantFrom('?%', '?%ff=%00', '?a[b]=c&a=d', `?${'x=1&'.repeat(2_000)}`, '?__proto__[x]=1', '?constructor=1'),
)

const junkIds = [
  '0',
  '..',
  '%2e%2e',
  '%00',
  '%ff',
  '__proto__',
  'constructor',
  'A'.repeat(32),
  'a'.repeat(33),
  'x'.repeat(2_000),
]

/** As a browser sends it from the dashboard's own page. */
const ofDashboard = { 'x-stream-connect': 'dashboard', 'sec-fetch-site': 'same-origin' }

type Ids = { readonly input: string; readonly output: string }

async function seeded(): Promise<ApiFixture & Ids> {
  const server = await startApi({ bus: new AnsweringBus() })
  const { uid } = await server.result('POST', inputsPath)
  const wish = { url: 'rtmp://a.example/live', streamKey: 'k' }
  const output = await server.result<{ uid: string }>('POST', `${inputsPath}/${uid}/outputs`, wish)
  return Object.assign(server, { input: uid, output: output.uid })
}

/** An id for a place in a path: one that is there, one that is not, or none at all. */
function idFor(name: string, { input, output }: Ids): fc.Arbitrary<string> {
  const right = name === 'account_id' ? account : name === 'output_id' ? output : input
  return fc.oneof({ weight: 8, arbitrary: fc.constant(right) }, fc.constant(unknownId), fc.constantFrom(...junkIds))
}

test('whatever is sent, to whatever route, is answered in the envelope, never with 5xx, and soon', {
  timeout: 240_000,
}, async () => {
  // Endless by nature once they are asked for rightly: they are tried below.
  const routes = (await routesOf()).filter(({ path }) => !path.endsWith('/stream/events'))
  assert.ok(routes.length > 50)
  const statuses = new Set<number>()
  for (const [seed, { method, path }] of routes.entries()) {
    // Anew for each: what one deletes, another needs.
    await using server = await seeded()
    const inPath = path
      .split('/')
      .map((token) => (token.startsWith(':') ? idFor(token.slice(1), server) : fc.constant(token)))
    const request = fc.record({ url: fc.tuple(...inPath).map((tokens) => tokens.join('/')), query, body })
    const isDashboard = path.startsWith('/dashboard/')
    // Of the public routes none reads a body, and two make long texts.
    const numRuns = path.startsWith('/client/v4') || isDashboard ? requestsPerRoute : 5
    for (const one of fc.sample(request, { numRuns, seed }))
      statuses.add(await check(server, method, one, isDashboard ? ofDashboard : {}))
  }
  for (const status of [200, 400, 403, 404, 405, 413]) assert.ok(statuses.has(status), `none was ${status}`)
})

async function routesOf() {
  await using server = await startApi()
  return server.api.routes.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS')
}

test('what is wrong with the query of the events is answered, too', async () => {
  await using server = await seeded()
  const url = `/client/v4/accounts/${account}/stream/events`
  for (const inputs of ['x', '%00', '__proto__', 'a'.repeat(5_000), ',,,'])
    await check(server, 'GET', { url, query: `?inputs=${inputs}`, body: '' })
})

async function check(
  server: ApiFixture,
  method: string,
  { url, query: search, body: payload }: { url: string; query: string; body: string },
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  const hung = Promise.withResolvers<never>()
  const timer = setTimeout(() => hung.reject(new Error('hung')), answeredWithinMs)
  const told = `${method} ${url.slice(0, 200)}${search.slice(0, 100)} ${payload.slice(0, 200)}`
  const hasBody = method !== 'GET' && method !== 'HEAD'
  try {
    const headers = { authorization: `Bearer ${token}`, ...more }
    const request = server.api.inject({
      method: method as 'GET',
      url: url + search,
      headers,
      ...(hasBody && { payload }),
    })
    const answer = await Promise.race([request, hung.promise])
    assert.ok(answer.statusCode < 500, `${told}: ${answer.statusCode} ${answer.body}`)
    if (answer.statusCode >= 400 && method !== 'HEAD') failureAnswer.parse(answer.json())
    return answer.statusCode
  } catch (error) {
    throw new Error(told, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

test('nothing that was sent changes what objects are', () => {
  assert.equal(({} as Record<string, unknown>)['enabled'], undefined)
  assert.deepEqual(Object.keys(Object.prototype), [])
})
