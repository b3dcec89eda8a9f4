import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChunkReader, publisherLimits } from '../rtmp/chunk-reader.ts'
import { Cursor } from './cursor.ts'
import { chunkStreamOf, lanes, MediaLog, messageFlags } from './media-log.ts'
import { SlabPool, slabBytes } from './slab-pool.ts'

type Sent = { lane: number; time: number; flags: number; body: Buffer; type: number }
type Received = { chunkStreamId: number; timestamp: number; body: Buffer; type: number }

const typeOfLane = [9, 8, 18]

/** A body that names its message, so that a mix-up shows. */
function bodyOf(number: number, length: number): Buffer {
  const body = Buffer.alloc(length, number & 0xff)
  if (length >= 4) body.writeUInt32BE(number)
  return body
}

class Receiver {
  readonly messages: Received[] = []
  readonly #reader = new ChunkReader({ ...publisherLimits, messageBytesMax: 0xffffff, partialBytesMax: 2 ** 30 })

  constructor() {
    // The connection announces its chunk size before anything else.
    this.#reader.push(Buffer.from('02000000000004010000000000001000', 'hex'), () => {})
  }

  take(bytes: Buffer): void {
    this.#reader.push(Buffer.from(bytes), (message) => {
      this.messages.push({ ...message, body: Buffer.from(message.body) })
    })
  }
}

function read(cursor: Cursor, receiver: Receiver, limit = 64 * 1024): number {
  let bytes = 0
  for (;;) {
    const piece = cursor.next(limit)
    if (piece === undefined) return bytes
    bytes += piece.bytes.length
    receiver.take(piece.bytes)
    cursor.pieceTaken()
  }
}

function makeLog(durationMsMax = 60_000, bytesMax = 8 * 1024 * 1024) {
  const pool = new SlabPool(bytesMax * 4)
  return { pool, log: new MediaLog(pool, { durationMsMax, bytesMax }) }
}

test('an output that starts at a key frame gets headers at 0, then the media with the source’s distances', () => {
  const { pool, log } = makeLog()
  const header = { slot: 'video:0', lane: lanes.video, type: 9, body: Buffer.from('1700000000', 'hex') }
  const audioHeader = { slot: 'audio:0', lane: lanes.audio, type: 8, body: Buffer.from('af00', 'hex') }
  log.append(lanes.audio, 8, 1000, 0, bodyOf(1, 100), [audioHeader, header])
  log.append(lanes.video, 9, 1003, messageFlags.video, bodyOf(2, 100))
  log.append(lanes.audio, 8, 1020, 0, bodyOf(3, 100))
  const key = log.append(lanes.video, 9, 1036, messageFlags.video | messageFlags.key, bodyOf(4, 9000))
  log.append(lanes.audio, 8, 1030, 0, bodyOf(5, 100))
  log.append(lanes.audio, 8, 1043, 0, bodyOf(6, 100))
  log.append(lanes.video, 9, 1069, messageFlags.video, bodyOf(7, 5000))
  const cursor = new Cursor(log, pool, 1)
  cursor.start(key)
  const receiver = new Receiver()
  read(cursor, receiver)
  assert.deepEqual(
    receiver.messages.map(({ timestamp, type, body }) => [type, timestamp, body.length]),
    [
      [8, 0, 2],
      [9, 0, 5],
      [9, 0, 9000],
      // The sound at 1030 lies before the start and is left out.
      [8, 7, 100],
      [9, 33, 5000],
    ],
  )
  assert.equal(cursor.droppedMessages, 1)
  assert.deepEqual(cursor.dropped, { lag: 0, overtaken: 0, late: 1 })
})

test('in step, slices are views of the log’s own memory and nothing is copied', () => {
  const { pool, log } = makeLog()
  log.append(lanes.video, 9, 0, messageFlags.video | messageFlags.key, bodyOf(0, 1000))
  log.append(lanes.audio, 8, 0, 0, bodyOf(1, 100))
  const cursors = Array.from({ length: 50 }, () => new Cursor(log, pool, 1))
  for (const cursor of cursors) {
    cursor.start(0)
    read(cursor, new Receiver())
  }
  const before = log.bytesAppended
  let own = 0
  const slabs = new Set<ArrayBufferLike>()
  for (let frame = 1; frame <= 300; frame++) {
    log.append(lanes.video, 9, frame * 16, messageFlags.video, bodyOf(frame, 25_000))
    log.append(lanes.audio, 8, frame * 16, 0, bodyOf(frame, 200))
    for (let at = log.end - 1; ; ) {
      slabs.add(log.slabAt(at).bytes.buffer)
      break
    }
    for (const cursor of cursors)
      for (let piece = cursor.next(65536); piece !== undefined; piece = cursor.next(65536)) {
        if (piece.slab === undefined || piece.bytes.buffer !== piece.slab.bytes.buffer) own += piece.bytes.length
        cursor.pieceTaken()
      }
  }
  assert.equal(own, 0, 'bytes made for one output')
  assert.equal(log.bytesAppended - before, 300 * 25_200, 'each body byte is copied once')
  assert.ok(slabs.size > 1)
})

