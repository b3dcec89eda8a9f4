import type { MediaHeader, MediaHeaders } from './media-headers.ts'
import { type Slab, type SlabPool, slabBytes, type Trimmable } from './slab-pool.ts'

/** Body bytes per chunk, the size that OBS uses with every destination; announced to each of them. */
export const chunkBytes = 4096
/** Basic header (1), timestamp delta (3), message length (3), message type (1): a chunk header of type 1. */
export const sharedHeaderBytes = 8

/**
 * A lane is a chunk stream of the log: one for video, audio and data, one for each extra track. Chunk stream ids stay below
 * 32, because nginx-rtmp cuts a client that uses more.
 */
export const lanes = { video: 0, audio: 1, data: 2, firstExtra: 3 } as const
const chunkStreamOfLane: readonly number[] = [6, 4, 5, ...Array.from({ length: 24 }, (_, index) => 8 + index)]
export const laneCountMax = chunkStreamOfLane.length

export function chunkStreamOf(lane: number): number {
  return chunkStreamOfLane[lane]!
}

/** What a cursor must know of a message. Bits, because there are many. */
export const messageFlags = {
  video: 1,
  /** A frame at which a decoder can start. */
  key: 2,
  /** A sequence header or its like: sent to everyone, never skipped. */
  header: 4,
  /** The shared header cannot be used: the delta does not fit, or there is no predecessor on the lane. */
  solo: 8,
  /** Data that only its own kind of destination understands: left out for all others. */
  special: 16,
} as const

/**
 * What a message costs besides its bytes, so that a flood of tiny ones does not get around `bytesMax`: its entry in the index (27
 * bytes, twice while the ring is half full) and in the list of key frames; and, when it changes the headers, a list of up to 33
 * of them, with an object and a buffer for the new one.
 */
const entryBytes = 64
const headerChangeBytes = 768
/** An entry of the index as it is: three numbers of eight bytes, three of one, and one more of eight for a key frame. */
const indexEntryBytes = 35
const smallestIndex = 256

/** A delta of 0xFFFFFF or more would need an extended timestamp, which the shared bytes never have. */
const sharedDeltaMax = 0xfffffe

export type MediaLogLimits = {
  /** Media time that is kept, milliseconds (BUFFER_MS). */
  readonly durationMsMax: number
  /** Memory that is kept, bytes (BUFFER_MB); the index counts, too. */
  readonly bytesMax: number
}

/** Bytes of a log, in one slab. */
export type Slice = { readonly bytes: Buffer; readonly slab: Slab }

/** A cursor, as the log sees it. */
export interface LogReader {
  /** Messages before `sequence` are about to go. */
  overtakenBy(sequence: number): void
}

/**
 * A broadcast's messages, once, as the chunks that go out: a byte stream over slabs, and an index of where each message begins.
 *
 *   position   0          8                          8 + 4096        … + 1
 *              +----------+--------------------------+----+-----------------------+----
 *              | header   | body, first 4096 bytes   | C3 | body, next 4096 bytes | …
 *              | (type 1) |                          |    |                       |
 *              +----------+--------------------------+----+-----------------------+----
 *
 * The header carries the *difference* to the predecessor on the same chunk stream, so the same bytes serve every output,
 * whatever the time at which it joined. Owned by a Broadcast; open until `close()`. Everything is synchronous.
 */
export class MediaLog implements Trimmable {
  readonly #pool: SlabPool
  readonly #limits: MediaLogLimits
  readonly #readers = new Set<LogReader>()
  readonly #slabs: Slab[] = []
  #end = 0
  /** Where the message begins that comes next, or is being written. */
  #nextPosition = 0

