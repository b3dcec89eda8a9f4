import type { Duplex } from 'node:stream'
import { splitAggregate } from './aggregate.ts'
import type { AmfWritable } from './amf0.ts'
import { acknowledgement, setChunkSize, userControl } from './chunk-header.ts'
import { ChunkReader, type ChunkReaderLimits } from './chunk-reader.ts'
import { frameCommand } from './command.ts'
import { ClientHandshake, ServerHandshake } from './handshake.ts'
import { type Message, messageTypes, ProtocolError, userControlEvents } from './message.ts'
import { TokenBucket } from './token-bucket.ts'

/** Bytes that come past the 'data' of their stream, which is paused and resumed as ever. */
export interface ByteSource {
  /** @param bytes valid only during the call. */
  onBytes: ((bytes: Buffer) => void) | undefined
}

export type ConnectionOptions = {
  readonly limits: ChunkReaderLimits
  /** Where the stream's bytes come from, when not from its 'data'. */
  readonly source?: ByteSource | undefined
  /** Monotonic milliseconds: how fast commands and pings come is measured with it. */
  readonly now: () => number
  /** The deadline of the handshake. Later it has no effect. */
  readonly signal: AbortSignal
}

/** The connection was closed in an orderly way. */
export class ConnectionClosed extends Error {
  readonly by: 'peer' | 'us'

  constructor(by: 'peer' | 'us') {
    super(by === 'peer' ? 'the peer closed the connection' : 'the connection was closed on our side')
    this.name = 'ConnectionClosed'
    this.by = by
  }
}

/** Per second, and at once. A dialogue has twenty commands; Akamai's bandwidth checks come in bursts of dozens. */
const commandRate = { perSecond: 50, burst: 200 }
/** Peers ping once a minute; some, in storms of a few dozen. */
const userControlRate = { perSecond: 20, burst: 100 }
/** YouTube acknowledges every 131,325 bytes: a thousand a second at 1 Gbit/s. */
const protocolControlRate = { perSecond: 1000, burst: 2000 }

/**
 * Wirecast 7 and Blackmagic's encoders wait for acknowledgements although they never announce a window; Flash Media Server's
 * window is 2,500,000, and half a window is when one is due.
 */
const acknowledgeBytesMax = 1_250_000
/** A peer that announces a window of one byte would get sixteen bytes back for each one. */
const acknowledgeBytesMin = 4096

/**
 * A chunk costs as much as so many bytes of media, however small it is: who sends chunks of one byte (Red5 #475) gets no more of the
 * processor than others. Encoders that never announce a size keep to 128.
 */
const chunkCostBytes = 128
/** Up to publish: a dialogue has some thousand bytes. Some encoders begin with media at once; it is thrown away, and may not go on. */
const dialogueBytesMax = 4 * 1024 * 1024
/** A destination that takes a stream has nothing to send but acknowledgements: 16 KB a second for 1 Gbit/s, where YouTube sends most. */
const answerRate = { perSecond: 256 * 1024, burst: 1024 * 1024 }

/** Answers that a peer leaves unread, before it is cut. All answers of a dialogue have some thousand bytes. */
const unsentBytesMax = 256 * 1024

/**
 * How much is read of what has arrived before the next look at whether somebody waits for more. Small, so that hardly
 * anything of what follows `publish` is read under the narrow limits that hold before it.
 */
const dialogueSliceBytes = 128

/**
 * One RTMP connection over a byte stream of any kind, in either role. Protocol control is done here: chunk size, abort,
 * acknowledgements, pings; unknown user control events are ignored.
 *
 * Life: handshake (accept, connect) -> dialogue (next: pulls, and nothing is read while nobody asks) -> relay (pushes)
 * -> over. It is over once: when the peer closes, the stream fails, the peer breaks a limit, or close() is called.
 *
 * The session that made the connection owns it and calls close() in the end; the connection owns the stream and destroys
 * it then. In relay mode the session may pause and resume the stream, to pace a peer.
 */
