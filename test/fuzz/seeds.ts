import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { refusedHosts } from '../../src/destination/network-policy.vectors.ts'
import { type AmfWritable, EcmaArray, writeAmf0Values } from '../../src/rtmp/amf0.ts'
import { amf0Malformed, amf0Vectors, bytesOf } from '../../src/rtmp/amf0.vectors.ts'
import { chunkVectors } from '../../src/rtmp/chunk.vectors.ts'
import { frameMessage, setChunkSize, userControl, windowAcknowledgementSize } from '../../src/rtmp/chunk-header.ts'
import { frameCommand } from '../../src/rtmp/command.ts'
import { handshakeBytes } from '../../src/rtmp/handshake.ts'
import { keyFrameVectors, payloadVectors } from '../../src/rtmp/key-frame.vectors.ts'
import { mediaVectors } from '../../src/rtmp/media-message.vectors.ts'
import { audioFormatVectors, videoFormatVectors } from '../../src/rtmp/sequence-header.vectors.ts'
import { tagBytes } from './formats/tags.ts'
import { hexes, texts } from './target.ts'

/** What fuzzing begins with: the tables that the tests use, and what real peers said (seeds/, recorded by record-dialogues.ts). */

const folder = join(import.meta.dirname, 'seeds')

/** @param side `client`: what encoders said behind C2; `server`: what destinations said behind S2. */
function recorded(side: 'client' | 'server'): Buffer[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${side}-`))
    .sort()
    .map((name) => Buffer.from(readFileSync(join(folder, name), 'utf8').replace(/\s/g, ''), 'hex'))
}

export function chunkSeeds(): Buffer[] {
  return [...chunkVectors.map(({ encoded }) => encoded), ...recorded('client').map((bytes) => bytes.subarray(0, 4096))]
}

export function handshakeSeeds(): Buffer[] {
  const one = Buffer.alloc(1 + 2 * handshakeBytes + 20, 3)
  return [
    one,
    one.subarray(0, 1537),
    Buffer.concat([Buffer.of(6), one.subarray(1)]),
    ...texts('GET / HTTP/1.1\r\n\r\n'),
  ]
}

export function aggregateSeeds(): Buffer[] {
  return hexes(
    '08 000002 000064 00 000000 af01 0000000d  09 000003 000078 00 000000 270100 0000000e',
    '12 000004 fffffe ff 000000 01020304 0000000f 08 000001 000005 00 000000 af 0000000c',
    '16 000000 000000 00 000000 0000000b 08 000001 000005 00 000000 af 0000000c',
    '09 ffffff 000000 00 000000',
  )
}

/** The long ones show their limit at a tenth of their length. */
const shortened = (bytes: Buffer): Buffer => (bytes.length > 4000 ? bytes.subarray(0, 400) : bytes)

export function amf0Seeds(): Buffer[] {
  return [...amf0Vectors, ...amf0Malformed].map(({ encoded }) => shortened(encoded))
}

export function amf3Seeds(): Buffer[] {
  return hexes(
    ...[
      '00',
      '01',
      '02',
      '03',
      '047f',
      '04ffffffff',
      '053ff8000000000000',
      '060761 6263',
      '0b093c612f3e',
      '0801408f400000000000',
    ],
    ...['0c07010203', '09050104010402', '09030361030104 07', '090b0106010603610603620600 0602'],
    ...['0905010a1b010378040101 0379040201 0a01040301', '0907010a0b01010a02080 1408f400000000000'],
  ).map((value) => Buffer.concat([Buffer.of(0x11), value]))
}

const tcUrl = 'rtmp://localhost:1935/live'
const fmle = { app: 'live', type: 'nonprivate', flashVer: 'FMLE/3.0 (compatible; FMSc/1.0)', swfUrl: tcUrl, tcUrl }
/** The form of a stream key of ours: a test puts another one in its place. */
export const keyOfSeeds = `${'0123456789abcdef'.repeat(2)}k${'fedcba9876543210'.repeat(2)}`
const key = keyOfSeeds
const information = (code: string, description: string, level = 'error') => ({ level, code, description })
const redirect = (ex: { readonly [name: string]: AmfWritable }) => ({
  ...information('NetConnection.Connect.Rejected', 'elsewhere'),
  ex,
})

const answers: readonly (readonly AmfWritable[])[] = [
  [
    '_result',
    1,
    { fmsVer: 'FMS/3,0,1,123', capabilities: 31 },
    information('NetConnection.Connect.Success', 'ok', 'status'),
  ],
  ['_result', 4, null, 1],
  ['onStatus', 0, null, information('NetStream.Publish.Start', 'begun', 'status')],
  ['onStatus', 0, null, information('NetStream.Publish.BadName', 'rtmp-key-117 already publishing')],
  ['onStatus', 0, null, information('NetStream.Publish.Rejected', 'codec hvc1 is not supported hunter22')],
  ['onStatus', 0, null, information('NetStream.Unpublish.Success', 'over', 'status')],
  ['_error', 1, null, redirect({ code: 302, redirect: 'rtmp://127.0.0.1/live' })],
  ['_error', 1, null, redirect({ code: 302, redirect2: 'rtmp://127.0.0.1/live/rtmp-key-117' })],
  [
    '_error',
    1,
    null,
    information('NetConnection.Connect.Rejected', '[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ]'),
  ],
  [
    '_error',
    1,
    null,
    information(
      'NetConnection.Connect.Rejected',
      '[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=U&salt=S&challenge=C&opaque=O',
    ),
  ],
  [
    '_error',
    1,
    null,
    information(
      'NetConnection.Connect.Rejected',
      '[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&nonce=N',
    ),
  ],
  ['_error', 4, null, 'no streams here'],
  ['onBWDone', 0, null],
  ['onBWCheck', 7, null, new EcmaArray({ bytes: 1 })],
  ['close', 0, null],
  [
    'connect',
    1,
    { ...fmle, fourCcList: ['hvc1'], videoFourCcInfoMap: { '*': 4 }, audioFourCcInfoMap: { Opus: 7 }, capsEx: 15 },
  ],
]

export function commandSeeds(): Buffer[] {
  return answers.map((values) => writeAmf0Values(values))
}

type Said = readonly [csid: number, msid: number, name: string, transactionId: number, ...values: AmfWritable[]]

function wire(first: Buffer, chunkSize: number, says: readonly Said[], ...rest: readonly Buffer[]): Buffer {
  return Buffer.concat([first, ...says.map((said) => frameCommand(chunkSize, ...said)), ...rest])
}

const none = Buffer.alloc(0)
const media = (type: number, timestamp: number, body: Buffer): Buffer =>
  frameMessage({ chunkStreamId: 4, type, timestamp, messageStreamId: 1, body }, 4096)

export function clientSeeds(): Buffer[] {
  const publish: readonly Said[] = [
    [3, 0, 'connect', 1, fmle],
    [3, 0, 'releaseStream', 2, null, key],
    [3, 0, 'FCPublish', 3, null, key],
    [3, 0, 'createStream', 4, null],
    [4, 1, 'publish', 5, null, key, 'live'],
  ]
  const goodbye: readonly Said[] = [
    [3, 0, 'FCUnpublish', 6, null, key],
    [3, 0, 'deleteStream', 7, null, 1],
  ]
  const picture = [...hexes('170000000001', '17010000000000000165', 'af001190', 'af012110')]
  const frames = picture.map((body, at) => media(at < 2 ? 9 : 8, at * 20, body))
  return [
    ...recorded('client'),
    wire(setChunkSize(4096), 4096, publish, ...frames, wire(none, 4096, goodbye)),
    wire(none, 128, publish, userControl(6, 42), media(22, 5, aggregateSeeds()[0]!)),
    wire(windowAcknowledgementSize(1), 128, [
      ...publish.slice(0, 1),
      [3, 0, '_checkbw', 2, null],
      [3, 0, 'play', 3, null, 'x'],
    ]),
    wire(none, 128, [[3, 1, 'publish', 1, null, key], ...publish.slice(3)]),
    ...shapesOfReports(publish),
  ]
}

/**
 * ireader/media-server #235 and ZLMediaKit #1839 crashed on messages whose bytes their reports keep in attachments. These are made by hand, of
 * what such code frees and goes on using: a stream that is deleted, published again or closed while media of it is under way, and a message
 * whose length, type or chunk size changes between its chunks.
 */
function shapesOfReports(publish: readonly Said[]): Buffer[] {
  const frame = media(9, 0, Buffer.alloc(300, 0x17))
  const [half, rest] = [frame.subarray(0, 150), frame.subarray(150)]
  const endings: readonly Said[] = [
    [3, 0, 'deleteStream', 6, null, 1],
    [3, 1, 'closeStream', 0, null],
    [4, 1, 'publish', 5, null, key, 'live'],
    [3, 0, 'connect', 1, fmle],
  ]
  // Headers of type 1 and 0 on the chunk stream of the frame: longer, shorter, of another type, on another message stream.
  const headers = hexes(
    '44 000000 ffffff 09',
    '44 000000 000001 09',
    '44 000000 00012c 14',
    '04 000000 00012c 09 07000000',
  )
  return [
    ...endings.map((said) =>
      wire(setChunkSize(4096), 4096, publish, half, rest, wire(none, 4096, [said]), frame, frame),
    ),
    ...headers.map((header) => wire(setChunkSize(128), 128, publish, frame.subarray(0, 12 + 128), header, frame)),
    wire(
      setChunkSize(128),
      128,
      publish,
      frame.subarray(0, 12 + 128),
      setChunkSize(1),
      rest,
      setChunkSize(65_536),
      frame,
    ),
  ]
}

export function serverSeeds(): Buffer[] {
  const says = answers.map(
    ([name, transactionId, ...values]): Said => [3, 0, name as string, transactionId as number, ...values],
  )
  const [connected, created, started, ...others] = says as [Said, Said, Said, ...Said[]]
  const first = Buffer.concat([windowAcknowledgementSize(2_500_000), setChunkSize(4096)])
  return [
    ...recorded('server'),
    wire(first, 4096, [connected, created, started, ...others]),
    ...others.flatMap((other) => [
      wire(none, 128, [other]),
      wire(first, 4096, [connected, other]),
      wire(first, 4096, [connected, created, other]),
      wire(first, 4096, [connected, created, started, other], userControl(6, 7)),
    ]),
  ]
}

const kinds = ['video', 'audio', 'data'] as const

export function mediaSeeds(): Buffer[] {
  const frames = keyFrameVectors.map(({ codec, frame }): readonly ['video', Buffer] => {
    const head = codec === 'avc1' ? '17 01 000000' : `91 '${codec}' ${codec === 'hvc1' ? '000000' : ''}`
    return ['video', Buffer.concat([bytesOf(head), bytesOf(frame)])]
  })
  const payloads = payloadVectors.map(([, kind, picture]) => [kind, bytesOf(picture)] as const)
  const messages = mediaVectors.map(({ seen, body }) => [seen.kind, body] as const)
  return [...messages, ...frames, ...payloads].map(([kind, body]) =>
    Buffer.concat([Buffer.of(kinds.indexOf(kind)), body]),
  )
}

/** @param codecs the index of each codec is the first byte. */
export function sequenceHeaderSeeds(codecs: readonly string[]): Buffer[] {
  return [...videoFormatVectors, ...audioFormatVectors]
    .filter(({ codec }) => codecs.includes(codec))
    .map(({ codec, bytes }) => Buffer.concat([Buffer.of(codecs.indexOf(codec)), bytes]))
}

export function destinationSeeds(): Buffer[] {
  return texts(
    'rtmp://a.rtmp.youtube.com/live2\nabcd-efgh-1234-5678-wxyz',
    'rtmp://b.rtmp.youtube.com/live2?backup=1\nabcd-efgh-1234-5678-wxyz',
    'rtmps://a.rtmps.youtube.com:443/live2\nabcd-efgh-1234-5678',
    'rtmps://live.twitch.tv/app\nlive_123456_AbCdEfGh?bandwidthtest=true',
    'rtmps://live-api-s.facebook.com:443/rtmp/\nFB-123-0-AbC',
    'rtmps://live-upload.instagram.com:443/rtmp/\n178412345?s_efg=eyJ%3D%3D&s_sw=0&s_vt=ig&a=Abc',
    'rtmps://fa723fc1b171.global-contribute.live-video.net\nsk_us-west-2_AbCdEfGh',
    'rtmp://de.pscp.tv:80/x\nabcdefgh1234',
    'rtmps://live.cloudflare.com:443/live/\n0123456789abcdef0123456789abcdefk0123',
    'rtmp://[2001:db8::1]:1936/live/{stream_key}\n<your-key>',
    'https://www.youtube.com/watch\n"quoted"',
    'rtmp://user:password@host/app\n rtmp://host/app/key ',
    'rtmp://ü.example:0/a//b?c=d/\n/key with space',
    '\n',
    ...refusedHosts.map(([host]) => `rtmp://${host}:1935/live\nkey`),
  )
}

