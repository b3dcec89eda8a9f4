import { bytesOf } from './amf0.vectors.ts'
import type { TrackPart } from './enhanced.ts'
import type { MediaMessage } from './media-message.ts'

export type MediaVector = {
  readonly name: string
  readonly body: Buffer
  /** What differs from: one plain track 0 of no codec, legacy, role `other`. */
  readonly seen: Partial<MediaMessage> & Pick<MediaMessage, 'kind'>
  /** What tracksOf gives; left out for none. */
  readonly tracks?: readonly TrackPart[]
}

const video = (
  name: string,
  picture: string,
  seen: Partial<MediaMessage>,
  tracks?: readonly TrackPart[],
): MediaVector => ({
  name,
  body: bytesOf(picture),
  seen: { kind: 'video', ...seen },
  ...(tracks && { tracks }),
})
const audio = (
  name: string,
  picture: string,
  seen: Partial<MediaMessage>,
  tracks?: readonly TrackPart[],
): MediaVector => ({
  name,
  body: bytesOf(picture),
  seen: { kind: 'audio', ...seen },
  ...(tracks && { tracks }),
})
const data = (name: string, picture: string, seen: Partial<MediaMessage>): MediaVector => ({
  name,
  body: bytesOf(picture),
  seen: { kind: 'data', ...seen },
})
const part = (trackId: number, codec: string, packetType: number, start: number, end: number): TrackPart => ({
  trackId,
  codec,
  packetType,
  start,
  end,
})

const enhanced = true
const multitrack = true
const modEx = true