export class RtmpConnection {
  /** Aborted when the connection is over. The reason is a ConnectionClosed, a ProtocolError, the stream's own error, or what close() was given. */
  readonly signal: AbortSignal
  /** Resolves, always and only, when the connection is over; with the reason. */
  readonly closed: Promise<Error>
  /** Where all that the connection sends goes: answers to pings, acknowledgements, commands. A pump that writes to the stream itself puts them between its chunks. */
  controlSink: (bytes: Buffer) => void
  /** The peer acknowledged so many bytes (unsigned 32 bits; not to be trusted: YouTube's count is not cumulative). */
  onAcknowledgement: ((sequenceNumber: number) => void) | undefined
  /** Relay: bytes have come, and are looked at when this has returned. */
  onArrival: (() => void) | undefined
  /** Relay: what the bytes that have just been read cost, be they messages or parts of some. For the session's pace. */
  onReceived: ((costBytes: number) => void) | undefined

  readonly #stream: Duplex
  readonly #role: 'server' | 'client'
  readonly #reader: ChunkReader
  readonly #over = new AbortController()
  /** The signal says it, too, and takes longer for it. */
  #isOver = false
  readonly #commands: TokenBucket
  readonly #userControls: TokenBucket
  readonly #protocolControls: TokenBucket
  readonly #answers: TokenBucket
  #dialogueBytesLeft = dialogueBytesMax

  #bytesReceived = 0
  #bytesAcknowledged = 0
  #acknowledgeBytes = acknowledgeBytesMax
  #chunkSizeOut = 128

  /** Dialogue: who waits for bytes, what of them is not read yet, and the messages that were in them. */
  #waiting: { resolve(bytes: Buffer): void; reject(reason: unknown): void } | undefined
  #unread: Buffer = Buffer.alloc(0)
  #queue: Message[] = []
  /** Relay: who takes the messages. */
  #sink: ((message: Message) => void) | undefined
  #isDiscarding = false

