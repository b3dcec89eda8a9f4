import { Duplex } from 'node:stream'
import { CodedError } from '../../../src/errors.ts'
import { acceptPublish, handlePublisherCommand } from '../../../src/rtmp/accept-publish.ts'
import { readAmf0Values } from '../../../src/rtmp/amf0.ts'
import { publisherLimits, unknownPeerLimits } from '../../../src/rtmp/chunk-reader.ts'
import { readCommand } from '../../../src/rtmp/command.ts'
import { ConnectionClosed, RtmpConnection } from '../../../src/rtmp/connection.ts'
import { handshakeBytes } from '../../../src/rtmp/handshake.ts'
import { type Message, messageTypes, ProtocolError } from '../../../src/rtmp/message.ts'
import {
  AuthenticationNeeded,
  type PublishTarget,
  RedirectError,
  requestPublish,
  watchPublished,
} from '../../../src/rtmp/request-publish.ts'
import { Secret } from '../../../src/secret.ts'
import { amfWords } from '../formats/amf.ts'
import { chunkWords, mutateChunkStream } from '../formats/chunks.ts'
import { mediaWords } from '../formats/media.ts'
import { readChunks } from '../formats/plain-chunk-reader.ts'
import { hashOf } from '../random.ts'
import { clientSeeds, serverSeeds } from '../seeds.ts'
import { magnitude, must, mustEqual, show, type Target, texts } from '../target.ts'
import { cutUp } from './chunks.ts'

/** A connection to nobody: what is written is kept, what the other side says is pushed. */
class Wire extends Duplex {
  readonly written: Buffer[] = []

  constructor() {
    super({ allowHalfOpen: true })
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(Buffer.from(bytes))
    done()
  }
}

/** What came of one dialogue. */
type Told = {
  /** The request, and the messages that were relayed. */
  readonly heard: string[]
  /** The commands that our side has sent. */
  said: readonly string[]
  end: string
  /** The other side broke the protocol, or a limit: how much was read before depends on how the bytes were cut. */
  isBroken: boolean
}

/** Pieces in which a dialogue arrives: more cost time and find no more, for the reader of chunks has its own target. */
const piecesMax = 40

/** Turns of the event loop within which a dialogue is over once the other side has closed. */
const turnsMax = 2000

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Says `pieces` and closes; then the dialogue must come to its end by itself. */
async function converse(pieces: readonly Buffer[], dialogue: (wire: Wire, told: Told) => Promise<void>): Promise<Told> {
  const wire = new Wire()
  const told: Told = { heard: [], said: [], end: '', isBroken: false }
  let isOver = false
  const running = dialogue(wire, told).finally(() => {
    isOver = true
  })
  // Looked at below; until then a failure is nobody's.
  running.catch(() => {})
  const breathes = pieces.length > 1 && pieces.length < 200 && hashOf(pieces[0]!) % 2 === 0
  for (const piece of pieces) {
    wire.push(piece)
    if (breathes) await turn()
  }
  wire.push(null)
  for (let turns = 0; !isOver && turns < turnsMax; turns++) await turn()
  must(isOver, 'a dialogue is over when the other side has closed')
  await running
  wire.destroy()
  told.said = commandsIn(Buffer.concat(wire.written).subarray(1 + 2 * handshakeBytes))
  return told
}

/** What was sent is well-formed, and every command in it can be read. */
function commandsIn(bytes: Buffer): string[] {
  const read = readChunks(bytes, publisherLimits)
  mustEqual(read.end, 'end', 'what is sent is RTMP')
  return read.messages
    .filter(({ type }) => type === messageTypes.amf0Command)
    .map((message) => {
      readAmf0Values(message.body)
      const command = readCommand(message)
      must(command !== undefined, 'what is sent is a command')
      return `${command.name}#${command.transactionId}@${message.messageStreamId} ${show(command.values)}`
    })
}

function sameBut(one: Told, other: Told, end: (told: Told) => string): void {
  const isPrefix = (some: readonly string[], more: readonly string[]) =>
    some.every((line, index) => line === more[index])
  if (!one.isBroken && !other.isBroken) {
    mustEqual(one.heard.join('\n'), other.heard.join('\n'), 'any cut gives the same messages')
    mustEqual(one.said.join('\n'), other.said.join('\n'), 'any cut gets the same answers')
    mustEqual(end(one), end(other), 'any cut comes to the same end')
    return
  }
  for (const list of ['heard', 'said'] as const)
    must(isPrefix(one[list], other[list]) || isPrefix(other[list], one[list]), `any cut begins with the same: ${list}`)
}

const line = ({ type, timestamp, messageStreamId, body }: Message): string =>
  `${type} ${timestamp} ${messageStreamId} ${body.length} ${hashOf(body)}`

/** C0, C1 and C2; S0, S1 and S2 look the same. */
const handshake = Buffer.alloc(1 + 2 * handshakeBytes, 3)
const neverAborted = (): AbortSignal => new AbortController().signal
const frozen = (): number => 0

