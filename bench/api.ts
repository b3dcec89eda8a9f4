import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createApi } from '../src/api/server.ts'
import { InProcessBus } from '../src/bus/in-process-bus.ts'
import { systemClock } from '../src/clock.ts'
import { type AccountId, newLiveInputId, newOutputId } from '../src/model/id.ts'
import { encodeLiveInput, type LiveInput, liveInputKey } from '../src/model/live-input.ts'
import { newStreamKey } from '../src/model/stream-key.ts'
import { Secret, SecretBox } from '../src/secret.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { type ApiResult, circumstances, writeResults } from './results.ts'
import { apiTable } from './tables.ts'

/**
 * npm run bench:api -- [--inputs 1000] [--outputs 50] [--calls 300] [--save]
 *
 * Durations of API calls over a real socket, with a real database that holds so many live inputs with so many outputs each. With --save they
 * are kept in docs/performance/api.json.
 */
const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000' },
    outputs: { type: 'string', default: '50' },
    calls: { type: 'string', default: '300' },
    save: { type: 'boolean', default: false },
  },
})
const [inputs, outputs, calls] = [values.inputs, values.outputs, values.calls].map(Number) as [number, number, number]
const warmUpCalls = 20
/** What was asked for, with 1,000 live inputs of 50 outputs: p99, milliseconds. */
const targetsMs = { list: 50, create: 10 } as const

const account = randomBytes(16).toString('hex') as AccountId
const token = new Secret('a-token-of-the-bench')
const folder = await mkdtemp(join(tmpdir(), 'stream-connect-bench-'))
const cipher = new SecretBox(randomBytes(32))
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const bus = new InProcessBus({ onError() {} })
const store = await openSqliteStore({ file: join(folder, 'bench.sqlite'), clock: systemClock })
try {
  await fill()
  const began = performance.now()
  const api = await createApi({
    ...{ store, bus, cipher, clock: systemClock, log: quiet, first: { account, token } },
    addresses: () => ({ rtmpUrl: 'rtmp://localhost:1935/live/' }),
    limits: { liveInputsMax: inputs + 2 * calls + 2 * warmUpCalls, outputsMax: outputs, resumeSecondsMax: 15 },
    ownerIsAlive: () => true,
  })
  const startMs = performance.now() - began
  const { port } = await api.listen('127.0.0.1', 0)
  const collection = `http://127.0.0.1:${port}/client/v4/accounts/${account}/stream/live_inputs`
  const results: ApiResult[] = [
    { ...(await measure('list', 'GET', collection)), targetMs: targetsMs.list },
    await measure('list, a page of 50 by name', 'GET', `${collection}?sort=name&limit=50&include=status`),
    await measure('list, searched', 'GET', `${collection}?search=number%209`),
    { ...(await measure('create', 'POST', collection)), targetMs: targetsMs.create },
    await measure('create, with an Idempotency-Key', 'POST', collection, () => ({
      'idempotency-key': randomBytes(8).toString('hex'),
    })),
  ]
  await api.close()
  const taken = circumstances('bench:api')
  print(`${taken.machine}  Node ${process.version}`)
  print(
    `${inputs} live inputs x ${outputs} outputs; read at the start in ${startMs.toFixed(0)} ms; ${calls} calls each\n`,
  )
  print(apiTable(results))
  if (values.save) writeResults('api', { ...taken, inputs, outputsOfInput: outputs, calls, startMs, results })
} finally {
  await store.close()
  await bus.close()
  await rm(folder, { recursive: true })
}

async function fill(): Promise<void> {
  const puts: Promise<unknown>[] = []
  for (let number = 0; number < inputs; number++) {
    const uid = newLiveInputId()
    const created = new Date(Date.now() - number * 1000).toISOString().replace('Z', '000Z')
    const input: LiveInput = {
      ...{ uid, accountId: account, created, modified: created, meta: { name: `number ${number}` }, enabled: true },
      streamKey: newStreamKey(uid),
      outputs: Array.from({ length: outputs }, (_, index) => ({
        ...{ uid: newOutputId(), url: `rtmp://destination-${index}.example.com/live`, enabled: true, created },
        streamKey: new Secret(randomBytes(16).toString('hex')),
      })),
    }
    puts.push(store.put(liveInputKey(uid), encodeLiveInput(input, cipher), 'absent'))
  }
  await Promise.all(puts)
}

async function measure(
  name: string,
  method: 'GET' | 'POST',
  url: string,
  headersOf: () => Record<string, string> = () => ({}),
): Promise<ApiResult> {
  const durations: number[] = []
  for (let call = -warmUpCalls; call < calls; call++) {
    const headers = { authorization: `Bearer ${token.reveal()}`, ...headersOf() }
    const began = performance.now()
    const answer = await fetch(url, { method, headers })
    await answer.arrayBuffer()
    if (answer.status !== 200) throw new Error(`${name}: ${answer.status}`)
    if (call >= 0) durations.push(performance.now() - began)
  }
  durations.sort((a, b) => a - b)
  const at = (share: number) => durations[Math.min(calls - 1, Math.floor(calls * share))] ?? 0
  return { call: name, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
