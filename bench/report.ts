import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FlatPoint } from './flat.ts'
import { drawFigure, fitLine, type Panel } from './plot.ts'
import { type Circumstances, type FlatFile, median, readResults, resultPath, type WorkResult } from './results.ts'
import {
  apiTable,
  capacityTable,
  memoryTable,
  microTable,
  percent,
  systemCallsTable,
  table,
  workTable,
} from './tables.ts'

/**
 * npm run bench:report
 *
 * Fills the tables of docs/performance.md, between `<!-- begin x -->` and `<!-- end x -->`, from docs/performance/*.json, and draws the
 * figures there. What was not measured yet is left as it is.
 */
const document = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
/** Above this part of the machine, other programs had an influence on the figures. */
const noiseMax = 0.03
const threadsShown = 5

const works = readResults('works')
const flat = readResults('flat')
const memory = readResults('memory')
const micro = readResults('micro')
const calls = readResults('calls')
const api = readResults('api')
const sections: Record<string, string> = {}
const first = works?.capacity ?? Object.values(works?.works ?? {})[0] ?? flat ?? micro
if (first !== undefined) sections['machine'] = `Machine and versions, where nothing else is said: ${placeOf(first)}.`
if (works !== undefined) {
  const results = Object.values(works.works).sort((a, b) => a.work.id.localeCompare(b.work.id))
  sections['works'] = results.map(describeWork).join('\n\n')
  sections['load'] = loadTable(results)
  if (works.capacity !== undefined)
    sections['capacity'] = `${capacityTable(works.capacity.peers)}\n\n${describe(works.capacity)}`
}
if (flat !== undefined) {
  sections['flat'] = describeFlat(flat)
  const draw = (file: string, points: readonly FlatPoint[], name: 'inputs' | 'outputs') =>
    writeFileSync(
      resultPath(file),
      figureOf(points, name, (point) => point[name]),
    )
  draw('outputs.svg', flat.outputs, 'outputs')
  draw('tls-outputs.svg', flat.tlsOutputs, 'outputs')
  draw('inputs.svg', flat.inputs, 'inputs')
}
if (memory !== undefined) sections['memory'] = `${memoryTable(memory.results)}\n\n${describe(memory)}`
if (calls !== undefined)
  sections['syscalls'] = Object.values(calls.works)
    .map((one) => [`${one.work.id}: ${one.work.title}`, systemCallsTable(one.peers), describe(one)].join('\n\n'))
    .join('\n\n')
if (micro !== undefined) sections['micro'] = `${microTable(micro.results)}\n\n${describe(micro)}`
if (api !== undefined)
  sections['api'] = [
    `${inGroups(api.inputs)} live inputs with ${api.outputsOfInput} outputs each, read at the start in ${(api.startMs / 1000).toFixed(1)} s; ${inGroups(api.calls)} calls of each kind, one after the other.`,
    apiTable(api.results),
    describe(api),
  ].join('\n\n')

let text = readFileSync(document, 'utf8')
for (const [name, content] of Object.entries(sections)) {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < 0) throw new Error(`docs/performance.md has no place for ${name}`)
  text = `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}
writeFileSync(document, text)

function describe(result: Circumstances): string {
  const { taken, command, versions } = result
  const day = `${taken.slice(0, 10)} ${taken.slice(11, 16)} UTC`
  // Machine and versions are told once, unless this was taken elsewhere or with others.
  const isThere = first !== undefined && result.machine === first.machine && versions['node'] === first.versions['node']
  const where = isThere ? '' : ` on ${placeOf(result)}`
  return `Taken ${day} by \`${command}\` at commit ${versions['commit'] ?? 'unknown'}${where}.`
}

function placeOf({ machine, versions }: Circumstances): string {
  const { commit: _, ...others } = versions
  return `${machine}; ${Object.entries(others)
    .map((pair) => pair.join(' '))
    .join(', ')}`
}

function describeWork(result: WorkResult): string {
  const rounds = Object.values(result.peers)
  const others = Math.max(...rounds.map((one) => median(one.map(({ othersOfMachine }) => othersOfMachine))))
  const count = rounds[0]?.length ?? 0
  const busiest = (result.peers['stream-connect']?.[0]?.threads ?? [])
    .slice(0, threadsShown)
    .map(({ name, share }) => `${name} ${percent(share)}`)
    .join(', ')
  return [
    `### ${result.work.id}: ${result.work.title}`,
    workTable(result),
    `${count} round${count === 1 ? '' : 's'} of ${result.timing.seconds} s. ${describe(result)}`,
    ...(busiest.length > 0 ? [`Its busiest threads, of a core: ${busiest}.`] : []),
    ...noiseNote(others),
  ].join('\n\n')
}

