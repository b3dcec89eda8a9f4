import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireOutput } from '../../../src/api/schemas.ts'
import { outputErrorCodes } from '../../../src/errors.ts'
import { connectingSteps, historyLengthMax } from '../../../src/model/lifecycle.ts'
import { hostOf, momentsRememberedMax, momentWords, nameOfOutput, viewOf } from './output-words.ts'

const at = '2026-01-13T11:43:41.855Z'
const next = '2026-01-13T11:44:41.855Z'

function seen(state: string, reason: string, more: object = {}): Pick<WireOutput, 'enabled' | 'status' | 'health'> {
  const current = { ingestProtocol: 'rtmp' as const, state, reason, statusEnteredAt: at, statusLastSeen: at, ...more }
  return { enabled: true, status: { current, history: [] } }
}

test('each state has its words', () => {
  const table = [
    [{ enabled: true, status: null }, 'waiting', 'Ready', 'Starts by itself when the encoder sends.'],
    [seen('disconnected', 'client_disconnect'), 'waiting', 'Ready', 'Starts by itself when the encoder sends.'],
    [{ ...seen('disconnected', 'disabled'), enabled: false }, 'off', 'Off', 'Nothing is sent until it is switched on.'],
    // Switched off a moment ago: the wish counts.
    [{ ...seen('connected', 'connected'), enabled: false }, 'off', 'Off', 'Nothing is sent until it is switched on.'],
    [seen('connected', 'connected'), 'live', 'Live', undefined],
    [{ ...seen('connected', 'connected'), health: { bytesSent: 1_234_567 } }, 'live', 'Live', '1.23 MB sent.'],
    [
      { ...seen('connected', 'connected'), health: { warning: { code: 'too_slow', message: 'Too slow.' } } },
      'slow',
      'Live, too slow',
      'Too slow.',
    ],
  ] as const
  for (const [output, kind, label, detail] of table) {
    const view = viewOf(output)
    assert.deepEqual([view.kind, view.label, view.detail], [kind, label, detail])
  }
  assert.equal(viewOf({ enabled: true, status: null }, false).detail, 'The live input is disabled; nothing is sent.')
})

test('every step of connecting and every reason has words of its own', () => {
  const steps = connectingSteps.map((step) => viewOf(seen('connecting', step, { step })).detail)
  assert.equal(new Set(steps).size, connectingSteps.length)
  const codes = Object.keys(outputErrorCodes)
  const reasons = codes.map((code) => viewOf(seen('error', code, { nextAttemptAt: next })))
  assert.equal(new Set(reasons.map(({ detail }) => detail)).size, codes.length)
  for (const view of reasons) assert.deepEqual([view.kind, view.nextAttemptAt, view.since], ['failed', next, at])
  for (const code of codes) assert.equal(momentWords('reconnecting', code).includes(code), false)
})

function because(code: string, message: string): string | undefined {
  return viewOf({ ...seen('reconnecting', code), health: { lastError: { code, message, at } } }).detail
}

test("the server's own sentence is shown as it is", () => {
  const table = [
    ['connection_reset', 'The destination cut the connection.'],
    ['connection_reset', 'ECONNRESET 203.0.113.7:443: the connection was cut during the TLS handshake.'],
    ['connection_reset', 'live.example: ECONNRESET 203.0.113.7. The connection was cut as soon as it was made.'],
    ['closed_after_publish', 'The destination closed the connection 0.3 s after it had accepted the publish.'],
    ['codec_refused', 'the destination says that it does not take hvc1, which the encoder sends'],
    ['publish_denied', 'The destination asks for a login.'],
    ['connection_refused', 'ECONNREFUSED 127.0.0.1:9. Nothing listens there: check host and port.'],
    // Nobody was asked, or the answer had no words in it.
    ['destination_not_allowed', '10.0.0.1, a private address. Outputs may not reach it.'],
    ['dns_failed', 'look-up failed live.example. The host name could not be resolved.'],
    ['connect_timeout', 'live.example did not answer connect within 10 s.'],
    ['tls_failed', '203.0.113.7:443 closed the connection during the TLS handshake.'],
    ['certificate_expired', 'Certificate expired.'],
    ['a_code_of_tomorrow', 'Something else.'],
  ] as const
  for (const [code, message] of table) assert.equal(because(code, message), message)
})

