import assert from 'node:assert/strict'
import { type Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { ScriptedPeer } from '../../test/support/scripted-peer.ts'
import {
  acknowledgement,
  frameMessage,
  setChunkSize,
  setPeerBandwidth,
  userControl,
  windowAcknowledgementSize,
} from './chunk-header.ts'
import { publisherLimits, unknownPeerLimits } from './chunk-reader.ts'
import { frameCommand, readCommand } from './command.ts'
import { ConnectionClosed, RtmpConnection } from './connection.ts'
import { type Message, messageTypes, ProtocolError } from './message.ts'

const never = new AbortController().signal
const timeout = 10_000

async function pair(role: 'server' | 'client' = 'server') {
  const [ours, theirs] = duplexPair()
  const time = { ms: 0 }
  const options = { limits: publisherLimits, now: () => time.ms, signal: never }
  const [connection, peer] = await Promise.all([
    role === 'server' ? RtmpConnection.accept(ours, options) : RtmpConnection.connect(ours, options),
    ScriptedPeer.shakeHands(theirs, role === 'server' ? 'client' : 'server'),
  ])
  return { connection, peer, time, ours, theirs }
}

const ping = (value: number) => userControl(6, value)
const isUserControl = (message: Message) => message.type === messageTypes.userControl
const isAcknowledgement = (message: Message) => message.type === messageTypes.acknowledgement

test('the handshake is counted, and what follows it in the same segment is the first message', {
  timeout,
}, async () => {
  for (const role of ['server', 'client'] as const) {
    const { connection, peer } = await pair(role)
    assert.equal(connection.bytesReceived, 3073)
    peer.say('hello', 1)
    assert.equal(readCommand(await connection.next(never))?.name, 'hello')
    connection.close()
  }
})

test('a handshake that does not come in time, breaks off or is none rejects and closes', { timeout }, async () => {
  const cases: [string, (theirs: Duplex, deadline: AbortController) => void, (error: unknown) => boolean][] = [
    ['late', (_, deadline) => deadline.abort(new Error('late')), (error) => (error as Error).message === 'late'],
    ['cut', (theirs) => theirs.end(Buffer.of(3, 0, 0)), (error) => error instanceof ConnectionClosed],
    ['http', (theirs) => theirs.write('GET / HTTP/1.1\r\n'), (error) => error instanceof ProtocolError],
  ]
  for (const [name, act, fits] of cases) {
    const [ours, theirs] = duplexPair()
    const deadline = new AbortController()
    const accepted = RtmpConnection.accept(ours, { limits: publisherLimits, now: () => 0, signal: deadline.signal })
    act(theirs, deadline)
    await assert.rejects(accepted, fits, name)
    assert.ok(ours.destroyed, name)
  }
})

test('a stream that was destroyed before is over at once', { timeout }, async () => {
  const [ours] = duplexPair()
  ours.destroy()
  await assert.rejects(
    RtmpConnection.accept(ours, { limits: publisherLimits, now: () => 0, signal: never }),
    ConnectionClosed,
  )
})

test('in the dialogue messages are copies, and nothing is read that nobody asks for', { timeout }, async () => {
  const { connection, peer } = await pair()
  connection.limits = unknownPeerLimits
  peer.say('first', 1)
  const first = await connection.next(never)
  // A key frame that is too long for a stranger: it is met only when somebody reads on, with wider limits by then.
  peer.say('publish', 2)
  peer.media(messageTypes.amf0Data, Buffer.alloc(200, 1))
  peer.media(messageTypes.video, Buffer.alloc(100_000, 0x17))
  assert.equal(readCommand(await connection.next(never))?.name, 'publish')
  await new Promise((resolve) => setImmediate(resolve))
  connection.limits = publisherLimits
  const lengths: number[] = []
  await new Promise<void>((resolve) => {
    connection.relay((message) => {
      lengths.push(message.body.length)
      if (message.type === messageTypes.video) resolve()
    })
  })
  assert.deepEqual(lengths, [200, 100_000])
  assert.equal(readCommand(first)?.name, 'first')
})

test('next: an abort leaves the connection usable; the last words come before the reason', { timeout }, async () => {
  const { connection, peer, ours } = await pair()
  const deadline = new AbortController()
  const waiting = connection.next(deadline.signal)
  deadline.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  await assert.rejects(connection.next(deadline.signal), /enough/)
  peer.say('one', 1)
  assert.equal(readCommand(await connection.next(never))?.name, 'one')
  peer.raw(Buffer.concat([frameCommand(128, 3, 0, 'two', 1), frameCommand(128, 3, 0, 'three', 1)]))
  assert.equal(readCommand(await connection.next(never))?.name, 'two')
  ours.destroy(new Error('ECONNRESET'))
  const reason = await connection.closed
  assert.equal(reason.message, 'ECONNRESET')
  assert.equal(connection.signal.reason, reason)
  assert.equal(readCommand(await connection.next(never))?.name, 'three')
  await assert.rejects(connection.next(never), /ECONNRESET/)
})

test('the end of the peer is the end of the connection', { timeout }, async () => {
  const { connection, peer } = await pair()
  peer.end()
  await assert.rejects(connection.next(never), (error) => error instanceof ConnectionClosed && error.by === 'peer')
  assert.ok((await connection.closed) instanceof ConnectionClosed)
})

test('relay: what is queued comes first, then each message in the call that brings it', { timeout }, async () => {
  const { connection, peer, theirs } = await pair()
  peer.raw(Buffer.concat([frameCommand(128, 3, 0, 'a', 1), frameCommand(128, 3, 0, 'b', 1)]))
  await connection.next(never)
  const seen: string[] = []
  connection.relay((message) => seen.push(readCommand(message)?.name ?? String(message.type)))
  assert.deepEqual(seen, ['b'])
  // An aggregate of one audio and one video message.
  const sub = (type: number, time: number) => Buffer.from([type, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, 7, 0, 0, 0, 12])
  peer.media(messageTypes.aggregate, Buffer.concat([sub(8, 10), sub(9, 20)]))
  peer.media(99, Buffer.alloc(1))
  theirs.write(ping(7))
  await peer.next(isUserControl)
  assert.deepEqual(seen, ['b', '8', '9', '99'])
})

test('relay: what the receiver throws ends the connection; after close() nothing is delivered', {
  timeout,
}, async () => {
  const { connection, peer } = await pair()
  connection.relay(() => {
    throw new RangeError('mine')
  })
  peer.say('a', 1)
  assert.equal((await connection.closed).message, 'mine')

  const second = await pair()
  let count = 0
  second.connection.relay(() => {
    count++
    second.connection.close()
  })
  second.peer.raw(
    Buffer.concat(
      [1, 2, 3].map(() =>
        frameMessage({ chunkStreamId: 3, type: 8, timestamp: 0, messageStreamId: 1, body: Buffer.alloc(1) }, 128),
      ),
    ),
  )
  const reason = await second.connection.closed
  assert.ok(reason instanceof ConnectionClosed && reason.by === 'us')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(count, 1)
})

test('pings are answered with their own four bytes, in both roles, through the control sink', { timeout }, async () => {
  for (const role of ['server', 'client'] as const) {
    const { connection, peer } = await pair(role)
    connection.relay(() => {})
    peer.raw(ping(0xfedcba98))
    assert.equal((await peer.next(isUserControl)).body.toString('hex'), '0007fedcba98')
    const caught: Buffer[] = []
    await new Promise<void>((resolve) => {
      connection.controlSink = (bytes) => {
        caught.push(bytes)
        resolve()
      }
      peer.raw(ping(1))
    })
    assert.deepEqual(caught, [userControl(7, 1)])
  }
})

test('unknown and broken control messages are ignored', { timeout }, async () => {
  const { connection, peer } = await pair()
  const control = (type: number, body: number[]) =>
    frameMessage({ chunkStreamId: 6, type, timestamp: 0, messageStreamId: 0, body: Buffer.from(body) }, 128)
  for (const event of [0, 1, 2, 3, 26, 27, 31, 32, 999]) peer.raw(userControl(event, 1, 2))
  for (const type of [2, 3, 4, 5, 6, 7]) peer.raw(control(type, [0]))
  peer.raw(control(4, []))
  peer.raw(setPeerBandwidth(1, 0))
  peer.raw(ping(5))
  peer.say('after', 1)
  const names: (string | undefined)[] = []
  // Type 7 is no protocol control and the session's to ignore.
  for (let index = 0; index < 2; index++) names.push(readCommand(await connection.next(never))?.name)
  assert.deepEqual(names, [undefined, 'after'])
  await peer.next(isUserControl)
  assert.equal(peer.heard.length, 1)
})

test('acknowledgements: every 1.25 MB without being asked, half the window when one is announced', {
  timeout,
}, async () => {
  const { connection, peer } = await pair()
  connection.relay(() => {})
  peer.raw(setChunkSize(0xffffff))
  peer.chunkSize = 0xffffff
  peer.media(messageTypes.video, Buffer.alloc(1_300_000))
  const first = (await peer.next(isAcknowledgement)).body.readUInt32BE(0)
  assert.ok(first >= 1_250_000 && first < 1_250_000 + 70_000, String(first))

  // Half of 100,000 again and again; a window of 1 is no order for an acknowledgement of every byte.
  peer.raw(windowAcknowledgementSize(100_000))
  for (let index = 0; index < 4; index++) peer.media(messageTypes.video, Buffer.alloc(60_000))
  const second = (await peer.next(isAcknowledgement)).body.readUInt32BE(0)
  assert.ok(second > first && second <= connection.bytesReceived)
  peer.raw(windowAcknowledgementSize(1))
  const before = peer.heard.length
  for (let index = 0; index < 100; index++) peer.media(messageTypes.audio, Buffer.alloc(100))
  peer.raw(ping(1))
  await peer.next(isUserControl)
  assert.ok(peer.heard.length - before < 15, String(peer.heard.length - before))
})

test('acknowledgements count modulo 2^32', { timeout }, async () => {
  const { connection, peer, ours } = await pair()
  connection.relay(() => {})
  // The counter is private and 4 GB are many: pushed as one object that claims to be that long.
  const huge = new Proxy(Buffer.alloc(0), {
    get: (target, name) => (name === 'length' ? 2 ** 32 : Reflect.get(target, name, target)),
  })
  assert.throws(() => huge.toString('hex', 0, 1) && huge.readUInt8(0))
  const listener = ours.listeners('data')[0] as (bytes: Buffer) => void
  try {
    listener(huge)
  } catch {
    // The reader cannot read it; by then it is counted.
  }
  assert.equal(connection.bytesReceived, 2 ** 32 + 3073)
  assert.equal((await peer.next(isAcknowledgement)).body.readUInt32BE(0), 3073)
})

test('an acknowledgement of the peer is told', { timeout }, async () => {
  const { connection, peer } = await pair('client')
  const told: number[] = []
  connection.onAcknowledgement = (sequenceNumber) => told.push(sequenceNumber)
  connection.relay(() => {})
  peer.raw(acknowledgement(0xffffffff))
  peer.raw(ping(1))
  await peer.next(isUserControl)
  assert.deepEqual(told, [0xffffffff])
})

test('floods end the connection, at any pace that no peer needs', { timeout }, async () => {
  const message = (type: number, body = Buffer.alloc(0)) =>
    frameMessage({ chunkStreamId: 3, type, timestamp: 0, messageStreamId: 0, body }, 128)
  const floods: ['server' | 'client', string, Buffer, number][] = [
    ['server', 'commands', message(messageTypes.amf0Command), 201],
    ['client', 'commands', message(messageTypes.amf3Command), 201],
    ['client', 'messages', message(messageTypes.video), 201],
    ['server', 'user control', ping(1), 101],
    ['client', 'user control', userControl(31, 1), 101],
    ['client', 'protocol control', acknowledgement(1), 2001],
    ['server', 'protocol control', setChunkSize(128), 2001],
  ]
  for (const [role, words, bytes, count] of floods) {
    const { connection, peer, time } = await pair(role)
    connection.relay(() => {})
    peer.raw(Buffer.concat(Array.from({ length: count - 1 }, () => bytes)))
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(connection.signal.aborted, false, words)
    time.ms = 100
    peer.raw(bytes)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(connection.signal.aborted, false, `${words}, later`)
    peer.raw(Buffer.concat(Array.from({ length: count }, () => bytes)))
    const reason = await connection.closed
    assert.ok(reason instanceof ProtocolError, words)
    assert.match(reason.reason, new RegExp(words))
  }
})

test('media of an encoder is no flood', { timeout }, async () => {
  const { connection, peer } = await pair()
  let count = 0
  connection.relay(() => count++)
  for (let index = 0; index < 5000; index++) peer.media(messageTypes.audio, Buffer.alloc(2))
  peer.raw(ping(1))
  await peer.next(isUserControl)
  assert.equal(count, 5000)
})

test('a peer that does not read its answers is cut', { timeout }, async () => {
  const [ours, theirs] = duplexPair()
  const options = { limits: publisherLimits, now: () => 0, signal: never }
  const [connection] = await Promise.all([
    RtmpConnection.accept(ours, options),
    ScriptedPeer.shakeHands(theirs, 'client'),
  ])
  theirs.pause()
  for (let index = 0; index < 200; index++) connection.sendCommand(3, 0, 'x'.repeat(4000), 0)
  assert.ok((await connection.closed) instanceof ProtocolError)
  assert.ok(ours.destroyed)
})

test('end: our last words arrive, what the peer still sends is thrown away', { timeout }, async () => {
  const { connection, peer } = await pair()
  let count = 0
  connection.relay(() => count++)
  connection.sendCommand(3, 0, 'bye', 0)
  connection.end()
  for (let index = 0; index < 500; index++) peer.say('more', 1)
  await peer.command('bye')
  await peer.ended
  peer.end()
  assert.ok((await connection.closed) instanceof ConnectionClosed)
  assert.equal(count, 0)
  connection.send(Buffer.alloc(1))
  connection.close()
})

test('a long command is cut into chunks of the size that was announced', { timeout }, async () => {
  const { connection, peer } = await pair('client')
  const text = 'k'.repeat(10_000)
  connection.sendCommand(3, 0, 'before', 1, text)
  connection.announceChunkSize(4096)
  connection.sendCommand(3, 0, 'after', 2, text)
  assert.deepEqual((await peer.command('before')).values, [text])
  assert.deepEqual((await peer.command('after')).values, [text])
})

/** A video message of 10 MiB in chunks of one byte: its beginning, and so many of its chunks. */
const slowly = Buffer.concat([setChunkSize(1), Buffer.from('06000000a000000901000000aa', 'hex')])
const oneByteChunks = (count: number) => Buffer.alloc(2 * count, Buffer.of(0xc6, 0xaa))

test('before publish a peer may send so many bytes, or so many chunks, and no more', { timeout }, async () => {
  const audio = frameMessage(
    { chunkStreamId: 4, type: 8, timestamp: 0, messageStreamId: 1, body: Buffer.alloc(60_000) },
    128,
  )
  const floods = [
    { name: 'bytes', first: Buffer.alloc(0), once: audio, times: 75, least: 68, most: 71 },
    { name: 'chunks', first: slowly, once: oneByteChunks(1_000), times: 40, least: 32, most: 40 },
  ]
  for (const { name, first, once, times, least, most } of floods) {
    const { connection, peer } = await pair()
    peer.raw(first)
    const before = connection.bytesReceived
    for (let index = 0; index < times; index++) peer.raw(once)
    const reading = (async () => {
      for (;;) await connection.next(never)
    })()
    await assert.rejects(
      reading,
      (error) => error instanceof ProtocolError && error.reason === 'too many bytes before publish',
      name,
    )
    const taken = (connection.bytesReceived - before) / once.length
    assert.ok(taken >= least && taken <= most, `${name}: ${taken}`)
  }
})

test('relay: what was read is told by its cost, incomplete messages too', { timeout }, async () => {
  const { connection, peer } = await pair()
  let cost = 0
  connection.onReceived = (bytes) => (cost += bytes)
  connection.relay(() => {})
  const media = frameMessage(
    { chunkStreamId: 4, type: 9, timestamp: 0, messageStreamId: 1, body: Buffer.alloc(50_000) },
    128,
  )
  peer.raw(Buffer.concat([media, ping(1)]))
  await peer.next(isUserControl)
  assert.ok(cost >= media.length && cost < media.length * 1.1, `${cost} for ${media.length}`)
  cost = 0
  peer.raw(slowly)
  peer.raw(oneByteChunks(1_000))
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(cost >= 1_000 * 128, String(cost))
})

test('a destination that floods with bytes or chunks is cut; one that acknowledges for 1 Gbit/s is not', {
  timeout,
}, async () => {
  const begunAgain = Buffer.concat([Buffer.from('060000000001000901000000', 'hex'), Buffer.alloc(128)])
  const floods = [
    { first: Buffer.alloc(0), flood: begunAgain },
    {
      first: slowly.subarray(0, 16),
      flood: Buffer.concat([Buffer.from('060000000000100901000000aa', 'hex'), oneByteChunks(10)]),
    },
  ]
  for (const { first, flood } of floods) {
    const { connection, peer } = await pair('client')
    connection.limits = unknownPeerLimits
    connection.relay(() => {})
    peer.raw(first)
    for (let index = 0; index < 10_000 && !connection.signal.aborted; index++) {
      peer.raw(flood)
      if (index % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const reason = await connection.closed
    assert.ok(reason instanceof ProtocolError && reason.reason === 'too many bytes', reason.message)
  }
  const { connection, peer, time } = await pair('client')
  connection.relay(() => {})
  for (let second = 0; second < 20; second++) {
    time.ms += 1_000
    for (let index = 0; index < 950; index++) peer.raw(acknowledgement(index))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(connection.signal.aborted, false)
})
