import { BitReader } from './bit-reader.ts'
import { size, unknownVideo, type VideoFormat } from './video-format.ts'

/**
 * VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding 1.0), with (FFmpeg) or without the four bytes of version and
 * flags in front:
 *
 *   | profile 1 | level 1 | depth 4 bits, chroma 3, range 1 | colours 3 | length 2 = 0 |
 *
 * It says nothing of the size: that stands in key frames.
 */
export function readVpConfiguration(record: Buffer): VideoFormat {
  // The third byte of the record is never 0, because no depth is.
  const start = record[0] === 1 && record[2] === 0 ? 4 : 0
  if (record.length < start + 8) return unknownVideo
  const profile = record[start]!
  const level = record[start + 1]!
  return {
    ...unknownVideo,
    profile: profile <= 3 ? `Profile ${profile}` : undefined,
    level: level >= 10 && level <= 62 ? (level / 10).toFixed(1) : undefined,
  }
}

/** The size in a key frame of VP9 (VP9 Bitstream, 6.2). Any other frame, and nonsense: nothing. */
export function readVp9KeyFrame(frame: Buffer): Pick<VideoFormat, 'width' | 'height'> | undefined {
  // All that is read lies in the first bytes.
  const reader = new BitReader(frame.subarray(0, 16))
  if (reader.bits(2) !== 2) return undefined
  const profile = reader.bits(1) + reader.bits(1) * 2
  if (profile === 3) reader.skip(1)
  const showsExisting = reader.flag()
  const isInter = reader.flag()
  reader.skip(2)
  const syncCode = 0x498342
  if (showsExisting || isInter || reader.bits(24) !== syncCode) return undefined
  skipColours(reader, profile)
  const width = reader.bits(16) + 1
  const height = reader.bits(16) + 1
  return reader.overrun ? undefined : size(width, height)
}

function skipColours(reader: BitReader, profile: number): void {
  if (profile >= 2) reader.skip(1)
  const rgb = 7
  const hasChroma = profile === 1 || profile === 3
  if (reader.bits(3) !== rgb) reader.skip(hasChroma ? 4 : 1)
  else if (hasChroma) reader.skip(1)
}
