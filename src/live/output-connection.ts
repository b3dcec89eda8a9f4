import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { Destination } from '../destination/destination-url.ts'
import { type Dialled, dial, type Resolve } from '../destination/dial.ts'
import { platformOf } from '../destination/platforms.ts'
import { CodedError, type OutputErrorCode } from '../errors.ts'
import type { ConnectingStep } from '../model/lifecycle.ts'
import type { Output } from '../model/live-input.ts'
import { unknownPeerLimits } from '../rtmp/chunk-reader.ts'
import { RtmpConnection } from '../rtmp/connection.ts'
import {
  AuthenticationNeeded,
  connectionFailure,
  goodbye,
  type PublishedStream,
  RedirectError,
  requestPublish,
  watchPublished,
} from '../rtmp/request-publish.ts'
import type { Secret } from '../secret.ts'
import type { OutputSender } from './output-sender.ts'
import { redirectTarget } from './redirect-target.ts'
import { relayPathField, writeRelayPath } from './relay-path.ts'

/** Look-up, TCP and TLS. */
const dialMs = 10_000
/** Handshake and the answer to connect. */
const connectMs = 10_000
/** Platforms ask their own services about the key: some take several seconds. */
const publishMs = 15_000
/** A redirect leads to the server that has room; a second one is unusual. */
const redirectsMax = 3
/** A login takes three connections. */
const loginsMax = 2

export type ConnectParts = {
  readonly clock: Clock
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly signal: AbortSignal
  /** The feed is Enhanced RTMP: the destination is told, and asked what it understands. */
  readonly enhanced: boolean
  /** Through which live inputs the feed has come. Told to servers that nobody knows: a platform is none of ours. */
  readonly relayPath: readonly string[]
  /** Bitrate of the feed, as far as it is known when it is asked for. */
  readonly feedKbps: () => number | undefined
  readonly onStep: (step: ConnectingStep) => void
}

/**
 * Connects and publishes: look-up, TCP, TLS, handshake, dialogue, and again where the destination redirects or asks for a login.
 * @throws CodedError with an OutputErrorCode, or the signal's reason.
 */
export async function connectOutput(
  destination: Destination,
  output: Output,
  parts: ConnectParts,
): Promise<OutputConnection> {
  let target = destination
  let authenticationQuery: string | undefined
  let redirectsLeft = redirectsMax
  let loginsLeft = loginsMax
  for (;;) {
    try {
      return await connectOnce(target, output, parts, { redirectsLeft, authenticationQuery })
    } catch (error) {
      if (error instanceof RedirectError) {
        redirectsLeft--
        target = redirectTarget(error.url, destination)
        authenticationQuery = undefined
      } else if (error instanceof AuthenticationNeeded && loginsLeft-- > 0) {
        authenticationQuery = error.authenticationQuery
      } else if (error instanceof AuthenticationNeeded) {
        throw new CodedError(
          'publish_denied',
          'The destination asks for the login again and again. Check username and password.',
        )
      } else throw error
    }
  }
}

async function connectOnce(
  destination: Destination,
  output: Output,
  parts: ConnectParts,
  attempt: { readonly redirectsLeft: number; readonly authenticationQuery: string | undefined },
): Promise<OutputConnection> {
  const { clock, signal, onStep } = parts
  const dialled = await dial(destination, {
    ...parts,
    deadlineMs: dialMs,
    ...(output.tls && { tls: output.tls }),
  })
  const deadline = new Deadline(clock, signal)
  try {
    onStep('handshaking')
    deadline.set(
      connectMs,
      new CodedError(
        'connect_timeout',
        `${destination.host} accepted the connection and did not answer the RTMP handshake within ${connectMs / 1000} s. Check that url and port belong to an RTMP server.`,
      ),
    )
    const connection = await RtmpConnection.connect(dialled.stream, {
      limits: unknownPeerLimits,
      now: () => clock.monotonicMs(),
      signal: deadline.signal,
    })
    deadline.set(
      connectMs,
      new CodedError(
        'connect_timeout',
        `${destination.host} did not answer connect within ${connectMs / 1000} s. Check that url and port belong to an RTMP server.`,
      ),
    )
    const { app, tcUrl, streamKey } = destination
    const relayPath = platformOf(destination.host) === undefined ? parts.relayPath : undefined
    const { redirectsLeft, authenticationQuery } = attempt
    const published = await requestPublish(
      connection,
      {
        app,
        tcUrl,
        streamKey,
        redirectsLeft,
        enhanced: parts.enhanced,
        feedKbps: parts.feedKbps(),
        ...(relayPath !== undefined && { connectExtras: { [relayPathField]: writeRelayPath(relayPath) } }),
        ...(authenticationQuery !== undefined && { authenticationQuery }),
        ...(output.username !== undefined && { username: output.username }),
        ...(output.password !== undefined && { password: output.password }),
      },
      {
        signal: deadline.signal,
        onStep: (step) => {
          onStep(step)
          if (step === 'publishing')
            deadline.set(
              publishMs,
              new CodedError(
                'publish_timeout',
                `${destination.host} did not answer publish within ${publishMs / 1000} s. Check the stream key, or ask the platform.`,
              ),
            )
        },
      },
    )
    const secrets = [destination.streamKey, ...(output.password === undefined ? [] : [output.password])]
    return new OutputConnection(dialled, connection, published, destination, secrets, relayPath)
  } catch (error) {
    dialled.reset()
    if (signal.aborted || error instanceof RedirectError || error instanceof AuthenticationNeeded) throw error
    throw connectionFailure(error, 'connecting')
  } finally {
    deadline.clear()
  }
}