export function streamKeySeeds(): Buffer[] {
  const url = 'rtmp://host/live'
  return [
    ['live', key, url],
    ['', key, 'rtmp://host'],
    [`live/${key}/_definst_`, '', `${url}/${key}`],
    ['live?path=/a/b', `mp4:${key}?bandwidthtest=true&x=a/b`, url],
    [`live?token=${key}`, `stream?key=${key}`, `rtmp://host/live?streamKey=${key}`],
    [`live?x=1/${key}`, ' ', url],
  ].map((parts) => Buffer.from(parts.join('\n')))
}

export function addressSeeds(): Buffer[] {
  return texts(
    ...[
      '127.0.0.1',
      '10.1.2.3/8',
      '169.254.169.254',
      '168.63.129.16',
      '100.64.0.1',
      '224.0.0.1',
      '255.255.255.255',
      '0.0.0.0',
    ],
    ...[
      '::',
      '::1',
      'fe80::1%eth0',
      'fd00::/8',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1/104',
      '64:ff9b::10.0.0.1',
      '2002:7f00:1::',
    ],
    ...['2001:db8::1', '2606:4700::1111', '8.8.8.8', '::8.8.8.8', '0177.0.0.1', '127.1'],
    ...refusedHosts.map(([host]) => host.replace(/^\[|\]$/g, '')),
  )
}

