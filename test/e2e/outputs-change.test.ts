import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { liveInputKey } from '../../src/model/live-input.ts'
import { type Destination, type DestinationConnection, startDestination } from '../support/destination.ts'
import { type FlvTag, isKeyFrame, isSequenceHeader } from '../support/flv.ts'
import { newOutput, startInProcess } from '../support/in-process.ts'
import { assertUndisturbed, assertWhole, assertWholeToTheEnd, type LiveFeed, startFeed } from '../support/live-feed.ts'
import { waitFor, within } from '../support/processes.ts'
import { PublishRefused, publish } from '../support/publisher.ts'
import { type CreatedInput, type CreatedOutput, type ServerUnderTest, startServer } from '../support/server.ts'
import { readStamp, syntheticTags } from '../support/synthetic-source.ts'
import { testCa } from '../support/tls.ts'

/** What changes during a broadcast, changes at once and for those alone whom it concerns. */

/** Removed, disabled, deleted: gone within this time. The documented promise is 30 s. */
const goneMs = 1_000
const timeout = 60_000
const small = { kbps: 1_500, fps: 30, gopMs: 1_000 }

let server: ServerUnderTest
/** Of every key that this file hands out: none may be in the log. */
const secrets: string[] = []

before(async () => {
  server = await startServer({ settings: { LOG_LEVEL: 'debug' } })
})
after(async () => {
  await server?.[Symbol.asyncDispose]()
})

async function newInput(): Promise<CreatedInput> {
  const input = await server.createInput()
  secrets.push(input.rtmps.streamKey)
  return input
}

async function add(input: CreatedInput, destination: Destination, name: string): Promise<CreatedOutput> {
  const streamKey = `${name}-${randomBytes(8).toString('hex')}`
  secrets.push(streamKey)
  return server.addOutput(input.uid, { url: destination.url(), streamKey })
}

/** Calls, and gives how long after the answer something was over. */
async function tookMs(call: Promise<{ readonly status: number }>, end: Promise<unknown>): Promise<number> {
  const over = end.then(() => performance.now())
  assert.equal((await call).status, 200)
  const answeredAt = performance.now()
  return (await within('the end', over, 10_000)) - answeredAt
}

async function assertGone(
  call: Promise<{ readonly status: number }>,
  connection: DestinationConnection,
): Promise<void> {
  const ms = await tookMs(call, connection.closed)
  assert(ms < goneMs, `${connection.key} was gone only after ${ms} ms`)
  assert.deepEqual(connection.end, { how: 'fin', goodbye: true }, connection.key)
  assert.deepEqual(connection.commandNames().slice(-2), ['FCUnpublish', 'deleteStream'])
}

