import { setTimeout as sleep } from 'node:timers/promises'
import { testCa } from '../test/support/tls.ts'
import { type Load, type LoadPrograms, type Quantiles, startLoad } from './load.ts'
import type { Peer, StartPeer } from './peers.ts'
import { residentBytesOf, threadsOf, treeOf, usageOf, usageOfMachine } from './proc.ts'
import type { Work } from './works.ts'

/** One server at one work, once. Shares are of one core unless they say something else. */
export type Measurement = {
  readonly cpuPerGb: number
  readonly userPerGb: number
  readonly systemPerGb: number
  /** Of the server: all its processes and threads. */
  readonly cpuShare: number
  /** From the encoder's stamp to the read at the destination: all of them, and the one that came first. */
  readonly delayMs: Quantiles
  readonly oneDelayMs: Quantiles
  readonly gaps: number
  readonly missing: number
  /** What the server says that it left out; null where it does not tell. */
  readonly dropped: number | null
  /** Outputs that were connected anew. */
  readonly reconnects: number
  readonly messagesPerSecondOut: number
  readonly megabitsOut: number
  /** Resident memory before the encoders came, the most of it while measured, and the growth divided by the outputs. */
  readonly idleBytes: number
  readonly peakBytes: number
  readonly bytesPerOutput: number
  readonly sinksShare: number
  readonly publishersShare: number
  /** Messages that the encoders made later than they should, and what the server did not take from them. */
  readonly latenessMs: Quantiles
  readonly waitingBytesMax: number
  /** Of all processors: without work, given to others by the host, and used by programs that are no part of the bench. */
  readonly idleOfMachine: number
  readonly stolenOfMachine: number
  readonly othersOfMachine: number
  /** The server's busiest threads. */
  readonly threads: readonly { readonly name: string; readonly share: number }[]
}

export type Timing = { readonly warmUpSeconds: number; readonly seconds: number }

/** With stalled outputs the sockets' buffers have to be full before anything is measured. */
const stallSeconds = 12
const memoryEveryMs = 250
const afterAskingSeconds = 3
const outputsDeadlineMs = 90_000
/** A thread that uses less is not told. */
const threadShareMin = 0.005

export async function measure(
  work: Work,
  start: StartPeer,
  programs: LoadPrograms,
  timing: Timing,
): Promise<Measurement> {
  await using running = await run(work, start, programs, timing.warmUpSeconds)
  // Waited for here: it ends with this call.
  return await running.measure(timing.seconds)
}

/** A server at its work, warmed up. */
export type Running = AsyncDisposable & { measure(seconds: number): Promise<Measurement> }

