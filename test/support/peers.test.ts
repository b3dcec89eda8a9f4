import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { asObject } from './amf0.ts'
import { startBlackHole } from './black-hole.ts'
import { type Behaviour, platforms, startDestination } from './destination.ts'
import { authenticate } from './destination-behaviour.ts'
import { waitFor } from './processes.ts'
import { obsChunkStreams, type PublishOptions, PublishRefused, publish } from './publisher.ts'
import { syntheticTags } from './synthetic-source.ts'
import { testCa } from './tls.ts'

const deadline = { timeout: 30_000 }

test('publisher and destination: dialogue, media bit for bit, goodbye', deadline, async () => {
  await using destination = await startDestination({ recording: 'bodies' })
  await using publisher = await publish({ url: destination.url(), key: 'key?a=b&c=%3D' })
  const connection = await destination.nextPublish()
  assert.equal(publisher.echoed, true)
  assert.equal(connection.app, 'app')
  assert.equal(connection.key, 'key?a=b&c=%3D')
  const source = syntheticTags({ kbps: 4_000, session: 3 })
  const { sent } = await publisher.replay(source, { realtime: false, durationMs: 3_000, interleave: true })
  assert.deepEqual(await publisher.goodbye(), { how: 'local' })
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  const { counts, ledger, violations, damaged } = connection
  assert.equal(counts.video + counts.audio + counts.data, sent)
  assert.equal(counts.video, 180 + 1)
  assert.deepEqual({ damaged, violations, gaps: ledger.gaps, broken: ledger.brokenGroups }, emptyFindings)
  assert.deepEqual(connection.commandNames(), [
    'connect',
    'releaseStream',
    'FCPublish',
    'createStream',
    'publish',
    'FCUnpublish',
    'deleteStream',
  ])
})
const emptyFindings = { damaged: 0, violations: [], gaps: [], broken: [] }

const manners: readonly { name: string; options: Partial<PublishOptions>; interleave?: boolean }[] = [
  { name: 'all on one chunk stream, with deltas that go back, as OBS', options: { chunkStreams: obsChunkStreams } },
  { name: 'type 0 headers alone, chunks of 128', options: { headers: 'full', chunkSize: 128 }, interleave: true },
  { name: 'chunk streams in two bytes', options: { chunkStreams: { audio: 64, video: 70 } }, interleave: true },
  { name: 'chunk streams in three bytes', options: { chunkStreams: { audio: 400, video: 65_599 } } },
  { name: 'AMF3 commands', options: { commandType: 17 } },
]
for (const { name, options, interleave = false } of manners) {
  test(`publisher: ${name}`, deadline, async () => {
    await using destination = await startDestination({ recording: 'hashes' })
    const publishing = publish({ url: destination.url(), key: 'k', ...options, deadlineMs: 1_000 })
    if (options.commandType === 17) {
      // This destination is for outputs and takes what the product sends: AMF0.
      await assert.rejects(publishing, /waited/)
      assert.deepEqual(destination.connections[0]!.violations, ['message type 17'])
      return
    }
    await using publisher = await publishing
    const connection = await destination.nextPublish()
    // From just below the extended form, and then past the end of 32 bits.
    await publisher.replay(syntheticTags({ kbps: 2_000, session: 1 }), {
      realtime: false,
      durationMs: 1_000,
      startTimestamp: 0xfffe00,
      interleave,
    })
    await publisher.replay(syntheticTags({ kbps: 2_000, session: 2 }), {
      realtime: false,
      durationMs: 1_000,
      startTimestamp: 0xfffffe00,
      interleave,
    })
    await publisher.goodbye()
    await connection.ends()
    assert.deepEqual(connection.ledger.gaps, [])
    assert.equal(connection.damaged, 0)
    assert.ok(connection.messages.some(({ timestamp }) => timestamp > 0xffffff && timestamp < 0x1000400))
    assert.ok(connection.messages.at(-1)!.timestamp < 0x400)
  })
}

