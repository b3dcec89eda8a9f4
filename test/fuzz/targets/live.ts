import type { Clock } from '../../../src/clock.ts'
import { Broadcast, type PublisherFeed } from '../../../src/live/broadcast.ts'
import { Cursor } from '../../../src/live/cursor.ts'
import { FeedHealth } from '../../../src/live/feed-health.ts'
import type { MediaHeader } from '../../../src/live/media-headers.ts'
import { chunkStreamOf, lanes, MediaLog, messageFlags } from '../../../src/live/media-log.ts'
import { noRests, Pump } from '../../../src/live/pump.ts'
import { SlabPool, slabBytes } from '../../../src/live/slab-pool.ts'
import { setChunkSize, userControl } from '../../../src/rtmp/chunk-header.ts'
import { ChunkReader, publisherLimits } from '../../../src/rtmp/chunk-reader.ts'
import { type Message, messageTypes } from '../../../src/rtmp/message.ts'
import { mediaWords, mutateMedia } from '../formats/media.ts'
import { tagBytes, tagsOf } from '../formats/tags.ts'
import { broadcastSeeds, mediaLogSeeds } from '../seeds.ts'
import { hexes, magnitude, must, type Target } from '../target.ts'

/** An output, as far as its destination sees it. */
class Destination {
  readonly heard: Message[] = []
  readonly #reader = new ChunkReader({ ...publisherLimits, messageBytesMax: 0xffffff, partialBytesMax: 2 ** 30 })
  readonly #lastTimes = new Map<number, number>()

  constructor() {
    this.#reader.push(setChunkSize(4096), () => {})
  }

  /** @returns whether there was something. */
  read(cursor: Cursor, limit: number): boolean {
    const piece = cursor.next(limit)
    if (piece === undefined) return false
    must(piece.bytes.length > 0, 'a piece has bytes')
    this.#reader.push(Buffer.from(piece.bytes), (message) => {
      const { chunkStreamId, timestamp, type } = message
      if (type === messageTypes.userControl) return
      must(timestamp >= (this.#lastTimes.get(chunkStreamId) ?? 0), 'time does not go back on a chunk stream')
      this.#lastTimes.set(chunkStreamId, timestamp)
      this.heard.push({ ...message, body: Buffer.from(message.body) })
    })
    cursor.pieceTaken()
    return true
  }

  drain(cursor: Cursor, limit = 64 * 1024): void {
    for (let pieces = 0; this.read(cursor, limit); pieces++) must(pieces < 1_000_000, 'a cursor comes to the edge')
  }
}

type Source = { lane: number; time: number; flags: number; header: number; body: Buffer }

const typeOfLane = (lane: number): number => [messageTypes.video, messageTypes.audio, messageTypes.amf0Data][lane] ?? 9

