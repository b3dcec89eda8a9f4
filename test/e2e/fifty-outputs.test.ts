import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { assertUndisturbed, assertWhole, assertWholeToTheEnd, startFeed } from '../support/live-feed.ts'
import { waitFor } from '../support/processes.ts'
import { type CreatedOutput, startServer } from '../support/server.ts'
import { testCa } from '../support/tls.ts'

/**
 * The recommended maximum: fifty outputs of one 1080p60 feed with 12,000 kbps, four of them over TLS. Thirty seconds in which nothing
 * happens, then, in the same broadcast, ten seconds in which outputs come and go.
 */
const outputsMax = 50
const secureOutputs = 4
const feedKbps = 12_000
const quietMs = 30_000
/** A removed or disabled output is gone from its destination within this time. */
const goneMs = 1_000

test('fifty outputs of one 12,000 kbps input, every one complete', { timeout: 120_000 }, async (t) => {
  await using ca = await testCa()
  await using plain = await startDestination({ recording: 'counts' })
  await using secure = await startDestination({ recording: 'counts', tls: await ca.serverCert('localhost') })
  await using server = await startServer({ env: { NODE_EXTRA_CA_CERTS: ca.caPem } })
  const input = await server.createInput()
  const outputs: CreatedOutput[] = []
  const destinationOf = (index: number): Destination => (index < secureOutputs ? secure : plain)
  const add = async (index: number, streamKey: string) => {
    const url = destinationOf(index) === secure ? secure.url('localhost') : plain.url()
    const output = await server.addOutput(input.uid, { url, streamKey })
    outputs[index] = output
    return output
  }
  for (let index = 0; index < outputsMax; index++) await add(index, `output-${index}`)

  await t.test('the 51st is refused', async () => {
    const body = { url: plain.url(), streamKey: 'one-too-many' }
    const { status, json } = await server.api('POST', `/${input.uid}/outputs`, body)
    assert(status >= 400 && status < 500, `${status}`)
    assert.equal(json.success, false)
    assert.match(json.errors[0]!.message, /50/)
    assert.equal((await server.outputs(input.uid)).length, outputsMax)
  })

  await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { kbps: feedKbps })
  const connections = await Promise.all(
    outputs.map(({ streamKey }, index) => destinationOf(index).publishOf(streamKey, 15_000)),
  )
  const cpuBefore = await server.program.cpuMs()
  await pause(quietMs)
  const cpuMs = (await server.program.cpuMs()) - cpuBefore

  await t.test('for thirty seconds', async (t) => {
    assert.equal(plain.connections.length + secure.connections.length, outputsMax, 'one connection each')
    assert.equal(connections.filter(({ end }) => end).length, 0, 'none has ended')
    await assertUndisturbed(server, input.uid)
    for (const output of await server.outputs(input.uid)) {
      const { current } = output['status'] as { current: { state: string } }
      assert.equal(current.state, 'connected', output.streamKey)
    }
    for (const connection of connections) {
      assertWhole(connection)
      const { video, bytes } = connection.counts
      assert(video >= (60 * quietMs) / 1_000 - 60, `${connection.key} received only ${video} pictures`)
      assert(bytes >= 0.95 * ((feedKbps * quietMs) / 8), `${connection.key} received only ${bytes} bytes`)
    }
    const delays = connections.map(({ ledger }) => ledger.delayMs(0.99))
    t.diagnostic(`99 of 100 messages within ${Math.max(...delays).toFixed(1)} ms at the slowest destination`)
    t.diagnostic(`the server took ${Math.round((cpuMs / quietMs) * 100)} % of a core`)
  })

  // Some of each kind, plain and over TLS.
  const removed = [0, 10, 11, 12]
  const disabled = [1, 20, 21, 22]
  const changed = new Set([...removed, ...disabled])

  await t.test('outputs removed and disabled are gone within a second, with a goodbye', async () => {
    const goneWithin = async (connection: DestinationConnection, call: Promise<{ status: number }>) => {
      assert.equal((await call).status, 200)
      const calledAt = performance.now()
      assert.deepEqual(await connection.ends(5_000), { how: 'fin', goodbye: true }, connection.key)
      const tookMs = performance.now() - calledAt
      assert(tookMs < goneMs, `${connection.key} was gone only after ${tookMs} ms`)
    }
    const path = (index: number) => `/${input.uid}/outputs/${outputs[index]!.uid}`
    await Promise.all([
      ...removed.map((index) => goneWithin(connections[index]!, server.api('DELETE', path(index)))),
      ...disabled.map((index) => goneWithin(connections[index]!, server.api('PUT', path(index), { enabled: false }))),
    ])
    for (const index of changed) assertWhole(connections[index]!)
    for (const index of disabled)
      await server.waitForOutput(input.uid, outputs[index]!.uid, { state: 'disconnected', reason: 'disabled' })
  })

  const joined: DestinationConnection[] = []
  await t.test('outputs added and enabled begin at a key frame', async () => {
    const newKeys = removed.map((index) => ({ index, key: `joined-${index}` }))
    for (const { index, key } of newKeys) await add(index, key)
    for (const index of disabled)
      assert.equal(
        (await server.api('PUT', `/${input.uid}/outputs/${outputs[index]!.uid}`, { enabled: true })).status,
        200,
      )
    for (const { index, key } of newKeys) joined.push(await destinationOf(index).publishOf(key))
    for (const index of disabled)
      joined.push(
        await waitFor(`output-${index} to be back`, () =>
          destinationOf(index).publishing.find(({ key }) => key === `output-${index}`),
        ),
      )
    await Promise.all(joined.map((connection) => connection.receives(120, 'video')))
    for (const connection of joined) assertWhole(connection)
    const late = newKeys.map(({ index }) => outputs[index]!.uid)
    await assertUndisturbed(server, input.uid, late)
  })

  await t.test('the rest stays connected with not one gap, to the last message', async () => {
    const rest = connections.filter((_, index) => !changed.has(index))
    assert.equal(rest.filter(({ end }) => end).length, 0)
    await assertUndisturbed(
      server,
      input.uid,
      outputs.filter((_, index) => !changed.has(index)).map(({ uid }) => uid),
    )
    assert.equal(plain.connections.length + secure.connections.length, outputsMax + changed.size)
    await feed.stop()
    for (const connection of [...rest, ...joined]) {
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true }, connection.key)
      assertWholeToTheEnd(connection, feed)
    }
  })
})
