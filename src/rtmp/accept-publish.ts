import { Secret } from '../secret.ts'
import { type AmfRecord, type AmfValue, field, textField } from './amf0.ts'
import { setPeerBandwidth, userControl, windowAcknowledgementSize } from './chunk-header.ts'
import { type Command, commandChunkStream, readCommand, statusChunkStream } from './command.ts'
import type { RtmpConnection } from './connection.ts'
import {
  type EnhancedCapabilities,
  readCapabilities,
  relayCapabilities,
  relayFourCcList,
} from './enhanced-capabilities.ts'
import { type Message, ProtocolError, userControlEvents } from './message.ts'
import { candidateKeys } from './stream-key-search.ts'

/** FFmpeg keeps to chunks of 128 bytes until the server announces a size, and takes that one. */
const chunkSizeOut = 4096
/** What Flash Media Server, SRS, MediaMTX and Twitch announce. */
const windowBytes = 2_500_000
const dynamicLimit = 2

/** SRS allows three; encoders use one. */
const streamsMax = 4
/** Media that comes before `publish` is thrown away; an encoder that goes on so has not understood us. */
const messagesBeforePublishMax = 2000
/** FFmpeg's own bounds are 1,024 for each. */
const nameBytesMax = 1024
const tcUrlBytesMax = 2048

export type PublishRequest = {
  /** From connect and publish, as they came. Any of the three may hold the stream key. */
  readonly app: Secret
  readonly name: Secret
  readonly tcUrl: Secret
  /** What the encoder says of itself: "FMLE/3.0 (compatible; FMSc/1.0)". Printable ASCII, at most 100 characters. */
  readonly flashVersion: string
  /** What may be the stream key, likeliest first. Compare in constant time. */
  readonly candidateKeys: readonly Secret[]
  /** What the encoder announced of Enhanced RTMP; undefined when nothing. */
  readonly enhanced: EnhancedCapabilities | undefined
  /** Any other text of the connect object. */
  connectText(name: string): string | undefined
  /** The message stream on which it publishes. */
  readonly messageStreamId: number
  /** Tells the encoder to begin. Widen the connection's limits, then relay. */
  start(): void
  /**
   * Tells the encoder why not, in one of the words that OBS knows (it hangs at others). Call connection.end() next: OBS waits for the close.
   * @param reason a code of ours, for an encoder that is a server of ours.
   */
  reject(
    code: 'NetStream.Publish.BadName' | 'NetStream.Publish.Denied' | 'NetStream.Publish.Rejected',
    description: string,
    reason?: string,
  ): void
}

/**
 * The server's side of the dialogue, from the handshake to an encoder's wish to publish. Nothing is decided here: call start() or
 * reject() on the answer. As lenient as the field is diverse: any order, any number of calls, arguments that are missing.
 *
 * @throws the signal's reason (the deadline is the caller's), ProtocolError, or the reason for which the connection is over.
 */
export async function acceptPublish(
  connection: RtmpConnection,
  options: { readonly signal: AbortSignal },
): Promise<PublishRequest> {
  let connected: AmfValue
  let isConnected = false
  const streams: number[] = []

  for (let messages = 0; messages < messagesBeforePublishMax; messages++) {
    const command = readCommand(await connection.next(options.signal))
    if (command === undefined) continue
    switch (command.name) {
      case 'connect':
        connected = command.values[0]
        isConnected = true
        answerConnect(connection, command)
        break

      case 'createStream': {
        const id = streams.length + 1
        if (id > streamsMax) refuseStream(connection, command)
        else {
          streams.push(id)
          connection.sendCommand(commandChunkStream, 0, '_result', command.transactionId, null, id)
        }
        break
      }

      case 'publish':
        if (!isConnected) throw new ProtocolError('publish came before connect')
        return publishRequest(connection, connected, command, streamOf(command, streams))

      case 'play':
      case 'play2':
        sendStatus(connection, command.messageStreamId, 'error', 'NetStream.Play.Failed', playRefusal)
        break

      default:
        answer(connection, command)
    }
  }
  throw new ProtocolError('too many messages before publish')
}

const playRefusal = 'This server takes streams and does not play them.'

/**
 * Answers a command that comes while media flows.
 * @returns 'ended' when the encoder says that its stream is over. Some say it in three ways, one after the other.
 */
export function handlePublisherCommand(
  message: Message,
  connection: RtmpConnection,
  messageStreamId: number,
): 'ended' | undefined {
  const command = readCommand(message)
  if (command === undefined) return undefined
  switch (command.name) {
    case 'FCUnpublish':
      answer(connection, command)
      return 'ended'

    case 'deleteStream':
    case 'closeStream': {
      // The argument is a number, or the stream's name (GStreamer), or missing. Only another stream's number is not about us.
      const id = command.values[1]
      const isOther = typeof id === 'number' && id !== messageStreamId && id > 0 && id <= streamsMax
      if (!isOther)
        sendStatus(connection, messageStreamId, 'status', 'NetStream.Unpublish.Success', 'The stream has ended.')
      answer(connection, command)
      return isOther ? undefined : 'ended'
    }

    case 'play':
    case 'play2':
      sendStatus(connection, command.messageStreamId, 'error', 'NetStream.Play.Failed', playRefusal)
      return undefined

    // A second publish (several cameras) changes nothing.
    default:
      answer(connection, command)
      return undefined
  }
}

