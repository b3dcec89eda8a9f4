import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiFixture, account, inputsPath, ManualClock, startApi } from '../../test/support/api-fixture.ts'
import { MemoryStore } from '../../test/support/memory-store.ts'
import { CodedError } from '../errors.ts'

const keyed = (server: ApiFixture, key: string, body?: object, path = inputsPath) =>
  server.call('POST', path, body, { 'idempotency-key': key })
const uidOf = (answer: { body: { result: never } }) => (answer.body.result as { uid: string }).uid

async function countOf(server: ApiFixture): Promise<number> {
  return (await server.result<object[]>('GET', inputsPath)).length
}

test('the same key makes one live input, and answers with it again', async () => {
  await using server = await startApi()
  const first = await keyed(server, 'k-1', { meta: { name: 'one' } })
  assert.equal(first.status, 200)
  assert.deepEqual(first.body.messages, [])
  const again = await keyed(server, 'k-1')
  assert.equal(again.status, 200)
  assert.deepEqual(again.body.result, first.body.result)
  assert.match(again.body.messages[0]?.message ?? '', /Idempotency-Key/)
  assert.notEqual(uidOf(await keyed(server, 'k-2')), uidOf(first))
  assert.equal(await countOf(server), 2)
})

test('the same key ten times at once makes one live input', async () => {
  await using server = await startApi()
  const answers = await Promise.all(Array.from({ length: 10 }, () => keyed(server, 'at once')))
  assert.equal(new Set(answers.map(uidOf)).size, 1)
  assert.equal(await countOf(server), 1)
})

test('the key of a live input that was deleted is refused, and nobody tries it again', async () => {
  await using server = await startApi()
  const uid = uidOf(await keyed(server, 'k-1'))
  await server.call('DELETE', `${inputsPath}/${uid}`)
  const { status, headers, body } = await keyed(server, 'k-1')
  assert.deepEqual([status, headers['x-should-retry'], body.errors[0]?.code], [409, 'false', 11410])
  assert.equal(await countOf(server), 0)
})

test('after six hours a key makes a new live input', async () => {
  const clock = new ManualClock()
  await using server = await startApi({ clock })
  const uid = uidOf(await keyed(server, 'k-1'))
  clock.advance(6 * 3_600_000 - 1)
  assert.equal(uidOf(await keyed(server, 'k-1')), uid)
  clock.advance(1)
  assert.notEqual(uidOf(await keyed(server, 'k-1')), uid)
})

test('keys that are too old leave the store', async () => {
  const clock = new ManualClock()
  const store = new MemoryStore()
  await using server = await startApi({ clock, store })
  await keyed(server, 'k-1')
  const deletion = Promise.withResolvers<void>()
  store.before = (operation, key) => {
    if (operation === 'delete' && key.startsWith('idempotency.')) deletion.resolve()
  }
  // Looked at once an hour.
  clock.advance(7 * 3_600_000)
  await deletion.promise
})

test('what broke off between the record and the live input is finished, not made twice', async () => {
  for (const brokenAt of [1, 2, 3]) {
    const store = new MemoryStore()
    await using server = await startApi({ store })
    let puts = 0
    store.before = (operation) => {
      if (operation === 'put' && ++puts === brokenAt) throw new CodedError('store_failed')
    }
    assert.equal((await keyed(server, 'k-1')).status, 500, `at ${brokenAt}`)
    store.before = undefined
    const { status } = await keyed(server, 'k-1')
    assert.equal(status, 200)
    assert.equal(await countOf(server), 1, `broken off at ${brokenAt}`)
  }
})

test('a replay is no new live input for the limit, and a refusal leaves the key unused', async () => {
  const store = new MemoryStore()
  await using server = await startApi({
    store,
    limits: { liveInputsMax: 1, outputsMax: 50, resumeSecondsMax: 15 },
  })
  // The live input is there, and the record does not know it.
  let puts = 0
  store.before = (operation) => {
    if (operation === 'put' && ++puts === 3) throw new CodedError('store_failed')
  }
  assert.equal((await keyed(server, 'k-1')).status, 500)
  store.before = undefined
  const { status, body } = await keyed(server, 'k-1')
  assert.equal(status, 200)
  assert.equal((await keyed(server, 'k-2')).status, 400)
  await server.call('DELETE', `${inputsPath}/${uidOf({ body })}`)
  assert.equal((await keyed(server, 'k-2')).status, 200)
})

test('a key is 1 to 255 bytes long', async () => {
  await using server = await startApi()
  for (const key of ['', 'k'.repeat(256)]) {
    const { status, body } = await keyed(server, key)
    assert.deepEqual([status, body.errors[0]?.code], [400, 10005], key)
  }
  assert.equal((await keyed(server, 'k'.repeat(255))).status, 200)
  assert.equal((await keyed(server, '\u00e9'.repeat(255))).status, 200)
})

test('the store holds no key as it was sent', async () => {
  await using server = await startApi()
  await keyed(server, 'a-telling-key')
  const entries = await server.store.list('idempotency')
  assert.equal(entries.length, 1)
  assert.ok(entries[0]?.key.startsWith(`idempotency.${account}.`))
  assert.ok(!JSON.stringify(entries).includes('telling'))
})