/** | action 1 | three numbers 1 each | … : what happens to a log and to two outputs, one of which takes special data. */
const mediaLog: Target = {
  name: 'media-log',
  covers: ['media-log', 'cursor', 'slab-pool'].map((name) => `src/live/${name}.ts`),
  seeds: mediaLogSeeds,
  words: hexes(
    '00000a10',
    '000005ff',
    '00800a40',
    '01000720',
    '0a000000',
    '0b040400',
    '0c000000',
    '0d000000',
    '0e00ff00',
    '0f000000',
  ),
  bytesMax: 1200,
  mutate(input, random) {
    const changed = Buffer.from(input.length < 4 ? random.bytes(40) : input)
    const at = random.below(changed.length >> 2) * 4
    random.bytes(4).copy(changed, at)
    return random.oneIn(3) ? Buffer.concat([changed, random.bytes(4 * (1 + random.small(60)))]) : changed
  },
  run(input) {
    const pool = new SlabPool(8 * slabBytes)
    const log = new MediaLog(pool, { durationMsMax: 1e9, bytesMax: 3 * slabBytes })
    const source: Source[] = []
    const headerOfLane = [0, 0, 0, 0]
    const laneTimes = [0, 0, 0, 0]
    let headers: readonly MediaHeader[] = []
    let clock = 0

    const append = (lane: number, step: number, flags: number, length: number) => {
      clock += step
      laneTimes[lane] = Math.max(laneTimes[lane]!, clock - (lane === lanes.audio ? 7 : 0))
      const isHeader = (flags & messageFlags.header) !== 0
      const number = source.length
      const body = Buffer.alloc(Math.max(4, length), number & 0xff)
      body.writeUInt32BE(number)
      if (isHeader) {
        headerOfLane[lane] = number
        const header = { slot: `${lane}`, lane, type: typeOfLane(lane), body }
        headers = [...headers.filter(({ slot }) => slot !== header.slot), header]
      }
      log.append(lane, typeOfLane(lane), laneTimes[lane]!, flags, body, isHeader ? headers : undefined)
      source.push({ lane, time: laneTimes[lane]!, flags, header: headerOfLane[lane]!, body })
    }

    append(lanes.data, 0, messageFlags.header, 40)
    append(lanes.video, 0, messageFlags.video | messageFlags.header, 30)
    append(lanes.video, 10, messageFlags.video | messageFlags.key, 5000)
    const outputs = [true, false].map((takesSpecial) => {
      const cursor = new Cursor(log, pool, 1, takesSpecial)
      cursor.start(2)
      return { cursor, takesSpecial, destination: new Destination(), first: 2, finished: false }
    })
    for (let at = 0; at + 4 <= input.length; at += 4) {
      const [action, a, b, c] = [input[at]!, input[at + 1]!, input[at + 2]!, input[at + 3]!]
      const output = outputs[a & 1]!
      const length = a % 4 === 0 ? c * 350 : a % 4 === 1 ? 4090 + (c % 16) : c
      switch (action % 16) {
        case 6:
        case 7:
          for (let times = 0; times <= (c & 7); times++) output.destination.read(output.cursor, 1 + b * 257)
          break
        case 8:
          output.destination.drain(output.cursor, 100 + b * 257)
          break
        case 9:
          output.cursor.jumpAhead()
          break
        case 10:
          output.cursor.sendControl(userControl(6, 42))
          break
        case 11:
          append(c & 1 ? lanes.video : lanes.audio, b, messageFlags.header | (c & 1 ? messageFlags.video : 0), length)
          break
        case 12:
          log.forgetKeys()
          break
        case 13:
          output.cursor.finishMessage()
          output.finished = true
          break
        case 14:
          // After hours: a delta that does not fit.
          append(b % 4, 0x800000 + b * 0x10000, b % 4 === 0 ? messageFlags.video : 0, length)
          break
        case 15:
          append(lanes.data, b, messageFlags.special, length)
          break
        default: {
          const lane = [0, 0, 0, 1, 1, 3][action % 16]!
          const key = lane === 0 && b % 8 === 0 ? messageFlags.key : 0
          append(lane, b % 61, (lane === 0 ? messageFlags.video : 0) | key, length)
        }
      }
    }
    let jumps = 0
    for (const { cursor, destination, takesSpecial, first, finished } of outputs) {
      destination.drain(cursor)
      must(cursor.atEdge && !cursor.midMessage, 'a cursor that is drained is at the edge')
      checkHeard(destination.heard, source, first, takesSpecial)
      jumps += cursor.dropped.lag
      const { lag, overtaken, late } = cursor.dropped
      must(lag + overtaken + late === cursor.droppedMessages, 'each message is left out for one reason')
      if (!finished) checkCounted(destination.heard, source, first, takesSpecial, cursor.droppedMessages)
      cursor.close()
    }
    log.close()
    must(pool.bytesInUse === 0, 'every slab is let go')
    return `${magnitude(outputs[0]!.cursor.droppedMessages)} ${magnitude(jumps)} ${magnitude(outputs[0]!.destination.heard.length)}`
  },
}

const isHeader = ({ flags }: Source): boolean => (flags & messageFlags.header) !== 0

