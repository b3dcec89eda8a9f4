import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { ScriptedPeer } from '../../test/support/scripted-peer.ts'
import { acceptPublish, handlePublisherCommand, type PublishRequest, sendEnd } from './accept-publish.ts'
import { type AmfWritable, writeAmf0Values } from './amf0.ts'
import { frameMessage, setChunkSize, windowAcknowledgementSize } from './chunk-header.ts'
import { publisherLimits, unknownPeerLimits } from './chunk-reader.ts'
import { frameCommand } from './command.ts'
import { ConnectionClosed, RtmpConnection } from './connection.ts'
import { messageTypes, ProtocolError } from './message.ts'
import { candidateKeys } from './stream-key-search.ts'

const never = new AbortController().signal
const timeout = 20_000
const key = `${'0123456789abcdef'.repeat(2)}k${'fedcba9876543210'.repeat(2)}`

async function pair() {
  const [ours, theirs] = duplexPair()
  const [connection, peer] = await Promise.all([
    RtmpConnection.accept(ours, { limits: unknownPeerLimits, now: () => 0, signal: never }),
    ScriptedPeer.shakeHands(theirs, 'client'),
  ])
  return { connection, peer, ours }
}

type Said = readonly [csid: number, msid: number, name: string, transactionId: number, ...values: AmfWritable[]]
const tcUrl = 'rtmp://localhost:1935/live'
const fmle = { app: 'live', type: 'nonprivate', flashVer: 'FMLE/3.0 (compatible; FMSc/1.0)', swfUrl: tcUrl, tcUrl }

/** The control messages and the answer that every connect gets. */
const connected = [
  'windowAcknowledgementSize 002625a0',
  'setPeerBandwidth 002625a002',
  'setChunkSize 00001000',
  '_result#1@0 NetConnection.Connect.Success',
]
const fcPublished = (transactionId: number) =>
  transactionId === 0
    ? ['onFCPublish#0@0 NetStream.Publish.Start']
    : [`onFCPublish#${transactionId}@0 NetStream.Publish.Start`, `_result#${transactionId}@0`]
const started = ['userControl 000000000001', 'onStatus#0@1 NetStream.Publish.Start']

