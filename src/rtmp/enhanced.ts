/**
 * The wrapping of Enhanced RTMP (v1 and v2, r2 of 2026-01-31):
 *
 *   | 1 frame type 3, packet type 4 |   video          | 9, packet type 4 |   audio
 *   | ModEx packets, each ending in the next packet type |
 *   | multitrack type 4, packet type 4 |
 *   | FourCC 4 | track id 1 | size 3 | body | …
 *
 * The second line stands where the packet type is 7, the third where it is then 6 (audio: 5). A track id stands in the multitrack forms,
 * a size where there are several tracks, a FourCC once, or in front of each track where their codecs differ.
 */

export const videoPacketTypes = {
  sequenceStart: 0,
  codedFrames: 1,
  sequenceEnd: 2,
  codedFramesX: 3,
  metadata: 4,
  mpeg2TsSequenceStart: 5,
  multitrack: 6,
  modEx: 7,
} as const

export const audioPacketTypes = {
  sequenceStart: 0,
  codedFrames: 1,
  sequenceEnd: 2,
  multichannelConfig: 4,
  multitrack: 5,
  modEx: 7,
} as const

export const multitrackTypes = { oneTrack: 0, manyTracks: 1, manyTracksManyCodecs: 2 } as const

export const frameTypes = { key: 1, inter: 2, disposable: 3, generatedKey: 4, command: 5 } as const

/** The sound format of a legacy audio tag that says: Enhanced RTMP. */
export const enhancedAudioFormat = 9

/** The known FourCCs, so that a message costs no text. */
const fourCcTexts = new Map<number, string>(
  ['vp08', 'vp09', 'av01', 'avc1', 'hvc1', 'vvc1', 'ac-3', 'ec-3', 'Opus', '.mp3', 'fLaC', 'mp4a'].map((text) => [
    Buffer.from(text, 'latin1').readUInt32BE(0),
    text,
  ]),
)

function fourCcAt(body: Buffer, at: number): string {
  const value = body.readUInt32BE(at)
  return fourCcTexts.get(value) ?? unknownFourCc(body.toString('latin1', at, at + 4))
}

/** What a stranger calls a codec ends up in logs and statuses: printable, or nothing. */
function unknownFourCc(text: string): string {
  return /^[!-~]{4}$/.test(text) ? text : ''
}

/** What stands before the body of a message of Enhanced RTMP. */
export type EnhancedStart = {
  packetType: number
  codec: string
  modEx: boolean
  /** −1: one track, without the wrapping. */
  multitrackType: number
  /** Whole tracks in the message. */
  tracks: number
  trackId: number
  /** The body of track `trackId`. */
  start: number
  end: number
}
const enhancedStart: EnhancedStart = {
  packetType: 0,
  codec: '',
  modEx: false,
  multitrackType: -1,
  tracks: 1,
  trackId: 0,
  start: 0,
  end: 0,
}

/** ModEx packets in one message; the specification sets no limit, and one kind of them exists. */
const modExCountMax = 8
const modExPacketType = 7
/** More tracks than this in one message are not looked at. */
const tracksMax = 16

/**
 * Reads up to where the body of the default track begins: of several tracks it is track 0, else the first. The same object each
 * time. Undefined: truncated, or nonsense.
 */
export function readEnhancedStart(body: Buffer, kind: 'video' | 'audio'): EnhancedStart | undefined {
  const into = enhancedStart
  into.packetType = body[0]! & 0x0f
  into.modEx = false
  into.multitrackType = -1
  into.tracks = 1
  into.trackId = 0
  into.codec = ''
  into.end = body.length
  let at = 1
  for (let count = 0; into.packetType === modExPacketType; count++) {
    const end = modExEnd(body, at)
    if (end < 0 || count === modExCountMax) return undefined
    into.modEx = true
    into.packetType = body[end - 1]! & 0x0f
    at = end
  }
  // A command (frame type 5) has one byte and no FourCC.
  const isCommand = kind === 'video' && ((body[0]! >> 4) & 0x07) === frameTypes.command
  if (isCommand && into.packetType !== videoPacketTypes.metadata) return into
  const multitrack = kind === 'video' ? videoPacketTypes.multitrack : audioPacketTypes.multitrack
  if (into.packetType === multitrack) {
    if (at >= body.length) return undefined
    into.multitrackType = body[at]! >> 4
    into.packetType = body[at]! & 0x0f
    at++
    if (into.packetType === multitrack || into.packetType === modExPacketType) return undefined
    if (into.multitrackType > multitrackTypes.manyTracksManyCodecs) return undefined
    if (into.multitrackType !== multitrackTypes.oneTrack) return readDefaultTrack(body, at, into) ? into : undefined
  }
  if (at + 4 > body.length) return undefined
  into.codec = fourCcAt(body, at)
  at += 4
  if (into.multitrackType === multitrackTypes.oneTrack) {
    if (at >= body.length) return undefined
    into.trackId = body[at]!
    at++
  }
  into.start = at
  return into
}

