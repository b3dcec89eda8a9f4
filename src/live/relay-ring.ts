import type { Message } from '../rtmp/message.ts'

/**
 * A publisher's messages on their way to another thread: one writer, one reader, and a ring of bytes that both see. Each body is copied
 * once, into the ring; the reader hands it out where it lies.
 *
 *   control   Int32: written, read (positions, 32 bits that wrap), asleep (the reader wants a wake-up), waiting (the writer wants room)
 *   frame     type (1), 3 unused, timestamp (4), length of the body (4), little-endian; then the body
 */
const controlBytes = 16
const at = { written: 0, read: 1, asleep: 2, waiting: 3 } as const
const frameHeaderBytes = 12
/** A power of two, so that positions may wrap. A second at 12 Mbit/s is 1.5 MB; more than that waits in the kernel. */
const capacityDefault = 2 * 1024 * 1024
/** No message type of RTMP: the publisher has left. The timestamp says how. */
const leaveType = 0
const howLeft = ['vanished', 'goodbye'] as const
export type HowLeft = (typeof howLeft)[number]

export function makeRelayRing(capacity = capacityDefault): SharedArrayBuffer {
  const ring = new SharedArrayBuffer(controlBytes + capacity)
  // Until the reader says otherwise: the first message wakes it.
  new Int32Array(ring, 0, 4)[at.asleep] = 1
  return ring
}

/** Rings that wait for the next publisher: a server whose encoders come and go all the time has made its rings once. */
const idleRingsMax = 16

/** The memory of rings, given out and taken back: what is shared among threads is collected late, and nobody's heap shows it. */
export class RelayRings {
  readonly #idle: SharedArrayBuffer[] = []
  made = 0

  get idleBytes(): number {
    return this.#idle.reduce((sum, ring) => sum + ring.byteLength, 0)
  }

  take(): SharedArrayBuffer {
    const ring = this.#idle.pop()
    if (ring === undefined) {
      this.made++
      return makeRelayRing()
    }
    new Int32Array(ring, 0, 4).fill(0)[at.asleep] = 1
    return ring
  }

  /** Neither end looks at it any more. */
  giveBack(ring: SharedArrayBuffer): void {
    if (this.#idle.length < idleRingsMax) this.#idle.push(ring)
  }
}

/** The publisher's side. Owned by a RelayedSeat. */
export class RelayWriter {
  readonly #control: Int32Array
  readonly #ring: Buffer
  readonly #wake: () => void
  /** What did not fit: bounded by what one read of the socket brings, because its owner stops reading. */
  readonly #pending: Buffer[] = []
  /** The first of #pending that still waits. Thousands of tiny messages may: each shift() would move all that follow. */
  #head = 0

  /** @param wake tells the reader, which sleeps, that there is something to read. */
  constructor(ring: SharedArrayBuffer, wake: () => void) {
    this.#control = new Int32Array(ring, 0, 4)
    this.#ring = Buffer.from(ring, controlBytes)
    this.#wake = wake
  }

  /** Something waits for room: the publisher is not to be read until `resume` has said that nothing does any more. */
  get isFull(): boolean {
    return this.#pending.length > 0
  }

  /** @returns false when not all of it fitted: the rest is kept, and follows with `resume`. */
  write(type: number, timestamp: number, body: Buffer): boolean {
    const header = Buffer.allocUnsafe(frameHeaderBytes)
    header.writeUInt32LE(type, 0)
    header.writeUInt32LE(timestamp, 4)
    header.writeUInt32LE(body.length, 8)
    this.#put(header)
    this.#put(body)
    this.#wakeReader()
    return !this.isFull
  }

  leave(how: HowLeft): void {
    this.write(leaveType, howLeft.indexOf(how), Buffer.alloc(0))
  }

