import type { Duplex } from 'node:stream'
import type { AmfWritable } from '../../src/rtmp/amf0.ts'
import { frameMessage } from '../../src/rtmp/chunk-header.ts'
import { ChunkReader, publisherLimits } from '../../src/rtmp/chunk-reader.ts'
import { type Command, frameCommand, informationOf, readCommand } from '../../src/rtmp/command.ts'
import { ClientHandshake, ServerHandshake } from '../../src/rtmp/handshake.ts'
import { type Message, messageTypes } from '../../src/rtmp/message.ts'

/** The other end of a dialogue, that says what a test tells it to, and writes down what it hears. */
export class ScriptedPeer {
  /** Everything heard since the handshake, in order. */
  readonly heard: Message[] = []
  chunkSize = 128
  /** Resolves when the other end closes. */
  readonly ended: Promise<void>
  readonly #stream: Duplex
  readonly #reader = new ChunkReader(publisherLimits)
  #read = 0
  #wake: (() => void) | undefined
  #hasEnded = false

  private constructor(stream: Duplex) {
    this.#stream = stream
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#hasEnded = true
        this.#wake?.()
        resolve()
      }
      stream.on('end', end)
      stream.on('close', end)
      stream.on('error', end)
    })
  }

  static async shakeHands(stream: Duplex, role: 'client' | 'server'): Promise<ScriptedPeer> {
    const peer = new ScriptedPeer(stream)
    const handshake = role === 'client' ? new ClientHandshake() : new ServerHandshake()
    if (handshake instanceof ClientHandshake) stream.write(handshake.hello)
    await new Promise<void>((resolve, reject) => {
      stream.on('data', (bytes: Buffer) => {
        if (handshake.done) {
          peer.#hear(bytes)
          return
        }
        const { reply, rest } = handshake.push(bytes)
        if (reply !== undefined) stream.write(reply)
        if (handshake.done) resolve()
        if (rest !== undefined) peer.#hear(rest)
      })
      stream.once('close', () => reject(new Error('closed during the handshake')))
    })
    return peer
  }

  #hear(bytes: Buffer): void {
    this.#reader.push(bytes, (message) => this.heard.push({ ...message, body: Buffer.from(message.body) }))
    this.#wake?.()
  }

  /** Like a peer's own words: on chunk stream 3 (or another), message stream 0 (or another). */
  say(name: string, transactionId: number, ...values: AmfWritable[]): void {
    this.sayOn(3, 0, name, transactionId, ...values)
  }

  sayOn(chunkStreamId: number, messageStreamId: number, name: string, transactionId: number, ...values: AmfWritable[]) {
    this.raw(frameCommand(this.chunkSize, chunkStreamId, messageStreamId, name, transactionId, ...values))
  }

  media(type: number, body: Uint8Array, messageStreamId = 1): void {
    this.raw(frameMessage({ chunkStreamId: 4, type, timestamp: 0, messageStreamId, body }, this.chunkSize))
  }

  raw(bytes: Buffer): void {
    this.#stream.write(bytes)
  }

  end(): void {
    this.#stream.end()
  }

  /** The next message not yet read that fits. @throws when the other end closes first. */
  async next(fits: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      while (this.#read < this.heard.length) {
        const message = this.heard[this.#read++]!
        if (fits(message)) return message
      }
      if (this.#hasEnded) throw new Error('the other end closed')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async command(name: string): Promise<Command> {
    return readCommand(await this.next((message) => readCommand(message)?.name === name))!
  }

  /** `name#transaction@message stream (code)` for commands, `type` for others. */
  get transcript(): string[] {
    return this.heard.map(describe)
  }
}

export function describe(message: Message): string {
  const command = readCommand(message)
  if (command === undefined) {
    const name = Object.entries(messageTypes).find(([, type]) => type === message.type)?.[0]
    return `${name ?? message.type} ${message.body.toString('hex')}`
  }
  const code = informationOf(command)?.get('code')
  const number = command.values.find((value) => typeof value === 'number')
  return `${command.name}#${command.transactionId}@${message.messageStreamId}${number === undefined ? '' : ` ${number}`}${code === undefined ? '' : ` ${code}`}`
}