test('a cursor that the tail overtakes finishes its message and goes on at a key frame', () => {
  const { pool, log } = makeLog(1_000_000, 8 * slabBytes)
  const sent: Sent[] = []
  const append = (lane: number, time: number, flags: number, length: number) => {
    const body = bodyOf(sent.length, length)
    log.append(lane, typeOfLane[lane]!, time, flags, body)
    sent.push({ lane, time, flags, body, type: typeOfLane[lane]! })
  }
  append(lanes.video, 0, messageFlags.video | messageFlags.key, 60_000)
  const cursor = new Cursor(log, pool, 1)
  cursor.start(0)
  const receiver = new Receiver()
  // Half of the first message, then nothing for as long as the log holds.
  for (let index = 0; index < 3; index++) {
    receiver.take(cursor.next(10_000)!.bytes)
    cursor.pieceTaken()
  }
  for (let frame = 1; frame < 75; frame++) {
    append(lanes.video, frame * 33, messageFlags.video | (frame % 20 === 0 ? messageFlags.key : 0), 60_000)
    append(lanes.audio, frame * 33 + 5, 0, 300)
  }
  read(cursor, receiver)
  assert.ok(log.firstSequence > 1)
  const [first, ...rest] = receiver.messages
  assert.deepEqual(first!.body, sent[0]!.body, 'the message under way arrives whole')
  const video = rest.find((message) => message.type === 9)!
  const source = sent[video.body.readUInt32BE()]!
  assert.ok(source.flags & messageFlags.key, 'video goes on at a key frame')
  for (const message of receiver.messages) {
    const number = message.body.readUInt32BE()
    assert.equal(message.timestamp, sent[number]!.time)
    assert.deepEqual(message.body, sent[number]!.body)
  }
  assert.ok(cursor.droppedMessages > 0 && cursor.droppedMs > 0)
  assert.deepEqual(cursor.dropped, { lag: 0, overtaken: cursor.droppedMessages, late: 0 })
})

test('a cursor that jumps leaves out the pictures on its way, and says that it was too far behind', () => {
  const { pool, log } = makeLog()
  for (let frame = 0; frame < 10; frame++) {
    log.append(
      lanes.video,
      9,
      frame * 33,
      messageFlags.video | (frame % 5 === 0 ? messageFlags.key : 0),
      bodyOf(frame, 100),
    )
    log.append(lanes.audio, 8, frame * 33, 0, bodyOf(frame, 100))
  }
  const cursor = new Cursor(log, pool, 1)
  cursor.start(0)
  assert.ok(cursor.jumpAhead())
  const receiver = new Receiver()
  read(cursor, receiver)
  const video = receiver.messages.filter(({ type }) => type === 9).map(({ timestamp }) => timestamp)
  assert.deepEqual(video, [165, 198, 231, 264, 297])
  assert.deepEqual([cursor.droppedMessages, cursor.dropped], [5, { lag: 5, overtaken: 0, late: 0 }])
})

test('a header that was lost with the tail is sent before the next frame', () => {
  const { pool, log } = makeLog(1_000_000, 8 * slabBytes)
  const header = (text: string) => ({ slot: 'video:0', lane: lanes.video, type: 9, body: Buffer.from(text) })
  const put = (time: number, flags: number) =>
    log.append(lanes.video, 9, time, messageFlags.video | flags, bodyOf(time, 60_000))
  log.append(lanes.video, 9, 0, messageFlags.video | messageFlags.header, Buffer.from('first'), [header('first')])
  put(0, messageFlags.key)
  const cursor = new Cursor(log, pool, 1)
  cursor.start(1)
  const receiver = new Receiver()
  read(cursor, receiver)
  put(33, 0)
  log.append(lanes.video, 9, 40, messageFlags.video | messageFlags.header, Buffer.from('second'), [header('second')])
  for (let frame = 2; frame < 55; frame++) put(frame * 33, frame % 10 === 0 ? messageFlags.key : 0)
  read(cursor, receiver)
  const bodies = receiver.messages.map(({ body }) => (body.length < 10 ? body.toString() : 'frame'))
  assert.equal(bodies[0], 'first')
  assert.equal(bodies.filter((body) => body === 'second').length, 1)
  assert.equal(bodies[bodies.indexOf('second') + 1], 'frame')
  assert.equal(bodies.indexOf('second'), 2, 'directly before the key frame at which it goes on')
})

