import { createCipheriv } from 'node:crypto'
import { EcmaArray, encodeAmf } from './amf0.ts'
import type { FlvTag } from './flv.ts'

/**
 * Media without an encoder: messages with the tag headers, sizes and times of H.264 and AAC, whose bodies say what they are,
 * so that who receives them can tell losses, delay and damage without comparing files. Nothing in it can be decoded.
 *
 *   video  UI8 0x17 (key) or 0x27   UI8 1   SI24 composition time   UI32 NAL size   UI8 NAL type   stamp   filler
 *   audio  UI8 0xAF   UI8 1   stamp   filler
 *   stamp  'STMP'   UI8 track   UI8 flags (1 key frame)   UI16 session   UI32 sequence   double wall time (ms since 1970)
 *          UI32 body length                                                                            24 bytes, big-endian
 */
const stampBytes = 24
const videoStampAt = 10
const audioStampAt = 2
const magic = 0x53544d50

export type Stamp = {
  readonly track: 'video' | 'audio'
  readonly key: boolean
  /** Tells one publisher (or one start of it) from the next. */
  readonly session: number
  /** Counts the messages of the track from 0. */
  readonly sequence: number
  /** When it was sent, milliseconds since 1970 with fractions. */
  readonly wallMs: number
}

export type SyntheticOptions = {
  /** Of video and audio together, bodies only. Default 12,000. */
  readonly kbps?: number
  readonly fps?: number
  /** Length of a group of pictures. Default 2,000 ms. */
  readonly gopMs?: number
  readonly video?: boolean
  readonly audio?: boolean
  /** Composition times as with two B-frames between P-frames. Default true. */
  readonly bFrames?: boolean
  /** 0 to 65,535. */
  readonly session?: number
  /** How many times larger a key frame is than another one. Default 6. */
  readonly keyFrameRatio?: number
  /** Which of two sequence headers to announce: 1080p60 (default) or 720p30. */
  readonly picture?: '1080p60' | '720p30'
}

const audioKbps = 128
const audioSampleRate = 48_000
const audioFrameSamples = 1_024

/** SPS and PPS as x264 writes them (High profile, two B-frames). */
const parameterSets = {
  '1080p60': {
    sps: '6764002aacd940780227e5c044000003000400000301e03c60c658',
    pps: '68ebe3cb22c0',
    width: 1920,
    height: 1080,
  },
  '720p30': {
    sps: '6764001facd9405005bb0110000003001000000303c0f1831960',
    pps: '68ebe3cb22c0',
    width: 1280,
    height: 720,
  },
} as const

export const aacSequenceHeader: Buffer = Buffer.from('af001190', 'hex')

export function avcSequenceHeader(picture: keyof typeof parameterSets = '1080p60'): Buffer {
  const sps = Buffer.from(parameterSets[picture].sps, 'hex')
  const pps = Buffer.from(parameterSets[picture].pps, 'hex')
  return Buffer.concat([
    Buffer.of(0x17, 0, 0, 0, 0, 1, sps[1]!, sps[2]!, sps[3]!, 0xff, 0xe1, sps.length >> 8, sps.length & 0xff),
    sps,
    Buffer.of(1, pps.length >> 8, pps.length & 0xff),
    pps,
  ])
}

/** Bytes that are the same in every process: AES-CTR of zeros. */
const filler: Buffer = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(1 << 20))

function fill(body: Buffer, from: number, sequence: number): void {
  let source = (sequence * 4_099) % (filler.length / 2)
  for (let at = from; at < body.length; ) {
    at += filler.copy(body, at, source, Math.min(filler.length, source + body.length - at))
    source = 0
  }
}

/**
 * An endless stream of tags in the order of their timestamps, from 0: metadata, sequence headers, then frames.
 * The wall time in them is that of their making; `stampNow` renews it just before sending.
 */
export function* syntheticTags(options: SyntheticOptions = {}): Generator<FlvTag, never> {
  const { kbps = 12_000, fps = 60, gopMs = 2_000, video = true, audio = true, bFrames = true } = options
  const { session = 0, keyFrameRatio = 6, picture = '1080p60' } = options
  const { width, height } = parameterSets[picture]
  const gopFrames = Math.max(1, Math.round((gopMs * fps) / 1_000))
  const videoBytesPerFrame = ((kbps - (audio ? audioKbps : 0)) * 125) / fps
  const interBytes = (videoBytesPerFrame * gopFrames) / (gopFrames - 1 + keyFrameRatio)
  const frameMs = 1_000 / fps
  const metadata = new EcmaArray({
    ...(video ? { width, height, framerate: fps, videocodecid: 7, videodatarate: kbps } : {}),
    ...(audio ? { audiocodecid: 10, audiosamplerate: audioSampleRate, stereo: true, audiodatarate: audioKbps } : {}),
    encoder: 'synthetic',
  })
  yield { type: 18, timestamp: 0, body: encodeAmf('@setDataFrame', 'onMetaData', metadata) }
  if (audio) yield { type: 8, timestamp: 0, body: aacSequenceHeader }
  if (video) yield { type: 9, timestamp: 0, body: avcSequenceHeader(picture) }

  for (let frame = 0, sound = 0; ; ) {
    const videoTime = video ? frame * frameMs : Number.POSITIVE_INFINITY
    const audioTime = audio ? (sound * audioFrameSamples * 1_000) / audioSampleRate : Number.POSITIVE_INFINITY
    if (videoTime <= audioTime) {
      const place = frame % gopFrames
      const key = place === 0
      const bytes = Math.round(key ? interBytes * keyFrameRatio : interBytes)
      const cts = bFrames ? Math.round(compositionFrames(place, gopFrames) * frameMs) : 0
      yield { type: 9, timestamp: Math.round(videoTime), body: videoBody(bytes, key, cts, session, frame) }
      frame++
    } else {
      yield {
        type: 8,
        timestamp: Math.round(audioTime),
        body: audioBody((audioKbps * 125 * 1_024) / 48_000, session, sound),
      }
      sound++
    }
  }
}

