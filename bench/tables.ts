import type { Capacity } from './capacity.ts'
import type { Measurement } from './measure.ts'
import type { MemoryPoint, OutputMemory } from './memory.ts'
import type { MicroResult } from './micro.ts'
import { type ApiResult, median, type WorkResult } from './results.ts'
import { callGroups, type SystemCalls } from './system-calls.ts'

/** Results as Markdown tables whose columns are aligned, so that they can be read on a terminal, too. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, 3, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

const baseline = 'nginx-rtmp'

export const workHead: readonly string[] = [
  'server',
  'CPU-s/GB',
  'user + system',
  `of ${baseline}`,
  'delay p50 / p99 / max, ms',
  'peak MB',
  'KB per output',
  'missing',
  'dropped',
  'core',
  'encoders, sinks',
]

/** Medians over the rounds; the ratio is the median of the rounds' ratios. */
export function workTable(result: WorkResult): string {
  const base = result.peers[baseline]
  const rows = Object.entries(result.peers).map(([name, rounds]) => {
    const of = (pick: (one: Measurement) => number) => median(rounds.map(pick))
    const ratios = rounds.flatMap(({ cpuPerGb }, round) => {
      const other = base?.[round]?.cpuPerGb
      return other === undefined ? [] : [cpuPerGb / other]
    })
    const { dropped } = rounds[0]!
    return [
      name === baseline && result.work.tls ? `${name} + stunnel` : name,
      of(({ cpuPerGb }) => cpuPerGb).toFixed(2),
      `${of(({ userPerGb }) => userPerGb).toFixed(2)} + ${of(({ systemPerGb }) => systemPerGb).toFixed(2)}`,
      ratios.length === 0 ? '' : median(ratios).toFixed(2),
      delays(rounds),
      (of(({ peakBytes }) => peakBytes) / 1e6).toFixed(0),
      (of(({ bytesPerOutput }) => bytesPerOutput) / 1e3).toFixed(0),
      `${of(({ missing }) => missing)}`,
      dropped === null ? '' : `${of((one) => one.dropped ?? 0)}`,
      percent(of(({ cpuShare }) => cpuShare)),
      `${percent(of(({ publishersShare }) => publishersShare))}, ${percent(of(({ sinksShare }) => sinksShare))}`,
    ]
  })
  return table(workHead, rows)
}

function delays(rounds: readonly Measurement[]): string {
  const of = (pick: (one: Measurement) => number) => median(rounds.map(pick)).toFixed(1)
  return `${of(({ delayMs }) => delayMs.p50)} / ${of(({ delayMs }) => delayMs.p99)} / ${of(({ delayMs }) => delayMs.max)}`
}

/** One round of one server, for the terminal while the bench runs. */
export function roundLine(name: string, one: Measurement): string {
  return [
    name.padEnd(25),
    `${one.cpuPerGb.toFixed(3)} CPU-s/GB (${one.userPerGb.toFixed(2)} + ${one.systemPerGb.toFixed(2)})`,
    `delay ${one.delayMs.p50.toFixed(1)}/${one.delayMs.p99.toFixed(1)}/${one.delayMs.max.toFixed(0)} ms, at one sink ${one.oneDelayMs.p50.toFixed(1)}/${one.oneDelayMs.p99.toFixed(1)}/${one.oneDelayMs.max.toFixed(0)}`,
    `${one.megabitsOut.toFixed(0)} Mbit/s`,
    `${(one.peakBytes / 1e6).toFixed(0)} MB`,
    `missing ${one.missing}, dropped ${one.dropped ?? '-'}, reconnects ${one.reconnects}`,
    `encoders ${percent(one.publishersShare)} (late p99 ${one.latenessMs.p99.toFixed(1)} ms), sinks ${percent(one.sinksShare)} of a core`,
    `machine: idle ${percent(one.idleOfMachine)}, others ${percent(one.othersOfMachine)}, stolen ${percent(one.stolenOfMachine)}`,
    `threads ${one.threads
      .slice(0, 4)
      .map(({ name: thread, share }) => `${thread} ${percent(share)}`)
      .join(', ')}`,
  ].join('  ')
}