/** Drives the classification, the cutting of tracks and the seeds of the fuzzers. */
export const mediaVectors: readonly MediaVector[] = [
  video('nothing', '', { role: 'empty' }),
  video('AVC header', '17 00 000000 01640028', { role: 'sequence_header', codec: 'avc1' }),
  video('AVC header marked as an inter frame', '27 00 000000 01', { role: 'sequence_header', codec: 'avc1' }),
  video('AVC header without a byte', '17 00 000000', { role: 'empty', codec: 'avc1' }),
  video('AVC key frame', '17 01 000050 00000001 65', { role: 'key_frame', codec: 'avc1', compositionTimeMs: 80 }),
  video('AVC frame shown before it is decoded', '27 01 ffffd8 00000001 41', {
    role: 'frame',
    codec: 'avc1',
    compositionTimeMs: -40,
  }),
  video('AVC disposable frame', '37 01 000000 00', { role: 'disposable_frame', codec: 'avc1' }),
  video('AVC generated key frame', '47 01 000000 00', { role: 'key_frame', codec: 'avc1' }),
  video('AVC frame without a byte, as DJI sends it', '17 01 000000', { role: 'empty', codec: 'avc1' }),
  video('AVC end of sequence', '17 02 000000', { role: 'end_of_sequence', codec: 'avc1' }),
  video('AVC cut in its header', '17 01 0000', { role: 'other', codec: 'avc1' }),
  video('AVC of one byte', '17', { role: 'other', codec: 'avc1' }),
  video('AVC of no packet type that exists', '17 03 000000 00', { role: 'other', codec: 'avc1' }),
  video('AVC of no frame type that exists', '07 01 000000 00', { role: 'other', codec: 'avc1' }),
  video('a seek command', '57 00', { role: 'command', codec: 'avc1' }),
  video('HEVC under codec id 12', '1c 00 000000 01', { role: 'sequence_header', codec: 'hvc1' }),
  video('HEVC key frame under codec id 12', '1c 01 000021 00', {
    role: 'key_frame',
    codec: 'hvc1',
    compositionTimeMs: 33,
  }),
  video('H.263 key frame', '12 00', { role: 'key_frame', codec: 'h263' }),
  video('VP6 frame', '24 00', { role: 'frame', codec: 'vp6f' }),
  video('a legacy frame that looks like one of Enhanced RTMP', "23 'hvc1' 00", { role: 'frame', codec: 'screen' }),
  video('a codec id that nobody knows', '19 00', { role: 'key_frame' }),
  video('HEVC header', "90 'hvc1' 01", { role: 'sequence_header', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 0, 5, 6),
  ]),
  video('HEVC header without a byte', "90 'hvc1'", { role: 'empty', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 0, 5, 5),
  ]),
  video(
    'HEVC key frame',
    "91 'hvc1' 0000c8 00",
    { role: 'key_frame', codec: 'hvc1', enhanced, compositionTimeMs: 200 },
    [part(0, 'hvc1', 1, 5, 9)],
  ),
  video(
    'HEVC frame shown before it is decoded',
    "a1 'hvc1' fffff6 00",
    { role: 'frame', codec: 'hvc1', enhanced, compositionTimeMs: -10 },
    [part(0, 'hvc1', 1, 5, 9)],
  ),
  video('HEVC frame without a byte', "91 'hvc1' 000000", { role: 'empty', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 1, 5, 8),
  ]),
  video('HEVC frame cut in its composition time', "91 'hvc1' 0000", { role: 'other', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 1, 5, 7),
  ]),
  video('HEVC frame without composition time', "a3 'hvc1' 00", { role: 'frame', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 3, 5, 6),
  ]),
  video(
    'AVC in the enhanced form',
    "91 'avc1' 000001 00",
    { role: 'key_frame', codec: 'avc1', enhanced, compositionTimeMs: 1 },
    [part(0, 'avc1', 1, 5, 9)],
  ),
  video('VVC header', "90 'vvc1' 00", { role: 'sequence_header', codec: 'vvc1', enhanced }, [part(0, 'vvc1', 0, 5, 6)]),
  video(
    'AV1 key frame, which has no composition time',
    "91 'av01' 0a0d20",
    { role: 'key_frame', codec: 'av01', enhanced },
    [part(0, 'av01', 1, 5, 8)],
  ),
  video('AV1 header for MPEG-2 TS', "95 'av01' 00", { role: 'sequence_header', codec: 'av01', enhanced }, [
    part(0, 'av01', 5, 5, 6),
  ]),
  video('VP9 frame', "a1 'vp09' 00", { role: 'frame', codec: 'vp09', enhanced }, [part(0, 'vp09', 1, 5, 6)]),
  video('VP8 disposable frame', "b1 'vp08' 00", { role: 'disposable_frame', codec: 'vp08', enhanced }, [
    part(0, 'vp08', 1, 5, 6),
  ]),
  video('end of sequence', "92 'hvc1'", { role: 'end_of_sequence', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 2, 5, 5),
  ]),
  video("FFmpeg's HDR metadata", "d4 'hvc1' 02 0009 'colorInfo'", { role: 'metadata', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 4, 5, 17),
  ]),
  video("OBS's HDR metadata", "94 'hvc1' 02", { role: 'metadata', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 4, 5, 6),
  ]),
  video('a seek command in the enhanced form', 'd0 00', { role: 'command', enhanced }),
  video('a packet type that nobody knows', "98 'hvc1' 00", { role: 'other', codec: 'hvc1', enhanced }, [
    part(0, 'hvc1', 8, 5, 6),
  ]),
  video('a FourCC that nobody knows', "91 'x999' 00", { role: 'key_frame', codec: 'x999', enhanced }, [
    part(0, 'x999', 1, 5, 6),
  ]),
  video('a FourCC that is no text', '91 000a0d1b 00', { role: 'key_frame', enhanced }),
  video('cut in its FourCC', "91 'hvc'", { role: 'other', enhanced }),
  video(
    'one track of many',
    "96 00 'hvc1' 01 01",
    { role: 'sequence_header', codec: 'hvc1', enhanced, multitrack, trackId: 1 },
    [part(1, 'hvc1', 0, 7, 8)],
  ),
  video(
    'a key frame of track 2',
    "96 01 'hvc1' 02 000010 00",
    { role: 'key_frame', codec: 'hvc1', enhanced, multitrack, trackId: 2, compositionTimeMs: 16 },
    [part(2, 'hvc1', 1, 7, 11)],
  ),
  video(
    'tracks of one codec',
    "a6 13 'hvc1' 00 000001 aa 01 000002 bbbb",
    { role: 'frame', codec: 'hvc1', enhanced, multitrack, tracks: 2 },
    [part(0, 'hvc1', 3, 10, 11), part(1, 'hvc1', 3, 15, 17)],
  ),
  video(
    'track 0 is not the first one',
    "96 11 'avc1' 01 000004 000001aa 00 000004 000002bb",
    { role: 'key_frame', codec: 'avc1', enhanced, multitrack, tracks: 2, compositionTimeMs: 2 },
    [part(1, 'avc1', 1, 10, 14), part(0, 'avc1', 1, 18, 22)],
  ),
  video(
    'tracks of many codecs',
    "96 20 'avc1' 03 000001 aa 'hvc1' 05 000001 bb",
    { role: 'sequence_header', codec: 'avc1', enhanced, multitrack, tracks: 2, trackId: 3 },
    [part(3, 'avc1', 0, 10, 11), part(5, 'hvc1', 0, 19, 20)],
  ),
  video(
    'the second track is longer than the rest',
    "a6 13 'hvc1' 00 000001 aa 01 000003 bbbb",
    { role: 'frame', codec: 'hvc1', enhanced, multitrack },
    [part(0, 'hvc1', 3, 10, 11)],
  ),
  video('the first track is longer than the rest', "a6 13 'hvc1' 00 ffffff aa", { role: 'other', enhanced }),
  video('multitrack in multitrack', "96 06 'hvc1' 00", { role: 'other', enhanced }),
  video('a multitrack type that nobody knows', "96 31 'hvc1' 00 000000", { role: 'other', enhanced }),
  video('multitrack of one byte', '96', { role: 'other', enhanced }),
  video(
    'a nanosecond offset',
    "97 02 0f423f 01 'hvc1' 000000 00",
    { role: 'key_frame', codec: 'hvc1', enhanced, modEx },
    [part(0, 'hvc1', 1, 10, 14)],
  ),
  video(
    'two ModEx packets, then a track',
    "97 00 aa 07 02 bbbbbb 06 03 'av01' 01 00",
    { role: 'key_frame', codec: 'av01', enhanced, modEx, multitrack, trackId: 1 },
    [part(1, 'av01', 3, 15, 16)],
  ),
  video(
    'ModEx, then several tracks',
    "97 00 aa 06 13 'av01' 01 000001 cc 00 000001 dd",
    { role: 'key_frame', codec: 'av01', enhanced, modEx, multitrack, tracks: 2 },
    [part(1, 'av01', 3, 13, 14), part(0, 'av01', 3, 18, 19)],
  ),
  video(
    'ModEx of 256 bytes and more',
    `97 ff 0100 ${'00'.repeat(257)} 03 'av01' 00`,
    { role: 'key_frame', codec: 'av01', enhanced, modEx },
    [part(0, 'av01', 3, 266, 267)],
  ),
  video(
    'eight ModEx packets',
    `97 ${'00 00 07 '.repeat(7)} 00 00 03 'av01' 00`,
    { role: 'key_frame', codec: 'av01', enhanced, modEx },
    [part(0, 'av01', 3, 29, 30)],
  ),
  video('nine ModEx packets', `97 ${'00 00 07 '.repeat(8)} 00 00 03 'av01' 00`, { role: 'other', enhanced }),
  video('ModEx longer than the rest', '97 ff ffff 00', { role: 'other', enhanced }),
  video('ModEx without end', `97 ${'00 00 07 '.repeat(100)}`, { role: 'other', enhanced }),

  audio('nothing', '', { role: 'empty' }),
  audio('AAC header', 'af 00 1208', { role: 'sequence_header', codec: 'mp4a' }),
  audio('AAC header without a byte', 'af 00', { role: 'empty', codec: 'mp4a' }),
  audio('AAC frame', 'af 01 de02', { role: 'frame', codec: 'mp4a' }),
  audio('AAC frame without a byte', 'af 01', { role: 'empty', codec: 'mp4a' }),
  audio('AAC of one byte', 'af', { role: 'empty', codec: 'mp4a' }),
  audio('AAC of no packet type that exists', 'af 02 00', { role: 'other', codec: 'mp4a' }),
  audio('MP3', '2f fffb', { role: 'frame', codec: '.mp3' }),
  audio('Speex', 'b6 00', { role: 'frame', codec: 'speex' }),
  audio('G.711 A-law', '72 00', { role: 'frame', codec: 'pcma' }),
  audio('Opus header', "90 'OpusHead'", { role: 'sequence_header', codec: 'Opus', enhanced }, [
    part(0, 'Opus', 0, 5, 9),
  ]),
  audio('Opus header without a byte', "90 'Opus'", { role: 'sequence_header', codec: 'Opus', enhanced }, [
    part(0, 'Opus', 0, 5, 5),
  ]),
  audio('AAC header without a byte, enhanced', "90 'mp4a'", { role: 'empty', codec: 'mp4a', enhanced }, [
    part(0, 'mp4a', 0, 5, 5),
  ]),
  audio('Opus frame', "91 'Opus' f8", { role: 'frame', codec: 'Opus', enhanced }, [part(0, 'Opus', 1, 5, 6)]),
  audio('FLAC end of sequence', "92 'fLaC'", { role: 'end_of_sequence', codec: 'fLaC', enhanced }, [
    part(0, 'fLaC', 2, 5, 5),
  ]),
  audio('AC-3 frame', "91 'ac-3' 0b", { role: 'frame', codec: 'ac-3', enhanced }, [part(0, 'ac-3', 1, 5, 6)]),
  audio('E-AC-3 frame', "91 'ec-3' 0b", { role: 'frame', codec: 'ec-3', enhanced }, [part(0, 'ec-3', 1, 5, 6)]),
  audio('MP3 frame, enhanced', "91 '.mp3' ff", { role: 'frame', codec: '.mp3', enhanced }, [part(0, '.mp3', 1, 5, 6)]),
  audio(
    "FFmpeg's channel layout",
    "94 'Opus' 01 02 00000003",
    { role: 'multichannel_config', codec: 'Opus', enhanced },
    [part(0, 'Opus', 4, 5, 11)],
  ),
  audio(
    "FFmpeg's channel layout of track 1",
    "95 04 'mp4a' 01 0101",
    { role: 'multichannel_config', codec: 'mp4a', enhanced, multitrack, trackId: 1 },
    [part(1, 'mp4a', 4, 7, 9)],
  ),
  audio(
    "OBS's second track",
    "95 01 'mp4a' 01 de",
    { role: 'frame', codec: 'mp4a', enhanced, multitrack, trackId: 1 },
    [part(1, 'mp4a', 1, 7, 8)],
  ),
  audio(
    'tracks of many codecs',
    "95 21 'Opus' 01 000001 aa 'mp4a' 00 000001 bb",
    { role: 'frame', codec: 'mp4a', enhanced, multitrack, tracks: 2 },
    [part(1, 'Opus', 1, 10, 11), part(0, 'mp4a', 1, 19, 20)],
  ),
  audio('a nanosecond offset', "97 02 000001 01 'Opus' f8", { role: 'frame', codec: 'Opus', enhanced, modEx }, [
    part(0, 'Opus', 1, 10, 11),
  ]),
  audio('cut in its FourCC', "91 'Opu'", { role: 'other', enhanced }),

  data('nothing', '', { role: 'empty' }),
  data('metadata', "02 000a 'onMetaData' 08 00000000 000009", { role: 'metadata', codec: 'onMetaData' }),
  data('metadata with @setDataFrame', "02 000d '@setDataFrame' 02 000a 'onMetaData' 08 00000000 000009", {
    role: 'metadata',
    codec: 'onMetaData',
  }),
  data('a text', "02 000a 'onTextData' 03 000009", { role: 'other', codec: 'onTextData' }),
  data('the extra audio of OBS for Twitch', "02 000f 'additionalMedia' 03 000009", {
    role: 'other',
    codec: 'additionalMedia',
  }),
  data('@setDataFrame of nothing', "02 000d '@setDataFrame'", { role: 'other' }),
  data('no AMF: MPEG-TS', '47 40 11 10 00', { role: 'other' }),
]
