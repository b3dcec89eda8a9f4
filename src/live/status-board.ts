import type { Bus, Plain } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import { type InputState, inputWords, type OutputState, outputWords, type WireStatus } from '../model/lifecycle.ts'
import {
  inputStateSubject,
  type LastError,
  nextStatus,
  outputStateSubject,
  type StatusDocument,
  statusAfterOwner,
  statusKey,
} from '../model/status.ts'
import type { Store } from '../store/store.ts'

/** At most one write per document in so long; the first change after a quiet time is written at once. */
const writeEveryMs = 1_000
/** A live status says once in so long that it is still true. */
const heartbeatMs = 10_000

/** `seenAtMs`: what the document says, milliseconds since 1970. `writtenAtMs`: monotonic. */
type Entry = { document: StatusDocument; seenAtMs: number; isDirty: boolean; isWriting: boolean; writtenAtMs: number }

/**
 * What happened, told outside: each change at once on the bus, and at most once a second per document in the store (without waiting
 * for the disk). Keeps the newest status of everything that has one. Owned by the supervisor.
 */
export class StatusBoard {
  readonly #store: Store
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #log: Log
  readonly #owner: string
  readonly #epoch: number
  readonly #entries = new Map<string, Entry>()
  /** Said once, not for every status of every second: a full disk often holds the log, too. */
  #isFailing = false

  constructor(parts: { store: Store; bus: Bus; clock: Clock; log: Log; owner: string; epoch: number }) {
    this.#store = parts.store
    this.#bus = parts.bus
    this.#clock = parts.clock
    this.#log = parts.log
    this.#owner = parts.owner
    this.#epoch = parts.epoch
  }

  /** What was known before this run: its history goes on. */
  async load(): Promise<void> {
    for (const { key, value } of await this.#store.list('status')) {
      try {
        const document = JSON.parse(value) as StatusDocument
        const isOurs = document.owner === this.#owner && document.epoch === this.#epoch
        const status = isOurs ? document.status : statusAfterOwner(document.status)
        this.#entries.set(key, {
          document: { ...document, status },
          seenAtMs: Date.parse(status.current.statusLastSeen),
          isDirty: false,
          isWriting: false,
          writtenAtMs: Number.NEGATIVE_INFINITY,
        })
      } catch (error) {
        this.#log.warn({ key, err: error }, 'a stored status cannot be read and is left out')
      }
    }
  }

  lastErrorOf(output: OutputId): LastError | undefined {
    return this.#entries.get(statusKey(output))?.document.lastError
  }

  inputChanged(accountId: AccountId, inputId: LiveInputId, state: InputState, returning: boolean): void {
    const words = inputWords(state, returning)
    const { status } = this.#change(statusKey(inputId), words, undefined)
    this.#bus.publish(inputStateSubject(accountId, inputId), { accountId, inputId, status } as unknown as Plain)
  }

  outputChanged(
    accountId: AccountId,
    inputId: LiveInputId,
    outputId: OutputId,
    state: OutputState,
    lastError: LastError | undefined,
  ): void {
    const extension = {
      ...(state.name === 'connecting' && { step: state.step }),
      ...('nextAttemptAt' in state && { nextAttemptAt: new Date(state.nextAttemptAt).toISOString() }),
    }
    const { status } = this.#change(statusKey(outputId), { ...outputWords(state), ...extension }, lastError)
    this.#bus.publish(outputStateSubject(accountId, inputId, outputId), {
      accountId,
      inputId,
      outputId,
      status,
      ...(lastError && { lastError }),
    } as unknown as Plain)
  }

  /** Deleted things have no status. */
  forget(uid: LiveInputId | OutputId): void {
    const key = statusKey(uid)
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#store.delete(key, 'any', { durability: 'relaxed' }).catch(() => {})
  }

  /** Once a second: writes what has changed, and the heartbeat of what is live. */
  tick(isLive: (uid: string) => boolean): void {
    const now = this.#clock.now()
    for (const [key, entry] of this.#entries) {
      // Also when the clock of the machine was set back: it would stay away until then.
      if (!entry.isDirty && Math.abs(now - entry.seenAtMs) >= heartbeatMs && isLive(key.slice('status.'.length))) {
        const { current, history } = entry.document.status
        this.#set(entry, { current: { ...current, statusLastSeen: new Date(now).toISOString() }, history })
        entry.seenAtMs = now
      }
      if (entry.isDirty && !entry.isWriting) void this.#write(key, entry)
    }
  }

  /** Writes everything that is not written yet. */
  async flush(): Promise<void> {
    await Promise.all([...this.#entries].map(([key, entry]) => (entry.isDirty ? this.#write(key, entry) : undefined)))
  }

  #change(
    key: string,
    words: { state: string; reason: string },
    lastError: LastError | undefined,
  ): { status: WireStatus } {
    const now = this.#clock.now()
    const at = new Date(now).toISOString()
    const before = this.#entries.get(key)
    const status = nextStatus(before?.document.status, { ingestProtocol: 'rtmp', ...words, statusEnteredAt: at }, at)
    const document: StatusDocument = {
      owner: this.#owner,
      epoch: this.#epoch,
      status,
      ...(lastError && { lastError }),
    }
    const entry = before ?? {
      document,
      seenAtMs: now,
      isDirty: true,
      isWriting: false,
      writtenAtMs: Number.NEGATIVE_INFINITY,
    }
    entry.document = document
    entry.seenAtMs = now
    entry.isDirty = true
    this.#entries.set(key, entry)
    const isQuiet = this.#clock.monotonicMs() - entry.writtenAtMs >= writeEveryMs
    if (isQuiet && !entry.isWriting) void this.#write(key, entry)
    return { status }
  }

  #set(entry: Entry, status: WireStatus): void {
    entry.document = { ...entry.document, owner: this.#owner, epoch: this.#epoch, status }
    entry.isDirty = true
  }

  async #write(key: string, entry: Entry): Promise<void> {
    entry.isWriting = true
    entry.isDirty = false
    entry.writtenAtMs = this.#clock.monotonicMs()
    try {
      await this.#store.put(key, JSON.stringify(entry.document), 'any', { durability: 'relaxed' })
      if (this.#isFailing) this.#log.info({}, 'statuses can be stored again')
      this.#isFailing = false
    } catch (error) {
      // A full disk must not stop a broadcast: tried again at the next tick.
      entry.isDirty = true
      if (!this.#isFailing) this.#log.warn({ err: error }, 'statuses cannot be stored; it is tried again each second')
      this.#isFailing = true
    } finally {
      entry.isWriting = false
    }
  }
}
