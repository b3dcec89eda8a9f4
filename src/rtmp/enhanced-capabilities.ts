import { type AmfRecord, type AmfValue, field } from './amf0.ts'

/** What a peer says of Enhanced RTMP in connect or in the answer to it (enhanced-rtmp-v2, "Enhancing NetConnection connect"). */
export type EnhancedCapabilities = {
  /** FourCCs, or `*` for all. */
  readonly fourCcList?: readonly string[]
  /** FourCC or `*` to a mask of fourCcMasks. */
  readonly videoFourCcInfoMap?: ReadonlyMap<string, number>
  readonly audioFourCcInfoMap?: ReadonlyMap<string, number>
  /** A mask of capsExMasks. */
  readonly capsEx?: number
}

export const fourCcMasks = { canDecode: 1, canEncode: 2, canForward: 4 } as const
export const capsExMasks = { reconnect: 1, multitrack: 2, modEx: 4, timestampNanoOffset: 8 } as const

/** A dozen FourCCs exist. */
const entriesMax = 64

/** A relay forwards whatever comes. Reconnect requests are not among what we say we understand. */
const anyCodec: AmfRecord = { '*': fourCcMasks.canForward }
export const relayCapabilities: AmfRecord = {
  videoFourCcInfoMap: anyCodec,
  audioFourCcInfoMap: anyCodec,
  capsEx: capsExMasks.multitrack | capsExMasks.modEx | capsExMasks.timestampNanoOffset,
}
/** The one strict array in the dialogue. Old parsers stumble over strict arrays (MediaMTX #3188), so only those get it who speak Enhanced RTMP. */
export const relayFourCcList: AmfRecord = { fourCcList: ['*'] }

/** What the objects of one command say together; undefined when they say nothing of Enhanced RTMP. Most peers do not. */
export function readCapabilities(objects: readonly AmfValue[]): EnhancedCapabilities | undefined {
  const found: { -readonly [Name in keyof EnhancedCapabilities]: EnhancedCapabilities[Name] } = {}
  for (const object of objects) {
    const list = field(object, 'fourCcList')
    if (Array.isArray(list)) found.fourCcList = list.filter((item) => typeof item === 'string').slice(0, entriesMax)
    const video = readMap(field(object, 'videoFourCcInfoMap'))
    if (video !== undefined) found.videoFourCcInfoMap = video
    const audio = readMap(field(object, 'audioFourCcInfoMap'))
    if (audio !== undefined) found.audioFourCcInfoMap = audio
    const capsEx = field(object, 'capsEx')
    if (typeof capsEx === 'number') found.capsEx = capsEx & 0xff
  }
  return Object.keys(found).length > 0 ? found : undefined
}

function readMap(value: AmfValue): ReadonlyMap<string, number> | undefined {
  if (!(value instanceof Map)) return undefined
  const masks = new Map<string, number>()
  for (const [fourCc, mask] of value) {
    if (typeof mask !== 'number' || masks.size >= entriesMax) continue
    masks.set(fourCc, mask & 0xff)
  }
  return masks
}
