import { useEffect, useSyncExternalStore } from 'react'
import type { WireLiveInput } from '../../../src/api/schemas.ts'
import type { InputHealth, OutputHealth } from '../../../src/model/status.ts'
import type { BitratePoint } from './bitrate-history.ts'
import { type Connection, LiveStore, type OutputNow, type Sum, type Totals } from './live-store.ts'
import { probeSession } from './session.ts'

/** Of a live input or of an output, as it is listed; what events tell has the same form. */
export type Status = NonNullable<WireLiveInput['status']>
/** The same without what was before: all that a list has. */
export type Current = Status['current']

/** The one store of the page. */
export const live = new LiveStore({
  open: (url) => new EventSource(url),
  now: () => Date.now(),
  probe: probeSession,
})

/** So long a tab that was left keeps its connection: who only looked something up comes back to fresh figures. */
const leftMs = 10_000

/** Holds the connection while the tab can be seen. @returns ends that. */
export function followVisibility(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const changed = () => {
    clearTimeout(timer)
    if (document.hidden) timer = setTimeout(() => live.pause(), leftMs)
    else live.resume()
  }
  // Opened behind the others: until it is looked at, it needs nothing.
  if (document.hidden) live.pause()
  document.addEventListener('visibilitychange', changed)
  return () => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', changed)
    live.resume()
  }
}

const noPoints: readonly BitratePoint[] = []

function useLive<Value>(key: string, read: () => Value): Value {
  return useSyncExternalStore((listener) => live.subscribe(key, listener), read)
}

/** Whether what is shown is of this moment. `lost` says since when it is not. */
export function useConnection(): Connection {
  return useLive('connection', live.connection)
}

/** While the component is there, figures of this live input and of its outputs come once a second. */
export function useWatchedInput(input: string): void {
  useEffect(() => live.watch(input), [input])
}

/** @param listed what was answered when it was asked for; the newer of the two counts. */
export function useInputStatus(input: string, listed: Status | null | undefined): Status | undefined {
  return newer(
    useLive(input, () => live.inputStatus(input)),
    listed,
  )
}

/** As useInputStatus, without what was before. */
export function useInputCurrent(input: string, listed: Current | null | undefined): Current | undefined {
  return currentOf(
    useLive(input, () => live.inputStatus(input)),
    listed,
  )
}

/** Of the list: undefined while the input is not live, or nothing is heard from the server. */
export function useInputTotals(input: string): Totals | undefined {
  return useLive(input, () => live.totals(input))
}

/** Of all live inputs together; undefined while nothing is heard from the server. */
export function useSum(): Sum | undefined {
  return useLive('totals', live.sum)
}

/** Another number after each change of state of any live input. */
export function useStatesVersion(): number {
  return useLive('states', live.statesVersion)
}

/** Of a watched input: undefined while it is not live, or nothing is heard from the server for 5 s. */
export function useInputHealth(input: string): InputHealth | undefined {
  return useLive(input, () => live.inputHealth(input))
}

/** As useInputHealth, for one output of a watched input. */
export function useOutputHealth(input: string, output: string): OutputHealth | undefined {
  return useLive(output, () => live.outputHealth(input, output))
}

/** The newest change of state that was told; undefined when there was none since the page opened. */
export function useOutputNow(output: string): OutputNow | undefined {
  return useLive(output, () => live.output(output))
}

/** @param id of a live input or of an output. Oldest first, 10 minutes at most; of the time since this page was opened. */
export function useBitrateHistory(id: string): readonly BitratePoint[] {
  return useLive(id, () => live.history(id)?.points ?? noPoints)
}

export function currentOf(told: Status | undefined, listed: Current | null | undefined): Current | undefined {
  return newer(told, listed ? { current: listed, history: [] } : undefined)?.current
}

/** A list is stored once a second: what an event told may be newer than what was listed after it. */
export function newer(told: Status | undefined, listed: Status | null | undefined): Status | undefined {
  if (told === undefined || listed === undefined || listed === null) return told ?? listed ?? undefined
  return listed.current.statusLastSeen > told.current.statusLastSeen ? listed : told
}
