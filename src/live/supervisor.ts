import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import { type Cancel, sleep } from '../clock.ts'
import { CodedError, type IngestErrorCode } from '../errors.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import {
  decodeLiveInput,
  type LiveInput,
  liveInputKey,
  liveInputPrefix,
  type SecretCipher,
} from '../model/live-input.ts'
import {
  type PreflightReport,
  type PreflightRequest,
  preflightSubject,
  type RetryOutputAnswer,
  type RetryOutputRequest,
  retryOutputSubject,
} from '../model/preflight.ts'
import { figuresSubject } from '../model/status.ts'
import { liveInputOfKey } from '../model/stream-key.ts'
import type { Secret } from '../secret.ts'
import type { Entry, Store } from '../store/store.ts'
import { type InputParts, InputSession, type Publisher, type Seat } from './input-session.ts'
import { preflight } from './preflight.ts'
import { StatusBoard } from './status-board.ts'

export type SupervisorParts = Omit<InputParts, 'onInputChange' | 'onOutputChange' | 'lastErrorOf'> & {
  readonly store: Store
  readonly bus: Bus
  readonly cipher: SecretCipher
  /** Which run of which server this is: written into every status. */
  readonly owner: string
  readonly epoch: number
}

const tickMs = 1_000
/** Beside the watch, in case it missed something. */
const reconcileMs = 30_000
/** A wish that was made a moment ago may not have come through the watch yet. */
const lookUpMs = 3_000
/** The watch ended by itself: begun anew after so long. */
const watchAgainMs = 1_000

/**
 * Makes what runs equal to what the store wants: hears of every wish, keeps one session for each live input, and finds the input of a
 * publisher by its key. Nobody calls it to start or stop an output; the store is the only way.
 *
 * Owned by the app; `close()` ends everything that runs.
 */
export class Supervisor {
  readonly #parts: SupervisorParts
  readonly #board: StatusBoard
  readonly #inputs = new Map<LiveInputId, { session: InputSession; revision: number }>()
  readonly #closing = new AbortController()
  #watching: Promise<void> = Promise.resolve()
  #timers: Cancel[] = []
  #answers: Unsubscribe[] = []

  constructor(parts: SupervisorParts) {
    this.#parts = parts
    this.#board = new StatusBoard(parts)
  }