/** Each encoder's dialogue (docs: what it says up to publish) and what it must hear, in this order. */
const dialogues: { name: string; first?: Buffer; says: Said[]; hears: string[] }[] = [
  {
    name: 'OBS',
    first: setChunkSize(4096),
    says: [
      [3, 0, 'connect', 1, fmle],
      [3, 0, 'releaseStream', 2, null, key],
      [3, 0, 'FCPublish', 3, null, key],
      [3, 0, 'createStream', 4, null],
      [4, 1, 'publish', 5, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0', ...fcPublished(3), '_result#4@0 1', ...started],
  },
  {
    name: 'FFmpeg, with Enhanced RTMP',
    says: [
      [
        3,
        0,
        'connect',
        1,
        {
          app: 'live',
          fourCcList: ['hvc1', 'av01'],
          type: 'nonprivate',
          flashVer: 'FMLE/3.0 (compatible; Lavf61)',
          tcUrl,
        },
      ],
      [3, 0, 'releaseStream', 2, null, key],
      [3, 0, 'FCPublish', 3, null, key],
      [3, 0, 'createStream', 4, null],
      [8, 1, 'publish', 5, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0', ...fcPublished(3), '_result#4@0 1', ...started],
  },
  {
    name: 'GStreamer, which wants no answer to releaseStream and FCPublish',
    says: [
      [3, 0, 'connect', 1, { app: 'live', type: 'nonprivate', flashVer: 'LNX 10,0,32,18', tcUrl }],
      [3, 0, 'releaseStream', 0, null, key],
      [3, 0, 'FCPublish', 0, null, key],
      [3, 0, 'createStream', 2, null],
      [3, 1, 'publish', 0, null, key, 'live'],
    ],
    hears: [...connected, ...fcPublished(0), '_result#2@0 1', ...started],
  },
  {
    name: 'Haivision, which waits for _checkbw',
    says: [
      [3, 0, 'connect', 1, fmle],
      [3, 0, '_checkbw', 2, null],
      [3, 0, 'createStream', 3, null],
      [3, 0, 'FCPublish', 4, null, key],
      [3, 1, 'publish', 5, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0', '_result#3@0 1', ...fcPublished(4), ...started],
  },
  {
    name: 'Livestream Studio, which looks for its own number in onFCPublish',
    says: [
      [3, 0, 'connect', 1, fmle],
      [3, 0, 'createStream', 2, null],
      [3, 0, 'FCPublish', 17, null, key],
      [3, 1, 'publish', 18, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0 1', ...fcPublished(17), ...started],
  },
  {
    name: 'nginx-rtmp push: no FCPublish, a window before connect',
    first: Buffer.concat([setChunkSize(4096), windowAcknowledgementSize(5_000_000)]),
    says: [
      [3, 0, 'connect', 1, { app: 'live', flashVer: 'LNX.11,1,102,55', tcUrl, fpad: false, objectEncoding: 3 }],
      [3, 0, 'createStream', 2, null],
      [3, 1, 'publish', 3, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0 1', ...started],
  },
  {
    name: 'lower-case tcurl in quotes, no app, publish without a type',
    says: [
      [3, 0, 'connect', 1, { tcurl: `"${tcUrl}"` }],
      [3, 0, 'createStream', 2],
      [3, 1, 'publish', 3, null, key],
    ],
    hears: [...connected, '_result#2@0 1', ...started],
  },
  {
    name: 'connect without a number, twice; two streams, publishing on the second',
    says: [
      [3, 0, 'connect', 0, fmle],
      [3, 0, 'connect', 1, fmle],
      [3, 0, 'createStream', 2, null],
      [3, 0, 'createStream', 3, null],
      [3, 2, 'publish', 4, null, key, 'live'],
    ],
    hears: [
      ...connected,
      ...connected,
      '_result#2@0 1',
      '_result#3@0 2',
      'userControl 000000000002',
      'onStatus#0@2 NetStream.Publish.Start',
    ],
  },
  {
    name: 'camera with the stream number reversed',
    says: [
      [5, 0, 'connect', 1, fmle],
      [5, 0, 'createStream', 2, null],
      [5, 0x01000000, 'publish', 3, null, key, 'live'],
    ],
    hears: [...connected, '_result#2@0 1', ...started],
  },
  {
    name: 'no stream created',
    says: [
      [3, 0, 'connect', 1, fmle],
      [3, 0, 'publish', 2, null, key, 'live'],
    ],
    hears: [...connected, 'userControl 000000000000', 'onStatus#0@0 NetStream.Publish.Start'],
  },
  {
    name: 'unknown calls, notices, answers to nothing',
    says: [
      [3, 0, 'connect', 1, fmle],
      [3, 0, 'getStreamLength', 7, null, 'x'],
      [3, 0, 'hello', 0],
      [3, 0, '_result', 9, null, null],
      [3, 0, 'onStatus', 9, null, { level: 'error', code: 'x' }],
      [3, 0, 'createStream', 2, null],
      [3, 1, 'publish', 3, null, key, 'live'],
    ],
    hears: [...connected, '_result#7@0', '_result#2@0 1', ...started],
  },
]

function wire({ first, says }: { first?: Buffer; says: readonly Said[] }): Buffer {
  const chunkSize = first === undefined ? 128 : 4096
  return Buffer.concat([...(first ? [first] : []), ...says.map((said) => frameCommand(chunkSize, ...said))])
}

async function heardBy(peer: ScriptedPeer, count: number): Promise<string[]> {
  while (peer.heard.length < count) await peer.next(() => true)
  return peer.transcript
}

for (const dialogue of dialogues)
  test(`dialogue: ${dialogue.name}`, { timeout }, async () => {
    const { connection, peer } = await pair()
    peer.raw(wire(dialogue))
    const request = await acceptPublish(connection, { signal: never })
    assert.equal(request.candidateKeys[0]?.reveal(), key)
    request.start()
    assert.deepEqual(await heardBy(peer, dialogue.hears.length), dialogue.hears)
    connection.close()
  })

test('a dialogue may be cut into any pieces', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...dialogues),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 30 }),
      async (dialogue, sizes) => {
        const { connection, peer } = await pair()
        const bytes = wire(dialogue)
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length]!
          peer.raw(bytes.subarray(at, at + size))
          at += size
        }
        const request = await acceptPublish(connection, { signal: never })
        assert.equal(request.candidateKeys[0]?.reveal(), key)
        request.start()
        assert.deepEqual(await heardBy(peer, dialogue.hears.length), dialogue.hears)
        connection.close()
      },
    ),
    { numRuns: 60 },
  )
})

test('a dialogue that ends at any byte is over, and no publish', { timeout }, async () => {
  const bytes = wire(dialogues[0]!)
  for (let length = 0; length < bytes.length; length++) {
    const { connection, peer } = await pair()
    peer.raw(bytes.subarray(0, length))
    peer.end()
    await assert.rejects(acceptPublish(connection, { signal: never }), ConnectionClosed, `at ${length}`)
    connection.close()
  }
})

test('calls in AMF3 messages, with the format byte and without; an argument that is not AMF', { timeout }, async () => {
  const { connection, peer } = await pair()
  const amf3 = (body: Buffer, messageStreamId = 0) =>
    peer.raw(
      frameMessage({ chunkStreamId: 3, type: messageTypes.amf3Command, timestamp: 0, messageStreamId, body }, 128),
    )
  amf3(Buffer.concat([Buffer.of(0), writeAmf0Values(['connect', 1, { ...fmle, objectEncoding: 3 }])]))
  amf3(writeAmf0Values(['createStream', 2, null]))
  amf3(Buffer.concat([Buffer.of(0), writeAmf0Values(['publish', 3, null, key]), Buffer.of(0xee, 0xee)]), 1)
  const request = await acceptPublish(connection, { signal: never })
  assert.equal(request.candidateKeys[0]?.reveal(), key)
  request.start()
  assert.deepEqual(await heardBy(peer, 7), [...connected, '_result#2@0 1', ...started])
})

test('media and data before publish are ignored', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.say('connect', 1, fmle)
  for (const type of [8, 9, 18, 15, 19, 22, 77]) peer.media(type, Buffer.alloc(300, 2))
  peer.raw(frameMessage({ chunkStreamId: 3, type: 20, timestamp: 0, messageStreamId: 0, body: Buffer.of(5) }, 128))
  peer.say('createStream', 2, null)
  peer.sayOn(3, 1, 'publish', 3, null, key, 'live')
  await acceptPublish(connection, { signal: never })
})

test('what the encoder says of itself', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.say('connect', 1, {
    ...fmle,
    flashVer: 'Evil/1\u001b[31m\r\nlog line',
    fourCcList: ['hvc1', 5, 'av01'],
    videoFourCcInfoMap: { '*': 7, __proto__x: 'no' },
    capsEx: 3,
    marker: 'x',
  })
  peer.sayOn(3, 0, 'publish', 2, null, key)
  const request = await acceptPublish(connection, { signal: never })
  assert.equal(request.flashVersion, 'Evil/1[31mlog line')
  assert.deepEqual(request.enhanced, {
    fourCcList: ['hvc1', 'av01'],
    videoFourCcInfoMap: new Map([['*', 7]]),
    capsEx: 3,
  })
  assert.equal(request.connectText('marker'), 'x')
  assert.ok(!JSON.stringify(request).includes(key))
  const answer = (await peer.command('_result')).values[1] as Map<string, unknown>
  assert.deepEqual(answer.get('fourCcList'), ['*'])
  assert.deepEqual(answer.get('videoFourCcInfoMap'), new Map([['*', 4]]))
  assert.deepEqual(answer.get('audioFourCcInfoMap'), new Map([['*', 4]]))
  assert.equal(answer.get('capsEx'), 14)
  assert.equal(answer.get('objectEncoding'), 0)
})

