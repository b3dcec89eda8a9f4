import { openSync } from 'node:fs'
import { Socket } from 'node:net'
import { devNull } from 'node:os'
import type { Duplex } from 'node:stream'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/clock.ts'
import { Broadcast, type PublisherFeed } from '../src/live/broadcast.ts'
import { FeedHealth } from '../src/live/feed-health.ts'
import { lanes, MediaLog, messageFlags } from '../src/live/media-log.ts'
import { OutputSender } from '../src/live/output-sender.ts'
import { noRests, Pump } from '../src/live/pump.ts'
import { SlabPool } from '../src/live/slab-pool.ts'
import { ChunkReader, publisherLimits } from '../src/rtmp/chunk-reader.ts'
import { type Message, messageTypes } from '../src/rtmp/message.ts'
import { controlMessage, WireWriter, wireTypes } from '../test/support/rtmp-wire.ts'
import { syntheticTags } from '../test/support/synthetic-source.ts'
import { type Allocations, countAllocations } from './allocations.ts'
import { circumstances, median, writeResults } from './results.ts'
import { microTable } from './tables.ts'

/**
 * npm run bench:micro -- [--seconds 1] [--save]
 *
 * The hot path in pieces, without the network: bytes to messages, messages to the log, the log to 1 and to 50 outputs that write to
 * /dev/null, or to a stream that takes everything (as those with TLS have one). Objects are counted by V8's sampling heap profiler at an interval of one byte, which sees
 * each of them; durations are taken in runs without it.
 */
export type MicroResult = {
  readonly stage: string
  readonly feed: string
  /** How many socket reads, messages and writes one run has. */
  readonly messages: number
  readonly writes: number
  readonly megabytesPerSecond: number
  readonly messagesPerSecond: number
  readonly nanosecondsPerMessage: number
  /** Of the product; what the bench's own loop allocates is left out. */
  readonly objectsPerMessage: number
  readonly bytesPerMessage: number
  readonly nanosecondsPerWrite: number
  readonly objectsPerWrite: number
  readonly bytesPerWrite: number
  /** Where the most objects come from. */
  readonly top: Allocations['top']
}

type Feed = { readonly name: string; readonly kbps: number; readonly fps: number }
const feeds: readonly Feed[] = [
  { name: '12,000 kbps, 60 fps', kbps: 12_000, fps: 60 },
  { name: '300 kbps, 15 fps', kbps: 300, fps: 15 },
]
/** Two groups of pictures and more. */
const messagesPerRun = 600
const warmUpRuns = 30
const logLimits = { durationMsMax: 15_000, bytesMax: 32 * 2 ** 20 }
const poolBytes = 64 * 2 ** 20

/** One run of a stage over all messages. */
type Stage = {
  readonly name: string
  run(): Promise<void> | void
  /** Of all runs so far. */
  readonly writes: () => number
}

/** Messages of a feed as bytes, each as one read of a socket brings it, and as bodies. */
type Material = {
  readonly reads: readonly Buffer[]
  readonly messages: readonly { readonly type: number; readonly timestamp: number; readonly body: Buffer }[]
  readonly bytes: number
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: 'string', default: '1' }, save: { type: 'boolean', default: false } },
  })
  const about = circumstances('bench:micro')
  print(`${about.taken}  ${about.machine}, Node ${process.version}\n`)
  const results: MicroResult[] = []
  for (const feed of feeds) {
    const material = materialOf(feed)
    for (const stage of [
      readStage(material),
      appendStage(material),
      wholeStage(material, 0),
      wholeStage(material, 1),
      wholeStage(material, 50),
      wholeStage(material, 50, 'stream'),
    ])
      results.push(await measureStage(feed, stage, material, Number(values.seconds)))
  }
  print(microTable(results))
  for (const { stage, feed, top } of results) {
    print(`\n${stage}; ${feed}: objects a message by place`)
    for (const { where, objects, bytes } of top)
      print(`  ${objects.toFixed(2).padStart(8)} ${bytes.toFixed(0).padStart(8)} B  ${where}`)
  }
  if (values.save) writeResults('micro', { ...about, results })
}

async function measureStage(feed: Feed, stage: Stage, material: Material, seconds: number): Promise<MicroResult> {
  for (let run = 0; run < warmUpRuns; run++) await stage.run()
  const durations: number[] = []
  const endsAt = performance.now() + seconds * 1000
  const writesBefore = stage.writes()
  while (performance.now() < endsAt || durations.length < 3) {
    const began = performance.now()
    await stage.run()
    durations.push(performance.now() - began)
  }
  const writes = (stage.writes() - writesBefore) / durations.length
  const messages = material.messages.length
  const allocated = await countAllocations(() => stage.run())
  const runMs = median(durations)
  const perWrite = (value: number) => (writes === 0 ? 0 : value / writes)
  return {
    stage: stage.name,
    feed: feed.name,
    messages,
    writes,
    megabytesPerSecond: material.bytes / 1e6 / (runMs / 1000),
    messagesPerSecond: messages / (runMs / 1000),
    nanosecondsPerMessage: (runMs * 1e6) / messages,
    objectsPerMessage: allocated.objects / messages,
    bytesPerMessage: allocated.bytes / messages,
    nanosecondsPerWrite: perWrite(runMs * 1e6),
    objectsPerWrite: perWrite(allocated.objects),
    bytesPerWrite: perWrite(allocated.bytes),
    top: allocated.top.map(({ where, objects, bytes }) => ({
      where,
      objects: objects / messages,
      bytes: bytes / messages,
    })),
  }
}