describe('one broadcast, whose outputs change', () => {
  let destination: Destination
  let input: CreatedInput
  let feed: LiveFeed
  const staying: CreatedOutput[] = []
  const stayed: DestinationConnection[] = []
  const path = ({ uid }: CreatedOutput) => `/${input.uid}/outputs/${uid}`
  const set = (output: CreatedOutput, enabled: boolean) => server.api('PUT', path(output), { enabled })

  before(async () => {
    destination = await startDestination({ recording: 'bodies' })
    input = await newInput()
    for (const name of ['first', 'second', 'third']) staying.push(await add(input, destination, name))
    feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { ...small, keep: true })
    for (const { streamKey } of staying) stayed.push(await destination.publishOf(streamKey))
  })
  after(async () => {
    await feed?.[Symbol.asyncDispose]()
    await destination?.stop()
  })

  test('an output that is added begins at a key frame; removed, it says goodbye at once', { timeout }, async () => {
    const output = await add(input, destination, 'added')
    const connection = await destination.publishOf(output.streamKey)
    await connection.receives(45, 'video')
    assertWhole(connection)
    await assertGone(server.api('DELETE', path(output)), connection)
    assertWhole(connection)
    assert.equal((await server.api('GET', path(output))).status, 404)
  })

  test('an output that is disabled is gone at once; enabled, it is back', { timeout }, async () => {
    const output = await add(input, destination, 'disabled')
    const first = await destination.publishOf(output.streamKey)
    await first.receives(30, 'video')
    await assertGone(set(output, false), first)
    await server.waitForOutput(input.uid, output.uid, { state: 'disconnected', reason: 'disabled' })
    await pause(1_500)
    assert.equal(destination.publishing.length, staying.length, 'and stays away')

    assert.equal((await set(output, true)).status, 200)
    const second = await waitFor('it to be back', () =>
      destination.publishing.find(({ key }) => key === output.streamKey),
    )
    await second.receives(30, 'video')
    assertWhole(second)
    // Again and again, in the middle of connecting: the last word holds.
    for (const enabled of [false, true, false, true, false]) assert.equal((await set(output, enabled)).status, 200)
    await second.ends()
    await waitFor('all of them to be gone', () =>
      destination.connections.every(({ key, end }) => key !== output.streamKey || end !== undefined),
    )
    await server.waitForOutput(input.uid, output.uid, { state: 'disconnected', reason: 'disabled' })
  })

  test('whoever joins late has the offset between sound and picture of the source, to the millisecond', {
    timeout,
  }, async () => {
    const late: DestinationConnection[] = []
    for (let index = 0; index < 5; index++) {
      const { streamKey } = await add(input, destination, `late-${index}`)
      late.push(await destination.publishOf(streamKey))
      await pause(470)
    }
    await Promise.all(late.map((connection) => connection.receives(45, 'video')))
    const sentAt = timesOf(feed.sent)
    const bases = late.map((connection) => {
      assertWhole(connection)
      const offsets = new Set(
        connection.messages.flatMap(({ type, timestamp, body, length }) => {
          const stamp = readStamp({ type, body: body!, length })
          return stamp ? [sentAt.get(`${stamp.track} ${stamp.sequence}`)! - timestamp] : []
        }),
      )
      assert.equal(offsets.size, 1, `offsets to the source at ${connection.key}: ${[...offsets]}`)
      return [...offsets][0]!
    })
    assert(new Set(bases).size > 1, `they all began at the same picture: ${bases}`)
    for (const base of bases) assert(base > 0 && base % small.gopMs === 0, `${base} ms is the time of no key frame`)
  })

  test('those that stayed have noticed nothing', { timeout }, async () => {
    await assertUndisturbed(
      server,
      input.uid,
      staying.map(({ uid }) => uid),
    )
    await feed.stop()
    for (const connection of stayed) {
      assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
      assertWholeToTheEnd(connection, feed)
    }
    for (const { streamKey } of staying)
      assert.equal(destination.connections.filter(({ key }) => key === streamKey).length, 1)
    for (const { violations } of destination.connections) assert.deepEqual(violations, [])
  })
})

/** Fast enough that what the kernel keeps for a peer that does not read is full within a second or two. */
const fast = { kbps: 40_000, fps: 60, gopMs: 1_000 }

test('an output whose destination does not read is gone within a second, by a reset', { timeout }, async () => {
  await using ca = await testCa()
  const behaviour = { stopReadingAfterBytes: 100_000 }
  const tls = await ca.serverCert('127.0.0.1')
  await using good = await startDestination({ recording: 'counts' })
  await using plain = await startDestination({ recording: 'counts', behaviour })
  await using secure = await startDestination({ recording: 'counts', behaviour, tls })
  const input = await newInput()
  const reading = await add(input, good, 'reading')
  const deaf = [
    { destination: plain, how: 'removed' },
    { destination: plain, how: 'disabled' },
    { destination: secure, how: 'removed' },
  ].map(async ({ destination, how }) => {
    const streamKey = `deaf-${how}`
    // Self-signed to this server: what is shown here is not the certificate.
    const output = await server.addOutput(input.uid, { url: destination.url(), streamKey, tls: { verify: false } })
    return { destination, how, output }
  })
  const outputs = await Promise.all(deaf)
  await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, fast)
  const connection = await good.publishOf(reading.streamKey)
  for (const { destination, output } of outputs) await destination.publishOf(output.streamKey)
  await waitFor('the kernels to be full', async () => {
    const now = await server.outputs(input.uid)
    return outputs.every(({ output }) => {
      const health = now.find(({ uid }) => uid === output.uid)?.['health'] as { lagMs: number } | undefined
      return (health?.lagMs ?? 0) > 300
    })
  })
  assert.equal((await socketsTo(plain.port)) + (await socketsTo(secure.port)), 3)

  await Promise.all(
    outputs.map(async ({ output, how }) => {
      const path = `/${input.uid}/outputs/${output.uid}`
      const call = how === 'removed' ? server.api('DELETE', path) : server.api('PUT', path, { enabled: false })
      assert.equal((await call).status, 200)
    }),
  )
  const answeredAt = performance.now()
  // The destinations, which do not read, see nothing of it; the kernel does: after a plain close it would hold the sockets.
  await waitFor(
    'the sockets to be gone',
    async () => (await socketsTo(plain.port)) + (await socketsTo(secure.port)) === 0,
  )
  const ms = performance.now() - answeredAt
  assert(ms < goneMs, `gone only after ${ms} ms`)
  for (const destination of [plain, secure])
    for (const each of destination.connections) {
      const before = each.counts.bytes
      each.resumeReading()
      assert.deepEqual(await each.ends(), { how: 'reset', goodbye: false })
      // What had reached its own kernel, and no more.
      assert(each.counts.bytes - before < 8 * 2 ** 20)
    }

  await connection.receives(60, 'video')
  await assertUndisturbed(server, input.uid, [reading.uid])
  await feed.stop()
  await connection.ends()
  assertWholeToTheEnd(connection, feed)
})