test('an encoder that says nothing of Enhanced RTMP is not sent a strict array', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.raw(wire(dialogues[0]!))
  assert.equal((await acceptPublish(connection, { signal: never })).enhanced, undefined)
  const answer = (await peer.command('_result')).values[1] as Map<string, unknown>
  assert.equal(answer.get('fourCcList'), undefined)
  assert.equal(answer.get('capsEx'), 14)
})

test('a refusal is an error on the created stream, then the end', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.raw(wire(dialogues[0]!))
  const request = await acceptPublish(connection, { signal: never })
  request.reject('NetStream.Publish.BadName', 'The stream key is not known.')
  connection.end()
  const status = await peer.command('onStatus')
  assert.equal(status.messageStreamId, 1)
  assert.deepEqual(Object.fromEntries(status.values[1] as Map<string, unknown>), {
    level: 'error',
    code: 'NetStream.Publish.BadName',
    description: 'The stream key is not known.',
  })
  await peer.ended
})

test('a player is told that nothing is played here', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.say('connect', 1, fmle)
  peer.say('createStream', 2, null)
  peer.sayOn(8, 1, 'play', 3, null, 'x', -2000)
  peer.end()
  await assert.rejects(acceptPublish(connection, { signal: never }), ConnectionClosed)
  assert.deepEqual(await heardBy(peer, 6), [...connected, '_result#2@0 1', 'onStatus#0@1 NetStream.Play.Failed'])
})

