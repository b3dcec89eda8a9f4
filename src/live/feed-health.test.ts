import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { readFlv } from '../../test/support/flv.ts'
import { inputWarningCodes } from '../errors.ts'
import type { InputHealth } from '../model/status.ts'
import { bytesOf } from '../rtmp/amf0.vectors.ts'
import { classifyAudio, classifyVideo, newMediaMessage } from '../rtmp/media-message.ts'
import { FeedHealth } from './feed-health.ts'
import { lanes } from './media-log.ts'
import { type PublisherClock, Timeline } from './timeline.ts'

const maxBitrateKbps = 12_000

/** x264's High, 1920x1080 at 60; two bytes of AAC: 48 kHz stereo. */
const avcHeader = bytesOf(
  '17 00 000000 0164002affe1001b6764002aacd940780227e5c044000003000400000301e03c60c65801000668ebe3cb22c0fdf8f800',
)
const aacHeader = bytesOf('af 00 1190')
const idr = bytesOf('17 01 000000 00000002 0910 00000004 65888200')
const recoveryPoint = bytesOf('17 01 000000 00000005 060601c480 00000004 418af82f')
const inter = bytesOf('27 01 000000 00000002 4188')
const aacFrame = bytesOf('af 01 2110')

function compositionTimed(body: Buffer, compositionTimeMs: number): Buffer {
  const copy = Buffer.from(body)
  copy.writeIntBE(compositionTimeMs, 2, 3)
  return copy
}

type Encoder = {
  /** Frames a second, seconds of media between key frames. */
  readonly frameRate?: number
  readonly gopSeconds?: number
  readonly hasAudio?: boolean
  readonly hasVideo?: boolean
  readonly keyFrame?: Buffer
  readonly frame?: (index: number) => Buffer
  /** Media seconds that arrive in a second of wall time. */
  readonly speed?: number
}

/** A feed on a clock that a test moves. */
class FeedOnTrial {
  readonly clock = new ManualClock()
  readonly health = new FeedHealth(this.clock, maxBitrateKbps)
  readonly #timeline = new Timeline()
  readonly #media = newMediaMessage()
  #publisher: PublisherClock | undefined
  /** The encoder's own clock. */
  #encoderMs = 0
  #frames = 0

  constructor(headers: { readonly video?: Buffer; readonly audio?: Buffer } = {}) {
    if (headers.video) this.video(headers.video, 0)
    if (headers.audio) this.sound(headers.audio, 0)
  }

  /** An encoder that starts anew, with a clock of its own. */
  reconnect(): void {
    this.#publisher = this.#timeline.attach(0)
    this.#encoderMs = 0
    this.#frames = 0
  }

  jump(durationMs: number): void {
    this.#encoderMs += durationMs
  }

  video(body: Buffer, timestamp: number): void {
    this.#send(classifyVideo, lanes.video, body, timestamp)
  }

  sound(body: Buffer, timestamp: number): void {
    this.#send(classifyAudio, lanes.audio, body, timestamp)
  }

  #send(classify: typeof classifyVideo, lane: number, body: Buffer, timestamp: number): void {
    const media = this.#media
    const passing = Buffer.from(body)
    classify(passing, media)
    const isHeader = media.role === 'sequence_header' || media.role === 'multichannel_config'
    if (!isHeader) this.#publisher ??= this.#timeline.attach(timestamp)
    const time = isHeader ? this.#timeline.newest : this.#publisher!.map(timestamp >>> 0, lane, lane === lanes.video)
    this.health.observe(media, passing, time, this.#publisher)
    // A body is valid during the call alone: whoever kept it would see this.
    passing.fill(0xee)
  }

