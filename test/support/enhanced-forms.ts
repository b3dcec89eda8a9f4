import type { FlvTag } from './flv.ts'

/**
 * H.264 and AAC written in every form of Enhanced RTMP (enhanced-rtmp-v2, r2 of 2026-01-31), out of their legacy tags; without any code
 * of the product.
 */
type Parts = { readonly start: number; readonly packetType: number; readonly fourCc: Buffer; readonly body: Buffer }

/** A message of Enhanced RTMP: what a wrapping is put around. */
type Media = Pick<FlvTag, 'type' | 'body'>

const multitrackOf = ({ type }: Media): number => (type === 9 ? 6 : 5)
const modExPacket = 7

function parts({ body }: Media): Parts {
  const start = body[0]! & 0xf0
  return { start, packetType: body[0]! & 0x0f, fourCc: body.subarray(1, 5), body: body.subarray(5) }
}

/** A legacy tag of H.264, HEVC (codec id 12) or AAC as Enhanced RTMP, without any wrapping. Others as they are. */
export function enhancedForm({ type, body }: Media): Buffer {
  const first = body[0]!
  if (type === 8 && first >> 4 === 10)
    return Buffer.concat([Buffer.of(0x90 | body[1]!), ascii('mp4a'), body.subarray(2)])
  const fourCc = { 7: 'avc1', 12: 'hvc1' }[first & 0x0f]
  if (type !== 9 || first & 0x80 || fourCc === undefined) return body
  const start = 0x80 | (first & 0x70)
  if (body[1] !== 1) return Buffer.concat([Buffer.of(start | body[1]!), ascii(fourCc), body.subarray(5)])
  const isAtOnce = body.readIntBE(2, 3) === 0
  return Buffer.concat([Buffer.of(start | (isAtOnce ? 3 : 1)), ascii(fourCc), body.subarray(isAtOnce ? 5 : 2)])
}

/** HEVC of Enhanced RTMP in the form of Chinese networks: codec id 12. */
export function legacyHevc(enhanced: Media): Buffer {
  const { start, packetType, body } = parts(enhanced)
  const head = Buffer.of((start & 0x70) | 12, packetType === 3 ? 1 : packetType)
  return Buffer.concat([head, ...(packetType === 1 ? [] : [Buffer.alloc(3)]), body])
}

/** With one ModEx packet in front: a time offset of so many nanoseconds. */
export function withModEx(enhanced: Media, nanoseconds = 123_456): Buffer {
  const { start, packetType, fourCc, body } = parts(enhanced)
  const offset = Buffer.alloc(3)
  offset.writeUIntBE(nanoseconds, 0, 3)
  return Buffer.concat([Buffer.of(start | modExPacket, offset.length - 1), offset, Buffer.of(packetType), fourCc, body])
}

export function asOneTrack(enhanced: Media, trackId = 0): Buffer {
  const { start, packetType, fourCc, body } = parts(enhanced)
  return Buffer.concat([Buffer.of(start | multitrackOf(enhanced), packetType), fourCc, Buffer.of(trackId), body])
}

/** In one message with a track 1 that has these bytes; `front`: the other track stands first. */
export function asManyTracks(
  enhanced: Media,
  other: Buffer,
  options: { ownCodecs?: boolean; front?: boolean } = {},
): Buffer {
  const { start, packetType, fourCc, body } = parts(enhanced)
  const { ownCodecs = false, front = false } = options
  const track = (trackId: number, bytes: Buffer) => {
    const head = Buffer.alloc(4)
    head[0] = trackId
    head.writeUIntBE(bytes.length, 1, 3)
    return Buffer.concat([...(ownCodecs ? [fourCc] : []), head, bytes])
  }
  const tracks = [track(0, body), track(1, other)]
  const kind = Buffer.of(start | multitrackOf(enhanced), ((ownCodecs ? 2 : 1) << 4) | packetType)
  return Buffer.concat([kind, ...(ownCodecs ? [] : [fourCc]), ...(front ? tracks.reverse() : tracks)])
}

/** `94`: the order of the channels, which is stereo's natural one. */
export const multichannelConfig: Buffer = Buffer.concat([Buffer.of(0x94), ascii('mp4a'), Buffer.of(1, 2, 0, 0, 0, 3)])

function ascii(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
