/**
 * RTMP chunks (RTMP 1.0, section 5.3) for the test peers: a reader that is strict and keeps a list of what real servers
 * refuse, and a writer that can imitate the manners of different encoders. No code of the product is used here.
 *
 *   basic header    fmt(2) csid(6)   [csid − 64, one byte, when 0]   [csid − 64, two bytes little-endian, when 1]
 *   message header  fmt 0: time(3) length(3) type(1) message stream(4, little-endian)
 *                   fmt 1: delta(3) length(3) type(1)      fmt 2: delta(3)      fmt 3: nothing
 *   extended time   4 bytes when the 3-byte field is 0xFFFFFF; again in each type 3 chunk after such a header
 */
export type WireMessage = {
  readonly chunkStreamId: number
  readonly type: number
  /** Unsigned 32 bits, milliseconds. */
  readonly timestamp: number
  readonly messageStreamId: number
  /** Length of the whole body, of which `body` may be but the start. */
  readonly length: number
  readonly body: Buffer
}

export const wireTypes = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAcknowledgementSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  data: 18,
  data3: 15,
  command: 20,
  command3: 17,
} as const

/** What is kept of the body of an audio or video message that is not wanted whole: the synthetic source's stamp fits. */
export const prefixBytes = 64
const longestHeaderBytes = 3 + 11 + 4
/** nginx-rtmp's `max_streams`: it closes at a chunk stream id of 32 or more. */
const chunkStreamIdEnd = 32
/** Known to be taken by every server (nginx-rtmp and MediaMTX refuse above 10 MiB; more than 65,536 helps nobody). */
const chunkSizeAcceptedMax = 65_536

type ReadingStream = {
  timestamp: number
  delta: number
  length: number
  type: number
  messageStreamId: number
  extended: boolean
  /** Was the last header of type 0? Peers disagree on what a type 3 that starts a message means then. */
  afterFull: boolean
  /** The 3-byte or extended field of the last header of type 0, 1 or 2, which a type 3 repeats. */
  field: number
  body: Buffer | undefined
  received: number
}

export type ChunkReaderOptions = {
  readonly onMessage: (message: WireMessage) => void
  /** Audio and video bodies: whole, or only their first 64 bytes (cheap: nothing else is copied). */
  readonly mediaBodies: 'whole' | 'prefix'
  /** Called with what a real server would not take, or what is not RTMP at all. The first 100 are told. */
  readonly onViolation?: (violation: string) => void
}

/** One direction of one connection, after the handshake. `message.body` may be kept by who receives it. */
export class WireReader {
  chunkSize = 128
  readonly #options: ChunkReaderOptions
  readonly #streams = new Map<number, ReadingStream>()
  /** The start of a header that the last bytes ended in. */
  #rest: Buffer = Buffer.alloc(0)
  #current: ReadingStream | undefined
  #currentId = 0
  #leftInChunk = 0
  #violations = 0

  constructor(options: ChunkReaderOptions) {
    this.#options = options
  }

