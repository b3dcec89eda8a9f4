import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../clock.ts'
import { userControl } from '../rtmp/chunk-header.ts'
import { ChunkReader, publisherLimits } from '../rtmp/chunk-reader.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Broadcast, type PublisherFeed } from './broadcast.ts'
import { FeedHealth } from './feed-health.ts'
import { OutputSender } from './output-sender.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool, slabBytes } from './slab-pool.ts'

const loopTurn = () => new Promise<void>((resolve) => setImmediate(resolve))
const limits = { durationMsMax: 3_600_000, bytesMax: 64 * 1024 * 1024 }

let server: Server
before(async () => {
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
after(() => server.close())

type Received = { readonly type: number; readonly timestamp: number; readonly body: Buffer }

/** A sender and what its destination has read. */
class Output implements AsyncDisposable {
  readonly received: Received[] = []
  bytes = 0
  pings = 0
  readonly sender: OutputSender
  readonly here: Socket
  readonly there: Socket
  readonly #reader = new ChunkReader({ ...publisherLimits, messageBytesMax: 0xffffff, partialBytesMax: 2 ** 30 })

  private constructor(sender: OutputSender, here: Socket, there: Socket) {
    this.sender = sender
    this.here = here
    this.there = there
    this.#reader.push(Buffer.from('02000000000004010000000000001000', 'hex'), () => {})
    for (const socket of [here, there]) socket.on('error', () => {})
    there.on('data', (bytes: Buffer) => {
      this.bytes += bytes.length
      this.#reader.push(bytes, ({ type, timestamp, body }) => {
        if (type === messageTypes.userControl) this.pings++
        else this.received.push({ type, timestamp, body: Buffer.from(body) })
      })
    })
  }

  static async connect(stage: Stage): Promise<Output> {
    const here = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const [there] = (await once(server, 'connection')) as [Socket]
    if (here.connecting) await once(here, 'connect')
    const sender = new OutputSender({
      ...stage,
      clock: systemClock,
      stream: here,
      messageStreamId: 1,
      form: 'received',
      takesModEx: true,
      maxLagMs: 60_000,
      missed: undefined,
      onStarted() {},
      onFailed(error) {
        throw error
      },
      onRestart() {},
    })
    return new Output(sender, here, there)
  }

  /** From the first message that it got on, each as it was, at its time. */
  assertHasAllOf(sent: readonly Received[]): void {
    const first = this.received[0]
    assert.ok(first)
    const from = sent.findIndex(({ body }) => body.equals(first.body))
    const base = sent[from]!.timestamp
    assert.deepEqual(
      this.received.map(({ type, timestamp, body }) => [type, timestamp, body.readUInt32BE(5)]),
      sent.slice(from).map(({ type, timestamp, body }) => [type, timestamp - base, body.readUInt32BE(5)]),
    )
    for (const [index, { body }] of this.received.entries()) assert.ok(body.equals(sent[from + index]!.body))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sender.close()
    this.here.destroy()
    this.there.destroy()
    await loopTurn()
  }
}

/** A broadcast, what went into it, and its outputs. */
class Stage implements AsyncDisposable {
  readonly pool: SlabPool
  readonly pump = new Pump(systemClock, noRests)
  readonly broadcast: Broadcast
  readonly sent: Received[] = []
  readonly outputs: Output[] = []
  readonly #feed: PublisherFeed

  constructor(own = limits, poolBytes = 2 * own.bytesMax) {
    this.pool = new SlabPool(poolBytes)
    this.broadcast = new Broadcast(this.pool, own, this.pump, new FeedHealth(systemClock, 12_000))
    this.#feed = this.broadcast.feed()
  }

  /** So many outputs that have its first key frame. */
  static async live(outputs: number, own = limits): Promise<Stage> {
    const stage = new Stage(own)
    await stage.join(outputs)
    stage.key(0)
    await stage.settle()
    return stage
  }

  get together(): number {
    return this.broadcast.sharedCursor('received').outputs
  }

  async join(count: number): Promise<void> {
    for (let index = 0; index < count; index++) this.outputs.push(await Output.connect(this))
  }

