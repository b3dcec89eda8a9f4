import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Answer, account, inputsPath, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { CodedError } from '../errors.ts'
import { apiErrorCodes } from './envelope.ts'
import { failureAnswer } from './schemas.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH'
type Row = {
  readonly name: string
  readonly request: readonly [Method, path: string, body?: unknown]
  readonly headers?: Record<string, string>
  readonly status: number
  readonly codes: readonly number[]
  /** RFC 6901, of each error that has one. */
  readonly pointers?: readonly string[]
  /** Of the first error: what the person is told to do. */
  readonly says: RegExp
}

const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
const input = `${inputsPath}/INPUT`
const outputs = `${input}/outputs`
const output = `${outputs}/OUTPUT`
const good = { url: 'rtmp://a.rtmp.youtube.com/live2', streamKey: 'uzya-f19y' }
/** `INPUT` and `OUTPUT` stand for the ids of an input and an output that exist. */
const rows: readonly Row[] = [
  // Who asks.
  {
    name: 'an empty token',
    request: ['GET', inputsPath],
    headers: { authorization: '' },
    status: 400,
    codes: [6003],
    says: /Invalid request headers/,
  },
  {
    name: 'a wrong token',
    request: ['GET', inputsPath],
    headers: { authorization: 'Bearer bad' },
    status: 403,
    codes: [10000],
    says: /Authentication error/,
  },
  {
    name: 'a token that begins like the right one',
    request: ['GET', inputsPath],
    headers: { authorization: `Bearer ${token.slice(0, -1)}` },
    status: 403,
    codes: [10000],
    says: /Authentication error/,
  },
  {
    name: 'another scheme of authentication',
    request: ['POST', inputsPath, {}],
    headers: { authorization: 'Basic dXNlcjpwYXNz' },
    status: 400,
    codes: [6003],
    says: /Invalid request headers/,
  },
  {
    name: 'a token with characters that none has',
    request: ['GET', inputsPath],
    headers: { authorization: 'Bearer "quoted"' },
    status: 400,
    codes: [6003],
    says: /Invalid request headers/,
  },
  {
    name: 'an account that the token may not use',
    request: ['GET', inputsPath.replace(account, unknownId)],
    status: 403,
    codes: [10000],
    says: /Authentication error/,
  },
  {
    name: 'the wrong token is told before what is wrong with the body',
    request: ['POST', inputsPath, 'no json'],
    headers: { authorization: 'Bearer bad' },
    status: 403,
    codes: [10000],
    says: /Authentication error/,
  },
  // Where to.
  {
    name: 'an unknown path',
    request: ['GET', '/client/v4/zones'],
    status: 404,
    codes: [7003, 7000],
    says: /route to \/zones/,
  },
  {
    name: 'a path outside the API',
    request: ['GET', '/nothing'],
    status: 404,
    codes: [7003, 7000],
    says: /route to \/nothing/,
  },
  { name: 'a broken escape', request: ['GET', '/client/v4/%zz'], status: 404, codes: [7003, 7000], says: /route/ },
  {
    name: 'a method that the path has not',
    request: ['PATCH', input, {}],
    status: 405,
    codes: [7003, 7000],
    says: /route/,
  },
  { name: 'PUT on the collection', request: ['PUT', inputsPath, {}], status: 405, codes: [7003, 7000], says: /route/ },
  {
    name: 'an account that is no id',
    request: ['GET', inputsPath.replace(account, 'mine')],
    status: 404,
    codes: [7003, 7000],
    says: /identifier/,
  },
  {
    name: 'an input that is no id',
    request: ['GET', `${inputsPath}/abc`],
    status: 404,
    codes: [7003, 7000],
    says: /identifier/,
  },
  {
    name: 'an id in capitals',
    request: ['GET', `${inputsPath}/${'F'.repeat(32)}`],
    status: 404,
    codes: [7003, 7000],
    says: /identifier/,
  },
  {
    name: 'an output that is no id',
    request: ['PUT', `${outputs}/..x`, { enabled: true }],
    status: 404,
    codes: [7003, 7000],
    says: /identifier/,
  },
  {
    name: 'a very long id',
    request: ['GET', `${inputsPath}/${'a'.repeat(3000)}`],
    status: 404,
    codes: [7003, 7000],
    says: /route/,
  },
  ...(['GET', 'PUT', 'DELETE'] as const).map((method) => ({
    name: `${method} of an unknown input`,
    request: [method, `${inputsPath}/${unknownId}`, method === 'PUT' ? {} : undefined] as const,
    status: 404,
    codes: [10003],
    says: /no live input f{32}/,
  })),
  {
    name: 'an output for an unknown input',
    request: ['POST', `${inputsPath}/${unknownId}/outputs`, good],
    status: 404,
    codes: [10003],
    says: /no live input/,
  },
  ...(['GET', 'PUT', 'DELETE'] as const).map((method) => ({
    name: `${method} of an unknown output`,
    request: [method, `${outputs}/${unknownId}`, method === 'PUT' ? { enabled: true } : undefined] as const,
    status: 404,
    codes: [10003],
    says: /no output f{32}/,
  })),
  // The body.
  {
    name: 'no JSON',
    request: ['POST', inputsPath, '{"meta":'],
    status: 400,
    codes: [10005],
    pointers: [''],
    says: /not valid JSON/,
  },
  {
    name: 'a form',
    request: ['POST', outputs, 'url=rtmp%3A%2F%2Fa&streamKey=k'],
    status: 400,
    codes: [10005],
    pointers: [''],
    says: /not valid JSON/,
  },
  ...['[]', '"text"', '7', 'null', 'true'].map((body) => ({
    name: `the body ${body}`,
    request: ['POST', inputsPath, body] as const,
    status: 400,
    codes: [10005],
    pointers: [''],
    says: /must be a JSON object/,
  })),
  {
    name: 'a list for an output',
    request: ['POST', outputs, '[]'],
    status: 400,
    codes: [10005],
    pointers: [''],
    says: /must be a JSON object/,
  },
  {
    name: 'nesting that is too deep',
    request: ['POST', inputsPath, `{"meta":${nested(32)}}`],
    status: 400,
    codes: [10005],
    pointers: [`/meta${'/a'.repeat(31)}`],
    says: /nested too deep: at most 32/,
  },
  {
    name: 'nesting of thousands of levels',
    request: ['POST', inputsPath, `{"meta":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
    status: 400,
    codes: [10005],
    says: /nested too deep/,
  },
  {
    name: '__proto__',
    request: ['POST', inputsPath, '{"meta":{"a":[1,{"__proto__":{"x":1}}]}}'],
    status: 400,
    codes: [10005],
    pointers: ['/meta/a/1/__proto__'],
    says: /cannot be used/,
  },
  {
    name: '__proto__ with an escape',
    request: ['POST', inputsPath, '{"\\u005f_proto__":{}}'],
    status: 400,
    codes: [10005],
    pointers: ['/__proto__'],
    says: /cannot be used/,
  },
  {
    name: 'a name given twice',
    request: ['POST', outputs, '{"url":"rtmp://a/x","streamKey":"a","url":"rtmp://b/x"}'],
    status: 400,
    codes: [10005],
    pointers: ['/url'],
    says: /twice/,
  },
  {
    name: 'a name given twice, once with an escape, in a list',
    request: ['POST', inputsPath, '{"meta":{"l":[0,{"a/b":1,"a\\/b":2}]}}'],
    status: 400,
    codes: [10005],
    pointers: ['/meta/l/1/a~1b'],
    says: /twice/,
  },
  {
    name: 'a number that is none',
    request: ['POST', inputsPath, '{"meta":{"n":1e999}}'],
    status: 400,
    codes: [10005],
    says: /./,
  },
  {
    name: 'a body of more than 100 KiB',
    request: ['POST', inputsPath, `{"meta":{}}${' '.repeat(100 * 1024)}`],
    status: 413,
    codes: [11413],
    says: /100 KiB/,
  },
  {
    name: 'a meta of more than 16 KiB',
    request: ['POST', inputsPath, { meta: { name: 'é'.repeat(8 * 1024) } }],
    status: 400,
    codes: [10005],
    pointers: ['/meta'],
    says: /16384 bytes/,
  },
  {
    name: 'a meta of more than 16 KiB by PUT',
    request: ['PUT', input, { meta: { name: 'x'.repeat(16 * 1024) } }],
    status: 400,
    codes: [10005],
    pointers: ['/meta'],
    says: /16384 bytes/,
  },
  {
    name: 'wrong types, all at once',
    request: [
      'POST',
      inputsPath,
      {
        meta: [],
        enabled: 'yes',
        defaultCreator: 7,
        deleteRecordingAfterDays: '45',
        preferLowLatency: 1,
        recording: 'on',
      },
    ],
    status: 400,
    codes: Array(6).fill(10005),
    pointers: ['/meta', '/enabled', '/defaultCreator', '/deleteRecordingAfterDays', '/preferLowLatency', '/recording'],
    says: /Must be an object/,
  },
  {
    name: 'wrong types in recording',
    request: ['PUT', input, { recording: { mode: 'on', allowedOrigins: ['*', 7], timeoutSeconds: -1 } }],
    status: 400,
    codes: [10005, 10005, 10005],
    pointers: ['/recording/mode', '/recording/allowedOrigins/1', '/recording/timeoutSeconds'],
    says: /"off" or "automatic"/,
  },
  ...[29, 1097, -1, 30.5, 1e300].map((days) => ({
    name: `deleteRecordingAfterDays ${days}`,
    request: ['POST', inputsPath, { deleteRecordingAfterDays: days }] as const,
    status: 400,
    codes: [10060],
    pointers: ['/deleteRecordingAfterDays'],
    says: /30 to 1096/,
  })),
  {
    name: 'include_counts that is no truth value',
    request: ['GET', `${inputsPath}?include_counts=maybe`],
    status: 400,
    codes: [10005],
    pointers: ['/include_counts'],
    says: /true or false/,
  },
  {
    name: 'include_counts given twice',
    request: ['GET', `${inputsPath}?include_counts=true&include_counts=false`],
    status: 400,
    codes: [10005],
    pointers: ['/include_counts'],
    says: /true or false/,
  },
  // Destinations.
  {
    name: 'an output without url and streamKey',
    request: ['POST', outputs],
    status: 400,
    codes: [10005, 10005],
    pointers: ['/url', '/streamKey'],
    says: /Give the url/,
  },
  {
    name: 'an output without streamKey',
    request: ['POST', outputs, { url: good.url }],
    status: 400,
    codes: [10005],
    pointers: ['/streamKey'],
    says: /Give the stream key/,
  },
  {
    name: 'an empty streamKey',
    request: ['POST', outputs, { ...good, streamKey: ' ' }],
    status: 400,
    codes: [10005],
    pointers: ['/streamKey'],
    says: /Give the stream key/,
  },
  {
    name: 'a url and a streamKey that are no texts',
    request: ['POST', outputs, { url: 7, streamKey: {}, enabled: 'true' }],
    status: 400,
    codes: [10005, 10005, 10005],
    pointers: ['/url', '/streamKey', '/enabled'],
    says: /Must be a text/,
  },
  ...(
    [
      ['srt://a.example:778', /rtmp:\/\/ or rtmps:\/\//],
      ['https://a.example/live', /rtmp:\/\/ or rtmps:\/\//],
      ['javascript:alert(1)', /rtmp:\/\/ or rtmps:\/\//],
      ['a.example/live', /rtmp:\/\/ or rtmps:\/\//],
      ['rtmp:///live', /host/],
      ['rtmp://:1935/live', /host/],
      ['rtmp://a.example:0/live', /port/],
      ['rtmp://a.example:65536/live', /port/],
      ['rtmp://a.example:http/live', /port/],
      ['rtmp://user:secret@a.example/live', /user name or password/],
      ['rtmp://a.example/li ve', /white space/],
      ['', /Give the url/],
      [`rtmp://a.example/${'x'.repeat(3000)}`, /longer than 2048/],
      ['rtmp://a.example/\ud800', /half a character/],
    ] as const
  ).map(([url, says]) => ({
    name: `the url ${JSON.stringify(url.slice(0, 40))}`,
    request: ['POST', outputs, { ...good, url }] as const,
    status: 400,
    codes: [10005],
    pointers: ['/url'],
    says,
  })),
  ...(
    [
      ['ab\ncd', /line breaks/],
      ['abcd\r\n', /line breaks/],
      ['ab\u0000cd', /control characters/],
      ['x'.repeat(1025), /1024/],
      ['\ud800', /half a character/],
    ] as const
  ).map(([streamKey, says]) => ({
    name: `the streamKey ${JSON.stringify(streamKey.slice(0, 20))}`,
    request: ['POST', outputs, { ...good, streamKey }] as const,
    status: 400,
    codes: [10005],
    pointers: ['/streamKey'],
    says,
  })),
  {
    name: 'a bad url and a bad streamKey at once',
    request: ['POST', outputs, { url: 'ftp://a', streamKey: 'x'.repeat(1025) }],
    status: 400,
    codes: [10005, 10005],
    pointers: ['/url', '/streamKey'],
    says: /rtmp/,
  },
  // What lint is sure of.
  ...(
    [
      ['/url', { url: 'rtmp://live-api-s.facebook.com:80/rtmp/' }, /RTMPS only. Use rtmps:/],
      ['/url', { url: 'rtmp://fra05.contribute.live-video.net/app/{stream_key}' }, /placeholder/],
      ['/streamKey', { url: 'rtmp://live.twitch.tv/app', streamKey: 'live_123456_Ab cd' }, /white space/],
    ] as const
  ).flatMap(([pointer, wrong, says]) =>
    (['POST', 'PUT'] as const).map((method) => ({
      name: `${method} of a destination that can never work: ${says.source}`,
      request: [method, method === 'POST' ? outputs : output, { ...good, ...wrong }] as const,
      status: 400,
      codes: [10005],
      pointers: [pointer],
      says,
    })),
  ),
  // Options of outputs.
  ...(['POST', 'PUT'] as const).flatMap((method) =>
    (
      [
        [{ enabled: 'yes' }, '/enabled', 10005, /true or false/],
        [{ url: 7 }, '/url', 10005, /Must be a text/],
        [{ url: 'srt://a.example' }, '/url', 10005, /rtmp:\/\/ or rtmps/],
        [{ streamKey: 'ab\ncd' }, '/streamKey', 10005, /line breaks/],
        [{ name: '' }, '/name', 10005, /null removes/],
        [{ name: 'a\nb' }, '/name', 10005, /one line/],
        [{ name: 'x'.repeat(201) }, '/name', 10005, /200 characters/],
        [{ username: 7 }, '/username', 10005, /text, or null/],
        [{ username: 'x'.repeat(256) }, '/username', 10005, /255 characters/],
        [{ password: '\ud800' }, '/password', 10005, /one line/],
        [{ password: 'x'.repeat(1025) }, '/password', 10005, /1024 characters/],
        [{ tls: 'off' }, '/tls', 10005, /Must be an object/],
        [{ tls: { verfy: false } }, '/tls', 10005, /Check the spelling/],
        [{ tls: { verify: 'no' } }, '/tls/verify', 10005, /true or false/],
        [{ tls: { fingerprint: 'ab:cd' } }, '/tls/fingerprint', 10005, /64 hex digits/],
        [{ resumeSeconds: '5' }, '/resumeSeconds', 10005, /whole number of seconds/],
        [{ resumeSeconds: -1 }, '/resumeSeconds', 10060, /whole number of seconds/],
        [{ resumeSeconds: 0.5 }, '/resumeSeconds', 10060, /whole number of seconds/],
        [{ resumeSeconds: 16 }, '/resumeSeconds', 10060, /from 0 to 15.*BUFFER_MS/],
      ] as const
    ).map(([option, pointer, code, says]) => ({
      name: `${method} of an output with ${JSON.stringify(option).slice(0, 40)}`,
      request: [method, method === 'POST' ? outputs : output, { ...good, ...option }] as const,
      status: 400,
      codes: [code],
      pointers: [pointer],
      says,
    })),
  ),
  {
    name: 'PUT on an output with enabled null',
    request: ['PUT', output, { enabled: null }],
    status: 400,
    codes: [10005],
    pointers: ['/enabled'],
    says: /true or false/,
  },
  // Options of inputs.
  ...(['POST', 'PUT'] as const).flatMap((method) =>
    (
      [
        [{ reconnectWindowSeconds: 3601 }, '/reconnectWindowSeconds', 10060, /0 to 3600/],
        [{ reconnectWindowSeconds: -1 }, '/reconnectWindowSeconds', 10060, /0 to 3600/],
        [{ reconnectWindowSeconds: '30' }, '/reconnectWindowSeconds', 10005, /0 to 3600/],
        [{ reconnectWindowOnStopSeconds: 1.5 }, '/reconnectWindowOnStopSeconds', 10060, /0 to 3600/],
        [{ holdPicture: 1 }, '/holdPicture', 10005, /true or false/],
      ] as const
    ).map(([option, pointer, code, says]) => ({
      name: `${method} of an input with ${JSON.stringify(option)}`,
      request: [method, method === 'POST' ? inputsPath : input, option] as const,
      status: 400,
      codes: [code],
      pointers: [pointer],
      says,
    })),
  ),
  // Actions.
  {
    name: 'retry of an unknown output',
    request: ['POST', `${outputs}/${unknownId}/retry`],
    status: 404,
    codes: [10003],
    says: /no output f{32}/,
  },
  {
    name: 'retry while nobody runs the outputs',
    request: ['POST', `${output}/retry`],
    status: 503,
    codes: [11503],
    says: /Try again/,
  },
  {
    name: 'a test while nobody runs the outputs',
    request: ['POST', `${outputs}/test`, good],
    status: 503,
    codes: [11503],
    says: /Try again/,
  },
  {
    name: 'a test at an unknown input',
    request: ['POST', `${inputsPath}/${unknownId}/outputs/test`, good],
    status: 404,
    codes: [10003],
    says: /no live input/,
  },
  {
    name: 'a test of an unknown output',
    request: ['POST', `${outputs}/test`, { output_id: unknownId }],
    status: 404,
    codes: [10003],
    says: /no output f{32}/,
  },
  {
    name: 'a test of an output that is no id',
    request: ['POST', `${outputs}/test`, { output_id: 'mine' }],
    status: 400,
    codes: [10005],
    pointers: ['/output_id'],
    says: /32 hex/,
  },
  {
    name: 'a test of nothing',
    request: ['POST', `${outputs}/test`],
    status: 400,
    codes: [10005, 10005],
    pointers: ['/url', '/streamKey'],
    says: /url of the destination, or the output_id/,
  },
  {
    name: 'a test of two destinations',
    request: ['POST', `${outputs}/test`, { output_id: unknownId, url: good.url }],
    status: 400,
    codes: [10005],
    pointers: ['/url'],
    says: /either output_id alone/,
  },
  { name: 'GET of a test', request: ['GET', `${outputs}/test`], status: 405, codes: [7003, 7000], says: /route/ },
]

