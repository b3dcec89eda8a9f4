import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../clock.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Broadcast } from './broadcast.ts'
import { FeedHealth } from './feed-health.ts'
import { headerBytesMax, headerCountMax, type MediaHeaders, withHeader } from './media-headers.ts'
import { lanes } from './media-log.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool } from './slab-pool.ts'

const key = Buffer.from('1701000000aaaa', 'hex')

function newBroadcast(): Broadcast {
  const limits = { durationMsMax: 15_000, bytesMax: 64 * 1024 * 1024 }
  const pool = new SlabPool(64 * 1024 * 1024)
  return new Broadcast(pool, limits, new Pump(systemClock, noRests), new FeedHealth(systemClock, 12_000))
}

const message = (type: number, body: Buffer) => ({ chunkStreamId: 4, type, timestamp: 0, messageStreamId: 1, body })

function sequenceHeader(bytes: number): Buffer {
  const body = Buffer.alloc(bytes)
  body[0] = 0x17
  return body
}

test('what is larger is passed on and not kept', () => {
  for (const [bytes, kept] of [
    [headerBytesMax, 1],
    [headerBytesMax + 1, 0],
  ] as const) {
    const broadcast = newBroadcast()
    const feed = broadcast.feed()
    feed.publish(message(messageTypes.video, sequenceHeader(bytes)))
    feed.publish(message(messageTypes.video, key))
    const log = broadcast.log('received')
    assert.equal(broadcast.headers.length, kept)
    assert.equal(log.bodyBytesOf(log.firstSequence), bytes)
    broadcast.close()
  }
})

test('there is room for so many slots; one that is known can always be replaced', () => {
  const header = (slot: number, value: number) => ({
    slot: `video:${slot}`,
    lane: lanes.video,
    type: 9,
    body: Buffer.of(value),
  })
  let headers: MediaHeaders = []
  for (let slot = 0; slot < 1_000; slot++) headers = withHeader(headers, header(slot, 0))
  assert.equal(headers.length, headerCountMax)
  assert.equal(withHeader(headers, header(5_000, 1)), headers)
  assert.ok(withHeader(headers, header(0, 7)).some(({ body }) => body[0] === 7))
})

test('an encoder that waits has so many headers remembered', () => {
  const broadcast = newBroadcast()
  broadcast.feed().publish(message(messageTypes.video, key))
  const log = broadcast.log('received')
  const before = log.nextSequence
  const second = broadcast.feed()
  for (let index = 0; index < 500; index++) {
    const name = Buffer.from('onMetaData')
    const body = Buffer.concat([Buffer.of(2, 0, name.length), name, Buffer.of(0), Buffer.alloc(8, index + 1)])
    second.publish(message(messageTypes.amf0Data, body))
  }
  assert.equal(log.nextSequence, before)
  second.publish(message(messageTypes.video, key))
  assert.equal(log.nextSequence - before, 40 + 1)
  broadcast.close()
})
