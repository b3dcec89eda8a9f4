import { type AmfValue, type AmfWritable, readAmf0Prefix, writeAmf0Values } from './amf0.ts'
import { frameMessage } from './chunk-header.ts'
import { type Message, messageTypes } from './message.ts'

/** A command (RTMP 1.0, section 7.2): its name, a number that the answer repeats, and what it is about. */
export type Command = {
  readonly name: string
  /** 0: no answer is expected. */
  readonly transactionId: number
  /** What follows the transaction id; the first is the command object. */
  readonly values: readonly AmfValue[]
  readonly messageStreamId: number
}

export function isCommand(message: Message): boolean {
  return message.type === messageTypes.amf0Command || message.type === messageTypes.amf3Command
}

/** Undefined when the message is no command, or one without a name. Arguments that cannot be read are left out. */
export function readCommand(message: Message): Command | undefined {
  if (!isCommand(message)) return undefined
  // AMF3 commands begin with a format byte; AMF0 follows, in which a value may switch to AMF3.
  const body = message.type === messageTypes.amf3Command ? message.body.subarray(1) : message.body
  const [name, transactionId, ...values] = readAmf0Prefix(body).values
  if (typeof name !== 'string') return undefined
  const id = typeof transactionId === 'number' && Number.isFinite(transactionId) ? transactionId : 0
  return { name, transactionId: id, values, messageStreamId: message.messageStreamId }
}

/** A command as chunks. @param chunkSize what this side has announced. */
export function writeCommand(
  to: { readonly chunkStreamId: number; readonly messageStreamId: number; readonly chunkSize: number },
  name: string,
  transactionId: number,
  ...values: readonly AmfWritable[]
): Buffer {
  const body = writeAmf0Values([name, transactionId, ...values])
  const { chunkStreamId, messageStreamId, chunkSize } = to
  return frameMessage({ chunkStreamId, type: messageTypes.amf0Command, timestamp: 0, messageStreamId, body }, chunkSize)
}