test('a header from before the start comes before the next frame of its lane', () => {
  const { pool, log } = makeLog()
  log.append(lanes.video, 9, 100, messageFlags.video | messageFlags.key, bodyOf(1, 50))
  const cursor = new Cursor(log, pool, 1)
  cursor.start(0)
  const body = Buffer.from('af001190', 'hex')
  log.append(lanes.audio, 8, 93, messageFlags.header, body, [{ slot: 'audio:0', lane: lanes.audio, type: 8, body }])
  log.append(lanes.audio, 8, 96, 0, bodyOf(2, 60))
  log.append(lanes.audio, 8, 120, 0, bodyOf(3, 70))
  const receiver = new Receiver()
  read(cursor, receiver)
  assert.deepEqual(
    receiver.messages.map(({ type, timestamp, body }) => [type, timestamp, body.length]),
    [
      [9, 0, 50],
      [8, 20, 4],
      [8, 20, 70],
    ],
  )
})

test('deltas that need an extended timestamp are never shared: a data message after hours, an output past 0xFFFFFF', () => {
  const { pool, log } = makeLog(1e12)
  const hours = 5 * 3600_000
  log.append(lanes.data, 18, 0, 0, bodyOf(1, 20))
  log.append(lanes.video, 9, 0, messageFlags.video | messageFlags.key, bodyOf(2, 9000))
  const cursor = new Cursor(log, pool, 1)
  cursor.start(1)
  const receiver = new Receiver()
  read(cursor, receiver)
  for (let time = 1; time <= 4; time++) {
    log.append(lanes.video, 9, (hours * time) / 4, messageFlags.video, bodyOf(10 + time, 9000))
    read(cursor, receiver)
  }
  log.append(lanes.data, 18, hours, 0, bodyOf(20, 6000))
  log.append(lanes.video, 9, hours + 33, messageFlags.video | messageFlags.key, bodyOf(21, 9000))
  log.append(lanes.data, 18, hours + 50, 0, bodyOf(22, 20))
  read(cursor, receiver)
  assert.deepEqual(
    receiver.messages.map(({ timestamp, body }) => [body.readUInt32BE(), timestamp]),
    [
      [2, 0],
      [11, hours / 4],
      [12, hours / 2],
      [13, (hours * 3) / 4],
      [14, hours],
      [20, hours],
      [21, hours + 33],
      [22, hours + 50],
    ],
  )
})

test('control messages come between chunks, wherever the cursor stands', () => {
  const { pool, log } = makeLog()
  for (let frame = 0; frame < 6; frame++)
    log.append(lanes.video, 9, frame, messageFlags.video | (frame === 0 ? messageFlags.key : 0), bodyOf(frame, 20_000))
  for (const limit of [1, 7, 4096, 4097, 5000, 65536]) {
    const cursor = new Cursor(log, pool, 1)
    cursor.start(0)
    const receiver = new Receiver()
    let pings = 0
    for (let turn = 0; ; turn++) {
      if (turn % 3 === 1 && pings < 40) {
        cursor.sendControl(Buffer.from('02000000000006040000000000070000002a', 'hex'))
        pings++
      }
      const piece = cursor.next(limit)
      if (piece === undefined) break
      receiver.take(piece.bytes)
      cursor.pieceTaken()
    }
    const video = receiver.messages.filter(({ type }) => type === 9)
    assert.deepEqual(
      video.map(({ body }) => body),
      Array.from({ length: 6 }, (_, frame) => bodyOf(frame, 20_000)),
    )
    assert.equal(receiver.messages.length - video.length, pings, `limit ${limit}`)
    cursor.close()
  }
})

