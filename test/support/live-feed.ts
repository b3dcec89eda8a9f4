import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { encodeAmf } from './amf0.ts'
import type { DestinationConnection } from './destination.ts'
import { type FlvTag, isKeyFrame, isSequenceHeader } from './flv.ts'
import { waitFor } from './processes.ts'
import { type Publisher, type PublishOptions, publish } from './publisher.ts'
import type { CreatedOutput, ServerUnderTest } from './server.ts'
import { type SyntheticOptions, syntheticTags } from './synthetic-source.ts'

/** A synthetic encoder that sends, with all that is known of what it has sent, and the assertions on what arrived. */

export type FeedOptions = SyntheticOptions &
  Pick<PublishOptions, 'tls' | 'headers' | 'repeatExtended' | 'chunkStreams' | 'chunkSize'> & {
    /** In place of the synthetic tags. */
    readonly tags?: Iterable<FlvTag>
    /** Keep every message that was sent, for `sameMessages`. Default false. */
    readonly keep?: boolean
    readonly startTimestamp?: number
    readonly realtime?: boolean
  }

/** Publishes, and goes on until `stop()`. @throws PublishRefused */
export async function startFeed(url: string, key: string, options: FeedOptions = {}): Promise<LiveFeed> {
  return new LiveFeed(await publish({ ...options, url, key }), options)
}

export class LiveFeed implements AsyncDisposable {
  readonly publisher: Publisher
  /** With `keep`: in the order in which they were sent, times from 0. */
  readonly sent: FlvTag[] = []
  /** Sequence numbers of the newest frames that were sent; −1 before the first. */
  readonly newest = { video: -1, audio: -1 }
  readonly #keep: boolean
  readonly #stop = new AbortController()
  readonly #replayed: Promise<unknown>

  constructor(publisher: Publisher, options: FeedOptions) {
    const { tags = syntheticTags(options), keep = false, startTimestamp = 0, realtime = true } = options
    this.publisher = publisher
    this.#keep = keep
    this.#replayed = publisher.replay(this.#counted(tags), { signal: this.#stop.signal, startTimestamp, realtime })
  }

  /** All tags are sent (of a source that ends), or the connection is closed. */
  async sentAll(): Promise<void> {
    await this.#replayed
  }

  /** Stops sending and says goodbye. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#replayed
    await this.publisher.goodbye()
  }

  /** Stops sending and is gone without a word. */
  async vanish(): Promise<void> {
    this.publisher.vanish()
    this.#stop.abort()
    await this.#replayed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vanish()
  }

  *#counted(tags: Iterable<FlvTag>): Generator<FlvTag> {
    for (const tag of tags) {
      yield tag
      // Who asks for the next one has sent this one.
      if (this.#keep) this.sent.push(tag)
      if (isFrame(tag)) this.newest[tag.type === 9 ? 'video' : 'audio']++
    }
  }
}

const isFrame = (tag: FlvTag) => (tag.type === 8 || tag.type === 9) && !isSequenceHeader(tag)

/** One connection from its first key frame on: no message is missing, none twice, every group whole, nothing that a server would refuse. */
export function assertWhole(connection: DestinationConnection, name = connection.key): void {
  const { violations, ledger, damaged } = connection
  assert.deepEqual(
    { violations, gaps: ledger.gaps, brokenGroups: ledger.brokenGroups, damaged },
    { violations: [], gaps: [], brokenGroups: [], damaged: 0 },
    `what ${name} received`,
  )
  assert(ledger.counts.video > 0 && ledger.counts.audio > 0, `${name} received nothing`)
  assertFromZero(connection, name)
}

/** Video begins at 0, audio within a frame of it. */
export function assertFromZero(connection: DestinationConnection, name = connection.key): void {
  const { video, audio = 0 } = connection.firstTimestamp
  assert.equal(video, 0, `the first timestamp of ${name}`)
  assert(audio < 100, `the first timestamp of audio at ${name} is ${audio}`)
}

/** Whole, and to the very last message that the encoder sent. */
export function assertWholeToTheEnd(
  connection: DestinationConnection,
  feed: Pick<LiveFeed, 'newest'>,
  name = connection.key,
): void {
  assertWhole(connection, name)
  assert.deepEqual(connection.ledger.newest, feed.newest, `the last messages at ${name}`)
}

