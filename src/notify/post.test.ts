import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { AddressPolicy } from '../destination/address-policy.ts'
import type { Resolve } from '../destination/look-up.ts'
import { type PostParts, post, postDeadlineMs } from './post.ts'

const nobody: Resolve = async (host) => {
  throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })
}

function parts(options: Partial<PostParts> & { allow?: string[] } = {}): PostParts & { clock: ManualClock } {
  const { allow = ['127.0.0.0/8', '::1/128'], ...others } = options
  return { resolve: nobody, policy: new AddressPolicy(allow), ...others, clock: new ManualClock() }
}

async function listening(answer: RequestListener): Promise<AsyncDisposable & { port: number; requests: () => number }> {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    requests: () => requests,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const signal = new AbortController().signal

test('the body and the headers arrive as they are; the answer is its status', async () => {
  const heard: unknown[] = []
  await using receiver = await listening(async (request, response) => {
    const chunks = await request.toArray()
    heard.push(
      request.method,
      request.headers['content-type'],
      request.headers['x-a'],
      Buffer.concat(chunks).toString(),
    )
    response.writeHead(202).end('thanks')
  })
  const outcome = await post(`http://127.0.0.1:${receiver.port}/hook`, { 'x-a': 'b' }, '{"ü":1}', parts(), signal)
  assert.equal(outcome.status, 202)
  assert.deepEqual(heard, ['POST', 'application/json', 'b', '{"ü":1}'])
})

test('a receiver that wants to speak something else has answered', { timeout: 10_000 }, async () => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  using _ = { [Symbol.dispose]: () => server.close() }
  const { port } = server.address() as AddressInfo
  const outcome = await post(`http://127.0.0.1:${port}/hook`, {}, '{}', parts(), signal)
  assert.equal(outcome.status, 101)
})

test('redirects are not followed', async () => {
  await using inside = await listening((_, response) => void response.end())
  await using receiver = await listening((_, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${inside.port}/` }).end()
  })
  const outcome = await post(`http://127.0.0.1:${receiver.port}/`, {}, '{}', parts(), signal)
  assert.equal(outcome.status, 307)
  assert.equal(inside.requests(), 0)
})

const refused = [
  { url: 'http://127.0.0.1:PORT/', sentence: /127\.0\.0\.1 is a loopback address.*DESTINATION_ALLOW/ },
  { url: 'http://[::1]:PORT/', sentence: /::1 is a loopback address/ },
  { url: 'http://[::ffff:127.0.0.1]:PORT/', sentence: /loopback/ },
  { url: 'http://2130706433:PORT/', sentence: /127\.0\.0\.1 is a loopback address/ },
  { url: 'http://169.254.169.254/latest/meta-data', sentence: /link-local/ },
  { url: 'http://inside.example:PORT/', sentence: /127\.0\.0\.1 is a loopback address/ },
  { url: 'http://nobody.example:PORT/', sentence: /could not be resolved/ },
  { url: 'ftp://203.0.113.1/', sentence: /not one of http or https/ },
  { url: 'nonsense', sentence: /not one of http or https/ },
] as const

test('receivers obey the network policy of outputs, by address and by name', async (t) => {
  await using receiver = await listening((_, response) => void response.end())
  const resolve: Resolve = async (host, asked) =>
    host === 'inside.example' ? [{ address: '127.0.0.1', family: 4 }] : nobody(host, asked)
  for (const { url, sentence } of refused)
    await t.test(url, async () => {
      const target = url.replace('PORT', String(receiver.port))
      const outcome = await post(target, {}, '{}', parts({ resolve, allow: [] }), signal)
      assert.match(outcome.error ?? '', sentence)
      assert.equal(outcome.status, undefined)
    })
  assert.equal(receiver.requests(), 0)
  const outcome = await post(`http://inside.example:${receiver.port}/`, {}, '{}', parts({ resolve }), signal)
  assert.equal(outcome.status, 200, 'unless DESTINATION_ALLOW names it')
})

test('of several addresses only those that are allowed are connected to', async () => {
  await using receiver = await listening((_, response) => void response.end())
  const resolve: Resolve = async () => [
    { address: '127.0.0.2', family: 4 },
    { address: '127.0.0.1', family: 4 },
  ]
  const some = parts({ resolve, allow: ['127.0.0.1'] })
  assert.equal((await post(`http://two.example:${receiver.port}/`, {}, '{}', some, signal)).status, 200)
})

test('who does not answer in time has failed', async () => {
  const asked = Promise.withResolvers<void>()
  await using receiver = await listening(() => asked.resolve())
  const some = parts()
  const outcome = post(`http://127.0.0.1:${receiver.port}/`, {}, '{}', some, signal)
  await asked.promise
  some.clock.advance(postDeadlineMs)
  assert.deepEqual(await outcome, {
    at: new Date(some.clock.now()).toISOString(),
    durationMs: postDeadlineMs,
    error: 'No answer came within 10 s.',
  })
})

test('an answer without end is not read to its end', async () => {
  await using receiver = await listening((_, response) => {
    response.writeHead(200)
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384)));
    }
    response.on('drain', more)
    more()
  })
  assert.equal((await post(`http://127.0.0.1:${receiver.port}/`, {}, '{}', parts(), signal)).status, 200)
})

test('whatever goes wrong is a sentence, and never an exception', async () => {
  const closed = await listening(() => {})
  await closed[Symbol.asyncDispose]()
  const some = parts()
  const refusedBy = await post(`http://127.0.0.1:${closed.port}/secret-path`, {}, '{}', some, signal)
  assert.equal(refusedBy.error, 'Nothing listens at the host and port of the url.')

  await using resets = await listening((request) => void request.socket.destroy())
  assert.equal(
    (await post(`http://127.0.0.1:${resets.port}/`, {}, '{}', some, signal)).error,
    'The receiver cut the connection.',
  )
  assert.match((await post(`https://127.0.0.1:${resets.port}/`, {}, '{}', some, signal)).error ?? '', /\.$/)

  const talker = createTcpServer((socket) => socket.on('error', () => {}).end('SSH-2.0-x\r\n'))
  await new Promise<void>((resolve) => talker.listen(0, '127.0.0.1', resolve))
  const { port } = talker.address() as AddressInfo
  assert.equal(
    (await post(`http://127.0.0.1:${port}/`, {}, '{}', some, signal)).error,
    'What answered does not speak HTTP.',
  )
  talker.close()

  const badHeader = await post(`http://127.0.0.1:${resets.port}/`, { 'cf-webhook-auth': 'a\nb' }, '{}', some, signal)
  assert.match(badHeader.error ?? '', /\.$/)
  const aborted = await post(`http://127.0.0.1:${resets.port}/`, {}, '{}', some, AbortSignal.abort())
  assert.equal(aborted.error, 'The attempt was cut short.')
  assert.equal(some.clock.alarms, 0, 'no timer is left')
})
