import type { Duplex } from 'node:stream'
import { splitAggregate } from './aggregate.ts'
import type { AmfWritable } from './amf0.ts'
import { acknowledgement, setChunkSize, userControl } from './chunk-header.ts'
import { ChunkReader, type ChunkReaderLimits } from './chunk-reader.ts'
import { writeCommand } from './command.ts'
import { ClientHandshake, ServerHandshake } from './handshake.ts'
import { type Message, messageTypes, ProtocolError, userControlEvents } from './message.ts'

export type ConnectionOptions = {
  readonly limits: ChunkReaderLimits
  /** Milliseconds from any start, for the rates of what a peer may send. */
  readonly monotonicMs: () => number
}

/** The other side ended the connection, or it broke. */
export class ConnectionClosed extends Error {
  /** `end`: the peer closed it in order; `reset`: it broke. */
  readonly how: 'end' | 'reset'

  constructor(how: 'end' | 'reset', cause?: unknown) {
    super(how === 'end' ? 'the peer closed the connection' : 'the connection broke', { cause })
    this.name = 'ConnectionClosed'
    this.how = how
  }
}

/** RTMP 1.0 has a chunk size of 128 until another is announced. */
const initialChunkSize = 128
/** Acknowledged at the latest after so much, asked for or not: Wirecast and Blackmagic devices stop without. */
const acknowledgeBytesMax = 1_250_000
/** Messages that wait while nobody asks for them: a dialogue has a dozen. */
const queueLengthMax = 256
const queueBytesMax = 1024 * 1024
/** Commands a second and at once; a dialogue has about ten. */
const commandRate = { perSecond: 50, burst: 200 }
/** Pings and acknowledgements: YouTube acknowledges each 131,325 bytes, which is 95 a second at 100 Mbit/s. */
const controlRate = { perSecond: 500, burst: 2000 }

class Budget {
  readonly #rate: { readonly perSecond: number; readonly burst: number }
  #left: number
  #at: number

  constructor(rate: { perSecond: number; burst: number }, now: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#at = now
  }

  spend(now: number): boolean {
    if (this.#left < 1) {
      this.#left = Math.min(this.#rate.burst, this.#left + ((now - this.#at) / 1000) * this.#rate.perSecond)
      this.#at = now
    }
    this.#left--
    return this.#left >= 0
  }
}

/**
 * One RTMP connection over a stream, in either role: handshake, chunks to messages, acknowledgements, pings.
 *
 * Two ways to read: a dialogue *pulls* with `next()` (messages are copies; the stream is paused when nobody asks), and once media
 * flows the owner has messages *pushed* with `relay()` (views, valid during the call). Lifecycle: handshaking, open, over;
 * `signal` aborts when it is over, its reason says why. The owner closes the stream.
 */
export class RtmpConnection {
  readonly #stream: Duplex
  readonly #reader: ChunkReader
  readonly #monotonicMs: () => number
  readonly #over = new AbortController()
  readonly #commands: Budget
  readonly #controls: Budget
  #handshake: ServerHandshake | ClientHandshake | undefined
  #handshaken: () => void = () => {}
  #onMessage: ((message: Message) => void) | undefined
  readonly #queue: Message[] = []
  #queueBytes = 0
  #waiting: { resolve: (message: Message) => void; reject: (reason: unknown) => void } | undefined
  #bytesReceived = 0
  #acknowledged = 0
  #acknowledgeEvery = acknowledgeBytesMax
  #chunkSizeOut = initialChunkSize

  /** Where answers to pings and acknowledgements go; an output's pump puts them between chunks. */
  controlSink: (bytes: Buffer) => void = (bytes) => this.send(bytes)
  /** The peer acknowledged something. Its number is not to be trusted. */
  onAcknowledgement: ((sequenceNumber: number) => void) | undefined

