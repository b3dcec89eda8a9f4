import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { generate } from 'selfsigned'
import { account, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import { lintDestination } from '../destination/lint.ts'
import { platformOf } from '../destination/platforms.ts'
import { dashboardPolicy } from './dashboard-files.ts'
import type { DestinationLint, DestinationPreset, ServerFacts } from './dashboard-types.ts'
import { noticeCode } from './envelope.ts'
import { presets } from './presets.ts'

const authorization = `Bearer ${token}`
const script = `console.info(${'1 + '.repeat(1_000)}1)`

/** A dashboard as Vite would build it, and beside it what nobody shall see. */
async function builtDashboard(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'))
  t.after(() => rm(folder, { recursive: true }))
  const dist = join(folder, 'dist')
  await mkdir(join(dist, 'assets', 'below'), { recursive: true })
  await mkdir(join(dist, '.vite'))
  await writeFile(join(folder, 'secret.js'), 'secret')
  await writeFile(join(dist, 'index.html'), '<!doctype html><title>the dashboard</title>')
  await writeFile(join(dist, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>')
  await writeFile(join(dist, '.built-from'), 'secret')
  await writeFile(join(dist, '.vite', 'manifest.json'), '"secret"')
  await writeFile(join(dist, 'package.json'), '"secret"')
  await writeFile(join(dist, 'assets', '.hidden.js'), 'secret')
  await writeFile(join(dist, 'assets', 'index-A1b2C3.js'), script)
  await writeFile(join(dist, 'assets', 'index-A1b2C3.js.br'), brotliCompressSync(script))
  await writeFile(join(dist, 'assets', 'index-A1b2C3.js.gz'), gzipSync(script))
  return dist
}

test('the page is asked for anew each time, its files never', async (t) => {
  await using server = await startApi({ dashboardFolder: await builtDashboard(t) })
  const page = await server.api.inject({ url: '/' })
  assert.equal(page.statusCode, 200)
  assert.match(page.body, /the dashboard/)
  assert.match(String(page.headers['content-type']), /^text\/html/)
  assert.equal(page.headers['cache-control'], 'no-cache')
  const again = await server.api.inject({ url: '/', headers: { 'if-none-match': String(page.headers.etag) } })
  assert.equal(again.statusCode, 304)

  const asset = await server.api.inject({ url: '/assets/index-A1b2C3.js' })
  assert.deepEqual([asset.statusCode, asset.body], [200, script])
  assert.match(String(asset.headers['content-type']), /^(?:text|application)\/javascript/)
  assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.equal((await server.api.inject({ method: 'HEAD', url: '/assets/index-A1b2C3.js' })).statusCode, 200)
  const icon = await server.api.inject({ url: '/favicon.svg' })
  assert.deepEqual([icon.statusCode, icon.headers['cache-control']], [200, 'no-cache'])
})

test('files go out as they were compressed, to whoever takes that', async (t) => {
  await using server = await startApi({ dashboardFolder: await builtDashboard(t) })
  const get = (encoding: string) =>
    server.api.inject({ url: '/assets/index-A1b2C3.js', headers: { 'accept-encoding': encoding } })
  const br = await get('gzip, deflate, br')
  assert.equal(br.headers['content-encoding'], 'br')
  assert.equal(brotliDecompressSync(br.rawPayload).toString(), script)
  assert.match(String(br.headers['content-type']), /javascript/)
  assert.match(String(br.headers.vary), /accept-encoding/i)
  const gz = await get('gzip')
  assert.equal(gunzipSync(gz.rawPayload).toString(), script)
  assert.equal((await get('identity')).body, script)
})

test('every page forbids scripts from elsewhere, inline ones, frames, and telling where one came from', async (t) => {
  await using server = await startApi({ dashboardFolder: await builtDashboard(t) })
  await using unbuilt = await startApi({ dashboardFolder: join(tmpdir(), 'no-such-dashboard') })
  const answers = [
    ...['/', '/assets/index-A1b2C3.js', '/favicon.svg'].map((url) => [url, server] as const),
    ['/', unbuilt] as const,
  ]
  for (const [url, where] of answers) {
    const { headers } = await where.api.inject({ url })
    assert.equal(headers['content-security-policy'], dashboardPolicy, url)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['x-frame-options'], 'DENY')
    assert.equal(headers['referrer-policy'], 'no-referrer')
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin')
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
  }
  const rules = Object.fromEntries(dashboardPolicy.split('; ').map((rule) => rule.split(/ (.*)/s).slice(0, 2)))
  assert.deepEqual(rules['default-src'], "'none'")
  assert.deepEqual(rules['script-src'], "'self'")
  assert.deepEqual(rules['style-src'], "'self'")
  assert.deepEqual(rules['frame-ancestors'], "'none'")
  assert.deepEqual(rules['base-uri'], "'none'")
  for (const url of ['/docs', '/openapi.json', '/healthz', '/nowhere', inputsPath, '/dashboard/session', '/metrics']) {
    const { headers } = await server.api.inject({ url, headers: { authorization } })
    assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/, url)
  }
})

test('no spelling of a path leads out of the folder, or to what is hidden in it', async (t) => {
  await using server = await startApi({ dashboardFolder: await builtDashboard(t) })
  const { port } = await server.api.listen('127.0.0.1', 0)
  /** As it is, which `fetch` would tidy up. */
  const get = (path: string) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      request({ port, host: '127.0.0.1', path, agent: false }, (answer) => {
        let body = ''
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body }))
      })
        .once('error', reject)
        .end()
    })
  assert.equal((await get('/assets/index-A1b2C3.js')).body, script)
  const paths = [
    '/../secret.js',
    '/..%2fsecret.js',
    '/%2e%2e/secret.js',
    '/%2e%2e%2fsecret.js',
    '/..%5csecret.js',
    '/assets/../../secret.js',
    '/assets/..%2f..%2fsecret.js',
    '/assets/%2e%2e/%2e%2e/secret.js',
    '/assets/..%5c..%5csecret.js',
    '/assets/....//....//secret.js',
    '/assets/%252e%252e%252f%252e%252e%252fsecret.js',
    '/assets//../../secret.js',
    '/assets/%00../../secret.js',
    '/assets/index-A1b2C3.js%00.svg',
    '/assets/.hidden.js',
    '/assets/below',
    '/assets/below/',
    '/assets/',
    '/.vite/manifest.json',
    '/.built-from',
    '/package.json',
    '/index.html/../../secret.js',
    '//secret.js',
    '/%c0%ae%c0%ae/secret.js',
  ]
  for (const path of paths) {
    const { status, body } = await get(path)
    assert.ok(
      !body.includes('secret"') && body !== 'secret' && !body.includes('1 + 1'),
      `${path}: ${body.slice(0, 80)}`,
    )
    assert.ok(status === 404 || status === 400, `${path}: ${status}`)
    assert.match(body, /"success":false/, path)
  }
})

