import { readEnhancedStart, videoPacketTypes } from './enhanced.ts'
import { compositionTimed, type MediaMessage } from './media-message.ts'

/** Where the codec's own bytes lie in a message. */
export type Payload = { start: number; end: number }

const payload: Payload = { start: 0, end: 0 }
/** The codecs of the legacy tags that have a packet type and a composition time: ids 7, 12, 13. */
const packetTyped = new Set(['avc1', 'hvc1', 'av01'])

/**
 * The configuration in a sequence header, the frame in a frame, of the default track: what stands behind all that RTMP, FLV and Enhanced
 * RTMP put in front. The same object each time.
 * @param media what classifyVideo or classifyAudio said of this body. @returns undefined where there is no such thing.
 */
export function payloadOf(media: MediaMessage, body: Buffer): Payload | undefined {
  if (media.kind === 'data' || body.length === 0) return undefined
  payload.end = body.length
  if (!media.enhanced) {
    if (media.kind === 'video') payload.start = packetTyped.has(media.codec) ? 5 : 1
    else payload.start = media.codec === 'mp4a' ? 2 : 1
    return payload.start <= payload.end ? payload : undefined
  }
  const packet = readEnhancedStart(body, media.kind)
  if (packet === undefined) return undefined
  const isTimed =
    media.kind === 'video' && packet.packetType === videoPacketTypes.codedFrames && compositionTimed.has(packet.codec)
  payload.start = packet.start + (isTimed ? 3 : 0)
  payload.end = packet.end
  return payload.start <= payload.end ? payload : undefined
}