  /** Resolves when every wish is known. */
  async start(): Promise<void> {
    await this.#board.load()
    const upToDate = Promise.withResolvers<void>()
    this.#watching = this.#watch(upToDate.resolve)
    await upToDate.promise
    this.#every(tickMs, () => this.#tick())
    this.#every(reconcileMs, () => void this.#reconcile().catch((error) => this.#storeFailed(error)))
    this.#answers.push(
      this.#parts.bus.respond(retryOutputSubject, (message) => {
        const { inputId, outputId } = message as RetryOutputRequest
        const session = this.#inputs.get(inputId as LiveInputId)?.session
        return { retried: session?.retryOutput(outputId as OutputId) ?? false } satisfies RetryOutputAnswer
      }),
      this.#parts.bus.respond(preflightSubject, async (message, signal) => {
        return (await this.#preflight(message as PreflightRequest, signal)) as unknown as Plain
      }),
    )
  }

  #preflight(request: PreflightRequest, signal: AbortSignal): Promise<PreflightReport> {
    const { cipher } = this.#parts
    const { url, streamKey, username, password, tls } = request
    const target = {
      url,
      streamKey: cipher.open(streamKey, 'preflight.streamKey'),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password: cipher.open(password, 'preflight.password') }),
      ...(tls !== undefined && { tls }),
    }
    return preflight(target, { ...this.#parts, signal: AbortSignal.any([signal, this.#closing.signal]) })
  }

  /** @returns the seat of the input that one of these keys belongs to, or why there is none. */
  async seat(
    candidateKeys: readonly Secret[],
    publisher: Publisher,
  ): Promise<(Seat & { readonly input: LiveInput }) | { readonly refused: IngestErrorCode }> {
    for (const candidate of candidateKeys) {
      const presented = candidate.reveal()
      const uid = liveInputOfKey(presented)
      if (uid === undefined) continue
      const session = this.#inputs.get(uid)?.session ?? (await this.#lookUp(uid))
      if (session === undefined || !session.wish.streamKey.equals(presented)) continue
      if (this.#closing.signal.aborted) return { refused: 'publisher_idle' }
      const seat = session.seat(publisher)
      return 'refused' in seat ? seat : { ...seat, input: session.wish }
    }
    return { refused: 'stream_key_unknown' }
  }

  get liveInputs(): number {
    let count = 0
    for (const { session } of this.#inputs.values()) if (session.isLive) count++
    return count
  }

  /** Ends every broadcast: encoders are cut, destinations get their goodbye, at most so long. */
  async close(withinMs: number): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(new CodedError('store_closed'))
    for (const cancel of this.#timers) cancel()
    for (const stop of this.#answers) stop()
    await Promise.all([...this.#inputs.values()].map(({ session }) => session.close('publisher_idle', withinMs)))
    await this.#board.flush()
    await this.#watching
  }

  #every(periodMs: number, act: () => void): void {
    const { clock } = this.#parts
    const again = () => {
      this.#timers[at] = clock.after(periodMs, () => {
        if (this.#closing.signal.aborted) return
        again()
        act()
      })
    }
    const at = this.#timers.length
    again()
  }

  async #watch(onUpToDate: () => void): Promise<void> {
    const { store, clock, log } = this.#parts
    const { signal } = this.#closing
    while (!signal.aborted) {
      try {
        for await (const event of store.watch(liveInputPrefix, signal)) {
          switch (event.type) {
            case 'put':
              this.#wanted(event.entry)
              break
            case 'delete':
              this.#unwanted(event.key, event.revision)
              break
            case 'upToDate':
              onUpToDate()
              break
            case 'gap':
              await this.#reconcile()
              break
            default:
              event satisfies never
          }
        }
      } catch (error) {
        if (signal.aborted) return
        log.error({ err: error }, 'the watch of the store ended and is begun anew')
      }
      await sleep(clock, watchAgainMs, signal).catch(() => {})
    }
  }

  /** All that the store wants against all that runs. */
  async #reconcile(): Promise<void> {
    const before = new Map([...this.#inputs].map(([uid, { revision }]) => [uid, revision]))
    const entries = await this.#parts.store.list(liveInputPrefix)
    for (const entry of entries) {
      this.#wanted(entry)
      before.delete(entry.key.slice(liveInputPrefix.length + 1) as LiveInputId)
    }
    for (const [uid, revision] of before) this.#unwanted(liveInputKey(uid), revision)
  }

  #wanted(entry: Entry): void {
    const uid = entry.key.slice(liveInputPrefix.length + 1) as LiveInputId
    const known = this.#inputs.get(uid)
    if (known !== undefined && known.revision >= entry.revision) return
    const wish = this.#decode(entry)
    if (wish === undefined) return
    if (known === undefined) {
      this.#inputs.set(uid, { session: new InputSession(wish, this.#inputParts()), revision: entry.revision })
      return
    }
    known.revision = entry.revision
    const kept = new Set(wish.outputs.map((output) => output.uid))
    const gone = known.session.wish.outputs.filter((output) => !kept.has(output.uid))
    known.session.update(wish)
    for (const output of gone) this.#board.forget(output.uid)
  }

  #unwanted(key: string, revision: number): void {
    const uid = key.slice(liveInputPrefix.length + 1) as LiveInputId
    const known = this.#inputs.get(uid)
    if (known === undefined || known.revision > revision) return
    this.#inputs.delete(uid)
    const { wish } = known.session
    void known.session.close('input_deleted', 500).finally(() => {
      this.#board.forget(uid)
      for (const output of wish.outputs) this.#board.forget(output.uid)
    })
  }

  #decode(entry: Entry): LiveInput | undefined {
    try {
      return decodeLiveInput(entry.value, this.#parts.cipher)
    } catch (error) {
      this.#parts.log.error({ key: entry.key, err: error }, 'a stored live input cannot be read and is left alone')
      return undefined
    }
  }

  async #lookUp(uid: LiveInputId): Promise<InputSession | undefined> {
    const { store, clock } = this.#parts
    const late = sleep(clock, lookUpMs, this.#closing.signal).then(
      () => undefined,
      () => undefined,
    )
    const entry = await Promise.race([store.get(liveInputKey(uid)), late]).catch(() => undefined)
    if (entry !== undefined) this.#wanted(entry)
    return this.#inputs.get(uid)?.session
  }

  #inputParts(): InputParts {
    const board = this.#board
    return {
      ...this.#parts,
      onInputChange: (input, state, returning) => board.inputChanged(input.accountId, input.uid, state, returning),
      onOutputChange: (input, output, state, lastError) => {
        // An output that was removed says its last words; nobody is left to hear them.
        const wish = this.#inputs.get(input.uid)?.session.wish
        if (wish?.outputs.some((other) => other.uid === output.uid))
          board.outputChanged(input.accountId, input.uid, output.uid, state, lastError)
      },
      lastErrorOf: (output) => board.lastErrorOf(output),
    }
  }

  #tick(): void {
    const live = new Set<string>()
    for (const { session } of this.#inputs.values()) {
      const figures = session.tick()
      if (figures === undefined) continue
      live.add(figures.inputId)
      for (const id of Object.keys(figures.outputs)) live.add(id)
      this.#parts.bus.publish(figuresSubject(figures.accountId, figures.inputId), figures as unknown as Plain)
    }
    this.#board.tick((uid) => live.has(uid))
  }

  #storeFailed(error: unknown): void {
    if (!this.#closing.signal.aborted) this.#parts.log.warn({ err: error }, 'the store could not be listed')
  }
}