  /** So many seconds of wall time, with a tick after each. */
  run(seconds: number, encoder: Encoder = {}): this {
    const { frameRate = 25, gopSeconds = 2, hasAudio = true, hasVideo = true, speed = 1 } = encoder
    const { keyFrame = idr, frame = () => inter } = encoder
    const framesPerGop = Math.round(frameRate * gopSeconds)
    for (let second = 0; second < seconds; second++) {
      const frames = Math.round(frameRate * speed)
      for (let at = 0; at < frames; at++) {
        const timestamp = Math.round(this.#encoderMs + (at * 1000) / frameRate)
        const index = this.#frames++
        if (hasVideo) this.video(index % framesPerGop === 0 ? keyFrame : frame(index), timestamp)
        if (hasAudio) this.sound(aacFrame, timestamp)
      }
      this.#encoderMs += (frames * 1000) / frameRate
      this.tick()
    }
    return this
  }

  /** A second in which nothing comes. */
  tick(seconds = 1): this {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1000)
      this.health.tick(this.clock.monotonicMs())
    }
    return this
  }

  get now(): InputHealth {
    return this.health.health([])
  }
  get codes(): readonly string[] {
    return this.now.warnings.map(({ code }) => code)
  }
}

describe('what an encoder sends', () => {
  it('a good feed: all figures, no warning', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(40)
    const { connectedAt, bitrateKbps, bytesReceived, ...rest } = feed.now
    assert.deepEqual(rest, {
      video: {
        codec: 'avc1',
        profile: 'High',
        width: 1920,
        height: 1080,
        frameRate: 25,
        keyframeIntervalMs: 2000,
        bFrames: false,
      },
      audio: { codec: 'mp4a', sampleRate: 48_000, channels: 2 },
      uploadRatio: 1,
      warnings: [],
    })
    assert.match(connectedAt!, /^\d{4}-.*Z$/)
    assert.ok(bitrateKbps >= 1 && bytesReceived > 40 * 25 * 11)
  })

  it('until a rate is measured, the sequence header has the word', () => {
    const feed = new FeedOnTrial({ video: avcHeader })
    assert.equal(feed.now.video?.frameRate, 60)
    feed.run(1)
    assert.equal(feed.now.video?.frameRate, 25)
  })

  for (const frameRate of [10, 24, 30000 / 1001, 30, 50, 60])
    it(`${frameRate.toFixed(2)} frames a second`, () => {
      const feed = new FeedOnTrial({ video: avcHeader }).run(8, { frameRate })
      assert.ok(Math.abs(feed.now.video!.frameRate! - frameRate) < 0.06, String(feed.now.video?.frameRate))
    })

  it('a picture that stops has 0 frames a second, and a feed that stops has 0 kbit/s', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(5).run(5, { hasVideo: false })
    assert.equal(feed.now.video?.frameRate, 0)
    assert.notEqual(feed.now.bitrateKbps, 0)
    assert.equal(feed.tick(5).now.bitrateKbps, 0)
  })

  it('B-frames are seen by their composition times, and a constant one is none', () => {
    const gop = (index: number) => compositionTimed(inter, index % 3 === 1 ? 80 : 0)
    assert.equal(new FeedOnTrial({ video: avcHeader }).run(1, { frame: gop }).now.video?.bFrames, true)
    const constant = {
      keyFrame: compositionTimed(idr, 33),
      frame: (i: number) => compositionTimed(inter, 33 + (i % 2)),
    }
    assert.equal(new FeedOnTrial({ video: avcHeader }).run(1, constant).now.video?.bFrames, false)
  })

  it('AV1 has no composition times: nothing is said of B-frames', () => {
    const feed = new FeedOnTrial({ video: bytesOf("90 'av01' 81090c000a0b0000004aabbfc3732be401") }).run(1, {
      hasAudio: false,
      keyFrame: bytesOf("91 'av01' 0a0d20"),
      frame: () => bytesOf("a1 'av01' 0a0d20"),
    })
    assert.deepEqual(feed.now.video, { codec: 'av01', profile: 'Main', width: 1920, height: 1080, frameRate: 25 })
  })

  it('VP9 tells its size in key frames', () => {
    const feed = new FeedOnTrial({ video: bytesOf("90 'vp09' 01000000020ba20202020000") })
    feed.video(bytesOf("91 'vp09' 924983420009f8059b091c120e0c2c0003207fcd"), 0)
    assert.deepEqual(feed.now.video, { codec: 'vp09', profile: 'Profile 2', width: 320, height: 180 })
  })

  it('MP3 tells of itself in its frames, and what has no header in its flags', () => {
    const feed = new FeedOnTrial()
    feed.sound(bytesOf('2f fffb9464'), 0)
    assert.deepEqual(feed.now.audio, { codec: '.mp3', sampleRate: 48_000, channels: 2 })
    feed.sound(bytesOf('2a 00000000'), 40)
    assert.deepEqual(feed.now.audio, { codec: '.mp3', sampleRate: 48_000, channels: 2 })
    feed.sound(bytesOf('82 00000000'), 80)
    assert.deepEqual(feed.now.audio, { codec: 'pcmu', sampleRate: 8_000, channels: 1 })
  })

  it('AC-3 tells nothing but its channels, in the configuration of Enhanced RTMP', () => {
    const feed = new FeedOnTrial({ audio: bytesOf("90 'ac-3'") })
    feed.sound(bytesOf("94 'ac-3' 01 06 0000003f"), 0)
    assert.deepEqual(feed.now.audio, { codec: 'ac-3', channels: 6 })
  })

  it('a header that says otherwise later is believed', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(3)
    feed.video(
      bytesOf('17 00 000000 0142c015ffe100176742c015d901b1fe4f011000003e90000ea600f162e48001000568cb83cb20'),
      0,
    )
    feed.sound(bytesOf('af 00 1210'), 0)
    const { video, audio } = feed.now
    assert.deepEqual([video?.profile, video?.width, video?.height], ['Constrained Baseline', 426, 240])
    assert.deepEqual(audio, { codec: 'mp4a', sampleRate: 44_100, channels: 2 })
  })

  it('further tracks do not count as the first', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader })
    feed.video(bytesOf("96 00 'hvc1' 01 0101600000009000000000007bf000fcfdf8f800000f00"), 0)
    feed.run(2)
    for (let at = 0; at < 50; at++) feed.video(bytesOf("96 01 'hvc1' 01 000000 00000003 2a01ac"), 2000)
    feed.tick()
    const { video } = feed.now
    assert.deepEqual([video?.codec, video?.width, video?.frameRate], ['avc1', 1920, 25])
    assert.deepEqual(feed.codes, [])
  })

  it('nonsense in a header leaves the codec alone known', () => {
    const feed = new FeedOnTrial({ video: bytesOf('17 00 000000 ff'), audio: bytesOf('af 00 00') }).run(1)
    assert.deepEqual(feed.now.video, { codec: 'avc1', frameRate: 25, bFrames: false })
    assert.deepEqual(feed.now.audio, { codec: 'mp4a' })
  })
})

