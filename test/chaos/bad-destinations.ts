import { fileURLToPath } from 'node:url'
import { startBlackHole } from '../support/black-hole.ts'
import { type Behaviour, type Destination, type DestinationOptions, startDestination } from '../support/destination.ts'
import { freePort, startProgram } from '../support/processes.ts'
import type { TestCa } from '../support/tls.ts'

/** What an output has to say within 20 s of the fault. */
export type Verdict = {
  readonly state: 'reconnecting' | 'error'
  readonly reason: string
  /** The sentence that a person needs. */
  readonly says: RegExp
}

export type BadDestination = {
  readonly name: string
  readonly url: string
  /** Undefined: it stays `connected`, and warns. */
  readonly verdict?: Verdict
  /** The fault that begins once the output is `connected`; without it, it is there from the start. */
  readonly begin?: () => void
}

export type BadDestinations = AsyncDisposable & {
  readonly all: readonly BadDestination[]
  /** Names for the server's look-up. */
  readonly hosts: Readonly<Record<string, string>>
  /** Connections that the flooding one has had: each has to be cut by us. */
  readonly flooding: Destination
}

const loopback = '127.0.0.1'
const processFile = fileURLToPath(new URL('destination-process.ts', import.meta.url))

/** One of each kind. @param feedKbps what the encoder sends; the slow one takes half of it. */
export async function startBadDestinations(ca: TestCa, feedKbps: number): Promise<BadDestinations> {
  const owned = new AsyncDisposableStack()
  try {
    const start = async (behaviour: Behaviour, options: DestinationOptions = {}): Promise<Destination> =>
      owned.use(await startDestination({ recording: 'counts', ...options, behaviour }))

    const stalled = await start({})
    const slow = await start({ readKbps: feedKbps / 2 })
    const resetting = await start({ resetAfterMs: 3_000 })
    const silent = await start({ answerPublish: 'never' })
    const flooding = await start({ floodCommandsPerSecond: 10_000 })
    const expired = await start({}, { tls: await ca.serverCert('expired.invalid', { expired: true }) })
    const wrongHost = await start({}, { tls: await ca.serverCert('wrong-host.invalid', { wrongHost: true }) })
    const circle = await start({})
    const back = await start({ redirectTo: circle.url() })
    circle.behaviour = { redirectTo: back.url() }
    const blackHole = owned.use(await startBlackHole())
    const stopped = owned.use(await startProgram(process.execPath, [processFile]))
    const stoppedPort = (await stopped.waitForLine(/^port (\d+)$/))[1]
    const refusingPort = await freePort()

    const all: readonly BadDestination[] = [
      {
        name: 'stops reading',
        url: stalled.url(),
        begin: () => {
          // A second connection would be served well; this destination is ill for good.
          stalled.behaviour = { stopReadingAfterBytes: 100_000 }
          for (const connection of stalled.publishing) connection.stopReading()
        },
        verdict: { state: 'reconnecting', reason: 'no_progress', says: /took no data for 10 s|acknowledged no data/ },
      },
      { name: 'reads at half the bitrate', url: slow.url() },
      {
        name: 'has a full accept backlog',
        url: `rtmp://${loopback}:${blackHole.port}/app`,
        verdict: {
          state: 'reconnecting',
          reason: 'connect_timeout',
          says: new RegExp(`No answer from ${loopback}:${blackHole.port} within 10 s`),
        },
      },
      {
        name: 'is stopped after the publish',
        url: `rtmp://${loopback}:${stoppedPort}/app`,
        begin: () => stopped.pause(),
        verdict: { state: 'reconnecting', reason: 'no_progress', says: /took no data for 10 s|acknowledged no data/ },
      },
      {
        name: 'resets every 3 s',
        url: resetting.url(),
        verdict: {
          state: 'reconnecting',
          reason: 'connection_reset',
          says: /cut the connection \((ECONNRESET|EPIPE)\)/,
        },
      },
      {
        name: 'refuses',
        url: `rtmp://${loopback}:${refusingPort}/app`,
        verdict: {
          state: 'reconnecting',
          reason: 'connection_refused',
          says: new RegExp(`ECONNREFUSED ${loopback}:${refusingPort}.*check host and port`),
        },
      },
      {
        name: 'cannot be resolved',
        url: 'rtmp://live.exmaple.invalid/app',
        verdict: { state: 'reconnecting', reason: 'dns_failed', says: /ENOTFOUND live\.exmaple\.invalid/ },
      },
      {
        name: 'has an expired certificate',
        url: expired.url('expired.invalid'),
        verdict: {
          state: 'error',
          reason: 'certificate_expired',
          says: new RegExp(`expired\\.invalid: certificate expired on ${yesterday()}`),
        },
      },
      {
        name: 'has a certificate for another host',
        url: wrongHost.url('wrong-host.invalid'),
        verdict: {
          state: 'error',
          reason: 'certificate_host_mismatch',
          says: /certificate is for another\.example, not for wrong-host\.invalid/,
        },
      },
      {
        name: 'never answers publish',
        url: silent.url(),
        verdict: { state: 'reconnecting', reason: 'publish_timeout', says: /did not answer publish within 15 s/ },
      },
      {
        name: 'sends 10,000 commands a second',
        url: flooding.url(),
        verdict: {
          state: 'reconnecting',
          reason: 'protocol_violation',
          says: /did not keep to RTMP: too many commands/,
        },
      },
      {
        name: 'redirects in a circle',
        url: circle.url(),
        verdict: { state: 'error', reason: 'redirect_loop', says: /sent the connection on .* too many times/ },
      },
    ]
    const hosts = { 'expired.invalid': loopback, 'wrong-host.invalid': loopback }
    return { all, hosts, flooding, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  } catch (error) {
    await owned.disposeAsync()
    throw error
  }
}

function yesterday(): string {
  return new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
}
