import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readFlv } from '../../test/support/flv.ts'
import { bytesOf } from './amf0.vectors.ts'
import { readLegacyAudioFlags, readMp3Frame, unknownAudio } from './audio-format.ts'
import { BitReader, withoutEmulationPrevention } from './bit-reader.ts'
import { classifyAudio, classifyVideo, newMediaMessage } from './media-message.ts'
import { payloadOf } from './payload.ts'
import { readAudioFormat, readVideoFormat } from './sequence-header.ts'
import { audioFormatVectors, videoFormatVectors } from './sequence-header.vectors.ts'
import { unknownVideo } from './video-format.ts'
import { readVp9KeyFrame } from './vp9-configuration.ts'

const videoCodecs = ['avc1', 'hvc1', 'av01', 'vp09', 'vp08', 'vvc1', 'h263', ''] as const
const audioCodecs = ['mp4a', 'Opus', 'fLaC', '.mp3', 'ac-3', 'pcm', ''] as const

/** A format of nonsense is made of what a format may be. */
function assertBelievable(format: object): void {
  for (const [name, value] of Object.entries(format)) {
    if (value === undefined) continue
    if (name === 'profile' || name === 'level') assert.match(value, /^[\w .:]{1,24}$/)
    else if (name === 'frameRate') assert.ok(value > 0 && value <= 1000, `${name} ${value}`)
    else assert.ok(Number.isInteger(value) && value >= 1 && value <= 768_000, `${name} ${value}`)
  }
}

describe('video sequence headers', () => {
  for (const { name, codec, bytes, expected } of videoFormatVectors)
    it(`${codec}: ${name}`, () => {
      const before = Buffer.from(bytes)
      assert.deepEqual(readVideoFormat(codec, bytes), expected)
      assert.deepEqual(bytes, before)
    })

  it('cut anywhere, a header gives less and nothing else', () => {
    for (const { name, codec, bytes, expected } of videoFormatVectors)
      for (let length = 0; length < bytes.length; length++) {
        const format = readVideoFormat(codec, bytes.subarray(0, length))
        for (const [field, value] of Object.entries(format))
          if (value !== undefined && codec !== 'vp09')
            assert.equal(value, expected[field as keyof typeof expected], `${name}, ${length} bytes, ${field}`)
      }
  })

  it('an SPS that is cut within its record, at every bit, gives less and nothing else', () => {
    const { bytes, expected } = videoFormatVectors[0]!
    const sps = bytes.subarray(8, 8 + bytes.readUInt16BE(6))
    for (let length = 0; length < sps.length; length++) {
      const head = Buffer.from(bytes.subarray(0, 8))
      head.writeUInt16BE(length, 6)
      const { width, height } = readVideoFormat('avc1', Buffer.concat([head, sps.subarray(0, length)]))
      assert.ok((width === undefined && height === undefined) || (width === 1920 && height === 1080))
    }
    assert.equal(expected.width, 1920)
  })
})

describe('audio sequence headers', () => {
  for (const { name, codec, bytes, expected } of audioFormatVectors)
    it(`${codec}: ${name}`, () => assert.deepEqual(readAudioFormat(codec, bytes), expected))

  const flags: readonly (readonly [string, number, number | undefined, number | undefined])[] = [
    ['MP3, 44.1 kHz stereo', 0x2f, 44_100, 2],
    ['MP3, 22.05 kHz mono', 0x2a, 22_050, 1],
    ['MP3, 8 kHz', 0xe2, 8_000, 1],
    ['PCM, 5.5 kHz', 0x32, 5_512, 1],
    ['PCM, 11.025 kHz stereo', 0x07, 11_025, 2],
    ['G.711', 0x72, 8_000, 1],
    ['Speex, whatever it says', 0xbf, 16_000, 1],
    ['Nellymoser at 16 kHz', 0x42, 16_000, 1],
    ['Nellymoser at 8 kHz', 0x52, 8_000, 1],
    ['AAC, whose flags say nothing', 0xaf, undefined, undefined],
    ['Enhanced RTMP', 0x90, undefined, undefined],
  ]
  for (const [name, first, sampleRate, channels] of flags)
    it(`the flags of a legacy tag: ${name}`, () =>
      assert.deepEqual(readLegacyAudioFlags(first), { sampleRate, channels }))

  it('what is no frame of MP3', () => {
    for (const bytes of ['', 'fffb94', '00fb9464', 'ff1b9464', 'ffeb9464', 'fff99464', 'fffb9c64'])
      assert.equal(readMp3Frame(bytesOf(bytes)), undefined)
  })
})

describe('the size in a key frame of VP9', () => {
  const frames: readonly (readonly [string, string, object | undefined])[] = [
    ['profile 0', '824983420027f016760a38241c184a1005587fd1', { width: 640, height: 360 }],
    ['profile 2, 10 bits', '924983420009f8059b091c120e0c2c0003207fcd', { width: 320, height: 180 }],
    ['an inter frame', '8649834200 27f01676', undefined],
    ['no sync code', '824983430027f01676', undefined],
    ['cut off', '824983420027f0', undefined],
    ['nothing', '', undefined],
  ]
  for (const [name, bytes, expected] of frames)
    it(name, () => assert.deepEqual(readVp9KeyFrame(bytesOf(bytes)), expected))
})

