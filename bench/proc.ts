import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts processor time in hundredths of a second for every architecture that Node runs on. */
const ticksPerSecond = 100

/** `seconds` is exact; how it divides into user and system is known in hundredths. */
export type Usage = {
  readonly seconds: number
  readonly userSeconds: number
  readonly systemSeconds: number
  readonly residentBytes: number
}

/** What processes and all their children have used so far, from /proc. */
export function usageOf(pids: readonly number[]): Usage {
  let seconds = 0
  let user = 0
  let system = 0
  let residentBytes = 0
  for (const pid of treeOf(pids)) {
    const stat = statOf(`/proc/${pid}/stat`)
    user += stat?.user ?? 0
    system += stat?.system ?? 0
    residentBytes += residentBytesOf(pid)
  }
  for (const thread of threadsOf(pids)) seconds += thread.seconds
  return { seconds, userSeconds: user / ticksPerSecond, systemSeconds: system / ticksPerSecond, residentBytes }
}

/** The processes and all their children. */
export function treeOf(pids: readonly number[]): readonly number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = statOf(`/proc/${name}/stat`)?.parent
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const tree = [...pids]
  // The list grows while it is gone through.
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

export function residentBytesOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

export type ThreadUsage = { readonly id: number; readonly name: string; readonly seconds: number }

/** Processor time of each thread of the processes and their children. */
export function threadsOf(pids: readonly number[]): readonly ThreadUsage[] {
  return treeOf(pids).flatMap((pid) => {
    try {
      return readdirSync(`/proc/${pid}/task`).flatMap((id) => {
        const stat = statOf(`/proc/${pid}/task/${id}/stat`)
        if (stat === undefined) return []
        const seconds = runTimeOf(`/proc/${pid}/task/${id}/schedstat`) ?? (stat.user + stat.system) / ticksPerSecond
        return [{ id: Number(id), name: stat.name, seconds }]
      })
    } catch {
      return []
    }
  })
}

export type MachineUsage = { readonly busySeconds: number; readonly stolenSeconds: number; readonly allSeconds: number }

/** All processors together. Stolen: what the host of a virtual machine has given to others. */
export function usageOfMachine(): MachineUsage {
  const line = readFileSync('/proc/stat', 'utf8').split('\n')[0]!
  // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
  const [user, nice, system, idle, iowait, irq, softirq, steal] = line.trim().split(/\s+/).slice(1, 9).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const busy = user + nice + system + irq + softirq
  return {
    busySeconds: busy / ticksPerSecond,
    stolenSeconds: steal / ticksPerSecond,
    allSeconds: (busy + idle + iowait + steal) / ticksPerSecond,
  }
}

/** What the scheduler has counted, in nanoseconds; undefined where the kernel does not tell. */
function runTimeOf(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[0]) / 1e9
  } catch {
    return undefined
  }
}

function statOf(path: string): { name: string; parent: number; user: number; system: number } | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    // The name of the program stands in parentheses and may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'))
    return { name, parent: Number(fields[1]), user: Number(fields[11]), system: Number(fields[12]) }
  } catch {
    // Gone meanwhile.
    return undefined
  }
}
