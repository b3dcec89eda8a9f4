import { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { OutputErrorCode } from '../errors.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import type { WireStatus } from '../model/lifecycle.ts'
import {
  decodeLiveInput,
  type LiveInput,
  liveInputKey,
  liveInputPrefix,
  type SecretCipher,
} from '../model/live-input.ts'
import { type LastError, type StatusDocument, statusAfterOwner, statusKey } from '../model/status.ts'
import type { Entry, Revision, Store } from '../store/store.ts'
import { Follow } from './follow.ts'
import type { ApiLog } from './log.ts'

export type StoredInput = { readonly input: LiveInput; readonly revision: Revision }

export type KnownStatus = { readonly status: WireStatus; readonly lastError?: LastError }

/** Whether a run of a server, named by what it wrote into a status, is still going on. */
export type OwnerIsAlive = (owner: string, epoch: number) => boolean

const statusPrefix = 'status'

const moment = z.object({
  ingestProtocol: z.literal('rtmp'),
  reason: z.string(),
  state: z.string(),
  statusEnteredAt: z.string(),
  step: z.string().optional(),
  nextAttemptAt: z.string().optional(),
})
const statusDocument = z.object({
  owner: z.string(),
  epoch: z.number(),
  status: z.object({ current: moment.extend({ statusLastSeen: z.string() }), history: z.array(moment) }),
  lastError: z
    .object({ code: z.string() as unknown as z.ZodType<OutputErrorCode>, message: z.string(), at: z.string() })
    .optional(),
})

/**
 * What the store says, in memory: every read of the API is answered from here, and nothing but the store's watch changes it.
 * It lives from `start()` until the signal given there aborts.
 */
export class Projection {
  readonly #store: Store
  readonly #cipher: SecretCipher
  readonly #clock: Clock
  readonly #log: ApiLog
  readonly #ownerIsAlive: OwnerIsAlive
  readonly #inputs = new Map<LiveInputId, StoredInput>()
  readonly #accounts = new Map<AccountId, Set<LiveInputId>>()
  /** Read when somebody asks: most statuses change more often than they are looked at. */
  readonly #statuses = new Map<string, { readonly value: string; read?: StatusDocument | undefined }>()
  readonly #follows: Follow[]

  constructor(options: { store: Store; cipher: SecretCipher; clock: Clock; log: ApiLog; ownerIsAlive: OwnerIsAlive }) {
    this.#store = options.store
    this.#cipher = options.cipher
    this.#clock = options.clock
    this.#log = options.log
    this.#ownerIsAlive = options.ownerIsAlive
    this.#follows = [
      new Follow(liveInputPrefix, {
        put: (entry) => this.#putInput(entry),
        delete: (key) => this.#deleteInput(key.slice(liveInputPrefix.length + 1) as LiveInputId),
      }),
      new Follow(statusPrefix, {
        put: (entry) => this.#statuses.set(entry.key, { value: entry.value }),
        delete: (key) => this.#statuses.delete(key),
      }),
    ]
  }

  /** Resolves when all current values are known; goes on following the store until the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    for (const follow of this.#follows) void follow.keepRunning(this.#store, this.#clock, this.#log, signal)
    await Promise.all(this.#follows.map((follow) => follow.firstUpToDate))
  }

  /** Whether the watches are running and have told everything. */
  isCurrent(): boolean {
    return this.#follows.every((follow) => follow.isCurrent)
  }

  /** Resolves when a change of an input that the store has acknowledged can be read here. */
  reached(uid: LiveInputId, revision: Revision): Promise<void> {
    return this.#follows[0]!.reached(liveInputKey(uid), revision)
  }

  find(account: AccountId, uid: LiveInputId): StoredInput | undefined {
    const stored = this.#inputs.get(uid)
    return stored?.input.accountId === account ? stored : undefined
  }

  isInput(uid: LiveInputId): boolean {
    return this.#inputs.has(uid)
  }

  count(account: AccountId): number {
    return this.#accounts.get(account)?.size ?? 0
  }

  /** The newest first. */
  list(account: AccountId): LiveInput[] {
    const inputs: LiveInput[] = []
    for (const uid of this.#accounts.get(account) ?? []) inputs.push(this.#inputs.get(uid)!.input)
    return inputs.sort((a, b) => (a.created === b.created ? compare(a.uid, b.uid) : compare(b.created, a.created)))
  }

  /** undefined when it never ran. Where the run that wrote it is over, whatever was going on has ended. */
  status(uid: LiveInputId | OutputId): KnownStatus | undefined {
    const known = this.#statuses.get(statusKey(uid))
    if (known === undefined) return undefined
    if (!('read' in known)) known.read = this.#readStatus(uid, known.value)
    if (known.read === undefined) return undefined
    const { owner, epoch, status, lastError } = known.read
    return {
      status: this.#ownerIsAlive(owner, epoch) ? status : statusAfterOwner(status),
      ...(lastError && { lastError }),
    }
  }

  #readStatus(uid: string, value: string): StatusDocument | undefined {
    try {
      return statusDocument.parse(JSON.parse(value)) as StatusDocument
    } catch (error) {
      this.#log.error({ uid, err: error }, 'a stored status cannot be read')
      return undefined
    }
  }

  #putInput({ key, value, revision }: Entry): void {
    let input: LiveInput
    try {
      input = decodeLiveInput(value, this.#cipher)
    } catch (error) {
      this.#log.error({ key, revision, err: error }, 'a stored live input cannot be read; it is not shown')
      this.#deleteInput(key.slice(liveInputPrefix.length + 1) as LiveInputId)
      return
    }
    if (this.#inputs.get(input.uid)?.input.accountId !== input.accountId) this.#deleteInput(input.uid)
    this.#inputs.set(input.uid, { input, revision })
    const ofAccount = this.#accounts.get(input.accountId)
    if (ofAccount) ofAccount.add(input.uid)
    else this.#accounts.set(input.accountId, new Set([input.uid]))
  }

  #deleteInput(uid: LiveInputId): void {
    const stored = this.#inputs.get(uid)
    if (stored === undefined) return
    this.#inputs.delete(uid)
    const ofAccount = this.#accounts.get(stored.input.accountId)
    ofAccount?.delete(uid)
    if (ofAccount?.size === 0) this.#accounts.delete(stored.input.accountId)
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
