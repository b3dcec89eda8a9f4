import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesOf } from './amf0.vectors.ts'
import { isBeyondPlain, plainForm } from './legacy-form.ts'
import { classifyAudio, classifyVideo, newMediaMessage } from './media-message.ts'
import { mediaVectors } from './media-message.vectors.ts'

test('the plain form of a plain form is itself, so that a feed that is plain needs no second log', () => {
  const nonsense = [
    {
      name: 'sound that calls itself avc1',
      kind: 'audio' as const,
      body: bytesOf("97 01 0000 17 02 000000 00 'avc1'"),
    },
    { name: 'pictures that call themselves mp4a', kind: 'video' as const, body: bytesOf("91 'mp4a' 00") },
  ]
  const vectors = mediaVectors.map(({ name, seen, body }) => ({ name, kind: seen.kind, body }))
  for (const { name, kind, body } of [...vectors, ...nonsense]) {
    if (kind === 'data') continue
    const classify = kind === 'video' ? classifyVideo : classifyAudio
    const media = newMediaMessage()
    classify(body, media)
    const plain = plainForm(media, body)
    if (plain === undefined) continue
    classify(plain, media)
    assert.equal(isBeyondPlain(media, plain), false, name)
    assert.equal(plainForm(media, plain), plain, name)
  }
})
