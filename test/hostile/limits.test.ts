import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { startDestination } from '../support/destination.ts'
import { assertWholeToTheEnd, startFeed } from '../support/live-feed.ts'
import { waitFor, within } from '../support/processes.ts'
import { openPublisher, type Publisher, type PublishRefused, publish } from '../support/publisher.ts'
import { type ServerUnderTest, startServer } from '../support/server.ts'

/** What strangers can make of the ingest port, and encoders with a key of their own: docs/limits.md. The real server, measured from outside. */

const timeout = 300_000
const mebibyte = 1024 * 1024
/** One thread, so that a limit is what it says; of several each has its part. */
const settings = { MEDIA_THREADS: '1' }

/** `fmt 0 | chunk stream | time 0 | length | video | message stream 1`: the beginning of a message that never ends. */
function announced(chunkStream: number, length: number): Buffer {
  const header = Buffer.alloc(12)
  header[0] = chunkStream
  header.writeUIntBE(length, 4, 3)
  header[7] = 9
  header.writeUInt32LE(1, 8)
  return header
}

/** In one chunk: the sizes that are in force before it are 4 bytes and more. */
function setChunkSize(bytes: number): Buffer {
  const message = Buffer.from('02000000000004010000000000000000', 'hex')
  message.writeUInt32BE(bytes, 12)
  return message
}

/** More chunk streams than there may be, each with an empty message. */
const sevenMoreStreams = Buffer.concat(
  Array.from({ length: 7 }, (_, index) => Buffer.from([0, index, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0])),
)

async function shareOfCore(server: ServerUnderTest, act: () => Promise<unknown>): Promise<number> {
  const before = await server.program.cpuMs()
  const began = performance.now()
  await act()
  return ((await server.program.cpuMs()) - before) / (performance.now() - began)
}

const pause = (durationMs: number) => new Promise((resolve) => setTimeout(resolve, durationMs))

