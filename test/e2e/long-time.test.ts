import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { EcmaArray, encodeAmf } from '../support/amf0.ts'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { type FlvTag, readFlv } from '../support/flv.ts'
import { assertUndisturbed, assertWholeToTheEnd, sameMessages, startFeed } from '../support/live-feed.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { type ServerUnderTest, startServer } from '../support/server.ts'
import { aacSequenceHeader, avcSequenceHeader, syntheticTags } from '../support/synthetic-source.ts'

/** Broadcasts of hours, days and weeks, whose clocks pass what fits in the fields of the wire. */

/** What fits in the 3 bytes of a chunk header, 4 h 40 min in milliseconds: from there on there are 4 more. */
const extendedFrom = 0xffffff
const timeout = 60_000

let server: ServerUnderTest
let destination: Destination

before(async () => {
  // An hour, of which some messages pass in a moment here.
  server = await startServer({ settings: { BUFFER_MS: '3600000' } })
  destination = await startDestination({ recording: 'bodies' })
})
after(async () => {
  await server?.[Symbol.asyncDispose]()
  await destination?.stop()
})

/** The one connection of a key, which ended as it should. */
async function onlyPublish(key: string): Promise<DestinationConnection> {
  const connection = await destination.publishOf(key)
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assert.equal(destination.connections.filter((each) => each.key === key).length, 1, `${key} reconnected`)
  assert.deepEqual(connection.violations, [])
  return connection
}

describe('an encoder whose clock passes', { concurrency: true }, () => {
  const borders = { '0xFFFFFF': extendedFrom, '2^31': 2 ** 31, '2^32': 2 ** 32 }
  const manners = {
    'with every header full': { headers: 'full', repeatExtended: true },
    'with every header full, extended time not repeated, as OBS before 2024': {
      headers: 'full',
      repeatExtended: false,
    },
    'with headers as short as can be': { headers: 'compressed', repeatExtended: true },
  } as const
  for (const [borderName, border] of Object.entries(borders))
    for (const [mannerName, manner] of Object.entries(manners))
      test(`${borderName}, ${mannerName}`, { timeout }, async () => {
        const key = `${borderName} ${manner.headers} ${manner.repeatExtended}`
        const input = await server.createInput()
        const url = destination.url()
        await server.addOutput(input.uid, { url, streamKey: key })
        const beforeMs = 1_500
        const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, {
          ...manner,
          startTimestamp: border - beforeMs,
          tags: until(syntheticTags({ kbps: 600, fps: 30, gopMs: 1_000 }), 4_000),
          keep: true,
        })
        await waitFor('the border to be passed', () => (feed.sent.at(-1)?.timestamp ?? 0) > beforeMs + 500)
        await server.addOutput(input.uid, { url, streamKey: `${key} joined` })
        await feed.sentAll()
        await assertUndisturbed(server, input.uid)
        await feed.stop()
        const [whole, joined] = [await onlyPublish(key), await onlyPublish(`${key} joined`)]
        assert(sameMessages(feed.sent, whole).baseMs < beforeMs, 'it was there on both sides')
        assert(sameMessages(feed.sent, joined).baseMs >= beforeMs)
        for (const connection of [whole, joined]) assertWholeToTheEnd(connection, feed)
      })
})

/** Less than the 3 s from which a step is taken for trouble of the encoder's clock and straightened. */
const stepMs = 2_900
/** Steps that are sent without waiting for their arrival: far less than what the log holds. */
const stepsAtOnce = 200

/**
 * Seconds of a broadcast in a millisecond: a picture and a sound every 2.9 s, none of them a key frame, so that no output has where to
 * jump to, until shortly before the output's clock passes 0xFFFFFF; then real groups, and what comes late.
 */
