import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { bytesOf } from './amf0.vectors.ts'
import { keyFrameKind } from './key-frame.ts'
import { keyFrameVectors, payloadVectors } from './key-frame.vectors.ts'
import { classifyAudio, classifyVideo, newMediaMessage } from './media-message.ts'
import { mediaVectors } from './media-message.vectors.ts'
import { payloadOf } from './payload.ts'

describe('key frames', () => {
  for (const { name, codec, frame, expected, nalLengthBytes = 4 } of keyFrameVectors)
    it(`${codec}: ${name}`, () => {
      // Between other bytes: where the frame ends is obeyed.
      const bytes = bytesOf(frame)
      const body = Buffer.concat([Buffer.from('6565', 'hex'), bytes, Buffer.from('000000026588', 'hex')])
      assert.equal(keyFrameKind(codec, body, 2, 2 + bytes.length, nalLengthBytes), expected)
    })

  it('nothing throws, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.constantFrom(...keyFrameVectors.map(({ frame }) => bytesOf(frame))),
          fc.uint8Array({ maxLength: 60 }),
        ),
        fc.constantFrom('avc1', 'hvc1'),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (bytes, codec, nalLengthBytes, cut) => {
          const body = Buffer.from(bytes)
          const end = cut % (body.length + 1)
          assert.match(keyFrameKind(codec, body, 0, end, nalLengthBytes), /^(open|closed|unknown)$/)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('where the payload lies', () => {
  const kinds = { video: classifyVideo, audio: classifyAudio }
  for (const [name, kind, picture, expected] of payloadVectors)
    it(`${kind}: ${name}`, () => {
      const body = bytesOf(picture)
      const media = newMediaMessage()
      kinds[kind](body, media)
      const payload = payloadOf(media, body)
      assert.equal(payload && body.subarray(payload.start, payload.end).toString('hex'), expected)
    })

  it('inside the message, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...mediaVectors.map(({ body }) => body)), fc.uint8Array({ maxLength: 40 })),
        fc.constantFrom('video', 'audio'),
        fc.nat(),
        (bytes, kind, cut) => {
          const body = Buffer.from(bytes).subarray(0, cut % (bytes.length + 1))
          const media = newMediaMessage()
          kinds[kind](body, media)
          const payload = payloadOf(media, body)
          if (payload) assert.ok(payload.start > 0 && payload.start <= payload.end && payload.end <= body.length)
        },
      ),
      { numRuns: 1000 },
    )
  })
})
