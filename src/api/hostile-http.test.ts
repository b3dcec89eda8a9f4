import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { generate } from 'selfsigned'
import { type ApiFixture, inputsPath, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { pipelinedMax } from './broken-requests.ts'
import { failureAnswer } from './schemas.ts'
import { bodyBytesMax } from './server.ts'

/** What strangers send to the HTTP port, byte by byte. The server that reads it is the one that runs in production. */

const host = '127.0.0.1'
const timeout = 60_000
const authorization = `authorization: Bearer ${token}\r\n`
const post = `POST ${inputsPath} HTTP/1.1\r\nhost: a\r\n${authorization}`
/** A whole request that makes a live input: hidden where a reader who is mistaken about an end would find it. */
const hidden = `${post}content-length: 2\r\n\r\n{}`
const fast = { headersMs: 200, requestMs: 500, unreadMs: 60_000 }

async function open(server: ApiFixture): Promise<number> {
  return (await server.api.listen(host, 0)).port
}

const dialled: Socket[] = []
afterEach(() => {
  for (const socket of dialled.splice(0)) socket.destroy()
})

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, host)
  dialled.push(socket)
  // A cut is what is looked for.
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** `once` would reject at a reset, which is an end like another here. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** Everything until the server closes. */
async function readAll(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  await closing(socket)
  return text
}

async function say(port: number, bytes: string): Promise<string> {
  const socket = await dial(port)
  socket.write(Buffer.from(bytes, 'latin1'))
  return readAll(socket)
}