test('disabled and enabled several times while it is leaving, an output waits until its first connection is gone', {
  timeout,
}, async () => {
  await using destination = await startDestination({
    recording: 'counts',
    behaviour: { stopReadingAfterBytes: 100_000 },
  })
  const input = await newInput()
  const output = await add(input, destination, 'toggled')
  await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, fast)
  await destination.nextPublish()
  await lagsBy(300, input, output)
  destination.behaviour = {}
  // It takes half a second to leave: the second and third change come in that time.
  for (const enabled of [false, true, false, true])
    assert.equal((await server.api('PUT', `/${input.uid}/outputs/${output.uid}`, { enabled })).status, 200)
  let most = 0
  await waitFor('it to publish again', async () => {
    most = Math.max(most, await socketsTo(destination.port))
    return destination.connections[1]?.isPublishing
  })
  assert.equal(most, 1, 'connections to the destination at once')
  await destination.connections[1]!.receives(30, 'video')
  assert.equal(destination.connections.length, 2)
  await feed.stop()
})

for (const how of ['removed', 'disabled', 'disabled with its input'] as const)
  test(`an output that sends the rest of a broadcast and is ${how} is gone within a second`, { timeout }, async () => {
    await using destination = await startDestination({ recording: 'counts', behaviour: { readKbps: 1_000 } })
    const input = await newInput()
    const output = await add(input, destination, 'slow')
    const feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, fast)
    await destination.nextPublish()
    await lagsBy(1_000, input, output)
    await feed.stop()
    await waitFor('the broadcast to end', async () => {
      const status = (await server.input(input.uid))['status'] as { current: { state: string } } | null
      return status?.current.state === 'disconnected'
    })
    assert.equal(await socketsTo(destination.port), 1, 'it is still there')

    const path = `/${input.uid}/outputs/${output.uid}`
    if (how === 'removed') assert.equal((await server.api('DELETE', path)).status, 200)
    else
      assert.equal(
        (await server.api('PUT', how === 'disabled' ? path : `/${input.uid}`, { enabled: false })).status,
        200,
      )
    const answeredAt = performance.now()
    await waitFor('its socket to be gone', async () => (await socketsTo(destination.port)) === 0)
    const ms = performance.now() - answeredAt
    assert(ms < goneMs, `gone only after ${ms} ms`)
  })

async function lagsBy(ms: number, input: CreatedInput, output: CreatedOutput): Promise<void> {
  await waitFor(`the output to lag by ${ms} ms`, async () => {
    const found = (await server.outputs(input.uid)).find(({ uid }) => uid === output.uid)
    return ((found?.['health'] as { lagMs: number } | undefined)?.lagMs ?? 0) > ms
  })
}

