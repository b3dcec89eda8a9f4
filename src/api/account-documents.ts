import type { Clock } from '../clock.ts'
import { isCoded } from '../errors.ts'
import type { AccountId } from '../model/id.ts'
import type { Entry, Store } from '../store/store.ts'
import { Deadline, storeDeadlineMs } from './deadline.ts'
import { invalid, notFound, refused } from './envelope.ts'
import type { ApiLog } from './log.ts'
import { Turns } from './turns.ts'

type Document = { readonly id: string; readonly accountId: AccountId; readonly created: string }

export type Kind<Doc extends Document> = {
  /** Documents stand under `<prefix>.<account>.<id>`: nobody finds another account's. */
  readonly prefix: string
  readonly noun: 'webhook destination' | 'notification policy'
  readonly max: number
  readonly encode: (document: Doc) => string
  /** @throws Error when the document cannot be read. */
  readonly decode: (value: string) => Doc
}

/** Who loses that often stands against a flood of changes of one document. */
const racesLostMax = 10

/**
 * Documents of one kind, few for each account and seldom asked for: read from the store at each request, changed by compare-and-set. A
 * lost race is run again.
 */
export class AccountDocuments<Doc extends Document> {
  readonly #kind: Kind<Doc>
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: ApiLog
  /** Creations of one account, one after the other: the limit is decided where nobody else creates. */
  readonly #creations = new Turns()

  constructor(kind: Kind<Doc>, parts: { readonly store: Store; readonly clock: Clock; readonly log: ApiLog }) {
    this.#kind = kind
    this.#store = parts.store
    this.#clock = parts.clock
    this.#log = parts.log
  }

  /** The oldest first. */
  async list(account: AccountId): Promise<Doc[]> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const entries = await deadline.race(this.#store.list(`${this.#kind.prefix}.${account}`))
    const documents = entries.flatMap((entry) => this.#read(entry) ?? [])
    return documents.sort((a, b) => (a.created < b.created ? -1 : 1))
  }

  /** @throws Refusal 10003 */
  async find(account: AccountId, id: string): Promise<Doc> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    return (await this.#get(account, id, deadline)).document
  }

  /** @throws Refusal when the account has as many as it may have. */
  async checkRoom(account: AccountId): Promise<void> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    const { prefix, noun, max } = this.#kind
    const { length } = await deadline.race(this.#store.list(`${prefix}.${account}`))
    if (length >= max)
      throw invalid('', `This account has ${max} of its kind (${noun}), the most that it may have. Delete one first.`)
  }

  /** @throws Refusal when the account has as many as it may have; what `check` throws. */
  create(document: Doc, check: () => Promise<void> = async () => {}): Promise<void> {
    return this.#creations.take(document.accountId, async () => {
      await this.checkRoom(document.accountId)
      await check()
      using deadline = new Deadline(this.#clock, storeDeadlineMs)
      const key = this.#keyOf(document.accountId, document.id)
      await deadline.race(this.#store.put(key, this.#kind.encode(document), 'absent'))
    })
  }

  /** @param edit gives the very same document when there is nothing to change; may be called several times. @throws Refusal 10003 */
  async change(account: AccountId, id: string, edit: (before: Doc) => Doc): Promise<Doc> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    return this.#untilWon(async () => {
      const { document, revision } = await this.#get(account, id, deadline)
      const changed = edit(document)
      if (changed !== document)
        await deadline.race(this.#store.put(this.#keyOf(account, id), this.#kind.encode(changed), revision))
      return changed
    })
  }

  /** @throws Refusal 10003 */
  async remove(account: AccountId, id: string): Promise<void> {
    using deadline = new Deadline(this.#clock, storeDeadlineMs)
    await this.#untilWon(async () => {
      const key = this.#keyOf(account, id)
      // One that cannot be read can be deleted all the same.
      const entry = await deadline.race(this.#store.get(key))
      if (entry === undefined) throw notFound(this.#kind.noun, id)
      await deadline.race(this.#store.delete(key, entry.revision))
    })
  }

  async #untilWon<T>(attempt: () => Promise<T>): Promise<T> {
    for (let lost = 0; ; lost++) {
      try {
        return await attempt()
      } catch (error) {
        if (!isCoded(error, 'revision_conflict')) throw error
        if (lost === racesLostMax) throw refused(409, { cause: error })
      }
    }
  }

  async #get(account: AccountId, id: string, deadline: Deadline) {
    const entry = await deadline.race(this.#store.get(this.#keyOf(account, id)))
    const document = entry && this.#read(entry)
    if (entry === undefined || document === undefined) throw notFound(this.#kind.noun, id)
    return { document, revision: entry.revision }
  }

  #read({ key, value }: Entry): Doc | undefined {
    try {
      return this.#kind.decode(value)
    } catch (error) {
      this.#log.error({ key, err: error }, 'a stored document cannot be read; it is not shown')
      return undefined
    }
  }

  #keyOf(account: AccountId, id: string): string {
    return `${this.#kind.prefix}.${account}.${id}`
  }
}
