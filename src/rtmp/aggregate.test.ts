import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { splitAggregate } from './aggregate.ts'
import { bytesOf } from './amf0.vectors.ts'
import { type Message, messageTypes, ProtocolError } from './message.ts'

const aggregate = (body: Buffer, timestamp = 1000): Message => ({
  chunkStreamId: 4,
  type: messageTypes.aggregate,
  timestamp,
  messageStreamId: 1,
  body,
})

function split(message: Message): Message[] {
  const messages: Message[] = []
  splitAggregate(message, (each) => messages.push({ ...each, body: Buffer.from(each.body) }))
  return messages
}

const part = (type: number, timestamp: number, body: Buffer): Message => ({
  chunkStreamId: 4,
  type,
  timestamp,
  messageStreamId: 1,
  body,
})

const two = bytesOf('08 000002 000064 00 000000 af01 0000000d  09 000003 000078 00 000000 270100 0000000e')

describe('aggregate messages', () => {
  it('count from their own timestamp', () => {
    assert.deepEqual(split(aggregate(two)), [part(8, 1000, bytesOf('af01')), part(9, 1020, bytesOf('270100'))])
    // As some write it: the aggregate's timestamp is the first one's.
    assert.deepEqual(
      split(aggregate(two, 100)).map(({ timestamp }) => timestamp),
      [100, 120],
    )
  })

  it('have timestamps of 32 bits, the high byte last, that may go back and wrap', () => {
    const body = bytesOf('08 000001 000001 02 000000 af 0000000c  08 000001 ffffff 01 000000 af 0000000c')
    assert.deepEqual(
      split(aggregate(body, 0)).map(({ timestamp }) => timestamp),
      [0, 0xfffffffe],
    )
  })

  it('tell media only: no commands, no control messages, no aggregates', () => {
    const sub = (type: number) => Buffer.concat([Buffer.of(type), bytesOf('000004 000000 00 000000 00000000 0000000f')])
    for (const type of [1, 2, 3, 4, 5, 6, 16, 17, 19, 20])
      assert.deepEqual(
        split(aggregate(Buffer.concat([sub(type), sub(8)]))).map((each) => each.type),
        [8],
      )
    assert.deepEqual(
      [8, 9, 15, 18].flatMap((type) => split(aggregate(sub(type))).map((each) => each.type)),
      [8, 9, 15, 18],
    )
    assert.deepEqual(split(aggregate(Buffer.concat([sub(22), sub(8)]))), [])
  })

  it('may lack the last back pointer, and are never read beyond their end', () => {
    const whole = split(aggregate(two))
    for (let length = 0; length <= two.length; length++) {
      const count = length >= 31 ? 2 : length >= 13 ? 1 : 0
      assert.deepEqual(split(aggregate(two.subarray(0, length))), whole.slice(0, count), `cut at ${length}`)
    }
    assert.deepEqual(split(aggregate(bytesOf('08 ffffff 000000 00 000000 af'))), [])
  })

  it('have 1,000 messages at most, of whatever kind', () => {
    for (const type of [messageTypes.video, messageTypes.amf0Command]) {
      const sub = Buffer.concat([Buffer.of(type), bytesOf('000000 000000 00 000000 0000000b')])
      const of = (count: number) => aggregate(Buffer.concat(new Array(count).fill(sub)))
      assert.equal(split(of(1_000)).length, type === messageTypes.video ? 1_000 : 0)
      assert.throws(() => split(of(1_001)), new ProtocolError('too many messages in an aggregate'))
    }
  })

  it('end on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        let told = 0
        splitAggregate(aggregate(Buffer.from(bytes)), (each) => {
          told += 11 + each.body.length
        })
        assert.ok(told <= bytes.length)
      }),
    )
  })
})
