import { z } from 'zod'
import { isCoded } from '../errors.ts'
import type { Log } from '../log.ts'
import { webhookEventTypes } from '../model/webhook.ts'
import type { Store } from '../store/store.ts'
import type { Notification } from './payload.ts'

export type LedgerParts = {
  readonly store: Store
  readonly log: Log
  /** Makes an event's deliveries, stored when it resolves. Called again with the same event after a crash. */
  readonly fanOut: (notification: Notification) => Promise<void>
}

const ledgerPrefix = 'ledger'
/** Far below what one document may have, with the longest of events. */
const eventsPerPageMax = 200

/** What stands in the store for a live input: whether it was live after these events, which have no deliveries yet. */
const pageDocument = z.object({
  accountId: z.string(),
  isLive: z.boolean(),
  events: z.array(
    z.object({
      id: z.string(),
      at: z.number(),
      eventType: z.enum(webhookEventTypes),
      inputId: z.string(),
      accountId: z.string(),
      details: z.record(z.string(), z.unknown()),
    }),
  ),
})

/** A change of an input: whether it is live then, and what is to be told, if anybody wants to hear it. */
export type LedgerLine = { readonly isLive: boolean; readonly notification?: Notification }

type Page = {
  readonly accountId: string
  isLive: boolean
  readonly lines: LedgerLine[]
  /** Resolves when the lines have their deliveries. */
  writing: Promise<void> | undefined
}

export type LeftOver = { readonly accountId: string; readonly inputId: string }

/**
 * What happened to each live input, made durable before anything is sent: with one write an event is either taken, for all its receivers,
 * or was never seen, and then the next start knows from the same document what the receivers still believe.
 *
 * Order is kept per input. Owned by the notifier.
 */
export class Ledger {
  readonly #parts: LedgerParts
  readonly #pages = new Map<string, Page>()

  constructor(parts: LedgerParts) {
    this.#parts = parts
  }

  /**
   * Takes up what an earlier run left: its events get their deliveries.
   * @returns the inputs that were live when it ended; `record` that they are not any more.
   */
  async load(onEvent: (id: string) => void): Promise<LeftOver[]> {
    const { store, log } = this.#parts
    const leftOver: LeftOver[] = []
    for (const { key, value } of await store.list(ledgerPrefix)) {
      const inputId = key.slice(ledgerPrefix.length + 1)
      try {
        const { accountId, isLive, events } = pageDocument.parse(JSON.parse(value))
        for (const { id } of events) onEvent(id)
        const page = this.#open(inputId, accountId, isLive)
        for (const notification of events) page.lines.push({ isLive, notification })
        if (events.length > 0) page.writing = this.#writeAll(inputId, page)
        if (isLive) leftOver.push({ accountId, inputId })
      } catch (error) {
        log.error({ key, err: error }, 'a stored document cannot be read and is left out')
      }
    }
    return leftOver
  }

  record(accountId: string, inputId: string, line: LedgerLine): void {
    const page = this.#pages.get(inputId) ?? this.#open(inputId, accountId, false)
    page.lines.push(line)
    page.writing ??= this.#writeAll(inputId, page)
  }

  /** Resolves when all that was recorded has its deliveries. */
  async flush(): Promise<void> {
    for (;;) {
      const writing = [...this.#pages.values()].flatMap((page) => page.writing ?? [])
      if (writing.length === 0) return
      await Promise.all(writing)
    }
  }

  #open(inputId: string, accountId: string, isLive: boolean): Page {
    const page: Page = { accountId, isLive, lines: [], writing: undefined }
    this.#pages.set(inputId, page)
    return page
  }

  /** Runs until no line is left. Only the last step, in which nothing is awaited, ends it. */
  async #writeAll(inputId: string, page: Page): Promise<void> {
    const { fanOut, log } = this.#parts
    let hasEvents = false
    for (;;) {
      const lines = page.lines.slice(0, eventsPerPageMax)
      if (lines.length === 0 && !hasEvents) break
      page.isLive = lines.at(-1)?.isLive ?? page.isLive
      const events = lines.flatMap(({ notification }) => notification ?? [])
      hasEvents = events.length > 0
      // That events have their deliveries need not reach the disk: they would be made again as they are.
      await this.#save(inputId, page, events, lines.length === 0 ? 'relaxed' : 'durable')
      for (const event of events)
        await fanOut(event).catch((error) => log.error({ inputId, err: error }, 'a notification could not be made'))
      page.lines.splice(0, lines.length)
    }
    page.writing = undefined
    if (!page.isLive) this.#pages.delete(inputId)
  }

  async #save(
    inputId: string,
    { accountId, isLive }: Page,
    events: readonly Notification[],
    durability: 'durable' | 'relaxed',
  ): Promise<void> {
    const { store, log } = this.#parts
    const key = `${ledgerPrefix}.${inputId}`
    try {
      if (isLive || events.length > 0)
        await store.put(key, JSON.stringify({ accountId, isLive, events }), 'any', { durability })
      else await store.delete(key, 'any', { durability })
    } catch (error) {
      // Nothing to delete; or a full disk, and then what can be told is told all the same.
      if (!isCoded(error, 'revision_conflict'))
        log.error({ inputId, err: error }, 'what happened to a live input could not be stored')
    }
  }
}
