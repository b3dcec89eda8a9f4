import assert from 'node:assert/strict'
import { test } from 'node:test'
import { account, inputsPath, ManualClock, startApi, unknownId } from '../../test/support/api-fixture.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import { figuresSubject } from '../model/status.ts'
import { BitrateHistory } from './bitrate-history.ts'
import type { BitratesOfInput } from './dashboard-types.ts'

const input = 'a'.repeat(32) as LiveInputId
const other = 'b'.repeat(32) as AccountId

type Stage = {
  readonly history: BitrateHistory
  /** A second passes, and, unless it is undefined, a figure comes. */
  readonly second: (kbps?: number) => void
}

async function withHistory(run: (stage: Stage) => void | Promise<void>, isInput = () => true): Promise<void> {
  const clock = new ManualClock()
  await using server = await startApi()
  const { bus } = server
  const history = new BitrateHistory({ bus, clock, isInput })
  try {
    const second = (kbps?: number) => {
      clock.advance(1_000)
      if (kbps === undefined) return
      const figures = { bitrateKbps: kbps, bytesReceived: 1, warnings: [] }
      bus.publish(figuresSubject(account, input), {
        accountId: account,
        inputId: input,
        at: '2026-01-02T03:04:05.678Z',
        input: figures,
        outputs: {},
      })
    }
    await run({ history, second })
  } finally {
    history.close()
  }
}

const settled = () => new Promise(setImmediate)

test('what came is answered oldest first, with gaps where nothing was live', () =>
  withHistory(async ({ history, second }) => {
    assert.deepEqual(history.of(account, input), [])
    for (const kbps of [100, 200.4, undefined, undefined, 300]) {
      second(kbps)
      await settled()
    }
    assert.deepEqual(history.of(account, input), [100, 200, null, null, 300])
    second()
    second()
    assert.deepEqual(history.of(account, input), [100, 200, null, null, 300, null, null])
  }))

test('ten minutes are kept and no more, over a long silence too', () =>
  withHistory(async ({ history, second }) => {
    for (let count = 1; count <= 700; count++) {
      second(count)
      await settled()
    }
    assert.deepEqual(
      history.of(account, input),
      Array.from({ length: 600 }, (_, index) => index + 101),
    )
    for (let count = 0; count < 599; count++) second()
    assert.deepEqual(history.of(account, input), [700, ...Array(599).fill(null)])
    second(5)
    await settled()
    assert.deepEqual(history.of(account, input), [5])
  }))

test('another account sees nothing, and what is no live input is not kept', async () => {
  await withHistory(async ({ history, second }) => {
    second(100)
    await settled()
    assert.deepEqual(history.of(other, input), [])
  })
  await withHistory(
    async ({ history, second }) => {
      second(100)
      await settled()
      assert.deepEqual(history.of(account, input), [])
    },
    () => false,
  )
})

test('the route answers who may read the account, for live inputs that exist', async () => {
  await using server = await startApi()
  const { uid } = await server.result('POST', inputsPath, {})
  const path = (accountId: string, inputId: string) => `/dashboard/bitrates/${accountId}/${inputId}`
  const { status, body } = await server.call('GET', path(account, uid))
  assert.equal(status, 200)
  assert.deepEqual(body.result as BitratesOfInput, { stepMs: 1_000, kbps: [] })
  assert.equal((await server.call('GET', path(account, unknownId))).status, 404)
  assert.equal((await server.call('GET', path(other, uid))).status, 403)
  assert.equal((await server.call('GET', path(account, uid), undefined, { authorization: '' })).status >= 400, true)
})