  push(data: Buffer): void {
    let at = 0
    while (at < data.length) {
      if (this.#leftInChunk > 0) {
        at = this.#takeBody(data, at)
        continue
      }
      if (this.#rest.length === 0) {
        const used = this.#takeHeader(data, at)
        if (used === 0) {
          this.#rest = Buffer.from(data.subarray(at))
          return
        }
        at += used
        continue
      }
      const joined = Buffer.concat([this.#rest, data.subarray(at, at + longestHeaderBytes)])
      const used = this.#takeHeader(joined, 0)
      if (used === 0) {
        this.#rest = joined
        return
      }
      at += used - this.#rest.length
      this.#rest = Buffer.alloc(0)
    }
  }

  /** Reads one chunk header; 0 when it is not complete yet. */
  #takeHeader(data: Buffer, start: number): number {
    const available = data.length - start
    const first = data[start]!
    const format = first >> 6
    let id = first & 0x3f
    let at = start + 1
    if (id === 0) {
      if (available < 2) return 0
      id = 64 + data[at]!
      at += 1
    } else if (id === 1) {
      if (available < 3) return 0
      id = 64 + data.readUInt16LE(at)
      at += 2
    }
    const fieldBytes = [11, 7, 3, 0][format]!
    if (available < at - start + fieldBytes) return 0

    const stream = this.#streams.get(id) ?? newReadingStream()
    const starts = stream.received === 0
    const field = format === 3 ? stream.field : data.readUIntBE(at, 3)
    const extended = format === 3 ? stream.extended : field === 0xffffff
    let time = field
    if (extended) {
      if (available < at - start + fieldBytes + 4) return 0
      time = data.readUInt32BE(at + fieldBytes)
      if (format === 3 && time !== stream.field) this.#violation(`type 3 chunk on ${id} lacks the extended timestamp`)
    }
    if (!this.#streams.has(id)) {
      if (format !== 0) this.#violation(`chunk stream ${id} begins with a type ${format} header`)
      if (id >= chunkStreamIdEnd) this.#violation(`chunk stream id ${id}: nginx-rtmp takes at most 31`)
      this.#streams.set(id, stream)
    }
    if (!starts && format !== 3) {
      this.#violation(`type ${format} header inside an unfinished message on chunk stream ${id}`)
      stream.received = 0
      stream.body = undefined
    }

    if (format < 2) {
      stream.length = data.readUIntBE(at + 3, 3)
      stream.type = data[at + 6]!
    }
    if (format === 0) stream.messageStreamId = data.readUInt32LE(at + 7)
    if (format < 3) {
      stream.field = time
      stream.extended = extended
    }
    if (format === 0) {
      stream.timestamp = time
      // A type 3 that starts the next message repeats the timestamp of a type 0 as its delta (section 5.3.1.2.4).
      stream.delta = time
    } else if (format < 3) {
      if (extended) this.#violation(`timestamp delta of ${time} on chunk stream ${id} needs the extended form`)
      stream.delta = time
      stream.timestamp = (stream.timestamp + time) >>> 0
    } else if (starts) {
      if (stream.afterFull && stream.delta !== 0) {
        this.#violation(
          `type 3 header starts a message after a type 0 with time ${stream.delta} on ${id}: peers disagree`,
        )
      }
      stream.timestamp = (stream.timestamp + stream.delta) >>> 0
    }
    if (format < 3) stream.afterFull = format === 0
    else if (starts) stream.afterFull = false

    this.#current = stream
    this.#currentId = id
    this.#leftInChunk = Math.min(this.chunkSize, stream.length - stream.received)
    if (this.#leftInChunk === 0) this.#finish(stream, Buffer.alloc(0))
    return at - start + fieldBytes + (extended ? 4 : 0)
  }

  #takeBody(data: Buffer, at: number): number {
    const stream = this.#current!
    const count = Math.min(this.#leftInChunk, data.length - at)
    if (!stream.body) {
      const isMedia = stream.type === wireTypes.audio || stream.type === wireTypes.video
      const wanted =
        isMedia && this.#options.mediaBodies === 'prefix' ? Math.min(prefixBytes, stream.length) : stream.length
      stream.body = Buffer.allocUnsafe(wanted)
    }
    if (stream.received < stream.body.length) data.copy(stream.body, stream.received, at, at + count)
    stream.received += count
    this.#leftInChunk -= count
    if (stream.received === stream.length) this.#finish(stream, stream.body)
    return at + count
  }

  #finish(stream: ReadingStream, body: Buffer): void {
    stream.received = 0
    stream.body = undefined
    const { timestamp, type, length, messageStreamId } = stream
    if (type === wireTypes.setChunkSize) {
      const size = body.readUInt32BE(0) & 0x7fffffff
      if (size === 0) throw new Error('peer set a chunk size of 0')
      if (size > chunkSizeAcceptedMax) this.#violation(`chunk size ${size}`)
      this.chunkSize = size
    }
    if (type === wireTypes.abort) {
      this.#violation('an abort message: FFmpeg and GStreamer do not know it')
      const aborted = this.#streams.get(body.readUInt32BE(0))
      if (aborted) {
        aborted.received = 0
        aborted.body = undefined
      }
    }
    this.#options.onMessage({ chunkStreamId: this.#currentId, type, timestamp, messageStreamId, length, body })
  }

  #violation(text: string): void {
    if (++this.#violations <= 100) this.#options.onViolation?.(text)
  }
}

function newReadingStream(): ReadingStream {
  return {
    timestamp: 0,
    delta: 0,
    length: 0,
    type: 0,
    messageStreamId: 0,
    extended: false,
    afterFull: false,
    field: 0,
    body: undefined,
    received: 0,
  }
}

export type OutgoingMessage = {
  readonly chunkStreamId: number
  readonly type: number
  readonly timestamp: number
  readonly messageStreamId: number
  readonly body: Buffer
}

export type WireWriterOptions = {
  /**
   * `compressed`: the shortest header, as librtmp and FFmpeg choose it; a timestamp that goes back becomes a delta modulo
   * 2^32 with an extended field, as OBS writes it. `full`: every message has a type 0 header.
   */
  readonly headers?: 'compressed' | 'full'
  /** Repeat the extended timestamp in continuation chunks (the specification; OBS before 2024 did not). Default true. */
  readonly repeatExtended?: boolean
  /** Write chunk stream ids of 64 to 319 in the 3-byte form (as legal as the 2-byte form). */
  readonly longIds?: boolean
}

type WritingStream = {
  timestamp: number
  delta: number
  length: number
  type: number
  messageStreamId: number
}