export async function run(
  work: Work,
  start: StartPeer,
  programs: LoadPrograms,
  warmUpSeconds: number,
): Promise<Running> {
  await using stack = new AsyncDisposableStack()
  const ca = work.tls ? stack.use(await testCa()) : undefined
  const load = stack.use(await startLoad(programs, work, await ca?.serverCert('localhost')))
  const peer = stack.use(await start(work, load.ports, ca))
  const idleBytes = peer.idleBytes ?? usageOf(peer.pids).residentBytes
  await load.publish(peer.targets)
  const total = work.inputs * work.outputs
  await untilConnected(total, () => load.publishingAtSinks())
  if (work.stalled > 0) {
    await load.stall(work.stalled)
    await sleep(stallSeconds * 1000)
  }
  await sleep(Math.max(0, warmUpSeconds - afterAskingSeconds) * 1000)
  const told: Told = { dropped: await peer.dropped?.(), connections: total }
  const all = stack.move()
  return {
    async measure(seconds) {
      // What the answer has cost, and what V8 compiles because of it, is no part of the work.
      await sleep(Math.min(warmUpSeconds, afterAskingSeconds) * 1000)
      return measureFor(seconds, { work, load, peer, idleBytes, told })
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** What was counted up to now: a window counts from there. */
type Told = { dropped: number | undefined; connections: number }

async function measureFor(
  wantedSeconds: number,
  {
    work,
    load,
    peer,
    idleBytes,
    told,
  }: {
    readonly work: Work
    readonly load: Load
    readonly peer: Peer
    readonly idleBytes: number
    readonly told: Told
  },
): Promise<Measurement> {
  const total = work.inputs * work.outputs
  const tree = treeOf(peer.pids)
  let peakBytes = 0
  const watchMemory = () => {
    const bytes = tree.reduce((sum, pid) => sum + residentBytesOf(pid), 0)
    peakBytes = Math.max(peakBytes, bytes)
  }
  watchMemory()
  await load.measure()
  const threadsBefore = new Map(threadsOf(peer.pids).map(({ id, seconds }) => [id, seconds]))
  const machineBefore = usageOfMachine()
  const before = usageOf(peer.pids)
  const began = performance.now()
  const memory = setInterval(watchMemory, memoryEveryMs)
  await sleep(wantedSeconds * 1000)
  clearInterval(memory)
  const after = usageOf(peer.pids)
  const { sinks, publishers } = await load.report()
  const seconds = (performance.now() - began) / 1000
  const machine = usageOfMachine()
  const threads = threadsOf(peer.pids)
    .map(({ id, name, seconds: sofar }) => ({ name, share: (sofar - (threadsBefore.get(id) ?? 0)) / seconds }))
    .filter(({ share }) => share >= threadShareMin)
    .sort((a, b) => b.share - a.share)
  watchMemory()

  const gigabytes = sinks.bytes / 1e9
  const used = after.seconds - before.seconds
  const user = after.userSeconds - before.userSeconds
  const system = after.systemSeconds - before.systemSeconds
  const userPart = user + system > 0 ? user / (user + system) : 0
  const machineSeconds = machine.allSeconds - machineBefore.allSeconds
  const busy = machine.busySeconds - machineBefore.busySeconds
  const stolen = machine.stolenSeconds - machineBefore.stolenSeconds
  const ofBench = used + sinks.cpuSeconds + publishers.cpuSeconds
  const toldBefore = { ...told }
  told.dropped = await peer.dropped?.()
  told.connections = sinks.connections
  return {
    cpuPerGb: used / gigabytes,
    userPerGb: (used * userPart) / gigabytes,
    systemPerGb: (used * (1 - userPart)) / gigabytes,
    cpuShare: used / seconds,
    delayMs: sinks.delayMs,
    oneDelayMs: sinks.oneDelayMs,
    gaps: sinks.gaps,
    missing: sinks.missing,
    dropped: told.dropped === undefined ? null : told.dropped - (toldBefore.dropped ?? 0),
    reconnects: told.connections - toldBefore.connections,
    messagesPerSecondOut: sinks.messages / seconds,
    megabitsOut: (sinks.bytes * 8) / 1e6 / seconds,
    idleBytes,
    peakBytes,
    bytesPerOutput: (peakBytes - idleBytes) / total,
    sinksShare: sinks.cpuSeconds / seconds,
    publishersShare: publishers.cpuSeconds / seconds,
    latenessMs: publishers.latenessMs,
    waitingBytesMax: publishers.waitingBytesMax,
    idleOfMachine: Math.max(0, machineSeconds - busy - stolen) / machineSeconds,
    stolenOfMachine: stolen / machineSeconds,
    othersOfMachine: Math.max(0, busy - ofBench) / machineSeconds,
    threads,
  }
}

/** @throws Error when not all outputs come up. */
export async function untilConnected(wanted: number, connected: () => Promise<number>): Promise<void> {
  const endsAt = performance.now() + outputsDeadlineMs
  for (;;) {
    const now = await connected()
    if (now >= wanted) return
    if (performance.now() > endsAt) throw new Error(`only ${now} of ${wanted} outputs came up`)
    await sleep(200)
  }
}