function assertFailure(answer: Answer, row: Omit<Row, 'request' | 'name'>): void {
  assert.equal(answer.status, row.status, answer.text)
  const shape = failureAnswer.safeParse(answer.body)
  assert.ok(shape.success, `${answer.text}: ${shape.error?.message}`)
  const { errors } = answer.body
  assert.deepEqual(
    errors.map(({ code }) => code),
    row.codes,
    answer.text,
  )
  if (row.pointers)
    assert.deepEqual(
      errors.map(({ source }) => source?.pointer),
      row.pointers,
    )
  assert.match(errors[0]!.message, row.says)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  assert.ok(!/node_modules|\.ts:| {4}at /.test(answer.text), 'no stack trace')
}

test('each row of the table of errors', async (context) => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  const ids = { INPUT: uid, OUTPUT: (await server.result('POST', `${inputsPath}/${uid}/outputs`, good)).uid }
  const before = await server.store.list('')
  for (const row of rows)
    await context.test(row.name, async () => {
      const [method, path, body] = row.request
      const url = path.replace('INPUT', ids.INPUT).replace('OUTPUT', ids.OUTPUT)
      assertFailure(await server.call(method as 'GET', url, body, row.headers), row)
      assert.deepEqual(await server.store.list(''), before, 'nothing was stored')
    })
  const unknown = rows.flatMap(({ codes }) => codes).filter((code) => !(code in apiErrorCodes))
  assert.deepEqual(unknown, [])
})