test('what breaks the protocol or a limit', { timeout }, async () => {
  const cases: { name: string; act: (peer: ScriptedPeer) => void; reason: RegExp }[] = [
    {
      name: 'publish first',
      act: (peer) => peer.sayOn(3, 1, 'publish', 1, null, key),
      reason: /publish came before connect/,
    },
    ...(['app', 'tcUrl'] as const).map((member) => ({
      name: member,
      act: (peer: ScriptedPeer) => {
        peer.say('connect', 1, { ...fmle, [member]: 'x'.repeat(3000) })
        peer.sayOn(3, 1, 'publish', 1, null, key)
      },
      reason: /too long/,
    })),
    {
      name: 'name',
      act: (peer) => {
        peer.say('connect', 1, fmle)
        peer.sayOn(3, 1, 'publish', 1, null, 'x'.repeat(3000))
      },
      reason: /too long/,
    },
    {
      name: 'media for ever',
      act: (peer) => {
        for (let count = 0; count < 2001; count++) peer.media(messageTypes.audio, Buffer.alloc(4))
      },
      reason: /too many messages before publish/,
    },
    {
      name: 'createStream for ever',
      act: (peer) => {
        for (let count = 0; count < 300; count++) peer.say('createStream', count, null)
      },
      reason: /too many commands/,
    },
    {
      name: 'a long message',
      act: (peer) => peer.media(messageTypes.video, Buffer.alloc(70_000)),
      reason: /too long/,
    },
  ]
  for (const { name, act, reason } of cases) {
    const { connection, peer } = await pair()
    act(peer)
    await assert.rejects(
      acceptPublish(connection, { signal: never }),
      (error) => error instanceof ProtocolError && reason.test(error.reason),
      name,
    )
    connection.close()
  }
})

test('a tcUrl of nothing but quotes costs no time', { timeout }, async () => {
  const { connection, peer } = await pair()
  const before = process.cpuUsage()
  peer.say('connect', 1, { ...fmle, tcUrl: `a${'"'.repeat(60_000)}a` })
  peer.sayOn(3, 1, 'publish', 1, null, key)
  await assert.rejects(acceptPublish(connection, { signal: never }), /the tcUrl is too long/)
  // A pattern that tried again at each quote took four seconds.
  assert.ok(process.cpuUsage(before).user < 1_500_000)
})

test('at most four streams', { timeout }, async () => {
  const { connection, peer } = await pair()
  for (let count = 1; count <= 5; count++) peer.say('createStream', count, null)
  peer.end()
  await assert.rejects(acceptPublish(connection, { signal: never }))
  assert.deepEqual(await heardBy(peer, 5), [
    '_result#1@0 1',
    '_result#2@0 2',
    '_result#3@0 3',
    '_result#4@0 4',
    '_error#5@0 NetConnection.Call.Failed',
  ])
})

