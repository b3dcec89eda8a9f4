import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { systemClock } from '../clock.ts'
import { EcmaArray, writeAmf0Values } from '../rtmp/amf0.ts'
import { ChunkReader, publisherLimits } from '../rtmp/chunk-reader.ts'
import { messageTypes } from '../rtmp/message.ts'
import { Broadcast } from './broadcast.ts'
import { Cursor } from './cursor.ts'
import { FeedHealth } from './feed-health.ts'
import { lanes, type MediaLog, messageFlags } from './media-log.ts'
import { noRests, Pump } from './pump.ts'
import { SlabPool, slabBytes } from './slab-pool.ts'

const pool = new SlabPool(64 * 1024 * 1024)

function newBroadcast(limits = { durationMsMax: 15_000, bytesMax: 8 * 1024 * 1024 }, slabs = pool): Broadcast {
  return new Broadcast(slabs, limits, new Pump(systemClock, noRests), new FeedHealth(systemClock, 12_000))
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const message = (type: number, timestamp: number, body: Buffer) => ({
  chunkStreamId: 4,
  type,
  timestamp,
  messageStreamId: 1,
  body,
})
const video = (timestamp: number, body: string) => message(messageTypes.video, timestamp, hex(body))
const audio = (timestamp: number, body: string) => message(messageTypes.audio, timestamp, hex(body))

const avcHeader = '17 00 000000 0142001e'
const avcKey = '17 01 000000 aaaa'
const avcFrame = '27 01 000000 bbbb'
const avcEnd = '17 02 000000'
const aacHeader = 'af 00 1190'
const aacFrame = 'af 01 2110'
const metadata = message(
  messageTypes.amf0Data,
  0,
  Buffer.concat([hex('02 000a'), Buffer.from('onMetaData'), hex('05')]),
)

function told(log: MediaLog): string[] {
  const rows: string[] = []
  for (let sequence = log.firstSequence; sequence < log.nextSequence; sequence++)
    rows.push(`${log.timestampOf(sequence)} ${log.copyBody(sequence).toString('hex')}`)
  return rows
}

const plainHex = (text: string) => text.replaceAll(' ', '')

test('the bitrate of a feed is what its metadata says, until it is measured', () => {
  const clock = new ManualClock()
  const health = new FeedHealth(clock, 12_000)
  const pump = new Pump(systemClock, noRests)
  const broadcast = new Broadcast(pool, { durationMsMax: 15_000, bytesMax: 8 * 1024 * 1024 }, pump, health)
  const feed = broadcast.feed()
  assert.equal(broadcast.kbps, undefined)
  feed.publish(metadata)
  assert.equal(broadcast.kbps, undefined, 'no word about it')
  const words = new EcmaArray({ videodatarate: 5_859.375, width: 1920, audiodatarate: 160 })
  feed.publish(message(messageTypes.amf0Data, 0, writeAmf0Values(['onMetaData', words])))
  assert.equal(broadcast.kbps, 6_019.375)
  const untrue = new EcmaArray({ videodatarate: Number.NaN, audiodatarate: -1 })
  feed.publish(message(messageTypes.amf0Data, 0, writeAmf0Values(['onMetaData', untrue])))
  assert.equal(broadcast.kbps, undefined)
  feed.publish(video(0, avcHeader))
  feed.publish(message(messageTypes.video, 0, Buffer.concat([hex('17 01 000000'), Buffer.alloc(1_250_000)])))
  clock.advance(1_000)
  health.tick(clock.monotonicMs())
  assert.equal(Math.round(broadcast.kbps! / 10), 1_000)
})

test('unchanged headers that are said again and empty bodies are left out; changed ones are not', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  for (const one of [
    video(0, avcHeader),
    audio(0, aacHeader),
    video(0, avcKey),
    video(33, avcHeader),
    audio(33, aacHeader),
    message(messageTypes.video, 40, Buffer.alloc(0)),
    audio(50, 'af 01'),
    video(66, '17 00 000000 0142001f'),
    video(66, avcKey),
  ])
    feed.publish(one)
  assert.deepEqual(told(broadcast.log('received')), [
    `0 ${plainHex(avcHeader)}`,
    `0 ${plainHex(aacHeader)}`,
    `0 ${plainHex(avcKey)}`,
    '0 17000000000142001f',
    `66 ${plainHex(avcKey)}`,
  ])
})

