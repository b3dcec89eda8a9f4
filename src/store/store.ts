/**
 * The contract of the durable store: what is *wanted*, and what *happened* to it. Small enough for one SQLite file and for
 * NATS JetStream's key-value store alike. Asynchronous everywhere; nothing here may be awaited in a media path.
 *
 * Keys are tokens of `[A-Za-z0-9_-]` joined by dots. A prefix is whole tokens (`input` matches `input.a`, not `inputs.a`);
 * the empty prefix matches everything. Values are texts (JSON) of at most 512 KiB. Every change gives the key a new revision,
 * greater than all before in the whole store.
 */
export const valueBytesMax = 512 * 1024

export type Revision = number

export type Entry = { readonly key: string; readonly value: string; readonly revision: Revision }

/** `after` of a tombstone is its own revision. */
export type WatchEvent =
  | { readonly type: 'put'; readonly entry: Entry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: Revision }
  /** All current values have been told; what follows are changes. */
  | { readonly type: 'upToDate' }
  /** Changes were missed: list again. Told again from the start: all current values, then `upToDate`. */
  | { readonly type: 'gap' }

export type PutOptions = {
  /**
   * `durable` (default): when the promise resolves, the change survives the loss of power. `relaxed`: it survives the end of
   * the process, and the last seconds may be lost with the power; for what is written often and can be found out again.
   */
  readonly durability?: 'durable' | 'relaxed'
}

export type Lease = { readonly name: string; readonly epoch: number; readonly expiresAt: number }

export interface Store {
  get(key: string): Promise<Entry | undefined>
  /**
   * @param expected the revision that was read, or `absent` for a key that must not exist; `any` to overwrite whatever is there.
   * @throws CodedError revision_conflict, key_invalid, value_too_large, store_full, store_failed, store_closed
   */
  put(key: string, value: string, expected: Revision | 'absent' | 'any', options?: PutOptions): Promise<Revision>
  /** @returns the tombstone's revision. @throws CodedError revision_conflict (also when the key does not exist). */
  delete(key: string, expected: Revision | 'any', options?: PutOptions): Promise<Revision>
  /** Sorted by key. */
  list(prefix: string): Promise<Entry[]>
  /**
   * All current values, then `upToDate`, then the newest value of each changed key at least once (intermediate values may be
   * left out, tombstones are told). The order of revisions is kept per key. Ends when the signal aborts or the store closes.
   */
  watch(prefix: string, signal: AbortSignal): AsyncIterable<WatchEvent>
  /** Takes a lease that nobody holds or that has run out; undefined when another holder has it. `epoch` grows with each new holder. */
  acquire(name: string, holder: string, durationMs: number): Promise<Lease | undefined>
  /** @returns the lease with its new end, or undefined when it was lost. */
  renew(lease: Lease, holder: string, durationMs: number): Promise<Lease | undefined>
  release(lease: Lease, holder: string): Promise<void>
  close(): Promise<void>
}
