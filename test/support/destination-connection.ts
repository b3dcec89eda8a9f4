import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Amf, type AmfObject, asNumber, asObject, asText, decodeAmf, encodeAmf } from './amf0.ts'
import { authenticate, type Behaviour, type Refusal } from './destination-behaviour.ts'
import { type FlvTag, writeFlv } from './flv.ts'
import { waitFor, within } from './processes.ts'
import {
  controlMessage,
  type OutgoingMessage,
  peerBandwidth,
  userControl,
  type WireMessage,
  WireReader,
  WireWriter,
  wireTypes,
} from './rtmp-wire.ts'
import { isIntact, StampLedger } from './synthetic-source.ts'

/**
 * What is kept of each media message: nothing but sums and the stamps of the synthetic source (cheap: bodies are not even
 * copied), its header, its MD5, or its body.
 */
export type Recording = 'counts' | 'headers' | 'hashes' | 'bodies'

export type RecordedMessage = {
  readonly type: number
  readonly chunkStreamId: number
  readonly messageStreamId: number
  readonly timestamp: number
  readonly length: number
  /** performance.now() of this process. */
  readonly arrivedAt: number
  /** MD5 in hex; with `hashes` and `bodies`. */
  readonly hash?: string
  /** With `bodies`; data messages always. */
  readonly body?: Buffer
}

export type Command = {
  readonly name: string
  readonly transactionId: number
  readonly args: readonly Amf[]
  readonly messageStreamId: number
}

/**
 * How a connection ended. `fin`: closed in order; `reset`: TCP reset, or TLS cut; `ours`: this side closed.
 * A peer that closes while nothing is read (stopReading) is seen only after `resumeReading()`.
 */
export type ConnectionEnd = { readonly how: 'fin' | 'reset' | 'ours'; readonly goodbye: boolean }

const handshakeBytes = 1_536
const windowBytes = 2_500_000
const messageStreamId = 1

/** One connection of a fake destination, from accept to close. Owned by its Destination. */
export class DestinationConnection {
  readonly openedAt: number = performance.now()
  readonly closed: Promise<ConnectionEnd>
  readonly commands: Command[] = []
  readonly messages: RecordedMessage[] = []
  /** Messages of each kind, and all bytes of the connection. */
  readonly counts: { video: number; audio: number; data: number; bytes: number } = {
    video: 0,
    audio: 0,
    data: 0,
    bytes: 0,
  }
  readonly ledger: StampLedger = new StampLedger()
  /** What the specification forbids, or some real server is known to refuse. Empty for a good client. */
  readonly violations: string[] = []
  /** Synthetic messages whose filler was damaged; counted with `hashes` and `bodies`. */
  damaged = 0
  acknowledgementsSent = 0
  /** The window that the client announced. */
  announcedWindow: number | undefined
  pongs = 0
  connect: AmfObject = {}
  app = ''
  /** The name given to `publish`; undefined before. */
  key: string | undefined
  publishType: string | undefined
  /** performance.now() when NetStream.Publish.Start was sent. */
  publishedAt: number | undefined
  /** As they came, headers included. */
  readonly firstTimestamp: { video?: number; audio?: number; data?: number } = {}
  readonly lastTimestamp: { video?: number; audio?: number; data?: number } = {}
  readonly #raw: Socket
  readonly #socket: Socket | TLSSocket
  readonly #behaviour: Behaviour
  readonly #recording: Recording
  readonly #onPublish: (connection: DestinationConnection) => void
  readonly #reader: WireReader
  readonly #writer = new WireWriter()
  readonly #timers = new Set<NodeJS.Timeout>()
  #handshake: Buffer | undefined = Buffer.alloc(0)
  #createStream: (() => void) | undefined
  #s1: Buffer | undefined
  #held = false
  /** stopReadingAfterBytes works once: resumeReading() is for good. */
  #stalled = false
  #acknowledged = 0
  /** Transactions of commands that this side sent and that may be answered. */
  readonly #asked = new Set<number>()
  #end: ConnectionEnd | undefined
  #closing = false

