import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LiveInput } from '../../src/model/live-input.ts'
import type { InputStateEvent, ThreadFigures } from '../../src/model/status.ts'
import { type Destination, startDestination } from '../support/destination.ts'
import { type InProcessServer, newOutput, startInProcess } from '../support/in-process.ts'
import { startFeed } from '../support/live-feed.ts'
import { freePort, waitFor, within } from '../support/processes.ts'

/**
 * Several media threads share one port, and the system deals encoders out among them. Whichever thread an encoder ends up on, first or
 * after a break, its outputs notice nothing.
 */
const threads = 3
const timeout = 90_000
const small = { kbps: 1_500, fps: 30, gopMs: 1_000 }

/** A live input with one output, whose key at the destination is its uid. */
async function relayed(server: InProcessServer, destination: Destination): Promise<LiveInput> {
  const input = await server.putInput()
  return server.edit(input, (wish) => ({ ...wish, outputs: [newOutput(destination.url(), input.uid)] }))
}

const feedOf = (server: InProcessServer, input: LiveInput, options: object = {}) =>
  startFeed(server.rtmpUrl, input.streamKey.reveal(), { ...small, ...options })

/** All of it on one connection, each session whole. */
function assertWholeSessions(destination: Destination, input: LiveInput, sessions: readonly number[]): void {
  const connections = destination.connections.filter(({ key }) => key === input.uid)
  assert.equal(connections.length, 1)
  const { violations, ledger } = connections[0]!
  assert.deepEqual(
    { violations, gaps: ledger.gaps, broken: ledger.brokenGroups, sessions: ledger.sessions },
    { violations: [], gaps: [], broken: [], sessions },
  )
}

test('an encoder that comes back ten times, on whichever thread, goes on where it was', { timeout }, async () => {
  await using server = await startInProcess(threads)
  await using destination = await startDestination()
  const input = await relayed(server, destination)
  const sessions = Array.from({ length: 11 }, (_, session) => session)
  for (const session of sessions) {
    const feed = await feedOf(server, input, { session })
    const connection = await destination.publishOf(input.uid)
    await waitFor('its frames', () => connection.ledger.sessions.includes(session))
    await connection.receives(20, 'video')
    if (session < 10) await feed.vanish()
    else await feed.stop()
    if (session === 10) assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  }
  assertWholeSessions(destination, input, sessions)
  assert.ok(server.supervisor.relayedPublishers > 0, 'some came back on another thread')
})

test('frames of a megabyte go to the thread that has the input, whole', { timeout }, async () => {
  await using server = await startInProcess(threads)
  await using destination = await startDestination()
  const input = await relayed(server, destination)
  const heavy = { kbps: 40_000, fps: 30, gopMs: 1_000, keyFrameRatio: 10 }
  let session = 0
  for (; session < 12; session++) {
    const before = server.supervisor.relayedPublishers
    const feed = await feedOf(server, input, { session, ...heavy })
    const connection = await destination.publishOf(input.uid)
    await waitFor('its frames', () => connection.ledger.sessions.includes(session))
    const isRelayed = server.supervisor.relayedPublishers > before
    // Several rings full.
    if (isRelayed) await connection.receives(60, 'video')
    if (isRelayed || session === 11) await feed.stop()
    else await feed.vanish()
    if (!isRelayed) continue
    await connection.ends()
    break
  }
  const sessions = Array.from({ length: session + 1 }, (_, index) => index)
  assertWholeSessions(destination, input, sessions)
  assert.equal(server.supervisor.relayedPublishers, 1)
})

test('an encoder takes over from one on another thread, which is told', { timeout }, async () => {
  await using server = await startInProcess(threads)
  await using destination = await startDestination()
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      const input = await relayed(server, destination)
      await using first = await feedOf(server, input, { session: 1 })
      const connection = await destination.publishOf(input.uid)
      await connection.receives(20, 'video')
      await using second = await feedOf(server, input, { session: 2 })
      assert.equal((await first.publisher.waitForStatus('NetStream.Publish.BadName')).level, 'error')
      await within('the first one to be cut', first.publisher.closed, 5_000)
      await connection.receives(20, 'video')
      await second.stop()
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
      assertWholeSessions(destination, input, [1, 2])
    }),
  )
  assert.ok(server.supervisor.relayedPublishers > 0, 'some came on another thread')
})

test('an input at rest moves to where its encoder arrives', { timeout }, async () => {
  await using server = await startInProcess(threads)
  await using destination = await startDestination()
  for (let run = 0; run < 3; run++) {
    const inputs = await Promise.all(Array.from({ length: 4 }, () => relayed(server, destination)))
    await Promise.all(
      inputs.map(async (input) => {
        await using feed = await feedOf(server, input)
        const connection = await destination.publishOf(input.uid)
        await connection.receives(10, 'video')
        await feed.stop()
        await connection.ends()
      }),
    )
  }
  assert.equal(server.supervisor.relayedPublishers, 0)
})

