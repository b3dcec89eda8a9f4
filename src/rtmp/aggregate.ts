import { type Message, messageTypes, ProtocolError } from './message.ts'

const subHeaderBytes = 11
const backPointerBytes = 4
/**
 * Messages in one aggregate. They are told in one go, before anybody can slow the encoder down; Flash encoders put a second or two into
 * one, which is 200 messages.
 */
const aggregateMessagesMax = 1_000

/**
 * An aggregate message (type 22; RTMP 1.0, section 7.1.6) as the messages in it:
 *
 *   | type 1 | length 3 | timestamp 3 + 1 (high byte last) | message stream id 3 | body | back pointer 4 | …
 *
 * Their timestamps count from the first one's, which stands for the aggregate's own. A length beyond the end, or an aggregate inside
 * of one, ends the reading: what was complete has been told. Only media is told: a command or a control message has no business
 * here, and would get around the limits on those. The message that is told is the same object each time.
 *
 * @throws ProtocolError at more than aggregateMessagesMax messages, told or not.
 */
export function splitAggregate(aggregate: Message, onMessage: (message: Message) => void): void {
  const { body } = aggregate
  const sub: Message = { ...aggregate }
  let firstTime = -1
  let messages = 0
  for (let at = 0; at + subHeaderBytes <= body.length; ) {
    const type = body[at]!
    const length = body.readUIntBE(at + 1, 3)
    const time = body.readUIntBE(at + 4, 3) + body[at + 7]! * 2 ** 24
    const start = at + subHeaderBytes
    if (start + length > body.length || type === messageTypes.aggregate) return
    if (++messages > aggregateMessagesMax) throw new ProtocolError('too many messages in an aggregate')
    if (firstTime < 0) firstTime = time
    if (isMedia(type)) {
      sub.type = type
      sub.timestamp = (aggregate.timestamp + (time - firstTime)) >>> 0
      sub.body = body.subarray(start, start + length)
      onMessage(sub)
    }
    at = start + length + backPointerBytes
  }
}

function isMedia(type: number): boolean {
  const { audio, video, amf0Data, amf3Data } = messageTypes
  return type === audio || type === video || type === amf0Data || type === amf3Data
}
