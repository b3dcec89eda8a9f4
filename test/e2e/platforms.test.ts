import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Behaviour, type Destination, platforms, startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type CreatedOutput, type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { type TestCa, testCa } from '../support/tls.ts'

/**
 * One broadcast to every platform at once, each played as it is documented (urls and keys have the platforms' shapes). Who takes the
 * stream is `connected` and gets all of it; who does not is told apart, in its own words, and asked again no more often than is wise.
 */
type Platform = {
  readonly name: string
  readonly behaviour?: Behaviour
  /** RTMPS, with a certificate for the platform's name. */
  readonly secure?: boolean
  /** What follows host and port in the url. */
  readonly path: string
  readonly key: string
  readonly options?: Record<string, unknown>
  /** What the destination must have been told. Default: the path without its slashes around. */
  readonly app?: string
}

const adobe = { mode: 'adobe', username: 'encoder@example', password: 'correct horse' } as const
const limelight = { mode: 'llnw', username: 'someone', password: 'battery staple' } as const
const login = ({ username, password }: { username: string; password: string }) => ({ username, password })

const accepting: readonly Platform[] = [
  { name: 'youtube', behaviour: platforms.youtube, secure: true, path: '/live2', key: 'abcd-efgh-ijkl-mnop-qrst' },
  { name: 'youtube-backup', behaviour: platforms.youtube, path: '/live2?backup=1', key: 'abcd-efgh-ijkl-mnop-qrst' },
  { name: 'twitch', behaviour: platforms.twitch, path: '/app', key: 'live_123456_abcdef?bandwidthtest=true' },
  { name: 'facebook', secure: true, path: '/rtmp/', key: 'FB-1234567890?s_bl=1&s_psm=1&s_sw=0&s_vt=api-s&a=AbCd_-' },
  { name: 'instagram', secure: true, path: '/rtmp/', key: '17890?s_efg=eyJxZV9ncm91cCI6e319%3D%3D&s_sw=0&s_vt=ig&a=x' },
  { name: 'tiktok', secure: true, path: '/game/', key: 'stream-112233?expire=1790000000&sign=0123456789abcdef' },
  { name: 'kick', secure: true, path: '', key: 'sk_us-west-2_AbCdEf' },
  { name: 'bilibili', path: '/live-bvc/', key: '?streamname=live_1&key=abcdef&schedule=rtmp&pflag=1' },
  { name: 'trovo', path: '/live/', key: '73846_abcdefgh?bizid=73846&txSecret=abc' },
  { name: 'niconico', path: '/live/input', key: 'lv1234' },
  { name: 'nginx', behaviour: platforms.nginx, path: '/live', key: 'stream?token=a/b=c' },
  { name: 'srs', behaviour: platforms.srs, path: '/live', key: 'livestream?secret=xyz' },
  { name: 'txid-zero', behaviour: platforms.transactionIdZero, path: '/live', key: 'zero-zero' },
  { name: 'wowza', behaviour: platforms.wowza, path: '/live/_definst_', key: 'myStream' },
  {
    name: 'refuses-release',
    behaviour: { answerReleaseStream: 'error', transactionIdZero: true },
    path: '/live',
    key: 'error-is-no-error',
  },
  {
    name: 'akamai',
    behaviour: { authentication: adobe, chatters: true },
    path: '/EntryPoint',
    key: 'event_1@12345',
    options: login(adobe),
  },
  {
    name: 'limelight',
    behaviour: { authentication: limelight },
    path: '/vod/inst',
    key: 'feed',
    options: login(limelight),
  },
]

