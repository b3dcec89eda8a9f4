import { leadingText } from './amf0.ts'
import { audioPacketTypes, frameTypes, type TrackPart, tracksOf, videoPacketTypes } from './enhanced.ts'
import type { MediaMessage } from './media-message.ts'

/**
 * The plain form of a media message, for a destination that has not said that it understands more: the default track alone, without
 * multitrack wrapping and ModEx, as a legacy tag where the codec has one (H.264, AAC, MP3). HEVC, AV1, Opus and their like keep the
 * tag of Enhanced RTMP v1, for which there is no other.
 */

const plainCodecs = { video: ['avc1'], audio: ['mp4a', '.mp3'] }
/** Data that only its own kind of destination understands: sound in data messages (OBS 26 to 30 for Twitch). */
const specialData = new Set(['additionalMedia', 'onExpectAdditionalMedia'])

/** Whether the plain form of a message differs from it. */
export function isBeyondPlain(media: MediaMessage, body: Buffer): boolean {
  if (media.kind === 'data') return !isPlainData(media, body)
  if (!media.enhanced) return false
  return (
    media.multitrack ||
    media.modEx ||
    media.trackId !== 0 ||
    plainCodecs[media.kind].includes(media.codec) ||
    media.role === 'multichannel_config'
  )
}

/** @returns the plain form; the same body when it is plain already; undefined when there is none. */
export function plainForm(media: MediaMessage, body: Buffer): Buffer | undefined {
  if (media.kind === 'data') return isPlainData(media, body) ? body : undefined
  if (!isBeyondPlain(media, body)) return body
  if (media.role === 'command') return media.modEx ? undefined : body
  const part = tracksOf(body, media.kind).find((track) => track.trackId === 0)
  if (part === undefined) return undefined
  return media.kind === 'video' ? plainVideo(body, part) : plainAudio(body, part)
}

function isPlainData(media: MediaMessage, body: Buffer): boolean {
  return leadingText(body) !== undefined && !specialData.has(media.codec)
}

const avc = 7
const noCompositionTime = Buffer.alloc(3)

function plainVideo(body: Buffer, part: TrackPart): Buffer | undefined {
  const frameType = (body[0]! >> 4) & 0x07
  const bytes = body.subarray(part.start, part.end)
  if (part.codec !== 'avc1')
    return Buffer.concat([
      Buffer.of(0x80 | (frameType << 4) | part.packetType),
      Buffer.from(part.codec, 'latin1'),
      bytes,
    ])
  const key = (frameTypes.key << 4) | avc
  switch (part.packetType) {
    case videoPacketTypes.sequenceStart:
      return Buffer.concat([Buffer.of(key, 0), noCompositionTime, bytes])
    case videoPacketTypes.codedFrames:
      return Buffer.concat([Buffer.of((frameType << 4) | avc, 1), bytes])
    case videoPacketTypes.codedFramesX:
      return Buffer.concat([Buffer.of((frameType << 4) | avc, 1), noCompositionTime, bytes])
    case videoPacketTypes.sequenceEnd:
      return Buffer.concat([Buffer.of(key, 2), noCompositionTime])
    default:
      return undefined
  }
}

/** Format 10 is AAC, whose rate, size and channels always read 44.1 kHz, 16 bits, stereo; 2 is MP3. */
const aacTag = 0xaf
const mp3Tag = 0x2f

function plainAudio(body: Buffer, part: TrackPart): Buffer | undefined {
  const bytes = body.subarray(part.start, part.end)
  const { packetType } = part
  const isFrame = packetType === audioPacketTypes.codedFrames
  const isStart = packetType === audioPacketTypes.sequenceStart
  if (packetType === audioPacketTypes.multichannelConfig) return undefined
  if (part.codec === 'mp4a')
    return isFrame || isStart ? Buffer.concat([Buffer.of(aacTag, isFrame ? 1 : 0), bytes]) : undefined
  if (part.codec === '.mp3') return isFrame ? Buffer.concat([Buffer.of(mp3Tag), bytes]) : undefined
  return Buffer.concat([Buffer.of(0x90 | packetType), Buffer.from(part.codec, 'latin1'), bytes])
}
