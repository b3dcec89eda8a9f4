import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { decodeFlv, type FlvTag } from '../../test/support/flv.ts'
import type { Bus } from '../bus/bus.ts'
import { InProcessBus } from '../bus/in-process-bus.ts'
import { PortBus, serveBus } from '../bus/port-bus.ts'
import { systemClock } from '../clock.ts'
import type { LiveInputId } from '../model/id.ts'
import { previewSubject } from '../model/preview.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Broadcast, type PublisherFeed } from './broadcast.ts'
import { FeedHealth } from './feed-health.ts'
import { servePreviews } from './preview-stream.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

/** Without its bytes a viewer waits for ever. */
const timeout = 30_000
const input = '0123456789abcdef0123456789abcdef' as LiveInputId
const onError = (error: unknown) => {
  throw error
}
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const avcHeader = hex('17 00 000000 0142001e')
const aacHeader = hex('af 00 1190')
const hevcHeader = hex('90 68766331 01')
const orderedMetadata = Buffer.concat([
  hex('02 000d'),
  Buffer.from('@setDataFrame'),
  hex('02 000a'),
  Buffer.from('onMetaData'),
  hex('05'),
])
const plainMetadata = orderedMetadata.subarray(16)
const key = (filler: number) => Buffer.concat([hex('17 01 000000'), Buffer.alloc(filler, 0xaa)])
const frame = (filler: number) => Buffer.concat([hex('27 01 000000'), Buffer.alloc(filler, 0xbb)])
const sound = hex('af 01 2110')

type Stage = {
  readonly bus: InProcessBus
  readonly broadcast: Broadcast
  readonly feed: PublisherFeed
  readonly end: () => void
  publish(type: number, timestamp: number, body: Buffer): void
  [Symbol.asyncDispose](): Promise<void>
}

function open(bytesMax = 32 * 1024 * 1024): Stage {
  const bus = new InProcessBus({ onError })
  const limits = { durationMsMax: 15_000, bytesMax }
  const pool = new SlabPool(64 * 1024 * 1024)
  const broadcast = new Broadcast(pool, limits, new Pump(systemClock, noRests), new FeedHealth(systemClock, 12_000))
  const end = servePreviews(bus, input, broadcast)
  const feed = broadcast.feed()
  return {
    bus,
    broadcast,
    feed,
    end,
    publish: (type, timestamp, body) =>
      void feed.publish({ chunkStreamId: 4, type, timestamp, messageStreamId: 1, body }),
    async [Symbol.asyncDispose]() {
      end()
      broadcast.close()
      await bus.close()
    },
  }
}

const video = messageTypes.video
const audio = messageTypes.audio

function begin({ publish }: Stage): void {
  publish(messageTypes.amf0Data, 0, orderedMetadata)
  publish(video, 0, avcHeader)
  publish(audio, 0, aacHeader)
}

/** Reads as fast as it is told to. */
class Viewer {
  readonly #bytes: AsyncIterator<Uint8Array>
  readonly #leaving = new AbortController()
  readonly #read: Uint8Array[] = []

  constructor(bus: Bus, creditBytes = 1024 * 1024) {
    const { signal } = this.#leaving
    this.#bytes = bus.stream(previewSubject(input), null, { creditBytes, signal })[Symbol.asyncIterator]()
  }

  /** @returns false at the end. */
  async readOne(): Promise<boolean> {
    const { done, value } = await this.#bytes.next()
    if (!done) this.#read.push(value)
    return !done
  }

