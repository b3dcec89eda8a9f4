import { skipVuiPicture } from './avc-configuration.ts'
import { BitReader, withoutEmulationPrevention } from './bit-reader.ts'
import { declaredFrameRate, size, unknownVideo, type VideoFormat } from './video-format.ts'

/**
 * HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1), 23 bytes and arrays of NAL units:
 *
 *   | version 1 | space 2 bits, tier 1, profile 5 | compatibility 4 | constraints 6 | level 1 | 8 bytes | 6 bits, length size − 1: 2 | arrays 1 |
 *   array: | 2 bits, NAL unit type 6 | count 2 | length 2 | NAL unit | …
 */
export function readHevcConfiguration(record: Buffer): VideoFormat {
  const headBytes = 23
  if (record.length < headBytes || record[0]! > 1) return unknownVideo
  const format = {
    ...unknownVideo,
    profile: profiles.get(record[1]! & 0x1f),
    level: levelText(record[12]!),
    nalLengthBytes: (record[21]! & 3) + 1,
  }
  const sps = findSps(record, headBytes)
  return sps === undefined ? format : { ...format, ...readHevcSps(sps) }
}

const spsType = 33
const nalHeaderBytes = 2
/** A record has one array for each of VPS, SPS, PPS and SEI, with few NAL units in each. */
const nalsMax = 64

function findSps(record: Buffer, start: number): Buffer | undefined {
  const arrays = record[start - 1]!
  let at = start
  for (let array = 0, seen = 0; array < arrays && at + 3 <= record.length; array++) {
    const type = record[at]! & 0x3f
    const count = record.readUInt16BE(at + 1)
    at += 3
    for (let nal = 0; nal < count; nal++) {
      if (++seen > nalsMax || at + 2 > record.length) return undefined
      const end = at + 2 + record.readUInt16BE(at)
      if (end > record.length) return undefined
      if (type === spsType) return record.subarray(at + 2, end)
      at = end
    }
  }
  return undefined
}

const profiles = new Map([
  [1, 'Main'],
  [2, 'Main 10'],
  [3, 'Main Still Picture'],
  [4, 'Range Extensions'],
  [5, 'High Throughput'],
  [9, 'Screen Content Coding'],
])

/** general_level_idc is thirty times the level (A.4.1). */
function levelText(level: number): string | undefined {
  return level >= 30 && level <= 186 ? (level / 30).toFixed(1) : undefined
}

/**
 * seq_parameter_set_rbsp (H.265, 7.3.2.2.1). Cut off or nonsense: nothing.
 * @param nal with its two header bytes, as it is sent.
 */
export function readHevcSps(nal: Buffer): Partial<VideoFormat> {
  if (nal.length <= nalHeaderBytes || ((nal[0]! >> 1) & 0x3f) !== spsType) return {}
  const reader = new BitReader(withoutEmulationPrevention(nal.subarray(nalHeaderBytes)))
  reader.skip(4)
  const subLayers = reader.bits(3)
  reader.skip(1)
  reader.skip(3)
  const profile = profiles.get(reader.bits(5))
  reader.skip(80)
  const level = levelText(reader.bits(8))
  skipSubLayerProfiles(reader, subLayers)
  reader.unsigned()
  const chroma = reader.unsigned()
  if (chroma === 3) reader.skip(1)
  let width = reader.unsigned()
  let height = reader.unsigned()
  if (reader.flag()) {
    const cropX = chroma === 1 || chroma === 2 ? 2 : 1
    const cropY = chroma === 1 ? 2 : 1
    width -= (reader.unsigned() + reader.unsigned()) * cropX
    height -= (reader.unsigned() + reader.unsigned()) * cropY
  }
  if (reader.overrun || chroma > 3) return {}
  const frameRate = readFrameRate(reader, subLayers)
  return { profile, level, ...size(width, height), frameRate: reader.overrun ? undefined : frameRate }
}

/** The part of profile_tier_level (7.3.3) that tells of sub-layers. */
function skipSubLayerProfiles(reader: BitReader, subLayers: number): void {
  if (subLayers === 0) return
  const present = Array.from({ length: subLayers }, () => ({ profile: reader.flag(), level: reader.flag() }))
  reader.skip((8 - subLayers) * 2)
  for (const { profile, level } of present) reader.skip((profile ? 88 : 0) + (level ? 8 : 0))
}

/** What stands between the cropping and the timing of the VUI, then the timing. */
function readFrameRate(reader: BitReader, subLayers: number): number | undefined {
  reader.unsigned()
  reader.unsigned()
  const orderBits = reader.unsigned() + 4
  if (orderBits > 16) return undefined
  const toldLayers = reader.flag() ? subLayers + 1 : 1
  skipNumbers(reader, toldLayers * 3)
  skipNumbers(reader, 6)
  if (reader.flag() && reader.flag()) skipScalingLists(reader)
  reader.skip(2)
  if (reader.flag()) {
    reader.skip(8)
    skipNumbers(reader, 2)
    reader.skip(1)
  }
  if (!skipShortTermSets(reader)) return undefined
  if (reader.flag()) {
    const pictures = reader.unsigned()
    if (pictures > longTermMax) return undefined
    reader.skip(pictures * (orderBits + 1))
  }
  reader.skip(2)
  return reader.flag() ? readVuiFrameRate(reader) : undefined
}

/** num_long_term_ref_pics_sps (7.4.3.2.1). */
const longTermMax = 32

function skipNumbers(reader: BitReader, count: number): void {
  for (let at = 0; at < count && !reader.overrun; at++) reader.unsigned()
}

/** scaling_list_data (7.3.4). */
function skipScalingLists(reader: BitReader): void {
  for (let sizeId = 0; sizeId < 4; sizeId++)
    for (let matrix = 0; matrix < 6 && !reader.overrun; matrix += sizeId === 3 ? 3 : 1) {
      if (!reader.flag()) {
        reader.unsigned()
        continue
      }
      const coefficients = Math.min(64, 1 << (4 + 2 * sizeId))
      skipNumbers(reader, coefficients + (sizeId > 1 ? 1 : 0))
    }
}

/** num_short_term_ref_pic_sets, and the pictures that one set may name (7.4.3.2.1, 7.4.8). */
const shortTermSetsMax = 64
const picturesMax = 16

/** st_ref_pic_set (7.3.7), all of them. @returns false for nonsense. */
function skipShortTermSets(reader: BitReader): boolean {
  const sets = reader.unsigned()
  if (sets > shortTermSetsMax) return false
  let pictures = 0
  for (let set = 0; set < sets && !reader.overrun; set++) {
    if (set > 0 && reader.flag()) {
      // From the set before: for each of its pictures, and one more, used_by_curr_pic_flag or else use_delta_flag.
      reader.skip(1)
      reader.unsigned()
      let kept = 0
      for (let picture = 0; picture <= pictures; picture++) if (reader.flag() || reader.flag()) kept++
      pictures = kept
    } else {
      pictures = reader.unsigned() + reader.unsigned()
      if (pictures > picturesMax) return false
      for (let picture = 0; picture < pictures; picture++) {
        reader.unsigned()
        reader.skip(1)
      }
    }
    if (pictures > picturesMax) return false
  }
  return !reader.overrun
}

/** vui_parameters (E.2.1) up to the timing. */
function readVuiFrameRate(reader: BitReader): number | undefined {
  skipVuiPicture(reader)
  reader.skip(3)
  if (reader.flag()) skipNumbers(reader, 4)
  if (!reader.flag()) return undefined
  const unitsInTick = reader.bits(32)
  const timeScale = reader.bits(32)
  return declaredFrameRate(timeScale, unitsInTick)
}
