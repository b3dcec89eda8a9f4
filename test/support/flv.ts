import { readFile, writeFile } from 'node:fs/promises'

/**
 * FLV files, read and written (Adobe Flash Video File Format 10.1, annex E).
 *
 *   header   'F' 'L' 'V'  version=1  flags (4 audio, 1 video)  UI32 header size = 9
 *   then     UI32 size of the tag before (0 at first)
 *   tag      UI8 type  UI24 body size  UI24 time  UI8 bits 24…31 of time  UI24 stream id = 0  body  UI32 size of this tag
 */
export type FlvTag = {
  /** 8 audio, 9 video, 18 script: the RTMP message types. */
  readonly type: number
  /** Milliseconds, unsigned 32 bits. */
  readonly timestamp: number
  readonly body: Buffer
}

const headerBytes = 9
const tagHeaderBytes = 11

/** @throws Error when it is no FLV. A last tag that is cut off (the writer was killed) is left out. */
export function decodeFlv(file: Buffer): FlvTag[] {
  if (file.subarray(0, 3).toString('latin1') !== 'FLV') throw new Error('not an FLV file')
  const tags: FlvTag[] = []
  let at = file.readUInt32BE(5) + 4
  while (at + tagHeaderBytes <= file.length) {
    const size = file.readUIntBE(at + 1, 3)
    const end = at + tagHeaderBytes + size
    if (end > file.length) break
    const timestamp = (file.readUIntBE(at + 4, 3) | (file[at + 7]! << 24)) >>> 0
    tags.push({ type: file[at]! & 0x1f, timestamp, body: file.subarray(at + tagHeaderBytes, end) })
    at = end + 4
  }
  return tags
}

export async function readFlv(path: string): Promise<FlvTag[]> {
  return decodeFlv(await readFile(path))
}

export function encodeFlv(tags: readonly FlvTag[]): Buffer {
  const header = Buffer.alloc(headerBytes + 4)
  header.write('FLV\x01', 'latin1')
  header[4] = (tags.some((tag) => tag.type === 8) ? 4 : 0) | (tags.some((tag) => tag.type === 9) ? 1 : 0)
  header.writeUInt32BE(headerBytes, 5)
  const parts: Buffer[] = [header]
  for (const { type, timestamp, body } of tags) {
    const start = Buffer.alloc(tagHeaderBytes)
    start[0] = type
    start.writeUIntBE(body.length, 1, 3)
    start.writeUIntBE(timestamp & 0xffffff, 4, 3)
    start[7] = timestamp >>> 24
    const end = Buffer.alloc(4)
    end.writeUInt32BE(tagHeaderBytes + body.length)
    parts.push(start, body, end)
  }
  return Buffer.concat(parts)
}

export async function writeFlv(path: string, tags: readonly FlvTag[]): Promise<void> {
  await writeFile(path, encodeFlv(tags))
}

export const isAudio = (tag: { type: number }): boolean => tag.type === 8
export const isVideo = (tag: { type: number }): boolean => tag.type === 9

/** A legacy or Enhanced sequence header (the codec's configuration, not a frame). */
export function isSequenceHeader(tag: { type: number; body: Buffer }): boolean {
  const first = tag.body[0]
  if (first === undefined) return false
  if (isVideo(tag)) {
    if (first & 0x80) return (first & 0x0f) === 0 || ((first & 0x0f) === 6 && (tag.body[1]! & 0x0f) === 0)
    return ((first & 0x0f) === 7 || (first & 0x0f) === 12) && tag.body[1] === 0
  }
  if (isAudio(tag)) {
    if (first >> 4 === 9) return (first & 0x0f) === 0 || ((first & 0x0f) === 5 && (tag.body[1]! & 0x0f) === 0)
    return first >> 4 === 10 && tag.body[1] === 0
  }
  return false
}

/** A video frame that a decoder can start with. Sequence headers carry the key flag too and are not frames. */
export function isKeyFrame(tag: { type: number; body: Buffer }): boolean {
  const first = tag.body[0]
  return isVideo(tag) && first !== undefined && ((first >> 4) & 7) === 1 && !isSequenceHeader(tag) && !isVideoEnd(tag)
}

function isVideoEnd(tag: { body: Buffer }): boolean {
  const first = tag.body[0]!
  return first & 0x80 ? (first & 0x0f) === 2 : tag.body[1] === 2
}