/** Tells an encoder that publishes that the server ends it. Call connection.end() next. */
export function sendEnd(
  connection: RtmpConnection,
  messageStreamId: number,
  code: 'NetStream.Unpublish.Success' | 'NetStream.Publish.BadName' | 'NetStream.Publish.Denied',
  description: string,
): void {
  const level = code === 'NetStream.Unpublish.Success' ? 'status' : 'error'
  sendStatus(connection, messageStreamId, level, code, description)
}

function answerConnect(connection: RtmpConnection, command: Command): void {
  const isEnhanced = readCapabilities(command.values) !== undefined
  connection.send(Buffer.concat([windowAcknowledgementSize(windowBytes), setPeerBandwidth(windowBytes, dynamicLimit)]))
  connection.announceChunkSize(chunkSizeOut)
  connection.sendCommand(
    commandChunkStream,
    0,
    '_result',
    // Connect always has transaction 1 (RTMP 1.0, section 7.2.1.1), whatever is written in it.
    command.transactionId || 1,
    { fmsVer: 'FMS/3,0,1,123', capabilities: 31 },
    {
      level: 'status',
      code: 'NetConnection.Connect.Success',
      description: 'Connection succeeded.',
      objectEncoding: 0,
      ...relayCapabilities,
      ...(isEnhanced && relayFourCcList),
    },
  )
}

/** Every call wants an answer (Haivision waits for that of _checkbw); a notice, with transaction id 0, wants none. */
function answer(connection: RtmpConnection, command: Command): void {
  const { name, transactionId } = command
  if (name === '_result' || name === '_error' || name === 'onStatus') return
  // With the call's own transaction id: Livestream Studio 6 looks for it.
  if (name === 'FCPublish')
    connection.sendCommand(commandChunkStream, 0, 'onFCPublish', transactionId, null, {
      level: 'status',
      code: 'NetStream.Publish.Start',
      description: 'FCPublish accepted.',
    })
  if (name === 'FCUnpublish')
    connection.sendCommand(commandChunkStream, 0, 'onFCUnpublish', transactionId, null, {
      level: 'status',
      code: 'NetStream.Unpublish.Success',
      description: 'The stream has ended.',
    })
  if (transactionId !== 0) connection.sendCommand(commandChunkStream, 0, '_result', transactionId, null, null)
}

function refuseStream(connection: RtmpConnection, command: Command): void {
  connection.sendCommand(commandChunkStream, 0, '_error', command.transactionId, null, {
    level: 'error',
    code: 'NetConnection.Call.Failed',
    description: `At most ${streamsMax} streams can be created on one connection.`,
  })
}

/** Cameras that write the number with its bytes reversed, or leave it 0, mean the stream that they created. */
function streamOf(command: Command, streams: readonly number[]): number {
  return streams.includes(command.messageStreamId)
    ? command.messageStreamId
    : (streams.at(-1) ?? command.messageStreamId)
}

function publishRequest(
  connection: RtmpConnection,
  connected: AmfValue,
  command: Command,
  messageStreamId: number,
): PublishRequest {
  const tcUrl = unquoted(textField(connected, 'tcUrl') ?? '')
  const app = textField(connected, 'app') ?? appOf(tcUrl)
  const name = command.values.find((value) => typeof value === 'string') ?? ''
  if (Buffer.byteLength(app) > nameBytesMax) throw new ProtocolError('the application name is too long')
  if (Buffer.byteLength(name) > nameBytesMax) throw new ProtocolError('the stream name is too long')
  if (Buffer.byteLength(tcUrl) > tcUrlBytesMax) throw new ProtocolError('the tcUrl is too long')
  return {
    app: new Secret(app),
    name: new Secret(name),
    tcUrl: new Secret(tcUrl),
    flashVersion: printable(field(connected, 'flashVer')),
    candidateKeys: candidateKeys(app, name, tcUrl),
    enhanced: readCapabilities([connected]),
    connectText: (member) => textField(connected, member),
    messageStreamId,
    start() {
      connection.send(userControl(userControlEvents.streamBegin, messageStreamId))
      // GStreamer takes the first onStatus on this very message stream for the answer.
      sendStatus(connection, messageStreamId, 'status', 'NetStream.Publish.Start', 'The stream is accepted.')
    },
    reject(code, description, reason) {
      sendStatus(connection, messageStreamId, 'error', code, description, reason)
    },
  }
}

function sendStatus(
  connection: RtmpConnection,
  messageStreamId: number,
  level: 'status' | 'error',
  code: string,
  description: string,
  reason?: string,
): void {
  const information: AmfRecord = { level, code, description, ...(reason !== undefined && { reason }) }
  connection.sendCommand(statusChunkStream, messageStreamId, 'onStatus', 0, null, information)
}

/** Neko sends the tcUrl in quotes (MediaMTX #1405). */
function unquoted(text: string): string {
  // By hand: a pattern that looks for the end of the text tries again at each of thousands of quotes, for seconds.
  const isQuote = (at: number) => /["'\s]/.test(text[at]!)
  let start = 0
  let end = text.length
  while (start < end && isQuote(start)) start++
  while (end > start && isQuote(end - 1)) end--
  return text.slice(start, end)
}

/** What an encoder that leaves out `app` means by it: the path of the tcUrl. */
function appOf(tcUrl: string): string {
  return /^[a-z]+:\/\/[^/]*\/(.*)$/is.exec(tcUrl)?.[1] ?? ''
}

function printable(value: AmfValue): string {
  return typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '').slice(0, 100) : ''
}