  async readUntil(fits: (tags: readonly FlvTag[]) => boolean): Promise<readonly FlvTag[]> {
    while (this.#read.length === 0 || !fits(this.tags)) assert.ok(await this.readOne(), 'the stream has ended')
    return this.tags
  }

  async readAll(): Promise<readonly FlvTag[]> {
    while (await this.readOne()) {}
    return this.tags
  }

  get tags(): readonly FlvTag[] {
    return decodeFlv(Buffer.concat(this.#read))
  }

  async leave(): Promise<void> {
    this.#leaving.abort()
    await this.#bytes.return?.()
  }
}

const rows = (tags: readonly FlvTag[]) =>
  tags.map(({ type, timestamp, body }) => `${type} ${timestamp} ${body.toString('hex').slice(0, 10)}`)

test('headers in force at 0, then the newest key frame and all that follows it, untouched', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  stage.publish(video, 1_000, key(4))
  stage.publish(audio, 1_010, sound)
  stage.publish(video, 1_040, frame(4))
  stage.publish(video, 3_000, key(5))
  // Interleaved, older than the picture that it begins with.
  stage.publish(audio, 2_990, sound)
  stage.publish(audio, 3_010, sound)
  const viewer = new Viewer(stage.bus)
  const tags = await viewer.readUntil(({ length }) => length === 5)
  assert.deepEqual(rows(tags), [
    `18 0 ${plainMetadata.toString('hex').slice(0, 10)}`,
    '8 0 af001190',
    '9 0 1700000000',
    '9 0 1701000000',
    '8 10 af012110',
  ])
  assert.deepEqual(tags[0]?.body, plainMetadata)
  stage.publish(video, 3_040, frame(9_000))
  const more = await viewer.readUntil(({ length }) => length === 6)
  assert.deepEqual(more[5], { type: 9, timestamp: 40, body: frame(9_000) })
  await viewer.leave()
})

test('who comes before the first key frame waits for it', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  const viewer = new Viewer(stage.bus)
  const reading = viewer.readUntil(({ length }) => length === 4)
  stage.publish(video, 500, frame(4))
  stage.publish(video, 540, key(4))
  assert.deepEqual(rows(await reading).at(-1), '9 0 1701000000')
})

test('Enhanced RTMP goes through as it came', { timeout }, async () => {
  await using stage = open()
  const hevcKey = hex('91 68766331 000000 0000000126')
  const hevcFrame = hex('a3 68766331 0000000102')
  stage.publish(video, 0, hevcHeader)
  stage.publish(video, 0, hevcKey)
  stage.publish(video, 33, hevcFrame)
  const viewer = new Viewer(stage.bus)
  const tags = await viewer.readUntil(({ length }) => length === 3)
  assert.deepEqual(
    tags.map(({ body }) => body),
    [hevcHeader, hevcKey, hevcFrame],
  )
})

test('the end of the broadcast ends the stream, after its last message; nothing is served then', {
  timeout,
}, async () => {
  await using stage = open()
  begin(stage)
  stage.publish(video, 0, key(4))
  const viewer = new Viewer(stage.bus)
  await viewer.readUntil(({ length }) => length === 4)
  stage.publish(video, 40, frame(4))
  stage.end()
  assert.equal(rows(await viewer.readAll()).at(-1), '9 40 2701000000')
  await assert.rejects(new Viewer(stage.bus).readOne(), { code: 'no_responder' })
})

test('another codec in the middle ends the stream, for the player to begin anew', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  stage.publish(video, 0, key(4))
  const viewer = new Viewer(stage.bus)
  await viewer.readUntil(({ length }) => length === 4)
  stage.publish(video, 40, hevcHeader)
  stage.publish(video, 40, hex('91 68766331 000000 0000000126'))
  assert.equal((await viewer.readAll()).length, 4)
  const next = await new Viewer(stage.bus).readUntil(({ length }) => length === 4)
  assert.ok(next.some(({ body }) => body.equals(hevcHeader)))
})

test('a new sequence header of the same codec is told where it comes', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  stage.publish(video, 0, key(4))
  const viewer = new Viewer(stage.bus)
  await viewer.readUntil(({ length }) => length === 4)
  const other = hex('17 00 000000 0142002a')
  stage.publish(video, 40, other)
  stage.publish(video, 40, key(5))
  const tags = await viewer.readUntil(({ length }) => length === 6)
  assert.deepEqual(tags[4]?.body, other)
})