test("a destination's own words stand behind plain ones", () => {
  const table = [
    ['publish_denied', 'NetStream.Publish.Denied: <b>no</b>', 'The destination refused the stream key or the login.'],
    ['publish_denied', 'The key is wrong.', 'The destination refused the stream key or the login.'],
    ['publish_denied', 'ERROR 17 at the gate', 'The destination refused the stream key or the login.'],
    ['already_publishing', 'NetStream.Publish.BadName', 'The destination says that this stream key is in use.'],
    ['connection_reset', 'NetConnection.Connect.Closed', 'The destination cut the connection.'],
  ] as const
  for (const [code, words, plain] of table) assert.equal(because(code, words), `${plain} It says: “${words}”`)
  for (const code of ['closed_after_publish', 'codec_refused', 'connect_rejected'])
    assert.match(because(code, 'Go away.') ?? '', /^The destination .* It says: “Go away\.”$/)
})

test('an older error says nothing of what goes on now', () => {
  const older = { lastError: { code: 'dns_failed', message: 'ENOTFOUND', at } }
  const view = viewOf({ ...seen('reconnecting', 'no_progress'), health: older })
  assert.equal(view.detail, 'The destination stopped taking data.')
  assert.match(viewOf(seen('error', 'a_code_of_tomorrow')).detail ?? '', /a_code_of_tomorrow/)
})

test('an output is not live since it was live last, or since it failed first, whatever the attempts since', () => {
  const moments = (...states: readonly string[]) =>
    states.map((state, index) => ({
      ingestProtocol: 'rtmp' as const,
      state,
      reason: state,
      statusEnteredAt: `${states.length - index} from the start`,
    }))
  const sinceOf = (...states: readonly string[]) => {
    const [current, ...history] = moments(...states)
    const status = { current: { ...current!, statusLastSeen: at }, history }
    const { since, isLonger } = viewOf({ enabled: true, status })
    return [since, isLonger]
  }
  const attempts = (count: number) => Array.from({ length: count }, () => ['error', 'connecting']).flat()
  const table = [
    [['error'], '1 from the start', false],
    [[...attempts(3), 'disconnected'], '3 from the start', false],
    [[...attempts(2), 'reconnecting', 'connected', 'connecting', 'error'], '4 from the start', false],
    // Begun anew for another codec, and then refused.
    [[...attempts(2), 'connected', 'connecting', 'disconnected'], '4 from the start', false],
    [attempts(3), '2 from the start', false],
    // An attempt is counted by itself.
    [['connecting', ...attempts(2), 'disconnected'], '6 from the start', false],
    [attempts(historyLengthMax / 2).concat('error'), '1 from the start', true],
  ] as const
  for (const [states, since, isLonger] of table) assert.deepEqual(sinceOf(...states), [since, isLonger])
  assert.equal(momentsRememberedMax, historyLengthMax)
})

test('an output without a name is called after its host', () => {
  const table = [
    ['rtmps://a.rtmps.youtube.com:443/live2', 'a.rtmps.youtube.com'],
    ['RTMP://Host.example?x=1', 'Host.example'],
    ['rtmp://[2001:db8::1]:1935/live', '[2001:db8::1]'],
    ['nonsense', 'nonsense'],
  ] as const
  for (const [url, host] of table) assert.equal(hostOf(url), host)
  assert.equal(nameOfOutput({ url: table[0][0], name: 'Main' }), 'Main')
  assert.equal(nameOfOutput({ url: table[0][0] }), table[0][1])
})
