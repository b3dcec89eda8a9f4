import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { testCa } from '../test/support/tls.ts'
import { type PeerName, type StartPeer, startNginx, startOurs, startSrs } from './peers.ts'
import { usageOfTree } from './proc.ts'
import type { PublishersOrder } from './publishers.ts'
import type { SinksOrder, SinksReport } from './sinks.ts'
import { type Work, works } from './works.ts'

/**
 * npm run bench -- [--works A,B] [--rounds 3] [--seconds 20] [--peers stream-connect,nginx-rtmp]
 *
 * The same work, encoders and destinations for each server, one after the other, in several rounds; then medians and ratios.
 * Encoders and destinations run in processes of their own, whose CPU is printed: they must not be what is measured.
 */
const { values } = parseArgs({
  options: {
    works: { type: 'string', default: 'A,G' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '20' },
    peers: { type: 'string' },
    settings: { type: 'string', default: '' },
  },
})

type Result = {
  readonly cpuPerGb: number
  readonly userPerGb: number
  readonly systemPerGb: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly gaps: number
  readonly dropped: number
  readonly megabitsOut: number
  readonly residentMb: number
  readonly sinkShare: number
  readonly publisherShare: number
}

const settings = Object.fromEntries(
  values.settings
    .split(',')
    .filter(Boolean)
    .map((pair) => pair.split('=')),
)
const peers = new Map<PeerName, StartPeer>([
  ['stream-connect', startOurs(settings)],
  ['stream-connect (efficient)', startOurs({ ...settings, LATENCY_MODE: 'efficient' })],
  ['nginx-rtmp', startNginx],
])
const srs = process.env['SRS_BIN']
if (srs !== undefined && existsSync(srs)) peers.set('srs', startSrs(srs))

const wanted = values.peers?.split(',') ?? [...peers.keys()]
const seconds = Number(values.seconds)
print(
  `${new Date().toISOString()}  ${cpus().length} x ${cpus()[0]?.model.trim()}  Linux ${release()}  Node ${process.version}`,
)
for (const id of values.works.split(',')) {
  const work = works.find((one) => one.id === id)
  if (work === undefined) throw new Error(`there is no work ${id}`)
  print(`\n${work.id}: ${work.title}`)
  const results = new Map<string, Result[]>()
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [name, start] of peers) {
      if (!wanted.includes(name) || (name === 'srs' && work.tls)) continue
      const result = await measure(work, start)
      results.set(name, [...(results.get(name) ?? []), result])
      print(`  round ${round + 1}  ${line(name, result)}`)
    }
  const base = results.get('nginx-rtmp')
  print('  medians')
  for (const [name, all] of results) {
    const middle = median(all)
    const ratio = base === undefined ? '' : `   ${(middle.cpuPerGb / median(base).cpuPerGb).toFixed(2)} of nginx-rtmp`
    print(`           ${line(name, middle)}${ratio}`)
  }
}

async function measure(work: Work, start: StartPeer): Promise<Result> {
  const sinks = fork(new URL('./sinks.ts', import.meta.url))
  const publishers = fork(new URL('./publishers.ts', import.meta.url))
  const ca = work.tls ? await testCa() : undefined
  try {
    const order: SinksOrder = { ports: work.outputs, ...(ca && { tls: await ca.serverCert('localhost') }) }
    const ports = await ask<number[]>(sinks, order)
    await using peer = await start(work, ports, ca)
    const publish: PublishersOrder = { targets: peer.targets, kbps: work.kbps, fps: work.fps }
    await ask(publishers, publish)
    const total = work.inputs * work.outputs
    for (let waited = 0; (await ask<number>(sinks, 'count')) < total; waited += 500) {
      if (waited > 60_000) throw new Error(`only ${await ask<number>(sinks, 'count')} of ${total} outputs came up`)
      await sleep(500)
    }
    if (work.stalled > 0) await ask(sinks, { stall: work.stalled })
    // Everybody has caught up and the optimiser has seen the code.
    await sleep(work.stalled > 0 ? 12_000 : 8_000)
    await ask(sinks, 'measure')
    const publisherBefore = usageOfTree(publishers.pid!)
    const before = peer.pids.map(usageOfTree)
    await sleep(seconds * 1000)
    const after = peer.pids.map(usageOfTree)
    const report = await ask<SinksReport>(sinks, 'report')
    const publisherAfter = usageOfTree(publishers.pid!)
    const gigabytes = report.bytes / 1e9
    const sum = (pick: (usage: ReturnType<typeof usageOfTree>) => number) =>
      after.reduce((total, usage, index) => total + pick(usage) - pick(before[index]!), 0)
    const user = sum((usage) => usage.userSeconds)
    const system = sum((usage) => usage.systemSeconds)
    return {
      cpuPerGb: (user + system) / gigabytes,
      userPerGb: user / gigabytes,
      systemPerGb: system / gigabytes,
      ...report.delayMs,
      gaps: report.gaps,
      dropped: (await peer.dropped?.()) ?? 0,
      megabitsOut: (report.bytes * 8) / 1e6 / seconds,
      residentMb: after.reduce((total, usage) => total + usage.residentBytes, 0) / 1e6,
      sinkShare: report.cpuSeconds / seconds,
      publisherShare:
        (publisherAfter.userSeconds +
          publisherAfter.systemSeconds -
          publisherBefore.userSeconds -
          publisherBefore.systemSeconds) /
        seconds,
    }
  } finally {
    sinks.kill('SIGKILL')
    publishers.kill('SIGKILL')
    await ca?.[Symbol.asyncDispose]()
  }
}

function ask<Answer>(child: ChildProcess, question: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as Answer))
    child.once('exit', () => reject(new Error('a process of the bench has ended')))
    child.send(question as string)
  })
}

function median(results: readonly Result[]): Result {
  const keys = Object.keys(results[0]!) as (keyof Result)[]
  const middle = (key: keyof Result) =>
    results.map((one) => one[key]).sort((a, b) => a - b)[Math.floor(results.length / 2)]!
  return Object.fromEntries(keys.map((key) => [key, middle(key)])) as unknown as Result
}

function line(name: string, one: Result): string {
  return [
    name.padEnd(27),
    `${one.cpuPerGb.toFixed(3)} CPU-s/GB (${one.userPerGb.toFixed(2)} user, ${one.systemPerGb.toFixed(2)} system)`,
    `delay ${one.p50.toFixed(1)}/${one.p99.toFixed(1)}/${one.max.toFixed(0)} ms`,
    `${one.megabitsOut.toFixed(0)} Mbit/s`,
    `${one.residentMb.toFixed(0)} MB`,
    `gaps ${one.gaps}, dropped ${one.dropped}`,
    `(sinks ${(one.sinkShare * 100).toFixed(0)} %, encoders ${(one.publisherShare * 100).toFixed(0)} % of a core)`,
  ].join('  ')
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
