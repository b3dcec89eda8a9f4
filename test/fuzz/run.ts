/**
 * `npm run fuzz -- --seconds 600 [--target name] [--seed n] [--save]`: fuzzes every target, or those that are named, for so many seconds in
 * all. What it finds is made small and kept as a regression, which `npm test` replays. With --save the corpus is
 * written anew: what covers most, and nothing that covers no more than others.
 */
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { readCorpus, writeCorpus, writeFinding } from './corpus.ts'
import type { Finding } from './fuzzer.ts'
import type { Target } from './target.ts'
import { targets } from './targets/all.ts'
import { beatHeadBytes, type WorkerOrders, type WorkerReport } from './worker.ts'

/** One execution takes milliseconds; on a busy machine a second. Then it is taken for one that never ends. */
const hangMs = 20_000
/** Bytes of a corpus in the repository: all together stay below 2 MB, in hex. */
const corpusBytesMax = 48 * 1024

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed)
const chosen = targets.filter(({ name }) => values.target?.includes(name) ?? true)
const unknown = values.target?.filter((name) => !targets.some((target) => target.name === name)) ?? []
if (unknown.length > 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  say('Usage: npm run fuzz -- [--seconds 60] [--target name] [--seed n] [--save]')
  say(`Targets: ${targets.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}

say(`${chosen.length} targets, ${seconds} s in all, seed ${seed}`)
let executions = 0
let fuzzedSeconds = 0
const findings: Finding[] = []
for (const target of chosen) {
  const result = await fuzzInThread(target, seconds / chosen.length)
  if ('hang' in result) findings.push(result.hang)
  else {
    executions += result.executions
    fuzzedSeconds += result.seconds
    report(target, result)
    findings.push(...result.findings)
    if (values.save) save(target, result.corpus)
  }
}
const rate = Math.round(executions / Math.max(1, fuzzedSeconds))
say(`${executions} executions in ${fuzzedSeconds.toFixed(0)} s (${rate}/s), ${findings.length} findings, seed ${seed}`)
for (const finding of findings) tell(finding)
process.exitCode = findings.length > 0 ? 1 : 0

function report({ name }: Target, { executions, seconds, blocks, corpus, findings, unstable }: WorkerReport): void {
  const columns = [
    name.padEnd(18),
    `${executions}`.padStart(9),
    `${Math.round(executions / seconds)}/s`.padStart(9),
    `blocks ${blocks.covered}/${blocks.known}`.padStart(17),
    `corpus ${corpus.length}`.padStart(11),
    `unstable ${unstable}`.padStart(12),
    `findings ${findings.length}`,
  ]
  say(columns.join('  '))
}

function tell(finding: Finding): void {
  const slug = finding.title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60)
  const file = writeFinding(new URL('regressions', import.meta.url).pathname, finding.target, slug, finding.input)
  say(`\n${finding.target}: ${finding.title}\n${finding.detail.slice(0, 3000)}\n${finding.input.length} bytes: ${file}`)
}

/** Shortest first, and what was there before: as much as the repository is to hold. */
function save({ name, bytesMax }: Target, corpus: readonly Uint8Array[]): void {
  const kept: Buffer[] = []
  let bytes = 0
  for (const input of corpus) {
    bytes += input.length
    if (bytes > Math.min(corpusBytesMax, bytesMax * 12)) break
    kept.push(Buffer.from(input))
  }
  if (kept.length > 0) writeCorpus(name, kept)
  say(`  ${readCorpus(name).length} inputs of ${corpus.length} are kept`)
}

function fuzzInThread(target: Target, share: number): Promise<WorkerReport | { readonly hang: Finding }> {
  const beat = new SharedArrayBuffer(beatHeadBytes + target.bytesMax)
  const orders: WorkerOrders = { target: target.name, seconds: share, seed, beat }
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: orders })
  const numbers = new Uint32Array(beat, 0, 2)
  return new Promise((resolve, reject) => {
    let seen = -1
    let seenAt = performance.now()
    const watch = setInterval(() => {
      const executions = Atomics.load(numbers, 0)
      if (executions !== seen) {
        seen = executions
        seenAt = performance.now()
      } else if (performance.now() - seenAt > hangMs) {
        clearInterval(watch)
        const input = Buffer.from(new Uint8Array(beat, beatHeadBytes, Math.min(numbers[1]!, target.bytesMax)))
        const detail = `no end after ${hangMs} ms`
        const hang = { target: target.name, title: 'an execution that does not end', detail, input }
        void worker.terminate().then(() => resolve({ hang }))
      }
    }, 500)
    worker.once('message', (result: WorkerReport) => {
      clearInterval(watch)
      const asBuffers = (finding: Finding) => ({ ...finding, input: Buffer.from(finding.input) })
      void worker.terminate().then(() => resolve({ ...result, findings: result.findings.map(asBuffers) }))
    })
    worker.once('error', (error) => {
      clearInterval(watch)
      reject(error)
    })
  })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