/** The whole of an encoder's connection, as the ingest server leads it. */
async function serve(wire: Wire, told: Told): Promise<void> {
  let connection: RtmpConnection | undefined
  try {
    connection = await RtmpConnection.accept(wire, { limits: unknownPeerLimits, now: frozen, signal: neverAborted() })
    const request = await acceptPublish(connection, { signal: neverAborted() })
    const { app, name, tcUrl, flashVersion, candidateKeys, enhanced, messageStreamId } = request
    const secrets = [app, name, tcUrl, ...candidateKeys].map((secret) => secret.reveal())
    told.heard.push(show([secrets, flashVersion, enhanced, messageStreamId, request.connectText('swfUrl')]))
    must(/^[ -~]{0,100}$/.test(flashVersion), 'what an encoder calls itself is printable')
    must(
      secrets.every((text) => text.length <= 2048),
      'names have a limit',
    )
    connection.limits = publisherLimits
    request.start()
    const opened = connection
    const handle = (message: Message): boolean =>
      (message.type === messageTypes.amf0Command || message.type === messageTypes.amf3Command) &&
      handlePublisherCommand(message, opened, messageStreamId) === 'ended'
    connection.relay((message) => {
      told.heard.push(line(message))
      if (handle(message)) opened.relay(handle)
    })
    const reason = await connection.closed
    told.isBroken = reason instanceof ProtocolError
    told.end = endOf(reason)
  } catch (error) {
    told.isBroken = error instanceof ProtocolError
    told.end = endOf(error)
  } finally {
    connection?.close()
  }
}

/** @throws what is no declared end of a connection. */
function endOf(error: unknown): string {
  if (error instanceof ProtocolError) return error.reason
  if (error instanceof ConnectionClosed) return `closed by ${error.by}`
  throw error
}

const streamKey = new Secret('rtmp-key-117?expire=1&sign=ab%3D')
const password = new Secret('hunter22')
const target: PublishTarget = {
  app: 'live2?backup=1',
  tcUrl: 'rtmp://host/live2?backup=1',
  streamKey,
  username: 'anna',
  password,
  redirectsLeft: 1,
  enhanced: true,
}

/** The whole of an output's connection, without its media. */
async function publishTo(wire: Wire, told: Told): Promise<void> {
  let connection: RtmpConnection | undefined
  try {
    connection = await RtmpConnection.connect(wire, { limits: unknownPeerLimits, now: frozen, signal: neverAborted() })
    const stream = await requestPublish(connection, target, { signal: neverAborted() })
    told.heard.push(show([stream.messageStreamId, stream.serverCapabilities]))
    const failures: CodedError[] = []
    watchPublished(connection, [streamKey, password], (failure) => failures.push(failure))
    await connection.closed
    must(failures.length === 1, 'the end of a connection that publishes is told once')
    throw failures[0]
  } catch (error) {
    told.end = refusalOf(error)
    const cause = error instanceof CodedError ? error.cause : error
    told.isBroken = connection?.signal.reason instanceof ProtocolError || cause instanceof ProtocolError
  } finally {
    connection?.close()
  }
}

function refusalOf(error: unknown): string {
  // Before the dialogue there is only the handshake, whose failure the caller words.
  if (error instanceof ProtocolError || error instanceof ConnectionClosed) return endOf(error)
  if (error instanceof AuthenticationNeeded) {
    must(!error.authenticationQuery.includes(password.reveal()), 'a login does not show the password')
    // What follows the user is made from a nonce.
    return `login ${/^authmod=\w+&user=\w+/.exec(error.authenticationQuery)?.[0]}`
  }
  if (error instanceof RedirectError) return `redirect ${error.url}`
  if (!(error instanceof CodedError)) throw error
  for (const secret of ['rtmp-key-117', password.reveal()])
    must(!error.message.includes(secret), 'a failure tells no secret')
  must(!/[\p{Cc}\p{Cs}]/u.test(error.message) && error.message.length <= 1000, 'a failure can be shown')
  return `${error.code} ${error.message}`
}

const connection = ['connection', 'chunk-reader', 'command', 'amf0', 'amf3', 'message', 'token-bucket', 'aggregate']
const coversOf = (...names: readonly string[]) => [...connection, ...names].map((name) => `src/rtmp/${name}.ts`)
const words = [...chunkWords, ...amfWords, ...mediaWords]

/** What an encoder says behind C2. */
const acceptPublishTarget: Target = {
  name: 'accept-publish',
  covers: coversOf('accept-publish', 'enhanced-capabilities', 'stream-key-search'),
  seeds: clientSeeds,
  words: [
    ...words,
    ...texts('connect', 'createStream', 'publish', 'FCUnpublish', 'deleteStream', 'closeStream', 'play', 'live'),
  ],
  bytesMax: 64 * 1024,
  mutate: mutateChunkStream,
  async run(input) {
    const whole = await converse([Buffer.concat([handshake, input])], serve)
    // The limits are wider once the key is known; how much is read before that depends on the cuts.
    const cut = await converse([handshake, ...cutUp(input, piecesMax)], serve)
    sameBut(whole, cut, ({ end }) => end)
    return `${whole.end} ${whole.heard.length > 0} ${magnitude(whole.heard.length)} ${magnitude(whole.said.length)}`
  },
}

/** What a destination says behind S2, whatever we say. */
const requestPublishTarget: Target = {
  name: 'request-publish',
  covers: coversOf('request-publish', 'refusal', 'adobe-auth', 'enhanced-capabilities'),
  seeds: serverSeeds,
  words: [
    ...words,
    ...texts(
      '_result',
      '_error',
      'onStatus',
      'onBWDone',
      'onFCPublish',
      'close',
      'onBWCheck',
      'rtmp-key-117',
      'hunter22',
    ),
    ...texts(
      'NetStream.Publish.Start',
      'authmod=adobe',
      '?reason=needauth&user=a&salt=b&challenge=c',
      'ex',
      'redirect',
    ),
  ],
  bytesMax: 64 * 1024,
  mutate: mutateChunkStream,
  async run(input) {
    const whole = await converse([Buffer.concat([handshake, input])], publishTo)
    const cut = await converse([handshake, ...cutUp(input, piecesMax)], publishTo)
    sameBut(whole, cut, ({ end }) => end)
    return `${whole.end.split(' ', 1)[0]} ${whole.heard.length} ${whole.said.length}`
  },
}

export const dialogueTargets: readonly Target[] = [acceptPublishTarget, requestPublishTarget]