/** What arrived is the source's, in order, none twice, at the source's distances, behind the header that is in force. */
function checkHeard(heard: readonly Message[], source: readonly Source[], first: number, takesSpecial: boolean): void {
  const base = source[first]!.time
  const headerSent = new Map<number, number>()
  let previous = -1
  let lastVideo = first - 1
  for (const { body, type, timestamp, chunkStreamId } of heard) {
    const number = body.readUInt32BE()
    const one = source[number]
    must(one !== undefined && body.equals(one.body), 'a message arrives as it was sent')
    must(type === typeOfLane(one.lane) && chunkStreamId === chunkStreamOf(one.lane), 'a message arrives on its lane')
    if (isHeader(one)) {
      headerSent.set(one.lane, number)
      previous = Math.max(previous, number < first ? previous : number)
      continue
    }
    must(number > previous, 'messages arrive in order, none twice')
    previous = number
    must(timestamp === (one.time - base) % 2 ** 32, 'timestamps have the distances of the source')
    must(takesSpecial || (one.flags & messageFlags.special) === 0, 'special data goes to whom it is meant for')
    if (one.header > 0 || one.lane === lanes.data) {
      must(headerSent.get(one.lane) === one.header, 'the header in force comes before the message')
    }
    if (one.lane === lanes.video) {
      const between = source.slice(lastVideo + 1, number)
      if (between.some((other) => other.lane === lanes.video && !isHeader(other)))
        must((one.flags & messageFlags.key) !== 0, 'after a gap video goes on at a key frame')
      lastVideo = number
    }
  }
}

/** What did not arrive was counted. */
function checkCounted(
  heard: readonly Message[],
  source: readonly Source[],
  first: number,
  takesSpecial: boolean,
  dropped: number,
): void {
  const eligible = source.filter(
    (one, number) => number >= first && !isHeader(one) && (takesSpecial || (one.flags & messageFlags.special) === 0),
  ).length
  const arrived = heard.filter(({ body }) => !isHeader(source[body.readUInt32BE()]!)).length
  const headersLeftOut = source.filter(isHeader).length
  must(dropped >= eligible - arrived && dropped <= eligible - arrived + headersLeftOut, 'what is left out is counted')
}

const stillClock: Clock = { now: () => 0, monotonicMs: () => 0, after: () => () => {} }
const broadcastPool = new SlabPool(64 * slabBytes)

