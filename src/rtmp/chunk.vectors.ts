import { bytesOf } from './amf0.vectors.ts'
import type { Message } from './message.ts'

export type ChunkVector = {
  readonly name: string
  /** What is told, Set Chunk Size and Abort included. */
  readonly decoded: readonly Message[]
  readonly encoded: Buffer
  /** Whether frameMessage, message by message with 128-byte chunks, gives the same bytes. */
  readonly written?: boolean
}

function told(chunkStreamId: number, type: number, timestamp: number, messageStreamId: number, body: Buffer): Message {
  return { chunkStreamId, type, timestamp, messageStreamId, body }
}

/** Bytes that tell their place, from 0x80 up: no body looks like an extended timestamp by chance. */
const body = (length: number, start = 0): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, at) => 0x80 + ((at + start) % 0x71)))

const join = (...parts: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? bytesOf(part) : part)))

/** Drives reading, writing, cutting and the seeds of the fuzzers. The chunk size is 128 at first. */
export const chunkVectors: readonly ChunkVector[] = [
  {
    name: 'types 0, 2, 3 and 3 (RTMP 1.0, section 5.3.2.1)',
    decoded: [1000, 1020, 1040, 1060].map((time) => told(3, 8, time, 12345, body(32))),
    encoded: join('03 0003e8 000020 08 39300000', body(32), '83 000014', body(32), 'c3', body(32), 'c3', body(32)),
  },
  {
    name: 'a message in three chunks (section 5.3.2.2)',
    decoded: [told(4, 9, 1000, 12346, body(307))],
    encoded: join('04 0003e8 000133 09 3a300000', body(128), 'c4', body(128, 128), 'c4', body(51, 256)),
    written: true,
  },
  {
    name: 'type 3 right after type 0 adds its timestamp (FMLE: 26, then 52)',
    decoded: [told(4, 8, 26, 1, body(2)), told(4, 8, 52, 1, body(2, 9))],
    encoded: join('04 00001a 000002 08 01000000', body(2), 'c4', body(2, 9)),
  },
  {
    name: 'type 1 keeps the message stream, type 2 the length and type, type 3 the delta',
    decoded: [
      told(6, 9, 5, 7, body(1)),
      told(6, 8, 15, 7, body(3)),
      told(6, 8, 18, 7, body(3)),
      told(6, 8, 21, 7, body(3)),
    ],
    encoded: join(
      '06 000005 000001 09 07000000',
      body(1),
      '46 00000a 000003 08',
      body(3),
      '86 000003',
      body(3),
      'c6',
      body(3),
    ),
  },
  {
    name: 'chunk stream ids of two and three bytes, the third counting 256',
    decoded: [64, 319, 320, 1000, 65_599].map((id) => told(id, 8, 1, 1, body(2))),
    encoded: join(
      '00 00 000001 000002 08 01000000',
      body(2),
      '00 ff 000001 000002 08 01000000',
      body(2),
      '01 00 01 000001 000002 08 01000000',
      body(2),
      '01 a8 03 000001 000002 08 01000000',
      body(2),
      '01 ff ff 000001 000002 08 01000000',
      body(2),
    ),
  },
  {
    name: 'one chunk stream under its two-byte and its three-byte name',
    decoded: [told(70, 8, 1, 1, body(1)), told(70, 8, 2, 1, body(1))],
    encoded: join('00 06 000001 000001 08 01000000', body(1), '41 06 00 000001 000001 08', body(1)),
  },
  {
    name: 'a first chunk of type 1, as librtmp answers pings',
    decoded: [told(2, 4, 0, 0, bytesOf('0007 00000001'))],
    encoded: join('42 000000 000006 04 0007 00000001'),
  },
  {
    name: 'first chunks of type 2 and 3 count from zeros',
    decoded: [told(5, 0, 7, 0, body(0)), told(7, 0, 0, 0, body(0)), told(5, 9, 10, 0, body(1))],
    encoded: join('85 000007 c7 45 000003 000001 09', body(1)),
  },
  {
    name: 'an extended timestamp, repeated in type 3 (2012)',
    decoded: [told(4, 9, 0x01020304, 1, body(300)), told(4, 9, 0x01020305, 1, body(1))],
    encoded: join(
      '04 ffffff 00012c 09 01000000 01020304',
      body(128),
      'c4 01020304',
      body(128, 128),
      'c4 01020304',
      body(44, 256),
      '44 000001 000001 09',
      body(1),
    ),
  },
  {
    name: 'an extended timestamp as frameMessage writes it',
    decoded: [
      told(4, 9, 0xffffffff, 1, body(129)),
      told(4, 9, 0xffffff, 1, body(128)),
      told(4, 9, 0xfffffe, 1, body(0)),
    ],
    encoded: join(
      '04 ffffff 000081 09 01000000 ffffffff',
      body(128),
      'c4 ffffffff',
      body(1, 128),
      '04 ffffff 000080 09 01000000 00ffffff',
      body(128),
      '04 fffffe 000000 09 01000000',
    ),
    written: true,
  },
  {
    name: 'an extended timestamp, left out in type 3 (2009; OBS before 2024)',
    decoded: [told(4, 9, 0x01020304, 1, body(300)), told(4, 9, 0x01020305, 1, body(1))],
    encoded: join(
      '04 ffffff 00012c 09 01000000 01020304',
      body(128),
      'c4',
      body(128, 128),
      'c4',
      body(44, 256),
      '44 000001 000001 09',
      body(1),
    ),
  },
  {
    name: 'left out, and the body begins like the timestamp for one, two and three bytes',
    decoded: [
      told(4, 9, 0x01020304, 1, join(body(128), '01', body(127), '0102', body(126), '01020385', body(124), '0102')),
      told(6, 8, 0, 1, body(0)),
    ],
    encoded: join(
      '04 ffffff 000202 09 01000000 01020304',
      body(128),
      'c4 01',
      body(127),
      'c4 0102',
      body(126),
      'c4 01020385',
      body(124),
      // The last two bytes of the message; then another chunk stream begins.
      'c4 0102',
      '06 000000 000000 08 01000000',
    ),
  },
  {
    name: 'type 3 begins a message with an extended delta: repeated, and left out',
    decoded: [0x01000000, 0x02000000, 0x03000000].map((time) => told(4, 8, time, 1, body(2))),
    encoded: join('04 ffffff 000002 08 01000000 01000000', body(2), 'c4 01000000', body(2), 'c4', body(2)),
  },
  {
    name: 'OBS: audio and video on chunk stream 4, where a delta may be negative',
    decoded: [
      told(4, 9, 100, 1, body(3)),
      told(4, 8, 90, 1, body(2)),
      told(4, 9, 133, 1, body(200)),
      told(4, 8, 112, 1, body(2)),
    ],
    encoded: join(
      '04 000064 000003 09 01000000',
      body(3),
      '44 ffffff 000002 08 fffffff6',
      body(2),
      '44 00002b 0000c8 09',
      body(128),
      'c4',
      body(72, 128),
      '44 ffffff 000002 08 ffffffeb',
      body(2),
    ),
  },
  {
    name: 'a negative delta in a message of several chunks',
    decoded: [told(4, 8, 100, 1, body(1)), told(4, 9, 90, 1, body(130)), told(4, 9, 80, 1, body(130))],
    encoded: join(
      '04 000064 000001 08 01000000',
      body(1),
      '44 ffffff 000082 09 fffffff6',
      body(128),
      'c4 fffffff6',
      body(2, 128),
      // Type 3 begins a message: the delta of before, the timestamp repeated.
      'c4 fffffff6',
      body(128),
      'c4 fffffff6',
      body(2, 128),
    ),
  },
  {
    name: 'time goes on past 2^32',
    decoded: [told(4, 8, 0xfffffff0, 1, body(1)), told(4, 8, 4, 1, body(1))],
    encoded: join('04 ffffff 000001 08 01000000 fffffff0', body(1), '44 000014 000001 08', body(1)),
  },
  {
    name: 'messages interleave chunk by chunk',
    decoded: [told(5, 8, 2, 1, body(130)), told(4, 9, 1, 1, body(300)), told(6, 18, 3, 1, body(2))],
    encoded: join(
      '04 000001 00012c 09 01000000',
      body(128),
      '05 000002 000082 08 01000000',
      body(128),
      'c4',
      body(128, 128),
      'c5',
      body(2, 128),
      'c4',
      body(44, 256),
      '06 000003 000002 12 01000000',
      body(2),
    ),
  },
  {
    name: 'Set Chunk Size between the chunks of another message, highest bit set',
    decoded: [told(2, 1, 0, 0, bytesOf('80000100')), told(4, 9, 1, 1, body(400))],
    encoded: join(
      '04 000001 000190 09 01000000',
      body(128),
      '02 000000 000004 01 00000000 80000100',
      'c4',
      body(256, 128),
      'c4',
      body(16, 384),
    ),
  },
  {
    name: 'Set Chunk Size 1',
    decoded: [told(2, 1, 0, 0, bytesOf('00000001')), told(4, 9, 1, 1, body(3))],
    encoded: join('02 000000 000004 01 00000000 00000001', '04 000001 000003 09 01000000 80 c4 81 c4 82'),
  },
  {
    name: 'Set Chunk Size 2^31 - 1, as MonaServer announces it',
    decoded: [told(2, 1, 0, 0, bytesOf('7fffffff')), told(4, 9, 1, 1, body(1000))],
    encoded: join('02 000000 000004 01 00000000 7fffffff', '04 000001 0003e8 09 01000000', body(1000)),
  },
  {
    name: 'Abort drops what is unfinished on its chunk stream, and only there',
    decoded: [
      told(2, 2, 0, 0, bytesOf('00000004')),
      told(4, 9, 2, 1, body(200, 5)),
      told(5, 8, 1, 1, body(130)),
      told(2, 2, 0, 0, bytesOf('0000ffff')),
    ],
    encoded: join(
      '04 000001 0000c8 09 01000000',
      body(128),
      '05 000001 000082 08 01000000',
      body(128),
      '02 000000 000004 02 00000000 00000004',
      // Not a continuation any more: the delta of type 0 is its timestamp.
      'c4',
      body(128, 5),
      'c4',
      body(72, 133),
      'c5',
      body(2, 128),
      // A chunk stream that does not exist.
      'c2 0000ffff',
    ),
  },
  {
    name: 'a new header in the middle of a message drops what was unfinished',
    decoded: [told(4, 9, 7, 1, body(2)), told(4, 8, 8, 1, body(130))],
    encoded: join(
      '04 000001 0000c8 09 01000000',
      body(128),
      '04 000007 000002 09 01000000',
      body(2),
      '04 000007 0000c8 08 01000000',
      body(128),
      // Another length in the middle (CVE-2016-10191).
      '44 000001 000082 08',
      body(128),
      'c4',
      body(2, 128),
    ),
  },
  {
    name: 'messages without a byte, one in the middle of another',
    decoded: [told(5, 8, 9, 1, body(0)), told(5, 8, 18, 1, body(0)), told(4, 9, 1, 1, body(129))],
    encoded: join('04 000001 000081 09 01000000', body(128), '05 000009 000000 08 01000000', 'c5', 'c4', body(1, 128)),
  },
  {
    name: 'a body of exactly one chunk and of exactly two',
    decoded: [told(4, 9, 1, 1, body(128)), told(4, 9, 1, 1, body(256))],
    encoded: join(
      '04 000001 000080 09 01000000',
      body(128),
      '04 000001 000100 09 01000000',
      body(128),
      'c4',
      body(128, 128),
    ),
    written: true,
  },
  {
    name: 'control messages on any chunk stream, message stream ids little-endian',
    decoded: [told(6, 5, 0, 0x01000000, bytesOf('002625a0')), told(3, 20, 0, 0, body(4))],
    encoded: join('06 000000 000004 05 00000001 002625a0', '03 000000 000004 14 00000000', body(4)),
    written: true,
  },
]