describe('what should be set otherwise', () => {
  it('every warning has a code of the table and says what to do', () => {
    const feed = new FeedOnTrial({ video: avcHeader }).run(40, {
      gopSeconds: 10,
      hasAudio: false,
      keyFrame: recoveryPoint,
      speed: 0.8,
    })
    feed.video(Buffer.concat([inter, Buffer.alloc(10_000_000)]), 33_000)
    feed.tick()
    assert.deepEqual(feed.codes, ['bitrate_high', 'upload_slow', 'keyframe_interval_long', 'open_gop', 'audio_missing'])
    for (const { code, message } of feed.now.warnings) {
      assert.ok(code in inputWarningCodes)
      assert.match(message, /\b(Lower|Set|Turn off|Give)\b.*\.$/)
    }
  })

  it('what others warn of comes first', () => {
    const warning = { code: 'encoders_fight', message: 'Stop one.' }
    assert.deepEqual(new FeedOnTrial({ video: avcHeader }).health.health([warning]).warnings, [warning])
  })

  it('bitrate_high: above what is recommended, and over when it is lowered', () => {
    const bytesPerFrame = (kbps: number) => (kbps * 1000) / 8 / 25
    const frame = (kbps: number) => {
      const body = Buffer.concat([inter, Buffer.alloc(bytesPerFrame(kbps) - inter.length)])
      return { frame: () => body, keyFrame: idr, hasAudio: false }
    }
    const feed = new FeedOnTrial({ video: avcHeader }).run(6, frame(11_900))
    assert.ok(Math.abs(feed.now.bitrateKbps - 11_900) < 300, String(feed.now.bitrateKbps))
    assert.ok(!feed.codes.includes('bitrate_high'))
    feed.run(6, frame(13_000))
    assert.match(feed.now.warnings.find(({ code }) => code === 'bitrate_high')!.message, /12\d{3} kbit.*12000 kbit/)
    assert.ok(!feed.run(6, frame(9_000)).codes.includes('bitrate_high'))
  })

  it('keyframe_interval_long: not at 4 s, above it yes, and already while the interval goes on', () => {
    assert.deepEqual(
      new FeedOnTrial({ video: avcHeader }).run(30, { gopSeconds: 4, frameRate: 30000 / 1001 }).codes,
      [],
    )
    const feed = new FeedOnTrial({ video: avcHeader }).run(30, { gopSeconds: 5 })
    assert.deepEqual(feed.codes, ['keyframe_interval_long'])
    assert.equal(feed.now.video?.keyframeIntervalMs, 5000)
    const never = new FeedOnTrial({ video: avcHeader }).run(4, { gopSeconds: 1000 })
    assert.deepEqual(never.codes, [])
    assert.deepEqual(never.run(1, { gopSeconds: 1000 }).codes, ['keyframe_interval_long'])
    assert.equal(never.now.video?.keyframeIntervalMs, undefined)
  })

  it('keyframe_interval_irregular: scene cuts are told, one forced key frame and jitter are not', () => {
    const sceneCuts = new FeedOnTrial({ video: avcHeader })
    for (const gopSeconds of [2, 0.4, 1.6, 2, 0.8, 1.2]) sceneCuts.run(2, { gopSeconds, frameRate: 25 })
    assert.deepEqual(sceneCuts.codes, ['keyframe_interval_irregular'])

    const intervals = (table: readonly number[]) => {
      const feed = new FeedOnTrial({ video: avcHeader })
      let at = 0
      for (const interval of [0, ...table]) {
        at += interval
        feed.video(idr, at)
        feed.sound(aacFrame, at)
      }
      return feed.tick().codes
    }
    assert.deepEqual(intervals([2000, 2000, 2000, 700, 2000, 2000]), [])
    assert.deepEqual(intervals([2000, 2040, 1960, 2001, 2120, 1999]), [])
    assert.deepEqual(intervals([2000, 300]), [])
    assert.deepEqual(intervals([2000, 300, 1700, 2000, 900]), ['keyframe_interval_irregular'])
    assert.deepEqual(intervals([300, 900, 300, ...Array<number>(8).fill(2000)]), [])
  })

  it('open_gop: a key frame that is no IDR, until the encoder is set right', () => {
    const feed = new FeedOnTrial({ video: avcHeader }).run(10)
    assert.deepEqual(feed.codes, [])
    assert.deepEqual(feed.run(2, { keyFrame: recoveryPoint }).codes, ['open_gop'])
    assert.deepEqual(feed.run(6).codes, ['open_gop'])
    assert.deepEqual(feed.run(16).codes, [])
  })

  it('open_gop: CRA of HEVC, with and without a composition time', () => {
    const hevcHeader = bytesOf("90 'hvc1' 0101600000009000000000007bf000fcfdf8f800000f00")
    for (const [keyFrame, expected] of [
      [bytesOf("91 'hvc1' 000000 00000004 2a01ac78"), ['open_gop']],
      [bytesOf("93 'hvc1' 00000004 2a01ac78"), ['open_gop']],
      [bytesOf("93 'hvc1' 00000004 2801ac78"), []],
    ] as const) {
      const feed = new FeedOnTrial({ video: hevcHeader })
      feed.run(4, { keyFrame, frame: () => bytesOf("a3 'hvc1' 00000003 020100") })
      assert.deepEqual(feed.codes, expected)
      assert.equal(feed.now.video?.profile, 'Main')
    }
  })

  it('audio_missing and video_missing: after 5 s without one, over as soon as it comes', () => {
    const silent = new FeedOnTrial({ video: avcHeader }).run(5, { hasAudio: false })
    assert.deepEqual(silent.codes, [])
    assert.deepEqual(silent.run(1, { hasAudio: false }).codes, ['audio_missing'])
    assert.deepEqual(silent.run(1).codes, [])
    assert.deepEqual(silent.run(6, { hasAudio: false }).codes, ['audio_missing'])

    const blind = new FeedOnTrial({ audio: aacHeader }).run(6, { hasVideo: false })
    assert.deepEqual(blind.codes, ['video_missing'])
    assert.equal(blind.now.video, undefined)
    assert.deepEqual(blind.run(1).codes, [])
  })

  it('upload_slow: less than 0.95 over 30 s, no sooner, and the ratio before', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(3, { speed: 0.8 })
    assert.equal(feed.now.uploadRatio, undefined)
    feed.run(26, { speed: 0.8 })
    assert.equal(feed.now.uploadRatio, 0.8)
    assert.deepEqual(feed.codes, [])
    assert.deepEqual(feed.run(3, { speed: 0.8 }).codes, ['upload_slow'])
    assert.deepEqual(feed.run(30).codes, [])
    assert.equal(feed.now.uploadRatio, 1)
    assert.deepEqual(feed.run(40, { speed: 0.96 }).codes, [])
  })

  it('a stall that is made up for is no slow upload, and one that is not yet is not counted before more comes', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(40).tick(4)
    assert.equal(feed.now.uploadRatio, 1)
    feed.run(1, { speed: 5 })
    assert.equal(feed.now.uploadRatio, 1)
    assert.deepEqual(feed.codes, [])
  })

  it('an encoder that comes back begins anew: its absence is no slow upload and no long interval', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(41).tick(20)
    feed.reconnect()
    feed.run(3)
    assert.deepEqual(feed.codes, [])
    assert.equal(feed.now.uploadRatio, undefined)
    assert.equal(feed.now.video?.keyframeIntervalMs, 2000)
    assert.equal(feed.now.video?.width, 1920)
    assert.equal(feed.run(10).now.uploadRatio, 1)
  })

  it('timestamps_jumped: told for a minute; the other figures begin anew', () => {
    const feed = new FeedOnTrial({ video: avcHeader, audio: aacHeader }).run(20)
    feed.jump(60_000)
    assert.deepEqual(feed.run(1).codes, ['timestamps_jumped'])
    assert.deepEqual(feed.run(58).codes, ['timestamps_jumped'])
    assert.deepEqual(feed.run(2).codes, [])
    feed.jump(-30_000)
    feed.run(6)
    assert.deepEqual(feed.codes, ['timestamps_jumped'])
    assert.equal(feed.now.video?.frameRate, 25)
  })
})