async function connectFrom(localAddress: string, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Writes whatever it is given, again and again, as fast as the server reads it, until it is told to stop. */
async function flood(socket: Socket, bytes: Buffer, signal: AbortSignal): Promise<number> {
  let written = 0
  while (!signal.aborted && !socket.destroyed) {
    written += bytes.length
    if (!socket.write(bytes)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {})
  }
  return written
}

describe('memory', { concurrency: true }, () => {
  test('grows with what strangers send, never with what they announce', { timeout }, async () => {
    await using server = await startServer({ settings })
    const before = await server.program.residentBytes()
    const strangers = await Promise.all(
      Array.from({ length: 150 }, () => openPublisher({ url: server.rtmpUrl, key: 'k' })),
    )
    for (const { socket } of strangers) {
      socket.on('error', () => {})
      // The largest that there is, and then the smallest: each of the bytes below is a chunk.
      socket.write(Buffer.concat([setChunkSize(0x7fffffff), setChunkSize(1)]))
      // 61 chunk streams with 64 KiB each, of which one byte comes: 600 MB are announced.
      for (let id = 3; id < 64; id++) socket.write(Buffer.concat([announced(id, 65_535), Buffer.of(0x17)]))
    }
    // Longer than a stranger's messages may be, and on more chunk streams: refused at the header.
    const cut = strangers.splice(0, 20)
    for (const [index, { socket }] of cut.entries())
      socket.write(index % 2 === 0 ? announced(63, 0xffffff) : sevenMoreStreams)
    await within('the greedy ones to be cut', Promise.all(cut.map(({ closed }) => closed)), 20_000)
    const grown = (await server.program.residentBytes()) - before
    assert.ok(grown < 120 * mebibyte, `${Math.round(grown / mebibyte)} MB more`)
    for (const { socket } of strangers) socket.destroy()
  })

  test('of an encoder with a key is bounded, too: 20 MiB of unfinished messages', { timeout }, async () => {
    await using server = await startServer({ settings })
    const input = await server.createInput()
    const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    publisher.writeRaw(setChunkSize(60_000))
    const before = await server.program.residentBytes()
    for (let id = 8; id < 64; id++)
      publisher.writeRaw(Buffer.concat([announced(id, 10 * mebibyte), Buffer.alloc(60_000)]))
    // 3.3 MB have come, of 560 that were announced.
    await waitFor('them to be read', () => publisher.acknowledgedBytes > 2_500_000, 60_000)
    assert.equal(publisher.socket.destroyed, false)
    const grown = (await server.program.residentBytes()) - before
    assert.ok(grown < 60 * mebibyte, `${Math.round(grown / mebibyte)} MB more`)
    for (let round = 1; round < 8; round++)
      for (let id = 8; id < 64; id++) publisher.writeRaw(Buffer.concat([Buffer.of(0xc0 | id), Buffer.alloc(60_000)]))
    await within('the server to cut it', publisher.closed, 20_000)
  })
})

test('an encoder that sends chunks of one byte, of fifty messages in turn, costs little and disturbs nobody', {
  timeout,
}, async () => {
  await using server = await startServer({ settings })
  await using destination = await startDestination()
  const [good, bad] = [await server.createInput(), await server.createInput()]
  await server.addOutput(good.uid, { url: destination.url(), streamKey: 'good' })
  const feed = await startFeed(server.rtmpUrl, good.rtmps.streamKey, { kbps: 2_000 })
  const connection = await destination.nextPublish()

  const attacker = await publish({ url: server.rtmpUrl, key: bad.rtmps.streamKey })
  const streams = Array.from({ length: 50 }, (_, index) => 10 + index)
  attacker.writeRaw(setChunkSize(1))
  for (const id of streams) attacker.writeRaw(Buffer.concat([announced(id, 8 * mebibyte), Buffer.of(0x17)]))
  const round = Buffer.concat(streams.map((id) => Buffer.of(0xc0 | id, 0xaa)))
  const stop = new AbortController()
  const flooding = flood(attacker.socket, Buffer.alloc(640 * round.length, round), stop.signal)
  // The allowance of the first second is used up at once.
  await pause(1_500)
  const share = await shareOfCore(server, () => pause(4_000))
  stop.abort()
  attacker.vanish()
  const written = await flooding
  assert.ok(share < 0.4, `${share.toFixed(2)} of a core`)
  // A chunk counts as 128 bytes: of 12.5 MB a second 98,000 chunks, of two bytes each.
  assert.ok(written < 12 * mebibyte, `${written} bytes were taken`)
  await feed.stop()
  await connection.closed
  assertWholeToTheEnd(connection, feed)
})

test('strangers that flood before they publish are cut after 4 MiB', { timeout }, async () => {
  await using server = await startServer({ settings })
  const never = new AbortController().signal
  const floods = [
    // A message that is begun again and again, one that comes byte by byte, and empty ones.
    Buffer.alloc(13 * 5_000, Buffer.concat([announced(6, 1_000), Buffer.of(1)])),
    Buffer.concat([setChunkSize(1), announced(6, 60_000), Buffer.alloc(100_000, Buffer.of(1, 0xc6))]),
    Buffer.concat([announced(6, 0), Buffer.alloc(60_000, 0xc6)]),
  ]
  for (const bytes of floods) {
    const stranger = await openPublisher({ url: server.rtmpUrl, key: 'k' })
    stranger.socket.on('error', () => {})
    const written = flood(stranger.socket, bytes, never)
    await within('the server to cut it', stranger.closed, 20_000)
    assert.ok((await written) < 12 * mebibyte, 'what the kernels hold is taken, too')
  }
})

describe('the door', { concurrency: true }, () => {
  test('stays open for encoders however many connections say nothing', { timeout }, async () => {
    await using server = await startServer({ settings })
    const input = await server.createInput()
    const silent: Socket[] = []
    try {
      // Five addresses with their full share: as many as there may be in all. And the encoder's own address among them.
      for (let network = 1; network <= 5; network++)
        for (let batch = 0; batch < 5; batch++)
          silent.push(
            ...(await Promise.all(
              Array.from({ length: 50 }, () => connectFrom(`127.0.0.${network}`, server.ports.rtmp)),
            )),
          )
      const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      const open = () => silent.filter((socket) => !socket.destroyed).length
      await waitFor('the oldest to be gone', () => open() <= 1_000)
      assert.equal(publisher.socket.destroyed, false)
      publisher.vanish()
    } finally {
      for (const socket of silent) socket.destroy()
    }
  })

  test('guesses of keys wait for their answers, and an encoder behind the same address does not', {
    timeout,
  }, async () => {
    await using server = await startServer({ settings })
    const input = await server.createInput()
    const guess = (index: number) =>
      publish({
        url: server.rtmpUrl,
        key: `${index.toString(16).padStart(32, '0')}k${input.uid}`,
        deadlineMs: 60_000,
      }).then(
        () => assert.fail('a guess was right'),
        (error: PublishRefused) => error,
      )
    // Twenty-five at once; the last of them wait for five seconds.
    const first = await Promise.all(Array.from({ length: 25 }, (_, index) => guess(index)))
    assert.ok(first.every(({ status }) => status?.code === 'NetStream.Publish.BadName'))
    const told = server.log.filter(({ code }) => code === 'stream_key_unknown')
    assert.equal(told.length, 20, 'not each of them is worth a line')
    // One more guess, and behind it an encoder that has the key: it is let in first.
    const order: string[] = []
    const late = guess(25).then(() => order.push('guess'))
    const publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey, deadlineMs: 60_000 })
    order.push('encoder')
    publisher.vanish()
    await late
    assert.deepEqual(order, ['encoder', 'guess'])
  })
})