test('an output that is put straight into the store is served, and one that is taken out is gone', {
  timeout,
}, async () => {
  await using destination = await startDestination({ recording: 'counts' })
  await using running = await startInProcess()
  const input = await running.putInput()
  const output = newOutput(destination.url(), 'straight')
  await using feed = await startFeed(running.rtmpUrl, input.streamKey.reveal(), small)
  await waitFor('the broadcast to run', () => feed.newest.video > 10)
  assert.equal(destination.connections.length, 0)

  await running.edit(input, (wish) => ({ ...wish, outputs: [output] }))
  const first = await destination.publishOf('straight')
  await first.receives(30, 'video')
  assertWhole(first)

  const change = async (outputs: readonly (typeof output)[]) => {
    await running.edit(input, (wish) => ({ ...wish, outputs }))
    return { status: 200 }
  }
  const other = newOutput(destination.url(), 'other')
  await assertGone(change([{ ...output, enabled: false }, other]), first)
  const second = await destination.publishOf('other')
  await second.receives(30, 'video')
  await assertGone(change([]), second)
  assertWhole(second)
  assert.equal(destination.connections.length, 2)

  await running.store.delete(liveInputKey(input.uid), 'any')
  await within('the encoder to be cut', feed.publisher.closed, goneMs)
})

test('deleting the input cuts the encoder and the outputs', { timeout }, async () => {
  await using destination = await startDestination()
  const input = await newInput()
  for (const name of ['one', 'two', 'three']) await add(input, destination, name)
  await using feed = await startFeed(server.rtmpUrl, input.rtmps.streamKey, small)
  for (let index = 0; index < 3; index++) await (await destination.nextPublish()).receives(15, 'video')
  const everything = Promise.all([feed.publisher.closed, ...destination.connections.map(({ closed }) => closed)])
  const ms = await tookMs(server.api('DELETE', `/${input.uid}`), everything)
  assert(ms < goneMs, `all were gone only after ${ms} ms`)
  for (const connection of destination.connections) {
    assert.deepEqual(connection.end, { how: 'fin', goodbye: true })
    assertWhole(connection)
  }
  assert.equal(destination.connections.length, 3)
  assert.equal(feed.publisher.statuses.at(-1)?.code, 'NetStream.Publish.BadName')
  await assert.rejects(publish({ url: server.rtmpUrl, key: input.rtmps.streamKey }), PublishRefused)
})

test('a second encoder with the same key takes over at its first key frame', { timeout }, async () => {
  await using destination = await startDestination({ recording: 'bodies' })
  const input = await newInput()
  const output = await add(input, destination, 'takeover')
  await using first = await startFeed(server.rtmpUrl, input.rtmps.streamKey, { ...small, session: 1 })
  const connection = await destination.publishOf(output.streamKey)
  await connection.receives(30, 'video')

  // It begins in the middle of a group: the picture belongs to the first one until the second has a key frame.
  await using second = await startFeed(server.rtmpUrl, input.rtmps.streamKey, {
    ...small,
    keep: true,
    startTimestamp: 7_000_000,
    tags: fromTheMiddle(syntheticTags({ ...small, session: 2 }), 300),
  })
  const replaced = await first.publisher.waitForStatus('NetStream.Publish.BadName')
  assert.match(replaced.description, /took over/)
  await within('the first encoder to be closed', first.publisher.closed, 5_000)
  const unsent = second.newest.video
  await waitFor('the second one to be relayed', () => connection.ledger.sessions.length === 2)
  await connection.receives(60, 'video')
  assert(unsent >= 15, `it took over after ${unsent} pictures, before its key frame could come`)
  await assertUndisturbed(server, input.uid)
  await second.stop()
  assert.deepEqual(await connection.ends(), { how: 'fin', goodbye: true })
  assertWhole(connection)
  assert.deepEqual(connection.ledger.sessions, [1, 2])
  assert.equal(destination.connections.length, 1)
  assert.deepEqual(connection.tags().filter(isSequenceHeader).length, 2, 'unchanged headers are not sent again')

  // Of the second one: from its first key frame on, and one offset for picture and sound.
  const sentAt = timesOf(second.sent)
  const arrived = connection.messages.flatMap(({ type, timestamp, body, length }) => {
    const stamp = readStamp({ type, body: body!, length })
    return stamp?.session === 2 ? [{ ...stamp, timestamp }] : []
  })
  const firstKey = second.sent.find(isKeyFrame)!
  assert.equal(arrived[0]!.key, true, 'its first message is the key frame')
  const offsets = new Set(
    arrived.map(({ track, sequence, timestamp }) => sentAt.get(`${track} ${sequence}`)! - timestamp),
  )
  assert.equal(offsets.size, 1, `offsets to the source: ${[...offsets]}`)
  assert.equal(arrived[0]!.timestamp + [...offsets][0]!, firstKey.timestamp)
  const before = connection.messages.findLast(({ type, body, length }) => {
    return type === 9 && readStamp({ type, body: body!, length })?.session === 1
  })!
  const stepMs = arrived[0]!.timestamp - before.timestamp
  // The first one's last picture in decoding order may be shown three frames later; before that the next one is not shown.
  assert(stepMs > 0 && stepMs <= Math.ceil((4 * 1_000) / small.fps), `the picture goes on after ${stepMs} ms`)
})

