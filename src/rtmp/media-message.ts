import { leadingText } from './amf0.ts'

/**
 * What a relay must see of a media message; the body is never changed, copied or kept. Legacy FLV tags and Enhanced RTMP (v1 and
 * v2, r2 of 2026-01-31) in all their forms.
 *
 *   video:  | ex 1 | frame type 3 | codec id 4, or packet type 4 | …        audio: | format 4 | rate, size, channels, or packet type 4 | …
 */
export type MediaKind = 'video' | 'audio' | 'data'

export type MediaRole =
  | 'sequence_header'
  | 'key_frame'
  | 'frame'
  /** A frame that no other refers to. */
  | 'disposable_frame'
  | 'end_of_sequence'
  /** onMetaData, or the HDR metadata of Enhanced RTMP (colorInfo). */
  | 'metadata'
  | 'multichannel_config'
  /** A seek command of the encoder: not a frame. */
  | 'command'
  | 'empty'
  | 'other'

/** Filled by the classify functions; one object is used again and again. */
export type MediaMessage = {
  kind: MediaKind
  role: MediaRole
  /** FourCC for what Enhanced RTMP names, also in its legacy form (avc1, mp4a, .mp3); a plain name for the rest. */
  codec: string
  /** Written in the form of Enhanced RTMP. */
  enhanced: boolean
  multitrack: boolean
  /** 0 is the default track. Of a message with many tracks, the first one's. */
  trackId: number
  modEx: boolean
}

export function newMediaMessage(): MediaMessage {
  return { kind: 'data', role: 'other', codec: '', enhanced: false, multitrack: false, trackId: 0, modEx: false }
}

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

const videoCodecs = new Map([
  [2, 'h263'],
  [3, 'screen'],
  [4, 'vp6f'],
  [5, 'vp6a'],
  [6, 'screen2'],
  [7, 'avc1'],
  // Never in a specification; the convention of Chinese networks.
  [12, 'hvc1'],
  [13, 'av01'],
])
/** Legacy codec ids whose second byte says header, frame or end. */
const packetTypedVideo = new Set([7, 12, 13])

const audioCodecs = new Map([
  [0, 'pcm'],
  [1, 'adpcm'],
  [2, '.mp3'],
  [3, 'pcm'],
  [4, 'nellymoser'],
  [5, 'nellymoser'],
  [6, 'nellymoser'],
  [7, 'pcma'],
  [8, 'pcmu'],
  [10, 'mp4a'],
  [11, 'speex'],
  [13, 'Opus'],
  [14, '.mp3'],
])
const enhancedAudio = 9
const legacyAac = 10

/** FourCCs that were seen, so that a message costs no text. Bounded: what is not known is not kept. */
const fourCcTexts = new Map<number, string>(
  ['vp08', 'vp09', 'av01', 'avc1', 'hvc1', 'vvc1', 'ac-3', 'ec-3', 'Opus', '.mp3', 'fLaC', 'mp4a'].map((text) => [
    Buffer.from(text, 'latin1').readUInt32BE(0),
    text,
  ]),
)

function fourCcAt(body: Buffer, at: number): string {
  const value = body.readUInt32BE(at)
  return fourCcTexts.get(value) ?? body.toString('latin1', at, at + 4)
}

function reset(into: MediaMessage, kind: MediaKind): void {
  into.kind = kind
  into.role = 'other'
  into.codec = ''
  into.enhanced = false
  into.multitrack = false
  into.trackId = 0
  into.modEx = false
}

/** @param body of a message of type 9. Nonsense becomes the role `other`; never throws. */
export function classifyVideo(body: Buffer, into: MediaMessage): void {
  reset(into, 'video')
  if (body.length === 0) {
    into.role = 'empty'
    return
  }
  const first = body[0]!
  const frameType = (first >> 4) & 0x07
  if ((first & 0x80) === 0) {
    const codecId = first & 0x0f
    into.codec = videoCodecs.get(codecId) ?? ''
    if (frameType === frameTypes.command) into.role = 'command'
    else if (packetTypedVideo.has(codecId)) {
      if (body.length < 2) return
      into.role = body[1] === 0 ? 'sequence_header' : body[1] === 2 ? 'end_of_sequence' : frameRole(frameType)
    } else into.role = frameRole(frameType)
    return
  }
  into.enhanced = true
  const packet = readEnhancedStart(body, videoPacketTypes.multitrack)
  if (packet === undefined) return
  into.modEx = packet.modEx
  if (frameType === frameTypes.command && packet.packetType !== videoPacketTypes.metadata) {
    into.role = 'command'
    return
  }
  into.codec = packet.codec
  into.multitrack = packet.multitrackType >= 0
  into.trackId = packet.trackId
  switch (packet.packetType) {
    case videoPacketTypes.sequenceStart:
    case videoPacketTypes.mpeg2TsSequenceStart:
      into.role = 'sequence_header'
      break
    case videoPacketTypes.codedFrames:
    case videoPacketTypes.codedFramesX:
      into.role = frameRole(frameType)
      break
    case videoPacketTypes.sequenceEnd:
      into.role = 'end_of_sequence'
      break
    case videoPacketTypes.metadata:
      into.role = 'metadata'
      break
  }
}

function frameRole(frameType: number): MediaRole {
  if (frameType === frameTypes.key || frameType === frameTypes.generatedKey) return 'key_frame'
  return frameType === frameTypes.disposable ? 'disposable_frame' : 'frame'
}