export const capacityHead: readonly string[] = [
  'server',
  'inputs without a loss',
  'delay p50 / p99 / max there, ms',
  'core',
  'encoders, sinks',
  'machine idle, others',
  'KB per input',
  'what ended it',
]

export function capacityTable(capacities: readonly Capacity[]): string {
  return table(
    capacityHead,
    capacities.map(({ peer, inputs, inputsMax, steps }) => {
      const last = steps.findLast(({ kept }) => kept)
      const failed = steps.find(({ kept }) => !kept)
      return [
        peer,
        inputs === inputsMax ? `${inputs} (all)` : `${inputs}`,
        last ? `${last.delayMs.p50.toFixed(1)} / ${last.delayMs.p99.toFixed(1)} / ${last.delayMs.max.toFixed(1)}` : '',
        last ? percent(last.cpuShare) : '',
        last ? `${percent(last.publishersShare)}, ${percent(last.sinksShare)}` : '',
        last ? `${percent(last.idleOfMachine)}, ${percent(last.othersOfMachine)}` : '',
        last ? (last.residentBytes / 1e3 / last.inputs).toFixed(0) : '',
        failed ? `${failed.inputs}: ${failed.why}` : '',
      ]
    }),
  )
}

export function memoryTable(results: readonly OutputMemory[]): string {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1)
  const row = (tls: boolean, outputs: number, { heapUsed, arrayBuffers, rss }: MemoryPoint) => [
    `${outputs} ${tls ? 'RTMPS' : 'RTMP'}`,
    mb(heapUsed),
    mb(arrayBuffers),
    mb(rss),
  ]
  return table(
    ['outputs', 'heap MB', 'buffers MB', 'resident MB', 'alive, KB per output', 'resident, KB per output'],
    results.flatMap(({ tls, outputs, one, all, alivePerOutput, residentPerOutput }) => [
      [...row(tls, 1, one), '', ''],
      [...row(tls, outputs, all), (alivePerOutput / 1e3).toFixed(0), (residentPerOutput / 1e3).toFixed(0)],
    ]),
  )
}

export const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`

export const microHead: readonly string[] = [
  'stage; feed',
  'MB/s',
  'messages/s',
  'ns a message',
  'objects a message',
  'bytes a message',
  'writes a message',
  'ns a write',
  'objects a write',
  'bytes a write',
]

export function microTable(results: readonly MicroResult[]): string {
  return table(
    microHead,
    results.map((one) => {
      const ofWrites = [
        one.nanosecondsPerWrite.toFixed(0),
        one.objectsPerWrite.toFixed(2),
        one.bytesPerWrite.toFixed(0),
      ]
      return [
        `${one.stage}; ${one.feed}`,
        one.megabytesPerSecond.toFixed(0),
        Math.round(one.messagesPerSecond).toLocaleString('en'),
        one.nanosecondsPerMessage.toFixed(0),
        one.objectsPerMessage.toFixed(2),
        one.bytesPerMessage.toFixed(0),
        (one.writes / one.messages).toFixed(2),
        ...(one.writes === 0 ? ['', '', ''] : ofWrites),
      ]
    }),
  )
}

export function apiTable(results: readonly ApiResult[]): string {
  return table(
    ['call', 'p50, ms', 'p99, ms', 'max, ms', 'p99 shall be below, ms'],
    results.map(({ call, p50Ms, p99Ms, maxMs, targetMs }) => [
      call,
      ...[p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1)),
      targetMs === undefined ? '' : `${targetMs}${p99Ms < targetMs ? '' : ': missed'}`,
    ]),
  )
}

export function systemCallsTable(calls: readonly SystemCalls[]): string {
  return table(
    [
      'server',
      ...callGroups.map((group) => (group === 'all' ? 'all calls' : group)),
      'messages/s',
      'of CPU in the kernel',
    ],
    calls.map(({ peer, perMessage, messagesPerSecond, systemPart }) => [
      peer,
      ...callGroups.map((group) => perMessage[group].toFixed(3)),
      Math.round(messagesPerSecond).toLocaleString('en'),
      percent(systemPart),
    ]),
  )
}
