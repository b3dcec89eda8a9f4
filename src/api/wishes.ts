import type { Clock } from '../clock.ts'
import { isCoded } from '../errors.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import {
  decodeLiveInput,
  encodeLiveInput,
  type LiveInput,
  liveInputKey,
  type SecretCipher,
} from '../model/live-input.ts'
import type { Revision, Store } from '../store/store.ts'
import { Deadline, DeadlinePassed, storeDeadlineMs } from './deadline.ts'
import { invalid, notFound, refused } from './envelope.ts'
import type { ApiLog } from './log.ts'
import type { Projection, StoredInput } from './projection.ts'
import { Turns } from './turns.ts'

/** What a change of an input does: the input as it shall be, or the very same object when there is nothing to change. */
export type Edit = (input: LiveInput) => LiveInput

/** The pause before a race is run once more. In one process nobody races for a document; of several, few do. */
const racePauseMsMax = 20
/** Who loses that often stands against a flood of changes of one input. */
const racesLostMax = 50

/**
 * Makes what people want durable: one document per live input, changed by compare-and-set, lost races run again. A change
 * resolves when the store has it for good and the projection shows it.
 */
export class Wishes {
  readonly #store: Store
  readonly #cipher: SecretCipher
  readonly #clock: Clock
  readonly #log: ApiLog
  readonly #projection: Projection
  readonly #liveInputsMax: number
  readonly #random: () => number
  /** Changes of one input, one after the other: within a process no race is ever lost. */
  readonly #turns = new Turns()
  readonly #creating = new Map<AccountId, Set<LiveInputId>>()
  #stampedUs = 0

  constructor(options: {
    store: Store
    cipher: SecretCipher
    clock: Clock
    log: ApiLog
    projection: Projection
    liveInputsMax: number
    random: () => number
  }) {
    this.#store = options.store
    this.#cipher = options.cipher
    this.#clock = options.clock
    this.#log = options.log
    this.#projection = options.projection
    this.#liveInputsMax = options.liveInputsMax
    this.#random = options.random
  }

  /** Now, as ISO 8601 with microseconds; later than all before, so that the order of creation can be read from it. */
  stamp(): string {
    this.#stampedUs = Math.max(this.#clock.now() * 1000, this.#stampedUs + 1)
    const milliseconds = new Date(Math.floor(this.#stampedUs / 1000)).toISOString().slice(0, -1)
    return `${milliseconds}${String(this.#stampedUs % 1000).padStart(3, '0')}Z`
  }

  /** @throws Refusal when the account has as many live inputs as it may have, or the store does not take it. */
  async create(input: LiveInput): Promise<LiveInput> {
    using _place = this.#takePlace(input.accountId, input.uid)
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const value = encodeLiveInput(input, this.#cipher)
    const revision = await deadline.race(this.#store.put(liveInputKey(input.uid), value, 'absent'))
    await this.#shown(input.uid, revision, deadline)
    return input
  }

  /** As the projection shows it, or else the store: another machine may have made it a moment ago. */
  async find(account: AccountId, uid: LiveInputId): Promise<LiveInput | undefined> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    return (this.#projection.find(account, uid) ?? (await this.#read(account, uid, deadline)))?.input
  }

  /** @throws Refusal 10003, whatever `edit` throws, or the store's. `edit` may be called several times. */
  change(account: AccountId, uid: LiveInputId, edit: Edit): Promise<LiveInput> {
    return this.#compareAndSet(account, uid, async ({ input, revision }, deadline) => {
      const edited = edit(input)
      if (edited === input) return input
      const changed = { ...edited, modified: this.stamp() }
      const value = encodeLiveInput(changed, this.#cipher)
      const reached = await deadline.race(this.#store.put(liveInputKey(uid), value, revision))
      await this.#shown(uid, reached, deadline)
      return changed
    })
  }

  /** @throws Refusal 10003, or the store's. */
  async remove(account: AccountId, uid: LiveInputId): Promise<void> {
    await this.#compareAndSet(account, uid, async ({ revision }, deadline) => {
      const reached = await deadline.race(this.#store.delete(liveInputKey(uid), revision))
      await this.#shown(uid, reached, deadline)
    })
  }

  /** Counts the creations under way as well, each once. Nothing is awaited between looking and taking. */
  #takePlace(account: AccountId, uid: LiveInputId): Disposable {
    const creating = this.#creating.get(account) ?? new Set()
    let count = this.#projection.count(account)
    for (const other of creating) if (!this.#projection.isInput(other)) count++
    if (count >= this.#liveInputsMax)
      throw invalid(
        '',
        `This account has ${this.#liveInputsMax} live inputs, the most that it may have. Delete one that is no longer needed, or raise STREAM_CONNECT_MAX_LIVE_INPUTS.`,
      )
    this.#creating.set(account, creating.add(uid))
    return {
      [Symbol.dispose]: () => {
        creating.delete(uid)
        if (creating.size === 0 && this.#creating.get(account) === creating) this.#creating.delete(account)
      },
    }
  }

  async #compareAndSet<T>(
    account: AccountId,
    uid: LiveInputId,
    attempt: (stored: StoredInput, deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const turn = Promise.withResolvers<void>()
    const done = this.#turns.take(uid, async () => {
      // Who asked has been told that it did not happen; so it must not happen any more.
      if (deadline.isPassed) throw new DeadlinePassed()
      turn.resolve()
      let stored = this.#projection.find(account, uid)
      for (let lost = 0; ; lost++) {
        if (stored === undefined) throw notFound('live input', uid)
        try {
          return await attempt(stored, deadline)
        } catch (error) {
          if (!isCoded(error, 'revision_conflict')) throw error
        }
        if (lost === racesLostMax) throw refused(409)
        if (lost > 0) await deadline.race(this.#pause())
        stored = await this.#read(account, uid, deadline)
      }
    })
    await deadline.race(Promise.race([turn.promise, done]))
    return await done
  }

  /** Random, so that two who lose against each other do not go on doing so. */
  #pause(): Promise<void> {
    return new Promise((resolve) => this.#clock.after(Math.ceil(this.#random() * racePauseMsMax), resolve))
  }

  async #read(account: AccountId, uid: LiveInputId, deadline: Deadline): Promise<StoredInput | undefined> {
    const entry = await deadline.race(this.#store.get(liveInputKey(uid)))
    if (entry === undefined) return undefined
    const input = decodeLiveInput(entry.value, this.#cipher)
    return input.accountId === account ? { input, revision: entry.revision } : undefined
  }

  /** The write is done and durable: should the projection be late, the answer is still yes. */
  async #shown(uid: LiveInputId, revision: Revision, deadline: Deadline): Promise<void> {
    try {
      await deadline.race(this.#projection.reached(uid, revision))
    } catch (error) {
      if (!(error instanceof DeadlinePassed)) throw error
      this.#log.warn({ uid, revision }, 'the store does not tell of its changes in time; reads are out of date')
    }
  }
}
