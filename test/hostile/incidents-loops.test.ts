import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startDestination } from '../support/destination.ts'
import { assertWholeToTheEnd, healthOf, startFeed } from '../support/live-feed.ts'
import { waitFor } from '../support/processes.ts'
import { type CreatedInput, type CreatedOutput, type ServerUnderTest, startServer } from '../support/server.ts'

/** Outputs that lead back to where they come from, between real servers. */

const timeout = 300_000
/** For a state to come about: on a machine that does much else. */
const deadlineMs = 90_000
/** A server that relays one feed of 3 Mbit/s has a hundredth of a core to do; a feed in a circle has all of it. */
const cpuShareMax = 0.5
const idForm = /^[A-Za-z0-9_-]{16}(,[A-Za-z0-9_-]{16})*$/

const feedTo = (server: ServerUnderTest, input: CreatedInput) =>
  startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: 1_000 })

function leadTo(server: ServerUnderTest, input: CreatedInput) {
  return { url: server.rtmpUrl, streamKey: input.rtmps.streamKey }
}

const failureOf = (output: CreatedOutput) =>
  (output['health'] as { lastError?: { code: string; message: string } } | undefined)?.lastError

/** The output says what is wrong, is not tried in haste, and the servers have next to nothing to do. */
async function isFoundAndQuiet(
  server: ServerUnderTest,
  input: CreatedInput,
  output: CreatedOutput,
  servers: readonly ServerUnderTest[] = [server],
): Promise<void> {
  const found = await server.waitForOutput(
    input.uid,
    output.uid,
    { state: 'error', reason: 'loop_detected' },
    deadlineMs,
  )
  assert.match(failureOf(found)?.message ?? '', /leads back to the live input/)
  const before = await Promise.all(servers.map(({ program }) => program.cpuMs()))
  const began = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  const tookMs = performance.now() - began
  for (const [index, { program }] of servers.entries()) {
    const share = ((await program.cpuMs()) - before[index]!) / tookMs
    assert.ok(share < cpuShareMax, `server ${index} took ${share.toFixed(2)} of a core`)
  }
  const later = (await server.outputs(input.uid)).find(({ uid }) => uid === output.uid)!
  assert.equal(healthOf(later).attempts, 1, 'not tried again and again')
}

describe('an output that leads back', { concurrency: true }, () => {
  test('to its own input: A -> A', { timeout }, async () => {
    await using server = await startServer()
    await using destination = await startDestination()
    const input = await server.createInput()
    const loop = await server.addOutput(input.uid, leadTo(server, input))
    await server.addOutput(input.uid, { url: destination.url(), streamKey: 'good' })
    const feed = await feedTo(server, input)
    await isFoundAndQuiet(server, input, loop)
    // The encoder has not been taken over, and the other output has all that it sent.
    assert.equal(feed.publisher.statuses.length, 1)
    assert.equal(destination.connections.length, 1)
    await feed.stop()
    assert.ok((await destination.nextPublish()).key === 'good')
  })

  test('over another server: A -> B -> A, whichever of them goes live first', { timeout }, async () => {
    await using a = await startServer()
    await using b = await startServer()
    const onA = await a.createInput()
    const onB = await b.createInput()
    const forth = await a.addOutput(onA.uid, leadTo(b, onB))
    const back = await b.addOutput(onB.uid, leadTo(a, onA))
    const feed = await feedTo(a, onA)
    await a.waitForOutput(onA.uid, forth.uid, { state: 'connected' }, deadlineMs)
    await isFoundAndQuiet(b, onB, back, [a, b])
    await feed.stop()
    await b.waitForOutput(onB.uid, back.uid, { state: 'disconnected' }, deadlineMs)

    const other = await feedTo(b, onB)
    await b.waitForOutput(onB.uid, back.uid, { state: 'connected' }, deadlineMs)
    await a.waitForOutput(onA.uid, forth.uid, { state: 'error', reason: 'loop_detected' }, deadlineMs)
    await other.stop()
  })

  test('that closes when a feed of ours takes over where an encoder was', { timeout }, async () => {
    await using a = await startServer()
    await using b = await startServer()
    const onA = await a.createInput()
    const [onB, onC] = [await b.createInput(), await b.createInput()]
    const toC = await b.addOutput(onB.uid, leadTo(b, onC))
    await using encoder = await feedTo(b, onB)
    await b.waitForOutput(onB.uid, toC.uid, { state: 'connected' }, deadlineMs)
    // A takes B over. C was told that the feed begins at B, and must hear of A.
    await using feed = await feedTo(a, onA)
    const toB = await a.addOutput(onA.uid, leadTo(b, onB))
    await a.waitForOutput(onA.uid, toB.uid, { state: 'connected' }, deadlineMs)
    assert.notEqual(encoder.publisher.statuses.at(-1)?.code, 'NetStream.Publish.Start', 'the encoder was cut')
    await waitFor(
      'C to be told anew',
      async () => {
        const output = await b.waitForOutput(onB.uid, toC.uid, { state: 'connected' }, deadlineMs)
        return healthOf(output).attempts === 2
      },
      deadlineMs,
    )
    const toA = await b.addOutput(onC.uid, leadTo(a, onA))
    await isFoundAndQuiet(b, onC, toA, [a, b])
    await feed.stop()
  })
})

test('inputs in a row are no loop, media stays as it came, and only the connect object tells of the way', {
  timeout,
}, async () => {
  await using a = await startServer()
  await using b = await startServer()
  await using destination = await startDestination()
  const [first, last] = [await a.createInput(), await a.createInput()]
  const middle = await b.createInput()
  await a.addOutput(first.uid, leadTo(b, middle))
  await b.addOutput(middle.uid, leadTo(a, last))
  await a.addOutput(last.uid, { url: destination.url(), streamKey: 'end' })
  const feed = await startFeed(a.rtmpUrl, first.rtmps.streamKey, { kbps: 1_000 })
  const connection = await destination.nextPublish(deadlineMs)
  const path = connection.connect['relayPath']
  assert.match(String(path), idForm)
  assert.equal(String(path).split(',').length, 3)
  for (const { rtmps, uid } of [first, middle, last])
    for (const secret of [rtmps.streamKey, uid]) assert.ok(!String(path).includes(secret.slice(0, 8)))
  await feed.stop()
  await connection.closed
  assertWholeToTheEnd(connection, feed)
})
