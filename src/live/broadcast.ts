import { field, readAmf0Prefix } from '../rtmp/amf0.ts'
import { isBeyondPlain, plainForm } from '../rtmp/legacy-form.ts'
import {
  classifyAudio,
  classifyData,
  classifyVideo,
  type MediaMessage,
  newMediaMessage,
} from '../rtmp/media-message.ts'
import { type Message, messageTypes } from '../rtmp/message.ts'
import { ArrivalForecast } from './arrival-forecast.ts'
import type { FeedHealth } from './feed-health.ts'
import { headerBytesMax, type MediaHeaders, withHeader } from './media-headers.ts'
import { laneCountMax, lanes, MediaLog, type MediaLogLimits, messageFlags } from './media-log.ts'
import type { Marked, Pump } from './pump.ts'
import { SharedCursor } from './shared-cursor.ts'
import type { SlabPool } from './slab-pool.ts'
import { type PublisherClock, Timeline } from './timeline.ts'

/** Without video for so long, a publisher is taken for one that has none. */
export const noVideoMs = 2_000

/** As far as tracks are apart; what a header says beyond that is no time of this broadcast. */
const headerDistanceMs = 3_000

export type FormatChange = 'codec' | 'beyond_plain' | 'mod_ex'

/** Whoever wants to know what happens to the log. */
export interface BroadcastListener {
  /** New messages are in the log. Called once for many of them, when the loop has read what was there; see `setCalled`. */
  onAppended(): void
  /**
   * From here on the codec is another one, or messages come that need the plain form, or ModEx: connections are begun anew where it
   * matters.
   */
  onFormatChanged(change: FormatChange): void
}

/** What an output missed, on the log's clock: it has all before `from`, and wants nothing before `earliest`. */
export type Missed = { readonly from: number; readonly earliest: number }

/** As received, or plain: see rtmp/legacy-form.ts. Outputs of one form share its bytes. */
export type LogForm = 'received' | 'plain'

/** A log with the headers in force in it, and the position of those who take it as it is. */
class FormLog {
  readonly log: MediaLog
  readonly sharedCursor: SharedCursor
  headers: MediaHeaders = []

  constructor(log: MediaLog) {
    this.log = log
    this.sharedCursor = new SharedCursor(log)
  }

  /** Unchanged headers that are said again are left out. */
  write(media: MediaMessage, lane: number, type: number, time: number, body: Buffer): void {
    let flags = media.kind === 'video' ? messageFlags.video : 0
    if (media.kind === 'data' && plainForm(media, body) === undefined) flags |= messageFlags.special
    let changed: MediaHeaders | undefined
    const slot = headerSlot(media)
    if (slot !== undefined && body.length <= headerBytesMax) {
      const headers = withHeader(this.headers, { slot, lane, type, body: Buffer.from(body) })
      if (headers !== this.headers) changed = headers
      else if (media.kind !== 'data') return
      this.headers = headers
      if (media.kind !== 'data') flags |= messageFlags.header
    }
    if (media.role === 'key_frame' && lane === lanes.video) flags |= messageFlags.key
    if (media.role === 'end_of_sequence') flags |= messageFlags.header
    this.log.append(lane, type, time, flags, body, changed)
  }
}

/**
 * One live input while it is live or held: the timeline, the logs (one for each form that somebody takes), the headers in force, and
 * the one publisher whose messages go in. Synchronous throughout: nothing here waits for an output.
 *
 * Lifecycle: made when a publisher arrives at an input that has none; takes one publisher after another; `close()` when the
 * input has ended. Owned by an InputSession.
 */
export class Broadcast implements Marked {
  readonly timeline = new Timeline()
  readonly forecast = new ArrivalForecast()
  readonly #pool: SlabPool
  readonly #limits: MediaLogLimits
  readonly #pump: Pump
  readonly #health: FeedHealth
  readonly #received: FormLog
  /** Made when the first output needs it. */
  #plain: FormLog | undefined
  #isBeyondPlain = false
  #usesEnhanced = false
  #usesModEx = false
  #hasMedia = false
  readonly #codecs = { video: '', audio: '' }
  readonly #listeners = new Set<BroadcastListener>()
  /** Those of them who are told of new messages. */
  readonly #called = new Set<BroadcastListener>()
  readonly #laneOfTrack = new Map<string, number>()
  #marked = false
  /** What ends the tracks: kept back until the broadcast really ends, because an encoder that comes back goes on. */
  readonly #endings: { media: MediaMessage; lane: number; type: number; body: Buffer }[] = []
  #closed = false

