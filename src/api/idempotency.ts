import { createHash } from 'node:crypto'
import { type Clock, sleep } from '../clock.ts'
import { isCoded } from '../errors.ts'
import { type AccountId, type LiveInputId, newLiveInputId } from '../model/id.ts'
import type { Revision, Store } from '../store/store.ts'
import { Deadline, storeDeadlineMs } from './deadline.ts'
import { invalid } from './envelope.ts'

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

export type Claim =
  /** Nobody used the key yet, or what it began was never finished: create the input with this uid, then call `done`. */
  | { readonly type: 'create'; readonly inputId: LiveInputId; done(): Promise<void> }
  /** The key has made this input. */
  | { readonly type: 'replay'; readonly inputId: LiveInputId }

/** Idempotency keys of creations. Lives from its construction to `close()`. */
export class IdempotencyKeys {
  readonly #store: Store
  readonly #clock: Clock
  readonly #closing = new AbortController()

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    void this.#tidyForEver()
  }

  /** @throws Refusal for a key that is empty or too long, and what the store throws. */
  async claim(account: AccountId, key: string): Promise<Claim> {
    if (key === '' || Buffer.byteLength(key) > keyBytesMax)
      throw invalid('', `The header Idempotency-Key must have 1 to ${keyBytesMax} bytes. Send a UUID, for example.`)
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    // Keys are a client's words and may be anything; their digest is a token of the store.
    const name = `${prefix}.${account}.${createHash('sha256').update(key).digest('hex').slice(0, 40)}`
    for (;;) {
      const known = await deadline.race(this.#store.get(name))
      const record = known === undefined ? undefined : (JSON.parse(known.value) as Record)
      const isFresh = record !== undefined && this.#clock.now() - record.createdAt < keptMs
      if (record !== undefined && isFresh && record.state === 'created')
        return { type: 'replay', inputId: record.inputId }
      if (known !== undefined && record !== undefined && isFresh) return this.#creation(name, record, known.revision)
      const fresh: Record = { inputId: newLiveInputId(), createdAt: this.#clock.now(), state: 'creating' }
      try {
        const put = this.#store.put(name, JSON.stringify(fresh), known?.revision ?? 'absent')
        return this.#creation(name, fresh, await deadline.race(put))
      } catch (error) {
        // The same key at the same moment: the other one's record counts.
        if (!isCoded(error, 'revision_conflict')) throw error
      }
    }
  }

  close(): void {
    this.#closing.abort(new Error('closed'))
  }

  #creation(name: string, record: Record, revision: Revision): Claim {
    return {
      type: 'create',
      inputId: record.inputId,
      done: async () => {
        try {
          await this.#store.put(name, JSON.stringify({ ...record, state: 'created' } satisfies Record), revision)
        } catch (error) {
          if (!isCoded(error, 'revision_conflict')) throw error
        }
      },
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
