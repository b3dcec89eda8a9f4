import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** Out of file descriptors: broadcasts go on, nothing spins, and listeners take connections again by themselves. */

const main = fileURLToPath(new URL('limited-machine.ts', import.meta.url))
const filesMax = 96

test('out of file descriptors', { timeout: 300_000 }, async () => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({
    main,
    env: { TEST_FILES_MAX: `${filesMax}` },
    settings: { MEDIA_THREADS: '1' },
    readyDeadlineMs: 30_000,
  })
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'before' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 500, fps: 25, gopMs: 1_000 }), { signal: stop.signal })
  const before = await destination.publishOf('before')
  await before.receives(10)
  const { uid } = await server.addOutput(input.uid, { url: destination.url(), streamKey: 'meanwhile', enabled: false })

  const files = async () => (await readdir(`/proc/${server.program.pid}/fd`)).length
  const flood: Socket[] = []
  const cut = new Set<Socket>()
  const knock = async () => {
    const socket = connect(server.ports.rtmp, '127.0.0.1')
    socket.on('error', () => {}).on('close', () => cut.add(socket))
    flood.push(socket)
    await once(socket, 'connect').catch(() => {})
  }
  // One call is on its way over a connection that is there already, when there are no more.
  const agent = connect(server.ports.http, '127.0.0.1')
  await once(agent, 'connect')
  while ((await files()) < filesMax) await knock()
  for (let more = 0; more < 30; more++) await knock()
  await waitFor('connections that are too many to be closed', () => cut.size > 0)

  // An output that wants to connect now fails with a reason, is tried again, and nothing spins meanwhile.
  const enabled = JSON.stringify({ enabled: true })
  agent.write(
    `PUT /client/v4/accounts/${server.accountId}/stream/live_inputs/${input.uid}/outputs/${uid} HTTP/1.1\r\n` +
      `host: localhost\r\nauthorization: Bearer ${server.token}\r\nconnection: close\r\n` +
      `content-length: ${enabled.length}\r\n\r\n${enabled}`,
  )
  assert.match(String(await once(agent, 'data')), /^HTTP\/1.1 200 /)
  const told = await server.waitForLog(
    'the output to fail',
    (line) => line['outputId'] === uid && line['msg'] === 'output state changed' && line['to'] === 'reconnecting',
    20_000,
  )
  const cpuBefore = await server.program.cpuMs()
  await before.receives(50)
  assert.ok((await server.program.cpuMs()) - cpuBefore < 1_500, 'two seconds of a quiet broadcast took a core')
  assert.equal(before.end, undefined)

  for (const socket of flood) socket.destroy()
  const meanwhile = await destination.publishOf('meanwhile', 40_000)
  await meanwhile.receives(10)
  await using another = await publish({ url: server.rtmpsUrl, key: (await server.createInput()).rtmps.streamKey })
  assert.equal(another.statuses.at(-1)?.code, 'NetStream.Publish.Start')
  stop.abort()
  await replay
  assert.deepEqual(before.ledger.gaps, [], 'the broadcast has noticed')
  assert.match(String(told['message']), /EMFILE.*no file descriptor left: raise the limit \(ulimit -n\)/)
  const errors = server.log.filter(({ level }) => level === 'error')
  assert.deepEqual(errors, [])
})