test('a publisher that comes back is let in at a key frame, one frame later, and its headers only where they changed', () => {
  const broadcast = newBroadcast()
  const first = broadcast.feed()
  for (const one of [
    metadata,
    video(0, avcHeader),
    audio(0, aacHeader),
    video(0, avcKey),
    video(33, avcFrame),
    audio(20, aacFrame),
  ])
    first.publish(one)
  first.end()
  const before = told(broadcast.log('received')).length
  const second = broadcast.feed()
  let admitted = 0
  second.onAdmitted = () => admitted++
  for (const one of [
    video(9_000, avcHeader),
    audio(9_000, 'af 00 1210'),
    audio(9_001, aacFrame),
    video(9_010, avcFrame),
    video(9_033, avcKey),
    audio(9_040, aacFrame),
  ])
    second.publish(one)
  assert.equal(admitted, 1)
  assert.deepEqual(told(broadcast.log('received')).slice(before), [
    '33 af001210',
    `66 ${plainHex(avcKey)}`,
    `73 ${plainHex(aacFrame)}`,
  ])
})

test('sound alone is let in after two seconds without a picture', () => {
  const broadcast = newBroadcast()
  const first = broadcast.feed()
  first.publish(audio(0, aacHeader))
  for (let time = 0; time < 3_000; time += 20) first.publish(audio(time, aacFrame))
  assert.ok(broadcast.startSequence(broadcast.log('received')) !== undefined, 'an output may begin')
  first.end()
  const second = broadcast.feed()
  for (let time = 0; time < 1_980; time += 20) second.publish(audio(time, aacFrame))
  assert.equal(second.admitted, false)
  second.publish(audio(2_000, aacFrame))
  assert.equal(second.admitted, true)
})

test('a header that changes does not move the frames of its track, whatever other tracks lead and whatever time it carries', () => {
  const colour = `94 ${Buffer.from('avc1').toString('hex')} 02 0009 636f6c6f72496e666f 03 000009`
  for (const [changed, timestamp] of [
    ['17 00 000000 0142001f', 5_066],
    ['17 00 000000 0142001f', 0],
    ['17 00 000000 0142001f', 3_000_000_000],
    [colour, 5_066],
    [colour, 0],
  ] as const) {
    const broadcast = newBroadcast()
    const feed = broadcast.feed()
    for (const one of [video(0, avcHeader), audio(0, aacHeader), video(5_000, avcKey)]) feed.publish(one)
    // The sound is 200 ms ahead.
    for (let time = 5_000; time <= 5_240; time += 20) feed.publish(audio(time, aacFrame))
    feed.publish(video(5_033, avcFrame))
    feed.publish(video(timestamp, changed))
    for (const one of [video(5_066, avcKey), video(5_100, avcFrame), video(5_133, avcFrame)]) feed.publish(one)
    const log = broadcast.log('received')
    const frames: number[] = []
    const headers: number[] = []
    for (let sequence = log.firstSequence; sequence < log.nextSequence; sequence++) {
      if (log.laneOf(sequence) !== lanes.video) continue
      const isHeader = (log.flagsOf(sequence) & messageFlags.header) !== 0
      ;(isHeader ? headers : frames).push(log.timestampOf(sequence))
    }
    assert.deepEqual(frames, [0, 33, 66, 100, 133], `${changed} at ${timestamp}`)
    assert.deepEqual(headers, [0, timestamp === 5_066 ? 66 : 33], `${changed} at ${timestamp}`)
  }
})

test('the first header of a track that begins later is believed, unless it carries nonsense', () => {
  for (const [timestamp, at] of [
    [5_010, 10],
    [0, 40],
    [60_000, 40],
  ] as const) {
    const broadcast = newBroadcast()
    const feed = broadcast.feed()
    for (const one of [video(0, avcHeader), video(5_000, avcKey), video(5_040, avcFrame)]) feed.publish(one)
    feed.publish(audio(timestamp, aacHeader))
    assert.deepEqual(told(broadcast.log('received')).at(-1), `${at} ${plainHex(aacHeader)}`)
  }
})

