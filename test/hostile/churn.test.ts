import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Destination, startDestination } from '../support/destination.ts'
import type { FlvTag } from '../support/flv.ts'
import { type Held, heldBy, inWords, probed } from '../support/held-resources.ts'
import { waitFor } from '../support/processes.ts'
import { openPublisher, type Publisher, publish } from '../support/publisher.ts'
import { type ServerUnderTest, startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/**
 * Encoders that come and go, and outputs that do: afterwards the server holds what it held before. The short form is part of
 * `npm test`; `npm run test:hostile` (HOSTILE=long) makes 20,000 cycles and 5,000 outputs.
 */
const isLong = process.env['HOSTILE'] === 'long'
const cycles = isLong ? 20_000 : 1_000
const outputCycles = isLong ? 5_000 : 250
const encodersAtOnce = 8
const outputsAtOnce = 20
/** Made before the first look, so that what is loaded and compiled once is not taken for a leak. */
const warmUp = 0.2

/** For code that is compiled later and caches that have a limit. A leak of 200 bytes a cycle shows in the long form, one of 8 KB in both. */
const heapGrowthMax = (isLong ? 4 : 8) * 2 ** 20
/** What pools keep does not count. The log of the broadcast that goes on grows by a slab of 256 KiB now and then. */
const buffersGrowthMax = 2 * 2 ** 20
const timeout = isLong ? 3_600_000 : 600_000
/** For one step of one encoder: a machine that has much else to do is no leak. */
const deadlineMs = 60_000

/** Metadata, headers, a key frame and half a second more. */
const fewTags: readonly FlvTag[] = syntheticTags({ kbps: 500, fps: 20 }).take(34).toArray()

function assertSameAs(before: Held, after: Held): void {
  const told = `before: ${inWords(before)}; after: ${inWords(after)}`
  // Keep-alive connections of this test's own HTTP client come and go.
  assert(after.fileDescriptors <= before.fileDescriptors + 2, told)
  const { Timeout: timersBefore = 0, Immediate: _before, ...resourcesBefore } = before.resources
  const { Timeout: timersAfter = 0, Immediate: _after, ...resourcesAfter } = after.resources
  for (const [name, count] of Object.entries(resourcesAfter))
    assert(count <= (resourcesBefore[name] ?? 0) + 2, `${count} ${name}, there were ${resourcesBefore[name] ?? 0}`)
  assert(timersAfter <= timersBefore + 3, `${timersAfter} timers, there were ${timersBefore}`)
  assert.equal(after.listeners, before.listeners, 'listeners of the process')
  assert(after.threads <= before.threads, `${after.threads} threads, there were ${before.threads}`)
  assert(after.heapUsed - before.heapUsed < heapGrowthMax, told)
  assert(after.arrayBuffers - before.arrayBuffers < buffersGrowthMax, told)
}

function assertNoWarning(server: ServerUnderTest): void {
  const warnings = server.log.filter((line) => /Warning/.test(String(line['msg'])))
  assert.deepEqual(warnings, [], 'Node has warned of a leak of listeners, or of something else')
  assert(!server.log.some((line) => line['level'] === 'error'), 'an error was logged')
}

/** Runs `work` for 0 … count − 1, so many at a time. */
async function inParallel(atOnce: number, count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await work(next++)
    }),
  )
}

/** Every way in which an encoder leaves. */
const leavings: readonly ((publisher: Publisher) => void)[] = [
  (publisher) => void publisher.goodbye(),
  (publisher) => publisher.vanish('reset'),
  (publisher) => publisher.vanish('fin'),
]

/** One encoder after the other with one key: connects, publishes, sends, leaves; now and then it does not come that far. */
async function encoderCycle(server: ServerUnderTest, key: string, count: number): Promise<void> {
  // The acceptance of TLS is another way in; a handshake is dear, so not each time.
  const url = count % 16 === 7 ? server.rtmpsUrl : server.rtmpUrl
  if (count % 10 === 9) {
    const stranger = await openPublisher({ url, key, deadlineMs })
    if (count % 20 === 9) await stranger.requestConnect()
    stranger.vanish()
    await stranger.closed
    return
  }
  const publisher = await publish({ url, key, deadlineMs })
  await publisher.replay(fewTags, { realtime: false })
  leavings[count % leavings.length]!(publisher)
  await publisher.closed
}

