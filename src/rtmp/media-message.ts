import { leadingText } from './amf0.ts'
import {
  audioPacketTypes,
  type EnhancedStart,
  enhancedAudioFormat,
  frameTypes,
  readEnhancedStart,
  videoPacketTypes,
} from './enhanced.ts'

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
  /** Tracks in the message: 1, or more in one of the multitrack forms. */
  tracks: number
  /** 0 is the default track. Of a message with many tracks: 0 when it is among them, else the first one's. */
  trackId: number
  modEx: boolean
  /** Milliseconds from decoding to showing, signed; 0 where the form has none. */
  compositionTimeMs: number
}

export function newMediaMessage(): MediaMessage {
  return {
    kind: 'data',
    role: 'other',
    codec: '',
    enhanced: false,
    multitrack: false,
    tracks: 1,
    trackId: 0,
    modEx: false,
    compositionTimeMs: 0,
  }
}

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
/**
 * Legacy codec ids with a header of five bytes: | frame type, codec id | packet type: 0 header, 1 frame, 2 end | composition time 3 |.
 */
const packetTypedVideo = new Set([7, 12, 13])
const packetTypedHeaderBytes = 5
/** FourCCs whose CodedFrames begin with a composition time of three bytes. */
export const compositionTimed = new Set(['avc1', 'hvc1', 'vvc1'])

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
const legacyAac = 10

function reset(into: MediaMessage, kind: MediaKind): void {
  into.kind = kind
  into.role = 'other'
  into.codec = ''
  into.enhanced = false
  into.multitrack = false
  into.tracks = 1
  into.trackId = 0
  into.modEx = false
  into.compositionTimeMs = 0
}

/** A signed 24-bit number. */
function int24At(body: Buffer, at: number): number {
  return ((body[at]! << 24) | (body[at + 1]! << 16) | (body[at + 2]! << 8)) >> 8
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
    else if (packetTypedVideo.has(codecId)) classifyPacketTyped(body, frameType, into)
    else into.role = body.length === 1 ? 'empty' : frameRole(frameType)
    return
  }
  into.enhanced = true
  const packet = readEnhancedStart(body, 'video')
  if (packet === undefined) return
  into.modEx = packet.modEx
  if (frameType === frameTypes.command && packet.packetType !== videoPacketTypes.metadata) {
    into.role = 'command'
    return
  }
  takePacket(packet, into)
  const bodyBytes = packet.end - packet.start
  switch (packet.packetType) {
    case videoPacketTypes.sequenceStart:
    case videoPacketTypes.mpeg2TsSequenceStart:
      into.role = bodyBytes === 0 ? 'empty' : 'sequence_header'
      break
    case videoPacketTypes.codedFrames: {
      const timeBytes = compositionTimed.has(packet.codec) ? 3 : 0
      if (bodyBytes < timeBytes) break
      if (timeBytes > 0) into.compositionTimeMs = int24At(body, packet.start)
      into.role = bodyBytes === timeBytes ? 'empty' : frameRole(frameType)
      break
    }
    case videoPacketTypes.codedFramesX:
      into.role = bodyBytes === 0 ? 'empty' : frameRole(frameType)
      break
    case videoPacketTypes.sequenceEnd:
      into.role = 'end_of_sequence'
      break
    case videoPacketTypes.metadata:
      into.role = 'metadata'
      break
  }
}

function takePacket(packet: EnhancedStart, into: MediaMessage): void {
  into.codec = packet.codec
  into.multitrack = packet.multitrackType >= 0
  into.tracks = packet.tracks
  into.trackId = packet.trackId
}

function classifyPacketTyped(body: Buffer, frameType: number, into: MediaMessage): void {
  if (body.length < 2) return
  const packetType = body[1]!
  if (packetType === 2) into.role = 'end_of_sequence'
  else if (packetType > 2 || body.length < packetTypedHeaderBytes) return
  // DJI devices send frames without a byte; a header without one would put a good header out of force.
  else if (body.length === packetTypedHeaderBytes) into.role = 'empty'
  else if (packetType === 0) into.role = 'sequence_header'
  else {
    into.role = frameRole(frameType)
    into.compositionTimeMs = int24At(body, 2)
  }
}

function frameRole(frameType: number): MediaRole {
  switch (frameType) {
    case frameTypes.key:
    case frameTypes.generatedKey:
      return 'key_frame'
    case frameTypes.inter:
      return 'frame'
    case frameTypes.disposable:
      return 'disposable_frame'
    default:
      return 'other'
  }
}

/** @param body of a message of type 8. */
export function classifyAudio(body: Buffer, into: MediaMessage): void {
  reset(into, 'audio')
  if (body.length === 0) {
    into.role = 'empty'
    return
  }
  const format = body[0]! >> 4
  if (format !== enhancedAudioFormat) {
    into.codec = audioCodecs.get(format) ?? ''
    // Without a body: some devices send them, and some destinations die of them (of an empty AAC frame, and of an empty header).
    if (body.length === 1 || (format === legacyAac && body.length === 2)) into.role = 'empty'
    else if (format !== legacyAac || body[1] === 1) into.role = 'frame'
    else if (body[1] === 0) into.role = 'sequence_header'
    return
  }
  into.enhanced = true
  const packet = readEnhancedStart(body, 'audio')
  if (packet === undefined) return
  into.modEx = packet.modEx
  takePacket(packet, into)
  switch (packet.packetType) {
    case audioPacketTypes.sequenceStart:
      // Only AAC must have a configuration; the header of Opus may be empty.
      into.role = packet.codec === 'mp4a' && packet.start === packet.end ? 'empty' : 'sequence_header'
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