/** One signal for a row of deadlines; aborts with what the one that passes was given, or with the outer signal. */
class Deadline {
  readonly #clock: Clock
  readonly #passed = new AbortController()
  readonly signal: AbortSignal
  #cancel = () => {}

  constructor(clock: Clock, outer: AbortSignal) {
    this.#clock = clock
    this.signal = AbortSignal.any([outer, this.#passed.signal])
  }

  set(durationMs: number, failure: Error): void {
    this.#cancel()
    this.#cancel = this.#clock.after(durationMs, () => this.#passed.abort(failure))
  }

  clear(): void {
    this.#cancel()
  }
}

/** A connection on which the destination has accepted the publish. Owned by an OutputSession; over once, for one reason. */
export class OutputConnection {
  readonly stream: Duplex
  readonly messageStreamId: number
  readonly capabilities: PublishedStream['serverCapabilities']
  /** What the destination was told of the feed's way; undefined when it was told nothing. */
  readonly relayPath: readonly string[] | undefined
  readonly #dialled: Dialled
  readonly #connection: RtmpConnection
  readonly #destination: Destination
  /** What the destination's words are shown without. */
  readonly #secrets: readonly Secret[]
  readonly #failed = new AbortController()

  constructor(
    dialled: Dialled,
    connection: RtmpConnection,
    published: PublishedStream,
    destination: Destination,
    secrets: readonly Secret[],
    relayPath: readonly string[] | undefined,
  ) {
    this.#secrets = secrets
    this.relayPath = relayPath
    this.#dialled = dialled
    this.#connection = connection
    this.#destination = destination
    this.stream = dialled.stream
    this.messageStreamId = published.messageStreamId
    this.capabilities = published.serverCapabilities
  }

  get goodbye(): Buffer {
    return goodbye(this.#destination.streamKey, this.messageStreamId)
  }
  /** Aborts when the destination has closed the connection, or it broke. */
  get ended(): AbortSignal {
    return this.#connection.signal
  }

  /** From now on the sender writes to the stream; answers to the destination go through it. */
  carry(sender: OutputSender): void {
    this.#connection.controlSink = (bytes) => sender.sendControl(bytes)
    this.#connection.onAcknowledgement = (value) => sender.acknowledged(value)
    watchPublished(this.#connection, this.#secrets, (failure) => this.fail(failure))
  }

  fail(failure: CodedError<OutputErrorCode>): void {
    this.#failed.abort(failure)
  }

  /** Resolves when the signal aborts. @throws CodedError, why the connection failed, if that comes first. */
  over(stop: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const either = AbortSignal.any([stop, this.#failed.signal])
      const settle = () => (stop.aborted ? resolve() : reject(this.#failed.signal.reason))
      if (either.aborted) settle()
      else either.addEventListener('abort', settle, { once: true })
    })
  }

  /** Ends it at once: what the kernel still holds for the destination is thrown away. */
  close(): void {
    // After an orderly end of both sides there is nothing to reset.
    if (!this.#connection.signal.aborted) this.#dialled.reset()
    this.#connection.close()
  }
}