  // The index: a ring, entry of sequence s at s & mask.
  #capacity = smallestIndex
  #positions = new Float64Array(this.#capacity)
  #timestamps = new Float64Array(this.#capacity)
  #predecessors = new Float64Array(this.#capacity)
  #lanes = new Uint8Array(this.#capacity)
  #flags = new Uint8Array(this.#capacity)
  #types = new Uint8Array(this.#capacity)
  #firstSequence = 0
  #nextSequence = 0
  /** Key frames in the log, oldest first. */
  readonly #keys: number[] = []
  /** The headers in force from a sequence on, oldest first; the first one is in force at the first message. */
  readonly #headerChanges: { sequence: number; headers: MediaHeaders; bytes: number }[] = []
  /** Bodies of the headers in #headerChanges, and what else each change costs. */
  #headerBytes = 0
  #newestTimestamp = 0

  /** Newest sequence and timestamp of each lane; −1 and NaN before the first. */
  readonly newestOnLane = new Float64Array(laneCountMax).fill(-1)
  readonly #newestTimestampOnLane = new Float64Array(laneCountMax).fill(Number.NaN)
  /** The newest message that cursors have to look at one by one. */
  newestSolo = -1
  /** Bit per lane that has had a message. */
  lanesUsed = 0
  /** Bytes that were copied into the log: each body byte once, whatever the number of outputs. */
  bytesAppended = 0