/** | kind 1 | timestamp 4 | length 2 | body | … : what one publisher after another sends; kinds from 0xf0 on are events. */
const broadcastTarget: Target = {
  name: 'broadcast',
  covers: [
    'broadcast',
    'timeline',
    'media-headers',
    'feed-health',
    'media-log',
    'cursor',
    'key-frame-rhythm',
    'codec-warning',
  ]
    .map((name) => `src/live/${name}.ts`)
    .concat('src/rtmp/legacy-form.ts', 'src/rtmp/media-message.ts'),
  seeds: broadcastSeeds,
  words: [...mediaWords, ...hexes('f0', 'f1', 'f2', 'f3', '00000000', '7fffffff', '80000000', 'ffffffff', '00002000')],
  bytesMax: 8 * 1024,
  mutate(input, random) {
    const tags = tagsOf(input)
    const at = random.below(tags.length)
    const tag = tags[at]
    if (tag === undefined) return input
    switch (random.below(6)) {
      case 0:
        tags.splice(random.below(tags.length + 1), 0, tag)
        break
      case 1:
        tags.splice(at, 1)
        break
      case 2:
        tags.splice(at, 0, { kind: 0xf0 + random.below(4), timestamp: 0, body: Buffer.alloc(0) })
        break
      case 3:
        tags[at] = {
          ...tag,
          timestamp: random.oneIn(2) ? random.next() : (tag.timestamp + random.small(100_000)) >>> 0,
        }
        break
      default:
        tags[at] = { ...tag, body: mutateMedia(tag.kind === messageTypes.audio ? 'audio' : 'video', tag.body, random) }
    }
    return Buffer.concat(tags.map(tagBytes))
  },
  run(input) {
    const limits = { durationMsMax: 15_000, bytesMax: 2 * slabBytes }
    const pump = new Pump(stillClock, noRests)
    const health = new FeedHealth(stillClock, 12_000)
    const broadcast = new Broadcast(broadcastPool, limits, pump, health)
    let feed: PublisherFeed = broadcast.feed()
    const witness = new Witness()
    let changes = 0
    broadcast.listen({ onAppended: () => {}, onFormatChanged: () => changes++ })
    const outputs: { cursor: Cursor; destination: Destination; log: MediaLog; base: number }[] = []
    const join = (form: 'received' | 'plain') => {
      const log = broadcast.log(form)
      const start = broadcast.startSequence(log)
      if (start === undefined || outputs.length >= 6) return
      const cursor = new Cursor(log, broadcastPool, 1, form === 'received')
      cursor.start(start)
      outputs.push({ cursor, destination: new Destination(), log, base: log.timestampOf(start) })
    }
    for (const { kind, timestamp, body } of tagsOf(input)) {
      if (kind === 0xf0) {
        feed.end()
        feed = broadcast.feed()
      } else if (kind === 0xf1) join('received')
      else if (kind === 0xf2) join('plain')
      else if (kind === 0xf3) for (const { cursor, destination } of outputs) destination.drain(cursor, 1000)
      else feed.publish({ chunkStreamId: 4, type: kind, timestamp, messageStreamId: 1, body })
      witness.look(broadcast.log('received'))
      for (const { log } of outputs) witness.look(log)
      must(broadcast.log('received').bytes <= limits.bytesMax + 2 * slabBytes + 64 * 1024, 'a log keeps its limit')
    }
    join('received')
    join('plain')
    broadcast.finish()
    let heard = 0
    for (const { cursor, destination, log, base } of outputs) {
      witness.look(log)
      destination.drain(cursor)
      heard += witness.check(destination.heard, log, base)
      cursor.close()
    }
    broadcast.close()
    must(broadcastPool.bytesInUse === 0, 'every slab is let go')
    return `${magnitude(changes)} ${outputs.length} ${broadcast.usesEnhanced} ${feed.admitted} ${magnitude(heard)}`
  },
}

/** Everything that was ever in a log, also what it has let go since. */
class Witness {
  readonly #seen = new Map<MediaLog, { next: number; messages: { type: number; time: number; body: Buffer }[] }>()
  readonly #headers = new Set<string>()

  look(log: MediaLog): void {
    const seen = this.#seen.get(log) ?? { next: 0, messages: [] }
    this.#seen.set(log, seen)
    for (let at = Math.max(seen.next, log.firstSequence); at < log.nextSequence; at++) {
      const message = { type: log.typeOf(at), time: log.timestampOf(at), body: log.copyBody(at) }
      seen.messages.push(message)
      if ((log.flagsOf(at) & messageFlags.header) !== 0) this.#headers.add(headerKey(message))
      for (const header of log.headersAt(at)) this.#headers.add(headerKey(header))
    }
    seen.next = log.nextSequence
  }

  /** What arrives is in the log, in its order and at its distances, or a header. @returns how many were of the log. */
  check(heard: readonly Message[], log: MediaLog, base: number): number {
    const { messages } = this.#seen.get(log)!
    let next = 0
    let count = 0
    for (const { type, timestamp, body } of heard) {
      if (this.#headers.has(headerKey({ type, body }))) continue
      const at = messages.findIndex(
        (one, index) =>
          index >= next && one.type === type && (one.time - base) % 2 ** 32 === timestamp && one.body.equals(body),
      )
      must(at >= 0, 'what arrives is in the log, in order, at its distance')
      next = at + 1
      count++
    }
    return count
  }
}

function headerKey({ type, body }: { readonly type: number; readonly body: Buffer }): string {
  return `${type} ${body.toString('hex')}`
}

export const liveTargets: readonly Target[] = [mediaLog, broadcastTarget]