  constructor(
    socket: Socket | TLSSocket,
    raw: Socket,
    behaviour: Behaviour,
    recording: Recording,
    onPublish: (connection: DestinationConnection) => void,
  ) {
    this.#socket = socket
    this.#raw = raw
    this.#behaviour = behaviour
    this.#recording = recording
    this.#onPublish = onPublish
    this.#reader = new WireReader({
      mediaBodies: recording === 'hashes' || recording === 'bodies' ? 'whole' : 'prefix',
      onMessage: (message) => this.#receive(message),
      onViolation: (violation) => this.violations.push(violation),
    })
    this.closed = this.#watchClose()
    socket.on('data', (data: Buffer) => this.#read(data))
    if (behaviour.resetAfterMs !== undefined) this.#later(behaviour.resetAfterMs, () => this.reset())
  }

  /** How it ended; undefined while it is open. */
  get end(): ConnectionEnd | undefined {
    return this.#end
  }

  /** Name of the server that the client asked for (SNI), and the version; undefined without TLS. */
  get tls(): { readonly serverName: string | undefined; readonly version: string } | undefined {
    if (this.#socket === this.#raw) return undefined
    const socket = this.#socket as TLSSocket & { servername?: string | false | null }
    return { serverName: socket.servername || undefined, version: socket.getProtocol() ?? '' }
  }

  get isPublishing(): boolean {
    return this.publishedAt !== undefined && this.#end === undefined
  }

  commandNames(): string[] {
    return this.commands.map((command) => command.name)
  }

  /** What was received, for `writeFlv` and `packetsOf`; only with `bodies`. */
  tags(): FlvTag[] {
    return this.messages.flatMap(({ type, timestamp, body }) =>
      body ? [{ type, timestamp, body: fileForm(type, body) }] : [],
    )
  }

  async writeFlv(path: string): Promise<void> {
    await writeFlv(path, this.tags())
  }

  /** Waits until so many more video messages came (or the sum of video and audio, without `kind`). */
  async receives(count: number, kind?: 'video' | 'audio' | 'data', deadlineMs = 10_000): Promise<void> {
    const sum = () => (kind ? this.counts[kind] : this.counts.video + this.counts.audio)
    const start = sum()
    await waitFor(
      `${count} more ${kind ?? 'media'} messages at ${this.app}`,
      () => {
        if (this.#end) throw new Error(`the connection ended (${this.#end.how})`)
        return sum() - start >= count
      },
      deadlineMs,
    )
  }

  async ends(deadlineMs = 10_000): Promise<ConnectionEnd> {
    return within(`the end of a connection to ${this.app}`, this.closed, deadlineMs)
  }

  stopReading(): void {
    this.#held = true
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#held = false
    this.#socket.resume()
  }

  /** A TCP reset, also beneath TLS. */
  reset(): void {
    this.#closing = true
    // Node 24.21 never closes a socket that is reset while its shutdown is under way: it has had the peer's end, and has sent its own.
    const isShuttingDown = this.#raw.writableEnded && !this.#raw.writableFinished
    if (isShuttingDown) this.#raw.destroy()
    else this.#raw.resetAndDestroy()
    this.#socket.destroy()
  }

  close(): void {
    this.#closing = true
    this.#socket.end()
    this.#later(500, () => this.#socket.destroy())
    this.#socket.resume()
  }

  /** Any command, also one that no client expects. */
  send(name: string, transactionId: number, ...args: readonly Amf[]): void {
    if (transactionId !== 0 && !/^(_result|_error|on[A-Z])/.test(name)) this.#asked.add(transactionId)
    this.#command(0, name, transactionId, ...args)
  }

  status(level: string, code: string, description = ''): void {
    this.#command(messageStreamId, 'onStatus', 0, null, { level, code, description })
  }

  #read(data: Buffer): void {
    this.counts.bytes += data.length
    const { silent, stopReadingAfterBytes, readKbps } = this.#behaviour
    if (silent) return
    try {
      if (this.#handshake) this.#shakeHands(data)
      else this.#reader.push(data)
    } catch (error) {
      this.violations.push(`not RTMP: ${(error as Error).message}`)
      this.reset()
      return
    }
    this.#acknowledge()
    if (stopReadingAfterBytes !== undefined && !this.#stalled && this.counts.bytes >= stopReadingAfterBytes) {
      this.#stalled = true
      this.stopReading()
    }
    if (readKbps !== undefined && !this.#held) {
      this.#socket.pause()
      this.#later((data.length * 8) / readKbps, () => {
        if (!this.#held) this.#socket.resume()
      })
    }
  }

  /** C0 C1 in, S0 S1 S2 out in one write, C2 in. */
  #shakeHands(data: Buffer): void {
    this.#handshake = Buffer.concat([this.#handshake!, data])
    if (!this.#s1) {
      if (this.#handshake.length < 1 + handshakeBytes) return
      if (this.#handshake[0] !== 3) throw new Error(`the client begins with ${this.#handshake[0]}`)
      this.#s1 = Buffer.concat([Buffer.alloc(8), randomBytes(handshakeBytes - 8)])
      this.#socket.write(Buffer.concat([Buffer.of(3), this.#s1, this.#handshake.subarray(1, 1 + handshakeBytes)]))
      this.#handshake = this.#handshake.subarray(1 + handshakeBytes)
    }
    if (this.#handshake.length < handshakeBytes) return
    // Bytes 4 to 7 hold the client's own time; the echo is the rest.
    const echoed = this.#handshake.subarray(8, handshakeBytes).equals(this.#s1.subarray(8))
    if (!echoed) this.violations.push('C2 does not repeat S1')
    const rest = this.#handshake.subarray(handshakeBytes)
    this.#handshake = undefined
    if (rest.length > 0) this.#reader.push(rest)
  }

  #receive(message: WireMessage): void {
    const { type, body } = message
    switch (type) {
      case wireTypes.audio:
      case wireTypes.video:
      case wireTypes.data:
      case wireTypes.data3:
        this.#record(message)
        return
      case wireTypes.command:
        this.#obey(decodeAmf(body), message.messageStreamId)
        return
      case wireTypes.windowAcknowledgementSize:
        this.announcedWindow = body.readUInt32BE(0)
        return
      case wireTypes.userControl:
        if (body.readUInt16BE(0) === 7) this.pongs++
        if (body.readUInt16BE(0) === 6) this.#write(userControl(7, body.readUInt32BE(2)))
        return
      case wireTypes.setChunkSize:
      case wireTypes.abort:
      case wireTypes.acknowledgement:
      case wireTypes.setPeerBandwidth:
        return
      default:
        this.violations.push(`message type ${type}`)
    }
  }

  #record(message: WireMessage): void {
    const { type, chunkStreamId, timestamp, length, body } = message
    const kind = type === wireTypes.video ? 'video' : type === wireTypes.audio ? 'audio' : 'data'
    this.counts[kind]++
    if (this.publishedAt === undefined) this.violations.push(`${kind} before Publish.Start`)
    if (message.messageStreamId !== messageStreamId)
      this.violations.push(`${kind} on stream ${message.messageStreamId}`)
    if (length === 0) this.violations.push(`empty ${kind} message: some servers crash on it`)
    const last = this.lastTimestamp[kind]
    if (last !== undefined && timestamp < last) this.violations.push(`${kind} goes back from ${last} to ${timestamp}`)
    this.firstTimestamp[kind] ??= timestamp
    this.lastTimestamp[kind] = timestamp
    const stamp = this.ledger.observe(message)
    if (this.#recording === 'counts' && kind !== 'data') return
    const whole = this.#recording === 'hashes' || this.#recording === 'bodies'
    if (whole && stamp && !isIntact(type, body)) this.damaged++
    this.messages.push({
      type,
      chunkStreamId,
      messageStreamId: message.messageStreamId,
      timestamp,
      length,
      arrivedAt: performance.now(),
      ...(whole ? { hash: createHash('md5').update(body).digest('hex') } : {}),
      ...(this.#recording === 'bodies' || kind === 'data' ? { body } : {}),
    })
  }

  #obey(values: readonly Amf[], onStream: number): void {
    const [name, transactionId, ...args] = values
    const command = { name: asText(name), transactionId: asNumber(transactionId), args, messageStreamId: onStream }
    this.commands.push(command)
    const reply = this.#behaviour.transactionIdZero ? 0 : command.transactionId
    switch (command.name) {
      case 'connect':
        this.#answerConnect(asObject(args[0]), reply)
        return
      case 'releaseStream':
      case 'FCPublish': {
        const how = this.#behaviour.answerReleaseStream ?? 'result'
        if (command.name === 'FCPublish') this.#createStream?.()
        if (how === 'nothing') return
        if (how === 'result' && command.name === 'FCPublish') {
          this.send('onFCPublish', reply, null, { code: 'NetStream.Publish.Start', description: '' })
        }
        this.send(how === 'result' ? '_result' : '_error', reply, null, undefined)
        return
      }
      case 'createStream': {
        const answer = () => this.send('_result', reply, null, messageStreamId)
        const said = this.commandNames()
        const waits = this.#behaviour.wantsFcPublish && said.includes('releaseStream') && !said.includes('FCPublish')
        if (waits) this.#createStream = answer
        else answer()
        return
      }
      case 'publish':
        this.#answerPublish(asText(args[1]), asText(args[2]), onStream)
        return
      case '_result':
      case '_error':
        // SRS ends a connection for it.
        if (!this.#asked.has(command.transactionId)) this.violations.push(`an answer that nobody asked for`)
        return
      default:
        // FCUnpublish, deleteStream: written down above.
        return
    }
  }

  #answerConnect(fields: AmfObject, reply: number): void {
    this.connect = fields
    this.app = asText(fields['app'])
    const { refuseConnect, redirectTo, redirectWithName, authentication, chatters } = this.#behaviour
    const { chunkSize = 4_096, connectResult, floodCommandsPerSecond } = this.#behaviour
    const reject = (description: string, further: AmfObject = {}) => {
      const code = 'NetConnection.Connect.Rejected'
      this.send('_error', reply, null, { level: 'error', code, description, ...further })
      this.close()
    }
    if (refuseConnect !== undefined) {
      reject(refuseConnect)
      return
    }
    if (redirectTo !== undefined) {
      reject('[ AccessManager.Redirect ]', { ex: { code: 302, redirect: redirectTo } })
      return
    }
    if (redirectWithName !== undefined) {
      reject('[ AccessManager.Redirect ]', { ex: { code: 302, redirect2: redirectWithName } })
      return
    }
    const verdict = authentication ? authenticate(this.app, authentication) : { accepted: true as const }
    if (!verdict.accepted) {
      reject(verdict.description)
      return
    }
    this.#write(controlMessage(wireTypes.windowAcknowledgementSize, windowBytes))
    this.#write(peerBandwidth(windowBytes, 2))
    this.#write(controlMessage(wireTypes.setChunkSize, chunkSize))
    this.#writer.chunkSize = chunkSize
    if (chatters) this.#write(userControl(0, 0))
    this.send(
      '_result',
      reply,
      { fmsVer: 'FMS/3,0,1,123', capabilities: 31 },
      {
        level: 'status',
        code: 'NetConnection.Connect.Success',
        description: 'Connection succeeded.',
        objectEncoding: 0,
        ...connectResult,
      },
    )
    if (chatters) this.send('onBWDone', 0, null, 8_192)
    if (floodCommandsPerSecond !== undefined) this.#flood(floodCommandsPerSecond)
  }

  #answerPublish(key: string, publishType: string, onStream: number): void {
    this.key = key
    this.publishType = publishType
    if (onStream !== messageStreamId) this.violations.push(`publish on message stream ${onStream}`)
    if (publishType !== 'live') this.violations.push(`publish type '${publishType}': YouTube refuses all but 'live'`)
    const { answerPublish = 'start', closeAfterPublishMs, pingEveryMs } = this.#behaviour
    const refuse = ({ code, description = '', level = 'error' }: Refusal) => this.status(level, code, description)
    const badName: Refusal = { code: 'NetStream.Publish.BadName', description: 'Already publishing' }
    const failed: Refusal = { code: 'NetStream.Failed', description: 'No such session' }
    if (answerPublish === 'start' || answerPublish === 'start_then_bad_name' || answerPublish === 'start_then_failed') {
      this.publishedAt = performance.now()
      this.#write(userControl(0, messageStreamId))
      this.status('status', 'NetStream.Publish.Start', 'Start publishing')
      this.#onPublish(this)
      if (this.#behaviour.chatters) this.#chatter()
      if (answerPublish === 'start_then_bad_name') refuse(badName)
      if (answerPublish === 'start_then_failed') refuse(failed)
    } else if (answerPublish === 'bad_name') refuse(badName)
    else if (answerPublish !== 'never') refuse(answerPublish)
    if (closeAfterPublishMs !== undefined) this.#later(closeAfterPublishMs, () => this.close())
    if (pingEveryMs !== undefined) this.#repeat(pingEveryMs, () => this.#write(userControl(6, performance.now())))
  }

  #chatter(): void {
    this.status('status', 'NetStream.Data.Start', 'Started playing stream.')
    this.send('|RtmpSampleAccess', 0, true, true)
    this.send('somethingNew', 77, null, { of: 'this year' })
    this.#command(messageStreamId, 'onStatus', 0, null, undefined)
    for (const event of [26, 31, 32, 99]) this.#write(userControl(event, 0))
    this.#repeat(1_000, () => this.send('_onbwcheck', ++this.#checks, null, Buffer.alloc(100).toString()))
  }
  #checks = 900

  #flood(perSecond: number): void {
    let transactionId = 1_000
    this.#repeat(10, () => {
      // A peer that does not read must not fill this process.
      if (this.#socket.writableLength > 1 << 20) return
      for (let count = 0; count < perSecond / 100; count++) this.send('_checkbw', ++transactionId, null)
    })
  }

  #acknowledge(): void {
    const how = this.#behaviour.acknowledgements ?? 'when_announced'
    if (how === 'none' || this.#handshake) return
    const announced = this.announcedWindow === undefined ? undefined : Math.max(1, this.announcedWindow / 2)
    const every = announced ?? (how === 'when_announced' ? undefined : windowBytes / 2)
    const since = this.counts.bytes - this.#acknowledged
    if (every === undefined || since < every) return
    this.#acknowledged = this.counts.bytes
    this.acknowledgementsSent++
    this.#write(controlMessage(wireTypes.acknowledgement, how === 'incremental' ? since : this.counts.bytes))
  }

  #command(onStream: number, name: string, transactionId: number, ...args: readonly Amf[]): void {
    const body = encodeAmf(name, transactionId, ...args)
    this.#write({ chunkStreamId: 3, type: wireTypes.command, timestamp: 0, messageStreamId: onStream, body })
  }

  #write(message: OutgoingMessage): void {
    if (!this.#end && !this.#socket.destroyed && this.#socket.writable)
      this.#socket.write(this.#writer.message(message))
  }

  #later(durationMs: number, callback: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      callback()
    }, durationMs)
    this.#timers.add(timer)
  }

  #repeat(everyMs: number, callback: () => void): void {
    this.#timers.add(setInterval(callback, everyMs))
  }

  #watchClose(): Promise<ConnectionEnd> {
    return new Promise((resolve) => {
      let failed = false
      const onError = () => {
        failed = true
      }
      this.#socket.on('error', onError)
      this.#raw.on('error', onError)
      this.#socket.once('close', () => {
        for (const timer of this.#timers) clearTimeout(timer)
        this.#raw.destroy()
        const names = this.commandNames()
        const goodbye = names.includes('FCUnpublish') && names.includes('deleteStream')
        this.#end = { how: this.#closing ? 'ours' : failed ? 'reset' : 'fin', goodbye }
        resolve(this.#end)
      })
    })
  }
}

/** Files hold metadata without the `@setDataFrame` of the wire. */
function fileForm(type: number, body: Buffer): Buffer {
  const wire = encodeAmf('@setDataFrame')
  return type === wireTypes.data && body.subarray(0, wire.length).equals(wire) ? body.subarray(wire.length) : body
}
