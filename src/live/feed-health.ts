import type { Clock } from '../clock.ts'
import type { InputWarningCode } from '../errors.ts'
import type { InputHealth } from '../model/status.ts'
import { type AudioFormat, readLegacyAudioFlags, unknownAudio } from '../rtmp/audio-format.ts'
import { keyFrameKind } from '../rtmp/key-frame.ts'
import { compositionTimed, type MediaMessage } from '../rtmp/media-message.ts'
import { payloadOf } from '../rtmp/payload.ts'
import { readAudioFormat, readVideoFormat } from '../rtmp/sequence-header.ts'
import { unknownVideo, type VideoFormat } from '../rtmp/video-format.ts'
import { readVp9KeyFrame } from '../rtmp/vp9-configuration.ts'
import { KeyFrameRhythm } from './key-frame-rhythm.ts'
import type { PublisherClock } from './timeline.ts'
import { UploadPace } from './upload-pace.ts'

/** Bitrate and frame rate are taken over so many seconds. */
const windowSeconds = 5
/** YouTube, Twitch and Facebook ask for 2 s and take up to 4. */
const keyframeIntervalMsMax = 4_000
/** Timestamps are whole milliseconds, and a frame may be late: 4 s of GOP are not always 4,000 ms. */
const keyframeJitterMs = 100
/** Sound without a picture, or a picture without sound, for so long. */
const missingMs = 5_000
const uploadRatioMin = 0.95
/** So long after the last one, a jump of the encoder's timestamps is spoken of. */
const jumpShownMs = 60_000
/** Composition times that differ by more than rounding. */
const compositionJitterMs = 2
/** After so many key frames in a row that close their group, an encoder has been set right. */
const closedInARowMax = 8
/** Sound that has no sequence header is looked at in so many frames at most. */
const audioProbesMax = 50

type Second = {
  readonly bytes: number
  readonly wallMs: number
  /** Frames that followed another one, and the media time that they took. */
  readonly frames: number
  readonly framesMs: number
}

export type InputWarning = { readonly code: InputWarningCode; readonly message: string }

/**
 * What an encoder sends, measured and read from its sequence headers: not what its metadata says. Owned by an InputSession for as long as a
 * broadcast is open; publishers may come and go meanwhile.
 */
export class FeedHealth {
  readonly #maxBitrateKbps: number
  readonly #connectedAt: string
  #tickedAtMs: number
  readonly #seconds: Second[] = []
  readonly #pace = new UploadPace()
  readonly #rhythm = new KeyFrameRhythm()
  // Since the last tick.
  #bytes = 0
  #frames = 0
  #framesMs = 0
  #isSilent = true
  #bytesReceived = 0
  // The picture and the sound.
  #videoCodec = ''
  #video: VideoFormat = unknownVideo
  #audioCodec = ''
  #audio: AudioFormat = unknownAudio
  #audioProbes = 0
  // The publisher's clock. Times are media time.
  #clock: PublisherClock | undefined
  #jumps = 0
  #jumpsSeen = 0
  #jumpedAtMs = Number.NEGATIVE_INFINITY
  #newestMs = Number.NaN
  #beganMs = Number.NaN
  #videoMs = Number.NaN
  #audioMs = Number.NaN
  // The order of frames.
  #firstCompositionMs = Number.NaN
  #bFrames: boolean | undefined
  #opensGop = false
  #closedInARow = 0

  constructor(clock: Clock, maxBitrateKbps: number) {
    this.#maxBitrateKbps = maxBitrateKbps
    this.#connectedAt = new Date(clock.now()).toISOString()
    this.#tickedAtMs = clock.monotonicMs()
  }

