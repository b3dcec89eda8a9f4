import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { startBlackHole } from '../support/black-hole.ts'
import { type Destination, startDestination } from '../support/destination.ts'
import { assertWholeToTheEnd, startFeed } from '../support/live-feed.ts'
import { freePort, waitFor, within } from '../support/processes.ts'
import { type PublishRefused, publish } from '../support/publisher.ts'
import { type CreatedInput, type ServerUnderTest, startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** Incidents of other servers at their ingest port, by their numbers in docs/reliability.md. The real server; a good encoder beside. */

const timeout = 300_000
const isLong = process.env['HOSTILE'] === 'long'

function assertNoMistake(server: ServerUnderTest): void {
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'error'),
    [],
  )
}

/** An input with one output, and an encoder that sends until it is asked for the result. */
async function startGood(server: ServerUnderTest, destination: Destination) {
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'good' })
  const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: 1_000 })
  const connection = await destination.nextPublish()
  return async () => {
    await feed.stop()
    await connection.closed
    assertWholeToTheEnd(connection, feed)
  }
}

const publishTo = (server: ServerUnderTest, input: CreatedInput) =>
  publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })

/** Bodies that broke parsers elsewhere: empty, of one byte, cut, with lengths that lead beyond the end, and random ones. */
function* malformedMedia(): Generator<{ type: number; body: Buffer }> {
  const header = Buffer.from('17000000000142c01effe1001867640c1e', 'hex')
  const bodies = [
    '',
    '17',
    '1700',
    '1701000000ffffffff65',
    '170100000000000000',
    '1701000000000000000000000000',
    '27010000000000000261',
    'af',
    'af00',
    'af0012',
    'af00ffffffffffff',
    '90',
    '9068766331',
    '9068766331ffffffffff',
    '906176303181',
    '90617630310a0fffffffff',
    '9661766331ff',
    '9620ffffff',
    '97ffff00000000',
    '9700'.repeat(200),
    'd4',
    '02000a6f6e4d65746144617461080000ffff',
    '02ffff',
    '0300'.repeat(3_000),
    '0affffffff',
    '08ffffffff',
    '11'.repeat(500),
    '07ffff',
  ].map((hex) => Buffer.from(hex, 'hex'))
  for (const type of [8, 9, 15, 16, 18, 19, 22, 99]) for (const body of bodies) yield { type, body }
  for (let cut = 1; cut < header.length; cut++) yield { type: 9, body: header.subarray(0, cut) }
  for (let index = 0; index < 300; index++) yield { type: [8, 9, 18, 22][index % 4]!, body: randomBytes(index) }
}

describe('what encoders may send', { concurrency: true }, () => {
  test('#4 #7 #10: malformed media, headers, metadata and aggregates end no session but their own', {
    timeout,
  }, async () => {
    await using server = await startServer()
    await using destination = await startDestination()
    const finish = await startGood(server, destination)
    const input = await server.createInput()
    // Its output takes whatever comes.
    await using sink = await startDestination({ recording: 'counts' })
    await server.addOutput(input.uid, { url: sink.url(), streamKey: 'sink' })
    let publisher = await publishTo(server, input)
    let time = 0
    let sent = 0
    for (const { type, body } of malformedMedia()) {
      if (publisher.socket.destroyed) publisher = await publishTo(server, input)
      publisher.send(type, time++, body)
      if (++sent % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    }
    // And it is an encoder like any other afterwards: the sink gets a picture.
    if (publisher.socket.destroyed) publisher = await publishTo(server, input)
    const replaying = new AbortController()
    void publisher.replay(syntheticTags({ kbps: 500 }), { startTimestamp: time, signal: replaying.signal })
    const before = sink.connections.reduce((sum, { counts }) => sum + counts.bytes, 0)
    await waitFor(
      'the sink to get more',
      () => sink.connections.reduce((sum, { counts }) => sum + counts.bytes, 0) > before + 100_000,
      30_000,
    )
    replaying.abort()
    publisher.vanish()
    await finish()
    assertNoMistake(server)
  })

  test('#5 #9 #12 #13: names of 64 KiB, paths, shell words, markup, NUL, line breaks and ANSI escapes', {
    timeout,
  }, async () => {
    await using server = await startServer({ settings: { LOG_LEVEL: 'trace' } })
    const bad = [
      'x'.repeat(65_536),
      '../../../etc/passwd',
      '%2e%2e%2fetc%2fpasswd',
      '`reboot`; $(reboot) | reboot &&',
      '<script>alert(1)</script>',
      'a\u0000b',
      'a\r\n{"level":"error","msg":"forged"}',
      '\u001b[2J\u001b]0;title\u0007',
      '\ud800',
      '__proto__',
      '\u202etxt.exe',
    ]
    for (const text of bad) {
      const refused = await publish({
        url: server.rtmpUrl,
        key: text,
        connect: { app: text, tcUrl: text, swfUrl: text, pageUrl: text, flashVer: text, [text.slice(0, 100)]: text },
      }).then(
        () => assert.fail('it was accepted'),
        (error: Error) => error,
      )
      assert.match(refused.name, /PublishRefused/, `${refused}`)
    }
    const wrote = server.program.output
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    assert.doesNotMatch(wrote, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    assert.ok(!wrote.includes('etc/passwd') && !wrote.includes('alert(1)'), 'no part of a key or an app is logged')
    assert.ok(server.log.every((line) => line['msg'] !== 'forged'))
    assertNoMistake(server)
  })

  test('#19: encoders that come and go while their outputs still connect', { timeout }, async () => {
    await using server = await startServer({ settings: { RECONNECT_WINDOW: '0' } })
    await using hole = await startBlackHole()
    await using slow = await startDestination({ behaviour: { answerPublish: 'never' } })
    await using good = await startDestination()
    const input = await server.createInput()
    for (const url of [`rtmp://127.0.0.1:${hole.port}/app`, slow.url(), `rtmp://127.0.0.1:${await freePort()}/app`])
      await server.addOutput(input.uid, { url, streamKey: 'k' })
    await server.addOutput(input.uid, { url: good.url(), streamKey: 'good' })
    const tags = syntheticTags({ kbps: 500 }).take(20).toArray()
    for (let round = 0; round < 25; round++) {
      const publisher = await publishTo(server, input)
      await publisher.replay(tags, { realtime: false })
      if (round % 3 === 0) publisher.vanish()
      else if (round % 3 === 1) await publisher.goodbye()
      else publisher.vanish('fin')
    }
    const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: 500 })
    const [, , , output] = await server.outputs(input.uid)
    await server.waitForOutput(input.uid, output!.uid, { state: 'connected' }, 90_000)
    await feed.stop()
    assertNoMistake(server)
  })
})

