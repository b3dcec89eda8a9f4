import type { KeyFrameKind } from './key-frame.ts'

export type KeyFrameVector = {
  readonly name: string
  readonly codec: string
  readonly frame: string
  readonly expected: KeyFrameKind
  readonly nalLengthBytes?: number
}

/** The first four are the beginnings of what x264 and x265 wrote, their pictures cut short. */
export const keyFrameVectors: readonly KeyFrameVector[] = [
  { name: 'x264, IDR', codec: 'avc1', frame: '00000002 0910 00000004 65888200', expected: 'closed' },
  {
    name: 'x264 with an open GOP: a recovery point',
    codec: 'avc1',
    frame: '00000005 060601c480 00000004 418af82f',
    expected: 'open',
  },
  { name: 'x265 with an open GOP: CRA', codec: 'hvc1', frame: '00000004 2a01ac78', expected: 'open' },
  { name: 'x265, IDR_N_LP', codec: 'hvc1', frame: '00000004 2801af19', expected: 'closed' },
  { name: 'IDR_W_RADL', codec: 'hvc1', frame: '00000004 2601af19', expected: 'closed' },
  { name: 'BLA', codec: 'hvc1', frame: '00000004 2001af19', expected: 'closed' },
  { name: 'a picture that is no random access point', codec: 'hvc1', frame: '00000004 0201af19', expected: 'unknown' },
  {
    name: 'parameter sets in front',
    codec: 'hvc1',
    frame: '00000002 4001 00000002 4201 00000002 4401 00000003 260100',
    expected: 'closed',
  },
  { name: 'lengths of two bytes', codec: 'avc1', frame: '0002 0910 0002 6588', expected: 'closed', nalLengthBytes: 2 },
  { name: 'lengths of one byte', codec: 'avc1', frame: '02 0910 02 4188', expected: 'open', nalLengthBytes: 1 },
  { name: 'an empty NAL unit in front', codec: 'avc1', frame: '00000000 00000002 6588', expected: 'closed' },
  { name: 'no picture', codec: 'avc1', frame: '00000002 0910', expected: 'unknown' },
  { name: 'a length past the end', codec: 'avc1', frame: 'ffffffff 0910 6588', expected: 'unknown' },
  { name: 'nothing', codec: 'avc1', frame: '', expected: 'unknown' },
  { name: 'another codec', codec: 'av01', frame: '00000002 6588', expected: 'unknown' },
]

/** Kind, body, and what of it is payload. */
export const payloadVectors: readonly (readonly [string, 'video' | 'audio', string, string | undefined])[] = [
  ['legacy AVC', 'video', '17 01 000050 aabb', 'aabb'],
  ['legacy HEVC', 'video', '1c 00 000000 aabb', 'aabb'],
  ['legacy H.263', 'video', '12 aabb', 'aabb'],
  ['legacy AVC cut in its head', 'video', '17 01 0000', undefined],
  ['CodedFrames with a composition time', 'video', "91 'hvc1' 0000c8 aabb", 'aabb'],
  ['CodedFramesX', 'video', "93 'avc1' aabb", 'aabb'],
  ['AV1, which has no composition time', 'video', "91 'av01' aabb", 'aabb'],
  ['a sequence header', 'video', "90 'hvc1' aabb", 'aabb'],
  ['behind ModEx', 'video', "97 02 000001 01 'hvc1' 000000 aabb", 'aabb'],
  ['one track of many', 'video', "96 11 'hvc1' 01 000004 000000cc 00 000005 000000aabb", 'aabb'],
  ['no codec', 'video', '91 6876', undefined],
  ['AAC', 'audio', 'af 01 aabb', 'aabb'],
  ['MP3', 'audio', '2f aabb', 'aabb'],
  ['Opus', 'audio', "91 'Opus' aabb", 'aabb'],
  ['a track of its own', 'audio', "95 01 'mp4a' 00 aabb", 'aabb'],
  ['nothing', 'audio', '', undefined],
]
