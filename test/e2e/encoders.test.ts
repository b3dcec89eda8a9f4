import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls'
import { type Destination, startDestination } from '../support/destination.ts'
import { makeClip, publishWithFfmpeg } from '../support/ffmpeg.ts'
import { publishWithGstreamer } from '../support/gstreamer.ts'
import { freePort, type RunningProgram, temporaryFolder, waitFor, within } from '../support/processes.ts'
import { type Publisher, PublishRefused, publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { type CreatedInput, type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { type ServerCertificate, testCa } from '../support/tls.ts'

/** Encoders and the server's own process: who is let in, how, and who is shown the door. */

const timeout = 60_000

let server: ServerUnderTest
let destination: Destination
before(async () => {
  server = await startServer()
  destination = await startDestination()
})
after(async () => {
  await destination[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** A live input whose one output goes to the destination, under a key of its own. */
async function liveInput(outputKey: string): Promise<CreatedInput> {
  const input = await server.createInput({ meta: { name: outputKey } })
  await server.addOutput(input.uid, { url: destination.url(), streamKey: outputKey })
  return input
}

const urlOf = (input: CreatedInput, base: string) => `${base}/${input.rtmps.streamKey}`

async function statusOf(input: CreatedInput): Promise<WireStatus['current'] | undefined> {
  return ((await server.input(input.uid))['status'] as WireStatus | null)?.current
}

/** The program publishes, the destination gets its media, and when it ends the broadcast ends as after a goodbye. */
async function assertWholeBroadcast(
  name: string,
  start: (input: CreatedInput) => Promise<RunningProgram>,
  encoder: RegExp,
): Promise<void> {
  const input = await liveInput(name)
  await using program = await start(input)
  const connection = await destination.publishOf(name)
  const line = await server.waitForLog(
    'the encoder',
    ({ encoder, inputId }) => encoder !== undefined && inputId === input.uid,
  )
  assert.match(String(line['encoder']), encoder)
  await connection.receives(20, 'video')
  await connection.receives(20, 'audio')
  assert.equal((await statusOf(input))?.state, 'connected')
  const exit = await within(`${name} to end`, program.exited, 20_000)
  assert.equal(exit.code, 0, program.output)
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.deepEqual(connection.violations, [])
  // A state is told once a second.
  await waitFor('the input to have ended', async () => (await statusOf(input))?.reason === 'client_disconnect', 3_000)
}

describe('programs of other people', { concurrency: true }, () => {
  test("GStreamer's rtmp2sink publishes", { timeout, ...needs('ffmpeg', 'gstreamer') }, async () => {
    const clip = await makeClip({ seconds: 3 })
    await assertWholeBroadcast('gstreamer', (input) => publishWithGstreamer(clip, urlOf(input, server.rtmpUrl)), /./)
  })

  test('FFmpeg publishes, with its digest handshake', { timeout, ...needs('ffmpeg') }, async () => {
    const clip = await makeClip({ seconds: 3 })
    await assertWholeBroadcast('ffmpeg', (input) => publishWithFfmpeg(clip, urlOf(input, server.rtmpUrl)), /Lavf/)
  })

  test('FFmpeg publishes over RTMPS', { timeout, ...needs('ffmpeg') }, async () => {
    const clip = await makeClip({ seconds: 3 })
    await assertWholeBroadcast('ffmpegs', (input) => publishWithFfmpeg(clip, urlOf(input, server.rtmpsUrl)), /Lavf/)
  })

  test('FFmpeg hears the words of a refusal', { timeout, ...needs('ffmpeg') }, async () => {
    const clip = await makeClip({ seconds: 3 })
    await using program = await publishWithFfmpeg(clip, `${server.rtmpUrl}/${'0'.repeat(32)}k${'f'.repeat(32)}`)
    assert.notEqual((await within('ffmpeg to give up', program.exited, 10_000)).code, 0)
    assert.match(program.output, /The stream key belongs to no live input/)
  })
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const satisfies SecureVersion[])
  test(`an encoder publishes over RTMPS on ${version}`, { timeout }, async () => {
    const input = await liveInput(version)
    await using publisher = await publish({
      url: server.rtmpsUrl,
      key: input.rtmps.streamKey,
      tls: { minVersion: version, maxVersion: version },
    })
    assert.equal((publisher.socket as TLSSocket).getProtocol(), version)
    await publisher.replay(syntheticTags({ kbps: 2_000, fps: 30 }), { durationMs: 1_000 })
    const connection = await destination.publishOf(version)
    await publisher.goodbye()
    assert.equal((await connection.ends()).goodbye, true)
    // With the sequence header.
    assert.deepEqual([connection.counts.video, connection.ledger.gaps], [31, []])
  })

test('versions of TLS before 1.2 are refused', { timeout }, async () => {
  const input = await liveInput('old')
  // The lowest level of security is what makes OpenSSL offer them at all.
  const tls = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await assert.rejects(publish({ url: server.rtmpsUrl, key: input.rtmps.streamKey, tls }), /protocol version|alert/i)
})

/** Bytes to a port: what came back, and after how long the connection was closed. */
async function speak(port: number, bytes: Buffer | string): Promise<{ readonly answer: Buffer; readonly ms: number }> {
  const socket = connect(port, '127.0.0.1')
  const answer: Buffer[] = []
  socket.on('data', (data: Buffer) => answer.push(data)).on('error', () => {})
  await once(socket, 'connect')
  const start = performance.now()
  const closed = once(socket, 'close')
  socket.write(bytes)
  try {
    await within('the connection to be closed', closed, 8_000)
  } finally {
    socket.destroy()
  }
  return { answer: Buffer.concat(answer), ms: performance.now() - start }
}

const http = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
const clientHello = Buffer.from(`16030100c8010000c40303${'5a'.repeat(192)}`, 'hex')
const rtmpHandshake = Buffer.concat([Buffer.of(3), Buffer.alloc(1_536)])
const strangers: readonly { name: string; port: 'rtmp' | 'rtmps'; bytes: Buffer | string; mayAnswer?: true }[] = [
  { name: 'TLS at the RTMP port', port: 'rtmp', bytes: clientHello },
  { name: 'HTTP at the RTMP port', port: 'rtmp', bytes: http },
  // TLS says in an alert that this is none.
  { name: 'plain RTMP at the RTMPS port', port: 'rtmps', bytes: rtmpHandshake, mayAnswer: true },
  { name: 'HTTP at the RTMPS port', port: 'rtmps', bytes: http, mayAnswer: true },
]
for (const { name, port, bytes, mayAnswer } of strangers)
  test(`${name} is closed at once`, { timeout }, async () => {
    const { answer, ms } = await speak(server.ports[port], bytes)
    assert.ok(ms < 1_000, `closed after ${Math.round(ms)} ms`)
    assert.ok(answer.length <= (mayAnswer ? 16 : 0), `answered ${answer.length} bytes`)
  })

/** Each way in which encoders say the stream key: rtmp.md and many bug reports tell who does what. */
const spellings: readonly { readonly name: string; app: (key: string) => string; key: (key: string) => string }[] = [
  { name: 'OBS: app and key', app: () => 'live', key: (key) => key },
  { name: 'no app', app: () => '', key: (key) => key },
  { name: 'an app of several segments', app: () => 'a/b/c', key: (key) => key },
  { name: 'FFmpeg, three segments: two are the app', app: () => 'live/any', key: (key) => key },
  { name: 'FFmpeg, one segment: the app is the key', app: (key) => key, key: () => '' },
  { name: 'GoPro: the key in the app, an empty name', app: (key) => `live/${key}`, key: () => '' },
  { name: 'an app that ends in a slash', app: (key) => `live/${key}/`, key: () => '' },
  { name: 'two segments where the user interface wants them', app: () => 'live', key: (key) => `any/${key}` },
  { name: "Flash Media Server's instance", app: () => 'live/_definst_', key: (key) => key },
  { name: 'the instance behind the key', app: (key) => `live/${key}/_definst_`, key: () => '' },
  { name: 'a query behind the key', app: () => 'live', key: (key) => `${key}?token=abc&x=1` },
  { name: 'a query in the app', app: () => 'ingest?user=a@b:pass', key: (key) => key },
  { name: "SRS's query in the middle", app: (key) => `live?vhost=any/${key}`, key: () => '' },
  { name: 'parameter key of the name', app: () => 'live', key: (key) => `stream?key=${key}` },
  { name: 'parameter streamkey of the app', app: (key) => `live?streamkey=${key}`, key: () => 'any' },
  { name: 'parameter token of the app, no name', app: (key) => `live?token=${key}`, key: () => '' },
  { name: 'OBS multitrack: a name that is a query', app: () => 'live', key: (key) => `?key=${key}&clientConfigId=1` },
  { name: 'the prefix mp4:', app: () => 'live', key: (key) => `mp4:${key}` },
  { name: 'the prefix flv:', app: () => 'live', key: (key) => `flv:${key}` },
  { name: 'white space from the clipboard', app: () => 'live', key: (key) => ` ${key}\n` },
  { name: 'a slash before the key', app: () => 'live', key: (key) => `/${key}` },
]

test('the stream key is found in every place where encoders put it', { timeout }, async (t) => {
  const input = await server.createInput()
  const secret = input.rtmps.streamKey
  for (const { name, app, key } of spellings)
    await t.test(name, async () => {
      const said = app(secret)
      const publisher = await publish(saying(said, key(secret)))
      assert.equal((await publisher.goodbye()).how, 'local')
    })
  const tcUrl = `rtmp://127.0.0.1:${server.ports.rtmp}/live/${secret}`
  await t.test('the tcUrl in quotes, and no app', async () => {
    const publisher = await publish({ ...saying('', ''), connect: { app: '', tcUrl: `"${tcUrl}"` } })
    await publisher.goodbye()
  })
})

function saying(app: string, key: string, port = server.ports.rtmp) {
  const url = `rtmp://127.0.0.1:${port}/live`
  return { url, key, connect: { app, tcUrl: `rtmp://127.0.0.1:${port}/${app}` } }
}

/** @returns the refused publisher; its socket was closed by the server, soon. */
async function assertRefused(publishing: Promise<Publisher>, sentence: RegExp): Promise<Publisher> {
  const error = await publishing.then(
    () => assert.fail('the publish was accepted'),
    (cause: unknown) => cause,
  )
  assert.ok(error instanceof PublishRefused, String(error))
  assert.deepEqual([error.status?.level, error.status?.code], ['error', 'NetStream.Publish.BadName'])
  assert.match(error.status?.description ?? '', sentence)
  // Encoders that do not know the code wait for the close.
  await within('the socket to be closed', error.publisher.closed, 2_000)
  return error.publisher
}

test('a wrong key is refused and cut; no key is ever in the output, not even at trace', { timeout }, async () => {
  await using loud = await startServer({ settings: { LOG_LEVEL: 'trace' } })
  const input = await loud.createInput()
  const real = input.rtmps.streamKey
  const { rtmp } = loud.ports
  const unknown = /The stream key belongs to no live input/
  const spoken = {
    'a word': 'my-secret-word',
    'the form of a key': `${'1'.repeat(32)}k${'2'.repeat(32)}`,
    'another key for an input that exists, one digit off': `${real[0] === '0' ? '1' : '0'}${real.slice(1)}`,
    'the key cut short': real.slice(0, -1),
    'the key with something behind it': `${real}0`,
    'in capitals': real.toUpperCase(),
    'the uid alone': input.uid,
  }
  for (const [name, key] of Object.entries(spoken)) {
    await assertRefused(publish(saying('live', key, rtmp)), unknown).catch((error) => assert.fail(`${name}: ${error}`))
  }
  const url = `rtmps://127.0.0.1:${loud.ports.rtmps}/live`
  await assertRefused(publish({ url, key: 'my-secret-word' }), unknown)
  // The key as application, as parameter, with a login, and where the log has names: flashVer.
  await assertRefused(publish(saying('my-secret-app/my-secret-word', '', rtmp)), unknown)
  await assertRefused(publish(saying('live?key=my-secret-word&pass=my-secret-pass', 'any', rtmp)), unknown)
  await assertRefused(
    publish({ ...saying('', 'any', rtmp), connect: { app: '', tcUrl: 'rtmp://u:my-secret-pass@h/my-secret-app' } }),
    unknown,
  )

  // A destination that repeats its key in what it says.
  await using denying = await startDestination({
    behaviour: {
      answerPublish: { code: 'NetStream.Publish.BadName', description: 'destination-secret is already publishing' },
    },
  })
  const { uid } = await loud.addOutput(input.uid, { url: denying.url(), streamKey: 'destination-secret' })
  const publisher = await publish(saying(`live?token=${real}`, real, rtmp))
  await publisher.replay(syntheticTags({ kbps: 500, fps: 30 }), { durationMs: 500 })
  const output = await loud.waitForOutput(input.uid, uid, { state: 'reconnecting', reason: 'already_publishing' })
  const { lastError } = output['health'] as { lastError: { message: string } }
  assert.doesNotMatch(lastError.message, /destination-secret/)
  await publisher.goodbye()
  await loud.stop()

  const written = loud.log.map((line) => JSON.stringify(line)).join('\n')
  assert.ok(loud.log.some((line) => line['code'] === 'stream_key_unknown'))
  for (const secret of ['my-secret-', 'destination-secret', real.slice(0, 32), '1'.repeat(32), real.toUpperCase()])
    assert.ok(!written.includes(secret), `the output holds ${secret}`)
  assert.ok(!written.toLowerCase().includes(real.slice(1, 32)), 'the output holds a part of the key')
})

test('a disabled input refuses with a sentence, cuts who publishes, and lets in again', { timeout }, async () => {
  const input = await liveInput('switched')
  const key = input.rtmps.streamKey
  const disabled = /The live input is disabled/
  await server.api('PUT', `/${input.uid}`, { enabled: false })
  await assertRefused(publish({ url: server.rtmpUrl, key }), disabled)
  await server.waitForLog('whose encoder', ({ code, inputId }) => code === 'input_disabled' && inputId === input.uid)
  await server.api('PUT', `/${input.uid}`, { enabled: true })

  const publisher = await publish({ url: server.rtmpUrl, key })
  const sending = publisher.replay(syntheticTags({ kbps: 500, fps: 30 }))
  const connection = await destination.publishOf('switched')
  await connection.receives(10)
  await server.api('PUT', `/${input.uid}`, { enabled: false })
  const start = performance.now()
  await publisher.closed
  assert.equal((await connection.ends(1_000)).goodbye, true)
  assert.ok(performance.now() - start < 1_000)
  await sending
  assert.match(publisher.statuses.at(-1)?.description ?? '', disabled)
  await assertRefused(publish({ url: server.rtmpsUrl, key }), disabled)
})

test('a rotated key cuts who publishes with the old one; only the new one is let in', { timeout }, async () => {
  const input = await liveInput('rotated')
  const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const sending = publisher.replay(syntheticTags({ kbps: 500, fps: 30 }))
  const { json } = await server.api<CreatedInput>('POST', `/${input.uid}/rotate_keys`)
  await within('the publisher to be cut', publisher.closed, 2_000)
  await sending
  await assertRefused(publish({ url: server.rtmpUrl, key: input.rtmps.streamKey }), /belongs to no live input/)
  await (await publish({ url: server.rtmpUrl, key: json.result.rtmps.streamKey })).goodbye()
})

/** SHA-256 of the certificate that a listener shows. */
async function shownCertificate(port: number): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

test('a certificate that is replaced while the server runs is shown to whoever connects next', {
  timeout,
}, async () => {
  await using folder = await temporaryFolder('certificate')
  await using authority = await testCa()
  const [first, second] = [await authority.serverCert('live.example'), await authority.serverCert('live.example')]
  const [certFile, keyFile] = [join(folder.path, 'fullchain.pem'), join(folder.path, 'privkey.pem')]
  await Promise.all([writeFile(certFile, first.cert), writeFile(keyFile, first.key)])
  const httpsPort = await freePort()
  await using own = await startServer({
    settings: { TLS_CERT: certFile, TLS_KEY: keyFile, HTTPS_PORT: `${httpsPort}`, HTTP_HOST: '127.0.0.1' },
  })
  const ports = [own.ports.rtmps, httpsPort]
  const shown = () => Promise.all(ports.map(shownCertificate))
  const fingerprintOf = ({ cert }: ServerCertificate) => new X509Certificate(cert).fingerprint256
  const both = (pair: ServerCertificate) => ports.map(() => fingerprintOf(pair))
  assert.deepEqual(await shown(), both(first))

  const { rtmps } = await own.createInput()
  // Checked as an encoder does that checks: signed by a known authority, and made for the name.
  const checked = { rejectUnauthorized: true, ca: authority.cert, servername: 'live.example' }
  await using live = await publish({ url: own.rtmpsUrl, key: rtmps.streamKey, tls: checked })
  const stop = new AbortController()
  const sending = live.replay(syntheticTags({ kbps: 500, fps: 30 }), { signal: stop.signal })

  // What cannot be used stays without effect, and is said.
  await writeFile(certFile, 'not a certificate')
  await own.waitForLog(
    'the refusal',
    (line) => line['msg'] === 'changed TLS certificate cannot be used, the one before stays',
  )
  assert.deepEqual(await shown(), both(first))

  // As certbot does it: a new file in the place of the old one, first the certificate, then the key.
  for (const [path, text] of [
    [certFile, second.cert],
    [keyFile, second.key],
  ] as const) {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  }
  await waitFor('the new certificate', async () => (await shown()).every((print) => print === fingerprintOf(second)))
  await (await publish({ url: own.rtmpsUrl, key: (await own.createInput()).rtmps.streamKey, tls: checked })).goodbye()
  // Who was connected has noticed nothing.
  stop.abort()
  assert.equal((await sending).completed, false)
  assert.equal((await live.goodbye()).how, 'local')
})
