import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { isAbsolute } from 'node:path'
import { parseArgs } from 'node:util'
import { programPath, requirements } from '../test/support/requirements.ts'
import { type Capacity, findCapacity } from './capacity.ts'
import { measureFlat } from './flat.ts'
import { buildLoad, type LoadPrograms } from './load.ts'
import { type Measurement, measure, run, type Timing } from './measure.ts'
import { measureOutputMemory, type OutputMemory } from './memory.ts'
import { Keeper, type PeerName, type StartPeer, startBareLoop, startNginx, startOurs, startSrs } from './peers.ts'
import { circumstances, readResults, type WorkResult, writeResults } from './results.ts'
import { countSystemCalls, type SystemCalls } from './system-calls.ts'
import { capacityTable, memoryTable, percent, roundLine, systemCallsTable, workTable } from './tables.ts'
import { type Work, type WorkId, works } from './works.ts'

/**
 * npm run bench -- [--works A,B] [--rounds 3] [--seconds 15] [--warm-up 60] [--peers stream-connect,nginx-rtmp] [--quick]
 *                  [--keep] [--together] [--latency-mode efficient] [--media-threads 1] [--settings NAME=value,…] [--load node] [--save]
 * npm run bench -- --flat [--save]
 * npm run bench -- --memory [--save]
 * npm run bench -- --syscalls [--works A,C,G] [--save]
 *
 * The same work, encoders and destinations for each server, one after the other, in several rounds; then medians and ratios. SRS takes
 * part when SRS_BIN names its binary. `--save` keeps the results in docs/performance/, from which `npm run bench:report` fills
 * docs/performance.md. With `--keep` this server is started once for a work, and warmed up for all of its rounds, which can be many then. With
 * `--together` all servers do the same work at the same time, each with encoders and destinations of its own: what else the host does hits
 * all of them, and ratios hold for the same seconds. `--quick` is all works in a quarter of an hour.
 */
const { values } = parseArgs({
  options: {
    works: { type: 'string', default: Object.keys(works).join(',') },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    'warm-up': { type: 'string' },
    peers: { type: 'string' },
    quick: { type: 'boolean', default: false },
    flat: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    syscalls: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    together: { type: 'boolean', default: false },
    settings: { type: 'string', default: '' },
    'latency-mode': { type: 'string' },
    'media-threads': { type: 'string' },
    load: { type: 'string', default: 'native' },
  },
})

const rounds = Number(values.rounds ?? (values.quick ? 2 : 3))
const timing: Timing = {
  seconds: Number(values.seconds ?? (values.quick ? 6 : 15)),
  // What runs a hundred times a second is compiled for good after seconds, and what runs less often after a minute.
  warmUpSeconds: Number(values['warm-up'] ?? (values.quick ? 10 : 60)),
}
/** A server in C or C++ is at once what it will be; ours is compiled while it runs. */
const compiledWarmUpSeconds = 3
/** A server that was kept is compiled, but its log is not full yet. */
const keptWarmUpSeconds = 16
const keepers = new Map<PeerName, Keeper>()
const capacityTiming = values.quick
  ? { stepInputs: 100, settleSeconds: 2, seconds: 4 }
  : { stepInputs: 50, settleSeconds: 3, seconds: 8 }

const hasStunnel = isAbsolute(programPath('stunnel'))

/** In a quick run, and in the search of E, a server is left out where it says nothing that another work does not say. */
const quickPeers: Readonly<Record<WorkId, readonly PeerName[]>> = {
  A: ['stream-connect', 'stream-connect (efficient)', 'nginx-rtmp', 'SRS', 'send() loop'],
  B: ['stream-connect', 'nginx-rtmp'],
  C: ['stream-connect', 'stream-connect (1 thread)', 'nginx-rtmp', 'SRS', 'send() loop'],
  D: ['stream-connect', 'nginx-rtmp'],
  E: ['stream-connect', 'nginx-rtmp', 'SRS'],
  F: ['stream-connect', 'nginx-rtmp'],
  G: ['stream-connect', 'stream-connect (1 thread)', 'nginx-rtmp', 'SRS'],
}