  private constructor(stream: Duplex, role: 'server' | 'client', options: ConnectionOptions) {
    this.#stream = stream
    this.#role = role
    this.#reader = new ChunkReader(options.limits)
    this.#commands = new TokenBucket(commandRate, options.now)
    this.#userControls = new TokenBucket(userControlRate, options.now)
    this.#protocolControls = new TokenBucket(protocolControlRate, options.now)
    this.#answers = new TokenBucket(answerRate, options.now)
    this.controlSink = (bytes) => this.#write(bytes)
    const { signal } = this.#over
    this.signal = signal
    this.closed = new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)))
    stream.pause()
    if (options.source === undefined) stream.on('data', (bytes: Buffer) => this.#receive(bytes))
    // Relayed at once; what waits for somebody who asks is to be kept.
    else options.source.onBytes = (bytes) => this.#receive(this.#sink === undefined ? Buffer.from(bytes) : bytes)
    stream.on('end', () => this.#finish(new ConnectionClosed('peer')))
    stream.on('error', (error: Error) => this.#finish(error))
    stream.on('close', () => this.#finish(new ConnectionClosed('peer')))
    if (stream.destroyed) this.#finish(stream.errored ?? new ConnectionClosed('peer'))
  }

  /** Does the server's side of the handshake. @throws the signal's reason, ProtocolError, ConnectionClosed; the stream is destroyed then. */
  static async accept(stream: Duplex, options: ConnectionOptions): Promise<RtmpConnection> {
    const connection = new RtmpConnection(stream, 'server', options)
    await connection.#shakeHands(new ServerHandshake(), options.signal)
    return connection
  }

  /** Does the client's side of the handshake. @throws as accept does. */
  static async connect(stream: Duplex, options: ConnectionOptions): Promise<RtmpConnection> {
    const connection = new RtmpConnection(stream, 'client', options)
    const handshake = new ClientHandshake()
    connection.send(handshake.hello)
    await connection.#shakeHands(handshake, options.signal)
    return connection
  }

  async #shakeHands(handshake: ServerHandshake | ClientHandshake, signal: AbortSignal): Promise<void> {
    try {
      while (!handshake.done) {
        const { reply, rest } = handshake.push(await this.#read(signal))
        if (reply !== undefined) this.send(reply)
        if (rest !== undefined) this.#unread = rest
      }
    } catch (error) {
      this.close(error as Error)
      throw error
    }
  }

  /** Bytes of the wire, the handshake included. */
  get bytesReceived(): number {
    return this.#bytesReceived
  }

  get chunkSizeOut(): number {
    return this.#chunkSizeOut
  }

  /** For messages whose first chunk is yet to come. Widened by the session once it knows the peer. */
  get limits(): ChunkReaderLimits {
    return this.#reader.limits
  }
  set limits(limits: ChunkReaderLimits) {
    this.#reader.limits = limits
  }

  /**
   * Dialogue: the next message that is not protocol control. It is a copy, and the caller's to keep. One call at a time.
   * @throws the reason when the connection is over (what had arrived before is given out first) or the signal aborts;
   *   ProtocolError, which also ends the connection.
   */
  async next(signal: AbortSignal): Promise<Message> {
    for (;;) {
      const message = this.#queue.shift()
      if (message !== undefined) return message
      signal.throwIfAborted()
      if (this.#unread.length === 0) this.#unread = await this.#read(signal)
      const slice = this.#unread.subarray(0, dialogueSliceBytes)
      this.#unread = this.#unread.subarray(slice.length)
      try {
        this.#dialogueBytesLeft -= this.#push(slice, (received) => {
          if (this.#accepts(received)) this.#queue.push({ ...received, body: Buffer.from(received.body) })
        })
        if (this.#dialogueBytesLeft < 0) throw new ProtocolError('too many bytes before publish')
      } catch (error) {
        this.close(error as Error)
        throw error
      }
    }
  }

  /**
   * Relay: from now on every message that is not protocol control goes to `onMessage`, in the call that brought its bytes; it and
   * its body are valid only during the call. What had arrived before comes first, now. Aggregates come as the messages in them.
   * What onMessage throws ends the connection. Another call replaces the receiver.
   */
  relay(onMessage: (message: Message) => void): void {
    this.#sink = (message) => {
      if (message.type === messageTypes.aggregate) splitAggregate(message, onMessage)
      else onMessage(message)
    }
    const queue = this.#queue
    this.#queue = []
    const unread = this.#unread
    this.#unread = Buffer.alloc(0)
    try {
      for (const message of queue) this.#deliver(message)
      this.#relayed(unread)
    } catch (error) {
      this.close(error as Error)
    }
    if (!this.signal.aborted) this.#stream.resume()
  }

  /** Sends bytes that are whole chunks. Nothing happens when the connection is over. */
  send(bytes: Buffer): void {
    this.controlSink(bytes)
  }

  sendCommand(
    chunkStreamId: number,
    messageStreamId: number,
    name: string,
    transactionId: number,
    ...values: AmfWritable[]
  ): void {
    this.send(frameCommand(this.#chunkSizeOut, chunkStreamId, messageStreamId, name, transactionId, ...values))
  }

  /** Announces the size and uses it from then on. */
  announceChunkSize(bytes: number): void {
    this.send(setChunkSize(bytes))
    this.#chunkSizeOut = bytes
  }

  /** Sends what is pending and says goodbye; what the peer still sends is thrown away, so that its kernel does not answer with a reset that overtakes our last words. The connection is over when the peer closes too, or at close(). */
  end(): void {
    this.#discard()
    this.#stream.end()
    this.#stream.resume()
  }

  /** Ends the connection now: what is pending is lost. Calling again does nothing. */
  close(reason: Error = new ConnectionClosed('us')): void {
    this.#discard()
    this.#finish(reason)
    this.#stream.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #discard(): void {
    this.#isDiscarding = true
    this.#queue = []
    this.#unread = Buffer.alloc(0)
  }

  /** What had arrived before may still be pulled or relayed: the reason for a close is often in the last message. */
  #finish(reason: Error): void {
    // A stream that fails says `error` first and `close` then; one that is destroyed without a word only `close`.
    if (this.#isOver) return
    this.#isOver = true
    this.#over.abort(reason)
    this.#waiting?.reject(reason)
    this.#waiting = undefined
  }

  /** The next bytes of the wire. */
  #read(signal: AbortSignal): Promise<Buffer> {
    if (this.signal.aborted) return Promise.reject(this.signal.reason)
    if (signal.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting = undefined
        this.#stream.pause()
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const settle = () => signal.removeEventListener('abort', onAbort)
      this.#waiting = {
        resolve(bytes) {
          settle()
          resolve(bytes)
        },
        reject(reason) {
          settle()
          reject(reason)
        },
      }
      this.#stream.resume()
    })
  }

  #receive(bytes: Buffer): void {
    this.#bytesReceived += bytes.length
    if (this.#isOver || this.#isDiscarding) return
    this.#acknowledge()
    if (this.#sink !== undefined) {
      this.onArrival?.()
      try {
        this.#relayed(bytes)
      } catch (error) {
        this.close(error as Error)
      }
      return
    }
    this.#stream.pause()
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) waiting.resolve(bytes)
    else this.#unread = Buffer.concat([this.#unread, bytes])
  }

  #relayed(bytes: Buffer): void {
    const cost = this.#push(bytes, this.#onRelayed)
    if (this.#role === 'client' && !this.#answers.take(cost)) throw new ProtocolError('too many bytes')
    this.onReceived?.(cost)
  }

  /** @returns what it cost: the bytes themselves, or their chunks. */
  #push(bytes: Buffer, onMessage: (message: Message) => void): number {
    const before = this.#reader.chunks
    this.#reader.push(bytes, onMessage)
    return Math.max(bytes.length, (this.#reader.chunks - before) * chunkCostBytes)
  }

  readonly #onRelayed = (message: Message): void => {
    if (!this.#isDiscarding && this.#accepts(message)) this.#deliver(message)
  }

  #deliver(message: Message): void {
    // The receiver may have closed the connection at the message before this one.
    if (!this.#isDiscarding) this.#sink!(message)
  }

  #acknowledge(): void {
    if (this.#bytesReceived - this.#bytesAcknowledged < this.#acknowledgeBytes) return
    this.#bytesAcknowledged = this.#bytesReceived
    this.send(acknowledgement(this.#bytesReceived % 2 ** 32))
  }

  /** Does protocol control, and counts. @returns whether the message is one for the session. @throws ProtocolError at a flood. */
  #accepts(message: Message): boolean {
    switch (message.type) {
      case messageTypes.audio:
      case messageTypes.video:
      case messageTypes.amf0Data:
      case messageTypes.amf3Data:
      case messageTypes.aggregate:
        // A destination has no reason to send any of these; an encoder does nothing else.
        if (this.#role === 'client' && !this.#commands.take()) throw new ProtocolError('too many messages')
        return true
      case messageTypes.userControl:
        if (!this.#userControls.take()) throw new ProtocolError('too many user control messages')
        this.#answerPing(message.body)
        return false
      case messageTypes.setChunkSize:
      case messageTypes.abort:
      case messageTypes.acknowledgement:
      case messageTypes.windowAcknowledgementSize:
      case messageTypes.setPeerBandwidth:
        if (!this.#protocolControls.take()) throw new ProtocolError('too many protocol control messages')
        this.#controlled(message)
        return false
      default:
        if (!this.#commands.take()) throw new ProtocolError('too many commands')
        return true
    }
  }

  #answerPing(body: Buffer): void {
    if (body.length < 6 || body.readUInt16BE(0) !== userControlEvents.pingRequest) return
    this.send(userControl(userControlEvents.pingResponse, body.readUInt32BE(2)))
  }

  #controlled({ type, body }: Message): void {
    if (body.length < 4) return
    if (type === messageTypes.acknowledgement) this.onAcknowledgement?.(body.readUInt32BE(0))
    else if (type === messageTypes.windowAcknowledgementSize) {
      const half = Math.floor(body.readUInt32BE(0) / 2)
      this.#acknowledgeBytes = Math.min(Math.max(half, acknowledgeBytesMin), acknowledgeBytesMax)
    }
  }

  #write(bytes: Buffer): void {
    // A peer that has half-closed may still read.
    if (!this.#stream.writable) return
    this.#stream.write(bytes)
    if (this.#stream.writableLength > unsentBytesMax)
      this.close(new ProtocolError('the peer does not read its answers'))
  }
}
