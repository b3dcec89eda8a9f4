import { Secret } from '../secret.ts'
import { type AmfRecord, type AmfValue, field, textField } from './amf0.ts'
import { setPeerBandwidth, userControl, windowAcknowledgementSize } from './chunk-header.ts'
import { type Command, isCommand, readCommand } from './command.ts'
import type { RtmpConnection } from './connection.ts'
import { type Message, ProtocolError, userControlEvents } from './message.ts'

/** What servers of this kind announce; Wirecast and Blackmagic devices rely on the acknowledgements that follow from it. */
const windowBytes = 2_500_000
/** OBS's own size; FFmpeg sends chunks of 128 bytes until it is told a size. */
const chunkSize = 4096
/** GStreamer and FFmpeg use one; each is a number that we give out. */
const streamsMax = 4
/** A text that a peer gives: name of an application, url, version. */
const textLengthMax = 2048
/** Commands before the publish; the longest dialogue known has eight. */
const commandsMax = 64

const connectChunkStream = 3
const statusChunkStream = 5

export type PublishRequest = {
  /** As the encoder gave them. They may hold the key: never to be logged. */
  readonly app: string
  readonly name: string
  readonly tcUrl: string
  readonly flashVersion: string
  /** The stream key is one of these, the likeliest first. */
  readonly candidateKeys: readonly Secret[]
  readonly messageStreamId: number
  /** Says yes: NetStream.Publish.Start. */
  start(): void
  /** Says no, with a code that OBS knows; the caller then closes the socket, or OBS would wait for ever. */
  reject(code: RejectCode, description: string): void
}
export type RejectCode = 'NetStream.Publish.BadName' | 'NetStream.Publish.Denied' | 'NetStream.Publish.Rejected'

/**
 * The server's half of a publisher's dialogue: connect, releaseStream, FCPublish, createStream, publish, in whatever order the
 * encoder likes, each answered as the strictest encoder needs it.
 *
 * @throws ProtocolError, ConnectionClosed, or the signal's reason.
 */
export async function acceptPublish(
  connection: RtmpConnection,
  options: { readonly signal: AbortSignal },
): Promise<PublishRequest> {
  let connect: Connect | undefined
  let streams = 0
  for (let count = 0; count < commandsMax; count++) {
    const command = await nextCommand(connection, options.signal)
    if (command === undefined) continue
    switch (command.name) {
      case 'connect':
        connect = readConnect(command)
        answerConnect(connection, command)
        break
      case 'createStream':
        if (connect === undefined) throw new ProtocolError('createStream came before connect')
        if (++streams > streamsMax) throw new ProtocolError('too many streams')
        connection.sendCommand(connectChunkStream, 0, '_result', command.transactionId, null, streams)
        break
      case 'publish':
        if (connect === undefined) throw new ProtocolError('publish came before connect')
        return publishRequest(connection, connect, command)
      case 'play':
      case 'play2':
        sendStatus(connection, command.messageStreamId, 'error', 'NetStream.Play.Failed', 'This server does not play.')
        break
      case 'closeStream':
      case 'deleteStream':
        break
      default:
        answerOther(connection, command)
    }
  }
  throw new ProtocolError('too many commands without a publish')
}

/** What a publisher may send while its media flows. @returns `ended` when it has said goodbye. */
export function handlePublisherCommand(
  connection: RtmpConnection,
  message: Message,
  request: PublishRequest,
): 'ended' | undefined {
  const command = readCommand(message)
  if (command === undefined) return undefined
  switch (command.name) {
    case 'FCUnpublish':
      if (command.transactionId !== 0)
        connection.sendCommand(connectChunkStream, 0, '_result', command.transactionId, null, undefined)
      connection.sendCommand(connectChunkStream, 0, 'onFCUnpublish', 0, null, {
        level: 'status',
        code: 'NetStream.Unpublish.Success',
        description: 'Stopped publishing.',
      })
      return 'ended'
    case 'deleteStream':
    case 'closeStream': {
      // The argument may be the number of the stream, its name (GStreamer), or missing. Another stream's number is not meant.
      const argument = command.values[1]
      if (typeof argument === 'number' && argument > 0 && argument !== request.messageStreamId) return undefined
      sendStatus(connection, request.messageStreamId, 'status', 'NetStream.Unpublish.Success', 'Stopped publishing.')
      return 'ended'
    }
    case 'publish':
    case 'connect':
      // Asked again while it publishes (IP cameras do): there is nothing to say.
      return undefined
    default:
      answerOther(connection, command)
      return undefined
  }
}

/** Tells a publisher that the server has ended its broadcast. The caller closes the socket. */
export function endPublisher(connection: RtmpConnection, request: PublishRequest, description: string): void {
  sendStatus(connection, request.messageStreamId, 'error', 'NetStream.Publish.BadName', description)
}

async function nextCommand(connection: RtmpConnection, signal: AbortSignal): Promise<Command | undefined> {
  const message = await connection.next(signal)
  // Media before the publish (Switcher Studio) belongs to nothing.
  return isCommand(message) ? readCommand(message) : undefined
}