export function mediaLogSeeds(): Buffer[] {
  return hexes(
    '00000a10 03000720 00000aff 08000000 01080a40 06010502 09000000 00080aff 08010a00',
    `${'00040aff'.repeat(12)}07000103${'00040aff'.repeat(12)}08000000`,
    '0e000020 0f000a20 0b000501 00080a10 0b000500 0a000000 06000103 0d000000',
    '04000a20 05000a20 04040aff 0c000000 00080a20 09010000 08000000',
  )
}

const tag = (kind: number, timestamp: number, body: Buffer): Buffer => tagBytes({ kind, timestamp, body })
const event = (kind: number): Buffer => tag(kind, 0, none)
const joinEvent = 0xf1
const plainEvent = 0xf2
const drainEvent = 0xf3
const takeoverEvent = 0xf0

export function broadcastSeeds(): Buffer[] {
  const types = { video: 9, audio: 8, data: 18 }
  const all = mediaVectors.map(({ seen, body }, at) => tag(types[seen.kind], at * 20, body))
  const [header, key, frame, sound] = hexes('17000000000142001e', '1701000000aaaa', '2701000000bbbb', 'af012110') as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ]
  const metadata = writeAmf0Values(['@setDataFrame', 'onMetaData', new EcmaArray({ width: 2 })])
  const begin = [tag(18, 0, metadata), tag(9, 0, header), tag(8, 0, hexes('af001190')[0]!), tag(9, 0, key)]
  const go = Array.from({ length: 6 }, (_, at) => [tag(9, at * 33, frame), tag(8, at * 33 + 5, sound)]).flat()
  return [
    Buffer.concat([...begin, event(joinEvent), ...go, event(drainEvent), event(plainEvent)]),
    Buffer.concat([...begin, ...go, event(joinEvent), event(takeoverEvent), ...begin, ...go]),
    Buffer.concat(all.slice(0, 40).filter((bytes) => bytes.length < 300)),
    Buffer.concat([...begin, event(plainEvent), ...all.slice(40).filter((bytes) => bytes.length < 300)]),
  ]
}