const settings: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    values.settings
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('=') as [string, string]),
  ),
  ...(values['latency-mode'] !== undefined && { LATENCY_MODE: values['latency-mode'] }),
  ...(values['media-threads'] !== undefined && { MEDIA_THREADS: values['media-threads'] }),
}

await using programs = await buildLoad(values.load === 'node' ? 'node' : 'native')
const about = circumstances('bench')
print(`${about.taken}  ${about.machine}`)
print(
  Object.entries(about.versions)
    .map((pair) => pair.join(' '))
    .join(', '),
)
if (values.flat) await runFlat()
else if (values.memory) await runMemory()
else await runWorks()

async function runWorks(): Promise<void> {
  const all = peersFor(programs)
  for (const id of values.works.split(',')) {
    if (!(id in works)) throw new Error(`there is no work ${id}`)
    const work: Work = works[id as WorkId]
    const asked = values.peers?.split(',') ?? (values.quick || id === 'E' ? quickPeers[id as WorkId] : [...all.keys()])
    await using kept = new AsyncDisposableStack()
    for (const keeper of keepers.values()) kept.use(keeper)
    const taking = [...all].filter(([name]) => asked.includes(name) && canDo(name, work))
    print(`\n${work.id}: ${work.title}`)
    if (values.syscalls) await runSystemCalls(work, taking)
    else if (id === 'E') await runCapacity(work, taking)
    else await runWork(work, taking)
  }
}

async function runWork(work: Work, peers: readonly (readonly [PeerName, StartPeer])[]): Promise<void> {
  const results: Partial<Record<PeerName, Measurement[]>> = {}
  const note = (round: number, name: PeerName, measured: Measurement) => {
    results[name] = [...(results[name] ?? []), measured]
    print(`  round ${round}  ${roundLine(name, measured)}`)
  }
  if (values.together) await measureTogether(work, peers, note)
  else
    for (let round = 1; round <= rounds; round++)
      for (const [name, start] of peers) note(round, name, await measureOnceMore(work, start, warmed(name, work)))
  const result: WorkResult = { ...circumstances('bench'), work, timing, load: programs.kind, peers: results }
  print(workTable(result))
  const kept = readResults('works')
  if (values.save) writeResults('works', { ...kept, works: { ...kept?.works, [work.id]: result } })
}

async function measureTogether(
  work: Work,
  peers: readonly (readonly [PeerName, StartPeer])[],
  note: (round: number, name: PeerName, measured: Measurement) => void,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const started = await Promise.allSettled(
    peers.map(async ([name, start]) => ({ name, running: await run(work, start, programs, timing.warmUpSeconds) })),
  )
  const all = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  for (const { running } of all) stack.use(running)
  for (const one of started) if (one.status === 'rejected') throw one.reason
  for (let round = 1; round <= rounds; round++) {
    const measured = await Promise.all(all.map(({ running }) => running.measure(timing.seconds)))
    const ours = measured.reduce((sum, one) => sum + shareOf(one), 0)
    for (const [index, { name }] of all.entries()) {
      const one = measured[index]!
      // The other servers, and their encoders and destinations, are no strangers.
      const othersOfMachine = Math.max(0, one.othersOfMachine - (ours - shareOf(one)) / cpus().length)
      note(round, name, { ...one, othersOfMachine })
    }
  }
}

/** Of one core: a server, its encoders and its destinations. */
function shareOf({ cpuShare, sinksShare, publishersShare }: Measurement): number {
  return cpuShare + sinksShare + publishersShare
}

/** What did not come about is tried once more: an hour of results is not lost to one server that did not start. */
async function measureOnceMore(work: Work, start: StartPeer, at: Timing): Promise<Measurement> {
  try {
    return await measure(work, start, programs, at)
  } catch (error) {
    print(`  once more: ${(error as Error).message}`)
    return measure(work, start, programs, at)
  }
}

function warmed(name: PeerName, work: Work): Timing {
  const isInNode = name.startsWith('stream-connect') || name.startsWith('Node loop')
  const isKept = keepers.get(name)?.isWarm && !work.tls
  return {
    ...timing,
    warmUpSeconds: isKept ? keptWarmUpSeconds : isInNode ? timing.warmUpSeconds : compiledWarmUpSeconds,
  }
}

