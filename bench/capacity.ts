import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadPrograms, type Quantiles, startLoad } from './load.ts'
import type { PeerName, StartPeer } from './peers.ts'
import { usageOf, usageOfMachine } from './proc.ts'
import type { Work } from './works.ts'

/**
 * Work E: inputs are added to a server until it can no longer keep up. A step is kept when nothing is missing at any destination, no output
 * was connected anew, the delay stays bounded (without room it would grow until something must be dropped), and the encoders, which share
 * the machine, keep their pace.
 */
export type CapacityStep = {
  readonly inputs: number
  readonly kept: boolean
  readonly why: string
  readonly delayMs: Quantiles
  readonly latenessMs: Quantiles
  readonly cpuShare: number
  readonly sinksShare: number
  readonly publishersShare: number
  readonly idleOfMachine: number
  readonly othersOfMachine: number
  readonly residentBytes: number
}
export type Capacity = {
  readonly peer: PeerName
  /** The largest step that was kept. */
  readonly inputs: number
  /** More than this was not asked for. */
  readonly inputsMax: number
  readonly steps: readonly CapacityStep[]
}

export type CapacityTiming = { readonly stepInputs: number; readonly settleSeconds: number; readonly seconds: number }

/** A second behind is what viewers of a live picture would notice, and far above what any server adds that keeps up. */
const delayP99MsMax = 1_000
/** Encoders that are so late do not offer the load any more: the machine is used up, whoever uses it. */
const latenessP99MsMax = 500
const stepDeadlineMs = 20_000

const nothing: Quantiles = { p50: 0, p99: 0, max: 0 }
/** A step whose encoders or outputs did not come up: the programs of the load are not asked, because one of them still owes an answer. */
const nothingMeasured = {
  ...{ kept: false, delayMs: nothing, latenessMs: nothing, residentBytes: 0 },
  ...{ cpuShare: 0, sinksShare: 0, publishersShare: 0, idleOfMachine: 0, othersOfMachine: 0 },
}

export async function findCapacity(
  name: PeerName,
  work: Work,
  start: StartPeer,
  programs: LoadPrograms,
  timing: CapacityTiming,
  onStep: (step: CapacityStep) => void,
): Promise<Capacity> {
  await using load = await startLoad(programs, work)
  await using peer = await start(work, load.ports, undefined)
  const steps: CapacityStep[] = []
  let inputs = 0
  while (inputs < work.inputs) {
    const next = Math.min(work.inputs, inputs + timing.stepInputs)
    const step = await tryStep(next)
    steps.push(step)
    onStep(step)
    if (!step.kept) break
    inputs = next
  }
  return { peer: name, inputs, inputsMax: work.inputs, steps }

  async function tryStep(wanted: number): Promise<CapacityStep> {
    const droppedBefore = await peer.dropped?.()
    if (!(await connect(wanted))) return { ...nothingMeasured, inputs: wanted, why: 'not all outputs came up' }
    await sleep(timing.settleSeconds * 1000)
    await load.measure()
    const machineBefore = usageOfMachine()
    const before = usageOf(peer.pids)
    const began = performance.now()
    await sleep(timing.seconds * 1000)
    const after = usageOf(peer.pids)
    const machine = usageOfMachine()
    const seconds = (performance.now() - began) / 1000
    const { sinks, publishers } = await load.report()
    const machineSeconds = machine.allSeconds - machineBefore.allSeconds
    const busy = machine.busySeconds - machineBefore.busySeconds
    const stolen = machine.stolenSeconds - machineBefore.stolenSeconds
    const used = after.seconds - before.seconds
    const ofBench = used + sinks.cpuSeconds + publishers.cpuSeconds
    const dropped = ((await peer.dropped?.()) ?? 0) - (droppedBefore ?? 0)
    const why = [
      sinks.gaps > 0 && `${sinks.missing} messages missing`,
      dropped > 0 && `${dropped} messages dropped`,
      publishers.gone > 0 && `${publishers.gone} encoders cut off`,
      sinks.connections > wanted && `${sinks.connections - wanted} outputs connected anew`,
      sinks.delayMs.p99 > delayP99MsMax && `delay p99 over ${delayP99MsMax} ms`,
      publishers.latenessMs.p99 > latenessP99MsMax && `encoders late by more than ${latenessP99MsMax} ms`,
    ].filter((reason) => reason !== false)
    return {
      inputs: wanted,
      kept: why.length === 0,
      why: why.join(', '),
      delayMs: sinks.delayMs,
      latenessMs: publishers.latenessMs,
      cpuShare: used / seconds,
      sinksShare: sinks.cpuSeconds / seconds,
      publishersShare: publishers.cpuSeconds / seconds,
      idleOfMachine: Math.max(0, machineSeconds - busy - stolen) / machineSeconds,
      othersOfMachine: Math.max(0, busy - ofBench) / machineSeconds,
      residentBytes: after.residentBytes,
    }
  }

  async function connect(wanted: number): Promise<boolean> {
    const endsAt = performance.now() + stepDeadlineMs
    const published = load.publish(peer.targets.slice(inputs, wanted)).then(
      () => true,
      () => false,
    )
    const inTime = await Promise.race([published, sleep(stepDeadlineMs, false)])
    while (inTime && performance.now() < endsAt) {
      if ((await load.publishingAtSinks()) >= wanted) return true
      await sleep(200)
    }
    return false
  }
}
