import { randomBytes } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { type Amf, type AmfObject, asNumber, asObject, asText, decodeAmf, encodeAmf } from './amf0.ts'
import type { FlvTag } from './flv.ts'
import { within } from './processes.ts'
import {
  controlMessage,
  type OutgoingMessage,
  userControl,
  type WireMessage,
  WireReader,
  WireWriter,
  type WireWriterOptions,
  wireTypes,
} from './rtmp-wire.ts'
import { stampNow } from './synthetic-source.ts'

/** An encoder made for tests: OBS's dialogue, any messages at any time, and every way of leaving. */
export type PublishOptions = WireWriterOptions & {
  /** Server address as an encoder has it: `rtmp://host:port/app` or `rtmps://…`. */
  readonly url: string
  /** The stream key, sent as it is. */
  readonly key: string
  /** For rtmps. By default any certificate is accepted; give `ca` and `servername` to check it. */
  readonly tls?: ConnectionOptions
  /** What this side announces before connect. Default 4,096, as OBS. */
  readonly chunkSize?: number
  /** Default: command 3, audio 4, video 6, data 5. OBS has all of them on 4. Above 63 the longer header forms are used. */
  readonly chunkStreams?: Partial<ChunkStreams>
  /** Further or other fields of the connect object. */
  readonly connect?: AmfObject
  /** 20 (AMF0), or 17: the form that Flash clients use after objectEncoding 3. */
  readonly commandType?: 20 | 17
  /** `live` unless given. */
  readonly publishType?: string
  /** For the whole dialogue. */
  readonly deadlineMs?: number
}

export type ChunkStreams = {
  readonly command: number
  readonly audio: number
  readonly video: number
  readonly data: number
}

export const obsChunkStreams: ChunkStreams = { command: 3, audio: 4, video: 4, data: 4 }

export type Status = { readonly level: string; readonly code: string; readonly description: string }
export type ReceivedCommand = { readonly name: string; readonly transactionId: number; readonly args: readonly Amf[] }
export type Closed = { readonly how: 'fin' | 'reset' | 'local'; readonly error?: Error }

/** The server refused the publish, or closed before it had answered. */
export class PublishRefused extends Error {
  readonly status: Status | undefined
  /** Still open unless the server closed it: `await refused.publisher.closed` shows that it does. */
  readonly publisher: Publisher
  constructor(message: string, status: Status | undefined, publisher: Publisher) {
    super(message)
    this.name = 'PublishRefused'
    this.status = status
    this.publisher = publisher
  }
}

/** Connects and publishes. @throws PublishRefused; Error when the server cannot be reached or does not answer in time. */
export async function publish(options: PublishOptions): Promise<Publisher> {
  const publisher = await openPublisher(options)
  try {
    await within(
      `${options.url} to accept the publish`,
      publisher.requestPublish(options.key, options.publishType ?? 'live'),
      options.deadlineMs ?? 10_000,
    )
  } catch (error) {
    if (!(error instanceof PublishRefused)) publisher.vanish()
    throw error
  }
  return publisher
}

/** Connects and shakes hands, no more: for tests that say something else then. */
export async function openPublisher(options: PublishOptions): Promise<Publisher> {
  const { protocol, hostname, port } = new URL(options.url)
  const secure = protocol === 'rtmps:'
  const host = hostname.replace(/^\[|\]$/g, '')
  const deadlineMs = options.deadlineMs ?? 10_000
  const raw = connectTcp({ host, port: Number(port || (secure ? 443 : 1935)), noDelay: true })
  const socket = secure ? connectTls({ host, rejectUnauthorized: false, ...options.tls, socket: raw }) : raw
  const opened = new Promise<void>((resolve, reject) => {
    socket.once(secure ? 'secureConnect' : 'connect', resolve)
    raw.once('error', reject)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`${options.url} closed before the handshake`)))
  })
  try {
    await within(`a connection to ${options.url}`, opened, deadlineMs)
    const publisher = new Publisher(options, socket, raw)
    await within(`the handshake of ${options.url}`, publisher.handshaken, deadlineMs)
    return publisher
  } catch (error) {
    socket.destroy()
    raw.destroy()
    throw error
  }
}

const handshakeBytes = 1_536

