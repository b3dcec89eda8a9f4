import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { generate } from 'selfsigned'
import { account, inputsPath, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { failureAnswer } from './schemas.ts'

const host = '127.0.0.1'
const authorization = `Bearer ${token}`

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, host)
  await once(socket, 'connect')
  return socket
}

/** Everything until the server closes. */
async function readAll(socket: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const bytes of socket) text += bytes
  return text
}

function bodyOf(answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
}

test('/healthz and /readyz need no token, and say what is so', async () => {
  let isReady = false
  await using server = await startApi({ isReady: () => isReady })
  const ask = async (url: string) => {
    const answer = await server.api.inject({ url })
    return [answer.statusCode, answer.json()]
  }
  assert.deepEqual(await ask('/healthz'), [200, { status: 'ok' }])
  assert.deepEqual(await ask('/readyz'), [503, { status: 'starting or stopping' }])
  assert.equal(server.api.ready(), false)
  isReady = true
  assert.deepEqual(await ask('/readyz'), [200, { status: 'ready' }])
  assert.equal(server.api.ready(), true)
  await server.store.close()
  while (server.api.ready()) await new Promise((resolve) => setImmediate(resolve))
  assert.equal((await ask('/readyz'))[0], 503)
  assert.equal((await ask('/healthz'))[0], 200)
})

test('the API listens on a port, and no more once it is closed', async () => {
  const server = await startApi()
  const { port } = await server.api.listen(host, 0)
  const answer = await fetch(`http://${host}:${port}${inputsPath}`, { headers: { authorization } })
  assert.deepEqual(((await answer.json()) as { result: unknown }).result, [])
  await server.api.close()
  await assert.rejects(fetch(`http://${host}:${port}/healthz`))
  assert.equal(server.bus.subscriberCount, 0)
})

test('a port that is taken is the system’s error', async () => {
  await using one = await startApi()
  await using two = await startApi()
  const { port } = await one.api.listen(host, 0)
  await assert.rejects(two.api.listen(host, port), { code: 'EADDRINUSE' })
  const tls = await selfSigned('one.example')
  await assert.rejects(two.api.listenTls(host, port, tls), { code: 'EADDRINUSE' })
})

async function selfSigned(name: string): Promise<{ key: string; cert: string }> {
  const pair = await generate([{ name: 'commonName', value: name }], { keyType: 'ec' })
  return { key: pair.private, cert: pair.cert }
}

test('the same API over TLS, with a certificate that can be renewed', async () => {
  await using server = await startApi()
  const listener = await server.api.listenTls(host, 0, await selfSigned('one.example'))
  const ask = async () => {
    const socket = connectTls({ port: listener.port, host, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const { subject } = socket.getPeerCertificate()
    socket.write(
      `GET ${inputsPath} HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\nconnection: close\r\n\r\n`,
    )
    const answer = await readAll(socket)
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.match(answer, /"success":true/)
    return subject.CN
  }
  assert.equal(await ask(), 'one.example')
  listener.renew(await selfSigned('two.example'))
  assert.equal(await ask(), 'two.example')
})

test('an upload that is too large gets its answer, however large it is', async () => {
  await using server = await startApi()
  const { port } = await server.api.listen(host, 0)
  for (const bytes of [100 * 1024 + 1, 3 * 1024 * 1024]) {
    const answer = await fetch(`http://${host}:${port}${inputsPath}`, {
      method: 'POST',
      headers: { authorization },
      body: 'x'.repeat(bytes),
    })
    assert.equal(answer.status, 413)
    assert.ok(failureAnswer.safeParse(await answer.json()).success)
  }
})

test('an upload without a length is cut off at the limit', async () => {
  await using server = await startApi()
  const { port } = await server.api.listen(host, 0)
  const socket = await dial(port)
  socket.on('error', () => {})
  socket.write(
    `POST ${inputsPath} HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\ntransfer-encoding: chunked\r\n\r\n`,
  )
  const chunk = `2800\r\n${' '.repeat(0x2800)}\r\n`
  for (let sent = 0; sent < 20; sent++) socket.write(chunk)
  socket.write('0\r\n\r\n')
  const answer = await readAll(socket)
  assert.match(answer, /^HTTP\/1\.1 413 /)
  assert.equal((bodyOf(answer) as { errors: { code: number }[] }).errors[0]!.code, 11413)
})

test('a body is not read before it is known who sends it', async () => {
  await using server = await startApi()
  const { port } = await server.api.listen(host, 0)
  const socket = await dial(port)
  socket.write(`POST ${inputsPath} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\nauthorization: Bearer bad\r\n\r\n{`)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  assert.match(bytes.toString(), /^HTTP\/1\.1 403 /)
  socket.destroy()
})

test('what is no HTTP gets an answer in the envelope', async () => {
  await using server = await startApi()
  const { port } = await server.api.listen(host, 0)
  const cases = [
    ['\u0003\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\r\n\r\n', 400, 10005],
    ['GET / HTTP/9.9\r\n\r\n', 400, 10005],
    [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 11431],
  ] as const
  for (const [sent, status, code] of cases) {
    const socket = await dial(port)
    socket.write(sent)
    const answer = await readAll(socket)
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    const read = failureAnswer.parse(bodyOf(answer))
    assert.equal(read.errors[0]!.code, code)
  }
})

test('closing lets what is under way end, and cuts what does not', async () => {
  const store = new MemoryStore()
  const server = await startApi({ store })
  const { port } = await server.api.listen(host, 0)
  const held = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  store.before = () => {
    asked.resolve()
    return held.promise
  }
  const underWay = fetch(`http://${host}:${port}${inputsPath}`, { method: 'POST', headers: { authorization } })
  await asked.promise
  const halfSent = await dial(port)
  halfSent.write(
    `POST ${inputsPath} HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\ncontent-length: 9\r\n\r\n{`,
  )
  const idle = await dial(port)
  idle.write('GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n')
  await once(idle, 'data')
  const cut = Promise.all(
    [halfSent, idle].map((socket) =>
      once(
        socket.resume().on('error', () => {}),
        'close',
      ),
    ),
  )
  const closed = server.api.close()
  held.resolve()
  assert.equal((await underWay).status, 200)
  await Promise.all([closed, cut])
})

test('a trailing slash and doubled slashes lead to the same place', async () => {
  await using server = await startApi()
  for (const url of [`${inputsPath}/`, inputsPath.replace('/accounts', '//accounts')])
    assert.equal((await server.call('GET', url)).status, 200, url)
  const missing = await server.call('GET', `/client/v4/accounts/${account}/stream/live_inputs/${unknownId}/`)
  assert.equal(missing.body.errors[0]!.code, 10003)
})
