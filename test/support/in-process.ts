import { randomBytes } from 'node:crypto'
import { InProcessBus } from '../../src/bus/in-process-bus.ts'
import { systemClock } from '../../src/clock.ts'
import { AddressPolicy } from '../../src/destination/address-policy.ts'
import { systemResolve } from '../../src/destination/dial.ts'
import { IngestServer } from '../../src/live/ingest-server.ts'
import { Pump } from '../../src/live/pump.ts'
import { SlabPool } from '../../src/live/slab-pool.ts'
import { Supervisor } from '../../src/live/supervisor.ts'
import { createLog } from '../../src/log.ts'
import { newAccountId, newLiveInputId, newOutputId } from '../../src/model/id.ts'
import {
  decodeLiveInput,
  encodeLiveInput,
  type LiveInput,
  liveInputKey,
  type Output,
} from '../../src/model/live-input.ts'
import { newStreamKey } from '../../src/model/stream-key.ts'
import { Secret, SecretBox } from '../../src/secret.ts'
import { openSqliteStore } from '../../src/store/sqlite-store.ts'
import type { Store } from '../../src/store/store.ts'
import { temporaryFolder } from './processes.ts'

/** Everything that runs, without the API: a test writes its wishes straight into the real store. */
export type InProcessServer = AsyncDisposable & {
  readonly rtmpUrl: string
  readonly store: Store
  /** Puts a new live input into the store, behind everybody's back. */
  putInput(): Promise<LiveInput>
  /** Reads the wish, changes it, writes it. */
  edit(input: LiveInput, change: (wish: LiveInput) => LiveInput): Promise<LiveInput>
}

export async function startInProcess(): Promise<InProcessServer> {
  await using opening = new AsyncDisposableStack()
  const folder = opening.use(await temporaryFolder('in-process'))
  const clock = systemClock
  const cipher = new SecretBox(randomBytes(32))
  const log = createLog({ logLevel: 'error', logFormat: 'json' })
  const store = await openSqliteStore({
    file: `${folder.path}/store.sqlite`,
    clock,
    onCrash: (error) => {
      throw error
    },
  })
  opening.defer(() => store.close())
  const bus = new InProcessBus({
    onError: (error) => {
      throw error
    },
  })
  opening.defer(() => bus.close())
  const supervisor = new Supervisor({
    store,
    bus,
    cipher,
    owner: 'test',
    epoch: 1,
    clock,
    log,
    pump: new Pump(clock, 0),
    pool: new SlabPool(256 * 2 ** 20),
    resolve: systemResolve,
    policy: new AddressPolicy(['127.0.0.0/8']),
    random: Math.random,
    maxLagMs: 4_000,
    logLimits: { durationMsMax: 15_000, bytesMax: 32 * 2 ** 20 },
    reconnectWindowMs: 30_000,
    maxBitrateKbps: 12_000,
  })
  await supervisor.start()
  opening.defer(() => supervisor.close(500))
  const ingest = new IngestServer({ supervisor, clock, log, maxIngestKbps: 100_000 })
  opening.defer(() => ingest.close())
  const { port } = await ingest.listen('127.0.0.1', 0)
  const opened = opening.move()
  return {
    rtmpUrl: `rtmp://127.0.0.1:${port}/live`,
    store,
    async putInput() {
      const uid = newLiveInputId()
      const now = new Date().toISOString()
      const input: LiveInput = {
        uid,
        accountId: newAccountId(),
        created: now,
        modified: now,
        meta: {},
        enabled: true,
        streamKey: newStreamKey(uid),
        outputs: [],
      }
      await store.put(liveInputKey(uid), encodeLiveInput(input, cipher), 'absent')
      return input
    },
    async edit({ uid }, change) {
      const entry = (await store.get(liveInputKey(uid)))!
      const wish = change(decodeLiveInput(entry.value, cipher))
      await store.put(entry.key, encodeLiveInput(wish, cipher), entry.revision)
      return wish
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

export function newOutput(url: string, streamKey: string): Output {
  return {
    uid: newOutputId(),
    url,
    streamKey: new Secret(streamKey),
    enabled: true,
    created: new Date().toISOString(),
  }
}
