import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeAmf } from '../support/amf0.ts'
import { startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { openPublisher, publish } from '../support/publisher.ts'
import { formsOf, SecretWatch } from '../support/secret-watch.ts'
import { startServer } from '../support/server.ts'
import { runServer } from '../support/server-run.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/**
 * Every kind of secret, planted and then provoked: refused, repeated by destinations and receivers, put in wrong places, in the middle of
 * mistakes of ours. Nothing that the server writes or answers holds one, where it was not asked for it.
 */

const timeout = 300_000
/** A text that no other text holds, with signs that are written differently in each encoding. */
const planted = (name: string) => `planted-${name}+/=&%-${randomBytes(12).toString('hex')}`

test('the search finds a secret in every form, wherever it stands in what was encoded', () => {
  const secret = planted('one')
  const forms: Record<string, (text: string) => string> = {
    plain: (text) => text,
    JSON: (text) => JSON.stringify(JSON.stringify({ text })),
    'percent-encoded': encodeURIComponent,
    base64: (text) => Buffer.from(text).toString('base64'),
    base64url: (text) => Buffer.from(text).toString('base64url'),
    hex: (text) => Buffer.from(text).toString('hex'),
  }
  for (const [name, encode] of Object.entries(forms))
    for (const before of ['', 'x', 'xy', 'xyz'])
      for (const after of ['', 'x', '\n']) {
        const watch = new SecretWatch()
        watch.wrote('a line', `the ${encode(before + secret + after)} end`)
        // Known later than written.
        watch.add(secret)
        assert.throws(() => watch.assertNothingFound(), /in a line: the .*<here>/, `${name} after "${before}"`)
      }
  const watch = new SecretWatch()
  watch.add(secret)
  watch.add('short')
  watch.wrote('a line', `${secret.slice(0, -1)} short ${Buffer.from(secret.slice(1)).toString('hex')}`)
  watch.assertNothingFound()
  assert.ok(formsOf(secret).length >= 8)
})

test('no secret in logs, metrics, events and errors', { timeout }, async () => {
  const keys = { output: planted('output'), rejected: planted('rejected'), other: planted('other') }
  const hookSecret = planted('hook').replaceAll(/[^\w-]/g, '_')
  let hookStatus = 200
  await using receiver = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString()
    // Tells all that it was told.
    response.writeHead(hookStatus).end(JSON.stringify([request.headers, text, hookSecret]))
  })
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  await using destination = await startDestination()
  // Repeats the key in its refusal, as some do.
  const description = `stream ${keys.rejected} (${encodeURIComponent(keys.rejected)}) is no stream`
  await using rejecting = await startDestination({
    behaviour: { answerPublish: { code: 'NetStream.Publish.Rejected', description } },
  })
  await using redirecting = await startDestination()
  redirecting.behaviour = { redirectTo: `${destination.url()}?key=${encodeURIComponent(keys.other)}` }
  await using login = await startDestination({
    behaviour: { authentication: { mode: 'adobe', username: 'somebody', password: 'another password than that' } },
  })

  const token = planted('token').replaceAll(/[^\w-]/g, '_')
  const secretKey = randomBytes(32).toString('base64')
  await using server = await startServer({
    settings: { API_TOKEN: token, SECRET_KEY: secretKey, MEDIA_THREADS: '2' },
    nodeArgs: ['--import', fileURLToPath(new URL('inner-fault.ts', import.meta.url))],
  })
  const { secrets } = server
  for (const secret of [...Object.values(keys), hookSecret, secretKey]) secrets.add(secret)
  const account = `/client/v4/accounts/${server.accountId}`
  /** Anything over HTTP: what comes back must hold no secret. */
  const ask = async (method: string, path: string, headers: Record<string, string>, body?: string) => {
    const answer = await fetch(server.origin + path, {
      method,
      headers: { connection: 'close', ...headers },
      ...(body !== undefined && { body }),
    })
    const text = await answer.text()
    secrets.wrote(`the answer to ${method} ${path.slice(0, 80)}`, `${JSON.stringify([...answer.headers])} ${text}`)
    return answer.status
  }
  const fromDashboard = { 'x-stream-connect': 'dashboard', 'sec-fetch-site': 'same-origin', origin: server.origin }
  const bearer = { authorization: `Bearer ${token}` }

  // Made, and shown as often as they may be.
  const input = await server.createInput({ meta: { name: 'one' } })
  const made = await server.api<{ value: string }>('POST', `${account}/tokens`, {
    name: 'made',
    scopes: ['Stream Read'],
  })
  const accountMade = await server.api<{ key: { value: string } }>('POST', '/client/v4/accounts', {
    name: 'another',
    email: 'somebody@a.example',
  })
  if (accountMade.status === 200) secrets.add(accountMade.json.result.key?.value)
  const link = await server.api<{ path: string }>('POST', '/client/v4/user/sign_in_links')
  const onceText = /once=(.+)$/.exec(link.json.result.path)![1]!
  secrets.add(onceText)
  const signedIn = await fetch(`${server.origin}/dashboard/session`, {
    method: 'POST',
    headers: fromDashboard,
    body: JSON.stringify({ once: onceText }),
  })
  const cookie = signedIn.headers.get('set-cookie') ?? ''
  secrets.add(/=([\w-]{20,})/.exec(cookie)?.[1])
  assert.equal(signedIn.status, 200, await signedIn.text())
  const hook = await server.api<{ id: string }>('POST', `${account}/alerting/v3/destinations/webhooks`, {
    name: 'mine',
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/${hookSecret}`,
    secret: hookSecret,
  })
  assert.equal(hook.status, 200, JSON.stringify(hook.json.errors))
  await server.api('POST', `${account}/alerting/v3/policies`, {
    name: 'all',
    alert_type: 'stream_live_notifications',
    enabled: true,
    mechanisms: { webhooks: [{ id: hook.json.result.id }] },
  })
  hookStatus = 500

  // Listened to, from before anything happens.
  const events = new AbortController()
  const stream = await fetch(`${server.origin}${account}/stream/events`, { headers: bearer, signal: events.signal })
  assert.equal(stream.status, 200)
  let heard = ''
  const listening = (async () => {
    for await (const bytes of stream.body!) heard += Buffer.from(bytes).toString()
  })().catch(() => {})

  // Relayed to, refused, sent elsewhere, logged in with, connected by a mistake.
  const addOutput = (url: string, streamKey: string, more: Record<string, unknown> = {}) =>
    server.addOutput(input.uid, { url, streamKey, ...more })
  await addOutput(destination.url(), keys.output)
  const rejected = await addOutput(rejecting.url(), keys.rejected)
  await addOutput(redirecting.url(), keys.other)
  await addOutput(login.url(), planted('login'), { username: 'somebody', password: planted('password') })
  await addOutput('rtmp://127.0.0.1:1/app', planted('refused'))
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25, gopMs: 500 }), { signal: stop.signal })
  await (await destination.publishOf(keys.output)).receives(10)
  await waitFor('the refusal', async () => {
    const output = (await server.outputs(input.uid)).find(({ uid }) => uid === rejected.uid)
    return (output?.['health'] as { lastError?: object } | undefined)?.lastError
  })
  for (const output of await server.outputs(input.uid))
    secrets.wrote('health', JSON.stringify([output['health'], output['status']]))
  for (const path of [`/outputs/${rejected.uid}/test`, `/outputs/${rejected.uid}/retry`])
    await ask('POST', `${account}/stream/live_inputs/${input.uid}${path}`, bearer)
  publisher.send(18, publisher.lastTimestamp, encodeAmf('onTextData', { text: 'throw in turn', key: keys.output }))
  await server.waitForLog('a mistake of ours', ({ code }) => code === 'internal_error')
  server.program.signal('SIGUSR2')
  await server.waitForLog('the next thread', ({ msg }) => msg === 'the database is open again')

  // In wrong places: encoders that put a key into the address, clients that put a token anywhere.
  const key = input.rtmps.streamKey
  for (const [url, name] of [
    [`${server.rtmpUrl}/${key}`, 'x'],
    [`${server.rtmpUrl}?key=${key}`, 'x'],
    [server.rtmpUrl, `${key}x`],
    [server.rtmpUrl, `x${key}`],
  ] as const) {
    const stranger = await openPublisher({ url, key: name })
    await stranger.requestPublish(name).catch(() => {})
    stranger.vanish()
  }
  const inputs = `${account}/stream/live_inputs`
  for (const headers of [{ authorization: token }, { authorization: `Basic ${token}` }, { 'x-auth-key': token }])
    await ask('GET', inputs, headers as Record<string, string>)
  await ask('GET', `${inputs}?search=x&per_page=${encodeURIComponent(token)}`, bearer)
  for (const body of [
    `{"streamKey": "${key}", }`,
    JSON.stringify({ url: keys.other, streamKey: 5 }),
    JSON.stringify({ url: `rtmp://somebody:${keys.other}@a.example/app`, streamKey: keys.other }),
    JSON.stringify({ url: `rtmp://a.example/app/${keys.other}`, streamKey: { [keys.other]: keys.other } }),
  ])
    await ask('POST', `${inputs}/${input.uid}/outputs`, bearer, body)
  await ask(
    'POST',
    `${account}/alerting/v3/destinations/webhooks`,
    bearer,
    JSON.stringify({ name: 'x', url: `ftp://${hookSecret}@a` }),
  )
  await ask('POST', '/dashboard/session', fromDashboard, JSON.stringify({ once: onceText }))
  for (const path of ['/metrics', '/openapi.json', '/healthz', '/readyz', '/docs']) await ask('GET', path, {})
  for (const path of ['/tokens', '/alerting/v3/deliveries', '/alerting/v3/policies'])
    await ask('GET', account + path, bearer)
  assert.equal(made.status, 200)
  await ask('GET', account, { authorization: `Bearer ${made.json.result.value}` })

  // The end: keys that are replaced, things that are deleted, a server that is told to go.
  await server.api('POST', `/${input.uid}/rotate_keys`)
  await publisher.closed
  stop.abort()
  await replay
  events.abort()
  await listening
  assert.match(heard, /event: output\.status/)
  secrets.wrote('the events', heard)
  assert.equal((await server.stop()).code, 0)
  assert.ok(server.log.length > 30, 'there is a log')
})

test('a start that fails repeats no secret', { timeout }, async () => {
  const watch = new SecretWatch()
  for (const name of ['API_TOKEN', 'SECRET_KEY', 'SECRET_KEY_PREVIOUS']) {
    const secret = `${planted('setting')} with spaces`
    watch.add(secret)
    const { code, stdout, stderr } = await runServer({ settings: { [name]: secret } })
    assert.equal(code, 2)
    assert.match(stderr, new RegExp(`STREAM_CONNECT_${name} `))
    watch.wrote(name, stdout + stderr)
  }
  watch.assertNothingFound()
})
