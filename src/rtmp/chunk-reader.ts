import { type Message, messageTypes, ProtocolError } from './message.ts'

export type ChunkReaderLimits = {
  /** A longer message ends the connection. The wire allows 16,777,215. */
  readonly messageBytesMax: number
  /** Memory of all unfinished messages together. It grows with bytes received, never with lengths declared. */
  readonly partialBytesMax: number
  /** Chunk streams in use; nginx-rtmp has 32, encoders use fewer than ten. */
  readonly chunkStreamsMax: number
}

/** Before the stream key is known to be right: connect and its like have some hundred bytes. */
export const unknownPeerLimits: ChunkReaderLimits = {
  messageBytesMax: 64 * 1024,
  partialBytesMax: 256 * 1024,
  chunkStreamsMax: 64,
}

/** A publisher: a key frame of 4K at 100 Mbit/s has about 5 MB; MediaMTX allows 10 MiB, too. */
export const publisherLimits: ChunkReaderLimits = {
  messageBytesMax: 10 * 1024 * 1024,
  partialBytesMax: 20 * 1024 * 1024,
  chunkStreamsMax: 64,
}

/** RTMP 1.0, section 5.4.1: what holds until a Set Chunk Size arrives. */
const defaultChunkSize = 128
const longestMessage = 0xffffff
/**
 * Messages that are not audio, video or aggregates: nginx-rtmp takes no longer message of any kind by default, and metadata has
 * some hundred bytes.
 */
const dataBytesMax = 1024 * 1024
/** Basic header 3, message header 11, extended timestamp 4. */
const headerBytesMax = 18
/** Assembly buffers up to this size are kept for the next message of their chunk stream. */
const keptBytesMax = 1024 * 1024
const smallestBufferBytes = 4096

type ChunkStream = {
  readonly id: number
  timestamp: number
  /** What a type 3 chunk that starts a message adds. */
  delta: number
  length: number
  type: number
  messageStreamId: number
  /** The extended timestamp of the last chunk of type 0, 1 or 2; −1 when it had none. */
  extended: number
  /** Body bytes of the unfinished message that have arrived; −1 between messages. */
  received: number
  buffer: Buffer | undefined
}

/**
 * Bytes to messages. Cut at any place, interleaved in any way (RTMP 1.0, section 5.3).
 *
 *   | basic header 1 to 3 | message header 0, 3, 7 or 11 | extended timestamp 0 or 4 | up to chunk size of body |
 *
 * A message that lies whole in one chunk and one push is handed out as a view of what was pushed; others are assembled in a
 * buffer that belongs to their chunk stream and is used again. Not usable any more after it has thrown.
 */
export class ChunkReader {
  limits: ChunkReaderLimits
  /** Chunks begun so far: what a peer costs, whatever their size. */
  chunks = 0
  #chunkSize = defaultChunkSize
  readonly #low: (ChunkStream | undefined)[] = new Array(64)
  readonly #high = new Map<number, ChunkStream>()
  #streamCount = 0
  #bufferBytes = 0

  /** The chunk whose body is being read. */
  #stream: ChunkStream | undefined
  #chunkLeft = 0
  /** The beginning of a header that is not all there yet. */
  readonly #stash = Buffer.alloc(headerBytesMax)
  #stashed = 0
  /** Stashed bytes that are not of the header after all. */
  #givenBack: Buffer | undefined

  readonly #message: Message = { chunkStreamId: 0, type: 0, timestamp: 0, messageStreamId: 0, body: Buffer.alloc(0) }

  constructor(limits: ChunkReaderLimits) {
    this.limits = limits
  }

  /** The peer's chunk size, as announced. */
  get chunkSize(): number {
    return this.#chunkSize
  }

