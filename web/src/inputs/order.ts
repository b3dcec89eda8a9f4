import type { WireLiveInputItem } from '../../../src/api/schemas.ts'
import { nameOf } from '../api/input-name.ts'
import type { Current } from '../api/live.ts'
import { placeOf, viewOf } from './input-state.ts'

export const sorts = ['state', 'name', 'newest', 'oldest'] as const
export type Sort = (typeof sorts)[number]

export const sortWords: Readonly<Record<Sort, string>> = {
  state: 'Live first',
  name: 'Name',
  newest: 'Newest first',
  oldest: 'Oldest first',
}

const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' })

/** @param currentOf the newest that is known of an input. */
export function sorted(
  items: readonly WireLiveInputItem[],
  sort: Sort,
  currentOf: (item: WireLiveInputItem) => Current | undefined,
): readonly string[] {
  const rows = items.map((item) => ({
    uid: item.uid,
    created: item.created,
    name: sort === 'state' || sort === 'name' ? nameOf(item) : '',
    place: sort === 'state' ? placeOf(viewOf(item.enabled, currentOf(item))) : 0,
  }))
  const byAge = sort === 'oldest' ? 1 : -1
  rows.sort(
    (a, b) =>
      a.place - b.place ||
      byName.compare(a.name, b.name) ||
      (a.created < b.created ? -byAge : a.created > b.created ? byAge : 0),
  )
  return rows.map(({ uid }) => uid)
}

/** @returns those whose name or id holds every word of the search. */
export function found(items: readonly WireLiveInputItem[], search: string): readonly WireLiveInputItem[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  if (words.length === 0) return items
  return items.filter((item) => {
    const text = `${nameOf(item)} ${item.uid}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

/**
 * The order while somebody reads: what was there stays where it was, what is gone leaves its place to the next, and what is new stands where
 * the right order puts it.
 * @param shown the order on the screen. @param right the order as it ought to be.
 */
export function held(shown: readonly string[], right: readonly string[]): readonly string[] {
  const present = new Set(right)
  const order = shown.filter((uid) => present.has(uid))
  const known = new Set(order)
  right.forEach((uid, index) => {
    if (known.has(uid)) return
    const before = right[index - 1]
    order.splice(before === undefined ? 0 : order.indexOf(before) + 1, 0, uid)
    known.add(uid)
  })
  return order.length === shown.length && order.every((uid, index) => uid === shown[index]) ? shown : order
}