/** Every output of the input, or these, have had one connection that never failed and lost nothing. Ask while the input is live. */
export async function assertUndisturbed(
  server: ServerUnderTest,
  inputUid: string,
  uids?: readonly string[],
): Promise<void> {
  // Figures come once a second.
  const outputs = await waitFor('the health of all outputs', async () => {
    const asked = (await server.outputs(inputUid)).filter(({ uid }) => uids === undefined || uids.includes(uid))
    assert(asked.length === (uids?.length ?? asked.length) && asked.length > 0, 'all outputs are there')
    return asked.every((output) => output['health'] !== undefined) ? asked : undefined
  })
  for (const output of outputs) {
    const { attempts, reconnects, droppedMessages, lastError } = output['health'] as OutputHealthOnTheWire
    assert.deepEqual(
      { attempts, reconnects, droppedMessages, lastError },
      { attempts: 1, reconnects: 0, droppedMessages: 0, lastError: undefined },
      `output ${output.streamKey}`,
    )
  }
}

type OutputHealthOnTheWire = {
  readonly attempts: number
  readonly reconnects: number
  readonly droppedMessages: number
  readonly lastError?: unknown
}

/** What `health` of an output says, as far as the suites ask. */
export function healthOf(output: CreatedOutput): OutputHealthOnTheWire {
  return output['health'] as OutputHealthOnTheWire
}

/**
 * Asserts that a connection (which recorded bodies) received what was sent, bit for bit, from a key frame on: metadata and
 * sequence headers once at 0, then every message of each kind, in order, at its time less that of the key frame. What ends a track
 * is kept back until the broadcast ends and comes at its end.
 */
export function sameMessages(sent: readonly FlvTag[], connection: DestinationConnection): { readonly baseMs: number } {
  const received = connection.messages.map(({ type, timestamp, body }) => ({ type, timestamp, body: body! }))
  assert.deepEqual(
    received.filter(isHeader).map(describe),
    [18, 8, 9].flatMap((type) =>
      sent
        .filter((tag) => tag.type === type && isHeader(tag))
        .map((tag) => describe({ ...tag, timestamp: 0, body: wireForm(tag) })),
    ),
    'metadata and sequence headers, in the order of OBS',
  )
  assert.deepEqual(
    received.filter(isEnd).map(({ body }) => body),
    sent.filter(isEnd).map(({ body }) => body),
  )
  const frames = received.filter((tag) => !isHeader(tag) && !isEnd(tag))
  const first = frames.find(({ type }) => type === 9)
  assert(first && isKeyFrame(first), 'the first picture is a key frame')
  assert.equal(first.timestamp, 0)
  const start = sent.findIndex(({ type, body }) => type === first.type && body.equals(first.body))
  assert(start >= 0, 'the first picture is one that was sent')
  const baseMs = sent[start]!.timestamp
  const expected = sent
    .slice(start)
    .filter((tag) => !isHeader(tag) && !isEnd(tag) && tag.timestamp >= baseMs)
    .map((tag) => ({ ...tag, timestamp: tag.timestamp - baseMs }))
  for (const type of [9, 8, 18]) {
    const of = (tags: readonly FlvTag[]) => tags.filter((tag) => tag.type === type).map(describe)
    const [got, wanted] = [of(frames), of(expected)]
    // The first difference says more than two long lists.
    const differs = wanted.findIndex((message, index) => message !== got[index])
    const place = differs < 0 ? wanted.length : differs
    assert.deepEqual(got.slice(place, place + 3), wanted.slice(place, place + 3), `type ${type}, message ${place}`)
  }
  return { baseMs }
}

const isMetadata = ({ type, body }: FlvTag) => type === 18 && body.includes('onMetaData')
const isEnd = ({ type, body }: FlvTag) => type === 9 && body[0] === 0x17 && body[1] === 2
const isHeader = (tag: FlvTag) => isMetadata(tag) || isSequenceHeader(tag)

/** On the wire metadata begins with @setDataFrame. */
function wireForm(tag: FlvTag): Buffer {
  const command = encodeAmf('@setDataFrame')
  const isThere = tag.body.subarray(0, command.length).equals(command)
  return isMetadata(tag) && !isThere ? Buffer.concat([command, tag.body]) : tag.body
}

function describe({ type, timestamp, body }: FlvTag): string {
  return `${type} at ${timestamp}: ${body.length} bytes ${createHash('md5').update(body).digest('hex')}`
}