function noiseNote(others: number): readonly string[] {
  if (others <= noiseMax) return []
  return [`**Noise:** other programs used up to ${percent(others)} of the machine meanwhile; these figures say little.`]
}

/** Was it the server that was measured, and not its encoders and destinations? */
function loadTable(results: readonly WorkResult[]): string {
  const rows = results.flatMap(({ work, peers }) =>
    Object.entries(peers).map(([name, rounds]) => {
      const of = (pick: (one: (typeof rounds)[number]) => number) => median(rounds.map(pick))
      return [
        `${work.id}, ${name}`,
        percent(of((one) => one.publishersShare)),
        `${of((one) => one.latenessMs.p99).toFixed(1)}`,
        `${(of((one) => one.waitingBytesMax) / 1e3).toFixed(0)}`,
        percent(of((one) => one.sinksShare)),
        percent(of((one) => one.cpuShare)),
        percent(of((one) => one.idleOfMachine)),
        percent(of((one) => one.othersOfMachine)),
        percent(of((one) => one.stolenOfMachine)),
      ]
    }),
  )
  const head = [
    'work, server',
    'encoders',
    'late p99, ms',
    'not taken, KB',
    'sinks',
    'server',
    'idle',
    'others',
    'stolen',
  ]
  return table(head, rows)
}

function describeFlat(file: FlatFile): string {
  const points = [...file.outputs, ...file.tlsOutputs, ...file.inputs]
  const tableOf = (points: readonly FlatPoint[], name: 'inputs' | 'outputs') => {
    const cpu = fitLine(points.map((point) => [point[name], point.measured.cpuShare]))
    const memory = fitLine(points.map((point) => [point[name], point.measured.peakBytes]))
    return table(
      [
        name,
        'core',
        'of the line',
        `without the fixed part, per ${name.slice(0, -1)}`,
        'peak MB',
        'of the line',
        'missing',
      ],
      points.map((point) => {
        const { cpuShare, peakBytes, missing } = point.measured
        return [
          `${point[name]}`,
          percent(cpuShare),
          (cpuShare / (cpu.offset + cpu.slope * point[name])).toFixed(2),
          `${(((cpuShare - cpu.offset) / point[name]) * 100).toFixed(3)} %`,
          (peakBytes / 1e6).toFixed(0),
          (peakBytes / (memory.offset + memory.slope * point[name])).toFixed(2),
          `${missing}`,
        ]
      }),
    )
  }
  return [
    '![CPU and memory by outputs](performance/outputs.svg)',
    tableOf(file.outputs, 'outputs'),
    '![CPU and memory by RTMPS outputs](performance/tls-outputs.svg)',
    tableOf(file.tlsOutputs, 'outputs'),
    '![CPU and memory by inputs](performance/inputs.svg)',
    tableOf(file.inputs, 'inputs'),
    `${file.timing.seconds} s each. ${describe(file)}`,
    ...noiseNote(Math.max(...points.map(({ measured }) => measured.othersOfMachine))),
  ].join('\n\n')
}

function figureOf(points: readonly FlatPoint[], name: string, xOf: (point: FlatPoint) => number): string {
  const one = name.slice(0, -1)
  const cpu: Panel = {
    title: 'CPU, % of a core',
    xTitle: name,
    points: points.map((point) => [xOf(point), point.measured.cpuShare * 100]),
    says: ({ offset, slope }) => `${slope.toFixed(3)} % per ${one}, and ${offset.toFixed(1)} %`,
  }
  const memory: Panel = {
    title: 'Resident memory, MB',
    xTitle: name,
    points: points.map((point) => [xOf(point), point.measured.peakBytes / 1e6]),
    says: ({ offset, slope }) => `${(slope * 1e3).toFixed(0)} KB per ${one}, and ${offset.toFixed(0)} MB`,
  }
  return drawFigure([cpu, memory])
}

function inGroups(count: number): string {
  return count.toLocaleString('en')
}
