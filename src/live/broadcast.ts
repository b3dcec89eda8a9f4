import {
  classifyAudio,
  classifyData,
  classifyVideo,
  type MediaMessage,
  newMediaMessage,
} from '../rtmp/media-message.ts'
import { type Message, messageTypes } from '../rtmp/message.ts'
import type { FeedHealth } from './feed-health.ts'
import { headerBytesMax, type MediaHeaders, withHeader } from './media-headers.ts'
import { laneCountMax, lanes, MediaLog, type MediaLogLimits, messageFlags } from './media-log.ts'
import type { Pump } from './pump.ts'
import type { SlabPool } from './slab-pool.ts'
import { type PublisherClock, Timeline } from './timeline.ts'

/** Without video for so long, a publisher is taken for one that has none. */
export const noVideoMs = 2_000

/** Whoever wants to know that there is something new in the log. */
export interface BroadcastListener {
  /** New messages are in the log. Called once for many of them, when the loop has read what was there. */
  onAppended(): void
}

/**
 * One live input while it is live or held: the timeline, the log, the headers in force, and the one publisher whose messages go
 * in. Synchronous throughout: `publish()` never throws, never waits for an output.
 *
 * Lifecycle: made when a publisher arrives at an input that has none; takes one publisher after another; `close()` when the
 * input has ended. Owned by the input's run.
 */
export class Broadcast {
  readonly log: MediaLog
  readonly timeline = new Timeline()
  readonly #pump: Pump
  readonly #listeners = new Set<BroadcastListener>()
  readonly #laneOfTrack = new Map<string, number>()
  #headers: MediaHeaders = []
  #marked = false
  /** What ends the tracks: kept back until the broadcast really ends, because an encoder that comes back goes on. */
  readonly #endings: { lane: number; type: number; body: Buffer }[] = []
  #closed = false

  readonly #health: FeedHealth

  constructor(pool: SlabPool, limits: MediaLogLimits, pump: Pump, health: FeedHealth) {
    this.log = new MediaLog(pool, limits)
    this.#pump = pump
    this.#health = health
  }

  get headers(): MediaHeaders {
    return this.#headers
  }

