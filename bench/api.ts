import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
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

/**
 * npm run bench:api -- [--inputs 1000] [--outputs 50] [--calls 300]
 *
 * Durations of API calls over a real socket, with a real database that holds so many live inputs with so many outputs each.
 */
const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000' },
    outputs: { type: 'string', default: '50' },
    calls: { type: 'string', default: '300' },
  },
})
const [inputs, outputs, calls] = [values.inputs, values.outputs, values.calls].map(Number) as [number, number, number]
const warmUpCalls = 20

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
  print(`${cpus().length} x ${cpus()[0]?.model.trim()}  Linux ${release()}  Node ${process.version}`)
  print(
    `${inputs} live inputs x ${outputs} outputs; read at the start in ${startMs.toFixed(0)} ms; ${calls} calls each\n`,
  )
  print('call                        p50 ms   p99 ms   max ms')
  const collection = `http://127.0.0.1:${port}/client/v4/accounts/${account}/stream/live_inputs`
  await measure('list', 'GET', collection)
  await measure('list, a page of 50 by name', 'GET', `${collection}?sort=name&limit=50&include=status`)
  await measure('list, searched', 'GET', `${collection}?search=number%209`)
  await measure('create', 'POST', collection)
  await measure('create, with a key', 'POST', collection, () => ({ 'idempotency-key': randomBytes(8).toString('hex') }))
  await api.close()
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
): Promise<void> {
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
  const at = (share: number) => (durations[Math.min(calls - 1, Math.floor(calls * share))] ?? 0).toFixed(1).padStart(9)
  print(`${name.padEnd(26)}${at(0.5)}${at(0.99)}${at(1)}`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