  constructor(stream: Duplex, options: ConnectionOptions, handshake: ServerHandshake | ClientHandshake) {
    this.#stream = stream
    this.#reader = new ChunkReader(options.limits)
    this.#monotonicMs = options.monotonicMs
    const now = options.monotonicMs()
    this.#commands = new Budget(commandRate, now)
    this.#controls = new Budget(controlRate, now)
    this.#handshake = handshake
    stream.on('data', this.#onData)
    stream.on('end', () => this.#end(new ConnectionClosed('end')))
    stream.on('close', () => this.#end(new ConnectionClosed('reset')))
    stream.on('error', (error) => this.#end(new ConnectionClosed('reset', error)))
  }

  /** The server's side. @throws ProtocolError, ConnectionClosed, or the signal's reason. */
  static async accept(stream: Duplex, options: ConnectionOptions & { signal: AbortSignal }): Promise<RtmpConnection> {
    const connection = new RtmpConnection(stream, options, new ServerHandshake())
    await connection.#shakeHands(options.signal)
    return connection
  }

  /** The client's side. @throws like accept. */
  static async connect(stream: Duplex, options: ConnectionOptions & { signal: AbortSignal }): Promise<RtmpConnection> {
    const handshake = new ClientHandshake()
    const connection = new RtmpConnection(stream, options, handshake)
    connection.send(handshake.hello)
    await connection.#shakeHands(options.signal)
    return connection
  }

  /** Aborts when the connection is over; the reason is a ConnectionClosed or a ProtocolError. */
  get signal(): AbortSignal {
    return this.#over.signal
  }
  /** Wire bytes, the handshake included. */
  get bytesReceived(): number {
    return this.#bytesReceived
  }
  get chunkSizeOut(): number {
    return this.#chunkSizeOut
  }
  set limits(limits: ChunkReaderLimits) {
    this.#reader.limits = limits
  }

  send(bytes: Buffer): void {
    if (this.#stream.writable) this.#stream.write(bytes)
  }

  announceChunkSize(bytes: number): void {
    this.send(setChunkSize(bytes))
    this.#chunkSizeOut = bytes
  }

  sendCommand(
    chunkStreamId: number,
    messageStreamId: number,
    name: string,
    transactionId: number,
    ...values: readonly AmfWritable[]
  ): void {
    const to = { chunkStreamId, messageStreamId, chunkSize: this.#chunkSizeOut }
    this.send(writeCommand(to, name, transactionId, ...values))
  }

  /** The next message that is not protocol control, as a copy. @throws why the connection is over, or the signal's reason. */
  next(signal: AbortSignal): Promise<Message> {
    const queued = this.#queue.shift()
    if (queued !== undefined) {
      this.#queueBytes -= queued.body.length
      return Promise.resolve(queued)
    }
    return new Promise((resolve, reject) => {
      const ended = this.#over.signal
      if (ended.aborted || signal.aborted) {
        reject(ended.aborted ? ended.reason : signal.reason)
        return
      }
      const onAbort = () => {
        this.#waiting = undefined
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const settle = () => signal.removeEventListener('abort', onAbort)
      this.#waiting = {
        resolve: (message) => {
          settle()
          resolve(message)
        },
        reject: (reason) => {
          settle()
          reject(reason)
        },
      }
      this.#stream.resume()
    })
  }

  /** From now on messages are pushed, as views that are valid during the call; what has been queued comes first. */
  relay(onMessage: (message: Message) => void): void {
    this.#onMessage = onMessage
    try {
      for (const message of this.#queue.splice(0)) onMessage(message)
    } catch (error) {
      this.#end(error)
    }
    this.#queueBytes = 0
    this.#stream.resume()
  }

  /** Ends it from this side: `signal` aborts with the reason. The stream stays as it is. */
  end(reason: Error): void {
    this.#end(reason)
  }

  #shakeHands(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const ended = this.#over.signal
      const onAbort = () => {
        signal.removeEventListener('abort', onAbort)
        ended.removeEventListener('abort', onAbort)
        if (signal.aborted) this.#end(signal.reason)
        reject(signal.aborted ? signal.reason : ended.reason)
      }
      this.#handshaken = () => {
        signal.removeEventListener('abort', onAbort)
        ended.removeEventListener('abort', onAbort)
        resolve()
      }
      signal.addEventListener('abort', onAbort)
      ended.addEventListener('abort', onAbort)
      if (signal.aborted || ended.aborted) onAbort()
    })
  }

  #end(reason: unknown): void {
    if (this.#over.signal.aborted) return
    this.#stream.off('data', this.#onData)
    // What still arrives is read and dropped, so that the end of the stream is noticed.
    this.#stream.resume()
    this.#over.abort(reason)
    this.#waiting?.reject(reason)
    this.#waiting = undefined
    this.#queue.length = 0
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#bytesReceived += bytes.length
    try {
      let rest: Buffer | undefined = bytes
      if (this.#handshake !== undefined) {
        const answer = this.#handshake.push(bytes)
        if (answer.reply !== undefined) this.send(answer.reply)
        rest = answer.rest
        if (this.#handshake.done) {
          this.#handshake = undefined
          this.#handshaken()
        }
      }
      if (rest !== undefined && rest.length > 0) this.#reader.push(rest, this.#onReaderMessage)
      if (this.#bytesReceived - this.#acknowledged >= this.#acknowledgeEvery) this.#acknowledge()
    } catch (error) {
      this.#end(error)
    }
  }

  #acknowledge(): void {
    this.#acknowledged = this.#bytesReceived
    this.controlSink(acknowledgement(this.#bytesReceived % 2 ** 32))
  }

  readonly #onReaderMessage = (message: Message): void => {
    switch (message.type) {
      case messageTypes.audio:
      case messageTypes.video:
        this.#deliver(message)
        return
      case messageTypes.setChunkSize:
      case messageTypes.abort:
        this.#spend(this.#controls)
        return
      case messageTypes.acknowledgement:
        this.#spend(this.#controls)
        if (message.body.length >= 4) this.onAcknowledgement?.(message.body.readUInt32BE(0))
        return
      case messageTypes.userControl:
        this.#spend(this.#controls)
        this.#userControl(message.body)
        return
      case messageTypes.windowAcknowledgementSize:
        this.#spend(this.#controls)
        this.#setWindow(message.body)
        return
      case messageTypes.setPeerBandwidth:
        this.#spend(this.#controls)
        return
      case messageTypes.aggregate:
        splitAggregate(message, this.#onReaderMessage)
        return
      case messageTypes.amf0Command:
      case messageTypes.amf3Command:
        this.#spend(this.#commands)
        this.#deliver(message)
        return
      default:
        this.#deliver(message)
    }
  }

  #spend(budget: Budget): void {
    if (!budget.spend(this.#monotonicMs())) throw new ProtocolError('too many commands in too short a time')
  }

  #userControl(body: Buffer): void {
    if (body.length < 6 || body.readUInt16BE(0) !== userControlEvents.pingRequest) return
    this.controlSink(userControl(userControlEvents.pingResponse, body.readUInt32BE(2)))
  }

  #setWindow(body: Buffer): void {
    if (body.length < 4) return
    // A window of a few bytes would be a storm of acknowledgements; 64 KiB is one read.
    this.#acknowledgeEvery = Math.max(64 * 1024, Math.min(acknowledgeBytesMax, body.readUInt32BE(0) / 2))
  }

  #deliver(message: Message): void {
    if (this.#onMessage !== undefined) {
      this.#onMessage(message)
      return
    }
    const copy = { ...message, body: Buffer.from(message.body) }
    const waiting = this.#waiting
    if (waiting !== undefined) {
      this.#waiting = undefined
      waiting.resolve(copy)
      return
    }
    this.#queue.push(copy)
    this.#queueBytes += copy.body.length
    if (this.#queue.length > queueLengthMax || this.#queueBytes > queueBytesMax)
      throw new ProtocolError('too much was sent before the publish was answered')
    this.#stream.pause()
  }
}
