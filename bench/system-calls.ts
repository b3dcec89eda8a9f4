import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from '../test/support/processes.ts'
import { type LoadPrograms, startLoad } from './load.ts'
import { untilConnected } from './measure.ts'
import type { PeerName, StartPeer } from './peers.ts'
import { treeOf, usageOf } from './proc.ts'
import type { Work } from './works.ts'

/** What a server asks of the kernel, per message that arrives at a destination; counted by perf, whose tracepoints cost next to nothing. */
export type SystemCalls = {
  readonly peer: PeerName
  readonly messagesPerSecond: number
  readonly perMessage: Readonly<Record<CallGroup, number>>
  /** Part of the processor time that was spent in the kernel. */
  readonly systemPart: number
}

const groups = {
  receive: ['read', 'readv', 'recvfrom', 'recvmsg'],
  send: ['write', 'writev', 'sendto', 'sendmsg'],
  wait: ['epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'poll', 'select'],
  watch: ['epoll_ctl'],
  futex: ['futex'],
} as const
export type CallGroup = keyof typeof groups | 'all'
export const callGroups: readonly CallGroup[] = ['receive', 'send', 'wait', 'watch', 'futex', 'all']

const everyCall = 'raw_syscalls:sys_enter'

/** @throws Error where perf is missing or may not count. */
export async function countSystemCalls(
  name: PeerName,
  work: Work,
  start: StartPeer,
  programs: LoadPrograms,
  seconds: number,
): Promise<SystemCalls> {
  await using load = await startLoad(programs, work)
  await using peer = await start(work, load.ports, undefined)
  await load.publish(peer.targets)
  await untilConnected(work.inputs * work.outputs, () => load.publishingAtSinks())
  await sleep(3_000)
  const pids = treeOf(peer.pids)
  const names = Object.values(groups).flat()
  const events = [everyCall, ...names.map((call) => `syscalls:sys_enter_${call}`)]
  await load.measure()
  const before = usageOf(peer.pids)
  const { stderr } = await runProgram(
    'perf',
    ['stat', '-x', ',', '-e', events.join(','), '-p', pids.join(','), 'sleep', `${seconds}`],
    { deadlineMs: (seconds + 30) * 1000 },
  )
  const after = usageOf(peer.pids)
  const { sinks } = await load.report()
  const counts = new Map<string, number>()
  for (const line of stderr.split('\n')) {
    const [count, , event] = line.split(',')
    if (event !== undefined) counts.set(event, Number(count) || 0)
  }
  if (!counts.get(everyCall)) throw new Error(`perf has counted nothing: ${stderr.slice(0, 500)}`)
  const of = (calls: readonly string[]) =>
    calls.reduce((sum, call) => sum + (counts.get(`syscalls:sys_enter_${call}`) ?? 0), 0) / sinks.messages
  const user = after.userSeconds - before.userSeconds
  const system = after.systemSeconds - before.systemSeconds
  return {
    peer: name,
    messagesPerSecond: sinks.messages / seconds,
    perMessage: {
      receive: of(groups.receive),
      send: of(groups.send),
      wait: of(groups.wait),
      watch: of(groups.watch),
      futex: of(groups.futex),
      all: (counts.get(everyCall) ?? 0) / sinks.messages,
    },
    systemPart: system / (user + system),
  }
}