test('where nothing is built, a page says how; once it is built, it is served', async (t) => {
  const dist = await builtDashboard(t)
  const later = join(dist, 'later')
  await using server = await startApi({ dashboardFolder: later })
  const before = await server.api.inject({ url: '/' })
  assert.equal(before.statusCode, 503)
  assert.match(before.body, /npm start/)
  await mkdir(later)
  await writeFile(join(later, 'index.html'), 'built')
  assert.equal((await server.api.inject({ url: '/' })).body, 'built')

  await using without = await startApi()
  assert.equal((await without.api.inject({ url: '/' })).statusCode, 404)
})

test('what the front is told of the server is for people who are signed in', async () => {
  const clock = new ManualClock()
  const pair = await generate([{ name: 'commonName', value: 'live.example.com' }], { keyType: 'ec' })
  await using server = await startApi({
    clock,
    around: {
      version: '1.2.3',
      httpUrl: 'http://localhost:8080',
      certificate: () => pair.cert,
      limits: { reconnectWindowSeconds: 30, recommendedBitrateKbps: 12_000, lagMs: 4_000, bufferMs: 15_000 },
    },
  })
  clock.advance(90_500)
  for (const url of ['/dashboard/server', '/dashboard/presets'])
    assert.equal((await server.api.inject({ url })).statusCode, 400)
  const answer = await server.api.inject({ url: '/dashboard/server', headers: { authorization } })
  const { certificate, nodeVersion, ...facts } = answer.json().result as ServerFacts
  assert.equal(nodeVersion, process.version)
  assert.deepEqual(facts, {
    version: '1.2.3',
    startedAt: '2026-01-02T03:04:05.678Z',
    uptimeSeconds: 90,
    addresses: {
      rtmp: 'rtmp://localhost:1935/live/',
      rtmps: 'rtmps://localhost:1936/live/',
      http: 'http://localhost:8080',
    },
    limits: {
      liveInputsPerAccount: 1000,
      outputsPerLiveInput: 50,
      requestsPerToken: 0,
      previewsPerLiveInput: 4,
      previewsInTotal: 32,
      resumeSeconds: 15,
      reconnectWindowSeconds: 30,
      recommendedBitrateKbps: 12_000,
      lagMs: 4_000,
      bufferMs: 15_000,
    },
  })
  assert.deepEqual([certificate?.selfSigned, certificate?.subject], [true, 'live.example.com'])
  assert.match(certificate?.fingerprint ?? '', /^[0-9A-F]{2}(:[0-9A-F]{2}){31}$/)
})