  constructor(pool: SlabPool, limits: MediaLogLimits, pump: Pump, health: FeedHealth) {
    this.#pool = pool
    this.#limits = limits
    this.#pump = pump
    this.#health = health
    this.#received = new FormLog(new MediaLog(pool, limits))
  }

  /** Nothing has been published yet. */
  get isEmpty(): boolean {
    return this.#received.log.nextSequence === 0
  }
  /** A frame or a sound has come: by then the headers have, too. */
  get hasMedia(): boolean {
    return this.#hasMedia
  }
  /** Enhanced RTMP has been seen, in whatever form. */
  get usesEnhanced(): boolean {
    return this.#usesEnhanced
  }
  /** Messages with ModEx have been seen. */
  get usesModEx(): boolean {
    return this.#usesModEx
  }
  /** FourCCs of the default tracks; empty while unknown. */
  get codecs(): { readonly video: string; readonly audio: string } {
    return this.#codecs
  }
  get headers(): MediaHeaders {
    return this.#received.headers
  }
  /** What the feed has: as measured, or, before that, as the encoder says. Undefined while neither is known. */
  get kbps(): number | undefined {
    const { bitrateKbps } = this.#health
    if (bitrateKbps > 0) return bitrateKbps
    const metadata = this.headers.find(({ slot }) => slot === metadataSlot)
    return metadata && kbpsOfMetadata(metadata.body)
  }

  listen(listener: BroadcastListener): () => void {
    this.#listeners.add(listener)
    this.#called.add(listener)
    return () => {
      this.#listeners.delete(listener)
      this.#called.delete(listener)
    }
  }

  /** Whose messages go out with those of others is not called for them. Only for who listens. */
  setCalled(listener: BroadcastListener, isCalled: boolean): void {
    if (isCalled) this.#called.add(listener)
    else this.#called.delete(listener)
  }

  /** The log of a form. While the feed itself is plain, there is only one. */
  log(form: LogForm): MediaLog {
    return this.#formLog(form).log
  }
  /** Where those are who take that log as it is. */
  sharedCursor(form: LogForm): SharedCursor {
    return this.#formLog(form).sharedCursor
  }
  #formLog(form: LogForm): FormLog {
    if (form === 'received' || !this.#isBeyondPlain) return this.#received
    this.#plain ??= this.#makePlain()
    return this.#plain
  }

  /** A feed for one publisher. Its messages go into the log from its first key frame on; see PublisherFeed. */
  feed(): PublisherFeed {
    return new PublisherFeed(this, this.isEmpty)
  }

  /**
   * Where an output that joins now begins: the newest key frame; for sound alone, the newest message. Undefined: wait.
   * @param missed begin earlier, to send what was missed.
   */
  startSequence(log: MediaLog, missed?: Missed): number | undefined {
    if (missed !== undefined) {
      // Pictures after the last one that arrived need the key frame before it.
      const key = log.newestKeyUntil(missed.from)
      if (key !== undefined && log.timestampOf(key) >= missed.earliest) return key
      const later = log.oldestKeySince(missed.earliest)
      if (later !== undefined) return later
    }
    if (log.newestKey !== undefined) return log.newestKey
    if (log.nextSequence === log.firstSequence) return undefined
    // Where pictures come, the next key frame is waited for. A header is no picture, and the last one may have been long ago.
    if (this.timeline.newest - this.timeline.newestOn(lanes.video) < noVideoMs) return undefined
    const audio = log.newestOnLane[lanes.audio]!
    const audioMs = log.newestTimestamp - log.timestampOf(log.firstSequence)
    if (audio < log.firstSequence || audioMs < noVideoMs) return undefined
    if (missed === undefined) return audio
    return log.oldestOnLaneSince(lanes.audio, Math.max(missed.from, missed.earliest)) ?? audio
  }