describe('an output whose own clock passes 0xFFFFFF', { concurrency: true }, () => {
  const key = (timestamp: number): FlvTag => ({ type: 9, timestamp, body: picture(0x17, timestamp, 9_000) })
  const inter = (timestamp: number): FlvTag => ({ type: 9, timestamp, body: picture(0x27, timestamp, 60) })
  const sound = (timestamp: number, bytes = 30): FlvTag => {
    const body = Buffer.alloc(bytes, 'sound')
    body.writeUInt16BE(0xaf01)
    body.writeDoubleBE(timestamp, 2)
    return { type: 8, timestamp, body }
  }
  const text = (timestamp: number, characters: number): FlvTag => {
    return { type: 18, timestamp, body: encodeAmf('onTextData', { text: `${timestamp}`.padEnd(characters, '.') }) }
  }
  const metadata: FlvTag = {
    type: 18,
    timestamp: 0,
    body: encodeAmf('@setDataFrame', 'onMetaData', new EcmaArray({ width: 1_920, height: 1_080 })),
  }
  const headers: FlvTag[] = [
    { type: 8, timestamp: 0, body: aacSequenceHeader },
    { type: 9, timestamp: 0, body: avcSequenceHeader() },
  ]
  const steps = Math.floor(extendedFrom / stepMs)
  const borderMs = steps * stepMs

  /** Groups of a second around the border, and after it messages of several chunks on each chunk stream that was silent. */
  function aroundTheBorder(late: (timestamp: number) => FlvTag[]): FlvTag[] {
    const tags: FlvTag[] = []
    for (let ms = 500; ms <= 5_500; ms += 100) {
      const timestamp = borderMs + ms
      tags.push((ms - 500) % 1_000 === 0 ? key(timestamp) : inter(timestamp), ...late(timestamp))
    }
    assert(tags[0]!.timestamp < extendedFrom && tags.at(-1)!.timestamp > extendedFrom + 2_000)
    return tags
  }

  const cases = {
    'data after hours, on a chunk stream that metadata had opened': {
      first: [metadata, ...headers, key(0), sound(0)],
      step: (timestamp: number) => [inter(timestamp), sound(timestamp + 10)],
      late: (timestamp: number) => [
        sound(timestamp + 10),
        ...(timestamp > extendedFrom + 1_000 ? [text(timestamp + 20, 10_000)] : []),
      ],
    },
    'data for the first time': {
      first: [...headers, key(0), sound(0)],
      step: (timestamp: number) => [inter(timestamp), sound(timestamp + 10)],
      late: (timestamp: number) => [
        sound(timestamp + 10),
        ...(timestamp > extendedFrom + 1_000 ? [text(timestamp + 20, 10_000)] : []),
      ],
    },
    'sound after hours of silence': {
      first: [metadata, ...headers, key(0), sound(0)],
      step: (timestamp: number) => [inter(timestamp)],
      late: (timestamp: number) => (timestamp > extendedFrom + 1_000 ? [sound(timestamp + 10, 9_000)] : []),
    },
    'picture after hours of sound': {
      first: [metadata, ...headers, key(0), sound(0)],
      step: (timestamp: number) => [sound(timestamp)],
      late: (timestamp: number) => [sound(timestamp + 10)],
    },
  }
  for (const [name, { first, step, late }] of Object.entries(cases))
    test(name, { ...needs('nginx-rtmp'), timeout }, async () => {
      await using nginx = await startNginxRtmp()
      const input = await server.createInput()
      await server.addOutput(input.uid, { url: destination.url(), streamKey: name })
      await server.addOutput(input.uid, { url: nginx.url(), streamKey: 'long' })
      await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      const sent: FlvTag[] = []
      const send = (tags: readonly FlvTag[]) => {
        for (const tag of tags) publisher.send(tag.type, tag.timestamp, tag.body)
        sent.push(...tags)
      }
      send(first)
      const connection = await destination.publishOf(name)
      await nginx.waitForPublisher('long')
      const arrived = async () => {
        const media = sent.filter((tag) => tag.type !== 18 && !headers.includes(tag)).length + headers.length
        await waitFor('all of it to arrive', () => connection.counts.video + connection.counts.audio >= media)
      }
      for (let count = 1; count <= steps; count++) {
        send(step(count * stepMs))
        if (count % stepsAtOnce === 0) await arrived()
      }
      await arrived()
      for (const tag of aroundTheBorder(late)) {
        send([tag])
        await arrived()
      }
      await server.addOutput(input.uid, { url: destination.url(), streamKey: `${name}, joined` })
      const joined = await destination.publishOf(`${name}, joined`)
      await waitFor('its first picture', () => joined.messages.some(isFrame))
      await assertUndisturbed(server, input.uid)
      await publisher.goodbye()

      assert.equal(await onlyPublish(name), connection)
      assert.equal(sameMessages(sent, connection).baseMs, 0)
      assert(connection.lastTimestamp.video! > extendedFrom + 2_000)
      assert.equal(sameMessages(sent, await onlyPublish(`${name}, joined`)).baseMs, borderMs + 5_500)

      // The same, as a program that other people wrote has read it.
      await nginx.waitForNoPublisher('long')
      const [file, ...further] = await nginx.recordings('long')
      assert.deepEqual(further, [])
      const recorded = await readFlv(file!)
      for (const type of [9, 8]) {
        const of = (tags: readonly FlvTag[]) => tags.filter((tag) => tag.type === type && isFrame(tag))
        const [got, wanted] = [of(recorded), of(sent)]
        assert.equal(got.length, wanted.length, `messages of type ${type} at nginx-rtmp`)
        for (const [index, { timestamp, body }] of wanted.entries()) {
          assert.equal(got[index]!.timestamp, timestamp, `message ${index} of type ${type} at nginx-rtmp`)
          assert(got[index]!.body.equals(body), `message ${index} of type ${type} at nginx-rtmp has other bytes`)
        }
      }
    })
})

function isFrame({ type, body }: { type: number; body?: Buffer }): boolean {
  return (type === 9 || type === 8) && body?.[1] === 1
}

function picture(first: number, timestamp: number, bytes: number): Buffer {
  const body = Buffer.alloc(bytes, 'picture')
  Buffer.of(first, 1, 0, 0, 0).copy(body)
  body.writeDoubleBE(timestamp, 5)
  return body
}

function* until(tags: Iterable<FlvTag>, endMs: number): Generator<FlvTag> {
  for (const tag of tags) {
    if (tag.timestamp >= endMs) return
    yield tag
  }
}
