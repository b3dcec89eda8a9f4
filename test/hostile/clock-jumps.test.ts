import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startDestination } from '../support/destination.ts'
import { freePort, waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type CreatedOutput, type ServerUnderTest, startServer, type WireStatus } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** A machine's clock that is set forward and back while the server runs, by more than Node's timers can wait, too. */

const dayMs = 86_400_000
const jumps = [400 * dayMs, -40 * dayMs, -1_000, 0]
const nodeArgs = ['--import', fileURLToPath(new URL('../support/moved-clock.ts', import.meta.url))]

test('a clock that jumps', { timeout: 300_000 }, async () => {
  let hookStatus = 200
  const requests: string[] = []
  await using receiver = createServer(async (request, response) => {
    requests.push(Buffer.concat(await request.toArray()).toString())
    response.writeHead(hookStatus).end()
  })
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  const awayPort = await freePort()
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({ nodeArgs, env: { TEST_CLOCK_OFFSETS: jumps.join() } })
  const input = await server.createInput()
  const live = await server.addOutput(input.uid, { url: destination.url(), streamKey: 'live' })
  const away = await server.addOutput(input.uid, { url: `rtmp://127.0.0.1:${awayPort}/app`, streamKey: 'away' })
  const root = `/client/v4/accounts/${server.accountId}`
  const token = await server.api<{ value: string }>('POST', `${root}/tokens`, {
    name: 'for a day',
    scopes: ['Stream Read'],
    expires_on: new Date(Date.now() + dayMs).toISOString(),
  })
  const hook = await server.api<{ id: string }>('POST', `${root}/alerting/v3/destinations/webhooks`, {
    name: 'mine',
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
  })
  const policy = await server.api('POST', `${root}/alerting/v3/policies`, {
    name: 'all',
    alert_type: 'stream_live_notifications',
    enabled: true,
    mechanisms: { webhooks: [{ id: hook.json.result.id }] },
  })
  assert.equal(policy.status, 200, JSON.stringify(policy.json.errors))
  const statusWithToken = () => statusOf(server, token.json.result.value)
  assert.equal(await statusWithToken(), 200)

  // The receiver fails at first, so that a delivery waits for its next attempt when the clock is set.
  hookStatus = 500
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25 }), { signal: stop.signal })
  const connection = await destination.publishOf('live')
  await server.waitForOutput(input.uid, away.uid, { state: 'reconnecting' })
  await waitFor('a notification that fails', () => requests.some((body) => body.includes('live_input.connected')))

  const jump = async () => {
    const lines = server.log.length
    server.program.signal('SIGUSR2')
    await waitFor('the clock to be moved', () =>
      server.log.slice(lines).some(({ msg }) => msg === 'the clock was moved'),
    )
    await connection.receives(30)
  }
  await jump()
  assert.equal(await statusWithToken(), 403, 'a token that has expired')
  const cpuBefore = await server.program.cpuMs()
  await jump()
  assert.equal(await statusWithToken(), 200)
  // What waits for a time that is far ahead now is due at once, and a timer that cannot wait so long does not spin.
  hookStatus = 200
  const before = requests.length
  await waitFor('the notification', () => requests.length > before, 30_000)
  await connection.receives(30)
  assert.ok((await server.program.cpuMs()) - cpuBefore < 8_000, 'something spins')
  // The heartbeat of a live status goes on although its last one is in the future now.
  const seenAt = async () => Date.parse(currentOf(await server.outputs(input.uid), live.uid).statusLastSeen)
  await waitFor('a heartbeat', async () => (await seenAt()) < Date.now() - 39 * dayMs, 30_000)

  await jump()
  // The back-off has not stretched: the longest wait is 30 s.
  await using _back = await startDestination({ recording: 'counts', port: awayPort })
  await _back.publishOf('away', 45_000)
  await jump()
  stop.abort()
  await replay
  assert.deepEqual([connection.ledger.gaps, connection.end], [[], undefined])
  assert.equal(destination.connections.length, 1)
  await publisher.goodbye()
  assert.ok(!server.log.some(({ level }) => level === 'error'))
})

function currentOf(outputs: readonly CreatedOutput[], uid: string): { readonly statusLastSeen: string } {
  const status = outputs.find((output) => output.uid === uid)?.['status'] as unknown as WireStatus
  return status.current as unknown as { statusLastSeen: string }
}

async function statusOf(server: ServerUnderTest, token: string): Promise<number> {
  const answer = await fetch(`${server.baseUrl}/accounts/${server.accountId}/stream/live_inputs`, {
    headers: { authorization: `Bearer ${token}`, connection: 'close' },
  })
  await answer.text()
  return answer.status
}