const words = {
  twitch: /accepted the publish|in place of answering publish/,
  failed: /^NetStream\.Failed: No such session \(\d+\.\d s after it had accepted the publish\)\. Check the key\.$/,
  tiktok: 'NetStream.Publish.InvalidSign: invalid sign',
  facebook: 'NetStream.Publish.Failed: Initialization failed',
  busy: 'NetStream.Publish.BadName: Already publishing',
  login: /[Ll]ogin/,
}
type Refusing = Platform & { readonly reason: string; readonly message: string | RegExp; readonly attempts: number }
const refusing: readonly Refusing[] = [
  {
    name: 'twitch-wrong-key',
    behaviour: platforms.twitchWrongKey,
    path: '/app',
    key: 'live_wrong',
    reason: 'closed_after_publish',
    message: words.twitch,
    attempts: 2,
  },
  {
    name: 'twitch-wrong-key-at-once',
    behaviour: platforms.twitchWrongKeyAtOnce,
    path: '/app',
    key: 'live_wrong_too',
    reason: 'closed_after_publish',
    message: words.twitch,
    attempts: 2,
  },
  {
    name: 'fails-after-start',
    behaviour: { answerPublish: 'start_then_failed' },
    path: '/live',
    key: 'of-no-session',
    reason: 'closed_after_publish',
    message: words.failed,
    attempts: 2,
  },
  {
    name: 'tiktok-expired',
    behaviour: platforms.tiktokExpired,
    path: '/game/',
    key: 'stream-1?expire=1&sign=old',
    reason: 'publish_denied',
    message: words.tiktok,
    attempts: 1,
  },
  {
    name: 'facebook-ended',
    behaviour: platforms.facebookEnded,
    path: '/rtmp/',
    key: 'FB-0?s_bl=1',
    reason: 'publish_denied',
    message: words.facebook,
    attempts: 1,
  },
  {
    name: 'akamai-wrong-password',
    behaviour: { authentication: adobe },
    path: '/EntryPoint',
    key: 'event_2@12345',
    options: { username: adobe.username, password: 'wrong horse' },
    reason: 'publish_denied',
    message: words.login,
    attempts: 3,
  },
  {
    name: 'limelight-wrong-user',
    behaviour: { authentication: limelight },
    path: '/vod',
    key: 'feed2',
    options: { username: 'nobody', password: limelight.password },
    reason: 'publish_denied',
    message: words.login,
    attempts: 3,
  },
  {
    name: 'akamai-without-login',
    behaviour: { authentication: adobe },
    path: '/EntryPoint',
    key: 'event_3@12345',
    reason: 'publish_denied',
    message: words.login,
    attempts: 1,
  },
]

const busy: readonly Platform[] = [
  { name: 'nginx-busy', behaviour: platforms.nginxBusy, path: '/live', key: 'taken' },
  { name: 'fms-busy', behaviour: platforms.flashMediaServerBusy, path: '/live', key: 'taken-too' },
]

type Started = Platform & { readonly destination: Destination; readonly url: string }

async function start(platform: Platform, ca: TestCa): Promise<Started> {
  const host = `${platform.name}.invalid`
  const destination = await startDestination({
    ...(platform.behaviour && { behaviour: platform.behaviour }),
    ...(platform.secure && { tls: await ca.serverCert(host) }),
  })
  const url = `${platform.secure ? 'rtmps' : 'rtmp'}://${host}:${destination.port}${platform.path}`
  return { ...platform, destination, url }
}

const statusOf = (output: CreatedOutput) => output['status'] as unknown as WireStatus
const lastErrorOf = (output: CreatedOutput) =>
  (output['health'] as unknown as { lastError: { code: string; message: string } }).lastError

