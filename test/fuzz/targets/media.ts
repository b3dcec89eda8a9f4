import { amfLimits, leadingText, readAmf0Prefix } from '../../../src/rtmp/amf0.ts'
import { tracksOf } from '../../../src/rtmp/enhanced.ts'
import { flvHeader, flvTagOfMessage } from '../../../src/rtmp/flv-writer.ts'
import { keyFrameKind } from '../../../src/rtmp/key-frame.ts'
import { isBeyondPlain, plainForm } from '../../../src/rtmp/legacy-form.ts'
import {
  classifyAudio,
  classifyData,
  classifyVideo,
  type MediaMessage,
  newMediaMessage,
} from '../../../src/rtmp/media-message.ts'
import { messageTypes } from '../../../src/rtmp/message.ts'
import { payloadOf } from '../../../src/rtmp/payload.ts'
import { readAudioFormat, readVideoFormat } from '../../../src/rtmp/sequence-header.ts'
import { decodeFlv } from '../../support/flv.ts'
import { amfWords } from '../formats/amf.ts'
import { mediaWords, mutateMedia } from '../formats/media.ts'
import { tagsOf } from '../formats/tags.ts'
import { broadcastSeeds, mediaSeeds, sequenceHeaderSeeds } from '../seeds.ts'
import { hexes, magnitude, must, mustEqual, show, type Target, texts } from '../target.ts'

const kinds = ['video', 'audio', 'data'] as const
const classifiers = { video: classifyVideo, audio: classifyAudio, data: classifyData }
const codecs = ['avc1', 'hvc1', 'av01', 'vp08', 'vp09', 'mp4a', 'Opus', 'fLaC', '.mp3', 'zzzz'] as const

function classified(kind: (typeof kinds)[number], body: Buffer): MediaMessage {
  const media = newMediaMessage()
  classifiers[kind](body, media)
  return media
}

/** What a destination must see of a message in either form. */
function essence({ kind, role, codec, compositionTimeMs }: MediaMessage): string {
  // What is empty is not sent on: its time says nothing.
  return `${kind} ${role} ${codec} ${role === 'empty' ? '' : compositionTimeMs}`
}

/** A sound without a byte says silence in Enhanced RTMP, and nothing at all in a legacy tag. */
const isSilence = (media: MediaMessage, plain: MediaMessage): boolean =>
  media.kind === 'audio' && plain.role === 'empty' && (media.role === 'frame' || media.role === 'sequence_header')

/** | kind 1 | body | */
const mediaMessage: Target = {
  name: 'media-message',
  covers: [
    ...['media-message', 'enhanced', 'legacy-form', 'payload', 'key-frame'].map((name) => `src/rtmp/${name}.ts`),
    ...['sequence-header', 'audio-format', 'avc-configuration', 'bit-reader'].map((name) => `src/rtmp/${name}.ts`),
  ],
  seeds: mediaSeeds,
  words: [...mediaWords, ...amfWords],
  bytesMax: 16 * 1024,
  mutate(input, random) {
    const kind = (input[0] ?? 0) % 2
    return Buffer.concat([Buffer.of(kind), mutateMedia(kinds[kind as 0 | 1], input.subarray(1), random)])
  },
  run(input) {
    const kind = kinds[(input[0] ?? 0) % 3]!
    const body = input.subarray(1)
    const before = Buffer.from(body)
    const media = classified(kind, body)
    must(body.length > 0 || media.role === 'empty', 'a body without a byte is empty')
    must(/^[ -~]*$/.test(media.codec) || kind === 'data', 'a codec is printable')
    must(media.tracks >= 0 && media.tracks <= 16 && media.trackId >= 0 && media.trackId <= 255, 'tracks are counted')
    must(Math.abs(media.compositionTimeMs) <= 2 ** 23, 'a composition time has 24 bits')

    const payload = payloadOf(media, body)
    if (payload !== undefined) {
      const { start, end } = payload
      must(start >= 0 && start <= end && end <= body.length, 'a payload lies in its message')
      if (media.role === 'key_frame')
        for (const bytes of [1, 2, 3, 4]) keyFrameKind(media.codec, body, start, end, bytes)
      if (kind === 'video') checkVideoFormat(media.codec, body.subarray(start, end))
      if (kind === 'audio') checkAudioFormat(media.codec, body.subarray(start, end))
    }
    if (kind !== 'data') {
      let end = 0
      for (const part of tracksOf(body, kind)) {
        must(part.start >= end && part.end >= part.start && part.end <= body.length, 'tracks lie one behind the other')
        end = part.end
      }
    } else must(readAmf0Prefix(body).values.length <= amfLimits.itemsMax, 'data is read as far as it can be')

    const plain = plainForm(media, body)
    must(body.equals(before), 'a body is never changed')
    if (plain === undefined) return `${essence(media).slice(0, 40)} none`
    must(plain.length <= body.length + 8, 'the plain form is no longer')
    const seen = classified(kind, plain)
    must(!isBeyondPlain(seen, plain), 'the plain form is plain')
    must(plainForm(seen, plain) === plain, 'the plain form of the plain form is itself')
    if (isSilence(media, seen)) return 'silence'
    if (media.trackId === 0) mustEqual(essence(seen), essence(media), 'the plain form says the same')
    return kind === 'data'
      ? `data ${media.role}`
      : `${media.role} ${media.codec.length > 0} ${plain === body} ${media.multitrack}`
  },
}

