import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, type Server as TlsServer } from 'node:tls'
import type { Cancel, Clock } from '../clock.ts'
import { CodedError, type IngestErrorCode, sentenceOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { acceptPublish, handlePublisherCommand, type PublishRequest, sendEnd } from '../rtmp/accept-publish.ts'
import { publisherLimits, unknownPeerLimits } from '../rtmp/chunk-reader.ts'
import { type ByteSource, ConnectionClosed, RtmpConnection } from '../rtmp/connection.ts'
import { type Message, messageTypes, ProtocolError } from '../rtmp/message.ts'
import { readDirectly } from './direct-read.ts'
import { Doorkeeper, type DoorLimits, type Place, unpublishedLimits } from './doorkeeper.ts'
import { FailedKeys } from './failed-keys.ts'
import type { Publisher } from './input-session.ts'
import type { SeatRefused, Seats } from './media-engine.ts'
import { readRelayPath, relayPathField } from './relay-path.ts'
import { StrangerLog } from './stranger-log.ts'

/** From the first byte to the publish; encoders need less than one second, a slow link three. */
const handshakeMs = 5_000
const publishMs = 10_000
const tlsHandshakeMs = 5_000
/** After so long without a byte the socket is given up; the broadcast itself was held long before. */
const idleMs = 60_000
/** libuv accepts one connection in each turn of the loop: while they come, turns must be short. */
const doorMs = 20
/** After the last words, for the encoder to close; then it is cut. */
const farewellMs = 1_000
/**
 * Messages of media, on the average of a second, at whatever bitrate. Sixteen tracks of video and sixteen of audio have 1,700; a message
 * of a few bytes costs the log and every output as much work as a frame.
 */
const messagesPerSecondMax = 10_000

/** What OpenSSL says of a first byte that begins no TLS record: the 3 of plain RTMP, the text of HTTP (RTMPT). */
const notTlsCodes: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_HTTPS_PROXY_REQUEST',
])
const notTls = 'plain RTMP, or another protocol without TLS: use an rtmps:// url, or rtmp:// with the RTMP port'

export type IngestParts = {
  readonly seats: Seats
  readonly clock: Clock
  readonly log: Log
  /** Above this, reading is paced (MAX_INGEST_KBPS). */
  readonly maxIngestKbps: number
  /** Called before what an encoder has sent is looked at. */
  readonly onArrival?: () => void
  /** Of one of several threads: see shareOf. */
  readonly unpublishedLimits?: DoorLimits
}

export type Listening = {
  readonly port: number
  /** New certificate, for new connections. */
  setSecureContext(options: { readonly cert: string; readonly key: string }): void
}

/**
 * The listeners for encoders: RTMP and RTMPS, one session for each socket. Owned by the app; `close()` stops listening and cuts who has
 * not published; publishers are ended by the supervisor.
 */
export class IngestServer {
  readonly #parts: IngestParts
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  readonly #door: Doorkeeper
  readonly #failedKeys: FailedKeys
  readonly #strangerLog: StrangerLog
  /** Monotonic: when somebody came last. */
  #enteredAtMs = Number.NEGATIVE_INFINITY
  /** Places of sockets whose TLS handshake is under way, by their ends. */
  readonly #securing = new Map<string, Place>()

  constructor(parts: IngestParts) {
    this.#parts = parts
    this.#door = new Doorkeeper(parts.unpublishedLimits ?? unpublishedLimits)
    this.#failedKeys = new FailedKeys(() => parts.clock.monotonicMs())
    this.#strangerLog = new StrangerLog(() => parts.clock.monotonicMs())
  }