type Connect = {
  readonly app: string
  readonly tcUrl: string
  readonly flashVersion: string
}

function readConnect(command: Command): Connect {
  const object = command.values[0]
  return {
    app: boundedText(object, 'app'),
    // Neko puts it in quotes.
    tcUrl: boundedText(object, 'tcUrl').replace(/^"|"$/g, ''),
    flashVersion: boundedText(object, 'flashVer'),
  }
}

function boundedText(object: AmfValue, name: string): string {
  const text = textField(object, name) ?? ''
  if (text.length > textLengthMax) throw new ProtocolError('a text of the connect command is too long')
  return text
}

function answerConnect(connection: RtmpConnection, command: Command): void {
  connection.send(windowAcknowledgementSize(windowBytes))
  connection.send(setPeerBandwidth(windowBytes, 2))
  connection.announceChunkSize(chunkSize)
  const objectEncoding = field(command.values[0], 'objectEncoding')
  connection.sendCommand(
    connectChunkStream,
    0,
    '_result',
    command.transactionId || 1,
    { fmsVer: 'FMS/3,0,1,123', capabilities: 31 },
    {
      level: 'status',
      code: 'NetConnection.Connect.Success',
      description: 'Connection succeeded.',
      objectEncoding: typeof objectEncoding === 'number' && objectEncoding === 3 ? 3 : 0,
      ...enhancedCapabilities,
    },
  )
}

/** Enhanced RTMP: whatever codec it is, it is forwarded (mask 4); multitrack 2, ModEx 4, nanosecond offsets 8. */
const enhancedCapabilities: AmfRecord = {
  fourCcList: ['*'],
  videoFourCcInfoMap: { '*': 4 },
  audioFourCcInfoMap: { '*': 4 },
  capsEx: 2 | 4 | 8,
}

/** Everything that expects an answer gets one: Haivision devices wait for `_checkbw`, others for FCPublish. */
function answerOther(connection: RtmpConnection, command: Command): void {
  if (command.name === '_result' || command.name === '_error' || command.name === 'onStatus') return
  if (command.name === 'FCPublish')
    // Livestream Studio needs the number of its own request here; others ignore the field.
    connection.sendCommand(connectChunkStream, 0, 'onFCPublish', command.transactionId, null, {
      level: 'status',
      code: 'NetStream.Publish.Start',
      description: 'FCPublish accepted.',
    })
  if (command.transactionId !== 0)
    connection.sendCommand(connectChunkStream, 0, '_result', command.transactionId, null, undefined)
}

function publishRequest(connection: RtmpConnection, connect: Connect, command: Command): PublishRequest {
  const given = command.values[1]
  const name = typeof given === 'string' ? given : ''
  if (name.length > textLengthMax) throw new ProtocolError('the name of the stream is too long')
  // Publishers that never asked for a stream publish on 0; they are answered there.
  const { messageStreamId } = command
  return {
    app: connect.app,
    name,
    tcUrl: connect.tcUrl,
    flashVersion: connect.flashVersion,
    candidateKeys: candidateKeys(connect.app, name, connect.tcUrl).map((key) => new Secret(key)),
    messageStreamId,
    start() {
      connection.send(userControl(userControlEvents.streamBegin, messageStreamId))
      sendStatus(connection, messageStreamId, 'status', 'NetStream.Publish.Start', 'Publishing has started.')
    },
    reject(code, description) {
      sendStatus(connection, messageStreamId, 'error', code, description)
    },
  }
}

/** GStreamer looks for the status on the stream that it publishes on. */
function sendStatus(
  connection: RtmpConnection,
  messageStreamId: number,
  level: 'status' | 'error',
  code: string,
  description: string,
): void {
  connection.sendCommand(statusChunkStream, messageStreamId, 'onStatus', 0, null, { level, code, description })
}

/**
 * Where encoders put the key. OBS: the name; FFmpeg: the last segment of its url, wherever it cuts; GoPro: the application, with an
 * empty name; others: a query. Everything before the last segment is free.
 */
export function candidateKeys(app: string, name: string, tcUrl: string): string[] {
  const [appPath, appQuery] = cutQuery(app)
  const [namePath, nameQuery] = cutQuery(name)
  const segments = [...appPath.split('/'), ...namePath.split('/')].filter(
    (segment) => segment !== '' && segment !== '_definst_',
  )
  const [, urlQuery] = cutQuery(tcUrl)
  const candidates: string[] = []
  const last = segments.at(-1)
  if (last !== undefined) candidates.push(last.replace(/^(?:mp4|flv|mp3):/, ''))
  for (const query of [nameQuery, appQuery, urlQuery]) {
    const parameters = new URLSearchParams(query)
    for (const parameter of ['key', 'streamkey', 'streamKey', 'token']) {
      const value = parameters.get(parameter)
      if (value) candidates.push(value)
    }
  }
  return [...new Set(candidates)].slice(0, 8)
}

function cutQuery(text: string): [path: string, query: string] {
  const at = text.indexOf('?')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
