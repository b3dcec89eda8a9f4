import { bytesOf } from './amf0.vectors.ts'
import { type AudioFormat, unknownAudio } from './audio-format.ts'
import { unknownVideo, type VideoFormat } from './video-format.ts'

export type FormatVector<Format> = {
  readonly name: string
  readonly codec: string
  readonly bytes: Buffer
  readonly expected: Format
}

const video = (
  name: string,
  codec: string,
  picture: string,
  seen: Partial<VideoFormat>,
): FormatVector<VideoFormat> => ({
  name,
  codec,
  bytes: bytesOf(picture),
  expected: { ...unknownVideo, ...seen },
})
const audio = (
  name: string,
  codec: string,
  picture: string,
  seen: Partial<AudioFormat>,
): FormatVector<AudioFormat> => ({
  name,
  codec,
  bytes: bytesOf(picture),
  expected: { ...unknownAudio, ...seen },
})

const nalLengthBytes = 4

/** What real encoders wrote (x264, x265, libaom, SVT-AV1, rav1e, libvpx), sizes and rates as ffprobe reports them. */
export const videoFormatVectors: readonly FormatVector<VideoFormat>[] = [
  video(
    'x264 High, 1080p60: 8 lines are cut off',
    'avc1',
    '0164002affe1001b 6764002aacd940780227e5c044000003000400000301e03c60c658 01000668ebe3cb22c0fdf8f800',
    { profile: 'High', level: '4.2', width: 1920, height: 1080, frameRate: 60, nalLengthBytes },
  ),
  video(
    'x264 Constrained Baseline, 426x240, 30000/1001',
    'avc1',
    '0142c015ffe10017 6742c015d901b1fe4f011000003e90000ea600f162e480 01000568cb83cb20',
    { profile: 'Constrained Baseline', level: '2.1', width: 426, height: 240, frameRate: 29.97, nalLengthBytes },
  ),
  video(
    'x264 Main, 960x540',
    'avc1',
    '014d401fffe10018 674d401feca07808bf7808800000030080000019078c18cb 01000568ebe3cb20',
    { profile: 'Main', level: '3.1', width: 960, height: 540, frameRate: 25, nalLengthBytes },
  ),
  video(
    'x264 High, 1080i: map units are of two fields',
    'avc1',
    '01640028ffe1001a 67640028acd94078044fde0220000003002000000643e2c5b2c0 01000668fba3cb22c0fdf8f800',
    { profile: 'High', level: '4.0', width: 1920, height: 1080, frameRate: 25, nalLengthBytes },
  ),
  video(
    'x264 High 4:2:2, 10 bits, 1276x718',
    'avc1',
    '017a0020ffe1001b 677a0020b6cd9405005beef011000003000100000300640f183196 01000668ebe3cb22c0fefafa00',
    { profile: 'High 4:2:2', level: '3.2', width: 1276, height: 718, frameRate: 50, nalLengthBytes },
  ),
  video(
    'x264 High 4:4:4, 642x362',
    'avc1',
    '01f4001effe1001a 67f4001e919b281485fc7cf808800000030080000018078b16cb 01000668ebe3c44844fff8f800',
    { profile: 'High 4:4:4 Predictive', level: '3.0', width: 642, height: 362, frameRate: 24, nalLengthBytes },
  ),
  video(
    'x264 with aspect ratio, colours and HRD, 322x182',
    'avc1',
    `0164000dffe1002d 6764000dacd941519e226ffc00d00115a808080a00000300020000030078c04003d08000f427261803c50a658
     01000568ebecb22cfdf8f800`,
    { profile: 'High', level: '1.3', width: 322, height: 182, frameRate: 30, nalLengthBytes },
  ),
  video(
    'cropped on all four sides, by 18 and 8 pixels, of 960x544',
    'avc1',
    '014d401fffe1001b 674d401feca07808b94c8980880000030008000003019078c18cb0 01000568ebe3cb20',
    { profile: 'Main', level: '3.1', width: 942, height: 536, frameRate: 25, nalLengthBytes },
  ),
  video(
    'a picture order of type 1 with a cycle, scaling lists, without timing',
    'avc1',
    `01640028ffe1 000f 67640028 ${pack(
      // id 0, 4:2:0, 8 bits twice, lists: the first and the seventh end at once (a next scale of 8 − 8)
      '1 010 1 1 0  1 1 000010001 00000 1 000010001 0',
      // a picture order of type 1 with two offsets; one reference
      '1 010 1 1 1 011 010 011  010 0',
      // 40 macroblocks by 12 map units of two fields; six times four lines cut at the bottom; no VUI; the stop bit
      '00000101000 0001100 0 0 1  1 1 1 1 00111  0 1',
    )}`,
    { profile: 'High', level: '4.0', width: 640, height: 360, nalLengthBytes },
  ),
  video('level 1b of Baseline', 'avc1', '0142d00bffe0', {
    profile: 'Constrained Baseline',
    level: '1b',
    nalLengthBytes,
  }),
  video('an SPS that lies past the end: what stands in front is known', 'avc1', '0164002affe1001b67640028ac', {
    profile: 'High',
    level: '4.2',
    nalLengthBytes,
  }),
  video('two bytes of length', 'avc1', '014d401ffd', { profile: 'Main', level: '3.1', nalLengthBytes: 2 }),
  video('a profile that nobody knows', 'avc1', '0101001fffe0', { level: '3.1', nalLengthBytes }),
  video('Annex B in place of a record', 'avc1', '00000001 6764002aacd9', {}),

  video(
    'x265 Main, 1080p60',
    'hvc1',
    `0101600000009000000000007bf000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003007b959809
     210001002a42010101600000030090000003000003007ba003c08010e596566924caf0168080000003008000001e042200010007
     4401c172b46240`,
    { profile: 'Main', level: '4.1', width: 1920, height: 1080, frameRate: 60, nalLengthBytes },
  ),
  video(
    'x265 Main 10, 426x240 cut from 432x240',
    'hvc1',
    `0102200000009000000000003cf000fcfdfafa00000f03200001001840010c01ffff02200000030090000003000003003c959809
     210001002942010102200000030090000003000003003ca00d880f1c9b65959a4932bc05a02000007d20000ea601220001000744
     01c172b46240`,
    { profile: 'Main 10', level: '2.0', width: 426, height: 240, frameRate: 29.97, nalLengthBytes },
  ),
  video(
    'x265 with HRD, 1276x718',
    'hvc1',
    `01016000000090000000000078f000fcfdf8f800000f03200001001840010c01ffff016000000300900000030000030078959809
     2100010036420101016000000300900000030000030078a00280802d1dd65959a4932bc05a0200000300020000030064c02930dc
     001e848003d09922000100074401c172b46240`,
    { profile: 'Main', level: '4.0', width: 1276, height: 718, frameRate: 50, nalLengthBytes },
  ),
  video(
    'x265 4:2:2, 10 bits, 642x362',
    'hvc1',
    `0104080000009d08000000003ff000fcfefafa00000f03200001001740010c01ffff0408000003009d0800000300003f95980921
     0001002b4201010408000003009d0800000300003fb005120171c93b65959a4932bc05a020000003002000000303012200010007
     4401c172b46240`,
    { profile: 'Range Extensions', level: '2.1', width: 642, height: 362, frameRate: 24, nalLengthBytes },
  ),
  video(
    'x265 with scaling lists',
    'hvc1',
    `0101600000004000000000003ff000fcfdf8f800000f03200001001840010c01ffff01600000030040000003000003003f959809
     210001002b42010101600000030040000003000003003fa00502016965959a49395e02d0d0000003001000000301e08022000100
     074401c172b46240`,
    { profile: 'Main', level: '2.1', width: 640, height: 360, frameRate: 30, nalLengthBytes },
  ),
  video('without an SPS: what stands in front is known', 'hvc1', '0101600000009000000000007bf000fcfdf8f800000f00', {
    profile: 'Main',
    level: '4.1',
    nalLengthBytes,
  }),

  video('libaom, 1080p', 'av01', '81090c00 0a0b0000004aabbfc3732be401', {
    profile: 'Main',
    level: '4.1',
    width: 1920,
    height: 1080,
  }),
  video('libaom 4:4:4, 322x182', 'av01', '81200000 0a0a200000043d06d4daf902', {
    profile: 'High',
    level: '2.0',
    width: 322,
    height: 182,
  }),
  video('SVT-AV1, 426x240', 'av01', '81004c00 0a0b000000043ea7bc02f84040', {
    profile: 'Main',
    level: '2.0',
    width: 426,
    height: 240,
  }),
  video('rav1e, 320x180, no limit of level', 'av01', '811f0c00 0a0e000000fa1e7f66210ac8101010a0', {
    profile: 'Main',
    width: 320,
    height: 180,
  }),
  video('libaom with timing', 'av01', '81090c00 0a140400000004000000f30000095577f86e657c8020', {
    profile: 'Main',
    level: '4.1',
    width: 1920,
    height: 1080,
    frameRate: 60,
  }),
  video('behind a temporal delimiter', 'av01', '81090c00 1200 0a0b0000004aabbfc3732be401', {
    profile: 'Main',
    level: '4.1',
    width: 1920,
    height: 1080,
  }),
  video(
    'a still picture header',
    'av01',
    `81080c00 0a06 ${pack('000', '1', '1', '01000', '1000', '1000', '100111111', '010110011', '00000000')}`,
    {
      profile: 'Main',
      level: '4.0',
      width: 320,
      height: 180,
    },
  ),
  video('a descriptor of MPEG-2 TS', 'av01', '8004 81090c00', { profile: 'Main', level: '4.1' }),
  video('an OBU that has no end', 'av01', '81090c00 0affffffffffff', { profile: 'Main', level: '4.1' }),

  video('libvpx, as FFmpeg writes it', 'vp09', '01000000 020ba20202020000', { profile: 'Profile 2', level: '1.1' }),
  video('the same record alone', 'vp09', '0015820202020000', { profile: 'Profile 0', level: '2.1' }),
  video('no codec of ours', 'vvc1', '0164002affe1001b', {}),
]

