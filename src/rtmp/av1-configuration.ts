import { BitReader } from './bit-reader.ts'
import { declaredFrameRate, size, unknownVideo, type VideoFormat } from './video-format.ts'

/**
 * AV1CodecConfigurationRecord (AV1 in ISOBMFF, 2.3.3), then OBUs, the sequence header first:
 *
 *   | marker 1 bit, version 7 | profile 3, level 5 | tier, depth, chroma 8 | reserved 3, delay 5 | OBU | …
 *
 * A descriptor of MPEG-2 TS (MPEG2TSSequenceStart) holds the same four bytes behind its tag and length, 80 04.
 */
export function readAv1Configuration(record: Buffer): VideoFormat {
  const tag = 0x80
  const start = record[0] === tag && record[1] === 4 ? 2 : 0
  const markerAndVersion = 0x81
  if (record.length < start + 4 || record[start] !== markerAndVersion) return unknownVideo
  const format = { ...unknownVideo, ...profileAndLevel(record[start + 1]! >> 5, record[start + 1]! & 0x1f) }
  const header = findSequenceHeader(record, start + 4)
  return header === undefined ? format : { ...format, ...readAv1SequenceHeader(header) }
}

const profiles = ['Main', 'High', 'Professional']

/** Levels are counted from 2.0 in quarters (A.3); 31 is no limit at all. */
function profileAndLevel(profile: number, level: number): Pick<VideoFormat, 'profile' | 'level'> {
  return { profile: profiles[profile], level: level < 24 ? `${2 + (level >> 2)}.${level & 3}` : undefined }
}

const sequenceHeaderType = 1
/** A configuration has a sequence header, and metadata at most. */
const obusMax = 16

/** OBU: | 1 bit, type 4, has extension 1, has size 1, 1 bit | extension 1 | size, leb128 | payload |. */
function findSequenceHeader(bytes: Buffer, start: number): Buffer | undefined {
  let at = start
  for (let count = 0; count < obusMax && at < bytes.length; count++) {
    const head = bytes[at]!
    at += (head & 0x04) !== 0 ? 2 : 1
    let length = bytes.length - at
    if ((head & 0x02) !== 0) {
      length = 0
      let shift = 0
      for (let more = true; more; shift += 7) {
        // Four bytes of seven bits: more than any message has.
        if (at >= bytes.length || shift > 21) return undefined
        length |= (bytes[at]! & 0x7f) << shift
        more = (bytes[at]! & 0x80) !== 0
        at++
      }
    }
    if (length < 0 || at + length > bytes.length) return undefined
    if (((head >> 3) & 0x0f) === sequenceHeaderType) return bytes.subarray(at, at + length)
    at += length
  }
  return undefined
}

/** sequence_header_obu (AV1, 5.5.1). Cut off or nonsense: nothing. */
export function readAv1SequenceHeader(bytes: Buffer): Partial<VideoFormat> {
  const reader = new BitReader(bytes)
  const profile = reader.bits(3)
  reader.skip(1)
  const isReduced = reader.flag()
  let level = 0
  let frameRate: number | undefined
  if (isReduced) level = reader.bits(5)
  else {
    let delayBits = 0
    if (reader.flag()) {
      frameRate = readTiming(reader)
      if (reader.flag()) {
        delayBits = reader.bits(5) + 1
        reader.skip(32 + 5 + 5)
      }
    }
    const hasInitialDelay = reader.flag()
    const points = reader.bits(5) + 1
    for (let point = 0; point < points && !reader.overrun; point++) {
      reader.skip(12)
      const pointLevel = reader.bits(5)
      if (point === 0) level = pointLevel
      if (pointLevel > 7) reader.skip(1)
      if (delayBits > 0 && reader.flag()) reader.skip(2 * delayBits + 1)
      if (hasInitialDelay && reader.flag()) reader.skip(4)
    }
  }
  const widthBits = reader.bits(4) + 1
  const heightBits = reader.bits(4) + 1
  const width = reader.bits(widthBits) + 1
  const height = reader.bits(heightBits) + 1
  if (reader.overrun) return {}
  return { ...profileAndLevel(profile, level), ...size(width, height), frameRate }
}

/** timing_info (5.5.3). A frame rate is told only where all pictures last equally long. */
function readTiming(reader: BitReader): number | undefined {
  const unitsInTick = reader.bits(32)
  const timeScale = reader.bits(32)
  if (!reader.flag()) return undefined
  const ticksPerPicture = reader.unsigned() + 1
  return declaredFrameRate(timeScale, unitsInTick * ticksPerPicture)
}