/** One direction of one connection, after the handshake. */
export class WireWriter {
  chunkSize = 128
  readonly #options: WireWriterOptions
  readonly #streams = new Map<number, WritingStream>()

  constructor(options: WireWriterOptions = {}) {
    this.#options = options
  }

  /** The message as its chunks, one buffer each. */
  chunks(message: OutgoingMessage): Buffer[] {
    const { body } = message
    const { header, continuation } = this.#headers(message)
    const chunks: Buffer[] = []
    let at = 0
    do {
      const end = Math.min(at + this.chunkSize, body.length)
      chunks.push(Buffer.concat([at === 0 ? header : continuation, body.subarray(at, end)]))
      at = end
    } while (at < body.length)
    return chunks
  }

  message(message: OutgoingMessage): Buffer {
    const { body } = message
    const { header, continuation } = this.#headers(message)
    const continuations = Math.max(0, Math.ceil(body.length / this.chunkSize) - 1)
    const bytes = Buffer.allocUnsafe(header.length + body.length + continuations * continuation.length)
    let to = header.copy(bytes, 0)
    for (let at = 0; at < body.length; at += this.chunkSize) {
      if (at > 0) to += continuation.copy(bytes, to)
      to += body.copy(bytes, to, at, Math.min(at + this.chunkSize, body.length))
    }
    return bytes
  }

  /** Several messages, each on a chunk stream of its own, chunk by chunk in turn. */
  interleaved(messages: readonly OutgoingMessage[]): Buffer {
    const queues = messages.map((message) => this.chunks(message))
    const bytes: Buffer[] = []
    for (let round = 0; queues.some((queue) => round < queue.length); round++) {
      for (const queue of queues) if (round < queue.length) bytes.push(queue[round]!)
    }
    return Buffer.concat(bytes)
  }

  #headers(message: OutgoingMessage): { header: Buffer; continuation: Buffer } {
    const { chunkStreamId: id, type, messageStreamId, body } = message
    const timestamp = message.timestamp >>> 0
    const last = this.#streams.get(id)
    const delta = last ? (timestamp - last.timestamp) >>> 0 : 0
    const compressed =
      this.#options.headers !== 'full' && last !== undefined && last.messageStreamId === messageStreamId
    let format = 0
    if (compressed) {
      format = 1
      if (last.length === body.length && last.type === type) format = last.delta === delta ? 3 : 2
    }
    const time = format === 0 ? timestamp : delta
    const extended = time >= 0xffffff
    // -1: after a type 0 header no delta is in force on which all peers agree, so that no type 3 starts a message.
    this.#streams.set(id, { timestamp, type, messageStreamId, length: body.length, delta: format === 0 ? -1 : delta })

    const basic = this.#basicHeader(format, id)
    const fields = Buffer.alloc([11, 7, 3, 0][format]!)
    if (format < 3) fields.writeUIntBE(extended ? 0xffffff : time, 0, 3)
    if (format < 2) {
      fields.writeUIntBE(body.length, 3, 3)
      fields[6] = type
    }
    if (format === 0) fields.writeUInt32LE(messageStreamId, 7)
    const extension = Buffer.alloc(extended ? 4 : 0)
    if (extended) extension.writeUInt32BE(time)
    const repeated = this.#options.repeatExtended === false ? [] : [extension]
    return {
      header: Buffer.concat([basic, fields, extension]),
      continuation: Buffer.concat([this.#basicHeader(3, id), ...repeated]),
    }
  }

  #basicHeader(format: number, id: number): Buffer {
    const top = format << 6
    if (id < 64) return Buffer.of(top | id)
    if (id < 320 && !this.#options.longIds) return Buffer.of(top, id - 64)
    return Buffer.of(top | 1, (id - 64) & 0xff, (id - 64) >> 8)
  }
}

/** Types 1, 2, 3 and 5: one 32-bit number. They travel on chunk stream 2, message stream 0. */
export function controlMessage(type: number, value: number): OutgoingMessage {
  const body = Buffer.alloc(4)
  body.writeUInt32BE(value >>> 0)
  return { chunkStreamId: 2, type, timestamp: 0, messageStreamId: 0, body }
}

export function peerBandwidth(bytes: number, limit: number): OutgoingMessage {
  const body = Buffer.alloc(5)
  body.writeUInt32BE(bytes)
  body[4] = limit
  return { chunkStreamId: 2, type: wireTypes.setPeerBandwidth, timestamp: 0, messageStreamId: 0, body }
}

/** User control: 0 stream begin, 6 ping request, 7 ping response. */
export function userControl(event: number, value: number): OutgoingMessage {
  const body = Buffer.alloc(6)
  body.writeUInt16BE(event)
  body.writeUInt32BE(value >>> 0, 2)
  return { chunkStreamId: 2, type: wireTypes.userControl, timestamp: 0, messageStreamId: 0, body }
}
