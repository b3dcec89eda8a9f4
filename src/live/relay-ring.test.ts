import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Message } from '../rtmp/message.ts'
import { type HowLeft, makeRelayRing, RelayReader, RelayRings, RelayWriter } from './relay-ring.ts'

type Sent = { readonly type: number; readonly timestamp: number; readonly body: Buffer }

/** Both ends in one thread; who is woken runs when the test says so. */
function setUp(capacity: number) {
  const ring = makeRelayRing(capacity)
  const received: Sent[] = []
  const left: HowLeft[] = []
  const due = { wake: 0, room: 0 }
  const writer = new RelayWriter(ring, () => due.wake++)
  const reader = new RelayReader(ring, {
    onMessage: ({ type, timestamp, body }: Message) => received.push({ type, timestamp, body: Buffer.from(body) }),
    onLeft: (how) => left.push(how),
    giveRoom: () => due.room++,
  })
  const settle = () => {
    while (due.wake + due.room > 0) {
      if (due.wake > 0) {
        due.wake = 0
        reader.drain()
      }
      if (due.room > 0) {
        due.room = 0
        writer.resume()
      }
    }
  }
  return { writer, reader, received, left, due, settle }
}

const message = fc.record({
  type: fc.constantFrom(8, 9, 18),
  timestamp: fc.nat(0xffffffff),
  body: fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
})

test('whatever is written arrives, whole and in order, however small the ring and whoever runs when', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(message, fc.boolean()), { maxLength: 60 }), (steps) => {
      const { writer, received, left, settle } = setUp(256)
      for (const [{ type, timestamp, body }, settles] of steps) {
        writer.write(type, timestamp, body)
        if (settles) settle()
      }
      writer.leave('goodbye')
      settle()
      assert.deepEqual(
        received,
        steps.map(([sent]) => ({ ...sent })),
      )
      assert.deepEqual(left, ['goodbye'])
      assert.equal(writer.isFull, false)
    }),
  )
})

test('a reader that is awake is not woken; one that sleeps is woken once', () => {
  const { writer, due, settle } = setUp(4096)
  for (let index = 0; index < 5; index++) writer.write(9, index, Buffer.alloc(10))
  assert.equal(due.wake, 1)
  settle()
  writer.write(9, 6, Buffer.alloc(10))
  assert.equal(due.wake, 1)
})

test('a body is handed out where it lies', () => {
  const ring = makeRelayRing(4096)
  let seen: ArrayBufferLike | undefined
  const reader = new RelayReader(ring, {
    onMessage: ({ body }) => {
      seen = body.buffer
    },
    onLeft: () => {},
    giveRoom: () => {},
  })
  new RelayWriter(ring, () => reader.drain()).write(9, 0, Buffer.alloc(1000, 7))
  assert.equal(seen, ring)
})

test('a full ring says so, and says when there is room again', () => {
  const { writer, received, due, settle } = setUp(256)
  assert.equal(writer.write(9, 0, Buffer.alloc(200, 1)), true)
  assert.equal(writer.write(9, 1, Buffer.alloc(200, 2)), false)
  assert.equal(due.room, 0)
  settle()
  assert.equal(writer.isFull, false)
  assert.deepEqual(
    received.map(({ timestamp, body }) => [timestamp, body.length]),
    [
      [0, 200],
      [1, 200],
    ],
  )
})

test('a ring that is given back is the next publisher’s, from its beginning', () => {
  const rings = new RelayRings()
  const ring = rings.take()
  const received: number[] = []
  const use = (timestamp: number) => {
    const reader = new RelayReader(rings.take(), {
      onMessage: (message) => received.push(message.timestamp),
      onLeft: () => {},
      giveRoom: () => {},
    })
    new RelayWriter(ring, () => reader.drain()).write(9, timestamp, Buffer.alloc(100))
  }
  rings.giveBack(ring)
  use(1)
  rings.giveBack(ring)
  use(2)
  assert.deepEqual(received, [1, 2])
  assert.notEqual(rings.take(), ring)
})

test('sixteen rings are kept for later use, and no more', () => {
  const rings = new RelayRings()
  const taken = Array.from({ length: 20 }, () => rings.take())
  for (const ring of taken) rings.giveBack(ring)
  assert.equal(rings.idleBytes, 16 * taken[0]!.byteLength)
})