test('publisher: vanishing, freezing and leaving are told apart', deadline, async () => {
  await using destination = await startDestination()
  await using crashed = await publish({ url: destination.url(), key: 'a' })
  const first = await destination.nextPublish()
  crashed.vanish()
  assert.deepEqual(await first.ends(), { how: 'reset', goodbye: false })

  await using closed = await publish({ url: destination.url(), key: 'b' })
  const second = await destination.nextPublish()
  closed.vanish('fin')
  assert.deepEqual(await second.ends(), { how: 'fin', goodbye: false })

  await using frozen = await publish({ url: destination.url(), key: 'c' })
  const third = await destination.nextPublish()
  const replay = frozen.replay(syntheticTags({ kbps: 500 }))
  await third.receives(20, 'video')
  frozen.freeze()
  await new Promise((resolve) => setTimeout(resolve, 100))
  const before = third.counts.video
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.equal(third.counts.video, before)
  assert.equal(third.end, undefined)
  frozen.thaw()
  await third.receives(20, 'video')
  third.reset()
  assert.equal((await replay).completed, false)
  assert.equal((await frozen.closed).how, 'reset')
})

const refusals: readonly { name: string; behaviour: Behaviour; code: string | undefined }[] = [
  { name: 'BadName', behaviour: { answerPublish: 'bad_name' }, code: 'NetStream.Publish.BadName' },
  { name: 'InvalidSign', behaviour: platforms.tiktokExpired, code: 'NetStream.Publish.InvalidSign' },
  { name: 'silent close', behaviour: platforms.twitchWrongKeyAtOnce, code: undefined },
  { name: 'redirect', behaviour: { redirectTo: 'rtmp://127.0.0.1/x' }, code: 'NetConnection.Connect.Rejected' },
]
for (const { name, behaviour, code } of refusals) {
  test(`destination: ${name}`, deadline, async () => {
    await using destination = await startDestination({ behaviour })
    await assert.rejects(publish({ url: destination.url(), key: 'k' }), (error) => {
      assert.ok(error instanceof PublishRefused)
      assert.equal(error.status?.code, code)
      error.publisher.vanish()
      return true
    })
    assert.equal(destination.publishing.length, 0)
  })
}

test(
  'destination: BadName after Start, close after publish, reset, pings, flood, redirect address',
  deadline,
  async () => {
    await using busy = await startDestination({ behaviour: platforms.nginxBusy })
    await using first = await publish({ url: busy.url(), key: 'k' })
    await first.waitForStatus('NetStream.Publish.BadName')

    await using twitch = await startDestination({ behaviour: { closeAfterPublishMs: 50 } })
    await using second = await publish({ url: twitch.url(), key: 'k' })
    assert.equal((await second.closed).how, 'fin')
    assert.deepEqual(second.statuses.length, 1)

    await using restless = await startDestination({ behaviour: { resetAfterMs: 100, pingEveryMs: 20 } })
    await using third = await publish({ url: restless.url(), key: 'k' })
    assert.equal((await third.closed).how, 'reset')
    assert.ok(restless.connections[0]!.pongs > 0)

    await using flood = await startDestination({ behaviour: { floodCommandsPerSecond: 10_000 } })
    await using fourth = await publish({ url: flood.url(), key: 'k' })
    await waitFor('1,000 commands', () => fourth.commands.length > 1_000)

    await using redirect = await startDestination({ behaviour: { redirectTo: 'rtmp://127.0.0.1:9/live' } })
    const refused = await publish({ url: redirect.url(), key: 'k' }).catch((error: PublishRefused) => error)
    assert.ok(refused instanceof PublishRefused)
    assert.deepEqual(asObject(asObject(refused.publisher.commands[0]!.args[1])['ex']), {
      code: 302,
      redirect: 'rtmp://127.0.0.1:9/live',
    })
    refused.publisher.vanish()

    await using silent = await startDestination({ behaviour: { silent: true } })
    await assert.rejects(publish({ url: silent.url(), key: 'k', deadlineMs: 200 }), /handshake/)
  },
)

test('destination: reads slowly, or not at all; acknowledges as told', deadline, async () => {
  await using slow = await startDestination({ behaviour: { readKbps: 4_000 } })
  await using publisher = await publish({ url: slow.url(), key: 'k' })
  const connection = await slow.nextPublish()
  void publisher.replay(syntheticTags({ kbps: 40_000 }), { realtime: false, durationMs: 30_000 })
  await connection.receives(5)
  const start = { bytes: connection.counts.bytes, at: performance.now() }
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const kbps = ((connection.counts.bytes - start.bytes) * 8) / (performance.now() - start.at)
  assert.ok(kbps > 2_000 && kbps < 6_000, `${kbps} kbps`)

  await using stalled = await startDestination({ behaviour: { stopReadingAfterBytes: 100_000 } })
  await using second = await publish({ url: stalled.url(), key: 'k' })
  const deaf = await stalled.nextPublish()
  void second.replay(syntheticTags({ kbps: 40_000 }), { realtime: false, durationMs: 30_000 })
  await waitFor('the stall', () => deaf.counts.bytes >= 100_000 && second.socket.writableLength > 1 << 20)
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.ok(deaf.counts.bytes < 300_000, `${deaf.counts.bytes} bytes were read`)
  deaf.resumeReading()
  await waitFor('more bytes', () => deaf.counts.bytes > 1_000_000)

  await using youtube = await startDestination({ behaviour: { acknowledgements: 'incremental' } })
  await using third = await publish({ url: youtube.url(), key: 'k' })
  await third.replay(syntheticTags({ kbps: 20_000 }), { realtime: false, durationMs: 4_000 })
  await waitFor('acknowledgements', () => third.acknowledgements >= 3)
  assert.ok(third.acknowledgedBytes < 2_000_000)
})