  /** Each body names its message at byte 5. */
  publish(type: number, timestamp: number, start: string, length: number): void {
    const body = Buffer.alloc(length, this.sent.length)
    body.write(start, 'hex')
    body.writeUInt32BE(this.sent.length, 5)
    this.sent.push({ type, timestamp, body })
    this.#feed.publish({ chunkStreamId: 4, type, timestamp, messageStreamId: 1, body })
  }
  key(timestamp: number, length = 9_000): void {
    this.publish(messageTypes.video, timestamp, '1701000000', length)
  }
  frame(timestamp: number, length = 5_000): void {
    this.publish(messageTypes.video, timestamp, '2701000000', length)
  }
  sound(timestamp: number, length = 300): void {
    this.publish(messageTypes.audio, timestamp, 'af01', length)
  }

  /** Until everything that is in the log has arrived. */
  async settle(outputs = this.outputs): Promise<void> {
    const until = performance.now() + 20_000
    const isDone = () => outputs.every(({ sender, bytes }) => sender.cursor.atEdge && bytes >= sender.bytesSent)
    do {
      if (performance.now() > until) throw new Error('something does not arrive')
      await sleep(1)
    } while (!isDone())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const output of this.outputs) await output[Symbol.asyncDispose]()
    this.broadcast.close()
  }
}

