import { CodedError, type OutputErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { type AmfRecord, type AmfValue, field, textField } from './amf0.ts'
import { windowAcknowledgementSize } from './chunk-header.ts'
import { type Command, readCommand, writeCommand } from './command.ts'
import type { RtmpConnection } from './connection.ts'
import type { Message } from './message.ts'
import { type AuthChallenge, readAuthChallenge } from './publisher-auth.ts'

/** The size that OBS uses with every destination. */
const chunkSize = 4096
/** Announced before connect, as nginx's push does: such servers then acknowledge what they have received. */
const windowBytes = 2_500_000
/** OBS's, FMLE's: some platforms look at it. */
const flashVersion = 'FMLE/3.0 (compatible; FMSc/1.0)'
const commandChunkStream = 3
const publishChunkStream = 4
/** Messages of a destination before it has answered; a dialogue has about ten. */
const messagesMax = 500

export type PublishTarget = {
  /** Everything after the host, query included; may be empty. */
  readonly app: string
  readonly tcUrl: string
  readonly streamKey: Secret
  /** Appended to app and tcUrl for a login; begins with `?`. */
  readonly authQuery?: string
  /** Fields of ours in the connect object: the marker against loops. */
  readonly connectExtras?: AmfRecord
  /** Tells the destination which codecs may come. Sent only when the feed is Enhanced RTMP. */
  readonly enhanced?: boolean
}

export type PublishedStream = {
  readonly messageStreamId: number
  readonly capabilities: ServerCapabilities
}

/** What a destination says it understands of Enhanced RTMP; `undefined`: it said nothing, which is no refusal. */
export type ServerCapabilities = {
  readonly videoCodecs: readonly string[] | undefined
  readonly audioCodecs: readonly string[] | undefined
  readonly multitrack: boolean
  readonly modEx: boolean
}

/** The destination sends the client elsewhere: to be followed with a new connection, a bounded number of times. */
export class RedirectError extends Error {
  readonly url: string

  constructor(url: string) {
    super('the destination redirects')
    this.name = 'RedirectError'
    this.url = url
  }
}

/** The destination asks for a login: to be answered with a new connection and `authQuery(challenge, …)`. */
export class AuthenticationNeeded extends Error {
  readonly challenge: Exclude<AuthChallenge, 'refused' | undefined>

  constructor(challenge: Exclude<AuthChallenge, 'refused' | undefined>, words: string) {
    super(words)
    this.name = 'AuthenticationNeeded'
    this.challenge = challenge
  }
}

/**
 * The client's half of a publisher's dialogue, as OBS leads it: connect; releaseStream, FCPublish and createStream at once; publish.
 *
 * @throws CodedError with the destination's own words, RedirectError, AuthenticationNeeded, ProtocolError, ConnectionClosed, or
 * the signal's reason.
 */
export async function requestPublish(
  connection: RtmpConnection,
  target: PublishTarget,
  options: {
    readonly signal: AbortSignal
    readonly onStep?: (step: 'connecting' | 'publishing') => void
    /** False: ends after createStream, for a test that publishes nothing. */
    readonly publish?: boolean
  },
): Promise<PublishedStream> {
  const dialogue = new Dialogue(connection, target.streamKey, options.signal)
  options.onStep?.('connecting')
  connection.announceChunkSize(chunkSize)
  connection.send(windowAcknowledgementSize(windowBytes))
  connection.sendCommand(commandChunkStream, 0, 'connect', 1, connectObject(target))
  const capabilities = readCapabilities(await dialogue.answer(1, 'connect'))

  const key = target.streamKey.reveal()
  // Both or neither: SRS waits for FCPublish once it has seen releaseStream.
  connection.sendCommand(commandChunkStream, 0, 'releaseStream', 2, null, key)
  connection.sendCommand(commandChunkStream, 0, 'FCPublish', 3, null, key)
  connection.sendCommand(commandChunkStream, 0, 'createStream', 4, null)
  const created = (await dialogue.answer(4, 'createStream')).values[1]
  const messageStreamId = typeof created === 'number' && created >= 0 && created < 2 ** 32 ? Math.trunc(created) : 1
  if (options.publish === false) return { messageStreamId, capabilities }

  options.onStep?.('publishing')
  connection.sendCommand(publishChunkStream, messageStreamId, 'publish', 5, null, key, 'live')
  await dialogue.published()
  return { messageStreamId, capabilities }
}

/**
 * For the time while media flows: looks at what the destination sends.
 * @returns the failure that the message tells, or undefined.
 */
export function readFailure(message: Message, streamKey: Secret, connection: RtmpConnection): CodedError | undefined {
  const command = readCommand(message)
  if (command === undefined) return undefined
  if (command.name === 'onBWDone' || command.name === '_onbwcheck') answerBandwidthCheck(connection, command)
  return failureOf(command, streamKey)
}

/** What a publisher says when it leaves, as bytes that must come between two messages. */
export function goodbye(streamKey: Secret, messageStreamId: number): Buffer {
  const to = { chunkStreamId: commandChunkStream, messageStreamId: 0, chunkSize }
  return Buffer.concat([
    writeCommand(to, 'FCUnpublish', 6, null, streamKey.reveal()),
    writeCommand(to, 'deleteStream', 7, null, messageStreamId),
  ])
}

function connectObject(target: PublishTarget): AmfRecord {
  const query = target.authQuery ?? ''
  return {
    app: target.app + query,
    type: 'nonprivate',
    flashVer: flashVersion,
    swfUrl: target.tcUrl + query,
    tcUrl: target.tcUrl + query,
    ...(target.enhanced && {
      fourCcList: ['*'],
      videoFourCcInfoMap: { '*': 4 },
      audioFourCcInfoMap: { '*': 4 },
      capsEx: 2 | 4 | 8,
    }),
    ...target.connectExtras,
  }
}

class Dialogue {
  readonly #connection: RtmpConnection
  readonly #streamKey: Secret
  readonly #signal: AbortSignal
  #count = 0

  constructor(connection: RtmpConnection, streamKey: Secret, signal: AbortSignal) {
    this.#connection = connection
    this.#streamKey = streamKey
    this.#signal = signal
  }

  /** The `_result` of a request. Some servers answer with the number 0, so the order decides between those. */
  async answer(transactionId: number, request: 'connect' | 'createStream'): Promise<Command> {
    for (;;) {
      const command = await this.#next()
      const isMeant = command.transactionId === transactionId || command.transactionId === 0
      if (command.name === '_result' && isMeant && answers(command, request)) return command
      if (command.name === '_error' && command.transactionId === transactionId) throw this.#refusal(command, request)
      this.#watch(command)
    }
  }

  async published(): Promise<void> {
    for (;;) {
      const command = await this.#next()
      if (command.name === 'onStatus' && textField(statusOf(command), 'code') === 'NetStream.Publish.Start') return
      // Some servers answer the request itself in place of a status (OBS takes that, too).
      if (command.name === '_result' && command.transactionId === 5) return
      if (command.name === '_error' && command.transactionId === 5) throw this.#refusal(command, 'publish')
      this.#watch(command)
    }
  }

  async #next(): Promise<Command> {
    for (;;) {
      if (++this.#count > messagesMax) throw new CodedError('protocol_violation')
      const command = readCommand(await this.#connection.next(this.#signal))
      if (command !== undefined) return command
    }
  }

  /** What may come at any time. */
  #watch(command: Command): void {
    if (command.name === 'onBWDone' || command.name === '_onbwcheck') answerBandwidthCheck(this.#connection, command)
    const redirect = redirectOf(command)
    if (redirect !== undefined) throw new RedirectError(redirect)
    const failure = failureOf(command, this.#streamKey)
    if (failure !== undefined) throw failure
  }

  #refusal(command: Command, request: string): Error {
    const redirect = redirectOf(command)
    if (redirect !== undefined) return new RedirectError(redirect)
    const status = statusOf(command)
    const description = textField(status, 'description') ?? ''
    const challenge = readAuthChallenge(description)
    const words = wordsOf(command, this.#streamKey) || `the destination refused ${request}`
    if (challenge === 'refused') return new CodedError('publish_denied', words)
    if (challenge !== undefined) return new AuthenticationNeeded(challenge, words)
    return new CodedError(codeOf(textField(status, 'code') ?? '', description, 'connect_rejected'), words)
  }
}

/** Tells the answer to connect (an object with a code) from that to createStream (a number) when neither has its own number. */
function answers(command: Command, request: 'connect' | 'createStream'): boolean {
  if (command.transactionId !== 0) return true
  return request === 'createStream' ? typeof command.values[1] === 'number' : statusOf(command) instanceof Map
}

function answerBandwidthCheck(connection: RtmpConnection, command: Command): void {
  if (command.name === 'onBWDone')
    connection.controlSink(
      writeCommand({ chunkStreamId: commandChunkStream, messageStreamId: 0, chunkSize }, '_checkbw', 8, null),
    )
  else if (command.transactionId !== 0)
    connection.controlSink(
      writeCommand(
        { chunkStreamId: commandChunkStream, messageStreamId: 0, chunkSize },
        '_result',
        command.transactionId,
        null,
      ),
    )
}

/** The object that tells level, code and description: the second value in most servers, the first in some. */
function statusOf(command: Command): AmfValue {
  return (
    command.values.find((value) => value instanceof Map && textField(value, 'code') !== undefined) ?? command.values[1]
  )
}

function redirectOf(command: Command): string | undefined {
  if (command.name !== '_error' && command.name !== 'onStatus') return undefined
  const details = field(statusOf(command), 'ex')
  const code = field(details, 'code')
  return code === 302 ? textField(details, 'redirect') : undefined
}

/** Any status of level error, and the command `close`, end a publish; what the code means is for the person. */
function failureOf(command: Command, streamKey: Secret): CodedError | undefined {
  if (command.name === 'close') return new CodedError('connection_reset', 'The destination sent close.')
  if (command.name !== 'onStatus') return undefined
  const status = statusOf(command)
  const code = textField(status, 'code') ?? ''
  if (textField(status, 'level') !== 'error' && !/^NetConnection\.Connect\.(?:Closed|Rejected|Failed)$/.test(code))
    return undefined
  const description = textField(status, 'description') ?? ''
  return new CodedError(codeOf(code, description, 'publish_denied'), wordsOf(command, streamKey))
}

function codeOf(code: string, description: string, otherwise: OutputErrorCode): OutputErrorCode {
  if (/BadName/i.test(code) || /already (?:publish|exist|connect)/i.test(description)) return 'already_publishing'
  if (/Denied|InvalidSign|Unauthorized|Rejected$|Forbidden/i.test(code) && code.startsWith('NetStream'))
    return 'publish_denied'
  if (/codec/i.test(code) || /codec/i.test(description)) return 'codec_refused'
  if (/^NetConnection\.Connect\.Closed/.test(code)) return 'connection_reset'
  if (/^NetConnection/.test(code)) return 'connect_rejected'
  return otherwise
}

/** The destination's own words, fit to be shown: "NetStream.Publish.BadName: Already publishing". */
function wordsOf(command: Command, streamKey: Secret): string {
  const status = statusOf(command)
  const code = textField(status, 'code') ?? ''
  const description = textField(status, 'description') ?? ''
  const words = code !== '' && description !== '' && code !== description ? `${code}: ${description}` : code || description
  return cleanWords(words, streamKey)
}

/** Words of a stranger: without control characters, without the key, not longer than a line. */
export function cleanWords(words: string, streamKey: Secret): string {
  const key = streamKey.reveal()
  const hidden = key.length >= 4 ? words.replaceAll(key, '[key]').replaceAll((key.split('?')[0] || key), '[key]') : words
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go
  return hidden.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ').trim().slice(0, 200)
}

function readCapabilities(connected: Command): ServerCapabilities {
  let list: AmfValue
  let video: AmfValue
  let audio: AmfValue
  let extended = 0
  for (const value of connected.values) {
    list ??= field(value, 'fourCcList')
    video ??= field(value, 'videoFourCcInfoMap')
    audio ??= field(value, 'audioFourCcInfoMap')
    const caps = field(value, 'capsEx')
    if (typeof caps === 'number') extended |= caps
  }
  const listed = Array.isArray(list) ? list.filter((item) => typeof item === 'string') : undefined
  const named = (map: AmfValue): string[] | undefined => (map instanceof Map ? [...map.keys()] : undefined)
  return {
    videoCodecs: named(video) ?? listed,
    audioCodecs: named(audio) ?? listed,
    multitrack: (extended & 2) !== 0,
    modEx: (extended & 4) !== 0,
  }
}
