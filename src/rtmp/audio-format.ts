import { BitReader } from './bit-reader.ts'

/** What is said of the sound. What cannot be read is undefined. */
export type AudioFormat = {
  /** Hertz, of what a decoder gives. */
  readonly sampleRate: number | undefined
  readonly channels: number | undefined
}

export const unknownAudio: AudioFormat = { sampleRate: undefined, channels: undefined }

const aacRates = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350]
/** By channelConfiguration (ISO/IEC 14496-3, table 1.19, and amendment 4); 0: the configuration lists them. */
const aacChannels = [undefined, 1, 2, 3, 4, 5, 6, 8, undefined, undefined, undefined, 7, 8, 24, 8]
const objectTypes = {
  scalable: 6,
  spectralBandReplication: 5,
  errorResilientScalable: 20,
  parametricStereo: 29,
} as const
/** Object types whose configuration is a GASpecificConfig (table 1.15). */
const generalAudio = new Set([1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23])
/** Hertz. What is above is nonsense: the explicit rate of AAC has 24 bits. */
const sampleRateMax = 768_000

/**
 * AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1):
 *
 *   | object type 5 | rate index 4 | channels 4 | of the object type … | 2b7 11 bits, object type 5, SBR 1, rate index 4, 548 11, PS 1 |
 *
 * HE-AAC is told in front (object types 5 and 29) or at the end (2b7, 548), or not at all: then the rate is half of what is heard.
 */
export function readAudioSpecificConfig(bytes: Buffer): AudioFormat {
  const reader = new BitReader(bytes.subarray(0, 512))
  let objectType = readObjectType(reader)
  let sampleRate = readRate(reader)
  const channelConfiguration = reader.bits(4)
  let hasParametricStereo = objectType === objectTypes.parametricStereo
  const isToldInFront = hasParametricStereo || objectType === objectTypes.spectralBandReplication
  if (isToldInFront) {
    sampleRate = readRate(reader)
    objectType = readObjectType(reader)
  }
  if (reader.overrun || objectType === 0) return unknownAudio
  let channels = aacChannels[channelConfiguration]
  if (generalAudio.has(objectType)) {
    const listed = readGeneralAudio(reader, objectType, channelConfiguration)
    channels ??= listed
    if (!isToldInFront && !reader.overrun) {
      const extension = readExtension(reader)
      sampleRate = extension.sampleRate ?? sampleRate
      hasParametricStereo = extension.hasParametricStereo
    }
  }
  if (hasParametricStereo && channels === 1) channels = 2
  return { sampleRate, channels }
}

function readObjectType(reader: BitReader): number {
  const extended = 31
  const type = reader.bits(5)
  return type === extended ? 32 + reader.bits(6) : type
}

function readRate(reader: BitReader): number | undefined {
  const explicit = 15
  const index = reader.bits(4)
  if (index !== explicit) return aacRates[index]
  const rate = reader.bits(24)
  return isRate(rate) ? rate : undefined
}

function isRate(rate: number): boolean {
  return rate > 0 && rate <= sampleRateMax
}

/** GASpecificConfig (4.4.1). @returns the channels that are listed, if they are. */
function readGeneralAudio(reader: BitReader, objectType: number, channelConfiguration: number): number | undefined {
  reader.skip(1)
  if (reader.flag()) reader.skip(14)
  const isExtended = reader.flag()
  const listed = channelConfiguration === 0 ? readProgramConfig(reader) : undefined
  if (objectType === objectTypes.scalable || objectType === objectTypes.errorResilientScalable) reader.skip(3)
  if (isExtended) {
    if (objectType === 22) reader.skip(16)
    if (objectType === 17 || objectType === 19 || objectType === 20 || objectType === 23) reader.skip(3)
    reader.skip(1)
  }
  // epConfig of the error resilient object types.
  if (objectType >= 17) reader.skip(2)
  return listed
}

/** program_config_element (4.5.2.1): how many channels it lists. */
function readProgramConfig(reader: BitReader): number | undefined {
  reader.skip(4 + 2 + 4)
  const withPairs = reader.bits(4) + reader.bits(4) + reader.bits(4)
  const lowFrequency = reader.bits(2)
  const associated = reader.bits(3)
  const coupling = reader.bits(4)
  if (reader.flag()) reader.skip(4)
  if (reader.flag()) reader.skip(4)
  if (reader.flag()) reader.skip(3)
  let channels = lowFrequency
  for (let element = 0; element < withPairs; element++) {
    channels += reader.flag() ? 2 : 1
    reader.skip(4)
  }
  reader.skip(4 * (lowFrequency + associated) + 5 * coupling)
  reader.align()
  const commentBytes = reader.bits(8)
  reader.skip(8 * commentBytes)
  return reader.overrun || channels === 0 ? undefined : channels
}