function materialOf(feed: Feed): Material {
  const writer = new WireWriter()
  writer.chunkSize = 4096
  const reads: Buffer[] = []
  const messages: { type: number; timestamp: number; body: Buffer }[] = []
  for (const { type, timestamp, body } of syntheticTags(feed)) {
    if (messages.length === messagesPerRun) break
    const chunkStreamId = type === wireTypes.audio ? 4 : type === wireTypes.video ? 6 : 5
    reads.push(writer.message({ chunkStreamId, type, timestamp, messageStreamId: 1, body }))
    messages.push({ type, timestamp, body })
  }
  return { reads, messages, bytes: reads.reduce((sum, { length }) => sum + length, 0) }
}

function newReader(): ChunkReader {
  const reader = new ChunkReader(publisherLimits)
  reader.push(new WireWriter().message(controlMessage(wireTypes.setChunkSize, 4096)), () => {})
  return reader
}

function readStage({ reads }: Material): Stage {
  const reader = newReader()
  const onMessage = () => {}
  return {
    name: 'chunk reader',
    run() {
      for (const bytes of reads) reader.push(bytes, onMessage)
    },
    writes: () => 0,
  }
}

function appendStage({ messages }: Material): Stage {
  const log = new MediaLog(new SlabPool(poolBytes), logLimits)
  let time = 0
  return {
    name: 'log append',
    run() {
      for (const { type, body } of messages) {
        const isVideo = type === messageTypes.video
        log.append(isVideo ? lanes.video : lanes.audio, type, time++, isVideo ? messageFlags.video : 0, body)
      }
    },
    writes: () => 0,
  }
}

/**
 * What a publisher's read sets going: chunk reader, classification, timeline, health, log, pump, cursors, one write for each output. The
 * event loop turns once for each read, as it does when the encoder sends in real time.
 */
function wholeStage({ reads, messages }: Material, outputs: number, way: 'socket' | 'stream' = 'socket'): Stage {
  const pool = new SlabPool(poolBytes)
  const pump = new Pump(systemClock, noRests)
  const broadcast = new Broadcast(pool, logLimits, pump, new FeedHealth(systemClock, 12_000))
  const feed: PublisherFeed = broadcast.feed()
  const nowhere = way === 'socket' ? new NullSocket() : undefined
  const stream = new NullStream()
  const reader = newReader()
  const lastTimestamp = messages.at(-1)!.timestamp + 20
  let base = 0
  const onMessage = (message: Message) => {
    message.timestamp += base
    feed.publish(message)
  }
  for (let index = 0; index < outputs; index++)
    new OutputSender({
      ...{ stream: nowhere ?? (stream as unknown as Duplex), broadcast, pool, pump, clock: systemClock },
      ...{ messageStreamId: 1, form: 'received', maxLagMs: 4_000, takesModEx: true, missed: undefined },
      onStarted() {},
      onFailed(error) {
        throw error
      },
      onRestart() {
        throw new Error('a broadcast of one codec begins nothing anew')
      },
    })
  return {
    name: outputs === 0 ? 'read to log, no output' : `read to write, ${outputs} x ${way}`,
    run() {
      return new Promise((resolve) => {
        let next = 0
        const turn = () => {
          stream.finish()
          if (next === reads.length) {
            base += lastTimestamp
            resolve()
            return
          }
          reader.push(reads[next++]!, onMessage)
          // Behind the pump, which has asked for its turn in the call above.
          setImmediate(turn)
        }
        turn()
      })
    },
    writes: () => nowhere?.writes ?? stream.writes,
  }
}

/** Stands in for a socket without TLS, to which the server writes past the stream: its descriptor is that of /dev/null. */
class NullSocket extends Socket {
  #counted = 0
  readonly #handle = { fd: openSync(devNull, 'w') }

  /** Node keeps a socket's handle here; the server looks at it once for each write. The constructor of Socket looks, too, before there is one. */
  get _handle(): { readonly fd: number } | null {
    if (!(#handle in this)) return null
    this.#counted++
    return this.#handle
  }

  set _handle(_handle: unknown) {
    // What the constructor of Socket has to say is not wanted.
  }

  get writes(): number {
    return this.#counted
  }
}

/** Stands in for what has to be written to as a stream, as TLS has: takes what it is given, and says so when the event loop has turned. */
class NullStream {
  writes = 0
  readonly #waiting: (() => void)[] = []

  write(_bytes: Buffer, onWritten?: () => void): boolean {
    if (onWritten === undefined) return true
    this.writes++
    this.#waiting.push(onWritten)
    return true
  }

  cork(): void {}

  uncork(): void {}

  finish(): void {
    for (let index = 0; index < this.#waiting.length; index++) this.#waiting[index]!()
    this.#waiting.length = 0
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

if (import.meta.main) await main()
