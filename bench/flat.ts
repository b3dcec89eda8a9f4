import type { LoadPrograms } from './load.ts'
import { type Measurement, measure, type Timing } from './measure.ts'
import type { StartPeer } from './peers.ts'
import { percent } from './tables.ts'
import type { Work } from './works.ts'

/** What one more output, and one more input, costs. */
export type FlatPoint = { readonly inputs: number; readonly outputs: number; readonly measured: Measurement }

/** By plain outputs of one input, by RTMPS outputs of one input, and by inputs. */
export type FlatSeries = Readonly<Record<'outputs' | 'tlsOutputs' | 'inputs', readonly FlatPoint[]>>

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
): Promise<FlatSeries> {
  const point = async (work: Work): Promise<FlatPoint> => {
    const measured = await measure(work, start, programs, timing)
    const { cpuShare, cpuPerGb, peakBytes, delayMs, missing, idleOfMachine } = measured
    print(
      `${work.title.padEnd(28)} ${percent(cpuShare)} of a core, ${cpuPerGb.toFixed(2)} CPU-s/GB, ${(peakBytes / 1e6).toFixed(0)} MB, delay p99 ${delayMs.p99} ms, missing ${missing}, machine idle ${percent(idleOfMachine)}`,
    )
    return { inputs: work.inputs, outputs: work.inputs * work.outputs, measured }
  }
  const series = async (works: readonly Work[]): Promise<readonly FlatPoint[]> => {
    const points: FlatPoint[] = []
    for (const work of works) points.push(await point(work))
    return points
  }
  const fan = (outputs: number, tls: boolean): Work => {
    const kind = tls ? 'RTMPS' : 'RTMP'
    return { ...fanOut, tls, outputs, id: kind, title: `1 input x ${outputs} ${kind} outputs` }
  }
  return {
    outputs: await series(outputCounts.map((count) => fan(count, false))),
    tlsOutputs: await series(outputCounts.map((count) => fan(count, true))),
    inputs: await series(
      inputCounts.map((count) => ({ ...many, inputs: count, id: 'inputs', title: `${count} inputs x 1 output` })),
    ),
  }
}