function readExtension(reader: BitReader): { sampleRate: number | undefined; hasParametricStereo: boolean } {
  const none = { sampleRate: undefined, hasParametricStereo: false }
  if (reader.left < 16 || reader.bits(11) !== 0x2b7) return none
  if (readObjectType(reader) !== objectTypes.spectralBandReplication || !reader.flag()) return none
  const sampleRate = readRate(reader)
  if (reader.overrun) return none
  const hasParametricStereo = reader.left >= 12 && reader.bits(11) === 0x548 && reader.flag()
  return { sampleRate, hasParametricStereo }
}

/** OpusHead (RFC 7845, 5.1): | 'OpusHead' | version 1 | channels 1 | … |. Opus is always decoded at 48 kHz, whatever went in. */
export function readOpusHead(bytes: Buffer): AudioFormat {
  if (bytes.length < 10 || bytes.toString('latin1', 0, 8) !== 'OpusHead') return unknownAudio
  return { sampleRate: 48_000, channels: bytes[9]! === 0 ? undefined : bytes[9]! }
}

/**
 * STREAMINFO (RFC 9639, 8.2): 34 bytes; 'fLaC' and a block header of four bytes stand before it in Enhanced RTMP, but not from FFmpeg 8.
 *
 *   | block sizes 4 | frame sizes 6 | rate 20 bits, channels − 1: 3, depth − 1: 5, samples 36 | MD5 16 |
 */
export function readFlacHeader(bytes: Buffer): AudioFormat {
  const streamInfoBytes = 34
  const start = bytes.toString('latin1', 0, 4) === 'fLaC' ? 8 : 0
  const streamInfoType = 0
  if (bytes.length < start + streamInfoBytes) return unknownAudio
  if (start > 0 && (bytes[4]! & 0x7f) !== streamInfoType) return unknownAudio
  const reader = new BitReader(bytes.subarray(start + 10, start + 13))
  const sampleRate = reader.bits(20)
  return isRate(sampleRate) ? { sampleRate, channels: reader.bits(3) + 1 } : unknownAudio
}

/** By version: 3 MPEG-1, 2 MPEG-2, 0 MPEG-2.5. */
const mp3Rates = [44_100, 48_000, 32_000]

/** The header of a frame of MP3 (ISO/IEC 11172-3, 2.4.1.3): | sync 11 bits, version 2, layer 2, 1 | rate 4, sample rate 2, 2 | mode 2, 6 |. */
export function readMp3Frame(frame: Buffer): AudioFormat | undefined {
  if (frame.length < 4 || frame[0] !== 0xff || (frame[1]! & 0xe0) !== 0xe0) return undefined
  const version = (frame[1]! >> 3) & 3
  const layer = (frame[1]! >> 1) & 3
  const rate = mp3Rates[(frame[2]! >> 2) & 3]
  if (version === 1 || layer === 0 || rate === undefined) return undefined
  const isMono = frame[3]! >> 6 === 3
  return { sampleRate: version === 3 ? rate : version === 2 ? rate / 2 : rate / 4, channels: isMono ? 1 : 2 }
}

/**
 * What the first byte of a legacy audio tag says: | format 4 | rate 2 | size 1 | stereo 1 |. AAC says 44.1 kHz stereo whatever it is, so
 * that nothing is read of it here.
 */
export function readLegacyAudioFlags(first: number): AudioFormat {
  const format = first >> 4
  const channels = (first & 1) + 1
  switch (format) {
    case 4: // Nellymoser, 16 kHz
    case 11: // Speex
      return { sampleRate: 16_000, channels: 1 }
    case 5: // Nellymoser, 8 kHz
      return { sampleRate: 8_000, channels: 1 }
    case 7: // G.711, A-law
    case 8: // G.711, µ-law
    case 14: // MP3, 8 kHz
      return { sampleRate: 8_000, channels }
    case 0: // PCM
    case 1: // ADPCM
    case 2: // MP3
    case 3: // PCM, little endian
    case 6: // Nellymoser
      return { sampleRate: 44_100 >> (3 - ((first >> 2) & 3)), channels }
    default:
      return unknownAudio
  }
}