  /**
   * @param onMessage called for each message that is complete, including Set Chunk Size and Abort, which are carried out here.
   * @throws ProtocolError when the peer breaks the protocol or a limit, and whatever onMessage throws.
   */
  push(bytes: Buffer, onMessage: (message: Message) => void): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#stream === undefined) {
        at = this.#readHeader(bytes, at)
        const begun = this.#stream as ChunkStream | undefined
        if (begun === undefined) return
        if (begun.length === 0) this.#deliver(begun, emptyBody, onMessage)
        const givenBack = this.#givenBack
        this.#givenBack = undefined
        if (givenBack !== undefined) this.push(givenBack, onMessage)
        continue
      }
      at = this.#readBody(this.#stream, bytes, at, onMessage)
    }
  }

  #readHeader(bytes: Buffer, start: number): number {
    if (this.#stashed === 0) {
      const used = this.#parseHeader(bytes, start, bytes.length)
      if (used >= 0) return start + used
      bytes.copy(this.#stash, 0, start)
      this.#stashed = bytes.length - start
      return bytes.length
    }
    const before = this.#stashed
    const added = bytes.copy(this.#stash, before, start, start + headerBytesMax - before)
    const used = this.#parseHeader(this.#stash, 0, before + added)
    if (used < 0) {
      this.#stashed = before + added
      return start + added
    }
    this.#stashed = 0
    if (used >= before) return start + used - before
    // Bytes that might have been the beginning of an extended timestamp (fewer than four) turned out to be body.
    this.#givenBack = Buffer.from(this.#stash.subarray(used, before))
    return start
  }

  /** @returns the header's length, or −1 when bytes are missing. Sets #stream and #chunkLeft. */
  #parseHeader(bytes: Buffer, start: number, end: number): number {
    let at = start
    const first = bytes[at++]!
    const fmt = first >> 6
    let id = first & 0x3f
    if (id === 0) {
      if (end - at < 1) return -1
      id = 64 + bytes[at++]!
    } else if (id === 1) {
      if (end - at < 2) return -1
      // Little-endian: the third byte counts 256 (section 5.3.1.1).
      id = 64 + bytes[at]! + bytes[at + 1]! * 256
      at += 2
    }
    const stream = this.#streamOf(id)
    if (fmt === 3) {
      if (stream.extended >= 0) {
        const present = repeatsExtended(bytes, at, end, stream.extended)
        if (present === undefined) return -1
        if (present) at += 4
      }
      if (stream.received < 0) this.#begin(stream, (stream.timestamp + stream.delta) >>> 0)
      this.#open(stream)
      return at - start
    }
    const fixed = fmt === 0 ? 11 : fmt === 1 ? 7 : 3
    if (end - at < fixed) return -1
    let time = bytes.readUIntBE(at, 3)
    const isExtended = time === 0xffffff
    if (isExtended) {
      if (end - at < fixed + 4) return -1
      time = bytes.readUInt32BE(at + fixed)
    }
    if (fmt <= 1) {
      stream.length = bytes.readUIntBE(at + 3, 3)
      stream.type = bytes[at + 6]!
      if (fmt === 0) stream.messageStreamId = bytes.readUInt32LE(at + 7)
    }
    stream.extended = isExtended ? time : -1
    stream.delta = time
    // What was unfinished on this chunk stream is dropped: a new header says that something else begins.
    this.#begin(stream, fmt === 0 ? time : (stream.timestamp + time) >>> 0)
    this.#open(stream)
    return at + fixed + (isExtended ? 4 : 0) - start
  }

  #begin(stream: ChunkStream, timestamp: number): void {
    if (stream.length > this.limits.messageBytesMax || (stream.length > dataBytesMax && !isBulk(stream.type)))
      throw new ProtocolError('a message is too long')
    stream.timestamp = timestamp
    stream.received = 0
  }

  #open(stream: ChunkStream): void {
    this.chunks++
    this.#stream = stream
    this.#chunkLeft = Math.min(this.#chunkSize, stream.length - stream.received)
  }

  #readBody(stream: ChunkStream, bytes: Buffer, start: number, onMessage: (message: Message) => void): number {
    const count = Math.min(this.#chunkLeft, bytes.length - start)
    const end = start + count
    if (stream.received === 0 && count === stream.length) {
      this.#deliver(stream, bytes.subarray(start, end), onMessage)
      return end
    }
    this.#store(stream, bytes, start, end)
    this.#chunkLeft -= count
    if (this.#chunkLeft > 0) return end
    if (stream.received === stream.length) this.#deliver(stream, stream.buffer!.subarray(0, stream.length), onMessage)
    else this.#stream = undefined
    return end
  }

  #store(stream: ChunkStream, bytes: Buffer, start: number, end: number): void {
    const needed = stream.received + end - start
    let { buffer } = stream
    if (buffer === undefined || buffer.length < needed) {
      const room = Math.max(needed, Math.min(stream.length, Math.max(smallestBufferBytes, (buffer?.length ?? 0) * 2)))
      this.#bufferBytes += room - (buffer?.length ?? 0)
      if (this.#bufferBytes > this.limits.partialBytesMax) this.#releaseIdle()
      const larger = Buffer.allocUnsafeSlow(room)
      if (buffer !== undefined) buffer.copy(larger, 0, 0, stream.received)
      stream.buffer = larger
      buffer = larger
    }
    bytes.copy(buffer, stream.received, start, end)
    stream.received = needed
  }

  #deliver(stream: ChunkStream, body: Buffer, onMessage: (message: Message) => void): void {
    stream.received = -1
    this.#stream = undefined
    const message = this.#message
    message.chunkStreamId = stream.id
    message.type = stream.type
    message.timestamp = stream.timestamp
    message.messageStreamId = stream.messageStreamId
    message.body = body
    if (stream.type === messageTypes.setChunkSize) this.#setChunkSize(body)
    else if (stream.type === messageTypes.abort) this.#abort(body)
    onMessage(message)
    if (stream.buffer !== undefined && stream.buffer.length > keptBytesMax) this.#release(stream)
  }

  #setChunkSize(body: Buffer): void {
    if (body.length < 4) throw new ProtocolError('a Set Chunk Size is too short')
    // The highest bit must be 0 and is not always.
    const size = body.readUInt32BE(0) & 0x7fffffff
    if (size === 0) throw new ProtocolError('the chunk size is 0')
    this.#chunkSize = Math.min(size, longestMessage)
  }

  #abort(body: Buffer): void {
    if (body.length < 4) return
    const id = body.readUInt32BE(0)
    const stream = id < 64 ? this.#low[id] : this.#high.get(id)
    if (stream !== undefined) stream.received = -1
  }

  #streamOf(id: number): ChunkStream {
    const known = id < 64 ? this.#low[id] : this.#high.get(id)
    if (known !== undefined) return known
    if (this.#streamCount >= this.limits.chunkStreamsMax) throw new ProtocolError('too many chunk streams')
    this.#streamCount++
    // A first chunk without a full header (OBS answers pings so) counts from zeros.
    const stream: ChunkStream = {
      id,
      timestamp: 0,
      delta: 0,
      length: 0,
      type: 0,
      messageStreamId: 0,
      extended: -1,
      received: -1,
      buffer: undefined,
    }
    if (id < 64) this.#low[id] = stream
    else this.#high.set(id, stream)
    return stream
  }

  #release(stream: ChunkStream): void {
    this.#bufferBytes -= stream.buffer?.length ?? 0
    stream.buffer = undefined
  }

  #releaseIdle(): void {
    for (const stream of [...this.#low, ...this.#high.values()])
      if (stream !== undefined && stream.received < 0) this.#release(stream)
    if (this.#bufferBytes > this.limits.partialBytesMax) throw new ProtocolError('too many unfinished messages')
  }
}

const emptyBody = Buffer.alloc(0)

function isBulk(type: number): boolean {
  return type === messageTypes.video || type === messageTypes.audio || type === messageTypes.aggregate
}

/**
 * Whether a chunk of type 3 repeats the extended timestamp. The specification says that it must (2012) and that it must not
 * (2009); older OBS and librtmp leave it out, all others repeat it. So the four bytes are compared with the value. Undefined: not
 * enough bytes to tell.
 */
function repeatsExtended(bytes: Buffer, at: number, end: number, value: number): boolean | undefined {
  for (let index = 0; index < 4; index++) {
    if (at + index >= end) return undefined
    if (bytes[at + index] !== ((value >>> (24 - index * 8)) & 0xff)) return false
  }
  return true
}