describe('deadlines', { concurrency: true }, () => {
  test('of TLS, handshake, connect, publish and media', { timeout }, async () => {
    await using server = await startServer({ settings: { ...settings, RECONNECT_WINDOW: '1' } })
    const input = await server.createInput()
    const { rtmp, rtmps } = server.ports
    const closedAfter = async (what: string, socket: Socket): Promise<number> => {
      const began = performance.now()
      socket.on('error', () => {})
      socket.resume()
      if (!socket.closed)
        await within(`${what} to be closed`, new Promise((resolve) => socket.once('close', resolve)), 40_000)
      return (performance.now() - began) / 1000
    }
    const drip = (socket: Socket, byte: Buffer) => {
      const timer = setInterval(() => socket.write(byte), 500)
      socket.once('close', () => clearInterval(timer))
    }
    const shaken = async (act: (publisher: Publisher) => Promise<unknown> = async () => {}): Promise<Socket> => {
      const publisher = await openPublisher({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      await act(publisher)
      return publisher.socket
    }
    const slow = await connectFrom('127.0.0.1', rtmp)
    slow.write(Buffer.of(3))
    drip(slow, Buffer.of(0))
    const halfTls = await connectFrom('127.0.0.1', rtmps)
    halfTls.write(Buffer.from('1603010200', 'hex'))
    drip(halfTls, Buffer.of(1))
    const silentTls = connectTls({ host: '127.0.0.1', port: rtmps, rejectUnauthorized: false })
    const dripping = await shaken()
    dripping.write(announced(3, 1_000))
    drip(dripping, Buffer.of(2))
    const media = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    drip(media.socket, Buffer.from('020000000000060400000000000600000000', 'hex'))
    const silent = await connectFrom('127.0.0.1', rtmp)
    const greeted = await shaken()
    const connected = await shaken((publisher) => publisher.requestConnect())
    const sockets = [silent, slow, halfTls, silentTls, greeted, dripping, connected, media.socket]
    const seconds = await Promise.all([
      closedAfter('a silent connection', silent),
      closedAfter('a slow handshake', slow),
      closedAfter('half a TLS handshake', halfTls),
      closedAfter('silence after the TLS handshake', silentTls),
      closedAfter('silence after the handshake', greeted),
      closedAfter('a message byte by byte', dripping),
      closedAfter('silence after connect', connected),
      closedAfter('an encoder without media', media.socket),
    ]).finally(() => {
      for (const socket of sockets) socket.destroy()
    })
    // 5 s for TLS and for the handshake, 10 s for publish, 5 s and the reconnect window for media. A busy machine may take longer.
    for (const [index, wanted] of [5, 5, 5, 5, 10, 10, 10, 6].entries())
      assert.ok(seconds[index]! > wanted - 2 && seconds[index]! < wanted + 20, `${index}: ${seconds[index]} s`)
    const codes = server.log.map(({ code }) => code)
    for (const code of ['handshake_timeout', 'publish_not_received']) assert.ok(codes.includes(code), code)
  })
})
