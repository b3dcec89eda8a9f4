import type { LiveInput } from '../model/live-input.ts'

/**
 * What one live input costs a thread, in plain outputs: measured at 12 Mbit/s with 50 outputs, and at 6 Mbit/s with 4, 10 and one
 * (docs/performance.md). Bitrates are not known before an encoder has come; they hardly matter, for inputs of one server are much alike.
 */
const inputWork = 3
const tlsOutputWork = 3
/** Relaying costs the thread at which an encoder arrives about as much as two outputs: with fewer than three it does not pay. */
const relayedWorkMin = inputWork + 3
/** A thread with less has time enough, whatever the others do: at 12 Mbit/s it is a third of a core. Relaying doubles a beat's wait. */
const busyWork = 400
/** Of what each would have if all had the same. */
const evenShare = 1.15

export function workOf({ outputs }: Pick<LiveInput, 'outputs'>): number {
  let work = inputWork
  for (const { enabled, url } of outputs) if (enabled) work += /^rtmps:/i.test(url) ? tlsOutputWork : 1
  return work
}

export function isWorthRelaying(input: Pick<LiveInput, 'outputs'>): boolean {
  return workOf(input) >= relayedWorkMin
}

/**
 * Which engine carries a broadcast that begins: the one at which its encoder arrived, where its messages need no way to another
 * thread; unless that one is busy and has clearly more to do than another. The system deals encoders out by chance: of sixteen large
 * broadcasts on two threads, eleven or more are on one of them once in five times.
 *
 * @param works of all engines, without the input.
 */
export function chooseEngine<E>(arrivedAt: E, works: ReadonlyMap<E, number>, work: number): E {
  const there = works.get(arrivedAt)!
  if (work < relayedWorkMin || there + work < busyWork) return arrivedAt
  let total = work
  let idlest = arrivedAt
  for (const [engine, has] of works) {
    total += has
    if (has < works.get(idlest)!) idlest = engine
  }
  const isUneven = there + work > (evenShare * total) / works.size
  return isUneven && there - works.get(idlest)! >= work / 2 ? idlest : arrivedAt
}