/** What real encoders wrote (FFmpeg, libopus, FDK), and the forms of the specification that they do not use. */
export const audioFormatVectors: readonly FormatVector<AudioFormat>[] = [
  audio('AAC LC, 44.1 kHz stereo', 'mp4a', '1210 56e500', { sampleRate: 44_100, channels: 2 }),
  audio('AAC LC of two bytes, as OBS sends it', 'mp4a', '1190', { sampleRate: 48_000, channels: 2 }),
  audio('AAC LC, mono', 'mp4a', '1188 56e500', { sampleRate: 48_000, channels: 1 }),
  audio('AAC LC, 5.1', 'mp4a', '11b0 56e500', { sampleRate: 48_000, channels: 6 }),
  audio('AAC LC, 7.1', 'mp4a', '11b8 56e500', { sampleRate: 48_000, channels: 8 }),
  audio('AAC LC, channels listed: hexagonal', 'mp4a', '118004c808002008840d4c61766335392e33372e31303056e500', {
    sampleRate: 48_000,
    channels: 6,
  }),
  audio('AAC LC, channels listed: quad', 'mp4a', '118004c4040021100d4c61766335392e33372e31303056e500', {
    sampleRate: 48_000,
    channels: 4,
  }),
  audio('AAC LC, a list that is cut off', 'mp4a', '118004c8', { sampleRate: 48_000 }),
  audio('HE-AAC told in front', 'mp4a', '2b920800', { sampleRate: 44_100, channels: 2 }),
  audio('HE-AAC told at the end', 'mp4a', '1390 56e5a0', { sampleRate: 44_100, channels: 2 }),
  audio('HE-AAC v2 told in front', 'mp4a', 'eb098800', { sampleRate: 48_000, channels: 2 }),
  audio('HE-AAC v2 told at the end', 'mp4a', '1308 56e59d4880', { sampleRate: 48_000, channels: 2 }),
  audio('a rate that is spelt out', 'mp4a', pack('00010', '1111', '000000001011101110000001', '0010', '000'), {
    sampleRate: 48_001,
    channels: 2,
  }),
  audio('a rate of the table that does not exist', 'mp4a', pack('00010', '1110', '0010', '000'), { channels: 2 }),
  audio('ER AAC LD with its error protection', 'mp4a', pack('10111', '0011', '0010', '000', '00', '000000'), {
    sampleRate: 48_000,
    channels: 2,
  }),
  audio('xHE-AAC: an object type above 31', 'mp4a', pack('11111', '001010', '0011', '0010', '000000000'), {
    sampleRate: 48_000,
    channels: 2,
  }),
  audio('no object type', 'mp4a', '0000', {}),
  audio('one byte', 'mp4a', '12', {}),
  audio('Opus stereo', 'Opus', "'OpusHead' 01 02 3801 80bb0000 0000 00", { sampleRate: 48_000, channels: 2 }),
  audio('Opus 5.1, from 44.1 kHz', 'Opus', "'OpusHead' 01 06 3801 44ac0000 0000 01 0402000401020305", {
    sampleRate: 48_000,
    channels: 6,
  }),
  audio('Opus without a head', 'Opus', '', {}),
  audio('FLAC, as FFmpeg 8 writes it', 'fLaC', '120012000004a30005080ac442f0000022745d105ceb212ad5d36e4f5608def3d8b7', {
    sampleRate: 44_100,
    channels: 2,
  }),
  audio(
    'FLAC with its mark, 96 kHz mono of 24 bits',
    'fLaC',
    "'fLaC' 80000022 2000200000031c0008941770017000004b00603f481a60cff967d75a0670c8c32fae",
    { sampleRate: 96_000, channels: 1 },
  ),
  audio('FLAC, cut off', 'fLaC', "'fLaC' 80000022 2000200000031c00089417700170", {}),
  audio('MP3, 48 kHz joint stereo', '.mp3', 'fffb9464', { sampleRate: 48_000, channels: 2 }),
  audio('MP3, 22.05 kHz mono (MPEG-2)', '.mp3', 'fff340c4', { sampleRate: 22_050, channels: 1 }),
  audio('MP3, 8 kHz (MPEG-2.5)', '.mp3', 'ffe328c4', { sampleRate: 8_000, channels: 1 }),
  audio('AC-3', 'ac-3', '0b770000', {}),
]

/** Bits, written one after the other, as hex; filled up with zeros to the byte. */
function pack(...fields: readonly string[]): string {
  const bits = fields.join('').replaceAll(' ', '')
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0')
  return (padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2).toString(16).padStart(2, '0')).join('')
}
