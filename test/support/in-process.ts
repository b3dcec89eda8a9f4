import { randomBytes } from 'node:crypto'
import { InProcessBus } from '../../src/bus/in-process-bus.ts'
import { systemClock } from '../../src/clock.ts'
import { AddressPolicy } from '../../src/destination/address-policy.ts'
import { systemResolve } from '../../src/destination/dial.ts'
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
import { type Media, openMedia } from '../../src/threads/media.ts'
import { temporaryFolder } from './processes.ts'

/** Everything that runs, without the API: a test writes its wishes straight into the real store. */
export type InProcessServer = AsyncDisposable & {
  readonly rtmpUrl: string
  readonly store: Store
  readonly bus: InProcessBus
  readonly media: Media
  readonly supervisor: Supervisor
  /** Puts a new live input into the store, behind everybody's back. */
  putInput(): Promise<LiveInput>
  /** Reads the wish, changes it, writes it. */
  edit(input: LiveInput, change: (wish: LiveInput) => LiveInput): Promise<LiveInput>
}

/** @param threads as MEDIA_THREADS. @param canShare in place of asking the system whether threads may share a port. */
export async function startInProcess(threads = 1, canShare?: () => Promise<boolean>): Promise<InProcessServer> {
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
  const outbound = { resolve: systemResolve, policy: new AddressPolicy(['127.0.0.0/8']) }
  const supervisor = new Supervisor({ ...outbound, store, bus, cipher, owner: 'test', epoch: 1, clock, log })
  const media = await openMedia(
    {
      ...outbound,
      threads,
      config: {
        maxLagMs: 4_000,
        bufferMs: 15_000,
        bufferBytesMax: 32 * 2 ** 20,
        reconnectWindowSeconds: 30,
        maxBitrateKbps: 12_000,
        maxIngestKbps: 100_000,
        latencyMode: 'realtime',
        destinationAllow: ['127.0.0.0/8'],
        bufferTotalBytesMax: 256 * 2 ** 20,
        logLevel: 'error',
        publicHost: 'localhost',
      },
      supervisor,
      bus,
      clock,
      log,
    },
    canShare,
  )
  opening.defer(() => media.close())
  await supervisor.start()
  opening.defer(() => supervisor.close(500))
  const { port } = await media.listen('127.0.0.1', 0)
  const opened = opening.move()
  return {
    rtmpUrl: `rtmp://127.0.0.1:${port}/live`,
    store,
    bus,
    media,
    supervisor,
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
