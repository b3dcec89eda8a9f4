import { setTimeout as sleep } from 'node:timers/promises'
import { type Held, heldBy, probed } from '../test/support/held-resources.ts'
import { startServer } from '../test/support/server.ts'
import { testCa } from '../test/support/tls.ts'
import { type LoadPrograms, startLoad } from './load.ts'
import { untilConnected } from './measure.ts'
import { works } from './works.ts'

/** What the process holds with one output and with fifty of the same broadcast, after its garbage was collected. Bytes. */
export type OutputMemory = {
  readonly tls: boolean
  readonly outputs: number
  readonly one: MemoryPoint
  readonly all: MemoryPoint
  /** Objects of V8, and buffers outside of its heap. */
  readonly alivePerOutput: number
  /** All that is resident: with OpenSSL, the code of V8, and what the allocators keep. */
  readonly residentPerOutput: number
}
export type MemoryPoint = Pick<Held, 'heapUsed' | 'arrayBuffers' | 'rss'>

/** The log is full, everything that runs once a second has been compiled, and what V8 kept for compiling it is gone: 2 MB move between 40 s and this. */
const settleSeconds = 110
/** Resident memory moves by itself: the least of some looks. */
const looks = 5
const betweenLooksMs = 2_000

/** Outputs are added to a broadcast that runs, so that nothing else of the process is different. */
export async function measureOutputMemory(programs: LoadPrograms, tls: boolean): Promise<OutputMemory> {
  const work = { ...works.A, tls }
  await using ca = tls ? await testCa() : undefined
  await using load = await startLoad(programs, work, await ca?.serverCert('localhost'))
  await using server = await startServer({
    settings: { LOG_LEVEL: 'warn' },
    ...(ca && { env: { NODE_EXTRA_CA_CERTS: ca.caPem } }),
    nodeArgs: probed,
  })
  const input = await server.createInput()
  const add = (port: number) =>
    server.addOutput(input.uid, {
      url: `${tls ? 'rtmps://localhost' : 'rtmp://127.0.0.1'}:${port}/live`,
      streamKey: 'stream0',
    })
  const look = async (outputs: number): Promise<MemoryPoint> => {
    await untilConnected(outputs, () => load.publishingAtSinks())
    await sleep(settleSeconds * 1000)
    const held: Held[] = []
    for (let count = 0; count < looks; count++) {
      held.push(await heldBy(server))
      await sleep(betweenLooksMs)
    }
    const least = (name: keyof MemoryPoint) => Math.min(...held.map((one) => one[name]))
    return { heapUsed: least('heapUsed'), arrayBuffers: least('arrayBuffers'), rss: least('rss') }
  }
  const [first, ...others] = load.ports
  await add(first!)
  await load.publish([{ port: server.ports.rtmp, app: 'live', key: input.rtmps.streamKey }])
  const one = await look(1)
  for (const port of others) await add(port)
  const all = await look(work.outputs)
  const added = work.outputs - 1
  return {
    ...{ tls, outputs: work.outputs, one, all },
    alivePerOutput: (all.heapUsed + all.arrayBuffers - one.heapUsed - one.arrayBuffers) / added,
    residentPerOutput: (all.rss - one.rss) / added,
  }
}