test('data that comes before the first media does not set the clock', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  const cue = Buffer.concat([hex('02 000a'), Buffer.from('onTextData'), hex('05')])
  for (const one of [
    message(messageTypes.amf0Data, 5_000, cue),
    audio(0, aacFrame),
    video(7, avcKey),
    audio(21, aacFrame),
    message(messageTypes.amf0Data, 25, cue),
    video(40, avcFrame),
  ])
    feed.publish(one)
  assert.deepEqual(told(broadcast.log('received')), [
    `0 ${cue.toString('hex')}`,
    `0 ${plainHex(aacFrame)}`,
    `7 ${plainHex(avcKey)}`,
    `21 ${plainHex(aacFrame)}`,
    `25 ${cue.toString('hex')}`,
    `40 ${plainHex(avcFrame)}`,
  ])
})

test('an output joins a feed whose pictures have ended, or never came after their header, and sees them from a key frame on', () => {
  for (const hadPicture of [true, false]) {
    const limits = { durationMsMax: 3_000, bytesMax: 8 * 1024 * 1024 }
    const broadcast = newBroadcast(limits)
    const feed = broadcast.feed()
    feed.publish(video(0, avcHeader))
    feed.publish(audio(0, aacHeader))
    if (hadPicture) feed.publish(video(0, avcKey))
    const log = broadcast.log('received')
    const sound = Buffer.concat([hex('af 01'), Buffer.alloc(4_000)])
    let startedAt: number | undefined
    for (let time = 0; time < 12_000; time += 20) {
      feed.publish(message(messageTypes.audio, time, sound))
      const start = log.newestKey === undefined ? broadcast.startSequence(log) : undefined
      if (start !== undefined) startedAt ??= time
    }
    assert.equal(log.newestKey, undefined)
    if (!hadPicture) assert.equal(startedAt, 2_000)
    const start = broadcast.startSequence(log)
    assert.ok(start !== undefined)
    assert.equal(log.laneOf(start), lanes.audio)
    const cursor = new Cursor(log, pool, 1)
    cursor.start(start)
    for (const one of [
      video(12_010, avcFrame),
      audio(12_020, aacFrame),
      video(12_043, avcKey),
      video(12_076, avcFrame),
    ])
      feed.publish(one)
    const reader = new ChunkReader(publisherLimits)
    reader.push(Buffer.from('02000000000004010000000000001000', 'hex'), () => {})
    const heard: string[] = []
    for (let piece = cursor.next(65_536); piece !== undefined; piece = cursor.next(65_536))
      reader.push(piece.bytes, ({ type, body }) => heard.push(`${type} ${body.subarray(0, 7).toString('hex')}`))
    assert.deepEqual(
      heard.filter((one) => one.startsWith('9')),
      ['9 17000000000142', '9 1701000000aaaa', '9 2701000000bbbb'],
    )
    cursor.close()
    broadcast.close()
  }
})

test('an output that missed something begins at the key frame before it, not earlier than it is asked to', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  feed.publish(video(0, avcHeader))
  for (let time = 0; time < 6_000; time += 100) feed.publish(video(time, time % 1_000 === 0 ? avcKey : avcFrame))
  const log = broadcast.log('received')
  const startAt = (from: number, earliest: number) => log.timestampOf(broadcast.startSequence(log, { from, earliest })!)
  assert.equal(startAt(2_500, 0), 2_000)
  assert.equal(startAt(2_000, 0), 2_000)
  assert.equal(startAt(2_500, 2_100), 3_000)
  assert.equal(startAt(500, 4_200), 5_000)
  assert.equal(startAt(5_900, 5_100), 5_000, 'no key frame is that new: the live edge')
})

test('of sound alone, an output that missed something begins with what it missed', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  feed.publish(audio(0, aacHeader))
  for (let time = 0; time < 6_000; time += 20) feed.publish(audio(time, aacFrame))
  const log = broadcast.log('received')
  const startAt = (from: number, earliest: number) => log.timestampOf(broadcast.startSequence(log, { from, earliest })!)
  assert.equal(startAt(2_500, 0), 2_500)
  assert.equal(startAt(2_500, 4_190), 4_200)
  assert.equal(startAt(7_000, 0), 5_980, 'nothing is that new: the live edge')
})

