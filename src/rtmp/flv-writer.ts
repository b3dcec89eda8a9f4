import { leadingText } from './amf0.ts'
import { messageTypes } from './message.ts'

/**
 * RTMP messages as an FLV stream (Adobe Flash Video File Format 10.1, annex E). Bodies are the same in both, those of Enhanced RTMP too.
 *
 *   header   'F' 'L' 'V'  version=1  flags (4 audio, 1 video)  UI32 header size = 9  UI32 size of the tag before = 0
 *   tag      UI8 type  UI24 body size  UI24 time  UI8 bits 24…31 of time  UI24 stream id = 0  body  UI32 size of this tag without it
 */

const headerBytes = 9
const tagHeaderBytes = 11
const sizeBytes = 4
/** The field has 24 bits. */
export const flvBodyBytesMax = 0xffffff

/** What a stream begins with. The flags promise; players take tags of a kind that was not promised for a mistake, or leave them out. */
export function flvHeader({ audio, video }: { readonly audio: boolean; readonly video: boolean }): Buffer {
  const header = Buffer.alloc(headerBytes + sizeBytes)
  header.write('FLV\x01', 'latin1')
  header[4] = (audio ? 4 : 0) | (video ? 1 : 0)
  header.writeUInt32BE(headerBytes, 5)
  return header
}

/**
 * One tag, with the size that follows it.
 * @param type of the RTMP message: 8, 9 or 18; the tag's is the same
 * @param timestamp milliseconds, 0 or more; wraps around after 2^32
 * @throws RangeError for a body that no tag can hold
 */
export function flvTag(type: number, timestamp: number, body: Uint8Array): Buffer {
  if (body.length > flvBodyBytesMax) throw new RangeError('a tag of FLV holds less than 16 MiB')
  const tagBytes = tagHeaderBytes + body.length
  const tag = Buffer.allocUnsafe(tagBytes + sizeBytes)
  const time = timestamp % 2 ** 32
  tag[0] = type
  tag.writeUIntBE(body.length, 1, 3)
  tag.writeUIntBE(time & 0xffffff, 4, 3)
  tag[7] = Math.floor(time / 2 ** 24)
  tag.writeUIntBE(0, 8, 3)
  tag.set(body, tagHeaderBytes)
  tag.writeUInt32BE(tagBytes, tagBytes)
  return tag
}

/** A data message's body as a script tag has it: `@setDataFrame` tells a server to keep what follows, and stands in no file. */
export function scriptBody(body: Buffer): Buffer {
  const first = leadingText(body)
  return first?.text === '@setDataFrame' ? body.subarray(first.bytes) : body
}

/** @param body of a message of this type, as it goes into a tag */
export function flvTagOfMessage(type: number, timestamp: number, body: Buffer): Buffer {
  return flvTag(type, timestamp, type === messageTypes.amf0Data ? scriptBody(body) : body)
}
