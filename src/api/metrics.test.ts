import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type ApiFixture, account, inputsPath, ManualClock, startApi, token } from '../../test/support/api-fixture.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import {
  type Carried,
  figuresSubject,
  inputStateSubject,
  mediaSubjects,
  outputStateSubject,
  type ToldFigures,
} from '../model/status.ts'

const inputId = 'a'.repeat(32) as LiveInputId
const outputId = 'b'.repeat(32) as OutputId

async function scrape(server: ApiFixture): Promise<string> {
  await new Promise(setImmediate)
  const answer = await server.api.inject({ method: 'GET', url: '/metrics' })
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['content-type']), /^text\/plain/)
  return answer.body
}

/** @returns undefined when there is no such line. */
function seriesOf(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`stream_connect_${series} `))
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

function carry(server: ApiFixture, bytesReceived: number, bytesSent: number, lag: number): void {
  const carried: Carried = { bytesReceived, bytesSent, dropped: { lag, overtaken: 0, late: 0 } }
  server.bus.publish(mediaSubjects.carried, carried)
}

/** @param bytesSent undefined: the output is not told. */
function tell(server: ApiFixture, bytesReceived: number, bytesSent: number | undefined, lag = 2): void {
  const dropped = { lag, overtaken: 1, late: 0 }
  const output = {
    bitrateKbps: 2_000,
    bytesSent: bytesSent ?? 0,
    messagesSent: 1,
    droppedMessages: lag + 1,
    dropped,
    droppedMs: 0,
    lagMs: 300,
  }
  const figures: ToldFigures = {
    accountId: account,
    inputId,
    at: '2026-01-02T03:04:05.678Z',
    input: { bitrateKbps: 2_500, bytesReceived, warnings: [] },
    ...(bytesSent !== undefined && { outputs: { [outputId]: { ...output, attempts: 1, reconnects: 0 } } }),
  }
  server.bus.publish(figuresSubject(account, inputId), figures as never)
}

test('what a broadcast counts is added up, across broadcasts and across a stall', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  tell(server, 1_000, 900)
  tell(server, 3_000, 2_800)
  carry(server, 1_000, 900, 2)
  carry(server, 2_000, 1_900, 3)
  let text = await scrape(server)
  assert.equal(seriesOf(text, 'ingest_bytes_total'), 3_000)
  assert.equal(seriesOf(text, 'egress_bytes_total'), 2_800)
  for (const [reason, count] of Object.entries({ lag: 5, overtaken: 0, late: 0 }))
    assert.equal(seriesOf(text, `output_dropped_messages_total{reason="${reason}"}`), count)
  assert.equal(seriesOf(text, 'live_inputs'), 1)
  assert.equal(seriesOf(text, 'ingest_kilobits_per_second'), 2_500)
  assert.equal(seriesOf(text, 'egress_kilobits_per_second'), 2_000)
  assert.equal(seriesOf(text, 'output_lag_milliseconds_bucket{le="250"}'), 0)
  assert.equal(seriesOf(text, 'output_lag_milliseconds_bucket{le="500"}'), 2)
  clock.advance(20_000)
  text = await scrape(server)
  assert.equal(seriesOf(text, 'live_inputs'), 0)
  assert.equal(seriesOf(text, 'ingest_kilobits_per_second'), 0)
  // Whether outputs or broadcasts come, go or are others: what was carried says nothing of it.
  carry(server, 500, 200, 0)
  clock.advance(1_000)
  text = await scrape(server)
  assert.equal(seriesOf(text, 'ingest_bytes_total'), 3_500)
  assert.equal(seriesOf(text, 'egress_bytes_total'), 3_000)
})

test('what is over is not shown any more', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  tell(server, 1_000, 900)
  assert.equal(seriesOf(await scrape(server), 'live_inputs'), 1)
  const disconnect = (reason: string) => {
    const current = {
      ingestProtocol: 'rtmp',
      state: 'disconnected',
      reason,
      statusEnteredAt: '2026-01-02T03:04:05.678Z',
    }
    const event = { accountId: account, inputId, status: { current, history: [] } }
    server.bus.publish(inputStateSubject(account, inputId), event)
    clock.advance(1_000)
  }
  disconnect('reconnecting')
  assert.equal(seriesOf(await scrape(server), 'live_inputs'), 1, 'its encoder is waited for')
  disconnect('client_disconnect')
  const text = await scrape(server)
  for (const figure of ['live_inputs', 'ingest_kilobits_per_second', 'egress_kilobits_per_second'])
    assert.equal(seriesOf(text, figure), 0)
  assert.ok(!text.includes('live_outputs{'))
})

test('outputs that are not told every second count as what they were, and are made up for when they are told', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  tell(server, 1_000, 900)
  await scrape(server)
  for (let second = 1; second <= 4; second++) {
    clock.advance(1_000)
    tell(server, 1_000 + second, undefined)
    const text = await scrape(server)
    assert.equal(seriesOf(text, 'egress_kilobits_per_second'), 2_000)
    assert.equal(seriesOf(text, 'output_lag_milliseconds_count'), 1)
  }
  clock.advance(1_000)
  tell(server, 1_005, 1_900)
  const text = await scrape(server)
  assert.equal(seriesOf(text, 'output_lag_milliseconds_count'), 6, 'one for each second')
})

