import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startDestination } from '../test/support/destination.ts'
import { waitFor } from '../test/support/processes.ts'
import { publish } from '../test/support/publisher.ts'
import { wireTypes } from '../test/support/rtmp-wire.ts'
import { syntheticTags } from '../test/support/synthetic-source.ts'
import { buildLoad, type LoadKind, startLoad, startNullRelay } from './load.ts'
import type { Work } from './works.ts'

const work: Work = {
  ...{ id: 'test', title: 'test', inputs: 2, outputs: 3, kbps: 400, fps: 10 },
  ...{ audio: true, tls: false, stalled: 0 },
}
const deadlineMs = 60_000

// Without a C compiler both are the programs in Node.
for (const kind of ['native', 'node'] as const satisfies readonly LoadKind[]) {
  test(`${kind}: encoders send what a strict destination takes, at the bitrate that was asked for`, async () => {
    await using programs = await buildLoad(kind)
    await using load = await startLoad(programs, { ...work, outputs: 1 })
    await using destination = await startDestination()
    await load.publish([{ port: destination.port, app: 'app', key: 'a-key' }])
    const connection = await destination.nextPublish(deadlineMs)
    const groupFrames = 2 * work.fps
    // Sequence header, a whole group of pictures, and the key frame after it.
    await waitFor('a group of pictures', () => connection.counts.video > groupFrames + 1, deadlineMs)
    assert.equal(connection.key, 'a-key')
    assert.deepEqual(connection.violations, [])
    assert.deepEqual(connection.ledger.gaps, [])
    assert.deepEqual(connection.ledger.brokenGroups, [])
    const frames = connection.messages.filter(({ type }) => type === wireTypes.video).slice(1, 1 + groupFrames)
    const sounds = connection.messages.filter(({ type }) => type === wireTypes.audio).slice(1)
    const videoKbps = (frames.reduce((sum, { length }) => sum + length, 0) * 8) / 2_000
    assert.ok(Math.abs(videoKbps + 128 - work.kbps) < work.kbps * 0.02, `${videoKbps} kbps of video`)
    assert.equal(frames.at(-1)!.timestamp - frames[0]!.timestamp, (groupFrames - 1) * 100)
    assert.ok(sounds.every(({ length }) => length === 341))
    const { publishers } = await load.report()
    assert.equal(publishers.publishing, 1)
    assert.equal(publishers.gone, 0)
  })

  test(`${kind}: destinations count what they are sent, and what is missing`, async () => {
    await using programs = await buildLoad(kind)
    await using load = await startLoad(programs, { ...work, outputs: 2 })
    await using publisher = await publish({ url: `rtmp://127.0.0.1:${load.ports[1]}/live`, key: 'a-key', deadlineMs })
    await load.measure()
    const sentMax = 60
    const left = { out: 0, sent: 0 }
    for (const { type, timestamp, body } of syntheticTags({ kbps: 2_000, fps: 30 })) {
      if (left.sent === sentMax) break
      const isFrame = type === wireTypes.video && body[1] === 1 && body[0] === 0x27
      if (isFrame && left.out < 2) left.out++
      else {
        publisher.send(type, timestamp, body)
        left.sent++
      }
    }
    const report = await waitFor(
      'all messages at the destination',
      async () => {
        const { sinks } = await load.report()
        return sinks.missing > 0 && sinks.messages >= sentMax - 3 ? sinks : undefined
      },
      deadlineMs,
    )
    assert.equal(report.gaps, 1)
    assert.equal(report.missing, 2)
    assert.equal(report.publishing, 1)
    assert.equal(report.connections, 1)
    const { p50, p99, max } = report.delayMs
    assert.ok(p50 <= p99 && p99 <= max && max < deadlineMs, `${p50}, ${p99}, ${max} ms`)
  })

  test(`${kind}: a stalled destination takes nothing more, and the others do`, async () => {
    await using programs = await buildLoad(kind)
    await using load = await startLoad(programs, { ...work, outputs: 2 })
    const url = (index: number) => `rtmp://127.0.0.1:${load.ports[index]}/live`
    await using first = await publish({ url: url(0), key: 'first', deadlineMs })
    await using second = await publish({ url: url(1), key: 'second', deadlineMs })
    await load.stall(1)
    await load.measure()
    const body = Buffer.alloc(100_000)
    second.send(wireTypes.data, 0, body)
    first.send(wireTypes.data, 0, body)
    const bytes = async () => (await load.report()).sinks.bytes
    await waitFor('the message of the first', async () => (await bytes()) >= body.length, deadlineMs)
    assert.ok((await bytes()) < 2 * body.length)
  })
}

test('the relay that does nothing passes everything on', async (t) => {
  await using programs = await buildLoad('native')
  if (programs.kind === 'node') {
    t.skip('needs a C compiler: apt-get install gcc')
    return
  }
  await using load = await startLoad(programs, work)
  await using relay = await startNullRelay(programs, load.ports, 0)
  await load.publish([0, 1].map((index) => ({ port: relay.port, app: 'live', key: `stream${index}` })))
  const { sinks } = await waitFor(
    'media at all destinations',
    async () => {
      const report = await load.report()
      return report.sinks.publishing === 6 && report.sinks.messages > 6 * 30 ? report : undefined
    },
    deadlineMs,
  )
  assert.equal(sinks.gaps, 0)
  assert.equal(sinks.connections, 6)
})