/** @param body of a message of type 8. */
export function classifyAudio(body: Buffer, into: MediaMessage): void {
  reset(into, 'audio')
  if (body.length === 0) {
    into.role = 'empty'
    return
  }
  const format = body[0]! >> 4
  if (format !== enhancedAudio) {
    into.codec = audioCodecs.get(format) ?? ''
    into.role = format === legacyAac && body.length >= 2 && body[1] === 0 ? 'sequence_header' : 'frame'
    // An AAC frame without a body: some devices send them, and some destinations die of them.
    if (format === legacyAac && body.length <= 2 && into.role === 'frame') into.role = 'empty'
    return
  }
  into.enhanced = true
  const packet = readEnhancedStart(body, audioPacketTypes.multitrack)
  if (packet === undefined) return
  into.modEx = packet.modEx
  into.codec = packet.codec
  into.multitrack = packet.multitrackType >= 0
  into.trackId = packet.trackId
  switch (packet.packetType) {
    case audioPacketTypes.sequenceStart:
      into.role = 'sequence_header'
      break
    case audioPacketTypes.codedFrames:
      into.role = 'frame'
      break
    case audioPacketTypes.sequenceEnd:
      into.role = 'end_of_sequence'
      break
    case audioPacketTypes.multichannelConfig:
      into.role = 'multichannel_config'
      break
  }
}

/** @param body of a message of type 18, or of type 15 without its first byte. Any other first text, or no AMF at all, is fine. */
export function classifyData(body: Buffer, into: MediaMessage): void {
  reset(into, 'data')
  if (body.length === 0) {
    into.role = 'empty'
    return
  }
  const first = leadingText(body)
  if (first === undefined) return
  const name = first.text === '@setDataFrame' ? leadingText(body.subarray(first.bytes))?.text : first.text
  into.codec = name ?? ''
  if (name === 'onMetaData') into.role = 'metadata'
}

type EnhancedStart = {
  packetType: number
  codec: string
  modEx: boolean
  /** −1: one track, without the wrapping. */
  multitrackType: number
  trackId: number
  /** Where the body of the (first) track begins. */
  bodyStart: number
}
const enhancedStart: EnhancedStart = {
  packetType: 0,
  codec: '',
  modEx: false,
  multitrackType: -1,
  trackId: 0,
  bodyStart: 0,
}

/** ModEx packets in one message; the specification sets no limit, and one kind of them exists. */
const modExCountMax = 8
const modExPacketType = 7

/** Reads up to the FourCC and track id. The same object each time. Undefined: truncated, or nonsense. */
function readEnhancedStart(body: Buffer, multitrackPacketType: number): EnhancedStart | undefined {
  const start = enhancedStart
  start.packetType = body[0]! & 0x0f
  start.modEx = false
  start.multitrackType = -1
  start.trackId = 0
  start.codec = ''
  let at = 1
  for (let count = 0; start.packetType === modExPacketType; count++) {
    const end = modExEnd(body, at)
    if (end < 0 || count === modExCountMax) return undefined
    start.modEx = true
    start.packetType = body[end - 1]! & 0x0f
    at = end
  }
  // A command (frame type 5) has one byte and no FourCC.
  const isCommand = ((body[0]! >> 4) & 0x07) === frameTypes.command && (body[0]! & 0x80) !== 0
  if (isCommand && multitrackPacketType === videoPacketTypes.multitrack && start.packetType !== videoPacketTypes.metadata)
    return start
  if (start.packetType === multitrackPacketType) {
    if (at >= body.length) return undefined
    start.multitrackType = body[at]! >> 4
    start.packetType = body[at]! & 0x0f
    at++
    if (start.packetType === multitrackPacketType || start.multitrackType > multitrackTypes.manyTracksManyCodecs)
      return undefined
    if (at + 5 > body.length) return undefined
    start.codec = fourCcAt(body, at)
    start.trackId = body[at + 4]!
    start.bodyStart = at + 5 + (start.multitrackType === multitrackTypes.oneTrack ? 0 : 3)
    return start
  }
  if (at + 4 > body.length) return undefined
  start.codec = fourCcAt(body, at)
  start.bodyStart = at + 4
  return start
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

/** More tracks than this in one message are not looked at. */
const tracksMax = 16

/** The tracks of a message of Enhanced RTMP, ModEx and multitrack wrapping taken off; empty when it is nonsense. */
export function tracksOf(body: Buffer, kind: 'video' | 'audio'): TrackPart[] {
  if (body.length === 0) return []
  const multitrackPacketType = kind === 'video' ? videoPacketTypes.multitrack : audioPacketTypes.multitrack
  const head = readEnhancedStart(body, multitrackPacketType)
  if (head === undefined || head.codec === '') return []
  const { packetType, multitrackType, bodyStart } = head
  if (multitrackType < 0 || multitrackType === multitrackTypes.oneTrack)
    return bodyStart <= body.length
      ? [{ trackId: head.trackId, codec: head.codec, packetType, start: bodyStart, end: body.length }]
      : []
  const parts: TrackPart[] = []
  let codec = head.codec
  let at = bodyStart - 4
  const hasOwnCodec = multitrackType === multitrackTypes.manyTracksManyCodecs
  while (at + 4 <= body.length && parts.length < tracksMax) {
    if (hasOwnCodec && parts.length > 0) {
      if (at + 8 > body.length) return parts
      codec = fourCcAt(body, at)
      at += 4
    }
    const trackId = body[at]!
    const start = at + 4
    const end = start + body.readUIntBE(at + 1, 3)
    if (end > body.length) return parts
    parts.push({ trackId, codec, packetType, start, end })
    at = end
  }
  return parts
}