async function quiet(server: ServerUnderTest, uids: readonly string[]): Promise<void> {
  for (const uid of uids)
    await waitFor(
      'the input to be disconnected',
      async () => {
        const { status } = await server.input(uid)
        const { current } = status as unknown as { current: { state: string; reason: string } }
        return current.state === 'disconnected' && current.reason !== 'reconnecting'
      },
      deadlineMs,
    )
}

test(`${cycles.toLocaleString('en')} encoders come and go`, { timeout }, async (t) => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({ nodeArgs: probed, settings: { RECONNECT_WINDOW: '1', LOG_LEVEL: 'info' } })
  const inputs = await Promise.all(Array.from({ length: encodersAtOnce }, () => server.createInput()))
  for (const { uid } of inputs) await server.addOutput(uid, { url: destination.url(), streamKey: `of-${uid}` })
  const run = async (count: number) => {
    await inParallel(encodersAtOnce, encodersAtOnce, async (index) => {
      for (let cycle = index; cycle < count; cycle += encodersAtOnce)
        await encoderCycle(server, inputs[index]!.rtmps.streamKey, Math.floor(cycle / encodersAtOnce) + index)
      destination.forget()
    })
    await quiet(
      server,
      inputs.map(({ uid }) => uid),
    )
    await waitFor('no connection to the destination', () => destination.publishing.length === 0, deadlineMs)
  }
  await run(cycles * warmUp)
  const before = await heldBy(server)
  const start = performance.now()
  await run(cycles)
  const seconds = (performance.now() - start) / 1_000
  const after = await heldBy(server)
  t.diagnostic(`${cycles} cycles in ${seconds.toFixed(0)} s; before: ${inWords(before)}; after: ${inWords(after)}`)
  assertSameAs(before, after)
  assertNoWarning(server)
})

async function outputCycle(server: ServerUnderTest, uid: string, destination: Destination, key: string): Promise<void> {
  const output = await server.addOutput(uid, { url: destination.url(), streamKey: key })
  const connection = await destination.publishOf(key, deadlineMs)
  await waitFor('media at the output', () => connection.counts.video > 0, deadlineMs)
  const { status } = await server.api('DELETE', `/${uid}/outputs/${output.uid}`)
  assert.equal(status, 200)
  await connection.ends(deadlineMs)
}

test(`${outputCycles.toLocaleString('en')} outputs come and go in one broadcast`, { timeout }, async (t) => {
  await using destination = await startDestination({ recording: 'counts' })
  await using server = await startServer({ nodeArgs: probed, settings: { LOG_LEVEL: 'info' } })
  const input = await server.createInput()
  await server.addOutput(input.uid, { url: destination.url(), streamKey: 'one-that-stays' })
  await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey, deadlineMs })
  const stop = new AbortController()
  const replay = publisher.replay(syntheticTags({ kbps: 600, fps: 25, gopMs: 1_000 }), { signal: stop.signal })
  const stays = await destination.publishOf('one-that-stays', deadlineMs)
  const run = async (count: number, name: string) => {
    await inParallel(outputsAtOnce, count, (index) =>
      outputCycle(server, input.uid, destination, `${name}-${index}`).finally(() => destination.forget()),
    )
    await waitFor('one connection to the destination', () => destination.publishing.length === 1, deadlineMs)
  }
  await run(outputCycles * warmUp, 'before')
  const before = await heldBy(server)
  const start = performance.now()
  await run(outputCycles, 'then')
  const seconds = (performance.now() - start) / 1_000
  const after = await heldBy(server)
  t.diagnostic(
    `${outputCycles} outputs in ${seconds.toFixed(0)} s; before: ${inWords(before)}; after: ${inWords(after)}`,
  )
  assertSameAs(before, after)
  assert.deepEqual(stays.ledger.gaps, [], 'the output that stays has noticed')
  assert.equal(stays.end, undefined)
  stop.abort()
  await replay
  assertNoWarning(server)
})