/** | size − 1: 1 byte, or 255 and then 2 bytes | data | type 4 bits, next packet type 4 bits |. @returns the end, or −1. */
function modExEnd(body: Buffer, start: number): number {
  let at = start
  if (at >= body.length) return -1
  let size = body[at++]! + 1
  if (size === 256) {
    if (at + 2 > body.length) return -1
    size = body.readUInt16BE(at) + 1
    at += 2
  }
  const end = at + size + 1
  return end <= body.length ? end : -1
}

/** One track of a message: what it is and where its bytes are. */
export type TrackPart = {
  readonly trackId: number
  readonly codec: string
  readonly packetType: number
  readonly start: number
  readonly end: number
}

type SizedTrack = { codec: string; trackId: number; start: number; end: number }
const sizedTrack: SizedTrack = { codec: '', trackId: 0, start: 0, end: 0 }

/**
 * | FourCC 4, where each track has a codec of its own | track id 1 | size 3 | body |. Fills sizedTrack.
 * @returns false where there is no whole track.
 */
function readSizedTrack(body: Buffer, at: number, hasOwnCodec: boolean): boolean {
  const idAt = hasOwnCodec ? at + 4 : at
  const start = idAt + 4
  if (start > body.length) return false
  const end = start + body.readUIntBE(idAt + 1, 3)
  if (end > body.length) return false
  if (hasOwnCodec) sizedTrack.codec = fourCcAt(body, at)
  sizedTrack.trackId = body[idAt]!
  sizedTrack.start = start
  sizedTrack.end = end
  return true
}

function readDefaultTrack(body: Buffer, start: number, into: EnhancedStart): boolean {
  const hasOwnCodec = into.multitrackType === multitrackTypes.manyTracksManyCodecs
  let at = start
  if (!hasOwnCodec) {
    if (at + 4 > body.length) return false
    sizedTrack.codec = fourCcAt(body, at)
    at += 4
  }
  into.tracks = 0
  while (into.tracks < tracksMax && readSizedTrack(body, at, hasOwnCodec)) {
    if (into.tracks === 0 || (sizedTrack.trackId === 0 && into.trackId !== 0)) {
      into.codec = sizedTrack.codec
      into.trackId = sizedTrack.trackId
      into.start = sizedTrack.start
      into.end = sizedTrack.end
    }
    into.tracks++
    at = sizedTrack.end
  }
  return into.tracks > 0
}

/**
 * The whole tracks of a message of Enhanced RTMP, at most 16, ModEx and multitrack wrapping taken off. Empty for a legacy message, a
 * command, and nonsense. The body of a CodedFrames packet of avc1, hvc1 or vvc1 begins with its composition time.
 */
export function tracksOf(body: Buffer, kind: 'video' | 'audio'): TrackPart[] {
  if (body.length === 0 || (kind === 'video' ? (body[0]! & 0x80) === 0 : body[0]! >> 4 !== enhancedAudioFormat))
    return []
  const head = readEnhancedStart(body, kind)
  if (head === undefined || head.codec === '') return []
  const { packetType, multitrackType, codec, trackId, start, end } = head
  if (multitrackType <= multitrackTypes.oneTrack) return [{ trackId, codec, packetType, start, end }]
  const hasOwnCodec = multitrackType === multitrackTypes.manyTracksManyCodecs
  const parts: TrackPart[] = []
  // The wrapping: first byte, ModEx packets, multitrack byte, and one FourCC for all where they share it.
  let at = multitrackStart(body) + (hasOwnCodec ? 0 : 4)
  sizedTrack.codec = codec
  while (parts.length < tracksMax && readSizedTrack(body, at, hasOwnCodec)) {
    parts.push({ ...sizedTrack, packetType })
    at = sizedTrack.end
  }
  return parts
}

/** Where the tracks begin, in a message that is known to be a whole multitrack message. */
function multitrackStart(body: Buffer): number {
  let at = 1
  for (let packetType = body[0]! & 0x0f; packetType === modExPacketType; packetType = body[at - 1]! & 0x0f)
    at = modExEnd(body, at)
  return at + 1
}