test('no authentication at all, and Cloudflare’s other headers', async () => {
  await using server = await startApi()
  const ask = async (headers: Record<string, string>) => {
    const answer = await server.api.inject({ url: inputsPath, headers })
    const { errors } = answer.json() as Answer['body']
    assert.ok(failureAnswer.safeParse(answer.json()).success, answer.body)
    return [answer.statusCode, errors[0]?.code, errors[0]?.error_chain?.[0]?.code]
  }
  const key = '0123456789abcdef0123456789abcdef01234'
  assert.deepEqual(await ask({}), [400, 9106, undefined])
  assert.deepEqual(await ask({ 'x-auth-key': 'short', 'x-auth-email': 'a@b.example' }), [400, 6003, 6103])
  assert.deepEqual(await ask({ 'x-auth-key': key }), [400, 6003, 6102])
  assert.deepEqual(await ask({ 'x-auth-key': key, 'x-auth-email': 'a@b.example' }), [403, 10000, undefined])
  assert.deepEqual(await ask({ 'x-auth-user-service-key': 'v1.0-1' }), [403, 10000, undefined])
  assert.deepEqual(await ask({ authorization: 'Bearer' }), [400, 6003, 6111])
  const lower = await server.api.inject({ url: inputsPath, headers: { authorization: `bearer ${token}` } })
  assert.equal(lower.statusCode, 200)
})