test('of two broadcasts with very many outputs each thread carries one, though both encoders arrive at the same', {
  timeout,
}, async () => {
  await using server = await startInProcess(2)
  await using destination = await startDestination()
  const nobody = await freePort()
  // The system deals them out by chance: one round of two has both on one thread.
  for (let round = 0; round < 16 && server.supervisor.relayedPublishers === 0; round++) {
    const inputs = await Promise.all(
      [0, 1].map(async () => {
        const input = await server.putInput()
        return server.edit(input, (wish) => ({
          ...wish,
          outputs: [
            ...Array.from({ length: 10 }, (_, index) => newOutput(destination.url(), `${input.uid}${index}`)),
            // Nobody is there: they are work all the same, for all that anybody knows.
            ...Array.from({ length: 190 }, () => newOutput(`rtmp://127.0.0.1:${nobody}/live`, 'none')),
          ],
        }))
      }),
    )
    const feeds = []
    for (const input of inputs) feeds.push(await feedOf(server, input, { session: round }))
    const keys = inputs.flatMap(({ uid, outputs }) => outputs.slice(0, 10).map((_, index) => `${uid}${index}`))
    const connections = await Promise.all(keys.map((key) => destination.publishOf(key)))
    await Promise.all(connections.map((connection) => connection.receives(20, 'video')))
    for (const feed of feeds) await feed.stop()
    for (const connection of connections) {
      const { violations, ledger } = connection
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
      assert.deepEqual([violations, ledger.gaps, ledger.brokenGroups, ledger.sessions], [[], [], [], [round]])
    }
  }
  assert.ok(server.supervisor.relayedPublishers > 0)
})

test('a thread that dies is replaced, and its broadcasts go on with their encoders', { timeout }, async () => {
  await using server = await startInProcess(2)
  await using destination = await startDestination()
  const states = new Map<string, string[]>()
  server.bus.subscribe('state.input.>', (message) => {
    const { inputId, status } = message as unknown as InputStateEvent
    states.set(inputId, [...(states.get(inputId) ?? []), status.current.state])
  })
  const inputs = await Promise.all(Array.from({ length: 4 }, () => relayed(server, destination)))
  const feeds = await Promise.all(inputs.map((input) => feedOf(server, input, { session: 1 })))
  for (const { uid } of inputs) await (await destination.publishOf(uid)).receives(10, 'video')
  await Promise.all([server.media.killThread(0), server.media.killThread(1)])
  for (const feed of feeds) await within('an encoder to notice', feed.publisher.closed, 10_000)
  await waitFor('the new threads', () => server.media.threadsReplaced === 2, 20_000)
  // The bus tells of it in a later turn of the loop.
  await waitFor('their ends', () => [...states.values()].every((states) => states.length === 2))
  assert.deepEqual([...states.values()], Array(4).fill(['connected', 'disconnected']))

  // As encoders do: again and again until somebody listens.
  const again = await Promise.all(
    inputs.map((input) =>
      waitFor('somebody to listen', () => feedOf(server, input, { session: 2 }).catch(() => undefined)),
    ),
  )
  for (const { uid } of inputs) {
    const connection = await waitFor('the second publish', () =>
      destination.connections.findLast(({ key, ledger }) => key === uid && ledger.sessions.includes(2)),
    )
    await connection.receives(20, 'video')
    assert.deepEqual(connection.ledger.gaps, [])
  }
  for (const feed of again) await feed.stop()
  await waitFor('their ends', () => [...states.values()].every((states) => states.length === 4))
  assert.deepEqual([...states.values()], Array(4).fill(['connected', 'disconnected', 'connected', 'disconnected']))
})

test('where a port cannot be shared, media stays in one thread', async () => {
  await using server = await startInProcess(2, async () => false)
  await using destination = await startDestination()
  const told: ThreadFigures[] = []
  server.bus.subscribe('media.thread.0', (message) => told.push(message as unknown as ThreadFigures))
  const input = await relayed(server, destination)
  await using feed = await feedOf(server, input)
  await (await destination.publishOf(input.uid)).receives(10, 'video')
  const { busy, loopDelayP99Ms, loopDelayMaxMs } = await waitFor('how it does', () => told[0])
  assert.ok(busy > 0 && busy <= 1, `busy: ${busy}`)
  assert.ok(loopDelayP99Ms <= loopDelayMaxMs)
  await assert.rejects(server.media.killThread(0), /no thread but this one/)
  await feed.stop()
})

test('encoders that come back all the time use the same memory again', { timeout }, async () => {
  await using server = await startInProcess(2)
  await using destination = await startDestination()
  const input = await relayed(server, destination)
  const relays = () => server.supervisor.relayedPublishers
  for (let session = 0; session < 40 && relays() < 8; session++) {
    const feed = await feedOf(server, input, { session })
    const connection = await destination.publishOf(input.uid)
    await waitFor('its frames', () => connection.ledger.sessions.includes(session))
    await feed.vanish()
  }
  assert.ok(relays() >= 8, `${relays()} were relayed`)
  await waitFor('all relays to be over', () => server.supervisor.relaysUnderWay === 0)
  assert.ok(server.supervisor.relayRingsMade <= 2, `${server.supervisor.relayRingsMade} rings were made`)
})
