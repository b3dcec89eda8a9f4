import assert from 'node:assert/strict'
import { afterEach, mock, test } from 'node:test'
import { ApiFailure, call, onSignedOut, streamPath, unreachable, unreadable } from './client.ts'

type Sent = { readonly path: string; readonly init: RequestInit }

function answers(status: number, body: unknown): Sent[] {
  const sent: Sent[] = []
  mock.method(globalThis, 'fetch', async (path: string, init: RequestInit) => {
    sent.push({ path, init })
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status })
  })
  return sent
}

const envelope = (result: unknown) => ({ result, success: true, errors: [], messages: [] })
const refusal = (code: number, message: string, pointer?: string) => ({
  ...{ result: null, success: false, messages: [] },
  errors: [{ code, message, ...(pointer !== undefined && { source: { pointer } }) }],
})

afterEach(() => mock.restoreAll())

test('an answer is taken out of its envelope; a bare one is taken as it is', async () => {
  answers(200, { ...envelope([1]), messages: [{ code: 11200, message: 'lint' }], result_info: { count: 1 } })
  assert.deepEqual(await call('/x'), {
    result: [1],
    messages: [{ code: 11200, message: 'lint' }],
    info: { count: 1 },
  })
  answers(200, {})
  assert.deepEqual((await call('/x', { method: 'DELETE' })).result, {})
})

test('what changes something says that it comes from the dashboard; what reads does not', async () => {
  const sent = answers(200, envelope(null))
  await call('/x')
  await call('/x', { method: 'POST', body: { a: 1 } })
  const header = ({ init }: Sent, name: string) => (init.headers as Record<string, string>)[name]
  assert.equal(header(sent[0]!, 'x-stream-connect'), undefined)
  assert.equal(header(sent[1]!, 'x-stream-connect'), 'dashboard')
  assert.equal(sent[1]?.init.body, '{"a":1}')
})

test('a refusal has the code and the words of the server, and those of each field', async () => {
  answers(400, refusal(10005, 'Must be a url.', '/url'))
  await assert.rejects(call('/x'), (error: ApiFailure) => {
    assert(error instanceof ApiFailure)
    assert.deepEqual([error.code, error.status, error.message], [10005, 400, 'Must be a url.'])
    assert.equal(error.at('/url'), 'Must be a url.')
    assert.equal(error.at('/name'), undefined)
    return true
  })
})

test('only 401 means that nobody is signed in', async () => {
  let count = 0
  const stop = onSignedOut(() => count++)
  answers(403, refusal(10000, 'Authentication error'))
  await assert.rejects(call('/x'))
  assert.equal(count, 0)
  answers(401, refusal(11401, 'Sign in.'))
  await assert.rejects(call('/x'))
  assert.equal(count, 1)
  stop()
})

test('a server that is away, and something that is no server of ours, are told apart', async () => {
  mock.method(globalThis, 'fetch', async () => {
    throw new TypeError('Failed to fetch')
  })
  await assert.rejects(call('/x'), { code: unreachable, status: 0 })
  answers(502, '<html>Bad gateway</html>')
  await assert.rejects(call('/x'), { code: unreadable, status: 502 })
})

test('a call that was given up is not told as a failure of the server', async () => {
  mock.method(globalThis, 'fetch', async () => {
    throw new DOMException('aborted', 'AbortError')
  })
  await assert.rejects(call('/x', { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('ids cannot leave their place in a path', () => {
  assert.equal(streamPath('a', 'live_inputs', '../x'), '/client/v4/accounts/a/stream/live_inputs/..%2Fx')
})
