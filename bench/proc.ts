import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts processor time in hundredths of a second for every architecture that Node runs on. */
const ticksPerSecond = 100

export type Usage = { readonly userSeconds: number; readonly systemSeconds: number; readonly residentBytes: number }

/** What a process and all its children have used so far, from /proc. */
export function usageOfTree(pid: number): Usage {
  const children = new Map<number, number[]>()
  const stats = new Map<number, { user: number; system: number }>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The name of the program stands in parentheses and may hold anything.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      const parent = Number(fields[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
      stats.set(Number(name), { user: Number(fields[11]), system: Number(fields[12]) })
    } catch {
      // Gone meanwhile.
    }
  }
  let user = 0
  let system = 0
  let residentBytes = 0
  const visit = (id: number) => {
    user += stats.get(id)?.user ?? 0
    system += stats.get(id)?.system ?? 0
    residentBytes += residentBytesOf(id)
    for (const child of children.get(id) ?? []) visit(child)
  }
  visit(pid)
  return { userSeconds: user / ticksPerSecond, systemSeconds: system / ticksPerSecond, residentBytes }
}

function residentBytesOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
