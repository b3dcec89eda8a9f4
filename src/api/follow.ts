import type { Clock } from '../clock.ts'
import { sleep } from '../clock.ts'
import type { Entry, Revision, Store } from '../store/store.ts'
import type { ApiLog } from './log.ts'

/** Reading many documents gives the loop back this often: it may be the loop that relays media. */
const sliceMs = 5
const watchAgainMs = 1_000
/** More deletions than can be on their way between the store and those who asked for them. */
const tombstonesMax = 1_000

type Sink = { readonly put: (entry: Entry) => void; readonly delete: (key: string) => void }

/** Follows one prefix of the store through gaps and broken watches. Owned by whoever keeps what it tells in memory. */
export class Follow {
  readonly prefix: string
  readonly #sink: Sink
  readonly #revisions = new Map<string, Revision>()
  /** The newest of them: who deletes may hear of it later than the watch does. */
  readonly #tombstones = new Map<string, Revision>()
  /** Keys told since a watch began or a gap: what is not among them at `upToDate` is gone. */
  #told: Set<string> | undefined
  #waiting: { readonly key: string; readonly revision: Revision; readonly resolve: () => void }[] = []
  readonly #first = Promise.withResolvers<void>()
  isCurrent = false

  constructor(prefix: string, sink: Sink) {
    this.prefix = prefix
    this.#sink = sink
  }

  get firstUpToDate(): Promise<void> {
    return this.#first.promise
  }

  reached(key: string, revision: Revision): Promise<void> {
    if (Math.max(this.#revisions.get(key) ?? 0, this.#tombstones.get(key) ?? 0) >= revision) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ key, revision, resolve }))
  }

  /** Watches, and watches again, until the signal aborts. */
  async keepRunning(store: Store, clock: Clock, log: ApiLog, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#run(store, clock, signal)
        if (!signal.aborted) log.warn({ prefix: this.prefix }, 'the watch of the store ended; watching again')
      } catch (error) {
        if (!signal.aborted)
          log.error({ prefix: this.prefix, err: error }, 'the watch of the store failed; watching again')
      }
      await sleep(clock, watchAgainMs, signal).catch(() => {})
    }
  }

  async #run(store: Store, clock: Clock, signal: AbortSignal): Promise<void> {
    this.#told = new Set()
    try {
      let sliceBegan = clock.monotonicMs()
      for await (const event of store.watch(this.prefix, signal)) {
        switch (event.type) {
          case 'put':
            this.#told?.add(event.entry.key)
            if ((this.#revisions.get(event.entry.key) ?? 0) < event.entry.revision) this.#sink.put(event.entry)
            this.#reach(event.entry.key, event.entry.revision)
            break
          case 'delete':
            if ((this.#revisions.get(event.key) ?? 0) < event.revision) {
              this.#told?.delete(event.key)
              this.#sink.delete(event.key)
            }
            this.#bury(event.key, event.revision)
            this.#reach(event.key, event.revision)
            this.#revisions.delete(event.key)
            break
          case 'gap':
            this.#told = new Set()
            this.isCurrent = false
            break
          case 'upToDate':
            this.#dropUntold()
            this.isCurrent = true
            this.#first.resolve()
            break
          default:
            event satisfies never
        }
        if (clock.monotonicMs() - sliceBegan < sliceMs) continue
        await new Promise((resolve) => setImmediate(resolve))
        sliceBegan = clock.monotonicMs()
      }
    } finally {
      this.isCurrent = false
    }
  }

  #reach(key: string, revision: Revision): void {
    this.#revisions.set(key, Math.max(revision, this.#revisions.get(key) ?? 0))
    if (this.#waiting.length > 0) this.#release((wait) => wait.key === key && wait.revision <= revision)
  }

  #bury(key: string, revision: Revision): void {
    this.#tombstones.delete(key)
    this.#tombstones.set(key, revision)
    if (this.#tombstones.size > tombstonesMax) this.#tombstones.delete(this.#tombstones.keys().next().value!)
  }

  #dropUntold(): void {
    const told = this.#told
    this.#told = undefined
    if (told === undefined) return
    for (const key of this.#revisions.keys()) {
      if (told.has(key)) continue
      this.#revisions.delete(key)
      this.#sink.delete(key)
    }
    // The tombstone that somebody waits for may be among what was missed.
    this.#release((wait) => !told.has(wait.key))
  }

  #release(isReached: (wait: { key: string; revision: Revision }) => boolean): void {
    const reached = this.#waiting.filter(isReached)
    if (reached.length === 0) return
    this.#waiting = this.#waiting.filter((wait) => !reached.includes(wait))
    for (const wait of reached) wait.resolve()
  }
}
