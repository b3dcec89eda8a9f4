import { createHash } from 'node:crypto'
import { type Clock, sleep } from '../clock.ts'
import { isCoded } from '../errors.ts'
import { type AccountId, type LiveInputId, newLiveInputId } from '../model/id.ts'
import type { Revision, Store } from '../store/store.ts'
import { Deadline, storeDeadlineMs } from './deadline.ts'
import { invalid, Refusal } from './envelope.ts'
import { Turns } from './turns.ts'

/** Cloudflare's: "expires 6 h after creation", at most 255 bytes, scoped to the account. */
const keptMs = 6 * 3_600_000
const keyBytesMax = 255
const tidyMs = 3_600_000
const prefix = 'idempotency'

/**
 * What a key stands for. The record is written before the input, with the uid that it will have: whatever breaks off between the two,
 * a repeat finishes the same creation and never makes a second input.
 */
type Record = {
  readonly inputId: LiveInputId
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly state: 'creating' | 'created'
}

/** What became of a request with a key: it made this input, or an earlier one had. */
export type Outcome<Made> =
  | { readonly type: 'made'; readonly made: Made }
  | { readonly type: 'replay'; readonly inputId: LiveInputId }

export type Creation<Made> = {
  readonly exists: (inputId: LiveInputId) => Promise<boolean>
  /** Makes the input with this uid. @throws revision_conflict when it is there already. */
  readonly create: (inputId: LiveInputId) => Promise<Made>
}

/** Idempotency keys of creations. Lives from its construction to `close()`. */
export class IdempotencyKeys {
  readonly #store: Store
  readonly #clock: Clock
  readonly #turns = new Turns()
  readonly #closing = new AbortController()

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    void this.#tidyForEver()
  }

  /**
   * Whoever comes with the same key at the same moment goes one after the other.
   * @throws Refusal for a key that is empty or too long; what the store and `create` throw.
   */
  async once<Made>(account: AccountId, key: string, creation: Creation<Made>): Promise<Outcome<Made>> {
    // Node reads headers as Latin-1: a character is a byte.
    if (key === '' || Buffer.byteLength(key, 'latin1') > keyBytesMax)
      throw invalid('', `The header Idempotency-Key must have 1 to ${keyBytesMax} bytes. Send a UUID, for example.`)
    // Keys are a client's words and may be anything; their digest is a token of the store.
    const name = `${prefix}.${account}.${createHash('sha256').update(key).digest('hex').slice(0, 40)}`
    return this.#turns.take(name, () => this.#once(name, creation))
  }

  close(): void {
    this.#closing.abort(new Error('closed'))
  }

  async #once<Made>(name: string, { exists, create }: Creation<Made>): Promise<Outcome<Made>> {
    const { record, revision, isNew } = await this.#claim(name)
    const replay = { type: 'replay', inputId: record.inputId } as const
    const created: Record = { ...record, state: 'created' }
    if (record.state === 'created') return replay
    // An earlier request made it and broke off before it could say so.
    if (!isNew && (await exists(record.inputId))) {
      await this.#write(name, created, revision)
      return replay
    }
    try {
      const made = await create(record.inputId)
      await this.#write(name, created, revision)
      return { type: 'made', made }
    } catch (error) {
      if (isCoded(error, 'revision_conflict')) {
        await this.#write(name, created, revision)
        return replay
      }
      // Nothing was made, and nothing will be by this request: the key is as if it had not been used.
      if (error instanceof Refusal) await this.#store.delete(name, revision).catch(() => {})
      throw error
    }
  }

  /** @returns the record of the key, made now if there is none that counts. */
  async #claim(name: string): Promise<{ record: Record; revision: Revision; isNew: boolean }> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    for (;;) {
      const known = await deadline.race(this.#store.get(name))
      const record = known === undefined ? undefined : (JSON.parse(known.value) as Record)
      if (known !== undefined && record !== undefined && this.#clock.now() - record.createdAt < keptMs)
        return { record, revision: known.revision, isNew: false }
      const fresh: Record = { inputId: newLiveInputId(), createdAt: this.#clock.now(), state: 'creating' }
      try {
        const put = this.#store.put(name, JSON.stringify(fresh), known?.revision ?? 'absent')
        return { record: fresh, revision: await deadline.race(put), isNew: true }
      } catch (error) {
        // The same key at the same moment on another machine: the other one's record counts.
        if (!isCoded(error, 'revision_conflict')) throw error
      }
    }
  }

  async #write(name: string, record: Record, revision: Revision): Promise<void> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    try {
      await deadline.race(this.#store.put(name, JSON.stringify(record), revision))
    } catch (error) {
      if (!isCoded(error, 'revision_conflict')) throw error
    }
  }

  async #tidyForEver(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      try {
        for (const { key, value, revision } of await this.#store.list(prefix))
          if (this.#clock.now() - (JSON.parse(value) as Record).createdAt >= keptMs)
            await this.#store.delete(key, revision, { durability: 'relaxed' })
      } catch {
        // Tried again in an hour: what is too old is not believed in any case.
      }
      await sleep(this.#clock, tidyMs, signal).catch(() => {})
    }
  }
}
