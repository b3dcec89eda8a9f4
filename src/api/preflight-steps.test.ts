import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiFixture, inputsPath, startApi, token } from '../../test/support/api-fixture.ts'
import type { StreamSink } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import { CodedError } from '../errors.ts'
import { type PreflightEvent, type PreflightRequest, preflightStepsSubject } from '../model/preflight.ts'

const destination = { url: 'rtmp://a.example/live', streamKey: 'uzya-f19y' }
const resolved = { name: 'resolve', ok: true, durationMs: 3 } as const
const events: readonly PreflightEvent[] = [
  { begun: 'resolve' },
  { ended: resolved },
  { report: { ok: true, steps: [resolved] } },
]
const lineOf = (event: PreflightEvent) => Buffer.from(`${JSON.stringify(event)}\n`)

async function askWith(serve: (sink: StreamSink, request: PreflightRequest, server: ApiFixture) => void) {
  const bus = new InProcessBus({ onError: () => {} })
  await using server = await startApi({ bus })
  bus.serveStream(preflightStepsSubject, (message, sink) => serve(sink, message as PreflightRequest, server))
  const { uid } = await server.result('POST', inputsPath)
  const answer = await server.api.inject({
    method: 'POST',
    url: `${inputsPath}/${uid}/outputs/test`,
    headers: { authorization: `Bearer ${token}`, accept: 'application/x-ndjson' },
    payload: JSON.stringify({ ...destination, spelt: 'wrong' }),
  })
  await bus.close()
  const lines = answer.body.split('\n').filter((line) => line !== '')
  return {
    status: answer.statusCode,
    type: answer.headers['content-type'],
    lines: lines.map((line) => JSON.parse(line)),
  }
}

test('each step is told as it happens, the report with its notices last', async () => {
  let key = ''
  const { status, type, lines } = await askWith((sink, request, server) => {
    key = server.cipher.open(request.streamKey, 'preflight.streamKey').reveal()
    // However the bytes are cut.
    const bytes = Buffer.concat(events.map(lineOf))
    for (let at = 0; at < bytes.length; at += 7) sink.write(bytes.subarray(at, at + 7))
    sink.end()
  })
  assert.equal(key, destination.streamKey)
  assert.deepEqual([status, type], [200, 'application/x-ndjson'])
  assert.deepEqual(lines.slice(0, 2), events.slice(0, 2))
  const { result, success, messages } = lines[2]
  assert.deepEqual([result, success], [{ ok: true, steps: [resolved] }, true])
  assert.equal(messages[0].source.pointer, '/spelt')
})

test('what cuts a try-out off becomes its last line; before the first, an answer as any other', async () => {
  const cut = await askWith((sink) => {
    sink.write(lineOf(events[0]!))
    sink.end(new CodedError('no_responder'))
  })
  assert.deepEqual([cut.status, cut.lines.length], [200, 2])
  assert.deepEqual([cut.lines[1].success, cut.lines[1].errors[0].code], [false, 11503])
  const mistaken = await askWith((sink) => {
    sink.write(lineOf(events[0]!))
    sink.end(new Error('a mistake'))
  })
  assert.equal(mistaken.lines[1].errors[0].code, 11500)
  const none = await askWith((sink) => sink.end(new CodedError('no_responder')))
  assert.deepEqual([none.status, none.lines[0].errors[0].code], [503, 11503])
})