describe('what strangers may send', { concurrency: true }, () => {
  async function open(port: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.resume()
    return socket
  }

  test('#11: the wrong protocol at either port, and half TLS handshakes by the hundred, leave nothing and cost nothing', {
    timeout,
  }, async () => {
    await using server = await startServer({ settings: { MEDIA_THREADS: '1' } })
    const hello = Buffer.from('160301020001000001fc0303', 'hex')
    const words = [
      hello,
      Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
      Buffer.of(3),
      Buffer.alloc(2_000, 3),
      Buffer.alloc(1),
    ]
    const sockets: Socket[] = []
    for (const port of [server.ports.rtmp, server.ports.rtmps])
      for (let index = 0; index < (isLong ? 1_000 : 150); index++) {
        const socket = await open(port)
        socket.write(words[index % words.length]!)
        if (index % 7 === 0) socket.resetAndDestroy()
        sockets.push(socket)
      }
    await waitFor('all of them to be closed', () => sockets.every(({ destroyed }) => destroyed), 30_000)
    const before = await server.program.cpuMs()
    const began = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const share = ((await server.program.cpuMs()) - before) / (performance.now() - began)
    assert.ok(share < 0.3, `${share.toFixed(2)} of a core`)
    const input = await server.createInput()
    for (const url of [server.rtmpUrl, server.rtmpsUrl]) {
      const publisher = await publish({ url, key: input.rtmps.streamKey })
      publisher.vanish()
    }
    assertNoMistake(server)
  })

  test('#17: a publisher that was refused and goes on sending is cut, and nothing of it is read', {
    timeout,
  }, async () => {
    await using server = await startServer()
    const input = await server.createInput()
    const refused = await publish({ url: server.rtmpUrl, key: `${'0'.repeat(32)}k${input.uid}` }).then(
      () => assert.fail('it was accepted'),
      (error: PublishRefused) => error,
    )
    const { publisher } = refused
    publisher.socket.on('error', () => {})
    const sending = setInterval(() => publisher.send(9, 0, Buffer.alloc(10_000, 0x17)), 5)
    try {
      await within('the server to close it', publisher.closed, 10_000)
    } finally {
      clearInterval(sending)
    }
    assert.equal((await server.input(input.uid))['status'], null)
  })
})

describe('where destinations may lead', () => {
  test('#29: a redirect to an address that may not be reached is refused, and nobody is asked there', {
    timeout,
  }, async () => {
    await using server = await startServer({ settings: { DESTINATION_ALLOW: '127.0.0.1/32' } })
    const inside = { connections: 0 }
    const secret = createServer((socket) => {
      inside.connections++
      socket.destroy()
    }).listen(0, '127.0.0.2')
    await once(secret, 'listening')
    const { port } = secret.address() as { port: number }
    try {
      const input = await server.createInput()
      const targets = [
        `rtmp://127.0.0.2:${port}/app`,
        `rtmp://2130706434:${port}/app`,
        `rtmp://[::ffff:127.0.0.2]:${port}/app`,
      ]
      const outputs = []
      const destinations = await Promise.all(
        targets.map((redirectTo) => startDestination({ behaviour: { redirectTo } })),
      )
      for (const destination of destinations)
        outputs.push(await server.addOutput(input.uid, { url: destination.url(), streamKey: 'k' }))
      const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: 500 })
      for (const { uid } of outputs)
        await server.waitForOutput(input.uid, uid, { state: 'error', reason: 'destination_not_allowed' }, 90_000)
      assert.equal(inside.connections, 0)
      await feed.stop()
      for (const destination of destinations) await destination.stop()
    } finally {
      secret.close()
    }
  })
})