test('destination: TLS of both versions, SNI, a checked certificate, a reset beneath TLS', deadline, async () => {
  await using ca = await testCa()
  await using destination = await startDestination({ tls: await ca.serverCert('live.example'), recording: 'hashes' })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const tls = {
      ca: ca.cert,
      servername: 'live.example',
      minVersion: version,
      maxVersion: version,
      rejectUnauthorized: true,
    }
    await using publisher = await publish({ url: destination.url(), key: version, tls })
    const connection = await destination.nextPublish()
    assert.deepEqual(connection.tls, { serverName: 'live.example', version })
    await publisher.replay(syntheticTags({ kbps: 5_000 }), { realtime: false, durationMs: 1_000 })
    if (version === 'TLSv1.2') {
      await publisher.goodbye()
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
      assert.equal(connection.damaged, 0)
      assert.deepEqual(connection.violations, [])
    } else {
      publisher.vanish()
      assert.deepEqual(await connection.ends(), { how: 'reset', goodbye: false })
    }
  }
  const faults = [
    { tls: await ca.serverCert('live.example', { expired: true }), code: 'CERT_HAS_EXPIRED' },
    { tls: await ca.serverCert('live.example', { wrongHost: true }), code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
  ]
  for (const { tls, code } of faults) {
    await using wrong = await startDestination({ tls })
    const checked = { ca: ca.cert, servername: 'live.example', rejectUnauthorized: true }
    await assert.rejects(publish({ url: wrong.url(), key: 'k', tls: checked }), { code })
  }
  const tls = await ca.serverCert('127.0.0.1')
  await using local = await startDestination({ tls })
  await using publisher = await publish({ url: local.url(), key: 'k', tls: { ca: ca.cert, rejectUnauthorized: true } })
  const connection = await local.nextPublish()
  connection.reset()
  assert.equal((await publisher.closed).how, 'reset')
})

test('destination: adobe and llnw logins', () => {
  const md5 = (text: string, encoding: 'hex' | 'base64') => createHash('md5').update(text).digest(encoding)
  for (const mode of ['adobe', 'llnw'] as const) {
    const login = { mode, username: 'u', password: 'p' }
    const answer = (app: string) => {
      const verdict = authenticate(app, login)
      return verdict.accepted ? 'accepted' : verdict.description
    }
    assert.match(answer('live'), new RegExp(`code=403 need auth; authmod=${mode}`))
    const challenge = answer(`live?authmod=${mode}&user=u`)
    const field = (name: string) => new RegExp(`[?&]${name}=([^&]*)`).exec(challenge)?.[1] ?? ''
    assert.equal(field('reason'), 'needauth')
    const response =
      mode === 'adobe'
        ? md5(`${md5(`u${field('salt')}p`, 'base64')}${field('opaque')}mine`, 'base64')
        : md5(
            `${md5('u:live:p', 'hex')}:${field('nonce')}:00000001:mine:auth:${md5('publish:/live/_definst_', 'hex')}`,
            'hex',
          )
    const given = `challenge=mine&nc=00000001&cnonce=mine&response=${response}`
    assert.equal(answer(`live?authmod=${mode}&user=u&${given}`), 'accepted')
    assert.match(answer(`live?authmod=${mode}&user=u&${given}x`), /authfailed/)
    assert.match(answer(`live?authmod=${mode}&user=v&${given}`), /nosuchuser/)
  }
})

test('black hole: a connection is never answered', deadline, async () => {
  await using hole = await startBlackHole()
  await assert.rejects(publish({ url: `rtmp://127.0.0.1:${hole.port}/app`, key: 'k', deadlineMs: 300 }), /a connection/)
})
