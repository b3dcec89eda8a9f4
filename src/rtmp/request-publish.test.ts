import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { ScriptedPeer } from '../../test/support/scripted-peer.ts'
import { CodedError, type OutputErrorCode } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { AmfWritable } from './amf0.ts'
import { setChunkSize, setPeerBandwidth, userControl, windowAcknowledgementSize } from './chunk-header.ts'
import { unknownPeerLimits } from './chunk-reader.ts'
import { frameCommand } from './command.ts'
import { RtmpConnection } from './connection.ts'
import { messageTypes } from './message.ts'
import { cleanWords, refusal, SaidByDestination } from './refusal.ts'
import {
  AuthenticationNeeded,
  goodbye,
  type PublishTarget,
  RedirectError,
  requestPublish,
  watchPublished,
} from './request-publish.ts'

const never = new AbortController().signal
const timeout = 20_000
const key = 'stream-117?expire=1&sign=ab%3D/c'
const target: PublishTarget = {
  app: 'live2?backup=1',
  tcUrl: 'rtmp://host/live2?backup=1',
  streamKey: new Secret(key),
  redirectsLeft: 1,
}

async function pair() {
  const [ours, theirs] = duplexPair()
  const [connection, peer] = await Promise.all([
    RtmpConnection.connect(ours, { limits: unknownPeerLimits, now: () => 0, signal: never }),
    ScriptedPeer.shakeHands(theirs, 'server'),
  ])
  return { connection, peer, ours }
}

type Said = readonly [csid: number, msid: number, name: string, transactionId: number, ...values: AmfWritable[]]
const success = { level: 'status', code: 'NetConnection.Connect.Success', description: 'Connection succeeded.' }
const start = { level: 'status', code: 'NetStream.Publish.Start', description: 'Started.' }
const accepted: Said = [3, 0, '_result', 1, { fmsVer: 'FMS/3,0,1,123', capabilities: 31 }, success]
const published: Said = [5, 1, 'onStatus', 0, null, start]

/** What a destination answers to connect, to createStream and to publish. */
type Script = { connect: readonly Said[]; createStream?: readonly Said[]; publish?: readonly Said[]; ends?: true }

async function play(peer: ScriptedPeer, script: Script): Promise<void> {
  for (const step of ['connect', 'createStream', 'publish'] as const) {
    const said = script[step]
    if (said === undefined) break
    await peer.command(step)
    peer.raw(Buffer.concat(said.map((words) => frameCommand(peer.chunkSize, ...words))))
  }
  if (script.ends) peer.end()
}

async function run(script: Script, changes: Partial<PublishTarget> = {}) {
  const made = await pair()
  const playing = play(made.peer, script).catch(() => {})
  try {
    return { ...made, stream: await requestPublish(made.connection, { ...target, ...changes }, { signal: never }) }
  } finally {
    made.peer.end()
    await playing
  }
}

test('says what OBS says, in its order', { timeout }, async () => {
  const { connection, peer } = await pair()
  const steps: string[] = []
  const publishing = requestPublish(connection, target, { signal: never, onStep: (step) => steps.push(step) })
  const connect = await peer.command('connect')
  peer.raw(
    Buffer.concat([
      windowAcknowledgementSize(2_500_000),
      setPeerBandwidth(2_500_000, 2),
      userControl(0, 0),
      setChunkSize(4096),
    ]),
  )
  peer.chunkSize = 4096
  peer.sayOn(...accepted)
  await peer.command('createStream')
  peer.say('_result', 2, null, undefined)
  peer.say('onFCPublish', 0, null, start)
  peer.say('_result', 4, null, 7)
  const publish = await peer.command('publish')
  peer.sayOn(5, 7, 'onStatus', 0, null, start)
  assert.deepEqual(await publishing, { messageStreamId: 7, serverCapabilities: undefined })
  assert.deepEqual(Object.fromEntries(connect.values[0] as Map<string, unknown>), {
    app: 'live2?backup=1',
    type: 'nonprivate',
    flashVer: 'FMLE/3.0 (compatible; FMSc/1.0)',
    swfUrl: 'rtmp://host/live2?backup=1',
    tcUrl: 'rtmp://host/live2?backup=1',
  })
  assert.deepEqual(publish.values, [null, key, 'live'])
  assert.deepEqual(steps, ['connecting', 'publishing'])
  assert.deepEqual(peer.transcript, [
    'setChunkSize 00001000',
    'windowAcknowledgementSize 0007a120',
    'connect#1@0',
    'releaseStream#2@0',
    'FCPublish#3@0',
    'createStream#4@0',
    'publish#5@7',
  ])
  assert.equal(peer.heard.at(-1)?.chunkStreamId, 4)
})

