import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { bytesOf } from './amf0.vectors.ts'
import { chunkVectors } from './chunk.vectors.ts'
import {
  acknowledgement,
  frameMessage,
  setChunkSize,
  setPeerBandwidth,
  userControl,
  windowAcknowledgementSize,
  writeMessageHeader,
} from './chunk-header.ts'
import { ChunkReader, publisherLimits } from './chunk-reader.ts'
import { type Message, userControlEvents } from './message.ts'

describe('chunk headers', () => {
  for (const { name, decoded, encoded, written } of chunkVectors)
    if (written)
      it(`writes: ${name}`, () => {
        const framed = Buffer.concat(decoded.map((message) => frameMessage(message, 128)))
        assert.equal(framed.toString('hex'), encoded.toString('hex'))
      })

  it('type 0 and type 1, with and without an extended timestamp', () => {
    const target = Buffer.alloc(40)
    const write = (...rest: [0 | 1, number, number, number, number, number]) => {
      target.fill(0xee)
      const bytes = writeMessageHeader(target, 5, ...rest)
      assert.equal(target[4], 0xee)
      assert.equal(target[5 + bytes], 0xee)
      return target.toString('hex', 5, 5 + bytes)
    }
    assert.equal(write(0, 6, 0xfffffe, 0x123456, 9, 0x01020304), '06fffffe1234560904030201')
    assert.equal(write(0, 6, 0xffffff, 1, 9, 1), '06ffffff0000010901000000' + '00ffffff')
    assert.equal(write(1, 63, 0x010203, 0xffffff, 8, 1), '7f010203ffffff08')
    assert.equal(write(1, 63, 0xffffffff, 0, 8, 1), '7fffffff00000008' + 'ffffffff')
  })

  it('frames what a ChunkReader reads back, at every chunk size', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 63 }),
        fc.integer({ min: 7, max: 99 }),
        fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 0xfffffe, 0xffffff, 0xffffffff)),
        fc.nat(0xffffffff),
        fc.uint8Array({ maxLength: 400 }),
        fc.integer({ min: 1, max: 500 }),
        (chunkStreamId, type, timestamp, messageStreamId, bytes, chunkSize) => {
          const message = { chunkStreamId, type, timestamp, messageStreamId, body: Buffer.from(bytes) }
          const got: Message[] = []
          const reader = new ChunkReader(publisherLimits)
          reader.push(setChunkSize(chunkSize), () => {})
          reader.push(frameMessage(message, chunkSize), (each) => got.push({ ...each, body: Buffer.from(each.body) }))
          assert.deepEqual(got, [message])
        },
      ),
      { numRuns: 300 },
    )
  })

  it('control messages', () => {
    const table: [Buffer, string][] = [
      [setChunkSize(4096), '02 000000 000004 01 00000000 00001000'],
      [acknowledgement(0x89abcdef), '02 000000 000004 03 00000000 89abcdef'],
      [acknowledgement(2 ** 32 + 1), '02 000000 000004 03 00000000 00000001'],
      [windowAcknowledgementSize(2_500_000), '02 000000 000004 05 00000000 002625a0'],
      [setPeerBandwidth(2_500_000, 2), '02 000000 000005 06 00000000 002625a0 02'],
      [userControl(userControlEvents.streamBegin, 1), '02 000000 000006 04 00000000 0000 00000001'],
      [userControl(userControlEvents.pingResponse, 0xffffffff), '02 000000 000006 04 00000000 0007 ffffffff'],
      [userControl(userControlEvents.setBufferLength, 1, 3000), '02 000000 00000a 04 00000000 0003 00000001 00000bb8'],
    ]
    for (const [bytes, picture] of table) assert.equal(bytes.toString('hex'), bytesOf(picture).toString('hex'))
  })
})
