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
  /** Lets the oldest slab go. */
  trimOldestSlab(): void
}

/** Slabs kept for later use when nobody needs them: 16 MiB, what 50 s of a 3 Mbit/s feed needs. */
const idleSlabsMax = 64

export class SlabPool {
  readonly #slabsMax: number
  readonly #idle: Slab[] = []
  readonly #logs = new Set<Trimmable>()
  #inUse = 0

  /** @param bytesMax memory of all logs together (BUFFER_TOTAL_MB); the longest log gives way first. */
  constructor(bytesMax: number) {
    this.#slabsMax = Math.max(4, Math.floor(bytesMax / slabBytes))
  }

  get bytesInUse(): number {
    return this.#inUse * slabBytes
  }

  register(log: Trimmable): void {
    this.#logs.add(log)
  }

  unregister(log: Trimmable): void {
    this.#logs.delete(log)
  }

  /** A slab with one reference, the caller's. */
  take(position: number, firstSequence: number): Slab {
    if (this.#inUse >= this.#slabsMax) this.#trimLongest()
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

  #trimLongest(): void {
    let longest: Trimmable | undefined
    for (const log of this.#logs) if (log.spareSlabs > (longest?.spareSlabs ?? 0)) longest = log
    longest?.trimOldestSlab()
  }
}