  /**
   * @param tls for RTMPS.
   * @param isShared other threads listen on the same port, too, and the system deals connections out among them (SO_REUSEPORT).
   * @throws the error of listen (EADDRINUSE, EACCES, …).
   */
  async listen(host: string, port: number, tls?: TlsOptions, isShared = false): Promise<Listening> {
    const server =
      tls === undefined
        ? createServer({ noDelay: true }, (accepted) => {
            const { socket, source } = readDirectly(accepted)
            this.#welcome(socket, source)
          })
        : createTlsServer(
            { ...tls, noDelay: true, minVersion: 'TLSv1.2', handshakeTimeout: tlsHandshakeMs },
            (socket) => this.#welcome(socket),
          )
    if (tls !== undefined) server.on('connection', (raw) => this.#watchHandshake(raw))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      this.#tellTlsFailure(error.code, socket.remoteAddress)
      // Node itself leaves a socket open whose handshake takes too long.
      socket.destroy()
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 1024, reusePort: isShared }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    // Out of file descriptors: accepted again when there are some.
    server.on('error', (error) => this.#parts.log.error({ err: error }, 'a listener failed'))
    this.#servers.push(server)
    const address = server.address()
    return {
      port: typeof address === 'object' && address !== null ? address.port : port,
      setSecureContext: (options) => {
        if (tls !== undefined) (server as TlsServer).setSecureContext({ ...options, minVersion: 'TLSv1.2' })
      },
    }
  }

  /** Somebody has come a moment ago, and others may wait behind: the thread is not to rest. */
  readonly isBusyAtTheDoor = (): boolean => this.#parts.clock.monotonicMs() - this.#enteredAtMs < doorMs

  /** No new encoders. */
  stopListening(): void {
    for (const server of this.#servers) server.close()
  }

  /** Cuts whoever is still connected. */
  close(): void {
    this.stopListening()
    for (const socket of this.#sockets) socket.destroy()
  }

  #welcome(socket: Socket, source?: ByteSource): void {
    socket.on('error', () => {})
    this.#enteredAtMs = this.#parts.clock.monotonicMs()
    const address = socket.remoteAddress ?? ''
    const place = this.#securing.get(endOf(socket)) ?? this.#door.enter(address, () => socket.destroy())
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const log = this.#parts.log.child({ remote: address })
    this.#session(socket, source, address, log, place)
      .catch((error) => logMistake(log, error))
      .finally(() => {
        place.leave()
        socket.destroy()
      })
  }

  /** A TLS handshake takes a place, too: half of one costs as much as a connection. */
  #watchHandshake(raw: Socket): void {
    const place = this.#door.enter(raw.remoteAddress ?? '', () => raw.destroy())
    const end = endOf(raw)
    this.#securing.set(end, place)
    this.#sockets.add(raw)
    raw.once('close', () => {
      place.leave()
      this.#securing.delete(end)
      this.#sockets.delete(raw)
    })
  }

  /** One encoder: handshake, dialogue, publish, relay, end. */
  async #session(
    socket: Socket,
    source: ByteSource | undefined,
    address: string,
    log: Log,
    place: Place,
  ): Promise<void> {
    const accepted = await this.#accept(socket, source, log)
    if (accepted === undefined) return
    const { connection, request } = accepted

    const cut = new AbortController()
    const pace = new Pace(socket, this.#parts.clock, this.#parts.maxIngestKbps)
    const publisher: Publisher = {
      relayPath: readRelayPath(request.connectText(relayPathField)),
      cut: (reason) => cut.abort(reason),
      setPaused: (isPaused) => pace.setPaused(isPaused),
    }
    const seat = await this.#parts.seats.seat(request.candidateKeys, publisher)
    if ('refused' in seat) {
      place.demote()
      await this.#keepBack(seat, address, connection, log)
      request.reject('NetStream.Publish.BadName', sentenceOf(seat.refused), seat.refused)
      await this.#farewell(connection)
      return
    }
    place.leave()
    const inputLog = log.child({ inputId: seat.inputId })
    inputLog.info({ encoder: request.flashVersion }, 'an encoder publishes')
    connection.limits = publisherLimits
    request.start()
    const how = await this.#relay(pace, connection, request, cut.signal, (message) => seat.publish(message))
    if (isMistake(connection.signal.reason)) logMistake(inputLog, connection.signal.reason)
    seat.leave(how === 'goodbye' ? 'goodbye' : 'vanished')
    inputLog.info({ how, bytes: seat.bytes, messages: seat.messages }, 'an encoder has left')
    // Whoever says goodbye closes first: GStreamer's rtmp2sink takes a close of ours before its own for an error, and fails.
    if (how === 'goodbye') await this.#closedWithin(connection, farewellMs)
    if (cut.signal.aborted) {
      const reason = cut.signal.reason as IngestErrorCode
      sendEnd(connection, request.messageStreamId, 'NetStream.Publish.BadName', sentenceOf(reason))
    }
    await this.#farewell(connection)
  }

  /** Says it in the log; and makes whoever tries many keys wait for each answer. */
  async #keepBack(
    { refused: code, inputId }: SeatRefused,
    address: string,
    connection: RtmpConnection,
    log: Log,
  ): Promise<void> {
    if (code !== 'stream_key_unknown') {
      log.warn({ code, inputId }, 'a publisher was refused')
      return
    }
    const { delayMs, failures, isTold } = this.#failedKeys.note(address)
    if (isTold) this.#strangerLog.write(log, 'warn', { code, failures }, 'a publisher was refused')
    if (delayMs > 0) await this.#closedWithin(connection, delayMs)
  }

