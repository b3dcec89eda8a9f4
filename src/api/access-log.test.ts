import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiFixture, account, inputsPath, startApi, token } from '../../test/support/api-fixture.ts'
import { changeSentence, readSentence } from './access-log.ts'

function changes(server: ApiFixture): Record<string, unknown>[] {
  return server.accessLog
    .filter(({ sentence }) => sentence === changeSentence)
    .map(({ fields }) => ({ ...fields, durationMs: 0 }) as Record<string, unknown>)
}

test('who changed what is logged, with the outcome and without any value', async () => {
  await using server = await startApi()
  const input = await server.result('POST', inputsPath, { meta: { name: 'private words' }, misspelt: 'private words' })
  const output = { url: 'rtmp://telling.example.com/app', streamKey: 'telling-key', enabled: false }
  await server.call('POST', `${inputsPath}/${input.uid}/outputs`, output)
  await server.call('PUT', `${inputsPath}/${input.uid}`, { enabled: 'no' })
  await server.call('DELETE', `${inputsPath}/${input.uid}`, undefined, { authorization: 'Bearer a-wrong-token' })
  await server.call('POST', `${inputsPath}/telling-key-in-the-wrong-place/enable`)
  const route = '/client/v4/accounts/:account_id/stream/live_inputs'
  const who = { tokenId: '0'.repeat(32), tokenName: 'API_TOKEN' }
  const always = { durationMs: 0, address: '127.0.0.1', account_id: account }
  const [created, added, refused, stranger, misplaced] = changes(server)
  assert.deepEqual(created, {
    ...{ ...always, ...who, method: 'POST', route, status: 200 },
    ...{ madeId: input.uid, fields: ['meta'] },
  })
  const madeId = added?.['madeId']
  assert.match(String(madeId), /^[0-9a-f]{32}$/)
  assert.deepEqual(added, {
    ...{ ...always, ...who, method: 'POST', route: `${route}/:input_id/outputs`, status: 200 },
    ...{ input_id: input.uid, madeId, fields: ['url', 'streamKey', 'enabled'] },
  })
  assert.deepEqual([refused?.['status'], refused?.['tokenName']], [400, 'API_TOKEN'])
  assert.deepEqual([stranger?.['status'], stranger?.['tokenId'], stranger?.['input_id']], [403, undefined, input.uid])
  assert.deepEqual([misplaced?.['status'], misplaced?.['input_id']], [404, undefined])
  const all = JSON.stringify([server.log, server.accessLog])
  for (const secret of ['telling', 'private words', token, 'a-wrong-token', input.rtmps?.streamKey ?? '?'])
    assert.ok(!all.includes(secret), secret)
})

test('what only reads is logged at the level debug', async () => {
  await using server = await startApi()
  await server.call('GET', inputsPath)
  assert.deepEqual(changes(server), [])
  const [line] = server.accessLog.filter(({ level }) => level === 'debug')
  assert.equal(line?.sentence, readSentence)
})
