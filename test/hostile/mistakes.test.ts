import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeAmf } from '../support/amf0.ts'
import { startDestination } from '../support/destination.ts'
import { waitFor } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { type LogLine, startServer } from '../support/server.ts'
import { syntheticTags } from '../support/synthetic-source.ts'

/** Mistakes of ours, made on purpose: each ends its own session, is logged as one, and nothing else notices. */

const nodeArgs = ['--import', fileURLToPath(new URL('inner-fault.ts', import.meta.url))]
const timeout = 300_000
const data = (text: string) => encodeAmf('onTextData', { text })
const isMistake = (what: string) => (line: LogLine) =>
  line['level'] === 'error' && line['code'] === 'internal_error' && JSON.stringify(line['err']).includes(what)

for (const threads of process.env['HOSTILE'] === 'long' ? ['1', '2'] : ['2'])
  test(`with media in ${threads} thread(s)`, { timeout }, async (t) => {
    await using destination = await startDestination({ recording: 'counts' })
    await using server = await startServer({ nodeArgs, settings: { MEDIA_THREADS: threads } })
    const [input, other] = [await server.createInput(), await server.createInput()]
    const keys = ['one', 'two', 'three', 'four']
    for (const streamKey of keys) await server.addOutput(input.uid, { url: destination.url(), streamKey })
    await server.addOutput(other.uid, { url: destination.url(), streamKey: 'of another' })
    await using publisher = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
    await using another = await publish({ url: server.rtmpUrl, key: other.rtmps.streamKey })
    const stop = new AbortController()
    const tags = () => syntheticTags({ kbps: 500, fps: 25, gopMs: 500 })
    const replays = [publisher, another].map((one) => one.replay(tags(), { signal: stop.signal }))
    const connections = await Promise.all([...keys, 'of another'].map((key) => destination.publishOf(key)))
    for (const connection of connections) await connection.receives(10)
    const ofAnother = connections.at(-1)!
    const { pid } = server.program

    await t.test('in one output: it connects again and says why, its neighbours go on', async () => {
      publisher.send(18, publisher.lastTimestamp, data('throw in turn'))
      await server.waitForLog('the mistake', isMistake('a mistake in a turn'))
      const [ended] = await waitFor('one output to end', () => {
        const gone = connections.filter(({ end }) => end !== undefined)
        return gone.length > 0 && gone
      })
      assert.notEqual(ended, ofAnother)
      const again = await waitFor('it to be back', () => destination.publishing.find(({ key }) => key === ended!.key))
      await again.receives(10)
      const outputs = await server.outputs(input.uid)
      const errors = outputs.map(({ health }) => (health as { lastError?: { code: string } }).lastError?.code)
      assert.deepEqual(errors.filter(Boolean), ['internal_error'])
      for (const connection of connections.filter((one) => one !== ended)) {
        await connection.receives(10)
        assert.deepEqual([connection.ledger.gaps, connection.end], [[], undefined])
      }
    })

    await t.test('once a second, in an output and in an input: both go on', async () => {
      publisher.send(18, publisher.lastTimestamp, data(`throw in tick ${input.uid}`))
      await server.waitForLog('the mistake', isMistake('a mistake in the tick of an output'))
      await server.waitForLog('the mistake', isMistake('a mistake in the tick of an input'))
      await waitFor('all outputs', () => destination.publishing.length === keys.length + 1)
      await Promise.all(destination.publishing.map((connection) => connection.receives(10)))
      assert.deepEqual([ofAnother.ledger.gaps, ofAnother.end], [[], undefined])
    })

    await t.test('in an encoder: it is cut, may come back, and its outputs have stayed', async () => {
      const before = destination.publishing.length
      publisher.send(18, publisher.lastTimestamp, data('throw in feed'))
      await publisher.closed
      await server.waitForLog('the mistake', isMistake('a mistake in the feed'))
      await using back = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      const replay = back.replay(syntheticTags({ kbps: 500, fps: 25, session: 1 }), { signal: stop.signal })
      await Promise.all(destination.publishing.map((connection) => connection.receives(10)))
      assert.equal(destination.publishing.length, before)
      await back.goodbye()
      await replay
    })

    await t.test('anywhere else, and in the database thread: broadcasts go on, and the API soon does', async () => {
      server.program.signal('SIGUSR2')
      await server.waitForLog('the timer', isMistake('a mistake in a timer'))
      await server.waitForLog('the promise', isMistake('a mistake in a promise'))
      await server.waitForLog('the thread', ({ err }) => (err as { code?: string })?.code === 'store_restarting')
      await server.waitForLog('the next thread', ({ msg }) => msg === 'the database is open again')
      const made = await server.createInput({ meta: { name: 'afterwards' } })
      await server.addOutput(other.uid, { url: destination.url(), streamKey: 'afterwards' })
      await (await destination.publishOf('afterwards')).receives(10)
      assert.equal(server.program.pid, pid)
      await ofAnother.receives(10)
      assert.deepEqual([ofAnother.ledger.gaps, ofAnother.end], [[], undefined])
      assert.equal((await server.input(made.uid)).uid, made.uid)
    })
    stop.abort()
    await Promise.all(replays)
    await another.goodbye()
    assert.equal((await server.stop()).code, 0)
  })
