import type { Clock } from '../clock.ts'
import type { InputHealth } from '../model/status.ts'
import type { MediaMessage } from '../rtmp/media-message.ts'

/** Figures are taken over so many seconds. */
const windowSeconds = 5

type Second = { bytes: number; frames: number; mediaMs: number; wallMs: number }

/**
 * What an encoder sends, measured: not what its metadata says. Owned by an InputSession for as long as a broadcast is open.
 */
export class FeedHealth {
  readonly #maxBitrateKbps: number
  readonly #connectedAt: string
  readonly #seconds: Second[] = []
  #bytes = 0
  #frames = 0
  #bytesReceived = 0
  #videoCodec = ''
  #audioCodec = ''
  #newestMs = Number.NaN
  #countedMediaMs = Number.NaN
  #keyAtMs = Number.NaN
  #keyframeIntervalMs = Number.NaN
  #tickedAtMs: number

  constructor(clock: Clock, maxBitrateKbps: number) {
    this.#maxBitrateKbps = maxBitrateKbps
    this.#connectedAt = new Date(clock.now()).toISOString()
    this.#tickedAtMs = clock.monotonicMs()
  }

  /** Each media message that goes into the log. @param time milliseconds on the broadcast's clock. */
  observe(media: MediaMessage, body: Buffer, time: number): void {
    this.#bytes += body.length
    this.#newestMs = time
    if (media.kind === 'audio') {
      if (media.codec !== '') this.#audioCodec = media.codec
      return
    }
    if (media.kind !== 'video' || media.trackId !== 0) return
    if (media.codec !== '') this.#videoCodec = media.codec
    if (media.role === 'key_frame') {
      if (time > this.#keyAtMs) this.#keyframeIntervalMs = time - this.#keyAtMs
      this.#keyAtMs = time
    }
    if (media.role === 'key_frame' || media.role === 'frame' || media.role === 'disposable_frame') this.#frames++
  }

  /** Once a second. */
  tick(nowMs: number): void {
    const wallMs = nowMs - this.#tickedAtMs
    if (wallMs <= 0) return
    const mediaMs = Number.isNaN(this.#countedMediaMs) ? Number.NaN : this.#newestMs - this.#countedMediaMs
    this.#seconds.push({ bytes: this.#bytes, frames: this.#frames, mediaMs, wallMs })
    if (this.#seconds.length > windowSeconds) this.#seconds.shift()
    this.#bytesReceived += this.#bytes
    this.#bytes = 0
    this.#frames = 0
    this.#countedMediaMs = this.#newestMs
    this.#tickedAtMs = nowMs
  }

  health(further: readonly { readonly code: string; readonly message: string }[]): InputHealth {
    const wallMs = this.#sum((second) => second.wallMs)
    const bitrateKbps = wallMs === 0 ? 0 : Math.round((this.#sum((second) => second.bytes) * 8) / wallMs)
    const frameRate = wallMs === 0 ? 0 : Math.round((this.#sum((second) => second.frames) * 10_000) / wallMs) / 10
    const mediaMs = this.#sum((second) => second.mediaMs)
    return {
      bitrateKbps,
      bytesReceived: this.#bytesReceived + this.#bytes,
      connectedAt: this.#connectedAt,
      ...(this.#videoCodec !== '' && {
        video: {
          codec: this.#videoCodec,
          frameRate,
          ...(!Number.isNaN(this.#keyframeIntervalMs) && { keyframeIntervalMs: Math.round(this.#keyframeIntervalMs) }),
        },
      }),
      ...(this.#audioCodec !== '' && { audio: { codec: this.#audioCodec } }),
      ...(mediaMs > 0 && wallMs > 0 && { uploadRatio: Math.round((mediaMs / wallMs) * 100) / 100 }),
      warnings: [...further, ...this.#warnings(bitrateKbps)],
    }
  }

  #sum(figure: (second: Second) => number): number {
    return this.#seconds.reduce((sum, second) => sum + figure(second), 0)
  }

  #warnings(bitrateKbps: number): { code: string; message: string }[] {
    if (bitrateKbps <= this.#maxBitrateKbps) return []
    return [
      {
        code: 'bitrate_high',
        message: `The encoder sends ${bitrateKbps} kbit/s; at most ${this.#maxBitrateKbps} kbit/s are recommended. Lower its bitrate.`,
      },
    ]
  }
}