test('asks to be acknowledged every four seconds of the feed, within bounds', { timeout }, async () => {
  for (const [feedKbps, window] of [
    [undefined, 500_000],
    [64, 100_000],
    [2_000, 1_000_000],
    [12_000, 2_500_000],
  ] as const) {
    const { connection, peer } = await pair()
    const asking = requestPublish(connection, { ...target, feedKbps }, { signal: never, publish: false })
    await play(peer, { connect: [accepted], createStream: [[3, 0, '_result', 4, null, 1]] })
    await asking
    assert.equal(peer.transcript[1], `windowAcknowledgementSize ${window.toString(16).padStart(8, '0')}`)
  }
})

test('without publishing it touches no stream', { timeout }, async () => {
  const { connection, peer } = await pair()
  const asking = requestPublish(connection, target, { signal: never, publish: false })
  await play(peer, { connect: [accepted], createStream: [[3, 0, '_result', 4, null, 1]] })
  assert.equal((await asking).messageStreamId, 1)
  assert.deepEqual(peer.transcript.slice(2), ['connect#1@0', 'createStream#4@0'])
})

const created: Said = [3, 0, '_result', 4, null, 1]
const working: { name: string; script: Script; messageStreamId?: number }[] = [
  {
    name: 'nginx-rtmp: no answers to releaseStream and FCPublish',
    script: { connect: [accepted], createStream: [created], publish: [published] },
  },
  {
    name: 'transaction id 0 everywhere, answers in the order of the calls',
    script: {
      connect: [[3, 0, '_result', 0, null, success]],
      createStream: [
        [3, 0, '_result', 0, null, undefined],
        [3, 0, '_result', 0, null, undefined],
        [3, 0, '_result', 0, null, 3],
      ],
      publish: [published],
    },
    messageStreamId: 3,
  },
  {
    name: 'transaction id 0, errors for releaseStream and FCPublish',
    script: {
      connect: [[3, 0, '_result', 0, null, success]],
      createStream: [
        [3, 0, '_error', 0, null, { level: 'error', code: 'NetConnection.Call.Failed' }],
        [3, 0, '_error', 0, null, { level: 'error', code: 'NetConnection.Call.Failed' }],
        [3, 0, '_result', 0, null, 1],
      ],
      publish: [published],
    },
  },
  {
    name: 'errors for all that is not needed, and numbers of its own',
    script: {
      connect: [
        [3, 0, 'onBWDone', 0, null],
        [3, 0, '_result', 99, null, success],
      ],
      createStream: [
        [3, 0, '_error', 6, null, { level: 'error', code: 'NetConnection.Call.Failed' }],
        [3, 0, '_error', 2, null, { level: 'error', code: 'NetConnection.Call.Failed' }],
        [3, 0, '_error', 3, null, { level: 'error', code: 'NetConnection.Call.Failed' }],
        [3, 0, '_result', 55, null, 1],
      ],
      publish: [[3, 0, '_error', 3, null, { level: 'error' }], published],
    },
  },
  {
    name: 'createStream answered before the others',
    script: {
      connect: [accepted],
      createStream: [created, [3, 0, '_result', 2, null], [3, 0, '_result', 3, null]],
      publish: [published],
    },
  },
  {
    name: 'a plain result of publish',
    script: { connect: [accepted], createStream: [created], publish: [[3, 0, '_result', 5, null, null]] },
  },
  {
    name: 'SRS: undefined in answers, more onStatus than asked for',
    script: {
      connect: [
        [3, 0, '_result', 1, { fmsVer: 'FMS/3,5,3,888' }, { ...success, data: { srs_version: '6' } }],
        [3, 0, 'onBWDone', 0, undefined],
      ],
      createStream: [[3, 0, '_result', 2, null, undefined], [3, 0, '_result', 3, null, undefined], created],
      publish: [
        [5, 1, 'onFCPublish', 0, null, { code: 'NetStream.Publish.Start', description: 'Started publishing stream.' }],
        [5, 1, 'onStatus', 0, null, { level: 'status', code: 'NetStream.Play.Reset' }],
        published,
      ],
    },
  },
  {
    name: 'connect answered without an information object',
    script: { connect: [[3, 0, '_result', 1]], createStream: [created], publish: [published] },
  },
]
for (const { name, script, messageStreamId = 1 } of working)
  test(`destination: ${name}`, { timeout }, async () => {
    assert.equal((await run(script)).stream.messageStreamId, messageStreamId)
  })