async function runCapacity(work: Work, peers: readonly (readonly [PeerName, StartPeer])[]): Promise<void> {
  const capacities: Capacity[] = []
  for (const [name, start] of peers) {
    if (isBareLoop(name)) continue
    const found = await findCapacity(name, work, start, programs, capacityTiming, (step) =>
      print(
        `  ${name.padEnd(25)} ${step.inputs} inputs: ${step.why || 'kept'}; delay ${step.delayMs.p50}/${step.delayMs.p99}/${step.delayMs.max} ms, core ${percent(step.cpuShare)}, encoders ${percent(step.publishersShare)} (late p99 ${step.latenessMs.p99} ms), sinks ${percent(step.sinksShare)}, machine idle ${percent(step.idleOfMachine)}, others ${percent(step.othersOfMachine)}`,
      ),
    )
    capacities.push(found)
  }
  print(capacityTable(capacities))
  const kept = readResults('works')
  const capacity = { ...circumstances('bench'), work, peers: capacities }
  if (values.save) writeResults('works', { works: {}, ...kept, capacity })
}

async function runSystemCalls(work: Work, peers: readonly (readonly [PeerName, StartPeer])[]): Promise<void> {
  if (work.tls || work.stalled > 0 || work.id === 'E') return print('  not counted')
  const counted: SystemCalls[] = []
  for (const [name, start] of peers) counted.push(await countSystemCalls(name, work, start, programs, timing.seconds))
  print(systemCallsTable(counted))
  const kept = readResults('calls')
  const result = { ...circumstances('bench'), work, peers: counted }
  if (values.save) writeResults('calls', { works: { ...kept?.works, [work.id]: result } })
}

async function runFlat(): Promise<void> {
  const series = await measureFlat(startOurs(settings), programs, timing, print)
  if (values.save) writeResults('flat', { ...circumstances('bench'), timing, ...series })
}

async function runMemory(): Promise<void> {
  const results: OutputMemory[] = []
  for (const tls of [false, true]) results.push(await measureOutputMemory(programs, tls))
  print(memoryTable(results))
  if (values.save) writeResults('memory', { ...circumstances('bench'), results })
}

function peersFor(load: LoadPrograms): ReadonlyMap<PeerName, StartPeer> {
  const peers = new Map<PeerName, StartPeer>()
  const addOurs = (name: PeerName, more: Readonly<Record<string, string>>) => {
    if (values.keep) keepers.set(name, new Keeper())
    peers.set(name, startOurs({ ...settings, ...more }, keepers.get(name)))
  }
  addOurs('stream-connect', {})
  if (!('MEDIA_THREADS' in settings) && cpus().length > 1) addOurs('stream-connect (1 thread)', { MEDIA_THREADS: '1' })
  if (!('LATENCY_MODE' in settings)) addOurs('stream-connect (efficient)', { LATENCY_MODE: 'efficient' })
  if (requirements['nginx-rtmp'].isThere()) peers.set('nginx-rtmp', startNginx)
  else print(`nginx-rtmp is left out: apt-get install ${requirements['nginx-rtmp'].package}`)
  const srs = process.env['SRS_BIN']
  if (srs !== undefined && existsSync(srs)) peers.set('SRS', startSrs(srs))
  else print('SRS is left out: SRS_BIN names no binary')
  peers.set('Node loop every 7 ms', startBareLoop('in Node', 7))
  peers.set('Node loop every 40 ms', startBareLoop('in Node', 40))
  if (load.kind === 'native') {
    peers.set('send() loop', startBareLoop(load))
    peers.set('send() loop every 7 ms', startBareLoop(load, 7))
    peers.set('send() loop every 40 ms', startBareLoop(load, 40))
  }
  return peers
}

function canDo(name: PeerName, work: Work): boolean {
  if (name === 'SRS') return !work.tls
  if (name === 'nginx-rtmp' && work.tls && !hasStunnel) {
    print('nginx-rtmp is left out: apt-get install stunnel4')
    return false
  }
  // Its rests count for one encoder: many would wait for one another.
  if (name.includes('loop every')) return work.inputs === 1 && !work.tls && work.stalled === 0
  return !isBareLoop(name) || (!work.tls && work.stalled === 0)
}

function isBareLoop(name: PeerName): boolean {
  return name.includes(' loop')
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