export class Publisher implements AsyncDisposable {
  readonly socket: Socket | TLSSocket
  readonly handshaken: Promise<void>
  readonly closed: Promise<Closed>
  /** Every `onStatus` of the server, in order. */
  readonly statuses: Status[] = []
  readonly commands: ReceivedCommand[] = []
  /** Did S2 repeat C1, as HaishinKit and GStreamer demand? */
  echoed = false
  /** The highest count that the server acknowledged. */
  acknowledgedBytes = 0
  acknowledgements = 0
  /** What the server announced: its chunk size, window and limit, in the order in which it did. */
  readonly announced: { readonly type: number; readonly value: number }[] = []
  messageStreamId = 0
  /** Of the last message sent by `replay`. */
  lastTimestamp = 0
  isFrozen = false
  readonly #options: PublishOptions
  readonly #raw: Socket
  readonly #writer: WireWriter
  readonly #reader: WireReader
  readonly #streams: ChunkStreams
  readonly #waiting = new Set<() => void>()
  #transactionId = 0
  #leaving = false
  #isClosed = false
  #thaw: (() => void) | undefined

  constructor(options: PublishOptions, socket: Socket | TLSSocket, raw: Socket) {
    this.#options = options
    this.socket = socket
    this.#raw = raw
    this.#streams = { command: 3, audio: 4, video: 6, data: 5, ...options.chunkStreams }
    this.#writer = new WireWriter(options)
    this.#reader = new WireReader({ mediaBodies: 'whole', onMessage: (message) => this.#receive(message) })
    this.closed = this.#watchClose()
    this.handshaken = this.#shakeHands()
    // A dialogue that fails is told by whoever waits for it.
    this.handshaken.catch(() => {})
  }

  /** OBS's dialogue from SetChunkSize to NetStream.Publish.Start. @throws PublishRefused */
  async requestPublish(key: string, publishType = 'live'): Promise<void> {
    await this.requestStream(key)
    const before = this.statuses.length
    this.command('publish', null, key, publishType)
    const status = await this.#next(() => this.statuses[before])
    if (status?.code !== 'NetStream.Publish.Start') {
      throw new PublishRefused(`publish was refused: ${status?.code ?? 'connection closed'}`, status, this)
    }
  }

  /** The same up to createStream. @throws PublishRefused */
  async requestStream(key: string): Promise<void> {
    await this.requestConnect()
    this.command('releaseStream', null, key)
    this.command('FCPublish', null, key)
    const created = await this.#answerTo(this.command('createStream', null))
    this.messageStreamId = asNumber(created.args[1])
  }

