import { type Clock, sleep } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

const watchAgainMs = 1_000

export type FollowParts = { readonly store: Store; readonly clock: Clock; readonly log: Log }

/**
 * Keeps a prefix of the store in a map, by key, through gaps and broken watches, until the signal aborts. A document that cannot be read is
 * left out, and does no harm to the others.
 * @returns when all current values are in; `ended` resolves after the signal.
 */
export async function followInto<Value>(
  prefix: string,
  into: Map<string, Value>,
  decode: (value: string) => Value,
  { store, clock, log }: FollowParts,
  signal: AbortSignal,
  onDeleted: (key: string) => void = () => {},
): Promise<{ readonly ended: Promise<void> }> {
  const upToDate = Promise.withResolvers<void>()
  const remove = (key: string) => {
    if (into.delete(key)) onDeleted(key)
  }

  const watchOnce = async () => {
    /** Keys told since the watch began or a gap: what is not among them at `upToDate` is gone. */
    let told: Set<string> | undefined = new Set()
    for await (const event of store.watch(prefix, signal)) {
      switch (event.type) {
        case 'put':
          told?.add(event.entry.key)
          try {
            into.set(event.entry.key, decode(event.entry.value))
          } catch (error) {
            remove(event.entry.key)
            log.error({ key: event.entry.key, err: error }, 'a stored document cannot be read and is left out')
          }
          break
        case 'delete':
          told?.delete(event.key)
          remove(event.key)
          break
        case 'gap':
          told = new Set()
          break
        case 'upToDate':
          for (const key of [...into.keys()]) if (told !== undefined && !told.has(key)) remove(key)
          told = undefined
          upToDate.resolve()
          break
        default:
          event satisfies never
      }
    }
  }

  const follow = async () => {
    while (!signal.aborted) {
      await watchOnce().catch((error) => {
        if (!signal.aborted) log.error({ err: error, prefix }, 'a watch of the notifier ended and is begun anew')
      })
      await sleep(clock, watchAgainMs, signal).catch(() => {})
    }
    upToDate.resolve()
  }
  const ended = follow()
  await upToDate.promise
  return { ended }
}