test('any cuts of the answers', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...working), fc.integer({ min: 1, max: 40 }), async ({ script }, size) => {
      const { connection, peer } = await pair()
      const publishing = requestPublish(connection, target, { signal: never })
      for (const step of ['connect', 'createStream', 'publish'] as const) {
        await peer.command(step)
        const bytes = Buffer.concat(script[step]!.map((words) => frameCommand(128, ...words)))
        for (let at = 0; at < bytes.length; at += size) peer.raw(bytes.subarray(at, at + size))
      }
      await publishing
      connection.close()
    }),
    { numRuns: 40 },
  )
})

test('a bandwidth check is answered as OBS does', { timeout }, async () => {
  const { connection, peer } = await pair()
  const publishing = requestPublish(connection, target, { signal: never })
  await peer.command('connect')
  peer.say('onBWDone', 0, null)
  peer.say('onBWDone', 0, null)
  assert.equal((await peer.command('_checkbw')).transactionId, 6)
  peer.say('_onbwcheck', 11, null, 'x'.repeat(1000))
  assert.equal((await peer.command('_result')).transactionId, 11)
  peer.sayOn(...accepted)
  await peer.command('createStream')
  assert.equal(peer.transcript.filter((line) => line.startsWith('_checkbw')).length, 1)
  peer.end()
  await assert.rejects(publishing)
})

const statusOf = (code: string, description: string, level = 'error'): Said => [
  5,
  1,
  'onStatus',
  0,
  null,
  { level, code, description },
]
const atPublish = (...said: Said[]): Script => ({ connect: [accepted], createStream: [created], publish: said })