describe("FFmpeg 8's Enhanced RTMP", () => {
  for (const [file, video, audio] of [
    [
      'hevc.flv',
      { codec: 'hvc1', profile: 'Range Extensions', width: 160, height: 90 },
      { codec: 'mp4a', sampleRate: 44_100, channels: 1 },
    ],
    [
      'av1opus.flv',
      { codec: 'av01', profile: 'High', width: 160, height: 90 },
      { codec: 'Opus', sampleRate: 48_000, channels: 1 },
    ],
  ] as const)
    it(file, async () => {
      const clock = new ManualClock()
      const health = new FeedHealth(clock, maxBitrateKbps)
      const publisher = new Timeline().attach(0)
      const media = newMediaMessage()
      for (const { type, timestamp, body } of await readFlv(
        join(import.meta.dirname, '../../test/fixtures/flv', file),
      )) {
        if (type !== 8 && type !== 9) continue
        if (type === 9) classifyVideo(body, media)
        else classifyAudio(body, media)
        health.observe(
          media,
          body,
          publisher.map(timestamp, type === 9 ? lanes.video : lanes.audio, type === 9),
          publisher,
        )
      }
      clock.advance(1000)
      health.tick(clock.monotonicMs())
      const seen = health.health([])
      assert.deepEqual(
        { ...seen.video, frameRate: undefined, bFrames: undefined },
        { ...video, frameRate: undefined, bFrames: undefined },
      )
      assert.ok(seen.video!.frameRate! >= 9 && seen.video!.frameRate! <= 30, String(seen.video?.frameRate))
      assert.deepEqual(seen.audio, audio)
    })
})