  /** The reader has made room. @returns whether nothing waits any more. */
  resume(): boolean {
    for (;;) {
      const first = this.#pending[this.#head]
      if (first === undefined) {
        this.#pending.length = 0
        this.#head = 0
        break
      }
      const taken = this.#copy(first)
      if (taken === first.length) this.#head++
      else {
        this.#pending[this.#head] = first.subarray(taken)
        if (!this.#mayStillFit()) break
      }
    }
    this.#wakeReader()
    return !this.isFull
  }

  #put(bytes: Buffer): void {
    const taken = this.isFull ? 0 : this.#copy(bytes)
    if (taken === bytes.length) return
    // The body belongs to the chunk reader and is used again after the call.
    this.#pending.push(Buffer.from(bytes.subarray(taken)))
    if (this.#mayStillFit()) this.resume()
  }

  /** Asks for word of room. @returns whether there is some already, so that no word may come. */
  #mayStillFit(): boolean {
    Atomics.store(this.#control, at.waiting, 1)
    return this.#room() > 0
  }

  #room(): number {
    const used = (Atomics.load(this.#control, at.written) - Atomics.load(this.#control, at.read)) >>> 0
    return this.#ring.length - used
  }

  /** @returns how many bytes fitted. */
  #copy(bytes: Buffer): number {
    const written = Atomics.load(this.#control, at.written)
    const count = Math.min(bytes.length, this.#room())
    const from = (written >>> 0) & (this.#ring.length - 1)
    const first = Math.min(count, this.#ring.length - from)
    bytes.copy(this.#ring, from, 0, first)
    if (first < count) bytes.copy(this.#ring, 0, first, count)
    Atomics.store(this.#control, at.written, (written + count) | 0)
    return count
  }

  #wakeReader(): void {
    if (Atomics.exchange(this.#control, at.asleep, 0) === 1) this.#wake()
  }
}

/** The owner's side: hands out messages as a ChunkReader does, valid during the call. */
export class RelayReader {
  readonly #control: Int32Array
  readonly #ring: Buffer
  readonly #onMessage: (message: Message) => void
  readonly #onLeft: (how: HowLeft) => void
  readonly #giveRoom: () => void
  readonly #header = Buffer.alloc(frameHeaderBytes)
  readonly #message: Message = { chunkStreamId: 0, type: 0, timestamp: 0, messageStreamId: 0, body: Buffer.alloc(0) }
  /** Bytes of the frame under way: −1 between two frames. */
  #bodyBytes = -1
  /** A body that does not lie in the ring as one piece. */
  #gathered: Buffer | undefined
  #gatheredBytes = 0
  #left = false

  constructor(
    ring: SharedArrayBuffer,
    events: {
      readonly onMessage: (message: Message) => void
      readonly onLeft: (how: HowLeft) => void
      /** Tells the writer, which waits, that there is room. */
      readonly giveRoom: () => void
    },
  ) {
    this.#control = new Int32Array(ring, 0, 4)
    this.#ring = Buffer.from(ring, controlBytes)
    this.#onMessage = events.onMessage
    this.#onLeft = events.onLeft
    this.#giveRoom = events.giveRoom
  }

  /** Reads all that there is, and then sleeps until the writer wakes it. */
  drain(): void {
    for (;;) {
      Atomics.store(this.#control, at.asleep, 0)
      while (!this.#left && this.#readSome()) {}
      if (this.#left) return
      Atomics.store(this.#control, at.asleep, 1)
      // Written between the last look and going to sleep: nobody may have been woken.
      if (!this.#canRead() || Atomics.exchange(this.#control, at.asleep, 0) === 0) return
    }
  }

  #available(): number {
    return (Atomics.load(this.#control, at.written) - Atomics.load(this.#control, at.read)) >>> 0
  }

  /** A body that fits into the ring is waited for, so that it can be handed out where it lies. */
  #canRead(): boolean {
    const available = this.#available()
    if (this.#bodyBytes < 0) return available >= frameHeaderBytes
    if (this.#gathered !== undefined || this.#isTooLong()) return available > 0
    return available >= this.#bodyBytes
  }

  #isTooLong(): boolean {
    return this.#bodyBytes > this.#ring.length / 2
  }

  /** @returns whether it read anything. */
  #readSome(): boolean {
    if (!this.#canRead()) return false
    const position = Atomics.load(this.#control, at.read)
    const from = (position >>> 0) & (this.#ring.length - 1)
    if (this.#bodyBytes < 0) {
      this.#copyTo(this.#header, 0, from, frameHeaderBytes)
      this.#bodyBytes = this.#header.readUInt32LE(8)
      this.#advance(position, frameHeaderBytes)
      if (this.#bodyBytes === 0) this.#handOut(this.#ring.subarray(0, 0))
      return true
    }
    if (this.#gathered === undefined && !this.#isTooLong() && from + this.#bodyBytes <= this.#ring.length) {
      const bytes = this.#bodyBytes
      this.#handOut(this.#ring.subarray(from, from + bytes))
      this.#advance(position, bytes)
      return true
    }
    this.#gathered ??= Buffer.allocUnsafe(this.#bodyBytes)
    const count = Math.min(this.#available(), this.#bodyBytes - this.#gatheredBytes)
    this.#copyTo(this.#gathered, this.#gatheredBytes, from, count)
    this.#gatheredBytes += count
    this.#advance(position, count)
    if (this.#gatheredBytes === this.#bodyBytes) this.#handOut(this.#gathered)
    return true
  }

  #copyTo(target: Buffer, offset: number, from: number, count: number): void {
    const first = Math.min(count, this.#ring.length - from)
    this.#ring.copy(target, offset, from, from + first)
    if (first < count) this.#ring.copy(target, offset + first, 0, count - first)
  }

  #handOut(body: Buffer): void {
    const type = this.#header.readUInt32LE(0)
    const timestamp = this.#header.readUInt32LE(4)
    this.#bodyBytes = -1
    this.#gathered = undefined
    this.#gatheredBytes = 0
    if (type === leaveType) {
      this.#left = true
      this.#onLeft(howLeft[timestamp] ?? 'vanished')
      return
    }
    const message = this.#message
    message.type = type
    message.timestamp = timestamp
    message.body = body
    this.#onMessage(message)
  }

  #advance(position: number, count: number): void {
    Atomics.store(this.#control, at.read, (position + count) | 0)
    // A quarter of the ring at a time, or for each message there would be a wake-up.
    if (this.#available() > this.#ring.length * 0.75) return
    if (Atomics.exchange(this.#control, at.waiting, 0) === 1) this.#giveRoom()
  }
}