  /** Handshake and dialogue. @returns undefined when that failed, which has been logged. */
  async #accept(
    socket: Socket,
    source: ByteSource | undefined,
    log: Log,
  ): Promise<{ connection: RtmpConnection; request: PublishRequest } | undefined> {
    const { clock } = this.#parts
    const deadline = new AbortController()
    let cancel = clock.after(handshakeMs, () => deadline.abort(new CodedError('handshake_timeout')))
    try {
      const connection = await RtmpConnection.accept(socket, {
        source,
        limits: unknownPeerLimits,
        now: () => clock.monotonicMs(),
        signal: deadline.signal,
      })
      cancel()
      cancel = clock.after(publishMs, () => deadline.abort(new CodedError('publish_not_received')))
      return { connection, request: await acceptPublish(connection, { signal: deadline.signal }) }
    } catch (error) {
      this.#tellFailure(log, error)
      return undefined
    } finally {
      cancel()
    }
  }

  #tellFailure(log: Log, error: unknown): void {
    const tell = (fields: Readonly<Record<string, unknown>>, sentence = 'a connection ended before it published') =>
      this.#strangerLog.write(log, 'info', fields, sentence)
    // Port scanners and health checks open a connection and go: not worth a line that anybody reads.
    if (error instanceof ConnectionClosed) log.debug({}, 'a connection ended before it published')
    else if (error instanceof CodedError) tell({ code: error.code })
    else if (error instanceof ProtocolError) tell({ reason: error.reason }, 'a connection did not keep to RTMP')
    else if (isMistake(error)) logMistake(log, error)
    else tell({ reason: (error as Error)?.message })
  }

  /** An encoder that has rtmp:// with the RTMPS port shows its user nothing but a close: then the log has to say why. */
  #tellTlsFailure(code: string | undefined, remote: string | undefined): void {
    const { log } = this.#parts
    if (code !== undefined && notTlsCodes.has(code))
      this.#strangerLog.write(log, 'info', { remote, reason: notTls }, 'a connection to the RTMPS port was not TLS')
    // Scanners, health checks, versions of TLS that nobody should use.
    else log.debug({ remote, code }, 'a TLS handshake failed')
  }

  /** Until the encoder says goodbye, is cut by us, goes silent for too long, or its connection ends. */
  #relay(
    pace: Pace,
    connection: RtmpConnection,
    request: PublishRequest,
    cut: AbortSignal,
    publish: (message: Message) => boolean,
  ): Promise<'goodbye' | 'cut' | 'vanished'> {
    return new Promise((resolve) => {
      let bytesAtCheck = -1
      const watchIdle = () => {
        if (connection.bytesReceived === bytesAtCheck) finish('vanished')
        else {
          bytesAtCheck = connection.bytesReceived
          cancelIdle = this.#parts.clock.after(idleMs / 2, watchIdle)
        }
      }
      let cancelIdle = this.#parts.clock.after(idleMs / 2, watchIdle)
      const finish = (how: 'goodbye' | 'cut' | 'vanished') => {
        cancelIdle()
        connection.onArrival = undefined
        connection.onReceived = undefined
        pace.stop()
        // FCUnpublish says goodbye already; the deleteStream that follows it is answered, too.
        connection.relay((message) => {
          if (how === 'goodbye') handleCommand(message)
        })
        resolve(how)
      }
      const handleCommand = (message: Message): 'ended' | undefined => {
        if (message.type !== messageTypes.amf0Command && message.type !== messageTypes.amf3Command) return undefined
        return handlePublisherCommand(message, connection, request.messageStreamId)
      }
      cut.addEventListener('abort', () => finish('cut'), { once: true })
      connection.signal.addEventListener('abort', () => finish('vanished'), { once: true })
      let messages = 0
      connection.onArrival = this.#parts.onArrival
      connection.onReceived = (costBytes) => {
        pace.spend(costBytes, messages)
        messages = 0
      }
      connection.relay((message) => {
        if (publish(message)) messages++
        else if (handleCommand(message) === 'ended') finish('goodbye')
      })
      if (cut.aborted) finish('cut')
      else if (connection.signal.aborted) finish('vanished')
    })
  }

  /** Sends what is pending, and waits a moment for the encoder to close. */
  async #farewell(connection: RtmpConnection): Promise<void> {
    if (connection.signal.aborted) return
    connection.end()
    await this.#closedWithin(connection, farewellMs)
    connection.close()
  }

  #closedWithin(connection: RtmpConnection, durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(durationMs, resolve)
      void connection.closed.then(() => {
        cancel()
        resolve()
      })
    })
  }
}