describe('a wrong key', { concurrency: true }, () => {
  const ours = `${randomBytes(16).toString('hex')}k`
  const keys = {
    'one of nobody': () => 'tohuwabohu-nobody-knows-me',
    'one of our form, of no input': () => `${ours}${randomBytes(16).toString('hex')}`,
    'an empty one': () => '',
  }
  for (const url of ['rtmpUrl', 'rtmpsUrl'] as const)
    for (const [name, keyOf] of Object.entries(keys))
      test(`${name}, over ${url.slice(0, -3)}`, { timeout }, async () => {
        await assertRefused(server[url], keyOf())
      })

  test('one of a known input, with another secret', { timeout }, async () => {
    const input = await newInput()
    const right = input.rtmps.streamKey
    const wrong = right.replace(/^./, (first) => (first === '0' ? '1' : '0'))
    await assertRefused(server.rtmpUrl, wrong)
    await assertRefused(server.rtmpUrl, `${right}x`)
    await assertRefused(server.rtmpUrl, right.toUpperCase())
    assert.equal((await server.input(input.uid))['status'], null, 'and the input is as if nobody had come')
  })
})

async function assertRefused(url: string, key: string): Promise<void> {
  if (key !== '') secrets.push(key)
  const refused = await publish({ url, key }).then(
    () => assert.fail('the publish was accepted'),
    (error) => error as PublishRefused,
  )
  assert(refused instanceof PublishRefused, `${refused}`)
  assert.equal(refused.status?.code, 'NetStream.Publish.BadName')
  assert.equal(refused.status.level, 'error')
  assert.doesNotMatch(refused.status.description, /tohuwabohu/)
  const closed = await within('the server to close', refused.publisher.closed, 3_000)
  assert.equal(closed.how, 'fin')
}

test('no key of all these has been logged, not even a part of one', async () => {
  const lines = [...server.log.map((line) => JSON.stringify(line)), server.program.output]
  assert(lines.some((line) => line.includes('a publisher was refused')))
  assert(secrets.length > 15)
  for (const secret of secrets)
    for (const part of [secret, secret.slice(0, 24), secret.slice(8, 32)])
      if (part.length > 7) assert(!lines.some((line) => line.includes(part)), `a key was logged: ${part}`)
})

/** Sent times by track and sequence number. */
function timesOf(sent: readonly FlvTag[]): Map<string, number> {
  return new Map(
    sent.flatMap(({ type, timestamp, body }) => {
      const stamp = readStamp({ type, body, length: body.length })
      return stamp ? [[`${stamp.track} ${stamp.sequence}`, timestamp] as const] : []
    }),
  )
}

/** Headers, then what comes after the first so many milliseconds: not at a key frame. */
function* fromTheMiddle(tags: Iterable<FlvTag>, afterMs: number): Generator<FlvTag> {
  for (const tag of tags)
    if (tag.type === 18 || isSequenceHeader(tag)) yield { ...tag, timestamp: afterMs }
    else if (tag.timestamp >= afterMs) yield tag
}

/** Sockets of anybody that are connected, or on their way out, to this port of 127.0.0.1, as the kernel tells. */
async function socketsTo(port: number): Promise<number> {
  const timeWait = '06'
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)
  return rows.filter((row) => {
    const [, , remote = '', state = ''] = row.trim().split(/\s+/)
    return remote.endsWith(wanted) && state !== timeWait
  }).length
}