test('whatever starts, stalls, jumps and overtaking do: what arrives is the source’s, in order, at the source’s distances', () => {
  const message = fc.record({
    lane: fc.constantFrom(0, 0, 0, 1, 1, 2, 3),
    step: fc.integer({ min: 0, max: 60 }),
    key: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
    length: fc.oneof(
      fc.integer({ min: 4, max: 300 }),
      fc.integer({ min: 4000, max: 4200 }),
      fc.integer({ min: 4, max: 90_000 }),
    ),
  })
  const action = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('read' as const),
        limit: fc.integer({ min: 1, max: 70_000 }),
        times: fc.integer({ min: 1, max: 8 }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        messages: fc.array(message, { minLength: 1, maxLength: 12 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('jump' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drain' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('control' as const) }) },
  )
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 60 }), (actions) => {
      const { pool, log } = makeLog(1e9, 3 * slabBytes)
      const sent: Sent[] = []
      const laneTimes = [0, 0, 0, 0]
      let clock = 0
      const append = (lane: number, step: number, key: boolean, length: number) => {
        clock += step
        const time = Math.max(laneTimes[lane]!, clock - (lane === 1 ? 7 : 0))
        laneTimes[lane] = time
        const flags = lane === 0 ? messageFlags.video | (key ? messageFlags.key : 0) : 0
        const body = bodyOf(sent.length, length)
        const type = typeOfLane[lane] ?? 9
        log.append(lane, type, time, flags, body)
        sent.push({ lane, time, flags, body, type })
      }
      append(2, 0, false, 40)
      append(0, 10, true, 5000)
      const cursor = new Cursor(log, pool, 1)
      cursor.start(1)
      const base = sent[1]!.time
      const receiver = new Receiver()
      let controls = 0
      for (const one of actions) {
        switch (one.kind) {
          case 'append':
            for (const { lane, step, key, length } of one.messages) append(lane, step, key, length)
            break
          case 'read':
            for (let time = 0; time < one.times; time++) {
              const piece = cursor.next(one.limit)
              if (piece === undefined) break
              receiver.take(piece.bytes)
              cursor.pieceTaken()
            }
            break
          case 'jump':
            cursor.jumpAhead()
            break
          case 'control':
            cursor.sendControl(Buffer.from('02000000000006040000000000070000002a', 'hex'))
            controls++
            break
          case 'drain':
            read(cursor, receiver)
            break
        }
      }
      read(cursor, receiver)
      const media = receiver.messages.filter(({ type }) => type !== 4)
      assert.equal(receiver.messages.length - media.length, controls)
      let previous = -1
      let skipped = false
      let lastVideo = 0
      for (const { body, timestamp, type, chunkStreamId } of media) {
        const number = body.readUInt32BE()
        const source = sent[number]!
        assert.ok(number > previous, 'in order, none twice')
        assert.deepEqual(body, source.body)
        assert.equal(type, source.type)
        assert.equal(chunkStreamId, chunkStreamOf(source.lane))
        assert.equal(timestamp, source.time - base)
        if (source.lane === 0) {
          skipped = sent.some(
            (other, index) => index > Math.max(lastVideo, 0) && index < number && other.lane === 0 && index > 1,
          )
          if (skipped) assert.ok(source.flags & messageFlags.key, 'after a gap video goes on at a key frame')
          lastVideo = number
        }
        previous = number
      }
      // Once everything is read, what is not there was counted.
      const eligible = sent.length - 1
      assert.equal(media.length + cursor.droppedMessages, eligible)
      const { lag, overtaken, late } = cursor.dropped
      assert.equal(lag + overtaken + late, cursor.droppedMessages, 'each for one reason')
      cursor.close()
      log.close()
      assert.equal(pool.bytesInUse, 0, 'every slab is let go')
    }),
    { numRuns: 400 },
  )
})

test('a flood of tiny key frames and headers is held within the memory of the log, and costs the same for each', () => {
  const bytesMax = 16 * 1024 * 1024
  // A slab goes as a whole, with the 16,384 messages of this kind that it holds.
  const oneSlabBytesMax = 6 * 1024 * 1024
  const { log } = makeLog(60_000, bytesMax)
  const others = Array.from({ length: 32 }, (_, track) => ({
    slot: `audio:${track}`,
    lane: lanes.audio,
    type: 8,
    body: bodyOf(track, 5),
  }))
  // All at one time, so that nothing goes for its age.
  for (let number = 0; number < 300_000; number++) {
    const body = bodyOf(number, 8)
    const headers = number % 3 === 0 ? [{ slot: 'video:0', lane: lanes.video, type: 9, body }, ...others] : undefined
    log.append(lanes.video, 9, 0, messageFlags.video | messageFlags.key, body, headers)
    assert(log.bytes <= bytesMax + oneSlabBytesMax)
  }
  const kept = log.nextSequence - log.firstSequence
  assert(kept > 16_384 && kept < 70_000, `${kept} messages`)
  assert.equal(log.newestKey, log.nextSequence - 1)
  assert.equal(log.headersAt(log.firstSequence)[0]?.slot, 'video:0')
})