for (const [name, bytesMax] of [
  ['is behind for too long', 32 * 1024 * 1024],
  ['is passed by the end of the log', 512 * 1024],
] as const)
  test(`a viewer who ${name} goes forward to a key frame, and nothing is kept for it meanwhile`, {
    timeout,
  }, async () => {
    await using stage = open(bytesMax)
    begin(stage)
    stage.publish(video, 0, key(1_000))
    const viewer = new Viewer(stage.bus, 4_096)
    await viewer.readUntil(({ length }) => length >= 4)
    const other = hex('17 00 000000 0142002a')
    for (let time = 40; time <= 10_000; time += 40) {
      if (time === 6_000) stage.publish(video, time, other)
      stage.publish(video, time, time % 2_000 === 0 ? key(20_000) : frame(20_000))
      stage.publish(audio, time + 10, sound)
      if (time % 400 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const newestKey = 10_000
    await viewer.readUntil((tags) => tags.some(({ body }) => body.equals(sound)) && tags.length > 6)
    stage.publish(video, newestKey + 40, frame(77))
    const tags = await viewer.readUntil((tags) => tags.at(-1)?.body.equals(frame(77)) ?? false)
    // Left out: most of 250 pictures. No time goes backwards, none stands still for long, and the last one is near.
    assert.ok(tags.length < 150, `${tags.length} tags`)
    const times = tags.map(({ timestamp }) => timestamp)
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    )
    for (const [index, time] of times.entries()) assert.ok(time - (times[index - 1] ?? 0) <= 100, times.join(' '))
    // After the jump: the header that came meanwhile, then a key frame.
    const jumpedTo = tags.findIndex(({ body }) => body.equals(other))
    assert.ok(jumpedTo > 0)
    assert.equal(tags[jumpedTo + 1]?.body[0], 0x17)
    // What has not changed is not told again.
    assert.equal(tags.filter(({ type }) => type === messageTypes.amf0Data).length, 1)
    assert.equal(tags.filter(({ body }) => body.equals(aacHeader)).length, 1)
    assert.equal(tags.at(-1)!.timestamp - tags.findLast(({ body }) => body[0] === 0x17)!.timestamp, 40)
    await viewer.leave()
  })

test('without credit a viewer gets no more than was agreed, however much is published', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  let sent = 0
  const counting: Pick<Bus, 'serveStream'> = {
    serveStream: (subject, handler) =>
      stage.bus.serveStream(subject, (message, sink) =>
        handler(message, {
          get signal() {
            return sink.signal
          },
          write(bytes) {
            sent += bytes.length
            return sink.write(bytes)
          },
          set onDrain(callback: (() => void) | undefined) {
            sink.onDrain = callback
          },
          get onDrain() {
            return sink.onDrain
          },
          end: (error) => sink.end(error),
        }),
      ),
  }
  const end = servePreviews(counting, input, stage.broadcast)
  stage.publish(video, 0, key(10))
  const viewer = new Viewer(stage.bus, 10_000)
  await viewer.readOne()
  for (let time = 40; time < 4_000; time += 40) stage.publish(video, time, frame(5_000))
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(sent > 5_000 && sent < 10_000 + 3 * 5_100, `${sent} bytes`)
  await viewer.leave()
  end()
})

test('the same from another thread, over a port', { timeout }, async () => {
  await using stage = open()
  begin(stage)
  stage.publish(video, 0, key(100))
  const { port1, port2 } = new MessageChannel()
  serveBus(stage.bus, port1)
  const remote = new PortBus(port2, { onError })
  const viewer = new Viewer(remote)
  assert.equal((await viewer.readUntil(({ length }) => length === 4)).length, 4)
  const closed = once(port1, 'close')
  await remote.close()
  await closed
})
