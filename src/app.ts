import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createApi } from './api/server.ts'
import { InProcessBus } from './bus/in-process-bus.ts'
import { systemClock } from './clock.ts'
import { versionText } from './command-line.ts'
import { type Config, hostInUrl, httpOrigins } from './config.ts'
import {
  type DataDir,
  loadAccountId,
  loadApiToken,
  loadPreviousSecretKey,
  loadSecretKey,
  openDataDir,
  writeFileAtomically,
} from './data-dir.ts'
import { AddressPolicy } from './destination/address-policy.ts'
import { type Resolve, systemResolve } from './destination/dial.ts'
import { OwnAddresses } from './destination/own-addresses.ts'
import { CodedError } from './errors.ts'
import { Haste } from './haste.ts'
import { hostToListenOn, listenFailure } from './listen-address.ts'
import { Supervisor } from './live/supervisor.ts'
import type { Log } from './log.ts'
import type { AccountId } from './model/id.ts'
import { Notifier } from './notify/notifier.ts'
import { Secret, SecretBox } from './secret.ts'
import { changeOfSecretKey, opensCheck, sealedCheck, secretKeyCheckKey } from './secret-key.ts'
import { rewriteDocuments } from './store/sqlite-file.ts'
import { openSqliteStore } from './store/sqlite-store.ts'
import type { Store } from './store/store.ts'
import { openMedia } from './threads/media.ts'
import { mediaThreads, type SpawnedThread } from './threads/spawn.ts'
import { openCertificate, type TlsCertificate } from './tls-certificate.ts'

/** What a person must know of a server that has started. */
export type Started = {
  /** Without a path; undefined when the listener is off. */
  readonly httpUrl: string | undefined
  readonly httpsUrl: string | undefined
  readonly rtmpUrl: string | undefined
  readonly rtmpsUrl: string | undefined
  readonly accountId: AccountId
  /** Made at this start, to be shown this once. */
  readonly newToken: Secret | undefined
  /** Signs a browser in once, below the address of HTTP: made at the first start, and with a new token, to be shown with it. */
  readonly signInPath: Secret | undefined
  /** Where it can be read later; undefined when the person set API_TOKEN. */
  readonly tokenFile: string | undefined
}

export interface App {
  readonly started: Started
  /**
   * Ends broadcasts at their destinations, then everything else, in the reverse order of the building. Calling again gives the same end.
   * @param withinMs for the destinations to take what is pending.
   */
  close(withinMs: number): Promise<void>
}

export type AppOverrides = {
  /** What a test puts in place of the system's own. */
  readonly resolve?: Resolve
  /** Media threads that have begun already. */
  readonly spawned?: readonly SpawnedThread[]
  /** The size in pages of 4,096 bytes at which the database counts as full: for tests, on machines whose disks they cannot fill. */
  readonly databasePagesMax?: number
}

/** Built by scripts/build-dashboard.mjs. */
const dashboardFolder = join(import.meta.dirname, '../web/dist')

/**
 * Builds the server: the one place that sees every room.
 * @throws CodedError with a StartErrorCode and one sentence; what had been opened is closed again.
 */
