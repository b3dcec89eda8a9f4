import { parentPort, workerData } from 'node:worker_threads'
import { readCorpus, readRegressions } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { type Finding, Fuzzer } from './fuzzer.ts'
import { Random } from './random.ts'
import { targets } from './targets/all.ts'

/** Fuzzes one target in a thread of its own, so that whoever started it can end an execution that never ends. */

export type WorkerOrders = {
  readonly target: string
  readonly seconds: number
  readonly seed: number
  /** | executions begun 4 | bytes of the input 4 | input | : what is being executed, for whoever watches from outside. */
  readonly beat: SharedArrayBuffer
}

export type WorkerReport = {
  readonly executions: number
  readonly seconds: number
  readonly blocks: { readonly covered: number; readonly known: number }
  readonly corpus: readonly Uint8Array[]
  readonly findings: readonly Finding[]
  readonly unstable: number
}

export const beatHeadBytes = 8

if (parentPort !== null) {
  const orders = workerData as WorkerOrders
  parentPort.postMessage(await work(orders))
}

async function work({ target: name, seconds, seed, beat }: WorkerOrders): Promise<WorkerReport> {
  const target = targets.find((one) => one.name === name)
  if (target === undefined) throw new Error(`there is no target ${name}`)
  const numbers = new Uint32Array(beat, 0, 2)
  const shown = new Uint8Array(beat, beatHeadBytes)
  const strayErrors: Finding[] = []
  let current: Buffer = Buffer.alloc(0)
  const onStray = (error: unknown) =>
    strayErrors.push({ target: name, title: 'a promise that nobody looked at', detail: String(error), input: current })
  process.on('unhandledRejection', onStray)
  using coverage = new Coverage((url) => target.covers.some((end) => url.endsWith(end)))
  const fuzzer = new Fuzzer(target, new Random(seed), coverage, (input) => {
    current = input
    shown.set(input.subarray(0, shown.length))
    numbers[1] = input.length
    Atomics.add(numbers, 0, 1)
  })
  const began = performance.now()
  await fuzzer.replay([...target.seeds(), ...readRegressions(name).map(({ input }) => input), ...readCorpus(name)])
  await fuzzer.fuzz(() => performance.now() - began > seconds * 1000)
  const { blocks } = coverage
  const { executions, unstable } = fuzzer
  const elapsed = (performance.now() - began) / 1000
  const corpus = await fuzzer.distil()
  const findings = [...fuzzer.findings.values(), ...strayErrors.slice(0, 1)]
  return { executions, seconds: elapsed, blocks, corpus, findings, unstable }
}
