import type { Random } from '../random.ts'
import { hexes, texts } from '../target.ts'

/** Audio and video messages as a mutator sees them: legacy tags and every form of Enhanced RTMP. */

const fourCcs = texts('avc1', 'hvc1', 'vvc1', 'av01', 'vp08', 'vp09', 'mp4a', '.mp3', 'Opus', 'fLaC', 'ac-3', 'zzzz')

export const mediaWords: readonly Buffer[] = [
  ...fourCcs,
  ...hexes(
    '1700000000',
    '1701000000',
    '2701000000',
    '1702000000',
    'af00',
    'af01',
    '1c00000000',
    '1c01000000',
    '2f',
    '57',
  ),
  ...hexes(
    '97020000000001',
    '9702000000ff00',
    '860061766331',
    '9600',
    '9610',
    '9620',
    '95',
    '9501',
    '000004',
    'd4',
    '94',
  ),
  ...hexes('0000000165', '0000000141', '00000001 26', '67640028', '01640028ff', 'e1', '4f70757348656164'),
]

function sized(body: Buffer): Buffer {
  const size = Buffer.alloc(3)
  size.writeUIntBE(body.length, 0, 3)
  return Buffer.concat([size, body])
}

function modEx(random: Random, next: number): Buffer {
  const length = 1 + random.pick([0, 1, 2, 3, 7, 255, 256, 300])
  const data = Buffer.alloc(length, random.below(256))
  const size = length <= 255 ? Buffer.of(length - 1) : Buffer.of(255, (length - 1) >> 8, (length - 1) & 0xff)
  return Buffer.concat([size, data, Buffer.of((random.below(3) << 4) | next)])
}

/** A message of Enhanced RTMP: any packet, with ModEx packets and tracks around it. */
function wrap(kind: 'video' | 'audio', packetType: number, body: Buffer, random: Random): Buffer {
  const multitrack = kind === 'video' ? 6 : 5
  const fourCc = () => random.pick(fourCcs)
  const form = random.below(5)
  const tracks = 1 + random.small(20)
  let inner: Buffer
  let outerType = multitrack
  const trackId = () => random.pick([0, 0, 1, 2, 255])
  if (form === 0) {
    inner = Buffer.concat([Buffer.of(packetType), fourCc(), Buffer.of(trackId()), body])
  } else if (form === 1) {
    const each = Array.from({ length: tracks }, () => Buffer.concat([Buffer.of(trackId()), sized(body)]))
    inner = Buffer.concat([Buffer.of(0x10 | packetType), fourCc(), ...each])
  } else if (form === 2) {
    const each = Array.from({ length: tracks }, () => Buffer.concat([fourCc(), Buffer.of(trackId()), sized(body)]))
    inner = Buffer.concat([Buffer.of(0x20 | packetType), ...each])
  } else {
    outerType = packetType
    inner = Buffer.concat([fourCc(), body])
  }
  const parts: Buffer[] = [inner]
  for (let count = random.small(9); count > 0; count--) {
    parts.unshift(modEx(random, outerType))
    outerType = 7
  }
  const first = kind === 'video' ? 0x80 | (random.below(6) << 4) | outerType : 0x90 | outerType
  return Buffer.concat([Buffer.of(first), ...parts])
}

export function mutateMedia(kind: 'video' | 'audio', body: Buffer, random: Random): Buffer {
  const payload = body.subarray(Math.min(body.length, random.pick([0, 1, 2, 5, 8])))
  switch (random.below(6)) {
    case 0:
    case 1:
      return wrap(kind, random.below(kind === 'video' ? 8 : 6), random.oneIn(4) ? Buffer.alloc(0) : payload, random)
    case 2: {
      const head =
        kind === 'video' ? Buffer.of((random.below(8) << 4) | random.below(16)) : Buffer.of(random.below(256))
      return Buffer.concat([head, Buffer.of(random.below(4), 0, 0, random.below(256)), payload])
    }
    case 3:
      return body.subarray(0, random.below(body.length + 1))
    default: {
      const changed = Buffer.from(body)
      if (changed.length > 0) changed[random.below(Math.min(changed.length, 24))] = random.below(256)
      return changed
    }
  }
}
