import { randomBytes } from 'node:crypto'
import { ProtocolError } from './message.ts'

/**
 * The simple handshake (RTMP 1.0, section 5.2). Clients that send a digest in C1 (FFmpeg, Flash) take the simple answer too;
 * no current publisher or destination is known that does not.
 *
 *   C0/S0: version 3 (1)    C1/S1: time 4 | zero 4 | random 1528    C2/S2: a copy of the other side's 1
 */
export const handshakeBytes = 1536
const version = 3
/** 6, 8 and 9 were given to the encrypted forms (RTMPE). */
const highestVersion = 9

type Answer = { readonly reply?: Buffer; readonly rest?: Buffer }

/** Gathers at most so many bytes; what is more is the rest. */
class Gathering {
  readonly #bytes: Buffer
  #filled = 0

  constructor(length: number) {
    this.#bytes = Buffer.alloc(length)
  }

  /** @returns the gathered bytes once they are complete, and what was not needed of `input`. */
  add(input: Buffer): { complete: Buffer | undefined; rest: Buffer } {
    const count = Math.min(input.length, this.#bytes.length - this.#filled)
    input.copy(this.#bytes, this.#filled, 0, count)
    this.#filled += count
    return {
      complete: this.#filled === this.#bytes.length ? this.#bytes : undefined,
      rest: input.subarray(count),
    }
  }
}

export class ServerHandshake {
  readonly #random: (length: number) => Buffer
  readonly #hello = new Gathering(1 + handshakeBytes)
  #echo: Gathering | undefined
  #done = false
  #first = true

  constructor(random: (length: number) => Buffer = randomBytes) {
    this.#random = random
  }

  get done(): boolean {
    return this.#done
  }

  /**
   * @returns `reply` (S0, S1 and S2 in one buffer: AWS Elemental refuses them in several segments) when C1 is complete, and
   * `rest`, what follows C2, when the handshake is done. C2 is not looked into.
   * @throws ProtocolError at the first byte when this is TLS, HTTP or anything else.
   */
  push(bytes: Buffer): Answer {
    if (this.#done) return { rest: bytes }
    if (this.#first && bytes.length > 0) {
      if (bytes[0] !== version) throw new ProtocolError('the first byte is not RTMP')
      this.#first = false
    }
    let reply: Buffer | undefined
    let rest = bytes
    if (this.#echo === undefined) {
      const hello = this.#hello.add(rest)
      if (hello.complete === undefined) return {}
      rest = hello.rest
      this.#echo = new Gathering(handshakeBytes)
      reply = Buffer.alloc(1 + 2 * handshakeBytes)
      reply[0] = version
      // S1: time 0 and four zero bytes, where players look for a version that promises a digest; then random.
      this.#random(handshakeBytes - 8).copy(reply, 1 + 8)
      hello.complete.copy(reply, 1 + handshakeBytes, 1)
    }
    const echo = this.#echo.add(rest)
    if (echo.complete === undefined) return reply ? { reply } : {}
    this.#done = true
    return { ...(reply && { reply }), rest: echo.rest }
  }
}

export class ClientHandshake {
  /** C0 and C1, to be sent first. */
  readonly hello: Buffer
  readonly #answer = new Gathering(1 + handshakeBytes)
  #echo: Gathering | undefined
  #done = false
  #checked = false

  constructor(random: (length: number) => Buffer = randomBytes) {
    this.hello = Buffer.alloc(1 + handshakeBytes)
    this.hello[0] = version
    random(handshakeBytes - 8).copy(this.hello, 1 + 8)
  }

  get done(): boolean {
    return this.#done
  }

  /**
   * @returns `reply` (C2, the copy of S1) when S1 is complete, `rest` when S2 is. S2 is not compared: OBS only warns, too.
   * @throws ProtocolError when the peer does not speak RTMP.
   */
  push(bytes: Buffer): Answer {
    if (this.#done) return { rest: bytes }
    if (!this.#checked && bytes.length > 0) {
      // Old servers answer with the highest version that they know. Above those are TLS (20 to 23) and text protocols.
      if (bytes[0]! < version || bytes[0]! > highestVersion) throw new ProtocolError('the peer does not speak RTMP')
      this.#checked = true
    }
    let reply: Buffer | undefined
    let rest = bytes
    if (this.#echo === undefined) {
      const answer = this.#answer.add(rest)
      if (answer.complete === undefined) return {}
      rest = answer.rest
      reply = Buffer.from(answer.complete.subarray(1))
      this.#echo = new Gathering(handshakeBytes)
    }
    const echo = this.#echo.add(rest)
    if (echo.complete === undefined) return reply ? { reply } : {}
    this.#done = true
    return { ...(reply && { reply }), rest: echo.rest }
  }
}