  /**
   * Each media message that goes into the log. Constant time, and nothing is allocated but for sequence headers.
   * @param body valid during the call. @param time milliseconds on the broadcast's clock. @param clock the publisher's; headers may come
   *   before there is one.
   */
  observe(media: MediaMessage, body: Buffer, time: number, clock: PublisherClock | undefined): void {
    this.#bytes += body.length
    if (clock !== undefined && (clock !== this.#clock || clock.jumps !== this.#jumps)) this.#followClock(clock)
    switch (media.role) {
      case 'sequence_header':
      case 'multichannel_config':
        if (media.trackId === 0) this.#readHeader(media, body)
        return
      case 'key_frame':
      case 'frame':
      case 'disposable_frame':
        this.#isSilent = false
        // NaN gives way.
        if (!(time <= this.#newestMs)) this.#newestMs = time
        if (Number.isNaN(this.#beganMs)) this.#beganMs = time
        if (media.kind === 'video') this.#observeFrame(media, body, time)
        else this.#observeSound(media, body, time)
    }
  }

  /** Once a second. */
  tick(nowMs: number): void {
    const wallMs = nowMs - this.#tickedAtMs
    if (wallMs <= 0) return
    this.#tickedAtMs = nowMs
    this.#seconds.push({ bytes: this.#bytes, wallMs, frames: this.#frames, framesMs: this.#framesMs })
    if (this.#seconds.length > windowSeconds) this.#seconds.shift()
    this.#pace.tick(this.#newestMs, wallMs, this.#isSilent)
    if (this.#jumpsSeen > 0) {
      this.#jumpedAtMs = nowMs
      this.#jumpsSeen = 0
    }
    this.#bytesReceived += this.#bytes
    this.#bytes = 0
    this.#frames = 0
    this.#framesMs = 0
    this.#isSilent = true
  }

  get bytesReceived(): number {
    return this.#bytesReceived + this.#bytes
  }

  /** 0 until a second has been measured. */
  get bitrateKbps(): number {
    const wallMs = this.#sum('wallMs')
    return wallMs === 0 ? 0 : Math.round((this.#sum('bytes') * 8) / wallMs)
  }

  /** @param further warnings of those who see something else of the input. */
  health(further: readonly { readonly code: string; readonly message: string }[]): InputHealth {
    const { bitrateKbps } = this
    const { ratio } = this.#pace
    return {
      bitrateKbps,
      bytesReceived: this.bytesReceived,
      connectedAt: this.#connectedAt,
      ...(this.#videoCodec !== '' && { video: this.#videoHealth() }),
      ...(this.#audioCodec !== '' && { audio: { codec: this.#audioCodec, ...known(this.#audio) } }),
      ...(ratio !== undefined && { uploadRatio: Math.round(ratio * 100) / 100 }),
      warnings: [...further, ...this.#warnings(bitrateKbps)],
    }
  }

  /** Another publisher, or a jump of the same one's clock: what is measured over time begins anew. */
  #followClock(clock: PublisherClock): void {
    if (clock === this.#clock) this.#jumpsSeen += clock.jumps - this.#jumps
    else {
      this.#firstCompositionMs = Number.NaN
      this.#bFrames = undefined
      this.#opensGop = false
      this.#beganMs = Number.NaN
      this.#videoMs = Number.NaN
      this.#audioMs = Number.NaN
    }
    this.#clock = clock
    this.#jumps = clock.jumps
    this.#pace.restart()
    this.#rhythm.restart()
  }

  #readHeader(media: MediaMessage, body: Buffer): void {
    const payload = payloadOf(media, body)
    if (payload === undefined) return
    const bytes = body.subarray(payload.start, payload.end)
    if (media.role === 'multichannel_config') {
      // | order 1 | channels 1 | …: all that AC-3 and an Opus without a head say.
      const channels = bytes[1] ?? 0
      if (channels > 0 && this.#audio.channels === undefined) this.#audio = { ...this.#audio, channels }
    } else if (media.kind === 'video') {
      this.#videoCodec = media.codec
      this.#video = readVideoFormat(media.codec, bytes)
    } else {
      this.#audioCodec = media.codec
      this.#audio = readAudioFormat(media.codec, bytes)
    }
  }

  #observeFrame(media: MediaMessage, body: Buffer, time: number): void {
    if (media.trackId !== 0) return
    if (!Number.isNaN(this.#videoMs) && time >= this.#videoMs) {
      this.#frames++
      this.#framesMs += time - this.#videoMs
    }
    this.#videoMs = time
    if (media.codec !== this.#videoCodec && media.codec !== '') {
      this.#videoCodec = media.codec
      this.#video = unknownVideo
    }
    if (compositionTimed.has(media.codec)) this.#observeComposition(media.compositionTimeMs)
    if (media.role === 'key_frame') this.#observeKeyFrame(media, body, time)
  }

  /** Without B-frames all frames are shown equally long (mostly 0) after they are decoded. */
  #observeComposition(compositionTimeMs: number): void {
    if (Number.isNaN(this.#firstCompositionMs)) this.#firstCompositionMs = compositionTimeMs
    else if (Math.abs(compositionTimeMs - this.#firstCompositionMs) > compositionJitterMs) this.#bFrames = true
    else this.#bFrames ??= false
  }

  #observeKeyFrame(media: MediaMessage, body: Buffer, time: number): void {
    this.#rhythm.observe(time)
    const payload = payloadOf(media, body)
    if (payload === undefined) return
    const { start, end } = payload
    if (this.#videoCodec === 'vp09' && this.#video.width === undefined)
      this.#video = { ...this.#video, ...readVp9KeyFrame(body.subarray(start, end)) }
    if (this.#video.nalLengthBytes === undefined) return
    const kind = keyFrameKind(media.codec, body, start, end, this.#video.nalLengthBytes)
    if (kind === 'open') {
      this.#opensGop = true
      this.#closedInARow = 0
    } else if (kind === 'closed' && ++this.#closedInARow >= closedInARowMax) this.#opensGop = false
  }

  #observeSound(media: MediaMessage, body: Buffer, time: number): void {
    this.#audioMs = time
    if (media.trackId !== 0) return
    if (media.codec !== this.#audioCodec && media.codec !== '') {
      this.#audioCodec = media.codec
      this.#audio = unknownAudio
      this.#audioProbes = 0
    }
    if (this.#audio === unknownAudio && this.#audioProbes < audioProbesMax) this.#probeSound(media, body)
  }

  /** What has no sequence header: MP3 tells of itself in each frame, the codecs of old in the first byte of a tag. */
  #probeSound(media: MediaMessage, body: Buffer): void {
    this.#audioProbes++
    const payload = media.codec === '.mp3' ? payloadOf(media, body) : undefined
    if (payload !== undefined) this.#audio = readAudioFormat(media.codec, body.subarray(payload.start, payload.end))
    if (this.#audio === unknownAudio && !media.enhanced) this.#audio = readLegacyAudioFlags(body[0]!)
  }

  #sum(figure: keyof Second): number {
    return this.#seconds.reduce((sum, second) => sum + second[figure], 0)
  }

  #videoHealth(): NonNullable<InputHealth['video']> {
    const { profile, width, height } = this.#video
    const intervalMs = this.#rhythm.lastMs
    return {
      codec: this.#videoCodec,
      ...known({
        profile,
        width,
        height,
        frameRate: this.#frameRate(),
        keyframeIntervalMs: Number.isNaN(intervalMs) ? undefined : Math.round(intervalMs),
        bFrames: this.#bFrames,
      }),
    }
  }

  /** As measured; until then as the sequence header says. */
  #frameRate(): number | undefined {
    const framesMs = this.#sum('framesMs')
    if (framesMs > 0) return Math.round((this.#sum('frames') * 10_000) / framesMs) / 10
    return this.#seconds.length < windowSeconds ? this.#video.frameRate : 0
  }

  #warnings(bitrateKbps: number): InputWarning[] {
    const warnings: InputWarning[] = []
    const warn = (code: InputWarningCode, message: string) => warnings.push({ code, message })
    if (bitrateKbps > this.#maxBitrateKbps)
      warn(
        'bitrate_high',
        `The encoder sends ${bitrateKbps} kbit/s; at most ${this.#maxBitrateKbps} kbit/s are recommended. Lower its bitrate.`,
      )
    const { ratio, isSettled } = this.#pace
    if (isSettled && ratio !== undefined && ratio < uploadRatioMin)
      warn(
        'upload_slow',
        `Of each second of the broadcast only ${Math.round(ratio * 100)} % arrive in that time: the encoder's connection is too slow for its bitrate. Lower the bitrate, or use a faster (wired) connection.`,
      )
    this.#warnOfKeyFrames(warn)
    const soundMs = this.#videoMs - (Number.isNaN(this.#audioMs) ? this.#beganMs : this.#audioMs)
    if (soundMs >= missingMs)
      warn(
        'audio_missing',
        `The encoder has sent no sound for ${seconds(soundMs)} s. Give it an audio source, be it silence: many platforms want one.`,
      )
    const pictureMs = this.#audioMs - (Number.isNaN(this.#videoMs) ? this.#beganMs : this.#videoMs)
    if (pictureMs >= missingMs)
      warn(
        'video_missing',
        `The encoder has sent no picture for ${seconds(pictureMs)} s. Give it a video source, be it a still picture: most platforms want one.`,
      )
    if (this.#tickedAtMs - this.#jumpedAtMs < jumpShownMs)
      warn(
        'timestamps_jumped',
        "The encoder's timestamps have jumped; they were straightened. If it happens again, restart or update the encoder, and check its sources and its computer's clock.",
      )
    return warnings
  }

  #warnOfKeyFrames(warn: (code: InputWarningCode, message: string) => void): void {
    const longestMs = this.#rhythm.longestMs(this.#videoMs)
    if (longestMs > keyframeIntervalMsMax + keyframeJitterMs)
      warn(
        'keyframe_interval_long',
        `Key frames are up to ${seconds(longestMs)} s apart; platforms want one every ${seconds(keyframeIntervalMsMax)} s at least. Set the encoder's key frame interval (GOP) to 2 s.`,
      )
    const irregularity = this.#rhythm.irregularity()
    if (irregularity !== undefined)
      warn(
        'keyframe_interval_irregular',
        `Key frames come every ${seconds(irregularity.shortestMs)} to ${seconds(irregularity.longestMs)} s. Set a fixed key frame interval (GOP) of 2 s in the encoder, and turn off its scene cut detection.`,
      )
    if (this.#opensGop)
      warn(
        'open_gop',
        "The encoder's key frames begin open groups of pictures: who joins there sees broken pictures at first. Turn off open GOP in the encoder (x264 and x265: open-gop=0).",
      )
  }
}

/** Without what is undefined. */
function known<Format extends object>(format: Format): { [Name in keyof Format]?: Exclude<Format[Name], undefined> } {
  return Object.fromEntries(Object.entries(format).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Format]?: Exclude<Format[Name], undefined>
  }
}

function seconds(durationMs: number): string {
  return String(Math.round(durationMs / 100) / 10)
}