test('numbers that are none: NaN, infinity, text', { timeout }, async () => {
  const { connection, peer } = await pair()
  const body = writeAmf0Values(['connect', 'one', fmle])
  peer.raw(frameMessage({ chunkStreamId: 3, type: 20, timestamp: 0, messageStreamId: 0, body }, 128))
  for (const number of [Number.NaN, Number.POSITIVE_INFINITY]) peer.say('hello', number)
  peer.say('hello', 1e300)
  peer.sayOn(3, 1, 'publish', Number.NaN, null, key)
  await acceptPublish(connection, { signal: never })
  assert.deepEqual(await heardBy(peer, 5), [...connected, '_result#1e+300@0'])
})

test('arguments of any type, in any place, end a session with a ProtocolError or not at all', { timeout }, async () => {
  const values: AmfWritable[] = [
    null,
    undefined,
    false,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e300,
    '',
    'live',
    new Date(0),
    [],
    [null, ['deep', [{}]]],
    {},
    { app: 1, tcUrl: {}, flashVer: [], fourCcList: 'hvc1', capsEx: 'x', videoFourCcInfoMap: [1] },
    new Map([['__proto__', 1]]),
  ]
  const names = [
    'connect',
    'createStream',
    'releaseStream',
    'FCPublish',
    'publish',
    'play',
    '_result',
    'onStatus',
    '_checkbw',
    '',
  ]
  const value = fc.constantFrom(...values)
  const call = fc.tuple(fc.constantFrom(...names), value, fc.array(value, { maxLength: 5 }), fc.nat(3))
  await fc.assert(
    fc.asyncProperty(fc.array(call, { maxLength: 8 }), fc.array(value, { maxLength: 3 }), async (calls, last) => {
      const { connection, peer } = await pair()
      const raw = (parts: AmfWritable[], messageStreamId = 0) =>
        peer.raw(
          frameMessage(
            { chunkStreamId: 3, type: 20, timestamp: 0, messageStreamId, body: writeAmf0Values(parts) },
            128,
          ),
        )
      for (const [name, id, rest, stream] of calls) raw([name, id, ...rest], stream)
      raw(['connect', 1, ...last])
      raw(['publish', 5, ...last], 1)
      peer.end()
      await acceptPublish(connection, { signal: never }).then(
        (request) => assert.ok(request.candidateKeys.every((one) => typeof one.reveal() === 'string')),
        (error) => assert.ok(error instanceof ProtocolError || error instanceof ConnectionClosed, String(error)),
      )
      connection.close()
    }),
    { numRuns: 100 },
  )
})

test('the deadline ends the wait', { timeout }, async () => {
  const { connection } = await pair()
  const deadline = new AbortController()
  const accepted = acceptPublish(connection, { signal: deadline.signal })
  deadline.abort(new Error('late'))
  await assert.rejects(accepted, /late/)
})

async function publishing() {
  const made = await pair()
  made.peer.raw(wire(dialogues[0]!))
  made.peer.chunkSize = 4096
  const request: PublishRequest = await acceptPublish(made.connection, { signal: never })
  made.connection.limits = publisherLimits
  request.start()
  await made.peer.command('onStatus')
  const ends: ('ended' | undefined)[] = []
  made.connection.relay((message) =>
    ends.push(handlePublisherCommand(message, made.connection, request.messageStreamId)),
  )
  return { ...made, request, ends, before: made.peer.heard.length }
}

