import { randomBytes } from 'node:crypto'
import { CodedError, type OutputErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { adobeQuery, llnwQuery, namingQuery, readChallenge } from './adobe-auth.ts'
import { type AmfRecord, textField } from './amf0.ts'
import { windowAcknowledgementSize } from './chunk-header.ts'
import { type Command, commandChunkStream, frameCommand, informationOf, readCommand } from './command.ts'
import { ConnectionClosed, type RtmpConnection } from './connection.ts'
import {
  type EnhancedCapabilities,
  readCapabilities,
  relayCapabilities,
  relayFourCcList,
} from './enhanced-capabilities.ts'
import type { Message } from './message.ts'
import {
  connectionFailure,
  isRefusal,
  type PublishPhase,
  RedirectError,
  redirectOf,
  refusal,
  saidClose,
} from './refusal.ts'

export { connectionFailure, RedirectError } from './refusal.ts'

/** What OBS uses with every destination; nothing is known that refuses it. */
export const outputChunkSize = 4096
/**
 * Servers that acknowledge do so after so many bytes, and whoever stops is noticed when he should have done it twice. nginx-rtmp's push and the
 * Flash servers announce 2.5 MB, which at 1 Mbit/s is 20 s of silence; 500 kB at 12 Mbit/s are three a second of each of fifty outputs, to
 * be read. So it is what the feed has in some seconds.
 */
const windowSeconds = 4
const windowBytes = { min: 100_000, unknown: 500_000, max: 2_500_000 }
/** OBS's. Destinations that are choosy know this one. */
const flashVersion = 'FMLE/3.0 (compatible; FMSc/1.0)'
/** Where OBS sends publish and media; below 32, which nginx-rtmp does not accept. */
const publishChunkStream = 4

const transactions = {
  connect: 1,
  releaseStream: 2,
  fcPublish: 3,
  createStream: 4,
  publish: 5,
  checkBandwidth: 6,
} as const

export type PublishTarget = {
  /** The whole path of the url, query included, verbatim. May be empty (Kick). */
  readonly app: string
  /** `scheme://host[:port]/app`, as OBS builds it: no key, no slash at the end, a port only where the person wrote one. */
  readonly tcUrl: string
  /** Sent verbatim. */
  readonly streamKey: Secret
  readonly username?: string
  readonly password?: Secret
  /** From an AuthenticationNeeded of the connection before. */
  readonly authenticationQuery?: string
  /** Bitrate of what will be sent, as far as it is known. */
  readonly feedKbps?: number | undefined
  /** How often the destination may still send us on. */
  readonly redirectsLeft: number
  /** Announce Enhanced RTMP, for a broadcast that uses it. Legacy broadcasts look like OBS's. */
  readonly enhanced?: boolean
  /** Further members of the connect object. Servers ignore what they do not know. */
  readonly connectExtras?: AmfRecord
}

export type PublishedStream = {
  readonly messageStreamId: number
  /** What the destination says of Enhanced RTMP; undefined (with most of them) when nothing. */
  readonly serverCapabilities: EnhancedCapabilities | undefined
}

/**
 * Thrown when the destination wants a login, or the next step of one: connect again, on a new connection, with this query as
 * the target's `authenticationQuery`. It happens twice at most.
 */
export class AuthenticationNeeded extends Error {
  readonly authenticationQuery: string

  constructor(authenticationQuery: string) {
    super('the destination asks for a login')
    this.name = 'AuthenticationNeeded'
    this.authenticationQuery = authenticationQuery
  }
}

function windowFor(kbps: number | undefined): number {
  if (kbps === undefined) return windowBytes.unknown
  return Math.round(Math.min(windowBytes.max, Math.max(windowBytes.min, kbps * 125 * windowSeconds)))
}

/**
 * The client's side of the dialogue, from the handshake to the destination's NetStream.Publish.Start. Says what OBS says, in its order.
 *
 * @param options.publish false: stops after createStream and touches no stream, for a try-out of the destination.
 * @throws CodedError with the destination's own words where it had any; RedirectError; AuthenticationNeeded; the signal's reason
 *   (the deadlines are the caller's). The connection is not closed by it.
 */
export async function requestPublish(
  connection: RtmpConnection,
  target: PublishTarget,
  options: {
    readonly signal: AbortSignal
    readonly onStep?: (step: 'connecting' | 'publishing') => void
    readonly publish?: boolean
  },
): Promise<PublishedStream> {
  const dialogue = new Dialogue(connection, target, options.signal)
  const publishes = options.publish !== false

  options.onStep?.('connecting')
  connection.announceChunkSize(outputChunkSize)
  connection.send(windowAcknowledgementSize(windowFor(target.feedKbps)))
  const tcUrl = withQuery(target.tcUrl, target.authenticationQuery)
  connection.sendCommand(commandChunkStream, 0, 'connect', transactions.connect, {
    app: withQuery(target.app, target.authenticationQuery),
    type: 'nonprivate',
    flashVer: flashVersion,
    swfUrl: tcUrl,
    tcUrl,
    ...(target.enhanced && { ...relayCapabilities, ...relayFourCcList }),
    ...target.connectExtras,
  })
  const connected = await dialogue.answerTo(transactions.connect)
  const serverCapabilities = readCapabilities(connected.values)

  const key = target.streamKey.reveal()
  if (publishes) {
    // Both or none: SRS waits for FCPublish once it had releaseStream. A refusal of either says nothing.
    dialogue.call('releaseStream', transactions.releaseStream, key)
    dialogue.call('FCPublish', transactions.fcPublish, key)
  }
  connection.sendCommand(commandChunkStream, 0, 'createStream', transactions.createStream, null)
  const messageStreamId = streamIdOf(await dialogue.answerTo(transactions.createStream))
  if (!publishes) return { messageStreamId, serverCapabilities }

  options.onStep?.('publishing')
  dialogue.phase = 'publishing'
  // YouTube refuses any other type than live.
  connection.sendCommand(publishChunkStream, messageStreamId, 'publish', transactions.publish, null, key, 'live')
  await dialogue.publishStart()
  return { messageStreamId, serverCapabilities }
}

/**
 * Relay mode for a connection that publishes: reports the one failure that ends it, in the call that brought it, be it a
 * refusal (nginx-rtmp says BadName after Publish.Start), the command close, or the end of the connection. A close on our side is none.
 *
 * @param secrets what must not appear in the failure although the destination says it: the stream key, the password.
 */
export function watchPublished(
  connection: RtmpConnection,
  secrets: readonly Secret[],
  onFailure: (failure: CodedError<OutputErrorCode>) => void,
): void {
  let hasFailed = false
  const fail = (failure: CodedError<OutputErrorCode>) => {
    if (hasFailed) return
    hasFailed = true
    onFailure(failure)
  }
  const onOver = () => {
    const { reason } = connection.signal
    if (!(reason instanceof ConnectionClosed && reason.by === 'us')) fail(connectionFailure(reason, 'published'))
  }
  const chatter = new Chatter(connection)
  // In the queue there may be a reason, and behind it the end.
  connection.relay((message: Message) => {
    const command = readCommand(message)
    if (command === undefined || chatter.answered(command)) return
    if (command.name === 'close') fail(saidClose('published'))
    else if (command.name === 'onStatus' && (isRefusal(informationOf(command)) || isUnpublish(command)))
      fail(refusal(command, 'published', secrets))
  })
  if (connection.signal.aborted) onOver()
  else connection.signal.addEventListener('abort', onOver, { once: true })
}

/** We have not asked for it: the destination ended the stream. */
function isUnpublish(command: Command): boolean {
  return textField(informationOf(command), 'code') === 'NetStream.Unpublish.Success'
}

/** The last words of a publisher, in whole chunks: after them, end the stream. */
export function goodbye(streamKey: Secret, messageStreamId: number): Buffer {
  return Buffer.concat([
    frameCommand(outputChunkSize, commandChunkStream, 0, 'FCUnpublish', 7, null, streamKey.reveal()),
    frameCommand(outputChunkSize, commandChunkStream, 0, 'deleteStream', 8, null, messageStreamId),
  ])
}

/** Bandwidth checks of Flash Media Server and Akamai, answered as OBS does. */
class Chatter {
  readonly #connection: RtmpConnection
  #hasChecked = false

  constructor(connection: RtmpConnection) {
    this.#connection = connection
  }

  /** @returns whether the command was nothing but that. */
  answered(command: Command): boolean {
    switch (command.name) {
      case 'onBWDone':
        if (!this.#hasChecked)
          this.#connection.sendCommand(commandChunkStream, 0, '_checkbw', transactions.checkBandwidth, null)
        this.#hasChecked = true
        return true
      case '_onbwcheck':
      case 'onBWCheck':
        if (command.transactionId !== 0)
          this.#connection.sendCommand(commandChunkStream, 0, '_result', command.transactionId, null, 0)
        return true
      default:
        return false
    }
  }
}

class Dialogue {
  phase: PublishPhase = 'connecting'
  readonly #connection: RtmpConnection
  readonly #target: PublishTarget
  readonly #signal: AbortSignal
  readonly #chatter: Chatter
  /** Calls whose answers do not matter. */
  readonly #tolerated = new Set<number>([transactions.checkBandwidth])

  constructor(connection: RtmpConnection, target: PublishTarget, signal: AbortSignal) {
    this.#connection = connection
    this.#target = target
    this.#signal = signal
    this.#chatter = new Chatter(connection)
  }

  call(name: string, transactionId: number, argument: string): void {
    this.#tolerated.add(transactionId)
    this.#connection.sendCommand(commandChunkStream, 0, name, transactionId, null, argument)
  }

  async answerTo(transactionId: number): Promise<Command> {
    for (;;) {
      const command = await this.#next()
      if (command.name !== '_result' && command.name !== '_error') continue
      if (!this.#answers(command, transactionId)) continue
      if (command.name === '_error' || isRefusal(informationOf(command))) throw this.#refusal(command)
      return command
    }
  }

  async publishStart(): Promise<void> {
    for (;;) {
      const command = await this.#next()
      // OBS, too, takes a plain result of publish for a start.
      const answers = command.transactionId === transactions.publish
      if (command.name === '_error' && answers) throw this.#refusal(command)
      if (command.name === '_result' && answers) return
      if (command.name !== 'onStatus') continue
      if (textField(informationOf(command), 'code') === 'NetStream.Publish.Start') return
    }
  }

  /** The next command that is an answer, with the chatter answered and refusals thrown. */
  async #next(): Promise<Command> {
    for (;;) {
      const command = readCommand(await this.#message())
      if (command === undefined || this.#chatter.answered(command)) continue
      if (command.name === 'close') throw saidClose(this.phase)
      const isNotice = command.name === 'onStatus' || command.name === 'onFCPublish'
      if (isNotice && isRefusal(informationOf(command))) throw this.#refusal(command)
      return command
    }
  }

  async #message(): Promise<Message> {
    try {
      return await this.#connection.next(this.#signal)
    } catch (error) {
      if (this.#signal.aborted && error === this.#signal.reason) throw error
      throw connectionFailure(error, this.phase)
    }
  }

  /**
   * Whether an answer belongs to the call. The transaction id says it, except with servers that write 0 (nginx-rtmp) or
   * numbers of their own: then it must look like it, and each call whose answer does not matter may account for one that does not.
   */
  #answers(command: Command, transactionId: number): boolean {
    if (command.transactionId === transactionId) return true
    if (this.#tolerated.delete(command.transactionId)) return false
    if (transactionId === transactions.connect) return true
    if (command.name === '_result' && command.values.some((value) => typeof value === 'number')) return true
    for (const tolerated of this.#tolerated) {
      if (tolerated === transactions.checkBandwidth) continue
      this.#tolerated.delete(tolerated)
      return false
    }
    return command.name === '_error'
  }

  #refusal(command: Command): Error {
    const information = informationOf(command)
    const url = redirectOf(information, this.#target.streamKey)
    if (url !== undefined)
      return this.#target.redirectsLeft > 0 ? new RedirectError(url) : new CodedError('redirect_loop')
    const login = this.#login(textField(information, 'description') ?? '')
    if (login !== undefined) return login
    const { streamKey, password } = this.#target
    return refusal(command, this.phase, password === undefined ? [streamKey] : [streamKey, password])
  }

  /** What follows from a refusal that is about a login; undefined when it is not. */
  #login(description: string): Error | undefined {
    const challenge = readChallenge(description)
    if (challenge === undefined) return undefined
    const { username, password, app, authenticationQuery = '' } = this.#target
    if (username === undefined || password === undefined)
      return new CodedError(
        'publish_denied',
        'The destination asks for a login. Give the output the username and password that the platform shows.',
      )
    const denied = new CodedError(
      'publish_denied',
      'The destination refused the login. Check username and password of the output.',
    )
    if (challenge.step === 'denied') return denied
    if (challenge.step === 'name')
      return authenticationQuery === '' ? new AuthenticationNeeded(namingQuery(challenge.scheme, username)) : denied
    if (authenticationQuery.includes('&response=')) return denied
    const nonce = randomBytes(4).toString('hex')
    const credentials = { username, password }
    return new AuthenticationNeeded(
      challenge.scheme === 'adobe'
        ? adobeQuery(credentials, challenge.parameters, nonce)
        : llnwQuery(credentials, challenge.parameters, app, nonce),
    )
  }
}

function withQuery(text: string, query: string | undefined): string {
  if (query === undefined) return text
  return `${text}${text.includes('?') ? '&' : '?'}${query}`
}

function streamIdOf(command: Command): number {
  const id = command.values.find((value) => typeof value === 'number')
  if (id === undefined || !Number.isInteger(id) || id < 0 || id > 0xffffffff)
    throw new CodedError('protocol_violation', 'The destination answered createStream without a stream id.')
  return id
}