const refused: { name: string; script: Script; code: OutputErrorCode; message: RegExp }[] = [
  {
    name: 'BadName',
    script: atPublish(statusOf('NetStream.Publish.BadName', 'Already publishing')),
    code: 'already_publishing',
    message: /^NetStream\.Publish\.BadName: Already publishing$/,
  },
  {
    name: 'BadName that is called a status',
    script: atPublish(statusOf('NetStream.Publish.BadName', 'Stream already publishing', 'status')),
    code: 'already_publishing',
    message: /Stream already publishing/,
  },
  {
    name: 'a server of ours that has found its own feed come back',
    script: atPublish([
      5,
      1,
      'onStatus',
      0,
      null,
      { level: 'error', code: 'NetStream.Publish.BadName', description: 'It loops.', reason: 'feed_loops' },
    ]),
    code: 'loop_detected',
    message: /^The output leads back to the live input/,
  },
  {
    name: 'a server of ours that does not know the key',
    script: atPublish([
      5,
      1,
      'onStatus',
      0,
      null,
      {
        level: 'error',
        code: 'NetStream.Publish.BadName',
        description: 'The stream key belongs to no live input.',
        reason: 'stream_key_unknown',
      },
    ]),
    code: 'publish_denied',
    message: /belongs to no live input/,
  },
  {
    name: "TikTok's InvalidSign",
    script: atPublish(statusOf('NetStream.Publish.InvalidSign', 'invalid sign')),
    code: 'publish_denied',
    message: /InvalidSign/,
  },
  {
    name: 'Denied',
    script: atPublish(statusOf('NetStream.Publish.Denied', '')),
    code: 'publish_denied',
    message: /^NetStream\.Publish\.Denied$/,
  },
  {
    name: 'Unauthorized, no description',
    script: atPublish([5, 1, 'onStatus', 0, null, { level: 'error', code: 'NetStream.Publish.Unauthorized' }]),
    code: 'publish_denied',
    message: /Unauthorized/,
  },
  {
    name: "Facebook's Failed",
    script: atPublish(statusOf('NetStream.Publish.Failed', 'Initialization failed')),
    code: 'publish_denied',
    message: /Initialization failed/,
  },
  {
    name: 'codec',
    script: atPublish(statusOf('NetStream.Publish.Rejected2', 'unsupported codec hvc1')),
    code: 'codec_refused',
    message: /hvc1/,
  },
  {
    name: 'an error object with nothing in it',
    script: atPublish([5, 1, 'onStatus', 0, null, { level: 'error' }]),
    code: 'publish_denied',
    message: /no reason/,
  },
  {
    name: 'onFCPublish says no',
    script: {
      connect: [accepted],
      createStream: [
        [3, 0, 'onFCPublish', 0, null, { level: 'error', code: 'NetStream.Publish.BadName', description: 'x' }],
      ],
    },
    code: 'already_publishing',
    message: /BadName/,
  },
  {
    name: '_error to publish',
    script: atPublish([
      3,
      0,
      '_error',
      5,
      null,
      { level: 'error', code: 'NetStream.Publish.Denied', description: 'no' },
    ]),
    code: 'publish_denied',
    message: /no/,
  },
  {
    name: '_error to createStream',
    script: { connect: [accepted], createStream: [[3, 0, '_error', 4, null, 'no streams here']] },
    code: 'connect_rejected',
    message: /^no streams here$/,
  },
  {
    name: 'Rejected',
    script: {
      connect: [
        [3, 0, '_error', 1, null, { level: 'error', code: 'NetConnection.Connect.Rejected', description: 'wrong app' }],
      ],
    },
    code: 'connect_rejected',
    message: /^NetConnection\.Connect\.Rejected: wrong app$/,
  },
  {
    name: 'InvalidApp as onStatus',
    script: { connect: [[3, 0, 'onStatus', 0, null, { level: 'error', code: 'NetConnection.Connect.InvalidApp' }]] },
    code: 'connect_rejected',
    message: /InvalidApp/,
  },
  {
    name: '_error without a word',
    script: { connect: [[3, 0, '_error', 1]] },
    code: 'connect_rejected',
    message: /_error and no reason/,
  },
  { name: 'close', script: { connect: [[3, 0, 'close', 0]] }, code: 'connect_rejected', message: /said close/ },
  { name: 'close at publish', script: atPublish([3, 0, 'close', 0]), code: 'closed_after_publish', message: /key/ },
  {
    name: "Twitch's silence",
    script: { ...atPublish(), ends: true },
    code: 'closed_after_publish',
    message: /wrong or expired stream key/,
  },
  {
    name: 'no such application',
    script: { connect: [], ends: true },
    code: 'connect_rejected',
    message: /path of the url/,
  },
  {
    name: 'createStream without a number',
    script: { connect: [accepted], createStream: [[3, 0, '_result', 4, null, null]] },
    code: 'protocol_violation',
    message: /stream id/,
  },
  {
    name: 'createStream with a number that is none',
    script: { connect: [accepted], createStream: [[3, 0, '_result', 4, null, Number.NaN]] },
    code: 'protocol_violation',
    message: /stream id/,
  },
  {
    name: 'a flood',
    script: { connect: Array.from({ length: 500 }, (): Said => [3, 0, 'x', 0]) },
    code: 'protocol_violation',
    message: /too many commands/,
  },
]
for (const { name, script, code, message } of refused)
  test(`refusal: ${name}`, { timeout }, async () => {
    await assert.rejects(run(script), (error) => {
      assert.ok(error instanceof CodedError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    })
  })

test('a connection that breaks is connection_reset, with the name of the fault', { timeout }, async () => {
  const { connection, peer, ours } = await pair()
  const publishing = requestPublish(connection, target, { signal: never })
  await peer.command('connect')
  ours.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
  await assert.rejects(publishing, (error) => {
    assert.ok(error instanceof CodedError && error.code === 'connection_reset')
    assert.match(error.message, /\(ECONNRESET\)/)
    return true
  })
})

test('the deadline is thrown as it is', { timeout }, async () => {
  const { connection } = await pair()
  const deadline = new AbortController()
  const publishing = requestPublish(connection, target, { signal: deadline.signal })
  const late = new CodedError('connect_timeout')
  deadline.abort(late)
  await assert.rejects(publishing, (error) => error === late)
})

test('the words of a destination: no key, no password, no control characters, no more than 200', {
  timeout,
}, async () => {
  const password = new Secret('hunter22')
  const words = `no\r\n\u001b[2J\u202e ${key} hunter22 stream-117 ${encodeURIComponent(key)} ${decodeURIComponent(key)} \u0000${'x'.repeat(500)}`
  const cleaned = cleanWords(words, [target.streamKey, password])
  assert.match(cleaned, /^no {1,2}\[2J {1,2}(?:\[redacted\] {1,2}){5}x+$/)
  assert.equal(cleaned.length, 200)
  // Control characters within the key do not hide it.
  assert.equal(cleanWords('abcd\u200befgh', [new Secret('abcd efgh')]), '[redacted]')
  await assert.rejects(
    run(atPublish(statusOf('NetStream.Publish.Denied', `key ${key} is wrong`))),
    /^CodedError: NetStream\.Publish\.Denied: key \[redacted\] is wrong$/,
  )
  fc.assert(
    fc.property(fc.string({ minLength: 4 }), fc.string(), (secret, text) => {
      const clean = cleanWords(text + secret + text, [new Secret(secret)])
      return [...clean].length <= 200 && !/\p{Cc}/u.test(clean)
    }),
  )
})

test('the reason is looked for where reasons are, so that long words cost no time', () => {
  const before = process.cpuUsage()
  for (let turn = 0; turn < 8; turn++) {
    const information = new Map(Object.entries({ level: 'error', description: 'codec'.repeat(13_000) }))
    const command = { name: 'onStatus', transactionId: 0, values: [null, information], messageStreamId: 1 }
    assert.equal(refusal(command, 'publishing', [target.streamKey]).code, 'publish_denied')
  }
  // The whole text took a second each time.
  assert.ok(process.cpuUsage(before).user < 2_500_000)
})

test('redirects', { timeout }, async () => {
  const redirect = (ex: { [name: string]: AmfWritable }): Said => [
    3,
    0,
    '_error',
    1,
    null,
    { level: 'error', code: 'NetConnection.Connect.Rejected', description: 'Moved', ex },
  ]
  const cases: [{ [name: string]: AmfWritable }, string | undefined][] = [
    [{ code: 302, redirect: 'rtmp://other:1936/live' }, 'rtmp://other:1936/live'],
    [{ code: 302, redirect: `rtmps://other/live/${key}` }, 'rtmps://other/live'],
    [{ code: 302, redirect2: 'rtmp://other/live/stream-117' }, 'rtmp://other/live'],
    [{ code: 302, redirect: 'http://other/live' }, undefined],
    [{ code: 302, redirect: 'rtmp://' }, undefined],
    [{ code: 301, redirect: 'rtmp://other/live' }, undefined],
    [{ code: 302 }, undefined],
  ]
  for (const [ex, url] of cases)
    await assert.rejects(run({ connect: [redirect(ex)] }), (error) => {
      if (url === undefined) assert.ok(error instanceof CodedError && error.code === 'connect_rejected')
      else {
        assert.ok(error instanceof RedirectError, String(error))
        assert.equal(error.url, url)
        assert.ok(!error.message.includes('other'))
      }
      return true
    })
  // SRS redirects once it knows the stream, by onStatus.
  const late: Said = [
    5,
    1,
    'onStatus',
    0,
    null,
    { level: 'error', code: 'NetConnection.Connect.Rejected', ex: { code: 302, redirect: 'rtmp://b/live' } },
  ]
  await assert.rejects(run(atPublish(late)), RedirectError)
  await assert.rejects(
    run(atPublish(late), { redirectsLeft: 0 }),
    (error) => error instanceof CodedError && error.code === 'redirect_loop',
  )
})

const md5 = (text: string, encoding: 'hex' | 'base64') => createHash('md5').update(text).digest(encoding)
const rejected = (description: string): Script => ({
  connect: [[3, 0, '_error', 1, null, { level: 'error', code: 'NetConnection.Connect.Rejected', description }]],
})
const login = { username: 'user', password: new Secret('pass'), app: 'live', tcUrl: 'rtmp://host/live' }

async function nextQuery(description: string, changes: Partial<PublishTarget>): Promise<string> {
  try {
    await run(rejected(description), changes)
  } catch (error) {
    if (error instanceof AuthenticationNeeded) return error.authenticationQuery
    throw error
  }
  throw new Error('was not refused')
}

test('adobe login over three connections', { timeout }, async () => {
  const first = await nextQuery('[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ', login)
  assert.equal(first, 'authmod=adobe&user=user')
  const challenge =
    '[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=user&salt=f7+9w==&challenge=T/8AAA==&opaque=T/8BAA=='
  const second = await nextQuery(challenge, { ...login, authenticationQuery: first })
  const nonce = /&challenge=([0-9a-f]{8})&/.exec(second)?.[1] ?? ''
  const response = md5(`${md5('userf7+9w==pass', 'base64')}T/8BAA==${nonce}`, 'base64')
  assert.equal(second, `authmod=adobe&user=user&challenge=${nonce}&response=${response}&opaque=T/8BAA==`)

  const { connection, peer } = await pair()
  const publishing = requestPublish(connection, { ...target, ...login, authenticationQuery: second }, { signal: never })
  const connect = await peer.command('connect')
  const object = connect.values[0] as Map<string, unknown>
  assert.equal(object.get('app'), `live?${second}`)
  assert.equal(object.get('tcUrl'), `rtmp://host/live?${second}`)
  peer.end()
  await assert.rejects(publishing)
})

test('an adobe challenge without opaque uses the challenge itself', { timeout }, async () => {
  const query = await nextQuery('[ authmod=adobe ] : ?reason=needauth&user=user&salt=S&challenge=C', login)
  const nonce = /&challenge=([0-9a-f]{8})&/.exec(query)?.[1] ?? ''
  assert.equal(
    query,
    `authmod=adobe&user=user&challenge=${nonce}&response=${md5(`${md5('userSpass', 'base64')}C${nonce}`, 'base64')}`,
  )
})

test('llnw login', { timeout }, async () => {
  const first = await nextQuery('[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ', login)
  assert.equal(first, 'authmod=llnw&user=user')
  for (const [app, uri] of [
    ['live', '/live/_definst_'],
    ['a/b', '/a/b'],
  ] as const) {
    const second = await nextQuery('[ authmod=llnw ] : ?reason=needauth&user=user&nonce=N1', {
      ...login,
      app,
      authenticationQuery: first,
    })
    const cnonce = /&cnonce=([0-9a-f]{8})&/.exec(second)?.[1] ?? ''
    const response = md5(
      `${md5('user:live:pass', 'hex')}:N1:00000001:${cnonce}:auth:${md5(`publish:${uri}`, 'hex')}`,
      'hex',
    )
    assert.equal(second, `authmod=llnw&user=user&nonce=N1&cnonce=${cnonce}&nc=00000001&response=${response}`)
  }
})

test('a login that leads nowhere is publish_denied', { timeout }, async () => {
  const needName = '[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : '
  const needProof = '[ authmod=adobe ] : ?reason=needauth&user=user&salt=S&challenge=C&opaque=O'
  const { username: _, password: __, ...anonymous } = login
  const cases: [string, string, Partial<PublishTarget>][] = [
    ['no credentials', needName, anonymous],
    ['the name again', needName, { ...login, authenticationQuery: 'authmod=adobe&user=user' }],
    ['the proof again', needProof, { ...login, authenticationQuery: 'authmod=adobe&user=user&challenge=1&response=2' }],
    ['authfailed', '[ authmod=adobe ] : ?reason=authfailed&opaque=O', login],
    ['nosuchuser', '[ authmod=adobe ] : ?reason=nosuchuser&opaque=O', login],
    ['an unknown scheme', '[ code=403 need auth; authmod=quantum ]', login],
  ]
  for (const [name, description, changes] of cases)
    await assert.rejects(
      nextQuery(description, changes),
      (error) => error instanceof CodedError && error.code === 'publish_denied',
      name,
    )
})

test('Enhanced RTMP is announced when asked for, and the echo read from either object', { timeout }, async () => {
  const { connection, peer } = await pair()
  const publishing = requestPublish(
    connection,
    { ...target, enhanced: true, connectExtras: { marker: 'm' } },
    { signal: never },
  )
  const object = (await peer.command('connect')).values[0] as Map<string, unknown>
  assert.deepEqual(object.get('fourCcList'), ['*'])
  assert.deepEqual(object.get('videoFourCcInfoMap'), new Map([['*', 4]]))
  assert.equal(object.get('capsEx'), 14)
  assert.equal(object.get('marker'), 'm')
  peer.say('_result', 1, { capsEx: 2, fourCcList: ['hvc1'] }, { ...success, audioFourCcInfoMap: { Opus: 1 } })
  await peer.command('createStream')
  peer.sayOn(...created)
  await peer.command('publish')
  peer.sayOn(...published)
  assert.deepEqual((await publishing).serverCapabilities, {
    fourCcList: ['hvc1'],
    audioFourCcInfoMap: new Map([['Opus', 1]]),
    capsEx: 2,
  })
})

test('once published: refusals, close and the end are one failure', { timeout }, async () => {
  const cases: { name: string; said: Said[]; code: OutputErrorCode; message: RegExp }[] = [
    {
      name: "nginx-rtmp's BadName after Publish.Start",
      said: [statusOf('NetStream.Publish.BadName', 'Already publishing')],
      code: 'already_publishing',
      message: /Already publishing/,
    },
    {
      name: 'Denied',
      said: [statusOf('NetStream.Publish.Denied', key)],
      code: 'publish_denied',
      message: /^NetStream\.Publish\.Denied: \[redacted\]$/,
    },
    {
      name: 'Failed in the middle',
      said: [statusOf('NetStream.Failed', 'disk full')],
      code: 'connection_reset',
      message: /disk full/,
    },
    {
      name: 'unpublished from elsewhere',
      said: [statusOf('NetStream.Unpublish.Success', 'bye', 'status')],
      code: 'connection_reset',
      message: /bye/,
    },
    {
      name: 'words with the secrets in them',
      said: [statusOf('NetStream.Publish.Rejected', `${key} of hunter22`)],
      code: 'publish_denied',
      message: /: \[redacted\] of \[redacted\]$/,
    },
    { name: 'close', said: [[3, 0, 'close', 0]], code: 'connection_reset', message: /closed/ },
    { name: 'just the end', said: [], code: 'connection_reset', message: /closed/ },
    {
      name: 'a flood',
      said: Array.from({ length: 300 }, (): Said => [3, 0, 'x', 0]),
      code: 'protocol_violation',
      message: /too many/,
    },
  ]
  for (const { name, said, code, message } of cases) {
    const { connection, peer } = await pair()
    const publishing = requestPublish(connection, target, { signal: never })
    // What follows Publish.Start may come in the same segment.
    await play(peer, atPublish(published, ...said.slice(0, 1)))
    await publishing
    const failures: CodedError[] = []
    watchPublished(connection, [target.streamKey, new Secret('hunter22')], (failure) => failures.push(failure))
    for (const words of said.slice(1)) peer.sayOn(...words)
    peer.end()
    await connection.closed
    assert.deepEqual(
      failures.map((failure) => failure.code),
      [code],
      name,
    )
    assert.match(failures[0]!.message, message, name)
    const hasWords = failures[0]!.cause instanceof SaidByDestination
    assert.equal(hasWords, said.length === 1 && name !== 'close', `${name}: words, or a close`)
    connection.close()
  }
})

test('once published: chatter, warnings and unknown words are no failure; nor is our own close', {
  timeout,
}, async () => {
  const { connection, peer } = await pair()
  const publishing = requestPublish(connection, target, { signal: never })
  await play(peer, atPublish(published))
  await publishing
  const failures: CodedError[] = []
  watchPublished(connection, [target.streamKey], (failure) => failures.push(failure))
  peer.sayOn(...statusOf('NetStream.Publish.Start', 'again', 'status'))
  peer.sayOn(...statusOf('NetStream.Something', 'slow', 'warning'))
  // A wish of Enhanced RTMP v2 that is not followed: a stranger could send us round in circles with it.
  const reconnect = { level: 'status', code: 'NetConnection.Connect.ReconnectRequest', tcUrl: 'rtmp://127.0.0.1/live' }
  for (let count = 0; count < 20; count++) peer.say('onStatus', 0, null, reconnect)
  peer.say('_error', 3, null, { level: 'error', code: 'NetConnection.Call.Failed' })
  peer.say('onFCUnpublish', 0, null, { level: 'status', code: 'NetStream.Unpublish.Success' })
  peer.media(messageTypes.amf0Data, Buffer.alloc(20))
  peer.say('onBWDone', 0, null)
  await peer.command('_checkbw')
  connection.close()
  await connection.closed
  assert.deepEqual(failures, [])
})

test('goodbye: FCUnpublish and deleteStream, whatever the length of the key', { timeout }, async () => {
  const { connection, peer } = await pair()
  const publishing = requestPublish(connection, target, { signal: never })
  await play(peer, atPublish(published))
  await publishing
  const long = 'k'.repeat(9000)
  connection.send(goodbye(new Secret(long), 1))
  connection.end()
  assert.deepEqual((await peer.command('FCUnpublish')).values, [null, long])
  assert.deepEqual((await peer.command('deleteStream')).values, [null, 1])
  await peer.ended
})