function checkVideoFormat(codec: string, record: Buffer): string {
  const format = readVideoFormat(codec, record)
  mustEqual(show(readVideoFormat(codec, Buffer.from(record))), show(format), 'the same record says the same')
  const { width, height, frameRate, nalLengthBytes } = format
  must((width === undefined) === (height === undefined), 'width and height come together')
  for (const pixels of [width, height])
    if (pixels !== undefined) must(Number.isInteger(pixels) && pixels >= 1 && pixels <= 16_384, 'a size is one')
  if (frameRate !== undefined) must(frameRate >= 0.1 && frameRate <= 1000, 'a frame rate is one')
  if (nalLengthBytes !== undefined) must(nalLengthBytes >= 1 && nalLengthBytes <= 4, 'a length has 1 to 4 bytes')
  return Object.entries(format)
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name)
    .join(' ')
}

function checkAudioFormat(codec: string, record: Buffer): string {
  const { sampleRate, channels } = readAudioFormat(codec, record)
  if (sampleRate !== undefined) must(sampleRate > 0 && sampleRate <= 768_000, 'a sample rate is one')
  if (channels !== undefined)
    must(Number.isInteger(channels) && channels >= 1 && channels <= 255, 'channels are counted')
  return `${sampleRate !== undefined} ${channels !== undefined}`
}

/** | index of the codec 1 | configuration record | */
const sequenceHeader: Target = {
  name: 'sequence-header',
  covers: [
    ...['sequence-header', 'avc-configuration', 'hevc-configuration', 'av1-configuration', 'vp9-configuration'],
    ...['audio-format', 'video-format', 'bit-reader'],
  ].map((name) => `src/rtmp/${name}.ts`),
  seeds: () => sequenceHeaderSeeds(codecs),
  words: [
    ...hexes('0164001fffe1', '000003', '4201', '00000001', 'ffff', '8100', '0a0b', '2b7', '548f'),
    ...texts('OpusHead', 'fLaC'),
  ],
  bytesMax: 8 * 1024,
  run(input) {
    const codec = codecs[(input[0] ?? 0) % codecs.length]!
    const record = input.subarray(1)
    const isVideo = /^(avc|hvc|av0|vp)/.test(codec)
    return `${codec} ${isVideo ? checkVideoFormat(codec, record) : checkAudioFormat(codec, record)}`
  },
}

/** | type 1 | timestamp 4 | length 2 | body | … as an FLV file, read by another reader than ours. */
const flvWriter: Target = {
  name: 'flv-writer',
  covers: ['src/rtmp/flv-writer.ts'],
  seeds: broadcastSeeds,
  words: [...amfWords, ...hexes('08', '09', '12', '00ffffff', '01000000', 'ffffffff'), ...texts('@setDataFrame')],
  bytesMax: 4096,
  run(input) {
    const { audio, video, amf0Data } = messageTypes
    const messages = tagsOf(input).map((tag) => ({ ...tag, kind: [audio, video, amf0Data][tag.kind % 3]! }))
    const file = Buffer.concat([
      flvHeader({ audio: true, video: messages.length % 2 === 0 }),
      ...messages.map(({ kind, timestamp, body }) => flvTagOfMessage(kind, timestamp, body)),
    ])
    const tags = decodeFlv(file)
    must(tags.length === messages.length, 'each message is a tag')
    for (const [index, tag] of tags.entries()) {
      const { kind, timestamp, body } = messages[index]!
      must(tag.type === kind && tag.timestamp === timestamp, 'a tag has the type and the time of its message')
      const isScript = kind === messageTypes.amf0Data && tag.body.length < body.length
      must(
        isScript ? body.subarray(-tag.body.length || body.length).equals(tag.body) : tag.body.equals(body),
        'a tag has the body of its message',
      )
      if (isScript) must(leadingText(body)?.text === '@setDataFrame', 'only @setDataFrame is left out')
    }
    return `${magnitude(tags.length)}`
  },
}

export const mediaTargets: readonly Target[] = [mediaMessage, sequenceHeader, flvWriter]