  listen(listener: BroadcastListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A feed for one publisher. Its messages go into the log from its first key frame on; see PublisherFeed. */
  feed(): PublisherFeed {
    return new PublisherFeed(this, this.log.nextSequence === 0)
  }

  /** Where an output that joins now begins: the newest key frame; for sound alone, the newest message. Undefined: wait. */
  startSequence(): number | undefined {
    const { log } = this
    if (log.newestKey !== undefined) return log.newestKey
    if (log.nextSequence === log.firstSequence) return undefined
    const hasVideo = log.newestOnLane[lanes.video]! >= 0
    if (hasVideo) return undefined
    const audio = log.newestOnLane[lanes.audio]!
    const audioMs = log.newestTimestamp - log.timestampOf(log.firstSequence)
    return audio >= log.firstSequence && audioMs >= noVideoMs ? audio : undefined
  }

  /** The end of the broadcast: what ends the tracks goes into the log, for the outputs to send before their goodbye. */
  finish(): void {
    for (const { lane, type, body } of this.#endings.splice(0))
      this.log.append(lane, type, this.timeline.newest, lane === lanes.video ? messageFlags.header : 0, body)
    this.#mark()
  }

  close(): void {
    this.#closed = true
    this.#listeners.clear()
    this.log.close()
  }

  /** Only for PublisherFeed. */
  append(media: MediaMessage, type: number, body: Buffer, timestamp: number, clock: PublisherClock): void {
    if (this.#closed) return
    const lane = this.#laneOf(media)
    if (media.role === 'end_of_sequence') {
      this.#keepEnding(lane, type, body)
      return
    }
    let flags = media.kind === 'video' ? messageFlags.video : 0
    let headers: MediaHeaders | undefined
    const slot = headerSlot(media)
    if (slot !== undefined && body.length <= headerBytesMax) {
      const changed = withHeader(this.#headers, { slot, lane, type, body: Buffer.from(body) })
      if (changed === this.#headers && media.kind !== 'data') return
      if (changed !== this.#headers) headers = changed
      this.#headers = changed
      if (media.kind !== 'data') flags |= messageFlags.header
    }
    if (media.role === 'key_frame' && lane === lanes.video) flags |= messageFlags.key
    const isFrame = lane === lanes.video && slot === undefined
    // Headers and metadata often carry 0 or nonsense: they take the time of what follows or was last.
    const time = slot === undefined ? clock.map(timestamp, lane, isFrame) : this.timeline.newest
    this.#health.observe(media, body.length, time)
    this.log.append(lane, type, time, flags, body, headers)
    this.#mark()
  }

  #mark(): void {
    if (this.#marked) return
    this.#marked = true
    this.#pump.mark(this.#flush)
  }
  readonly #flush = (): void => {
    this.#marked = false
    for (const listener of this.#listeners) listener.onAppended()
  }

  #keepEnding(lane: number, type: number, body: Buffer): void {
    if (body.length > headerBytesMax) return
    const index = this.#endings.findIndex((ending) => ending.lane === lane)
    if (index >= 0) this.#endings.splice(index, 1)
    this.#endings.push({ lane, type, body: Buffer.from(body) })
  }

  #laneOf(media: MediaMessage): number {
    if (media.kind === 'data') return lanes.data
    const main = media.kind === 'video' ? lanes.video : lanes.audio
    // Several tracks in one message go with track 0.
    if (media.trackId === 0) return main
    const track = `${media.kind}:${media.trackId}`
    const known = this.#laneOfTrack.get(track)
    if (known !== undefined) return known
    const lane = lanes.firstExtra + this.#laneOfTrack.size
    if (lane >= laneCountMax) return main
    this.#laneOfTrack.set(track, lane)
    return lane
  }
}

/** The slot of a message that decoders need before the first frame; undefined for all others. */
export function headerSlot(media: MediaMessage): string | undefined {
  switch (media.role) {
    case 'sequence_header':
      return `${media.kind}:${media.trackId}`
    case 'multichannel_config':
      return `audio:${media.trackId}:multichannel`
    case 'metadata':
      return media.kind === 'data' ? 'metadata' : `video:${media.trackId}:metadata`
    default:
      return undefined
  }
}

type Staged = { media: MediaMessage; type: number; body: Buffer; timestamp: number }

/** Headers that a publisher sends before its first key frame. */
const stagedMax = 40

/**
 * One publisher's way into a broadcast. The first publisher of a broadcast is let in at once. One that comes later (after a
 * blip, or as a takeover) is let in at its first video key frame, or, without video for a while, at its first sound; until then
 * its headers are remembered and the rest is left out, so that the destinations see whole groups of pictures.
 */
export class PublisherFeed {
  readonly #broadcast: Broadcast
  readonly #media = newMediaMessage()
  readonly #staged: Staged[] = []
  #clock: PublisherClock | undefined
  #admitted: boolean
  #open = true
  #firstAudio = Number.NaN
  #sawVideo = false
  /** Called once, when this feed's first message is about to go in: whoever was there before is over. */
  onAdmitted: (() => void) | undefined
  bytes = 0
  messages = 0

  constructor(broadcast: Broadcast, first: boolean) {
    this.#broadcast = broadcast
    this.#admitted = first
  }

  get admitted(): boolean {
    return this.#admitted
  }
  get clock(): PublisherClock | undefined {
    return this.#clock
  }
  /** The message that `publish` looked at last, for whoever counts frames. */
  get media(): MediaMessage {
    return this.#media
  }

  /** Nothing more goes in. */
  end(): void {
    this.#open = false
    this.#staged.length = 0
  }

  /** @param message valid during the call. @returns whether it was media. */
  publish(message: Message): boolean {
    const media = this.#media
    const { body, type } = message
    if (type === messageTypes.video) classifyVideo(body, media)
    else if (type === messageTypes.audio) classifyAudio(body, media)
    else if (type === messageTypes.amf0Data) classifyData(body, media)
    else if (type === messageTypes.amf3Data) classifyData(body.subarray(1), media)
    else return false
    this.bytes += body.length
    this.messages++
    if (!this.#open || body.length === 0 || media.role === 'empty') return true
    if (!this.#admitted && !this.#admit(media, type, body, message.timestamp)) return true
    this.#clock ??= this.#broadcast.timeline.attach(message.timestamp)
    this.#append(media, type, body, message.timestamp)
    return true
  }

  #append(media: MediaMessage, type: number, body: Buffer, timestamp: number): void {
    // AMF3 data (type 15) is AMF0 behind one byte; destinations know only the one.
    const isAmf3 = type === messageTypes.amf3Data
    const sentType = isAmf3 ? messageTypes.amf0Data : type
    this.#broadcast.append(media, sentType, isAmf3 ? body.subarray(1) : body, timestamp, this.#clock!)
  }

  #admit(media: MediaMessage, type: number, body: Buffer, timestamp: number): boolean {
    if (headerSlot(media) !== undefined) {
      if (this.#staged.length < stagedMax && body.length <= headerBytesMax)
        this.#staged.push({ media: { ...media }, type, body: Buffer.from(body), timestamp })
      return false
    }
    if (media.kind === 'video') this.#sawVideo = true
    const isKey = media.kind === 'video' && media.role === 'key_frame' && media.trackId === 0
    if (!isKey && !this.#isSoundAlone(media, timestamp)) return false
    this.onAdmitted?.()
    this.#admitted = true
    this.#clock = this.#broadcast.timeline.attach(timestamp)
    for (const staged of this.#staged.splice(0)) this.#append(staged.media, staged.type, staged.body, timestamp)
    return true
  }

  #isSoundAlone(media: MediaMessage, timestamp: number): boolean {
    if (media.kind !== 'audio' || this.#sawVideo) return false
    if (Number.isNaN(this.#firstAudio)) this.#firstAudio = timestamp
    return ((timestamp - this.#firstAudio) | 0) >= noVideoMs
  }
}