function statusesOf(answers: string): number[] {
  return [...answers.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

function failureIn(answer: string): { code: number; message: string }[] {
  return failureAnswer.parse(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).errors
}

const chunked = `${post}transfer-encoding: chunked\r\n\r\n`
const end = '0\r\n\r\n'
const refusedBytes: readonly { readonly name: string; readonly sent: string; readonly status?: number }[] = [
  // Where does the body end?
  {
    name: 'a length and chunks',
    sent: `${post}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n${end}${hidden}`,
  },
  {
    name: 'chunks and a length',
    sent: `${post}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${end}${hidden}`,
  },
  { name: 'two lengths', sent: `${post}content-length: 2\r\ncontent-length: 90\r\n\r\n{}${hidden}` },
  { name: 'two lengths, which are one', sent: `${post}content-length: 2\r\ncontent-length: 2\r\n\r\n{}` },
  { name: 'a list of lengths', sent: `${post}content-length: 2, 2\r\n\r\n{}` },
  ...['+2', '-1', '0x2', '2.0', '2 2', '18446744073709551618', ''].map((length) => ({
    name: `the length "${length}"`,
    sent: `${post}content-length: ${length}\r\n\r\n{}${hidden}`,
  })),
  { name: 'a blank before a colon', sent: `${post}content-length : 2\r\n\r\n{}` },
  { name: 'a name with a blank', sent: `${post}content length: 2\r\n\r\n{}` },
  { name: 'a header with a fold', sent: `${post}x-a: 1\r\n transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}` },
  { name: 'an encoding behind a fold', sent: `${post}transfer-encoding:\r\n chunked\r\n\r\n${end}${hidden}` },
  ...['xchunked', 'chunked, identity', '\u000bchunked', 'chunked\u00a0', 'gzip'].map((encoding) => ({
    name: `the encoding ${JSON.stringify(encoding)}`,
    sent: `${post}transfer-encoding: ${encoding}\r\n\r\n${end}${hidden}`,
  })),
  {
    name: 'two encodings',
    sent: `${post}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n${end}${hidden}`,
  },
  // Where does a line end?
  { name: 'lines that end with LF', sent: hidden.replaceAll('\r\n', '\n') },
  { name: 'one line that ends with LF', sent: `${post}x-a: 1\ncontent-length: 2\r\n\r\n{}` },
  { name: 'one line that ends with CR', sent: `${post}x-a: 1\rtransfer-encoding: chunked\r\n\r\n${end}${hidden}` },
  { name: 'a NUL in a header', sent: `${post}x-a: a\0b\r\ncontent-length: 2\r\n\r\n{}` },
  // Where does a chunk end?
  ...['-2', '0x2', '2 ', ' 2', '10000000000000002', 'g', ''].map((size) => ({
    name: `a chunk of "${size}"`,
    sent: `${chunked}${size}\r\n{}\r\n${end}`,
  })),
  { name: 'a size that ends with LF', sent: `${chunked}2\n{}\r\n${end}` },
  { name: 'an extension that ends with LF', sent: `${chunked}2;a\n{}\r\n${end}` },
  { name: 'an extension without end', sent: `${chunked}2;${'a'.repeat(20_000)}\r\n{}\r\n${end}` },
  { name: 'a chunk that does not end', sent: `${chunked}2\r\n{}xx${end}` },
  { name: 'a length after the chunks', sent: `${chunked}2\r\n{}\r\n0\r\ncontent-length: 5\r\n\r\n` },
  // Who is meant, and who asks?
  { name: 'no host', sent: `GET ${inputsPath} HTTP/1.1\r\n${authorization}\r\n` },
  { name: 'two hosts', sent: `GET ${inputsPath} HTTP/1.1\r\nhost: a\r\nhost: b\r\n${authorization}\r\n` },
  { name: 'two tokens', sent: `${post}Authorization: Bearer other\r\ncontent-length: 2\r\n\r\n{}` },
  { name: 'a version that is none', sent: `GET ${inputsPath} HTTP/1.9\r\nhost: a\r\n${authorization}\r\n` },
  { name: 'HTTP/2 without asking', sent: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  { name: 'a blank in the path', sent: `GET /client v4 HTTP/1.1\r\nhost: a\r\n\r\n` },
  // How much?
  { name: 'a header too large', sent: `${post}x: ${'y'.repeat(20_000)}\r\n\r\n`, status: 431 },
  { name: 'headers without end', sent: `${post}${'x: y\r\n'.repeat(4_000)}\r\n`, status: 431 },
  { name: 'a path too long', sent: `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: a\r\n\r\n`, status: 431 },
]

test('what can be read in two ways is refused, in the envelope, and the connection ends there', {
  timeout,
}, async () => {
  await using server = await startApi()
  const port = await open(server)
  for (const { name, sent, status = 400 } of refusedBytes) {
    const answer = await say(port, sent)
    assert.deepEqual(statusesOf(answer), [status], `${name}: ${answer.slice(0, 200)}`)
    assert.equal(failureIn(answer)[0]?.code, status === 400 ? 10005 : 11000 + status, name)
    assert.match(answer, /^connection: close\r$/im, name)
    assert.equal((await server.result<object[]>('GET', inputsPath)).length, 0, `${name}: nothing was made`)
  }
})

test('what is unusual and has one meaning is read so', { timeout }, async () => {
  await using server = await startApi()
  const port = await open(server)
  const close = 'connection: close\r\n'
  for (const [name, sent] of [
    ['a tab before a value', `${post}${close}content-length:\t2\r\n\r\n{}`],
    ['an extension of a chunk', `${post}${close}transfer-encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n${end}`],
    ['an empty line first', `\r\n${post}${close}content-length: 2\r\n\r\n{}`],
    [
      'an address in place of a path',
      `${post.replace('POST ', 'POST http://other')}${close}content-length: 2\r\n\r\n{}`,
    ],
    ['an old client', `${post.replace('1.1', '1.0')}content-length: 2\r\n\r\n{}`],
  ] as const) {
    const answer = await say(port, sent)
    assert.deepEqual(statusesOf(answer), [200], name)
    assert.match(answer, /"success":true/, name)
  }
})

test('what stands in a body is no request, whatever becomes of the request that has it', { timeout }, async () => {
  await using server = await startApi()
  const port = await open(server)
  const after = `GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`
  for (const [status, start] of [
    [200, 'GET /healthz HTTP/1.1\r\nhost: a\r\n'],
    [403, `POST ${inputsPath} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer bad\r\n`],
    [404, 'POST /nowhere HTTP/1.1\r\nhost: a\r\n'],
    [404, `DELETE ${inputsPath}/${unknownId} HTTP/1.1\r\nhost: a\r\n${authorization}`],
    [400, post],
    [405, post.replace('POST', 'PATCH')],
  ] as const) {
    const answers = await say(port, `${start}content-length: ${hidden.length}\r\n\r\n${hidden}${after}`)
    // After a body that could not be read the connection ends.
    assert.deepEqual(statusesOf(answers), status === 400 ? [400] : [status, 200], start)
  }
  // What comes after the last request of a connection is not looked at.
  const last = statusesOf(await say(port, after + hidden))
  assert.ok(last.every((status) => status === 200 || status === 400))
  assert.equal((await server.result<object[]>('GET', inputsPath)).length, 0)
})

test('a broken request does not get in the way of the answer to the one before it', { timeout }, async () => {
  const store = new MemoryStore()
  await using server = await startApi({ store })
  const held = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  store.before = () => {
    asked.resolve()
    return held.promise
  }
  const port = await open(server)
  const socket = await dial(port)
  const answers = readAll(socket)
  socket.write(hidden)
  await asked.promise
  socket.write('no request at all\r\n\r\n')
  // Had it been answered, the first would have been taken for refused, and its answer for that of a third.
  assert.equal(await answers, '')
  held.resolve()
})

test('methods that nothing here has', { timeout }, async () => {
  await using server = await startApi()
  const port = await open(server)
  const of = (method: string, target: string = inputsPath) =>
    say(port, `${method} ${target} HTTP/1.1\r\nhost: a\r\n${authorization}connection: close\r\n\r\n`)
  assert.deepEqual(statusesOf(await of('TRACE')), [404])
  assert.ok(!(await of('TRACE')).includes(token), 'nothing of the request comes back')
  assert.deepEqual(statusesOf(await of('CONNECT', 'a:443')), [])
  assert.deepEqual(statusesOf(await of('BREW')), [400])
  const upgrade = await say(
    port,
    `GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n`,
  )
  assert.deepEqual(statusesOf(upgrade), [200])
})

/** Writes a piece again and again, and never ends, until it is cut. @returns what the server said. */
async function drip(socket: Socket, start: string, piece: string, everyMs: number): Promise<string> {
  socket.write(start)
  const timer = setInterval(() => socket.write(piece), everyMs)
  try {
    return await readAll(socket)
  } finally {
    clearInterval(timer)
  }
}

test('who is slow with headers or a body is told so and cut; who says nothing at all is cut, too', {
  timeout,
}, async () => {
  await using server = await startApi({ deadlines: fast })
  const port = await open(server)
  const [headers, body, chunks, silent, again] = await Promise.all([
    drip(await dial(port), 'GET /healthz HTTP/1.1\r\nhost: a\r\n', 'x: y\r\n', 20),
    drip(await dial(port), `${post}content-length: 50000\r\n\r\n{`, ' ', 20),
    drip(await dial(port), chunked, '1\r\n \r\n', 20),
    dial(port).then(readAll),
    // The deadline is that of each request: the second one on a connection has one, too.
    drip(await dial(port), 'GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\n', 'x: y\r\n', 20),
  ])
  for (const answer of [headers, body, chunks]) {
    assert.deepEqual(statusesOf(answer), [408])
    assert.equal(failureIn(answer)[0]?.code, 11408)
  }
  assert.deepEqual(statusesOf(again), [200, 408])
  assert.ok(silent === '' || statusesOf(silent)[0] === 408)
  assert.equal((await server.result<object[]>('GET', inputsPath)).length, 0)
})

test('a slow crowd does not keep others out', { timeout }, async () => {
  await using server = await startApi({ deadlines: { ...fast, headersMs: 5_000, requestMs: 5_000 } })
  const port = await open(server)
  const crowd = await Promise.all(Array.from({ length: 300 }, () => dial(port)))
  for (const socket of crowd) socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\nx:')
  const answer = await fetch(`http://${host}:${port}/healthz`, { headers: { connection: 'close' } })
  assert.equal(answer.status, 200)
  for (const socket of crowd) socket.destroy()
})

test('beyond so many connections of a listener a new one is closed; who leaves makes room', { timeout }, async () => {
  await using server = await startApi({ connectionsMax: 3 })
  const port = await open(server)
  const answer = async (socket: Socket) => {
    socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n')
    return String((await once(socket, 'data'))[0])
  }
  const within = await Promise.all([dial(port), dial(port), dial(port)])
  for (const socket of within) assert.deepEqual(statusesOf(await answer(socket)), [200])
  assert.equal(await readAll(await dial(port)), '')
  within[0]!.destroy()
  for (;;) {
    // The server may not have seen yet that one has left.
    const status = statusesOf(await say(port, 'GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'))[0]
    if (status === 200) break
    assert.equal(status, undefined)
  }
})

test('who does not read what was asked for is cut, and holds no more than a little of it', { timeout }, async () => {
  await using server = await startApi({ deadlines: { ...fast, unreadMs: 300 } })
  const meta = { text: 'x'.repeat(15_000) }
  for (let count = 0; count < 100; count++) await server.call('POST', inputsPath, { meta })
  const port = await open(server)
  const socket = await dial(port)
  // Each answer has 1.5 MB; more requests than the buffers of both systems take.
  socket.pause()
  const request = `GET ${inputsPath} HTTP/1.1\r\nhost: a\r\n${authorization}\r\n`
  socket.write(request.repeat(10))
  // Asked for more, the server stops reading. Who does not read learns of the cut when he writes.
  let more = 3
  const writing = setInterval(() => socket.write(more-- > 0 ? request : '\r\n'), 100)
  await closing(socket)
  clearInterval(writing)
})

test('a connection with more than a few requests under way is cut, and holds nothing for them', {
  timeout,
}, async () => {
  await using server = await startApi()
  const port = await open(server)
  const request = 'GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n'
  const few = await say(port, `${request.repeat(9)}${request.replace('host', 'connection: close\r\nhost')}`)
  assert.equal(statusesOf(few).length, 10)
  const many = await dial(port)
  many.write(request.repeat(1_000))
  assert.ok(statusesOf(await readAll(many)).length <= pipelinedMax + 1)
  assert.deepEqual(statusesOf(await say(port, request.replace('host', 'connection: close\r\nhost'))), [200])
})

test('a body has its limit, whatever its length was said to be', { timeout }, async () => {
  await using server = await startApi()
  const port = await open(server)
  const declared = await dial(port)
  declared.write(`${post}content-length: 99999999999\r\n\r\n`)
  const answer = await readAll(declared)
  assert.equal(statusesOf(answer)[0], 413)
  const within = JSON.stringify({ meta: {} }).padEnd(bodyBytesMax)
  const whole = `${post}connection: close\r\ncontent-length: ${within.length}\r\n\r\n${within}`
  assert.deepEqual(statusesOf(await say(port, whole)), [200])
})

test('over TLS it is the same, and a handshake has its deadline', { timeout }, async () => {
  await using server = await startApi({ deadlines: fast })
  const pair = await generate([{ name: 'commonName', value: 'one.example' }], { keyType: 'ec' })
  const { port } = await server.api.listenTls(host, 0, { key: pair.private, cert: pair.cert })
  const sayTls = async (bytes: string) => {
    const socket = connectTls({ port, host, rejectUnauthorized: false })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    socket.write(bytes)
    return readAll(socket)
  }
  const smuggled = `${post}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n${end}${hidden}`
  assert.deepEqual(statusesOf(await sayTls(smuggled)), [400])
  assert.deepEqual(statusesOf(await sayTls('GET /healthz HTTP/1.1\r\nhost: a\r\n')), [408])
  assert.equal(await readAll(await dial(port)), '', 'nothing is said to who never begins')
  assert.equal((await server.result<object[]>('GET', inputsPath)).length, 0)
})

test('a page from elsewhere may read nothing but what is open to everybody', { timeout }, async () => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  const origin = 'https://evil.example'
  const allowed: string[] = []
  for (const { method, path } of server.api.routes) {
    const url = path.replaceAll(/:\w+/g, uid).replace('*', 'x')
    if (url.endsWith('/events')) continue
    const headers = {
      origin,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'authorization',
    }
    const answer = await server.api.inject({ method: method as 'GET', url, headers })
    const opened = Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))
    if (opened.length > 0) allowed.push(`${method} ${path}: ${opened} ${answer.headers['access-control-allow-origin']}`)
    assert.equal(answer.headers['access-control-allow-credentials'], undefined)
  }
  assert.deepEqual(
    allowed.filter((line) => !line.startsWith('HEAD ')),
    ['/:input_uid/lifecycle', '/openapi.json'].map((path) => `GET ${path}: access-control-allow-origin *`),
  )
})

test('an unexpected error tells the log what it was, and the client nothing', { timeout }, async () => {
  const store = new MemoryStore()
  await using server = await startApi({ store })
  store.before = () => {
    throw new Error('planted-secret at /planted/path.ts')
  }
  const answer = await say(await open(server), hidden.replace('content-length', 'connection: close\r\ncontent-length'))
  assert.deepEqual(statusesOf(answer), [500])
  assert.equal(failureIn(answer)[0]?.code, 11500)
  assert.doesNotMatch(answer, /planted|\.ts|\bat /)
  assert.match(String((server.log.at(-1)!.fields as { err: Error }).err.stack), /planted-secret/)
})

test('an answer says nothing about what it runs on, and cannot be taken for something else', { timeout }, async () => {
  await using server = await startApi()
  for (const url of ['/healthz', inputsPath, '/nowhere', '/metrics']) {
    const { headers } = await server.api.inject({ method: 'GET', url })
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
    for (const name of ['server', 'x-powered-by', 'via']) assert.equal(headers[name], undefined, `${url} ${name}`)
  }
})
