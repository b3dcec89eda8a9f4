import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { MessageChannel, Worker } from 'node:worker_threads'
import { type CodedError, isCoded } from '../errors.ts'
import type { Plain } from './bus.ts'
import { InProcessBus } from './in-process-bus.ts'
import { PortBus, serveBus } from './port-bus.ts'

const onError = (error: unknown) => {
  throw error
}
const forever = new AbortController().signal

describe('buses behind ports', { timeout: 60_000 }, () => {
  let hub: InProcessBus
  let remotes: PortBus[]

  beforeEach(() => {
    hub = new InProcessBus({ onError })
    remotes = Array.from({ length: 4 }, () => {
      const { port1, port2 } = new MessageChannel()
      serveBus(hub, port1)
      return new PortBus(port2, { onError })
    })
  })
  afterEach(async () => {
    await hub.close()
    await Promise.all(remotes.map((remote) => remote.close()))
  })

  it('all talk to one another through the hub', async () => {
    const sides = [hub, ...remotes]
    const heard: string[][] = sides.map(() => [])
    for (const [index, side] of sides.entries()) {
      side.subscribe('said.*', (message) => heard[index]!.push(String(message)))
      side.respond(`add.${index}`, (message) => Number(message) + index)
      side.serveStream(`bytes.${index}`, (message, sink) => {
        sink.write(Uint8Array.of(Number(message), index))
        sink.end()
      })
    }
    await Promise.all(remotes.map((remote) => remote.flush()))
    await Promise.all(
      sides.flatMap((side, from) =>
        sides.map(async (_, to) => {
          side.publish(`said.${from}`, `${from} to ${to}`)
          assert.equal(await side.request(`add.${to}`, 100 * from, { deadlineMs: 10_000 }), 100 * from + to)
          const bytes = await Array.fromAsync(side.stream(`bytes.${to}`, from, { creditBytes: 1, signal: forever }))
          assert.deepEqual(
            bytes.map((piece) => [...piece]),
            [[from], [to]],
          )
        }),
      ),
    )
    await Promise.all(remotes.map((remote) => remote.flush()))
    const inOrderOfSender = (words: string[]) => words.toSorted((a, b) => Number(a[0]) - Number(b[0]))
    const wanted = sides.flatMap((_, from) => sides.map((_, to) => `${from} to ${to}`))
    for (const words of heard) assert.deepEqual(inOrderOfSender(words), wanted)
    // One order for everybody.
    for (const words of heard) assert.deepEqual(words, heard[0])
  })

  it('close with the hub, after they have heard what was published before', async () => {
    const [one, two] = remotes as [PortBus, PortBus]
    const told: Plain[] = []
    one.subscribe('last', (message) => told.push(message))
    two.respond('never', () => new Promise<Plain>(() => {}))
    await Promise.all([one.flush(), two.flush()])
    const asked = one.request('never', null, { deadlineMs: 10_000 })
    const refused = assert.rejects(asked, (error) => isCoded(error, 'bus_closed') || isCoded(error, 'no_responder'))
    await one.flush()
    hub.publish('last', 'words')
    await hub.close()
    await refused
    await one.close()
    assert.deepEqual(told, ['words'])
    await assert.rejects(one.flush(), (error) => isCoded(error, 'bus_closed'))
    await assert.rejects(two.request('a', null, { deadlineMs: 1 }), (error) => isCoded(error, 'bus_closed'))
  })

  it('that are connected to a closed hub are closed', async () => {
    const closed = new InProcessBus({ onError })
    await closed.close()
    const { port1, port2 } = new MessageChannel()
    const remote = new PortBus(port2, { onError })
    serveBus(closed, port1)
    await assert.rejects(remote.flush(), (error) => isCoded(error, 'bus_closed'))
    await remote.close()
  })

  it('leave nothing behind when they close', async () => {
    const [one, two] = remotes as [PortBus, PortBus]
    one.subscribe('event', () => assert.fail('it has closed'))
    one.respond('answer', () => 1)
    one.serveStream('bytes', (_, sink) => sink.end())
    await one.flush()
    assert.equal(await two.request('answer', null, { deadlineMs: 10_000 }), 1)
    await one.close()
    two.publish('event', null)
    await two.flush()
    const absent = (error: unknown) => isCoded(error, 'no_responder')
    await assert.rejects(two.request('answer', null, { deadlineMs: 10_000 }), absent)
    await assert.rejects(Array.fromAsync(two.stream('bytes', null, { creditBytes: 1, signal: forever })), absent)
  })

  it('move a slice of a large buffer without its surroundings', async () => {
    const [one, two] = remotes as [PortBus, PortBus]
    const slab = new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(7)
    one.serveStream('slice', (_, sink) => {
      sink.write(slab.subarray(1000, 1010))
      sink.end()
    })
    await one.flush()
    for await (const bytes of two.stream('slice', null, { creditBytes: 100, signal: forever })) {
      assert.equal(bytes.buffer.byteLength, 10)
      assert.ok(bytes.buffer instanceof ArrayBuffer)
    }
    assert.equal(slab[1000], 7)
  })

  it('in a thread that dies do not leave those who wait for it waiting', async () => {
    const { port1, port2 } = new MessageChannel()
    serveBus(hub, port1)
    const program = `
      const { workerData } = require('node:worker_threads')
      void (async () => {
        const { PortBus } = await import(workerData.module)
        const bus = new PortBus(workerData.port, { onError: console.error })
        bus.respond('thread.echo', (message) => message)
        bus.respond('thread.never', () => new Promise(() => {}))
        bus.serveStream('thread.bytes', (_, sink) => sink.write(Uint8Array.of(1)))
        await bus.flush()
        bus.publish('thread.ready', null)
      })()`
    const ready = new Promise((resolve) => hub.subscribe('thread.ready', resolve))
    const thread = new Worker(program, {
      eval: true,
      workerData: { port: port2, module: new URL('./port-bus.ts', import.meta.url).href },
      transferList: [port2],
    })
    await ready
    const remote = remotes[0] as PortBus
    assert.deepEqual(await remote.request('thread.echo', { a: [1] }, { deadlineMs: 10_000 }), { a: [1] })
    const asked = [hub, remote].map((side) => side.request('thread.never', null, { deadlineMs: 60_000 }))
    const streams = [hub, remote].map((side) =>
      side.stream('thread.bytes', null, { creditBytes: 10, signal: forever })[Symbol.asyncIterator](),
    )
    for (const bytes of streams) assert.deepEqual((await bytes.next()).value, Uint8Array.of(1))
    const ended = once(thread, 'exit')
    void thread.terminate()
    const lost = (error: CodedError) => error.code === 'no_responder' && /has ended/.test(error.message)
    await Promise.all([
      ...asked.map((answer) => assert.rejects(answer, lost)),
      ...streams.map((bytes) => assert.rejects(bytes.next(), lost)),
    ])
    await ended
    await assert.rejects(hub.request('thread.echo', null, { deadlineMs: 10_000 }), (error) =>
      isCoded(error, 'no_responder'),
    )
  })
})