test('405 says which methods there are', async () => {
  await using server = await startApi()
  const answer = await server.call('PATCH', inputsPath, {})
  assert.deepEqual(String(answer.headers['allow']).split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST'])
})

test('the 1,001st input is refused, also when many are made at once', async () => {
  await using server = await startApi({ limits: { liveInputsMax: 1000, outputsMax: 50, resumeSecondsMax: 15 } })
  const answers = await Promise.all(Array.from({ length: 1010 }, () => server.call('POST', inputsPath)))
  const refused = answers.filter(({ status }) => status !== 200)
  assert.equal(refused.length, 10)
  assertFailure(refused[0]!, { status: 400, codes: [10005], pointers: [''], says: /1000 live inputs.*MAX_LIVE_INPUTS/ })
  const list = await server.result<{ uid: string }[]>('GET', inputsPath)
  assert.equal(list.length, 1000)
  await server.call('DELETE', `${inputsPath}/${list[0]!.uid}`)
  assert.equal((await server.call('POST', inputsPath)).status, 200)
  assert.equal((await server.call('POST', inputsPath)).status, 400)
})

test('a failing store becomes an answer, and the log says what failed', async () => {
  const store = new MemoryStore()
  await using server = await startApi({ store })
  const { uid } = await server.result('POST', inputsPath)
  const failures = [
    [new CodedError('store_full'), 507, 11507],
    [new CodedError('store_failed', 'database disk image is malformed'), 500, 11500],
    [new CodedError('store_closed'), 503, 11503],
    [new CodedError('value_too_large'), 400, 10005],
    [new TypeError('a mistake of ours'), 500, 11500],
  ] as const
  for (const [error, status, code] of failures) {
    store.before = () => {
      throw error
    }
    for (const request of [
      ['POST', inputsPath],
      ['PUT', `${inputsPath}/${uid}`, { enabled: false }],
      ['POST', `${inputsPath}/${uid}/outputs`, good],
      ['DELETE', `${inputsPath}/${uid}`],
    ] as const) {
      const [method, path, body] = request
      const answer = await server.call(method, path, body)
      assertFailure(answer, { status, codes: [code], says: /./ })
      assert.ok(!answer.text.includes(error.message) || error.message === '', 'nothing of the inside gets out')
    }
    assert.equal(server.log.length, status >= 500 ? 4 : 0)
    ;(server.log as object[]).length = 0
    assert.equal((await server.call('GET', inputsPath)).status, 200, 'reads go on')
  }
})

test('whatever is sent, the answer is a 4xx in the envelope or a success', async () => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  const { uid: outputUid } = await server.result('POST', `${inputsPath}/${uid}/outputs`, good)
  const names = fc.constantFrom(
    'meta',
    'enabled',
    'url',
    'streamKey',
    'recording',
    'mode',
    'name',
    'password',
    'tls',
    'resumeSeconds',
    '__proto__',
    'constructor',
    'x',
  )
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue(),
      fc.dictionary(names, tie('value'), { maxKeys: 5 }),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.constantFrom('rtmp://a.example/live', 'k', '\u0000', '\ud800', 1e308, -0),
    ),
  }))
  const body = fc.oneof(
    value.map((sent) => JSON.stringify(sent) ?? ''),
    fc.string(),
    fc.string({ unit: 'binary' }),
  )
  const route = fc.constantFrom(
    ...([
      ['POST', inputsPath],
      ['PUT', `${inputsPath}/${uid}`],
      ['POST', `${inputsPath}/${uid}/outputs`],
      ['PUT', `${inputsPath}/${uid}/outputs/${outputUid}`],
      ['POST', `${inputsPath}/${uid}/outputs/test`],
      ['POST', `${inputsPath}/${uid}/rotate_keys`],
      ['PATCH', inputsPath],
    ] as const),
  )
  await fc.assert(
    fc.asyncProperty(route, body, async ([method, path], sent) => {
      const answer = await server.call(method, path, sent)
      if (answer.status === 200) return assert.equal(answer.body.success, true)
      // Nobody runs outputs here, so nobody answers a test.
      if (answer.status === 503 && path.endsWith('/test')) return
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`)
      assert.ok(failureAnswer.safeParse(answer.body).success, answer.text)
    }),
    { numRuns: 400 },
  )
})