test('commands during the broadcast', { timeout }, async () => {
  const goodbyes: { name: string; says: Said[]; hears: string[]; ends: ('ended' | undefined)[] }[] = [
    {
      name: 'OBS',
      says: [
        [3, 0, 'FCUnpublish', 6, null, key],
        [3, 0, 'deleteStream', 7, null, 1],
      ],
      hears: [
        'onFCUnpublish#6@0 NetStream.Unpublish.Success',
        '_result#6@0',
        'onStatus#0@1 NetStream.Unpublish.Success',
        '_result#7@0',
      ],
      ends: ['ended', 'ended'],
    },
    {
      name: 'GStreamer: the name in place of the number',
      says: [
        [3, 0, 'closeStream', 0, null, key],
        [3, 0, 'deleteStream', 0, null, key],
      ],
      hears: ['onStatus#0@1 NetStream.Unpublish.Success', 'onStatus#0@1 NetStream.Unpublish.Success'],
      ends: ['ended', 'ended'],
    },
    {
      name: 'no argument',
      says: [[3, 1, 'closeStream', 0]],
      hears: ['onStatus#0@1 NetStream.Unpublish.Success'],
      ends: ['ended'],
    },
    { name: 'another stream', says: [[3, 0, 'deleteStream', 8, null, 2]], hears: ['_result#8@0'], ends: [undefined] },
    {
      name: 'FCPublish, publish, a call and a bandwidth check after publish',
      says: [
        [3, 0, 'FCPublish', 6, null, key],
        [3, 1, 'publish', 7, null, key, 'live'],
        [3, 0, '_checkbw', 8, null],
        [3, 0, 'notice', 0],
      ],
      hears: [...fcPublished(6), '_result#7@0', '_result#8@0'],
      ends: [undefined, undefined, undefined, undefined],
    },
    {
      name: 'play',
      says: [[3, 1, 'play', 9, null, key]],
      hears: ['onStatus#0@1 NetStream.Play.Failed'],
      ends: [undefined],
    },
  ]
  for (const { name, says, hears, ends: expected } of goodbyes) {
    const { connection, peer, ends, before } = await publishing()
    for (const said of says) peer.sayOn(...said)
    peer.media(messageTypes.audio, Buffer.alloc(3))
    peer.end()
    await connection.closed
    connection.end()
    assert.deepEqual(ends, [...expected, undefined], name)
    await peer.ended
    assert.deepEqual(peer.transcript.slice(before), hears, name)
  }
})

test('the server ends a publisher in words that OBS knows', { timeout }, async () => {
  const { connection, peer, request } = await publishing()
  sendEnd(connection, request.messageStreamId, 'NetStream.Publish.BadName', 'Another encoder took over.')
  sendEnd(connection, request.messageStreamId, 'NetStream.Unpublish.Success', 'The live input was deleted.')
  connection.end()
  const [refused, ended] = [await peer.command('onStatus'), await peer.command('onStatus')]
  assert.equal((refused.values[1] as Map<string, unknown>).get('level'), 'error')
  assert.equal((ended.values[1] as Map<string, unknown>).get('level'), 'status')
  await peer.ended
})

test('where the stream key may be', () => {
  const url = 'rtmp://host/live'
  const cases: [app: string, name: string, tcUrl: string][] = [
    ['live', key, url],
    ['', key, 'rtmp://host'],
    [key, '', `rtmp://host/${key}`],
    [`live/${key}`, '', `${url}/${key}`],
    ['a/b/c/', `d/${key}/`, url],
    ['live/_definst_', key, url],
    [`live/${key}/_definst_`, '', url],
    ['live', `${key}?bandwidthtest=true&x=a/b`, url],
    ['live?backup=1', key, `${url}?backup=1`],
    ['live?path=/a/b', key, url],
    ['live', ` ${key}\r\n`, url],
    ['live', `mp4:${key}`, url],
    ['live', `stream?key=${key}`, url],
    ['live', `?streamKey=${key}`, url],
    [`live?token=${key}`, 'stream', url],
    [`live?x=1/${key}`, '', url],
    ['live', 'stream', `rtmp://host/live?key=${key}`],
    ['', '', `rtmp://host/live/${key}`],
  ]
  for (const [app, name, tcUrlOf] of cases) {
    const found = candidateKeys(app, name, tcUrlOf).map((candidate) => candidate.reveal())
    assert.ok(found.includes(key), JSON.stringify([app, name, tcUrlOf, found]))
    assert.ok(found.length <= 6)
  }
  assert.deepEqual(candidateKeys('', '', ''), [])
  // A key whose query belongs to it comes after the key without.
  assert.deepEqual(
    candidateKeys('live', 'k?a=b', url).map((candidate) => candidate.reveal()),
    ['k', 'k?a=b', 'live'],
  )
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (app, name, tcUrlOf) => {
      const found = candidateKeys(app, name, tcUrlOf)
      return found.length <= 12 && found.every((candidate) => candidate.reveal() !== '')
    }),
  )
})