export async function startApp(config: Config, log: Log, overrides: AppOverrides = {}): Promise<App> {
  const opened = new AsyncDisposableStack()
  try {
    return await build(config, log, overrides, opened)
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

async function build(config: Config, log: Log, overrides: AppOverrides, opened: AsyncDisposableStack): Promise<App> {
  const clock = systemClock
  const { dataDir, store, cipher, isNew } = await openData(config, log, opened, overrides)
  const { token, created } = await loadApiToken(dataDir, config.apiToken)
  let hasStarted = false
  // Nobody has seen the token of a start that failed: the next one makes another, and shows it.
  opened.defer(async () => {
    if (created && !hasStarted) await rm(dataDir.file('api-token'), { force: true })
  })
  const accountId = await loadAccountId(dataDir, config.accountId)
  // Each run of a server has an epoch of its own: a status of an earlier one is over. The file's lock makes this the only run.
  const owner = 'server'
  const run = await store.acquire(owner, randomBytes(8).toString('hex'), 1)
  const epoch = run?.epoch ?? clock.now()

  const bus = new InProcessBus({ onError: (error) => log.error({ err: error }, 'a receiver of the bus failed') })
  opened.defer(() => bus.close())

  const resolve = overrides.resolve ?? systemResolve
  const own = new OwnAddresses(config.publicHost, { resolve, clock })
  const outbound = { resolve, policy: new AddressPolicy(config.destinationAllow, own) }
  const notifier = new Notifier({ ...outbound, store, bus, cipher, clock, log, random: Math.random })
  await notifier.start()
  opened.defer(async () => {
    // What the supervisor's end told is stored, to be sent after the next start.
    await bus.flush()
    await notifier.close()
  })

  const supervisor = new Supervisor({ ...outbound, store, bus, cipher, owner, epoch, clock, log })
  const haste = new Haste(clock)
  const media = await openMedia({
    ...outbound,
    isAwaited: haste.isAwaited,
    threads: mediaThreads(config),
    config,
    ...(overrides.spawned && { spawned: overrides.spawned }),
    supervisor,
    bus,
    clock,
    log,
  })
  opened.defer(() => media.close())
  await supervisor.start()
  let drainMs = 0
  opened.defer(() => supervisor.close(drainMs))

  let isReady = false
  let ports = { rtmp: 0, rtmps: 0 }
  const publicHost = hostInUrl(config.publicHost)
  const addresses = () => ({
    ...(ports.rtmp !== 0 && { rtmpUrl: `rtmp://${publicHost}:${ports.rtmp}/live/` }),
    ...(ports.rtmps !== 0 && { rtmpsUrl: `rtmps://${publicHost}:${ports.rtmps}/live/` }),
  })
  const { httpUrl, httpsUrl } = httpOrigins(config)
  let shownCertificate: TlsCertificate | undefined
  const api = await createApi({
    store,
    bus,
    cipher,
    clock,
    log,
    policy: outbound.policy,
    first: { account: accountId, token },
    addresses,
    limits: {
      liveInputsMax: config.maxLiveInputs,
      outputsMax: config.maxOutputs,
      resumeSecondsMax: Math.floor(config.bufferMs / 1000),
      requestsMax: config.rateLimit,
    },
    trustProxy: config.trustProxy,
    ownerIsAlive: (by, itsEpoch) => by === owner && itsEpoch === epoch,
    isReady: () => isReady,
    onRequest: haste.asked,
    webhooks: () => notifier.outcomes,
    dashboardFolder,
    around: {
      version: versionText(),
      ...(httpUrl !== undefined && { httpUrl }),
      ...(httpsUrl !== undefined && { httpsUrl }),
      certificate: () => shownCertificate?.current.cert,
      limits: {
        reconnectWindowSeconds: config.reconnectWindowSeconds,
        recommendedBitrateKbps: config.maxBitrateKbps,
        ingestBitrateKbps: config.maxIngestKbps,
        lagMs: config.maxLagMs,
        bufferMs: config.bufferMs,
      },
    },
  })
  opened.defer(() => api.close())
  opened.defer(() => media.stopListening())

  const certificate = await openCertificate(config, dataDir, clock, log)
  opened.defer(() => certificate.close())
  const hasTls = config.rtmpsPort !== 0 || config.httpsPort !== 0
  if (hasTls) shownCertificate = certificate
  const rtmpHost = await hostToListenOn(config.rtmpHost)
  const httpHost = await hostToListenOn(config.httpHost)
  if (config.rtmpPort !== 0)
    ports = {
      ...ports,
      rtmp: (await listenOn('RTMP', config.rtmpPort, rtmpHost, () => media.listen(rtmpHost, config.rtmpPort))).port,
    }
  if (config.rtmpsPort !== 0) {
    const listening = await listenOn('RTMPS', config.rtmpsPort, rtmpHost, () =>
      media.listen(rtmpHost, config.rtmpsPort, certificate.current),
    )
    certificate.onChange((pair) => listening.setSecureContext(pair))
    ports = { ...ports, rtmps: listening.port }
  }
  if (config.httpsPort !== 0) {
    const listening = await listenOn('HTTPS', config.httpsPort, httpHost, () =>
      api.listenTls(httpHost, config.httpsPort, certificate.current),
    )
    certificate.onChange((pair) => listening.renew(pair))
  }
  if (config.httpPort !== 0)
    await listenOn('HTTP', config.httpPort, httpHost, () => api.listen(httpHost, config.httpPort))
  isReady = true

  const origin = httpUrl ?? httpsUrl
  if (origin !== undefined) {
    await writeFileAtomically(dataDir.file('api-url'), `${origin}\n`)
    opened.defer(() => rm(dataDir.file('api-url'), { force: true }))
  }
  hasStarted = true
  const started: Started = {
    httpUrl,
    httpsUrl,
    rtmpUrl: addresses().rtmpUrl,
    rtmpsUrl: addresses().rtmpsUrl,
    accountId,
    newToken: created ? token : undefined,
    // The person who has set API_TOKEN, and has no file with it, is new here as well.
    signInPath: created || isNew ? api.signInPath() : undefined,
    tokenFile: config.apiToken === undefined ? dataDir.file('api-token') : undefined,
  }
  let closing: Promise<void> | undefined
  return {
    started,
    close(withinMs) {
      isReady = false
      drainMs = withinMs
      closing ??= opened.disposeAsync()
      return closing
    },
  }
}

/** What is durable, opened. */
async function openData(
  config: Config,
  log: Log,
  opened: AsyncDisposableStack,
  { databasePagesMax }: AppOverrides = {},
): Promise<{ dataDir: DataDir; store: Store; cipher: SecretBox; isNew: boolean }> {
  const dataDir = await openDataDir(config.dataDir)
  const file = dataDir.file('stream-connect.sqlite')
  const previousKey = await loadPreviousSecretKey(dataDir, config.secretKeyPrevious)
  if (previousKey !== undefined) {
    const nextKey = await loadSecretKey(dataDir, config.secretKey)
    changeSecretKey(file, new SecretBox(previousKey), new SecretBox(nextKey), log)
  }
  const store = await openSqliteStore({
    file,
    clock: systemClock,
    ...(databasePagesMax !== undefined && { pageCountMax: databasePagesMax }),
    onCrash: (error) =>
      log.error({ err: error }, 'the database thread has ended or cannot be started; it is tried again'),
    onReopened: () => log.info({}, 'the database is open again'),
  })
  opened.defer(() => store.close())
  const cipher = new SecretBox(await loadSecretKey(dataDir, config.secretKey))
  const isNew = await checkSecretKey(store, cipher, dataDir)
  return { dataDir, store, cipher, isNew }
}

/** Nothing happens when the database has the next key already, or is new. @throws CodedError secret_key_wrong, store_full, as the store's opening */
function changeSecretKey(file: string, previous: SecretBox, next: SecretBox, log: Log): void {
  const unreadable = (key: string, error: unknown) =>
    log.error({ key, err: error }, 'a stored document does not open with the previous SECRET_KEY and is left as it is')
  const changed = rewriteDocuments(file, (read) =>
    changeOfSecretKey(read(secretKeyCheckKey), previous, next, unreadable),
  )
  if (changed > 0) log.info({ documents: changed }, 'the database is encrypted with the new SECRET_KEY now')
}

/** The API over the database alone: nothing listens, nothing is relayed. For commands while no server runs. */
export interface OfflineApi extends AsyncDisposable {
  /** With all rights. @param path below /client/v4. */
  call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<{ readonly status: number; readonly text: string }>
}

/** @throws CodedError as startApp: data_dir_in_use while a server runs. */
export async function openOfflineApi(config: Config, log: Log): Promise<OfflineApi> {
  const opened = new AsyncDisposableStack()
  try {
    const { dataDir, store, cipher } = await openData(config, log, opened)
    const bus = new InProcessBus({ onError: (error) => log.error({ err: error }, 'a receiver of the bus failed') })
    opened.defer(() => bus.close())
    // Known to nobody, and gone with this process.
    const token = new Secret(randomBytes(32).toString('hex'))
    const api = await createApi({
      store,
      bus,
      cipher,
      clock: systemClock,
      log,
      first: { account: await loadAccountId(dataDir, config.accountId), token },
      addresses: () => ({}),
      limits: limitsOf(config),
      ownerIsAlive: () => false,
    })
    opened.defer(() => api.close())
    return {
      async call(method, path, body) {
        const answer = await api.inject({
          method,
          url: `/client/v4${path}`,
          headers: { authorization: `Bearer ${token.reveal()}` },
          ...(body && { payload: JSON.stringify(body) }),
        })
        return { status: answer.statusCode, text: answer.body }
      },
      [Symbol.asyncDispose]: () => opened.disposeAsync(),
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

function limitsOf(config: Config) {
  return {
    liveInputsMax: config.maxLiveInputs,
    outputsMax: config.maxOutputs,
    resumeSecondsMax: Math.floor(config.bufferMs / 1000),
  }
}

/**
 * A database opens with the key that it was made with, or not at all: half-readable would be worse.
 * @returns whether the database is new
 */
async function checkSecretKey(store: Store, cipher: SecretBox, dataDir: DataDir): Promise<boolean> {
  const entry = await store.get(secretKeyCheckKey)
  if (entry === undefined) {
    await store.put(secretKeyCheckKey, sealedCheck(cipher), 'absent')
    return true
  }
  if (opensCheck(cipher, entry.value)) return false
  throw new CodedError(
    'secret_key_wrong',
    `STREAM_CONNECT_SECRET_KEY (or ${dataDir.file('secret-key')}) is not the key that this database was encrypted with; give the key of that time back, or move ${dataDir.path} away to begin anew.`,
  )
}

async function listenOn<Listening>(
  setting: 'HTTP' | 'HTTPS' | 'RTMP' | 'RTMPS',
  port: number,
  host: string,
  listen: () => Promise<Listening>,
): Promise<Listening> {
  try {
    return await listen()
  } catch (error) {
    const hostSetting = setting.startsWith('HTTP') ? 'HTTP_HOST' : 'RTMP_HOST'
    throw listenFailure(error, { hostSetting, host, portSetting: `${setting}_PORT`, port })
  }
}