  /** SetChunkSize and connect. @throws PublishRefused */
  async requestConnect(): Promise<ReceivedCommand> {
    const { protocol, host, pathname, search } = new URL(this.#options.url)
    const app = `${pathname}${search}`.slice(1).replace(/\/$/, '')
    const chunkSize = this.#options.chunkSize ?? 4_096
    this.write(controlMessage(wireTypes.setChunkSize, chunkSize))
    this.#writer.chunkSize = chunkSize
    const tcUrl = `${protocol}//${host}/${app}`
    const flashVer = 'FMLE/3.0 (compatible; FMSc/1.0)'
    const fields: AmfObject = { app, type: 'nonprivate', flashVer, swfUrl: tcUrl, tcUrl, ...this.#options.connect }
    return this.#answerTo(this.command('connect', fields))
  }

  /** Sends a command and gives its transaction id. publish goes to the created message stream, all others to 0. */
  command(name: string, ...args: readonly Amf[]): number {
    const transactionId = ++this.#transactionId
    const amf = encodeAmf(name, transactionId, ...args)
    const type = this.#options.commandType ?? wireTypes.command
    this.write({
      chunkStreamId: this.#streams.command,
      type,
      timestamp: 0,
      messageStreamId: name === 'publish' ? this.messageStreamId : 0,
      body: type === wireTypes.command3 ? Buffer.concat([Buffer.of(0), amf]) : amf,
    })
    return transactionId
  }

  /** Sends one message on the stream that publishes. The timestamp wraps at 2^32. */
  send(type: number, timestamp: number, body: Buffer): void {
    this.write(this.#message({ type, timestamp, body }))
  }

  /** Sends several messages (of different types) chunk by chunk in turn. */
  sendInterleaved(tags: readonly FlvTag[]): void {
    this.writeRaw(this.#writer.interleaved(tags.map((tag) => this.#message(tag))))
  }

  write(message: OutgoingMessage): void {
    if (!this.isFrozen && !this.#isClosed) this.socket.write(this.#writer.message(message))
  }

  /** Any bytes, after the handshake. */
  writeRaw(bytes: Buffer): void {
    if (!this.isFrozen && !this.#isClosed) this.socket.write(bytes)
  }

  /**
   * Sends tags in order. The first has `startTimestamp`, the others keep their distance to it; all modulo 2^32.
   * A generator is closed at the end: each replay wants one of its own. Metadata gets its @setDataFrame, synthetic media the wall time.
   * Ends when all are sent, or (`completed: false`) when the signal aborts or the connection closes; never throws.
   */
  async replay(
    tags: Iterable<FlvTag>,
    options: {
      /** At the pace of the timestamps (default), or as fast as the server takes it. */
      readonly realtime?: boolean
      readonly startTimestamp?: number
      readonly signal?: AbortSignal
      /** Stop before the first tag that is so far from the first; for endless sources. */
      readonly durationMs?: number
      /** Send a video message and an audio message that follows it chunk by chunk in turn. */
      readonly interleave?: boolean
    } = {},
  ): Promise<{ readonly sent: number; readonly completed: boolean; readonly lastTimestamp: number }> {
    const { realtime = true, startTimestamp = 0, signal, durationMs = Number.POSITIVE_INFINITY } = options
    const start = performance.now()
    let first: number | undefined
    let sent = 0
    let held: FlvTag | undefined
    const result = (completed: boolean) => ({ sent, completed, lastTimestamp: this.lastTimestamp })
    const release = () => {
      if (held) this.send(held.type, held.timestamp, held.body)
      held = undefined
    }
    for (const tag of tags) {
      first ??= tag.timestamp
      const elapsed = (tag.timestamp - first) >>> 0
      if (elapsed >= durationMs) break
      if (realtime) await this.#pause(start + elapsed - performance.now(), signal)
      if (this.isFrozen) await this.#thawed(signal)
      if (this.socket.writableLength > 1 << 20) await this.#drained(signal)
      if (signal?.aborted || this.#isClosed) return result(false)
      stampNow(tag)
      this.lastTimestamp = (startTimestamp + elapsed) >>> 0
      const out = { type: tag.type, timestamp: this.lastTimestamp, body: withSetDataFrame(tag) }
      sent++
      if (held && out.type === wireTypes.audio) {
        this.sendInterleaved([held, out])
        held = undefined
        continue
      }
      release()
      if (options.interleave && out.type === wireTypes.video) held = out
      else this.send(out.type, out.timestamp, out.body)
    }
    release()
    await this.#drained(signal)
    return result(!signal?.aborted && !this.#isClosed)
  }

  /** A proper end: FCUnpublish, deleteStream, FIN. Resolves when the connection is closed. */
  async goodbye(): Promise<Closed> {
    this.thaw()
    this.command('FCUnpublish', null, this.#options.key)
    this.command('deleteStream', null, this.messageStreamId)
    this.#leaving = true
    this.socket.end()
    const timer = setTimeout(() => this.socket.destroy(), 2_000)
    try {
      return await this.closed
    } finally {
      clearTimeout(timer)
    }
  }

  /** Is gone without a word, as an encoder that crashed: with a reset, or (`fin`) with a close of the bare connection. */
  vanish(how: 'reset' | 'fin' = 'reset'): void {
    if (this.#isClosed) return
    this.#leaving = true
    // Under TLS only the raw socket can be reset.
    if (how === 'reset') this.#raw.resetAndDestroy()
    else this.#raw.end()
    this.socket.destroy()
  }

  /** Stays connected and is silent: no media, no answers to pings. */
  freeze(): void {
    this.isFrozen = true
  }

  thaw(): void {
    this.isFrozen = false
    this.#thaw?.()
  }

  /** The first status with this code, received already or yet to come. */
  async waitForStatus(code: string, deadlineMs = 10_000): Promise<Status> {
    const status = await within(
      `status ${code}`,
      this.#next(() => this.statuses.find((candidate) => candidate.code === code)),
      deadlineMs,
    )
    if (!status) throw new Error(`the connection closed before status ${code}`)
    return status
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.vanish()
    await this.closed
  }

  async #answerTo(transactionId: number): Promise<ReceivedCommand> {
    const answer = await this.#next(() =>
      this.commands.find(
        (command) =>
          command.transactionId === transactionId && (command.name === '_result' || command.name === '_error'),
      ),
    )
    if (answer?.name === '_result') return answer
    const status = answer && asStatus(answer.args[1])
    throw new PublishRefused(`refused: ${status?.code ?? 'connection closed'}`, status, this)
  }

  /** What `find` gives, as soon as it gives something; undefined when the connection closes first. */
  #next<T>(find: () => T | undefined): Promise<T | undefined> {
    return new Promise((resolve) => {
      const look = () => {
        const found = find()
        if (found === undefined && !this.#isClosed) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look()
  }

  #receive(message: WireMessage): void {
    const { type, body } = message
    if (type === wireTypes.setChunkSize || type === wireTypes.windowAcknowledgementSize) {
      this.announced.push({ type, value: body.readUInt32BE(0) })
    } else if (type === wireTypes.setPeerBandwidth) {
      this.announced.push({ type, value: body.readUInt32BE(0) })
    } else if (type === wireTypes.acknowledgement) {
      this.acknowledgements++
      this.acknowledgedBytes = body.readUInt32BE(0)
    } else if (type === wireTypes.userControl && body.readUInt16BE(0) === 6) {
      this.write(userControl(7, body.readUInt32BE(2)))
    } else if (type === wireTypes.command || type === wireTypes.command3) {
      const [name, transactionId, ...args] = decodeAmf(type === wireTypes.command3 ? body.subarray(1) : body)
      this.commands.push({ name: asText(name), transactionId: asNumber(transactionId), args })
      if (name === 'onStatus') this.statuses.push(asStatus(args[1]))
    }
    this.#changed()
  }

  #message(tag: FlvTag): OutgoingMessage {
    const { type, timestamp, body } = tag
    const chunkStreamId =
      type === wireTypes.audio
        ? this.#streams.audio
        : type === wireTypes.video
          ? this.#streams.video
          : this.#streams.data
    return { chunkStreamId, type, timestamp: timestamp >>> 0, messageStreamId: this.messageStreamId, body }
  }

  #shakeHands(): Promise<void> {
    const c1 = Buffer.concat([Buffer.alloc(8), randomBytes(handshakeBytes - 8)])
    this.socket.write(Buffer.concat([Buffer.of(3), c1]))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    void this.closed.then(() => reject(new Error('the server closed in the handshake')))
    let received: Buffer = Buffer.alloc(0)
    let done = false
    this.socket.on('data', (data: Buffer) => {
      if (done) {
        this.#reader.push(data)
        return
      }
      received = Buffer.concat([received, data])
      if (received.length < 1 + 2 * handshakeBytes) return
      done = true
      const s1 = received.subarray(1, 1 + handshakeBytes)
      this.echoed = received.subarray(1 + handshakeBytes, 1 + 2 * handshakeBytes).equals(c1)
      if (received[0] !== 3) reject(new Error(`the server answered with version ${received[0]}`))
      this.socket.write(s1)
      resolve()
      const rest = received.subarray(1 + 2 * handshakeBytes)
      if (rest.length > 0) this.#reader.push(rest)
    })
    return promise
  }

  #watchClose(): Promise<Closed> {
    return new Promise((resolve) => {
      let error: Error | undefined
      const onError = (cause: Error) => {
        error ??= cause
      }
      this.socket.on('error', onError)
      this.#raw.on('error', onError)
      this.socket.once('close', () => {
        this.#isClosed = true
        this.#raw.destroy()
        this.thaw()
        this.#changed()
        const how = error ? 'reset' : this.#leaving ? 'local' : 'fin'
        resolve(error ? { how, error } : { how })
      })
    })
  }

  async #pause(durationMs: number, signal?: AbortSignal): Promise<void> {
    if (durationMs < 1) return
    await this.#until((done) => {
      const timer = setTimeout(done, durationMs)
      return () => clearTimeout(timer)
    }, signal)
  }

  async #thawed(signal?: AbortSignal): Promise<void> {
    await this.#until((done) => {
      this.#thaw = done
      return () => {}
    }, signal)
  }

  async #drained(signal?: AbortSignal): Promise<void> {
    if (!this.socket.writableNeedDrain) return
    await this.#until((done) => {
      this.socket.once('drain', done)
      return () => this.socket.off('drain', done)
    }, signal)
  }

  /** Waits for one event, for the abort of the signal, or for the end of the connection, and leaves no listener behind. */
  #until(start: (done: () => void) => () => void, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || this.#isClosed) {
        resolve()
        return
      }
      const done = () => {
        stop()
        signal?.removeEventListener('abort', done)
        this.socket.off('close', done)
        resolve()
      }
      const stop = start(done)
      signal?.addEventListener('abort', done, { once: true })
      this.socket.once('close', done)
    })
  }
}

function asStatus(value: Amf): Status {
  const { level, code, description } = asObject(value)
  return { level: asText(level), code: asText(code), description: asText(description) }
}

/** Files hold `onMetaData`; on the wire encoders send `@setDataFrame`, `onMetaData`. */
function withSetDataFrame(tag: FlvTag): Buffer {
  const bare = encodeAmf('onMetaData')
  const isMetadata = tag.type === wireTypes.data && tag.body.subarray(0, bare.length).equals(bare)
  return isMetadata ? Buffer.concat([encodeAmf('@setDataFrame'), tag.body]) : tag.body
}
