import { type AmfObject, type AmfValue, type AmfWritable, readAmf0Prefix, writeAmf0Values } from './amf0.ts'
import { frameMessage } from './chunk-header.ts'
import { type Message, messageTypes } from './message.ts'

/** A command message (RTMP 1.0, section 7.1.1): a call, the answer to one, or a notice. */
export type Command = {
  readonly name: string
  /** 0 when it is a notice, or when the sender left it out or wrote something that is not a finite number. */
  readonly transactionId: number
  /** What follows the transaction id: the command object (mostly null), then the arguments. */
  readonly values: readonly AmfValue[]
  readonly messageStreamId: number
}

/** Notices and answers about the connection; what OBS and Flash Media Server use. */
export const commandChunkStream = 3
/** onStatus and other words about one message stream, as Flash Media Server sends them. */
export const statusChunkStream = 5

/**
 * The command in a message of type 20, or of type 17: there a format byte comes first, and the values are AMF0 all the same.
 * An argument that cannot be read ends the list and not the session. Undefined when it is no command, or has no name.
 */
export function readCommand(message: Message): Command | undefined {
  let { body } = message
  if (message.type === messageTypes.amf3Command) {
    // 0 is the format byte; a name begins with 2, so that one who forgot the format byte is understood too.
    if (body[0] === 0) body = body.subarray(1)
  } else if (message.type !== messageTypes.amf0Command) return undefined
  const [name, transactionId, ...values] = readAmf0Prefix(body).values
  if (typeof name !== 'string') return undefined
  return {
    name,
    transactionId: typeof transactionId === 'number' && Number.isFinite(transactionId) ? transactionId : 0,
    values,
    messageStreamId: message.messageStreamId,
  }
}

/** A command of type 20, in chunks, ready for the wire. */
export function frameCommand(
  chunkSize: number,
  chunkStreamId: number,
  messageStreamId: number,
  name: string,
  transactionId: number,
  ...values: AmfWritable[]
): Buffer {
  const body = writeAmf0Values([name, transactionId, ...values])
  return frameMessage({ chunkStreamId, type: messageTypes.amf0Command, timestamp: 0, messageStreamId, body }, chunkSize)
}

/** The information object of an answer or an onStatus: the first object that says a code or a level. */
export function informationOf(command: Command): AmfObject | undefined {
  for (const value of command.values)
    if (value instanceof Map && (value.has('code') || value.has('level'))) return value
  return undefined
}