test('what ends a track is kept back until the broadcast ends', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  for (const one of [video(0, avcHeader), video(0, avcKey), video(33, avcFrame), video(0, avcEnd)]) feed.publish(one)
  assert.equal(told(broadcast.log('received')).length, 3)
  broadcast.finish()
  assert.deepEqual(told(broadcast.log('received')).slice(3), [`33 ${plainHex(avcEnd)}`])
})

test('the plain form: legacy tags where there are some, the default track alone, no ModEx; made from the newest key frame on', () => {
  const broadcast = newBroadcast()
  const feed = broadcast.feed()
  const avc1 = Buffer.from('avc1').toString('hex')
  const mp4a = Buffer.from('mp4a').toString('hex')
  const hvc1 = Buffer.from('hvc1').toString('hex')
  for (const one of [
    video(0, `90 ${avc1} 0142001e`),
    audio(0, `90 ${mp4a} 1190`),
    video(0, `93 ${avc1} aaaa`),
    video(0, `96 00 ${hvc1} 01 dddd`), // sequence start of track 1
    video(33, `a1 ${avc1} 000021 bbbb`),
    audio(40, `91 ${mp4a} 2110`),
  ])
    feed.publish(one)
  const plain = broadcast.log('plain')
  assert.notEqual(plain, broadcast.log('received'))
  feed.publish(video(66, `a7 03 00000000 01 ${avc1} 000000 cccc`)) // ModEx around coded frames
  feed.publish(video(66, `a6 01 ${hvc1} 01 eeee`)) // a frame of track 1
  assert.deepEqual(told(plain), [
    '0 af001190',
    '0 17000000000142001e',
    '0 1701000000aaaa',
    '33 2701000021bbbb',
    '40 af012110',
    '66 2701000000cccc',
  ])
})

test('the plain form is made although making it costs the log, which it is made of, its beginning', () => {
  const few = new SlabPool(5 * slabBytes)
  const broadcast = newBroadcast(undefined, few)
  const feed = broadcast.feed()
  const avc1 = Buffer.from('avc1').toString('hex')
  feed.publish(video(0, `90 ${avc1} 0142001e`))
  feed.publish(video(0, `93 ${avc1} aaaa`))
  for (let frame = 1; frame < 50; frame++)
    feed.publish(
      message(messageTypes.video, frame * 33, Buffer.concat([hex(`a3 ${avc1}`), Buffer.alloc(20_000, frame)])),
    )
  const received = broadcast.log('received')
  assert.equal(received.firstSequence, 0)
  const plain = broadcast.log('plain')
  assert.ok(received.firstSequence > 0, 'it did')
  const last = plain.nextSequence - 1
  assert.equal(plain.timestampOf(last), 49 * 33)
  assert.deepEqual(plain.copyBody(last), Buffer.concat([hex('27 01 000000'), Buffer.alloc(20_000, 49)]))
  for (let sequence = plain.firstSequence; sequence <= last; sequence++) {
    const body = plain.copyBody(sequence)
    if (body.length > 20_000) assert.equal(body[100], plain.timestampOf(sequence) / 33)
  }
  broadcast.close()
  assert.equal(few.bytesInUse, 0)
})

test('another codec in the middle: nobody begins at the frames before it, and outputs are told', () => {
  const broadcast = newBroadcast()
  const changes: string[] = []
  broadcast.listen({ onAppended() {}, onFormatChanged: (change) => changes.push(change) })
  const feed = broadcast.feed()
  for (const one of [video(0, avcHeader), video(0, avcKey)]) feed.publish(one)
  const hvc1 = Buffer.from('hvc1').toString('hex')
  feed.publish(video(33, `90 ${hvc1} 01`))
  assert.deepEqual(changes, ['codec'])
  assert.equal(broadcast.startSequence(broadcast.log('received')), undefined)
  feed.publish(video(33, `93 ${hvc1} aa`))
  const start = broadcast.startSequence(broadcast.log('received'))!
  const cursor = new Cursor(broadcast.log('received'), pool, 1)
  cursor.start(start)
  const first = cursor.next(1000)!.bytes
  assert.ok(first.includes(Buffer.from('hvc1')), 'the header of the new codec opens the connection')
  assert.equal(broadcast.log('received').laneOf(start), lanes.video)
})