test('every platform of the table, in one broadcast', { concurrency: true, timeout: 90_000 }, async (t) => {
  await using ca = await testCa()
  await using stack = new AsyncDisposableStack()
  const begin = async <P extends Platform>(platform: P) => {
    const started = { ...platform, ...(await start(platform, ca)) }
    stack.use(started.destination)
    return started
  }
  const takers = await Promise.all(accepting.map(begin))
  const refusers = await Promise.all(refusing.map(begin))
  const engaged = await Promise.all(busy.map(begin))
  const place = { name: 'place', path: '/elsewhere/instance?zone=2', key: 'moved-stream?a=b' }
  const [room, secondRoom] = [await begin(place), await begin({ ...place, name: 'second-place' })]
  const gates = await Promise.all([
    begin({ ...place, name: 'gate', path: '/live', behaviour: { redirectTo: room.url } }),
    begin({
      ...place,
      name: 'srs-gate',
      path: '/live',
      behaviour: { redirectWithName: `${secondRoom.url}/${place.key}` },
    }),
  ])
  const everyone = [...takers, ...refusers, ...engaged, ...gates, room, secondRoom]
  const circle = await begin({ name: 'circle', path: '/live', key: 'round-and-round' })
  circle.destination.behaviour = { redirectTo: circle.url }

  await using server = await startServer({
    hosts: Object.fromEntries([...everyone, circle].map(({ name }) => [`${name}.invalid`, '127.0.0.1'])),
    env: { NODE_EXTRA_CA_CERTS: ca.caPem },
  })
  const input = await server.createInput()
  const ids = new Map<Started, string>()
  for (const platform of [...takers, ...refusers, ...engaged, ...gates, circle]) {
    const { url, key, options } = platform
    ids.set(platform, (await server.addOutput(input.uid, { url, streamKey: key, ...options })).uid)
  }
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 5_000, gopMs: 1_000 }), { signal: stop.signal })
  const become = (platform: Started, state: string, reason?: string) =>
    server.waitForOutput(input.uid, ids.get(platform)!, { state, ...(reason && { reason }) }, 30_000)

  await Promise.all([
    ...takers.map((platform) =>
      t.test(`${platform.name} takes the stream`, async () => {
        await become(platform, 'connected')
        await tookAll(platform)
      }),
    ),
    ...refusers.map((platform) =>
      t.test(`${platform.name} refuses it: ${platform.reason}`, async () => {
        const output = await become(platform, 'error', platform.reason)
        const { code, message } = lastErrorOf(output)
        assert.equal(code, platform.reason)
        if (typeof platform.message === 'string') assert.equal(message, platform.message)
        else assert.match(message, platform.message)
        if (platform.reason === 'closed_after_publish') isFirstTriedAgain(output)
      }),
    ),
    ...engaged.map((platform) =>
      t.test(
        `${platform.name} has the key taken, is asked patiently, and takes the stream when it is free`,
        async () => {
          const output = await become(platform, 'reconnecting', 'already_publishing')
          assert.equal(lastErrorOf(output).message, words.busy)

          platform.destination.behaviour = {}
          const free = await become(platform, 'connected')
          assert.ok(statusOf(free).history.every(({ state }) => state !== 'error'))
          const [first, second] = platform.destination.connections
          const between = second!.openedAt - first!.openedAt
          assert.ok(between > 3_000 && between < 15_000, `asked again after ${Math.round(between)} ms`)
          await goesOn(platform)
        },
      ),
    ),
    ...[
      [gates[0], room],
      [gates[1], secondRoom],
    ].map(([gate, target]) =>
      t.test(`${gate!.name} redirects: the stream goes where it points`, async () => {
        await become(gate!, 'connected')
        const connection = await tookAll(target!)
        assert.equal(connection.connect['tcUrl'], target!.url)
        assert.equal(gate!.destination.connections.length, 1)
      }),
    ),
    t.test('a circle of redirects is left', async () => {
      const output = await become(circle, 'error', 'redirect_loop')
      assert.equal(lastErrorOf(output).code, 'redirect_loop')
      assert.equal(circle.destination.connections.length, 4)
    }),
  ])

  await t.test('refusals are not tried again at once, and nobody was told what the specification forbids', () => {
    for (const { name, destination, attempts } of refusers) assert.equal(destination.connections.length, attempts, name)
    for (const { name, destination } of [...everyone, circle])
      for (const { violations } of destination.connections) assert.deepEqual(violations, [], name)
  })

  stop.abort()
  await replay
  await publisher.goodbye()
  await t.test('everyone who took the stream hears goodbye', async () => {
    for (const { destination, name } of [...takers, room, secondRoom])
      assert.deepEqual(await destination.connections.at(-1)!.ends(), { how: 'fin', goodbye: true }, name)
  })

  await t.test('no key and no password is in the log', () => keepsSecrets(server, [...everyone, circle]))
})

/** One connection, told the platform's url and key verbatim, and every message from a key frame on. */
async function tookAll({ name, destination, path, key, app, url, secure }: Started) {
  const attempts = destination.connections.length
  const connection = destination.connections.at(-1)!
  const isLogin = name === 'akamai' || name === 'limelight'
  assert.equal(attempts, isLogin ? 3 : 1)
  const expected = app ?? path.replace(/^\/|\/$/g, '')
  if (isLogin) assert.ok(connection.app.startsWith(`${expected}?authmod=`), connection.app)
  else {
    assert.equal(connection.app, expected)
    assert.equal(connection.connect['tcUrl'], url.replace(/\/$/, ''))
  }
  assert.equal(connection.key, key)
  if (secure) assert.equal(connection.tls?.serverName, `${name}.invalid`)
  await goesOn({ destination })
  const { ledger } = connection
  assert.deepEqual({ gaps: ledger.gaps, broken: ledger.brokenGroups }, { gaps: [], broken: [] })
  assert.deepEqual([connection.firstTimestamp.video, connection.firstTimestamp.audio], [0, 0])
  if (name.startsWith('youtube')) await waitFor('acknowledgements', () => connection.acknowledgementsSent >= 2)
  if (name === 'twitch') await waitFor('answers to pings', () => connection.pongs >= 3)
  return connection
}

async function goesOn({ destination }: { destination: Destination }): Promise<void> {
  await destination.connections.at(-1)!.receives(60, 'video')
}

function isFirstTriedAgain(output: CreatedOutput): void {
  const { history } = statusOf(output)
  const moments = history.filter(({ state }) => state !== 'connecting').map(({ state, reason }) => `${state} ${reason}`)
  assert.deepEqual(moments, ['reconnecting closed_after_publish'])
}

function keepsSecrets(server: ServerUnderTest, platforms: readonly Started[]): void {
  const log = JSON.stringify(server.log)
  const secrets = platforms.map(({ key }) => key).concat(adobe.password, limelight.password, 'wrong horse')
  // A short name says nothing; what follows it does.
  for (const secret of secrets.filter((text) => text.length > 6))
    assert.ok(!log.includes(secret), `${secret} is in the log`)
}