  constructor(pool: SlabPool, limits: MediaLogLimits) {
    this.#pool = pool
    this.#limits = limits
    pool.register(this)
    pool.charge(this.#capacity * indexEntryBytes)
  }

  get firstSequence(): number {
    return this.#firstSequence
  }
  /** The sequence that the next message will have. */
  get nextSequence(): number {
    return this.#nextSequence
  }
  /** The byte position after the last message. */
  get end(): number {
    return this.#end
  }
  /** Milliseconds on the broadcast's clock; 0 in an empty log. */
  get newestTimestamp(): number {
    return this.#newestTimestamp
  }
  get newestKey(): number | undefined {
    return this.#keys.at(-1)
  }
  /** Memory: slabs, index and headers. */
  get bytes(): number {
    const entries = this.#nextSequence - this.#firstSequence
    return this.#slabs.length * slabBytes + entries * entryBytes + this.#headerBytes
  }

  positionOf(sequence: number): number {
    return sequence === this.#nextSequence ? this.#nextPosition : this.#positions[sequence & (this.#capacity - 1)]!
  }
  /** Where the message after `sequence` begins. */
  endOf(sequence: number): number {
    return this.positionOf(sequence + 1)
  }
  timestampOf(sequence: number): number {
    return this.#timestamps[sequence & (this.#capacity - 1)]!
  }
  /** Timestamp of the message before it on the same lane: what the shared delta counts from. NaN for the first. */
  predecessorOf(sequence: number): number {
    return this.#predecessors[sequence & (this.#capacity - 1)]!
  }
  laneOf(sequence: number): number {
    return this.#lanes[sequence & (this.#capacity - 1)]!
  }
  flagsOf(sequence: number): number {
    return this.#flags[sequence & (this.#capacity - 1)]!
  }
  typeOf(sequence: number): number {
    return this.#types[sequence & (this.#capacity - 1)]!
  }
  bodyBytesOf(sequence: number): number {
    const stored = this.endOf(sequence) - this.positionOf(sequence) - sharedHeaderBytes
    return stored - Math.floor(stored / (chunkBytes + 1))
  }

  /** The message that holds the byte at `position`; the next one when `position` is the end. Binary search. */
  sequenceAt(position: number): number {
    let low = this.#firstSequence
    let high = this.#nextSequence
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.positionOf(middle) <= position) low = middle
      else high = middle - 1
    }
    return low
  }

  /**
   * From a position on, whoever is in step on these lanes can have the log's bytes as they are: no message ahead is on another lane, or needs a
   * header of its own.
   * @param inStep bit per lane.
   */
  isInStepFrom(position: number, inStep: number): boolean {
    let outOfStep = this.lanesUsed & ~inStep
    if (outOfStep === 0 && this.newestSolo < this.#firstSequence) return true
    const sequence = this.sequenceAt(position)
    if (this.newestSolo >= sequence) return false
    for (let lane = 0; outOfStep !== 0; lane++, outOfStep >>>= 1)
      if ((outOfStep & 1) !== 0 && this.newestOnLane[lane]! >= sequence) return false
    return true
  }

  /** The newest key frame after `sequence`. */
  newestKeyAfter(sequence: number): number | undefined {
    const newest = this.#keys.at(-1)
    return newest !== undefined && newest > sequence ? newest : undefined
  }

  /** The newest key frame at or before a time. */
  newestKeyUntil(timestamp: number): number | undefined {
    return this.#keys.findLast((sequence) => this.timestampOf(sequence) <= timestamp)
  }

  /** The oldest key frame at or after a time. */
  oldestKeySince(timestamp: number): number | undefined {
    return this.#keys.find((sequence) => this.timestampOf(sequence) >= timestamp)
  }

  /** The oldest message of a lane at or after a time. */
  oldestOnLaneSince(lane: number, timestamp: number): number | undefined {
    for (let sequence = this.#firstSequence; sequence < this.#nextSequence; sequence++)
      if (this.laneOf(sequence) === lane && this.timestampOf(sequence) >= timestamp) return sequence
    return undefined
  }

  /** Nobody starts at the key frames so far any more: what follows has another codec. */
  forgetKeys(): void {
    this.#keys.length = 0
  }

  headersAt(sequence: number): MediaHeaders {
    const changes = this.#headerChanges
    let low = 0
    let high = changes.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (changes[middle]!.sequence <= sequence) low = middle
      else high = middle - 1
    }
    return changes[low]?.headers ?? []
  }

  /** The lane's header that is in force at a message. */
  headersOfLaneAt(lane: number, sequence: number): MediaHeader[] {
    return this.headersAt(sequence).filter((header) => header.lane === lane)
  }

  join(reader: LogReader): void {
    this.#readers.add(reader)
  }

  leave(reader: LogReader): void {
    this.#readers.delete(reader)
  }

  /**
   * Adds a message. The body is copied, once.
   *
   * @param timestamp milliseconds on the broadcast's clock; not before the lane's previous message (it is raised to it).
   * @param headers the headers in force from this message on, when it changes them.
   * @returns the message's sequence.
   */
  append(lane: number, type: number, timestamp: number, flags: number, body: Buffer, headers?: MediaHeaders): number {
    const sequence = this.#nextSequence
    if (sequence - this.#firstSequence === this.#capacity) this.#resizeIndex(this.#capacity * 2)
    const predecessor = this.#newestTimestampOnLane[lane]!
    const isEarlier = timestamp < predecessor // false for the first of a lane, whose predecessor is NaN
    const time = isEarlier ? predecessor : timestamp
    let delta = time - predecessor
    // NaN fails the comparison, too: the first message of a lane has nothing to count from.
    if (!(delta <= sharedDeltaMax)) {
      delta = 0
      flags |= messageFlags.solo
    }
    if ((flags & (messageFlags.solo | messageFlags.special)) !== 0) this.newestSolo = sequence
    const entry = sequence & (this.#capacity - 1)
    this.#positions[entry] = this.#end
    this.#timestamps[entry] = time
    this.#predecessors[entry] = predecessor
    this.#lanes[entry] = lane
    this.#flags[entry] = flags
    this.#types[entry] = type
    this.newestOnLane[lane] = sequence
    this.lanesUsed |= 1 << lane
    this.#newestTimestampOnLane[lane] = time
    if (time > this.#newestTimestamp || sequence === this.#firstSequence) this.#newestTimestamp = time
    if (flags & messageFlags.key) this.#keys.push(sequence)
    if (headers) {
      // The bytes of this message stand for the new header's: it was the one that changed.
      const bytes = headerChangeBytes + body.length
      this.#headerChanges.push({ sequence, headers, bytes })
      this.#addHeaderBytes(bytes)
    }

    this.#writeHeader(sequence, chunkStreamOf(lane), delta, body.length, type)
    this.#writeBody(sequence, chunkStreamOf(lane), body)
    this.#nextSequence = sequence + 1
    this.#nextPosition = this.#end
    this.bytesAppended += body.length
    this.#trim()
    return sequence
  }

  /**
   * The bytes from `position` on that lie in one slab, up to `limit` bytes and not beyond `until`. The slice is shared by all
   * who ask for the same one in a row, so that fifty outputs at the edge cost one object.
   */
  slice(position: number, until: number, limit: number): Slice {
    if (position === this.#sliceAt && until === this.#sliceUntil && limit === this.#sliceLimit) return this.#slice!
    const slab = this.slabAt(position)
    const from = position - slab.position
    const to = Math.min(slabBytes, until - slab.position, from + limit)
    this.#sliceAt = position
    this.#sliceUntil = until
    this.#sliceLimit = limit
    this.#slice = { bytes: slab.bytes.subarray(from, to), slab }
    return this.#slice
  }
  #slice: Slice | undefined
  #sliceAt = -1
  #sliceUntil = 0
  #sliceLimit = 0

  slabAt(position: number): Slab {
    return this.#slabs[Math.floor((position - this.#slabs[0]!.position) / slabBytes)]!
  }

  /** A message's body without the chunk headers between: a copy, for what cannot use the shared bytes. */
  copyBody(sequence: number): Buffer {
    const body = Buffer.allocUnsafe(this.bodyBytesOf(sequence))
    let position = this.positionOf(sequence) + sharedHeaderBytes
    let written = 0
    while (written < body.length) {
      const inChunk = Math.min(chunkBytes, body.length - written)
      const chunkEnd = position + inChunk
      while (position < chunkEnd) {
        const slab = this.slabAt(position)
        const from = position - slab.position
        const count = Math.min(slabBytes - from, chunkEnd - position)
        slab.bytes.copy(body, written, from, from + count)
        written += count
        position += count
      }
      position += 1
    }
    return body
  }

  get spareSlabs(): number {
    const next = this.#slabs[1]
    // A slab in which the message that is being written begins cannot go, however large that message is.
    return next === undefined || next.firstSequence > this.#nextSequence ? 0 : this.#slabs.length - 1
  }

  trimOldestSlab(): void {
    if (this.spareSlabs === 0) return
    const first = this.#slabs[1]!.firstSequence
    for (const reader of this.#readers) reader.overtakenBy(first)
    this.#firstSequence = first
    // In one cut each: a slab may hold ten thousand tiny key frames, and each shift() moves all that follow.
    const gone = countWhile(this.#keys, (sequence) => sequence < first)
    this.#keys.splice(0, gone)
    const later = countWhile(this.#headerChanges, ({ sequence }) => sequence <= first)
    for (const { bytes } of this.#headerChanges.splice(0, Math.max(0, later - 1))) this.#addHeaderBytes(-bytes)
    // After a flood of tiny messages its index would stay for hours.
    let capacity = this.#capacity
    while (capacity > smallestIndex && (this.#nextSequence - first) * 4 < capacity) capacity /= 2
    if (capacity < this.#capacity) this.#resizeIndex(capacity)
    const oldest = this.#slabs.shift()!
    this.#pool.release(oldest)
  }

  /** Lets everything go. Cursors must have left. */
  close(): void {
    this.#pool.unregister(this)
    this.#pool.charge(-this.#capacity * indexEntryBytes)
    this.#addHeaderBytes(-this.#headerBytes)
    this.#slice = undefined
    this.#sliceAt = -1
    for (const slab of this.#slabs.splice(0)) this.#pool.release(slab)
  }

  #writeHeader(sequence: number, chunkStream: number, delta: number, length: number, type: number): void {
    let slab = this.#slabs[this.#slabs.length - 1]
    if (slab === undefined || slab.position + slabBytes === this.#end) slab = this.#addSlab(sequence)
    const offset = this.#end - slab.position
    if (offset + sharedHeaderBytes <= slabBytes) {
      this.#encodeHeader(slab.bytes, offset, chunkStream, delta, length, type)
    } else {
      // Across two slabs: written aside, then copied in two parts. Happens once in 256 KiB at most.
      const header = Buffer.alloc(sharedHeaderBytes)
      this.#encodeHeader(header, 0, chunkStream, delta, length, type)
      const first = slabBytes - offset
      header.copy(slab.bytes, offset, 0, first)
      const next = this.#addSlab(sequence + 1)
      header.copy(next.bytes, 0, first)
    }
    this.#end += sharedHeaderBytes
  }

  #encodeHeader(target: Buffer, offset: number, chunkStream: number, delta: number, length: number, type: number) {
    target[offset] = 0x40 | chunkStream
    target[offset + 1] = delta >>> 16
    target[offset + 2] = delta >>> 8
    target[offset + 3] = delta
    target[offset + 4] = length >>> 16
    target[offset + 5] = length >>> 8
    target[offset + 6] = length
    target[offset + 7] = type
  }

  #writeBody(sequence: number, chunkStream: number, body: Buffer): void {
    let read = 0
    while (read < body.length) {
      if (read > 0) {
        const slab = this.#room(sequence)
        slab.bytes[this.#end - slab.position] = 0xc0 | chunkStream
        this.#end++
      }
      const chunkEnd = Math.min(read + chunkBytes, body.length)
      while (read < chunkEnd) {
        const slab = this.#room(sequence)
        const offset = this.#end - slab.position
        const count = Math.min(slabBytes - offset, chunkEnd - read)
        body.copy(slab.bytes, offset, read, read + count)
        read += count
        this.#end += count
      }
    }
  }

  /** The slab with room for the next byte of a message that has begun. */
  #room(sequence: number): Slab {
    const slab = this.#slabs[this.#slabs.length - 1]!
    return slab.position + slabBytes === this.#end ? this.#addSlab(sequence + 1) : slab
  }

  #addSlab(firstSequence: number): Slab {
    const last = this.#slabs.at(-1)
    const slab = this.#pool.take(last === undefined ? this.#end : last.position + slabBytes, firstSequence)
    this.#slabs.push(slab)
    return slab
  }

  /** A slab goes when what remains still holds the wanted media time, or when the memory is used up. */
  #trim(): void {
    for (;;) {
      const next = this.#slabs[1]
      if (next === undefined || next.firstSequence >= this.#nextSequence) return
      const tooLong = this.#newestTimestamp - this.timestampOf(next.firstSequence) >= this.#limits.durationMsMax
      const tooLarge = this.bytes > this.#limits.bytesMax
      if (!tooLong && !tooLarge) return
      this.trimOldestSlab()
    }
  }

  #addHeaderBytes(bytes: number): void {
    this.#headerBytes += bytes
    this.#pool.charge(bytes)
  }

  /** @param capacity a power of two with room for all entries. */
  #resizeIndex(capacity: number): void {
    const before = this.#capacity
    const move = <T extends Float64Array | Uint8Array>(old: T, fresh: T): T => {
      // The one that is being written counts, too: a slab for it may have cost an old one, and that a smaller index.
      for (let sequence = this.#firstSequence; sequence <= this.#nextSequence; sequence++)
        fresh[sequence & (capacity - 1)] = old[sequence & (before - 1)]!
      return fresh
    }
    this.#positions = move(this.#positions, new Float64Array(capacity))
    this.#timestamps = move(this.#timestamps, new Float64Array(capacity))
    this.#predecessors = move(this.#predecessors, new Float64Array(capacity))
    this.#lanes = move(this.#lanes, new Uint8Array(capacity))
    this.#flags = move(this.#flags, new Uint8Array(capacity))
    this.#types = move(this.#types, new Uint8Array(capacity))
    this.#capacity = capacity
    this.#pool.charge((capacity - before) * indexEntryBytes)
  }
}

/** How many items at the start fit. */
function countWhile<Item>(items: readonly Item[], fits: (item: Item) => boolean): number {
  const end = items.findIndex((item) => !fits(item))
  return end < 0 ? items.length : end
}
