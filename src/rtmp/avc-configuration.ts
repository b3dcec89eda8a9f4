import { BitReader, withoutEmulationPrevention } from './bit-reader.ts'
import { declaredFrameRate, size, unknownVideo, type VideoFormat } from './video-format.ts'

/**
 * AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1):
 *
 *   | version 1 | profile 1 | constraints 1 | level 1 | 6 bits, length size − 1: 2 | 3 bits, count of SPS 5 | length 2 | SPS | …
 */
export function readAvcConfiguration(record: Buffer): VideoFormat {
  if (record.length < 5 || record[0] !== 1) return unknownVideo
  const format = {
    ...unknownVideo,
    ...profileAndLevel(record[1]!, record[2]!, record[3]!),
    nalLengthBytes: (record[4]! & 3) + 1,
  }
  if (record.length < 8 || (record[5]! & 0x1f) === 0) return format
  const end = 8 + record.readUInt16BE(6)
  if (end > record.length) return format
  return { ...format, ...readAvcSps(record.subarray(8, end)) }
}

const profiles = new Map([
  [44, 'CAVLC 4:4:4 Intra'],
  [66, 'Baseline'],
  [77, 'Main'],
  [83, 'Scalable Baseline'],
  [86, 'Scalable High'],
  [88, 'Extended'],
  [100, 'High'],
  [110, 'High 10'],
  [118, 'Multiview High'],
  [122, 'High 4:2:2'],
  [128, 'Stereo High'],
  [244, 'High 4:4:4 Predictive'],
])
const baseline = 66
/** Profiles that tell of the chroma format (7.3.2.1.1). */
const chromaProfiles = new Set([44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244])
/** In these, level 11 with constraint_set3_flag is level 1b (A.3.1). */
const level1bProfiles = new Set([66, 77, 88])

function profileAndLevel(profile: number, constraints: number, level: number): Pick<VideoFormat, 'profile' | 'level'> {
  const isConstrained = profile === baseline && (constraints & 0x40) !== 0
  const is1b = level === 9 || (level === 11 && (constraints & 0x10) !== 0 && level1bProfiles.has(profile))
  return {
    profile: isConstrained ? 'Constrained Baseline' : profiles.get(profile),
    level: is1b ? '1b' : level >= 10 && level <= 62 ? (level / 10).toFixed(1) : undefined,
  }
}

/**
 * seq_parameter_set_data (H.264, 7.3.2.1.1). Cut off or nonsense: nothing, so that what is known otherwise stays.
 * @param nal with its header byte, as it is sent.
 */
export function readAvcSps(nal: Buffer): Partial<VideoFormat> {
  const spsType = 7
  if (nal.length < 4 || (nal[0]! & 0x1f) !== spsType) return {}
  const reader = new BitReader(withoutEmulationPrevention(nal.subarray(1)))
  const profile = reader.bits(8)
  const constraints = reader.bits(8)
  const level = reader.bits(8)
  reader.unsigned()
  // What a profile without chroma fields has: 4:2:0.
  const chroma = chromaProfiles.has(profile) ? readChroma(reader) : 1
  reader.unsigned()
  skipPictureOrder(reader)
  reader.unsigned()
  reader.skip(1)
  const widthMacroblocks = reader.unsigned() + 1
  const heightMapUnits = reader.unsigned() + 1
  const framesOnly = reader.flag()
  if (!framesOnly) reader.skip(1)
  reader.skip(1)
  const fieldsPerMapUnit = framesOnly ? 1 : 2
  const cropX = chroma === 1 || chroma === 2 ? 2 : 1
  const cropY = (chroma === 1 ? 2 : 1) * fieldsPerMapUnit
  let width = widthMacroblocks * 16
  let height = heightMapUnits * 16 * fieldsPerMapUnit
  if (reader.flag()) {
    width -= (reader.unsigned() + reader.unsigned()) * cropX
    height -= (reader.unsigned() + reader.unsigned()) * cropY
  }
  if (reader.overrun) return {}
  const frameRate = reader.flag() ? readVuiFrameRate(reader) : undefined
  return {
    ...profileAndLevel(profile, constraints, level),
    ...size(width, height),
    frameRate: reader.overrun ? undefined : frameRate,
  }
}

/** @returns ChromaArrayType: 0 none, or separate planes; 1 4:2:0; 2 4:2:2; 3 4:4:4. */
function readChroma(reader: BitReader): number {
  const chroma = reader.unsigned()
  const separatePlanes = chroma === 3 && reader.flag()
  reader.unsigned()
  reader.unsigned()
  reader.skip(1)
  if (reader.flag()) {
    const lists = chroma === 3 ? 12 : 8
    for (let list = 0; list < lists && !reader.overrun; list++) if (reader.flag()) skipScalingList(reader, list)
  }
  return separatePlanes ? 0 : chroma
}

function skipScalingList(reader: BitReader, list: number): void {
  const entries = list < 6 ? 16 : 64
  let next = 8
  for (let entry = 0, last = 8; entry < entries && next !== 0 && !reader.overrun; entry++) {
    next = (last + reader.signed() + 256) & 0xff
    if (next !== 0) last = next
  }
}

function skipPictureOrder(reader: BitReader): void {
  const type = reader.unsigned()
  if (type === 0) reader.unsigned()
  if (type !== 1) return
  reader.skip(1)
  reader.signed()
  reader.signed()
  const offsets = reader.unsigned()
  for (let offset = 0; offset < offsets && !reader.overrun; offset++) reader.signed()
}

/** vui_parameters (E.1.1) up to the timing. */
function readVuiFrameRate(reader: BitReader): number | undefined {
  skipVuiPicture(reader)
  if (!reader.flag()) return undefined
  const unitsInTick = reader.bits(32)
  const timeScale = reader.bits(32)
  // A tick is a field (E.2.1): a frame has two.
  return declaredFrameRate(timeScale, 2 * unitsInTick)
}

/** The fields at the start of the VUI, which H.264 and H.265 share: aspect ratio, overscan, colours, place of the chroma. */
export function skipVuiPicture(reader: BitReader): void {
  const extendedAspectRatio = 255
  if (reader.flag() && reader.bits(8) === extendedAspectRatio) reader.skip(32)
  if (reader.flag()) reader.skip(1)
  if (reader.flag()) {
    reader.skip(4)
    if (reader.flag()) reader.skip(24)
  }
  if (reader.flag()) {
    reader.unsigned()
    reader.unsigned()
  }
}
