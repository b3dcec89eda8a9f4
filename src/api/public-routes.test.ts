import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inputsPath, startApi, unknownId } from '../../test/support/api-fixture.ts'
import type { StatusDocument } from '../model/status.ts'

test('the lifecycle of a live input is told without a token, as Cloudflare tells it', async () => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath)
  const ask = async (id: string) => {
    const answer = await server.api.inject({ method: 'GET', url: `/${id}/lifecycle` })
    return { status: answer.statusCode, body: answer.json(), origin: answer.headers['access-control-allow-origin'] }
  }
  const told = { isInput: true, videoUID: null, live: false }
  assert.deepEqual(await ask(uid), { status: 200, body: told, origin: '*' })
  for (const [state, live] of [
    ['connected', true],
    ['disconnected', false],
  ] as const) {
    const at = '2026-01-02T03:04:05.678Z'
    const current = { ingestProtocol: 'rtmp', state, reason: state, statusEnteredAt: at, statusLastSeen: at } as const
    const document: StatusDocument = { owner: 'one', epoch: 1, status: { current, history: [] } }
    await server.store.put(`status.${uid}`, JSON.stringify(document), 'any')
    for (let tries = 0; tries < 100 && (await ask(uid)).body.live !== live; tries++) await new Promise(setImmediate)
    assert.deepEqual((await ask(uid)).body, { ...told, live })
  }
  for (const id of [unknownId, 'x', '%00', '__proto__', 'a'.repeat(500)]) {
    const { status, body } = await ask(id)
    assert.deepEqual([status, body.success, body.errors[0].code], [404, false, 7003], id)
  }
})

test('/healthz, /readyz, /metrics and the lifecycle give away no header that a cache would keep', async () => {
  await using server = await startApi()
  for (const url of ['/healthz', '/readyz', '/metrics', `/${unknownId}/lifecycle`]) {
    const { headers } = await server.api.inject({ method: 'GET', url })
    assert.equal(headers['cache-control'], 'no-store', url)
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
  }
})
