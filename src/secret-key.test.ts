import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isCoded } from './errors.ts'
import { newAccountId, newLiveInputId, newOutputId } from './model/id.ts'
import { decodeLiveInput, encodeLiveInput, type LiveInput, liveInputKey } from './model/live-input.ts'
import { newStreamKey } from './model/stream-key.ts'
import {
  decodeDestination,
  destinationKey,
  encodeDestination,
  newSigningSecret,
  newWebhookId,
  type WebhookDestination,
} from './model/webhook.ts'
import { Secret, SecretBox } from './secret.ts'
import { changeOfSecretKey, opensCheck, sealedCheck, secretKeyCheckKey } from './secret-key.ts'

const [old, next, third] = [randomBytes(32), randomBytes(32), randomBytes(32)].map((key) => new SecretBox(key)) as [
  SecretBox,
  SecretBox,
  SecretBox,
]
const now = new Date(0).toISOString()

function someInput(): LiveInput {
  const uid = newLiveInputId()
  return {
    ...{ uid, accountId: newAccountId(), created: now, modified: now, enabled: true },
    meta: { name: 'v1.not-sealed' },
    streamKey: newStreamKey(uid),
    outputs: [1, 2].map((count) => ({
      ...{ uid: newOutputId(), url: 'rtmp://a.example/app', enabled: true, created: now },
      streamKey: new Secret(`key of output ${count}`),
      ...(count === 2 && { username: 'somebody', password: new Secret('a password') }),
    })),
  }
}

function someDestination(): WebhookDestination {
  return {
    ...{ id: newWebhookId(), accountId: newAccountId(), name: 'mine', created: now },
    url: 'https://a.example/hook?token=1',
    secret: new Secret('secret of the hook'),
    signingSecret: newSigningSecret(),
  }
}

function mustReseal(): (key: string, value: string) => string {
  const reseal = changeOfSecretKey(sealedCheck(old), old, next, (key, error) => assert.fail(`${key}: ${error}`))
  assert(reseal)
  return reseal
}

test('every secret of a document opens with the new key, and all else stays byte for byte', () => {
  const input = someInput()
  // A field that this version does not know.
  const before = encodeLiveInput(input, old).replace('"meta"', '"ofLater":[1],"meta"')
  const after = mustReseal()(liveInputKey(input.uid), before)
  assert.throws(() => decodeLiveInput(after, old))
  const opened = decodeLiveInput(after, next)
  assert(opened.streamKey.equals(input.streamKey.reveal()))
  assert.equal(opened.outputs[1]?.streamKey.reveal(), 'key of output 2')
  assert.equal(opened.outputs[1]?.password?.reveal(), 'a password')
  const withoutSealed = (text: string) => text.replace(/"v1\.[\w-]{38,}"/g, '"…"')
  assert.equal(withoutSealed(after), withoutSealed(before))
  assert.match(after, /"ofLater":\[1\].*v1\.not-sealed/)
})

test('webhook destinations and the check are sealed anew; what holds no secret stays', () => {
  const destination = someDestination()
  const after = mustReseal()(destinationKey(destination), encodeDestination(destination, old))
  const { url, secret, signingSecret } = decodeDestination(after, next)
  assert.equal(url, destination.url)
  assert.equal(secret?.reveal(), 'secret of the hook')
  assert.equal(signingSecret.reveal(), destination.signingSecret.reveal())
  const check = mustReseal()(secretKeyCheckKey, sealedCheck(old))
  assert(opensCheck(next, check) && !opensCheck(old, check))
  assert.equal(mustReseal()('account.1', '{"name":"v1.x"}'), '{"name":"v1.x"}')
})

test('nothing is changed of a new database, or of one that has the new key; a foreign one is refused', () => {
  const never = () => assert.fail('nothing is unreadable')
  assert.equal(changeOfSecretKey(undefined, old, next, never), undefined)
  assert.equal(changeOfSecretKey(sealedCheck(next), old, next, never), undefined)
  assert.throws(
    () => changeOfSecretKey(sealedCheck(third), old, next, never),
    (error) => isCoded(error, 'secret_key_wrong') && /SECRET_KEY_PREVIOUS/.test(error.message),
  )
})

test('a document that does not open with the old key is told, and left as it is', () => {
  const told: string[] = []
  const reseal = changeOfSecretKey(sealedCheck(old), old, next, (key) => told.push(key))!
  const foreign = encodeLiveInput(someInput(), third)
  assert.equal(reseal('input.1', foreign), foreign)
  assert.equal(reseal('input.2', 'no JSON'), 'no JSON')
  assert.deepEqual(told, ['input.1', 'input.2'])
})

test('whatever is sealed for the store is known to the change of keys', () => {
  const src = import.meta.dirname
  const sealing = globSync('**/*.ts', { cwd: src })
    .filter((path) => !path.endsWith('.test.ts') && /\.seal\(/.test(readFileSync(`${src}/${path}`, 'utf8')))
    .toSorted()
  assert.deepEqual(sealing, [
    // Between the API and the media alone, and stored nowhere.
    'api/output-actions.ts',
    'model/live-input.ts',
    'model/webhook.ts',
    'secret-key.ts',
  ])
})