/** Pauses a socket that sends faster than it may, on the average of a second; or whose input cannot take more now. */
class Pace {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  #left: number
  #filledAtMs: number
  #cancelWait: Cancel | undefined
  #isPaused = false
  #hasStopped = false

  constructor(socket: Socket, clock: Clock, kbps: number) {
    this.#socket = socket
    this.#clock = clock
    this.#bytesPerSecond = (kbps * 1000) / 8
    this.#left = this.#bytesPerSecond
    this.#filledAtMs = clock.monotonicMs()
  }

  /** Small messages count as their share of messagesPerSecondMax. */
  spend(bytes: number, messages: number): void {
    this.#left -= Math.max(bytes, (messages * this.#bytesPerSecond) / messagesPerSecondMax)
    // While it waits, what had been read already only adds to the debt.
    if (this.#cancelWait !== undefined) {
      // Whoever else resumes the socket (connection.relay does) must not get around the wait.
      this.#socket.pause()
      return
    }
    if (this.#left > 0) return
    this.#fill()
    if (this.#left > 0) return
    this.#socket.pause()
    this.#wait()
  }

  setPaused(isPaused: boolean): void {
    if (this.#hasStopped) return
    this.#isPaused = isPaused
    if (isPaused) this.#socket.pause()
    else this.#resume()
  }

  stop(): void {
    this.#hasStopped = true
    this.#cancelWait?.()
    this.#cancelWait = undefined
    // What is read from now on is looked at for a goodbye, and for the end.
    if (this.#isPaused) this.#socket.resume()
  }

  #wait(): void {
    const debtMs = (-this.#left / this.#bytesPerSecond) * 1000
    this.#cancelWait = this.#clock.after(debtMs + 10, () => {
      this.#cancelWait = undefined
      this.#fill()
      if (this.#left > 0) this.#resume()
      else this.#wait()
    })
  }

  #resume(): void {
    if (!this.#isPaused && this.#cancelWait === undefined) this.#socket.resume()
  }

  #fill(): void {
    const now = this.#clock.monotonicMs()
    const earned = ((now - this.#filledAtMs) / 1000) * this.#bytesPerSecond
    this.#filledAtMs = now
    this.#left = Math.min(this.#bytesPerSecond, this.#left + earned)
  }
}

/** Neither the peer's doing, nor the system's: errors of Node have a code. */
function isMistake(error: unknown): boolean {
  const isExpected = error instanceof CodedError || error instanceof ProtocolError || error instanceof ConnectionClosed
  return error instanceof Error && !isExpected && !('code' in error)
}

function logMistake(log: Log, error: unknown): void {
  log.error({ err: error, code: 'internal_error' }, 'an ingest session failed in a way that is a mistake of ours')
}

/** Both ends: one port of a peer may be connected to each of our listeners. */
function endOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`
}
