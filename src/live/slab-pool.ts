/**
 * The memory of all logs of a thread: equal slabs, counted, used again only when nothing refers to them any more.
 *
 * Who refers to a slab holds a count: the log while the slab is part of it, a cursor that must finish a message whose slab
 * the log has already let go, and every unfinished write (libuv keeps pointers into what it has not sent yet: bytes
 * overwritten before the write's callback would arrive changed).
 */
export const slabBytes = 256 * 1024

export type Slab = {
  readonly bytes: Buffer
  references: number
  /** The log's byte position at which this slab begins. */
  position: number
  /** The first message that begins at or after `position`. */
  firstSequence: number
}

/** What the pool can ask of a log when all of them together have grown too large. */
export interface Trimmable {
  /** Slabs that the log could give up now. */
  readonly spareSlabs: number
  /** What it takes up: slabs, index and headers. */
  readonly bytes: number
  /** Lets the oldest slab go. */
  trimOldestSlab(): void
}

/** Slabs kept for later use when nobody needs them: 16 MiB, what 50 s of a 3 Mbit/s feed needs. */
const idleSlabsMax = 64
/**
 * Slabs that go for each one that is taken. One does, where messages have an ordinary size; of tiny ones a slab has an index of several
 * times its own size. And a slab that an output still needs frees nothing when it goes.
 */
const trimsMax = 8

export class SlabPool {
  readonly #bytesMax: number
  readonly #idle: Slab[] = []
  readonly #logs = new Set<Trimmable>()
  #inUse = 0
  #bytesBeside = 0

  /** @param bytesMax memory of all logs together (BUFFER_TOTAL_MB); the one that takes up most gives way first. */
  constructor(bytesMax: number) {
    this.#bytesMax = Math.max(4 * slabBytes, bytesMax)
  }

  /** Slabs, and what the logs have beside them. */
  get bytesInUse(): number {
    return this.#inUse * slabBytes + this.#bytesBeside
  }

  /** What is kept for later use, outside of `bytesInUse`. */
  get idleBytes(): number {
    return this.#idle.length * slabBytes
  }

  /** A log's index and headers have grown by so many bytes, or shrunk. */
  charge(bytes: number): void {
    this.#bytesBeside += bytes
  }

  register(log: Trimmable): void {
    this.#logs.add(log)
  }

  unregister(log: Trimmable): void {
    this.#logs.delete(log)
  }

  /** A slab with one reference, the caller's. */
  take(position: number, firstSequence: number): Slab {
    for (let trims = 0; trims < trimsMax && this.bytesInUse + slabBytes > this.#bytesMax; trims++)
      if (!this.#trimLargest()) break
    this.#inUse++
    const slab = this.#idle.pop() ?? {
      bytes: Buffer.allocUnsafeSlow(slabBytes),
      references: 0,
      position: 0,
      firstSequence: 0,
    }
    slab.references = 1
    slab.position = position
    slab.firstSequence = firstSequence
    return slab
  }

  release(slab: Slab): void {
    if (--slab.references > 0) return
    this.#inUse--
    if (this.#idle.length < idleSlabsMax) this.#idle.push(slab)
  }

  /** @returns whether there was one that could give something up. */
  #trimLargest(): boolean {
    let largest: Trimmable | undefined
    for (const log of this.#logs) if (log.spareSlabs > 0 && log.bytes > (largest?.bytes ?? 0)) largest = log
    largest?.trimOldestSlab()
    return largest !== undefined
  }
}
