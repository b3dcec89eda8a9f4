import type { Cancel, Clock } from '../clock.ts'
import { classifyAudio, classifyVideo, newMediaMessage } from '../rtmp/media-message.ts'
import { messageTypes } from '../rtmp/message.ts'
import type { Broadcast } from './broadcast.ts'

/** Often enough that no platform takes the stream for dead, seldom enough that large key frames cost little. */
const pictureEveryMs = 1_000
const tickMs = 100
const samplesPerFrame = 1024

/** A silent frame of AAC-LC, one channel and two: what FFmpeg's encoder makes of silence; decoders take it at any sample rate. */
const silence: Readonly<Record<number, Buffer>> = {
  1: Buffer.from('01182007', 'hex'),
  2: Buffer.from('211004608c1c', 'hex'),
}
/** ISO 14496-3, samplingFrequencyIndex. */
const sampleRates = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350]

/**
 * While a publisher is waited for: the last key frame once a second, and silence, on the broadcast's clock in real time, out of bytes
 * that are there or known; so that platforms do not time out. Owned by an InputSession from the hold to its end.
 */
export class HeldPicture {
  readonly #broadcast: Broadcast
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #startedAt: number
  readonly #picture: { type: number; body: Buffer } | undefined
  readonly #sound: { body: Buffer; frameMs: number } | undefined
  readonly #media = newMediaMessage()
  #pictures = 0
  #sounds = 0
  #cancel: Cancel

  constructor(broadcast: Broadcast, clock: Clock) {
    this.#broadcast = broadcast
    this.#clock = clock
    this.#startedAtMs = clock.monotonicMs()
    this.#startedAt = broadcast.timeline.newest
    const log = broadcast.log('received')
    const key = log.newestKey
    this.#picture = key === undefined ? undefined : { type: log.typeOf(key), body: log.copyBody(key) }
    const audioHeader = broadcast.headers.find((header) => header.slot === 'audio:0')
    this.#sound = audioHeader === undefined ? undefined : silenceFor(audioHeader.body)
    this.#cancel = clock.after(tickMs, this.#tick)
  }

  stop(): void {
    this.#cancel()
  }

  readonly #tick = (): void => {
    this.#cancel = this.#clock.after(tickMs, this.#tick)
    const elapsedMs = this.#clock.monotonicMs() - this.#startedAtMs
    if (this.#sound !== undefined)
      for (; (this.#sounds + 1) * this.#sound.frameMs <= elapsedMs; this.#sounds++) {
        const { body, frameMs } = this.#sound
        classifyAudio(body, this.#media)
        this.#broadcast.appendAt(
          this.#media,
          messageTypes.audio,
          body,
          this.#startedAt + Math.round((this.#sounds + 1) * frameMs),
        )
      }
    if (this.#picture === undefined) return
    for (; (this.#pictures + 1) * pictureEveryMs <= elapsedMs; this.#pictures++) {
      const { type, body } = this.#picture
      classifyVideo(body, this.#media)
      this.#broadcast.appendAt(this.#media, type, body, this.#startedAt + (this.#pictures + 1) * pictureEveryMs)
    }
  }
}

/** @param header an AAC sequence header, legacy or Enhanced; undefined when there is no silence for what it describes. */
function silenceFor(header: Buffer): { body: Buffer; frameMs: number } | undefined {
  const isLegacy = header.length >= 4 && header[0]! >> 4 === 10
  const isEnhanced = header.length >= 7 && header[0] === 0x90 && header.toString('latin1', 1, 5) === 'mp4a'
  if (!isLegacy && !isEnhanced) return undefined
  // AudioSpecificConfig: object type 5, sampling frequency index 4, channels 4.
  const config = header.readUInt16BE(isLegacy ? 2 : 5)
  const sampleRate = sampleRates[(config >> 7) & 0x0f]
  const frame = silence[(config >> 3) & 0x0f]
  if (config >> 11 !== 2 || sampleRate === undefined || frame === undefined) return undefined
  const start = isLegacy ? Buffer.of(header[0]!, 1) : Buffer.concat([Buffer.of(0x91), Buffer.from('mp4a', 'latin1')])
  return { body: Buffer.concat([start, frame]), frameMs: (samplesPerFrame / sampleRate) * 1000 }
}