test('the figures are made once a second, however many ask for them', async () => {
  const clock = new ManualClock()
  let made = 0
  const webhooks = () => ({ delivered: ++made, retried: 0, failed: 0 })
  await using server = await startApi({ clock, webhooks })
  const texts = await Promise.all(Array.from({ length: 20 }, () => scrape(server)))
  clock.advance(999)
  texts.push(await scrape(server))
  assert.equal(new Set(texts).size, 1)
  assert.equal(made, 1)
  clock.advance(1)
  assert.equal(seriesOf(await scrape(server), 'webhook_attempts_total{outcome="delivered"}'), 2)
})

test('states are counted with their reasons', async () => {
  await using server = await startApi()
  const status = (state: string, reason: string) => {
    const moment = { ingestProtocol: 'rtmp', state, reason, statusEnteredAt: '2026-01-02T03:04:05.678Z' } as const
    return { current: { ...moment, statusLastSeen: moment.statusEnteredAt }, history: [] }
  }
  const ids = { accountId: account, inputId }
  server.bus.publish(inputStateSubject(account, inputId), { ...ids, status: status('connected', 'connected') })
  for (const [state, reason] of [
    ['connecting', 'resolving'],
    ['error', 'publish_denied'],
    ['connecting', 'resolving'],
    ['connected', 'connected'],
    ['reconnecting', 'connection_reset'],
    ['connecting', 'resolving'],
    ['reconnecting', 'connect_timeout'],
  ] as const)
    server.bus.publish(outputStateSubject(account, inputId, outputId), {
      ...ids,
      outputId,
      status: status(state, reason),
    })
  tell(server, 1, 1)
  const text = await scrape(server)
  assert.equal(seriesOf(text, 'live_input_state_changes_total{state="connected",reason="connected"}'), 1)
  assert.equal(seriesOf(text, 'output_state_changes_total{state="reconnecting",reason="connection_reset"}'), 1)
  assert.equal(seriesOf(text, 'output_reconnects_total{reason="connection_reset"}'), 1)
  for (const reason of ['publish_denied', 'connect_timeout'])
    assert.equal(seriesOf(text, `output_reconnects_total{reason="${reason}"}`), 0, 'it was not live before')
  assert.equal(seriesOf(text, 'live_outputs{state="reconnecting"}'), 1)
  assert.equal(seriesOf(text, 'live_outputs{state="connected"}'), undefined)
})

test('requests are timed by route, and webhooks by outcome', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock, webhooks: () => ({ delivered: 5, retried: 2, failed: 1 }) })
  const input = await server.result('POST', inputsPath)
  await server.call('GET', `${inputsPath}/${input.uid}`)
  await server.call('GET', `${inputsPath}/${input.uid}?with=query`)
  await server.call('GET', '/client/v4/nowhere/in/particular')
  let text = await scrape(server)
  const route = '/client/v4/accounts/:account_id/stream/live_inputs/:input_id'
  assert.equal(seriesOf(text, `http_request_seconds_count{method="GET",route="${route}",status="200"}`), 2)
  assert.equal(seriesOf(text, 'http_request_seconds_count{method="GET",route="none",status="404"}'), 1)
  assert.equal(seriesOf(text, 'webhook_attempts_total{outcome="delivered"}'), 5)
  clock.advance(1_000)
  text = await scrape(server)
  assert.equal(seriesOf(text, 'webhook_attempts_total{outcome="retried"}'), 2)
  assert.ok((seriesOf(text, 'nodejs_eventloop_lag_seconds') ?? -1) >= 0)
  for (const what of ['p99', 'max']) {
    const seconds = seriesOf(text, `nodejs_eventloop_lag_${what}_seconds`)!
    assert.ok(seconds >= 0 && seconds < 60, `${what}: ${seconds} s`)
  }
})

test('there is no id, key, url or token in it', async () => {
  await using server = await startApi()
  const input = await server.result('POST', inputsPath)
  const output = { url: 'rtmp://telling.example.com/app', streamKey: 'telling-key' }
  await server.call('POST', `${inputsPath}/${input.uid}/outputs`, output)
  await server.call('GET', `${inputsPath}/${input.uid}/outputs/telling`)
  await server.call('GET', '/telling/path?telling=query')
  tell(server, 1, 1)
  const text = await scrape(server)
  for (const secret of [input.uid, account, inputId, outputId, token, 'telling'])
    assert.ok(!text.includes(secret), secret)
})

test('the dashboard for Grafana asks for what there is', async () => {
  const path = new URL('../../docs/grafana-dashboard.json', import.meta.url)
  const dashboard = JSON.parse(readFileSync(path, 'utf8')) as { panels: { targets?: { expr: string }[] }[] }
  const asked = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  assert.ok(asked.length > 10)
  await using server = await startApi({ webhooks: () => ({ delivered: 0, retried: 0, failed: 0 }) })
  const text = await scrape(server)
  for (const expression of asked)
    for (const [name = ''] of expression.matchAll(/stream_connect_[a-z0-9_]+/g))
      assert.match(text, new RegExp(`^# TYPE ${name.replace(/_(bucket|count|sum)$/, '')} `, 'm'), name)
})
