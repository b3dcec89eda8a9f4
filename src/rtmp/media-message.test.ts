import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readFlv } from '../../test/support/flv.ts'
import { bytesOf } from './amf0.vectors.ts'
import { tracksOf } from './enhanced.ts'
import {
  classifyAudio,
  classifyData,
  classifyVideo,
  type MediaKind,
  type MediaMessage,
  newMediaMessage,
} from './media-message.ts'
import { mediaVectors } from './media-message.vectors.ts'

const classify: { readonly [kind in MediaKind]: (body: Buffer, into: MediaMessage) => void } = {
  video: classifyVideo,
  audio: classifyAudio,
  data: classifyData,
}

function seen(kind: MediaKind, body: Buffer): MediaMessage {
  const media = newMediaMessage()
  classify[kind](body, media)
  return media
}

const trackKinds = ['video', 'audio'] as const
const fixtures = join(import.meta.dirname, '../../test/fixtures/flv')

describe('media messages', () => {
  for (const { name, body, seen: expected, tracks } of mediaVectors) {
    it(`${expected.kind}: ${name}`, () => {
      const before = Buffer.from(body)
      assert.deepEqual(seen(expected.kind, body), { ...newMediaMessage(), ...expected })
      if (expected.kind !== 'data') assert.deepEqual(tracksOf(body, expected.kind), tracks ?? [])
      assert.deepEqual(body, before)
    })
  }

  it('nothing of one message is left in the object when the next one is looked at', () => {
    const media = newMediaMessage()
    for (const first of mediaVectors)
      for (const { body, seen: expected } of mediaVectors) {
        classify[first.seen.kind](first.body, media)
        classify[expected.kind](body, media)
        assert.deepEqual(media, { ...newMediaMessage(), ...expected })
      }
  })

  it('at most 16 tracks of a message are looked at', () => {
    const track = (id: number) => Buffer.of(id, 0, 0, 1, 0xaa)
    const body = Buffer.concat([bytesOf("96 13 'hvc1'"), ...Array.from({ length: 256 }, (_, at) => track(255 - at))])
    assert.equal(tracksOf(body, 'video').length, 16)
    const media = seen('video', body)
    assert.equal(media.tracks, 16)
    assert.equal(media.trackId, 255)
  })

  it('nothing throws, and tracks lie inside the message, whatever the bytes', () => {
    const seeds = mediaVectors.map(({ body }) => body)
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...seeds), fc.uint8Array({ maxLength: 40 })),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        (seed, changes, length) => {
          const body = Buffer.from(seed).subarray(0, length % (seed.length + 1))
          for (const [at, value] of changes) if (body.length > 0) body[at % body.length] = value
          for (const kind of ['video', 'audio', 'data'] as const) {
            const media = seen(kind, body)
            assert.equal(media.kind, kind)
            if (kind !== 'data') assert.match(media.codec, /^[!-~]*$/)
          }
          for (const kind of trackKinds) {
            let last = 0
            for (const { start, end } of tracksOf(body, kind)) {
              assert.ok(last <= start && start <= end && end <= body.length)
              last = end
            }
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('track 0 of a message of many tracks is what the message is taken for', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 16 }),
        fc.boolean(),
        fc.constantFrom(...trackKinds),
        (ids, ownCodecs, kind) => {
          const fourCc = Buffer.from(kind === 'video' ? 'av01' : 'Opus')
          const head = Buffer.of(kind === 'video' ? 0x96 : 0x95, ownCodecs ? 0x21 : 0x11)
          const tracks = ids.flatMap((id) => [ownCodecs ? fourCc : Buffer.alloc(0), Buffer.of(id, 0, 0, 2, id, id)])
          const body = Buffer.concat([head, ownCodecs ? Buffer.alloc(0) : fourCc, ...tracks])
          const media = seen(kind, body)
          assert.equal(media.tracks, ids.length)
          assert.equal(media.trackId, ids.includes(0) ? 0 : ids[0])
          const parts = tracksOf(body, kind)
          assert.deepEqual(
            parts.map(({ trackId }) => trackId),
            ids,
          )
          for (const { trackId, start, end } of parts)
            assert.deepEqual([...body.subarray(start, end)], [trackId, trackId])
        },
      ),
    )
  })
})

describe("FFmpeg 8's Enhanced RTMP", () => {
  /** Counts of `kind codec track role` in a file. */
  async function counts(file: string): Promise<Record<string, number>> {
    const result: Record<string, number> = {}
    for (const { type, body } of await readFlv(join(fixtures, file))) {
      const { kind, codec, trackId, role, enhanced } = seen(type === 9 ? 'video' : type === 8 ? 'audio' : 'data', body)
      const key = `${kind} ${enhanced ? 'enhanced' : 'legacy'} ${codec} ${trackId} ${role}`
      result[key] = (result[key] ?? 0) + 1
    }
    return result
  }

  it('HEVC and AAC', async () =>
    assert.deepEqual(await counts('hevc.flv'), {
      'data legacy onMetaData 0 metadata': 1,
      'video enhanced hvc1 0 sequence_header': 1,
      'video enhanced hvc1 0 metadata': 1,
      'video enhanced hvc1 0 key_frame': 1,
      'video enhanced hvc1 0 frame': 19,
      'audio legacy mp4a 0 sequence_header': 1,
      'audio legacy mp4a 0 frame': 88,
    }))

  it('AV1 and Opus', async () =>
    assert.deepEqual(await counts('av1opus.flv'), {
      'data legacy onMetaData 0 metadata': 1,
      'video enhanced av01 0 sequence_header': 1,
      'video enhanced av01 0 metadata': 1,
      'video enhanced av01 0 key_frame': 1,
      'video enhanced av01 0 frame': 9,
      'audio enhanced Opus 0 sequence_header': 1,
      'audio enhanced Opus 0 multichannel_config': 1,
      'audio enhanced Opus 0 frame': 51,
    }))

  it('two tracks of HEVC, two of AAC', async () =>
    assert.deepEqual(await counts('mt.flv'), {
      'data legacy onMetaData 0 metadata': 1,
      'video enhanced hvc1 0 sequence_header': 1,
      // One for each track, neither of them wrapped.
      'video enhanced hvc1 0 metadata': 2,
      'video enhanced hvc1 0 key_frame': 1,
      'video enhanced hvc1 0 frame': 19,
      'video enhanced hvc1 1 sequence_header': 1,
      'video enhanced hvc1 1 key_frame': 1,
      'video enhanced hvc1 1 frame': 19,
      'audio legacy mp4a 0 sequence_header': 1,
      'audio legacy mp4a 0 frame': 88,
      'audio enhanced mp4a 1 sequence_header': 1,
      'audio enhanced mp4a 1 multichannel_config': 1,
      'audio enhanced mp4a 1 frame': 88,
    }))

  it('the second track unwrapped is the first one, bit for bit: both were made from one picture', async () => {
    const bodies: [Buffer[], Buffer[]] = [[], []]
    for (const { type, body } of await readFlv(join(fixtures, 'mt.flv'))) {
      if (type !== 9 || seen('video', body).role !== 'key_frame') continue
      for (const { trackId, start, end } of tracksOf(body, 'video'))
        bodies[trackId as 0 | 1].push(body.subarray(start, end))
    }
    assert.equal(bodies[0].length, 1)
    assert.deepEqual(bodies[1], bodies[0])
  })
})