describe('whatever the bytes', () => {
  const seeds = [...videoFormatVectors, ...audioFormatVectors].map(({ bytes }) => bytes)

  it('nothing throws or hangs, and nothing unbelievable is said', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...seeds), fc.uint8Array({ maxLength: 80 })),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
        fc.nat(),
        (seed, changes, length) => {
          const bytes = Buffer.from(seed).subarray(0, length % (seed.length + 1))
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
          for (const codec of videoCodecs) assertBelievable(readVideoFormat(codec, bytes))
          for (const codec of audioCodecs) assertBelievable(readAudioFormat(codec, bytes))
          assertBelievable(readVp9KeyFrame(bytes) ?? {})
          assertBelievable(readLegacyAudioFlags(bytes[0] ?? 0))
        },
      ),
      { numRuns: 3000 },
    )
  })

  it('megabytes of the same byte behind a good beginning cost next to nothing', () => {
    const began = performance.now()
    for (const { codec, bytes } of videoFormatVectors)
      for (const fill of [0x00, 0x01, 0x21, 0x7f, 0xff]) {
        const huge = Buffer.concat([bytes.subarray(0, 23), Buffer.alloc(2 * 1024 * 1024, fill)])
        assertBelievable(readVideoFormat(codec, huge))
      }
    // Far above what it takes (0.2 s, most of it to make the bytes), far below what a loop over all bytes in bits would.
    assert.ok(performance.now() - began < 10_000)
  })

  it('empty headers say nothing', () => {
    for (const codec of videoCodecs) assert.deepEqual(readVideoFormat(codec, Buffer.alloc(0)), unknownVideo)
    for (const codec of audioCodecs) assert.deepEqual(readAudioFormat(codec, Buffer.alloc(0)), unknownAudio)
  })
})

describe('the bit reader', () => {
  it('reads numbers, and says when there was less than was asked for', () => {
    const reader = new BitReader(Buffer.of(0b1010_0110, 0b0100_0000))
    assert.equal(reader.bits(0), 0)
    assert.equal(reader.unsigned(), 0)
    assert.equal(reader.signed(), 1)
    assert.equal(reader.signed(), -1)
    assert.equal(reader.left, 9)
    reader.align()
    assert.equal(reader.unsigned(), 1)
    assert.equal(reader.overrun, false)
    assert.equal(reader.unsigned(), 0)
    assert.ok(reader.overrun)
    assert.equal(reader.bits(1), 0)
  })

  it('32 bits are unsigned, and a number of more than 32 bits is none', () => {
    assert.equal(new BitReader(Buffer.alloc(4, 0xff)).bits(32), 2 ** 32 - 1)
    const longest = new BitReader(bytesOf('00000001 ffffffff'))
    assert.equal(longest.unsigned(), 2 ** 31 - 1 + 2 ** 31 - 1)
    const tooLong = new BitReader(Buffer.alloc(16))
    assert.equal(tooLong.unsigned(), 0)
    assert.ok(tooLong.overrun)
  })

  it('a number that is written is read', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2 ** 31 - 2), { minLength: 1, maxLength: 20 }), (numbers) => {
        const bits = numbers.map((number) => (number + 1).toString(2)).map((text) => '0'.repeat(text.length - 1) + text)
        const padded = bits.join('').padEnd(Math.ceil(bits.join('').length / 8) * 8, '0')
        const bytes = Buffer.from(padded.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2)))
        const reader = new BitReader(bytes)
        assert.deepEqual(
          numbers.map(() => reader.unsigned()),
          numbers,
        )
        assert.equal(reader.overrun, false)
      }),
    )
  })

  it('emulation prevention is taken off, and no other 03', () => {
    const table = [
      ['', ''],
      ['000003', '0000'],
      ['00000301', '000001'],
      ['0000030000030003', '000000000003'],
      ['000300030103', '000300030103'],
      ['00000303', '000003'],
      ['0000000302', '00000002'],
    ] as const
    for (const [sent, meant] of table)
      assert.equal(Buffer.from(withoutEmulationPrevention(bytesOf(sent))).toString('hex'), meant, sent)
  })
})

describe("FFmpeg 8's Enhanced RTMP", () => {
  for (const [file, picture, sound] of [
    ['hevc.flv', { profile: 'Range Extensions', width: 160, height: 90 }, { sampleRate: 44_100, channels: 1 }],
    ['av1opus.flv', { profile: 'High', width: 160, height: 90 }, { sampleRate: 48_000, channels: 1 }],
    ['mt.flv', { profile: 'Range Extensions', width: 160, height: 90 }, { sampleRate: 44_100, channels: 1 }],
  ] as const)
    it(`${file}: every track's header is read`, async () => {
      let headers = 0
      const media = newMediaMessage()
      for (const { type, body } of await readFlv(join(import.meta.dirname, '../../test/fixtures/flv', file))) {
        if (type !== 8 && type !== 9) continue
        if (type === 9) classifyVideo(body, media)
        else classifyAudio(body, media)
        if (media.role !== 'sequence_header') continue
        headers++
        const { start, end } = payloadOf(media, body)!
        const bytes = body.subarray(start, end)
        if (type === 9) {
          const { profile, width, height } = readVideoFormat(media.codec, bytes)
          assert.deepEqual({ profile, width, height }, picture)
        } else assert.deepEqual(readAudioFormat(media.codec, bytes), sound)
      }
      assert.ok(headers >= 2)
    })
})
