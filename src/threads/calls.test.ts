import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newAccountId, newLiveInputId, newOutputId } from '../model/id.ts'
import { encodeLiveInput, type LiveInput } from '../model/live-input.ts'
import { newStreamKey } from '../model/stream-key.ts'
import { Secret } from '../secret.ts'
import { receiveWish, sendWish } from './calls.ts'

test('a wish arrives in the other thread as it was, with its secrets', () => {
  const uid = newLiveInputId()
  const now = '2026-01-01T00:00:00.000000Z'
  const output = { url: 'rtmp://a.example/live', streamKey: new Secret('one'), enabled: true, created: now }
  const wish: LiveInput = {
    uid,
    accountId: newAccountId(),
    created: now,
    modified: now,
    meta: { name: 'Ünïcödé' },
    enabled: true,
    streamKey: newStreamKey(uid),
    reconnectWindowSeconds: 3,
    holdPicture: true,
    outputs: [
      { ...output, uid: newOutputId() },
      {
        ...output,
        uid: newOutputId(),
        name: 'two',
        username: 'me',
        password: new Secret('two'),
        tls: { fingerprint: 'AB' },
        resumeSeconds: 5,
      },
    ],
  }
  const bare = { seal: (secret: Secret) => secret.reveal(), open: (text: string) => new Secret(text) }
  const received = receiveWish(sendWish(wish))
  const written = (input: LiveInput) => JSON.parse(encodeLiveInput(input, bare)) as unknown
  assert.deepEqual(written(received), written(wish))
  assert.ok(received.outputs[1]!.password!.equals('two'))
  assert.equal('password' in received.outputs[0]!, false)
})