test('the presets are those that people look for, and lint finds nothing wrong with them', async () => {
  await using server = await startApi()
  const answer = await server.api.inject({ url: '/dashboard/presets', headers: { authorization } })
  assert.deepEqual(answer.json().result, presets)
  const names = 'youtube youtube-backup twitch facebook kick tiktok x linkedin instagram vimeo trovo restream custom'
  assert.deepEqual(
    presets.map(({ id }) => id),
    names.split(' '),
  )
  /** Long enough, with a question mark where the platform's keys have one, and no form that another platform has. */
  const keyOf = ({ id }: DestinationPreset) => (id === 'instagram' ? 'aaaabbbbcccc?s=d' : 'aaaabbbbcccc')
  for (const preset of presets) {
    assert.ok(preset.keyHelp.length > 20 && preset.example !== '', preset.id)
    if (preset.keyPage !== undefined) assert.match(preset.keyPage, /^https:\/\//)
    for (const { url, protocol, backup } of preset.urls) {
      assert.ok(url.startsWith(`${protocol}://`), url)
      assert.equal(backup, preset.id === 'youtube-backup')
      assert.deepEqual(lintDestination(url, keyOf(preset)), [], url)
      assert.equal(platformOf(new URL(url).hostname)?.id, preset.id.replace('-backup', ''), url)
    }
    // The encrypted one is what is offered first.
    assert.ok(preset.urls.every(({ protocol }, index) => index === 0 || protocol === 'rtmp'))
  }
})

test('lint says what saving would say, and saves and dials nothing', async () => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  const lint = async (url: string, streamKey: string) => {
    const answer = await server.call('POST', '/dashboard/lint', { url, streamKey })
    assert.equal(answer.status, 200)
    return answer.body.result as DestinationLint
  }
  const tried = [
    ['rtmp://live-api-s.facebook.com/rtmp', 'FB-1-0-abcdefgh'],
    ['rtmp://a.rtmp.youtube.com/live2', 'live_1_abcdefghijkl'],
    ['https://www.youtube.com/watch', 'abcd-abcd-abcd-abcd'],
    ['rtmp://a.rtmp.youtube.com/live2', 'abcd-abcd-abcd-abcd-abcd'],
    ['rtmp://example.com/live', 'two\nlines'],
    ['', ''],
    ['rtmp://example.com/live', 'key'],
  ] as const
  for (const [url, streamKey] of tried) {
    const { refused, advice } = await lint(url, streamKey)
    const saved = await server.call('POST', `${inputsPath}/${uid}/outputs`, { url, streamKey, enabled: false })
    assert.equal(saved.status, refused.length === 0 ? 200 : 400, url)
    const said = saved.status === 200 ? saved.body.messages : saved.body.errors
    const told = saved.status === 200 ? advice : refused
    assert.deepEqual(
      told.map(({ field, message }) => [`/${field}`, message]),
      said
        .filter(({ code }) => code === noticeCode || code === 10005)
        .map(({ source, message }) => [source?.pointer, message]),
      `${url} ${streamKey}`,
    )
  }
  const facebook = await lint('rtmp://live-api-s.facebook.com/rtmp', 'FB-1-0-abcdefgh')
  assert.deepEqual(facebook.platform, { id: 'facebook', name: 'Facebook' })
  assert.match(facebook.refused[0]?.message ?? '', /RTMPS only/)
  // It reads: the log of changes does not hold a line for each key that is pressed.
  const lines = server.accessLog.filter(({ fields }) => (fields as { route?: string }).route === '/dashboard/lint')
  assert.ok(lines.length >= tried.length && lines.every(({ level }) => level === 'debug'))
  assert.equal((await server.call('POST', '/dashboard/lint', { url: 7 })).status, 400)
})

test('paths of the dashboard that are not there, and methods that it has not', async (t) => {
  await using server = await startApi({ dashboardFolder: await builtDashboard(t) })
  const outcome = async (method: 'GET' | 'POST' | 'PUT', url: string) => {
    const answer = await server.api.inject({ method, url, headers: { authorization } })
    return [answer.statusCode, answer.json().errors[0].code, answer.headers.allow]
  }
  assert.deepEqual(await outcome('GET', '/dashboard/nothing'), [404, 7003, undefined])
  assert.deepEqual(await outcome('PUT', '/dashboard/session'), [405, 7003, 'OPTIONS, POST, GET, HEAD, DELETE'])
  assert.deepEqual(await outcome('POST', '/dashboard/presets'), [405, 7003, 'OPTIONS, GET, HEAD'])
  assert.deepEqual(await outcome('POST', '/'), [404, 7003, undefined])
  assert.equal((await server.api.inject({ url: `/${account}/lifecycle` })).statusCode, 404)
  assert.equal(
    (await server.api.inject({ url: '/client/v4/nothing', headers: { authorization } })).json().success,
    false,
  )
})