  /** The end of the broadcast: what ends the tracks goes into the log, for the outputs to send before their goodbye. */
  finish(): void {
    for (const { media, lane, type, body } of this.#endings.splice(0))
      this.#write(media, lane, type, this.timeline.newest, body)
    this.#mark()
  }

  close(): void {
    this.#closed = true
    this.#listeners.clear()
    this.#called.clear()
    this.#received.log.close()
    this.#plain?.log.close()
  }

  /** Only for PublisherFeed. @param clock of the publisher; needed for all but headers. */
  append(media: MediaMessage, type: number, body: Buffer, timestamp: number, clock: PublisherClock | undefined): void {
    if (this.#closed) return
    const lane = this.#laneOf(media)
    if (media.role === 'end_of_sequence') {
      this.#keepEnding(media, lane, type, body)
      return
    }
    if (media.role === 'sequence_header' && media.trackId === 0) this.#noticeCodec(media)
    if (media.enhanced) this.#usesEnhanced = true
    // Data that is not for everybody is no reason to begin anything anew: cursors leave it out.
    if (!this.#isBeyondPlain && media.kind !== 'data' && isBeyondPlain(media, body)) {
      this.#isBeyondPlain = true
      for (const listener of this.#listeners) listener.onFormatChanged('beyond_plain')
    }
    if (media.modEx && !this.#usesModEx) {
      this.#usesModEx = true
      for (const listener of this.#listeners) listener.onFormatChanged('mod_ex')
    }
    const isHeader = headerSlot(media) !== undefined
    const time =
      clock === undefined || isHeader
        ? this.#headerTime(media, lane, timestamp, clock)
        : clock.map(timestamp, lane, lane === lanes.video, media.compositionTimeMs)
    if (Number.isNaN(time)) return
    if (media.kind !== 'data' && !isHeader) {
      this.#hasMedia = true
      this.forecast.observe(lane, time)
    }
    this.#health.observe(media, body, time, clock)
    this.#write(media, lane, type, time, body)
    this.#mark()
  }

  /** Only for HeldPicture: what nobody publishes, at a time of the broadcast's clock. */
  appendAt(media: MediaMessage, type: number, body: Buffer, time: number): void {
    if (this.#closed) return
    const lane = this.#laneOf(media)
    this.timeline.advanceTo(time, lane, media.compositionTimeMs)
    this.#write(media, lane, type, time, body)
    this.#mark()
  }

  /**
   * Headers and metadata often carry 0 or nonsense. Those of a track are believed between what was last on it and the newest of all tracks;
   * whatever else they say must not move the frames that follow, which are never told before them.
   */
  #headerTime(media: MediaMessage, lane: number, timestamp: number, clock: PublisherClock | undefined): number {
    const { newest } = this.timeline
    if (clock === undefined || media.kind === 'data') return newest
    const last = this.timeline.newestOn(lane)
    const time = clock.peek(timestamp)
    if (Math.abs(time - newest) < headerDistanceMs) return Math.max(last, Math.min(newest, time))
    return last === Number.NEGATIVE_INFINITY ? newest : last
  }

  #write(media: MediaMessage, lane: number, type: number, time: number, body: Buffer): void {
    this.#received.write(media, lane, type, time, body)
    if (this.#plain === undefined) return
    const plain = plainForm(media, body)
    if (plain !== undefined) this.#plain.write(media, lane, type, time, plain)
  }

  /** The plain form of what the log holds from its newest key frame on. */
  #makePlain(): FormLog {
    const plain = new FormLog(new MediaLog(this.#pool, this.#limits))
    try {
      this.#copyPlain(plain)
      return plain
    } catch (error) {
      plain.log.close()
      throw error
    }
  }

  #copyPlain(plain: FormLog): void {
    const { log } = this.#received
    const media = newMediaMessage()
    const first = log.newestKey ?? log.firstSequence
    const firstTime = log.timestampOf(first)
    for (const { lane, type, body } of log.headersAt(first)) {
      classify(type, body, media)
      const form = plainForm(media, body)
      if (form !== undefined) plain.write(media, lane, type, firstTime, form)
    }
    // Where memory is short, what is written here may cost the log its oldest slab.
    for (let next = Math.max(first, log.firstSequence); next < log.nextSequence; ) {
      const body = log.copyBody(next)
      const type = log.typeOf(next)
      classify(type, body, media)
      const form = plainForm(media, body)
      if (form !== undefined) plain.write(media, log.laneOf(next), type, log.timestampOf(next), form)
      next = Math.max(next + 1, log.firstSequence)
    }
  }

  /** Another codec in the middle: nobody may begin with frames of the old one any more. */
  #noticeCodec(media: MediaMessage): void {
    const kind = media.kind === 'video' ? 'video' : 'audio'
    const before = this.#codecs[kind]
    this.#codecs[kind] = media.codec
    if (before === '' || before === media.codec) return
    this.#received.log.forgetKeys()
    this.#plain?.log.forgetKeys()
    for (const listener of this.#listeners) listener.onFormatChanged('codec')
  }

  #mark(): void {
    if (this.#marked) return
    this.#marked = true
    this.#pump.mark(this)
  }

  /** Only for the pump. */
  flush(): void {
    this.#marked = false
    this.forecast.roundBegins()
    this.#offer(this.#received.sharedCursor)
    if (this.#plain !== undefined) this.#offer(this.#plain.sharedCursor)
    for (const listener of this.#called)
      try {
        listener.onAppended()
      } catch (error) {
        // The others rely on this call, and shall not wait for the next message.
        setImmediate(() => {
          throw error
        })
      }
  }

  #offer(cursor: SharedCursor): void {
    if (cursor.outputs > 0) this.#pump.offer(cursor)
  }

  #keepEnding(media: MediaMessage, lane: number, type: number, body: Buffer): void {
    if (body.length > headerBytesMax) return
    const index = this.#endings.findIndex((ending) => ending.lane === lane)
    if (index >= 0) this.#endings.splice(index, 1)
    this.#endings.push({ media: { ...media }, lane, type, body: Buffer.from(body) })
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

function classify(type: number, body: Buffer, into: MediaMessage): boolean {
  switch (type) {
    case messageTypes.video:
      classifyVideo(body, into)
      return true
    case messageTypes.audio:
      classifyAudio(body, into)
      return true
    case messageTypes.amf0Data:
      classifyData(body, into)
      return true
    default:
      return false
  }
}

const metadataSlot = 'metadata'

/** onMetaData names the rates of picture and sound in kbit/s, with nearly every encoder. */
function kbpsOfMetadata(body: Buffer): number | undefined {
  const { values } = readAmf0Prefix(body)
  const rates = ['videodatarate', 'audiodatarate'].flatMap((name) => values.map((value) => field(value, name)))
  const kbps = rates.reduce<number>((sum, rate) => (typeof rate === 'number' && rate > 0 ? sum + rate : sum), 0)
  return Number.isFinite(kbps) && kbps > 0 ? kbps : undefined
}

/** The slot of a message that decoders need before the first frame; undefined for all others. */
export function headerSlot(media: MediaMessage): string | undefined {
  switch (media.role) {
    case 'sequence_header':
      return `${media.kind}:${media.trackId}`
    case 'multichannel_config':
      return `audio:${media.trackId}:multichannel`
    case 'metadata':
      return media.kind === 'data' ? metadataSlot : `video:${media.trackId}:metadata`
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
  #broadcast: Broadcast
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
  /** Pictures and sounds: what shows that an encoder is there. */
  frames = 0

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

  /** Into a broadcast of its own, which is new: there is nothing to wait for. */
  enter(broadcast: Broadcast): void {
    this.#broadcast = broadcast
    this.#admitted = true
    this.#clock = undefined
    for (const staged of this.#staged.splice(0)) this.#append(staged.media, staged.type, staged.body, staged.timestamp)
  }

  /** Back to before the first key frame: something else has been put into the broadcast meanwhile. */
  suspend(): void {
    this.#admitted = false
    this.#clock = undefined
  }

  /** @param message valid during the call. @returns whether it was media. */
  publish(message: Message): boolean {
    const media = this.#media
    const { body, type } = message
    if (type === messageTypes.amf3Data) classifyData(body.subarray(1), media)
    else if (!classify(type, body, media)) return false
    this.bytes += body.length
    this.messages++
    if (!this.#open || body.length === 0 || media.role === 'empty') return true
    const isFrame = media.kind !== 'data' && headerSlot(media) === undefined && media.role !== 'end_of_sequence'
    if (isFrame) this.frames++
    if (!this.#admitted && !this.#admit(media, type, body, message.timestamp)) return true
    // Data follows the clock and does not set it: what comes before the first picture or sound may carry any time.
    if (isFrame) this.#clock ??= this.#broadcast.timeline.attach(message.timestamp, media.compositionTimeMs)
    this.#append(media, type, body, message.timestamp)
    return true
  }

  #append(media: MediaMessage, type: number, body: Buffer, timestamp: number): void {
    // AMF3 data (type 15) is AMF0 behind one byte; destinations know only the one.
    const isAmf3 = type === messageTypes.amf3Data
    const sentType = isAmf3 ? messageTypes.amf0Data : type
    this.#broadcast.append(media, sentType, isAmf3 ? body.subarray(1) : body, timestamp, this.#clock)
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
    this.#clock = this.#broadcast.timeline.attach(timestamp, media.compositionTimeMs)
    for (const staged of this.#staged.splice(0)) this.#append(staged.media, staged.type, staged.body, timestamp)
    return true
  }

  #isSoundAlone(media: MediaMessage, timestamp: number): boolean {
    if (media.kind !== 'audio' || this.#sawVideo) return false
    if (Number.isNaN(this.#firstAudio)) this.#firstAudio = timestamp
    return ((timestamp - this.#firstAudio) | 0) >= noVideoMs
  }
}
