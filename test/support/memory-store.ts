import { CodedError } from '../../src/errors.ts'
import {
  type Entry,
  type Lease,
  type PutOptions,
  type Revision,
  type Store,
  valueBytesMax,
  type WatchEvent,
} from '../../src/store/store.ts'

type Watcher = { readonly prefix: string; readonly pending: WatchEvent[]; wake: () => void }

/**
 * The contract of the store, kept in memory, for unit tests alone. Every answer takes at least one turn of the event loop, so
 * that tests meet the races that a real store has.
 */
export class MemoryStore implements Store {
  readonly #entries = new Map<string, Entry>()
  readonly #leases = new Map<string, { holder: string; epoch: number; expiresAt: number }>()
  readonly #watchers = new Set<Watcher>()
  readonly #now: () => number
  #revision = 0
  #isClosed = false
  /** Set by a test: runs before each operation takes effect; may throw, or wait. */
  before: ((operation: 'get' | 'put' | 'delete' | 'list', key: string) => Promise<void> | void) | undefined
  /** How many writes were refused because somebody else was first. */
  conflicts = 0

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  async get(key: string): Promise<Entry | undefined> {
    await this.#turn('get', key)
    return this.#entries.get(key)
  }

  async put(
    key: string,
    value: string,
    expected: Revision | 'absent' | 'any',
    _options?: PutOptions,
  ): Promise<Revision> {
    await this.#turn('put', key)
    if (Buffer.byteLength(value) > valueBytesMax) throw new CodedError('value_too_large')
    this.#expect(key, expected)
    const entry = { key, value, revision: ++this.#revision }
    this.#entries.set(key, entry)
    this.#tell(key, { type: 'put', entry })
    return entry.revision
  }

  async delete(key: string, expected: Revision | 'any', _options?: PutOptions): Promise<Revision> {
    await this.#turn('delete', key)
    if (!this.#entries.has(key)) throw this.#conflict()
    this.#expect(key, expected)
    this.#entries.delete(key)
    const revision = ++this.#revision
    this.#tell(key, { type: 'delete', key, revision })
    return revision
  }

  async list(prefix: string): Promise<Entry[]> {
    await this.#turn('list', prefix)
    return this.#matching(prefix)
  }

  async *watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent> {
    this.#checkOpen()
    const watcher: Watcher = { prefix, pending: this.#everything(prefix), wake: () => {} }
    const onAbort = () => watcher.wake()
    signal.addEventListener('abort', onAbort)
    this.#watchers.add(watcher)
    try {
      while (!signal.aborted && !this.#isClosed) {
        const event = watcher.pending.shift()
        if (event !== undefined) yield event
        else
          await new Promise<void>((resolve) => {
            watcher.wake = resolve
          })
      }
    } finally {
      this.#watchers.delete(watcher)
      signal.removeEventListener('abort', onAbort)
    }
  }

  async acquire(name: string, holder: string, durationMs: number): Promise<Lease | undefined> {
    const held = this.#leases.get(name)
    if (held && held.expiresAt > this.#now() && held.holder !== holder) return undefined
    const epoch = held?.holder === holder && held.expiresAt > this.#now() ? held.epoch : (held?.epoch ?? 0) + 1
    const expiresAt = this.#now() + durationMs
    this.#leases.set(name, { holder, epoch, expiresAt })
    return { name, epoch, expiresAt }
  }

  async renew(lease: Lease, holder: string, durationMs: number): Promise<Lease | undefined> {
    const held = this.#leases.get(lease.name)
    if (held?.holder !== holder || held.epoch !== lease.epoch || held.expiresAt <= this.#now()) return undefined
    held.expiresAt = this.#now() + durationMs
    return { ...lease, expiresAt: held.expiresAt }
  }

  async release(lease: Lease, holder: string): Promise<void> {
    const held = this.#leases.get(lease.name)
    if (held?.holder === holder && held.epoch === lease.epoch) held.expiresAt = 0
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const watcher of this.#watchers) watcher.wake()
  }

  /** A test's: what watchers had not read yet is lost, and they are told so. `meanwhile` runs unseen by them. */
  async loseEvents(meanwhile: () => Promise<void>): Promise<void> {
    const watchers = [...this.#watchers]
    this.#watchers.clear()
    await meanwhile()
    for (const watcher of watchers) {
      this.#watchers.add(watcher)
      watcher.pending.splice(0, Number.POSITIVE_INFINITY, { type: 'gap' }, ...this.#everything(watcher.prefix))
      watcher.wake()
    }
  }

  async #turn(operation: 'get' | 'put' | 'delete' | 'list', key: string): Promise<void> {
    if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(key) && !(operation === 'list' && key === ''))
      throw new CodedError('key_invalid')
    await new Promise((resolve) => setImmediate(resolve))
    await this.before?.(operation, key)
    this.#checkOpen()
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new CodedError('store_closed')
  }

  #expect(key: string, expected: Revision | 'absent' | 'any'): void {
    const present = this.#entries.get(key)?.revision
    if (expected === 'any') return
    if (expected === 'absent' ? present !== undefined : present !== expected) throw this.#conflict()
  }

  #conflict(): CodedError {
    this.conflicts++
    return new CodedError('revision_conflict')
  }

  #matching(prefix: string): Entry[] {
    return [...this.#entries.values()]
      .filter(({ key }) => isBelow(key, prefix))
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  }

  #everything(prefix: string): WatchEvent[] {
    return [...this.#matching(prefix).map((entry): WatchEvent => ({ type: 'put', entry })), { type: 'upToDate' }]
  }

  #tell(key: string, event: WatchEvent): void {
    for (const watcher of this.#watchers)
      if (isBelow(key, watcher.prefix)) {
        watcher.pending.push(event)
        watcher.wake()
      }
  }
}

function isBelow(key: string, prefix: string): boolean {
  return prefix === '' || key === prefix || key.startsWith(`${prefix}.`)
}
