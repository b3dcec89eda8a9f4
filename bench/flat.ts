import type { LoadPrograms } from './load.ts'
import { type Measurement, measure, type Timing } from './measure.ts'
import type { StartPeer } from './peers.ts'
import { percent } from './tables.ts'
import type { Work } from './works.ts'

/** What one more output, and one more input, costs. */
export type FlatPoint = { readonly inputs: number; readonly outputs: number; readonly measured: Measurement }

const outputCounts = [1, 5, 10, 25, 50]
const inputCounts = [1, 10, 100, 300, 1_000]
const common = { tls: false, stalled: 0 }
const fanOut = { ...common, inputs: 1, kbps: 12_000, fps: 60, audio: true }
/** Without sound, whose 47 messages a second make a thousand encoders more than two cores can carry beside the server. */
const many = { ...common, outputs: 1, kbps: 300, fps: 15, audio: false }

export async function measureFlat(
  start: StartPeer,
  programs: LoadPrograms,
  timing: Timing,
  print: (line: string) => void,
): Promise<{ readonly outputs: readonly FlatPoint[]; readonly inputs: readonly FlatPoint[] }> {
  const point = async (work: Work): Promise<FlatPoint> => {
    const measured = await measure(work, start, programs, timing)
    const { cpuShare, cpuPerGb, peakBytes, delayMs, missing, idleOfMachine } = measured
    print(
      `${work.title.padEnd(28)} ${percent(cpuShare)} of a core, ${cpuPerGb.toFixed(2)} CPU-s/GB, ${(peakBytes / 1e6).toFixed(0)} MB, delay p99 ${delayMs.p99} ms, missing ${missing}, machine idle ${percent(idleOfMachine)}`,
    )
    return { inputs: work.inputs, outputs: work.inputs * work.outputs, measured }
  }
  const outputs: FlatPoint[] = []
  for (const count of outputCounts)
    outputs.push(await point({ ...fanOut, outputs: count, id: 'outputs', title: `1 input x ${count} outputs` }))
  const inputs: FlatPoint[] = []
  for (const count of inputCounts)
    inputs.push(await point({ ...many, inputs: count, id: 'inputs', title: `${count} inputs x 1 output` }))
  return { outputs, inputs }
}