test('outputs in step go together, and each has what it would have alone: bytes, messages, figures', async () => {
  await using stage = await Stage.live(3)
  // Sound opens its own chunk stream on each connection before they are in step on it.
  for (let time = 10; time < 400; time += 10) {
    if (time % 20 === 0) stage.frame(time)
    else stage.sound(time)
    await loopTurn()
    // One that comes later begins at the key frame.
    if (time === 200) await stage.join(1)
  }
  await stage.settle()
  assert.equal(stage.together, 4)
  for (const { sender, bytes, received } of stage.outputs) {
    assert.equal(sender.bytesSent, bytes)
    assert.equal(sender.cursor.messagesSent, received.length)
    assert.equal(sender.cursor.bytesBehind, 0)
    assert.equal(sender.lagMs, 0)
    assert.equal(sender.deliveredUntil, stage.broadcast.timeline.newest)
    assert.ok(systemClock.monotonicMs() - sender.lastProgressMs < 10_000)
  }
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('an answer to a ping goes out between two chunks, and the others do not notice', async () => {
  await using stage = await Stage.live(3)
  for (let time = 10; time < 500; time += 10) {
    stage.frame(time, 20_000)
    stage.outputs[time % 2]!.sender.sendControl(userControl(7, time))
    await loopTurn()
  }
  // Its answer may have gone out with the last frame before the others had that: it comes back with the next one.
  stage.frame(500)
  await stage.settle()
  assert.equal(stage.outputs.map(({ pings }) => pings).join(), '49,0,0')
  assert.equal(stage.together, 3)
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('a destination that does not read goes on alone, to the byte, and comes back', async () => {
  await using stage = await Stage.live(4)
  const slow = stage.outputs[1]!
  slow.there.pause()
  let time = 0
  for (; !slow.sender.isWaiting && time < 100_000; time += 10) {
    stage.frame(time + 10, 60_000)
    await loopTurn()
  }
  const others = stage.outputs.filter((output) => output !== slow)
  await stage.settle(others)
  assert.equal(stage.together, 3)
  for (const end = time + 500; time < end; time += 10) stage.frame(time + 10, 60_000)
  await stage.settle(others)
  assert.ok(slow.sender.cursor.bytesBehind > 50 * 60_000)
  assert.ok(slow.sender.lagMs >= 490)
  assert.ok(others.every(({ sender }) => sender.lagMs === 0))
  slow.there.resume()
  await stage.settle()
  stage.frame(time + 10)
  await stage.settle()
  assert.equal(stage.together, 4)
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('a connection that is closed, or resets, leaves the others in step', async () => {
  await using stage = await Stage.live(5)
  assert.equal(stage.together, 5)
  const [first, second, third, ...others] = stage.outputs
  first!.here.destroy()
  assert.equal(stage.together, 4, 'the descriptor is given up in that moment')
  second!.there.resetAndDestroy()
  third!.sender.close()
  assert.equal(stage.together, 3)
  await sleep(20)
  for (let time = 10; time < 200; time += 10) {
    stage.frame(time)
    await loopTurn()
  }
  await stage.settle(others)
  assert.equal(stage.together, 2)
  for (const output of others) output.assertHasAllOf(stage.sent)
})

test('a goodbye is said alone: at once after the message under way, or behind everything', async () => {
  await using stage = await Stage.live(3)
  stage.frame(10)
  const said = Promise.all([
    stage.outputs[0]!.sender.leave(Buffer.alloc(0), true),
    stage.outputs[1]!.sender.leave(Buffer.alloc(0), false),
  ])
  await said
  stage.frame(20)
  await stage.settle([stage.outputs[2]!])
  assert.deepEqual(
    stage.outputs.map(({ received }) => received.length),
    [2, 1, 3],
  )
})

test('data on a chunk stream that is new makes them part, and meet again', async () => {
  await using stage = await Stage.live(3)
  for (let time = 10; time < 100; time += 10) {
    stage.publish(messageTypes.amf0Data, time, '020002', 40)
    stage.frame(time)
    await stage.settle()
    assert.equal(stage.together, 3)
  }
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('a burst that is longer than a turn goes out in several, and others come between', async () => {
  await using stage = new Stage()
  await stage.join(2)
  stage.key(0, 3_000_000)
  for (let time = 1; time < 100; time++) stage.sound(time)
  await stage.settle()
  stage.key(1_000, 3_000_000)
  stage.sound(1_001)
  await stage.settle()
  assert.equal(stage.together, 2)
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('where the log goes past all of them, each goes on at a key frame, and counts what it left out', async () => {
  await using stage = await Stage.live(2, { durationMsMax: 1_000, bytesMax: 64 * 1024 * 1024 })
  assert.equal(stage.together, 2)
  // All of it before any of it can be sent.
  for (let time = 10; time < 5_000; time += 10) time % 500 === 0 ? stage.key(time) : stage.frame(time)
  await stage.settle()
  for (const { received, sender } of stage.outputs) {
    assert.equal(received.length + sender.cursor.droppedMessages, stage.sent.length)
    assert.ok(sender.cursor.dropped.overtaken > 300)
    const [, second] = received
    assert.equal(second!.body[0], 0x17)
    const { timestamp, body } = received.at(-1)!
    assert.equal(timestamp, 4_990)
    assert.ok(body.equals(stage.sent.at(-1)!.body))
  }
  assert.equal(stage.together, 2)
})

test('where memory is short, a large message does not take itself for one that somebody has missed', async () => {
  await using stage = new Stage(limits, 6 * slabBytes)
  await stage.join(2)
  stage.key(0)
  let time = 10
  for (; time < 3_000; time += 10) {
    stage.frame(time)
    await loopTurn()
  }
  await stage.settle()
  assert.ok(stage.broadcast.log('received').firstSequence > 0, 'the pool is used up')
  // Its slabs cost the log its oldest ones while it is written.
  stage.key(time, 900_000)
  stage.frame(time + 10)
  await stage.settle()
  for (const { sender } of stage.outputs) assert.equal(sender.cursor.droppedMessages, 0)
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})

test('behind for more than a second, each is on its own: what is left out then is decided for each', async () => {
  await using stage = await Stage.live(2)
  const shared = stage.broadcast.sharedCursor('received')
  for (let time = 10; time < 200; time += 10) stage.frame(time)
  assert.ok(shared.takeTurn(10_000, 1_000))
  assert.ok(shared.takeTurn(10_000, 1_900))
  assert.equal(stage.together, 2)
  assert.equal(shared.takeTurn(10_000, 2_001), false)
  assert.equal(stage.together, 0)
  await stage.settle()
  assert.equal(stage.together, 2)
  for (const output of stage.outputs) output.assertHasAllOf(stage.sent)
})