/** Decoding order I P B B P B B …: how many frames after its decoding a picture is shown. */
function compositionFrames(place: number, gopFrames: number): number {
  if (place === 0) return 1
  const group = place - ((place - 1) % 3)
  if (group + 2 >= gopFrames) return 1
  return place === group ? 3 : 0
}

function videoBody(bytes: number, key: boolean, cts: number, session: number, sequence: number): Buffer {
  const body = Buffer.allocUnsafe(Math.max(bytes, videoStampAt + stampBytes))
  body[0] = key ? 0x17 : 0x27
  body[1] = 1
  body.writeIntBE(cts, 2, 3)
  body.writeUInt32BE(body.length - 9, 5)
  body[9] = key ? 0x65 : 0x41
  stamp(body, videoStampAt, 0, key, session, sequence)
  return body
}

function audioBody(bytes: number, session: number, sequence: number): Buffer {
  const body = Buffer.allocUnsafe(Math.max(Math.round(bytes), audioStampAt + stampBytes))
  body[0] = 0xaf
  body[1] = 1
  stamp(body, audioStampAt, 1, false, session, sequence)
  return body
}

function stamp(body: Buffer, at: number, track: number, key: boolean, session: number, sequence: number): void {
  body.writeUInt32BE(magic, at)
  body[at + 4] = track
  body[at + 5] = key ? 1 : 0
  body.writeUInt16BE(session, at + 6)
  body.writeUInt32BE(sequence, at + 8)
  body.writeDoubleBE(wallNow(), at + 12)
  body.writeUInt32BE(body.length, at + 20)
  fill(body, at + stampBytes, sequence)
}

const wallNow = (): number => performance.timeOrigin + performance.now()

/** Writes the present into a message of this source; leaves every other alone. */
export function stampNow(tag: FlvTag): void {
  const at = stampAt(tag.type, tag.body)
  if (at !== undefined) tag.body.writeDoubleBE(wallNow(), at + 12)
}

function stampAt(type: number, body: Buffer): number | undefined {
  const at = type === 9 ? videoStampAt : type === 8 ? audioStampAt : undefined
  if (at === undefined || body.length < at + stampBytes || body.readUInt32BE(at) !== magic) return undefined
  return at
}

/** The stamp of a message, of which the first 64 bytes are enough; undefined for headers and for foreign media. */
export function readStamp(message: { type: number; length: number; body: Buffer }): Stamp | undefined {
  const at = stampAt(message.type, message.body)
  if (at === undefined) return undefined
  const { body } = message
  if (body.readUInt32BE(at + 20) !== message.length) return undefined
  return {
    track: body[at + 4] === 0 ? 'video' : 'audio',
    key: body[at + 5] === 1,
    session: body.readUInt16BE(at + 6),
    sequence: body.readUInt32BE(at + 8),
    wallMs: body.readDoubleBE(at + 12),
  }
}

/** Is a whole body, stamp apart, byte for byte what the source made? */
export function isIntact(type: number, body: Buffer): boolean {
  const at = stampAt(type, body)
  if (at === undefined || body.readUInt32BE(at + 20) !== body.length) return false
  const expected = Buffer.allocUnsafe(body.length)
  fill(expected, at + stampBytes, body.readUInt32BE(at + 8))
  return expected.compare(body, at + stampBytes, body.length, at + stampBytes) === 0
}

export type Gap = {
  readonly track: 'video' | 'audio'
  readonly session: number
  /** The last sequence number before the gap and the first after it. Equal or smaller `next`: repeated or out of order. */
  readonly last: number
  readonly next: number
}

/** Follows the stamps that one connection receives. */
export class StampLedger {
  /** Missing, repeated or disordered messages. A new session starts afresh and is no gap. */
  readonly gaps: Gap[] = []
  /** Video that followed a gap, or began a session, without being a key frame. */
  readonly brokenGroups: Gap[] = []
  readonly sessions: number[] = []
  readonly counts: { video: number; audio: number } = { video: 0, audio: 0 }
  /** Sequence numbers of what came last; −1 before the first. */
  readonly newest: { video: number; audio: number } = { video: -1, audio: -1 }
  /** Milliseconds from sending to receiving, the newest 100,000. */
  readonly delaysMs: number[] = []
  readonly #last = new Map<'video' | 'audio', Stamp>()

  observe(message: { type: number; length: number; body: Buffer }): Stamp | undefined {
    const stamp = readStamp(message)
    if (!stamp) return undefined
    const { track, session, sequence: next } = stamp
    const last = this.#last.get(track)
    this.#last.set(track, stamp)
    this.counts[track]++
    this.newest[track] = next
    if (this.delaysMs.length >= 100_000) this.delaysMs.splice(0, 50_000)
    this.delaysMs.push(wallNow() - stamp.wallMs)
    if (this.sessions.at(-1) !== session && !(last && last.session === session)) this.sessions.push(session)
    if (!last || last.session !== session) {
      if (track === 'video' && !stamp.key) this.brokenGroups.push({ track, session, last: -1, next })
    } else if (next !== last.sequence + 1) {
      this.gaps.push({ track, session, last: last.sequence, next })
      if (track === 'video' && !stamp.key) this.brokenGroups.push({ track, session, last: last.sequence, next })
    }
    return stamp
  }

  /** The delay that so large a part (0 to 1) of the messages did not exceed. */
  delayMs(part: number): number {
    const sorted = this.delaysMs.toSorted((a, b) => a - b)
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
  }
}
