import { MessageChannel } from 'node:worker_threads'
import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import { type Cancel, type Clock, sleep } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { Resolve } from '../destination/dial.ts'
import { CodedError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import {
  decodeLiveInput,
  type LiveInput,
  liveInputKey,
  liveInputPrefix,
  type SecretCipher,
} from '../model/live-input.ts'
import {
  type PreflightEvent,
  type PreflightReport,
  type PreflightRequest,
  preflightStepsSubject,
  preflightSubject,
  type RetryOutputAnswer,
  type RetryOutputRequest,
  retryOutputSubject,
} from '../model/preflight.ts'
import { figuresSubject, type LastError, mediaSubjects } from '../model/status.ts'
import type { Entry, Store } from '../store/store.ts'
import type { Engine, EngineReports, Found } from './media-engine.ts'
import { chooseEngine, workOf } from './placement.ts'
import { preflight } from './preflight.ts'
import { RelayRings } from './relay-ring.ts'
import { StatusBoard } from './status-board.ts'

export type SupervisorParts = {
  readonly store: Store
  readonly bus: Bus
  readonly cipher: SecretCipher
  readonly clock: Clock
  readonly log: Log
  readonly resolve: Resolve
  readonly policy: AddressPolicy
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
/** A deleted input is gone within a second. */
const deletedMs = 500
/** An encoder that was told where its input is goes live at once. */
const expectedMs = 5_000

/** A live input, and the engine that has it. */
type Held = {
  wish: LiveInput
  revision: number
  engine: Engine
  isLive: boolean
  /** Its encoder has come, and it counts as live there until then. Monotonic. */
  expected: { readonly at: Engine; readonly untilMs: number } | undefined
  /** Outputs that are doing something. */
  readonly activeOutputs: Set<OutputId>
}

/**
 * Makes what runs equal to what the store wants: hears of every wish, gives each live input to one of the engines, moves one that is at
 * rest to the engine at which its encoder arrives, or to one that has less to do, and tells outside what the engines report. Nobody
 * calls it to start or stop an output; the store is the only way.
 *
 * Owned by the app, in the main thread; the engines may have threads of their own. `close()` ends everything that runs.
 */
export class Supervisor {
  readonly #parts: SupervisorParts
  readonly #board: StatusBoard
  readonly #engines: Engine[] = []
  readonly #inputs = new Map<LiveInputId, Held>()
  /** An input changes hands once at a time. */
  readonly #moves = new Map<LiveInputId, Promise<unknown>>()
  readonly #rings = new RelayRings()
  /** Relays under way, and the engines that have not ended theirs. */
  readonly #relays = new Map<number, { readonly ring: SharedArrayBuffer; readonly ends: Set<Engine> }>()
  /** Whoever has had figures since the last tick. */
  readonly #seen = new Set<string>()
  readonly #closing = new AbortController()
  #nextEngine = 0
  #watching: Promise<void> = Promise.resolve()
  #timers: Cancel[] = []
  #answers: Unsubscribe[] = []
  /** Publishers whose input another engine had, since the start. */
  relayedPublishers = 0

  get relaysUnderWay(): number {
    return this.#relays.size
  }
  get relayRingsMade(): number {
    return this.#rings.made
  }

  constructor(parts: SupervisorParts) {
    this.#parts = parts
    this.#board = new StatusBoard(parts)
  }

  /** Before `start`, once for each engine. @param make an engine that reports as it is told to. */
  addEngine<E extends Engine>(make: (reports: EngineReports) => E): E {
    const engine = make(this.#reportsOf(() => engine))
    this.#engines.push(engine)
    return engine
  }

  /** An engine has died with all that it had; another one goes on with its inputs, for their encoders to come back to. */
  replaceEngine<E extends Engine>(dead: Engine, make: (reports: EngineReports) => E): E {
    const engine = make(this.#reportsOf(() => engine))
    this.#engines[this.#engines.indexOf(dead)] = engine
    // Who died says no more when it has ended: their memory goes to nobody else.
    for (const [id, { ends }] of this.#relays) if (ends.has(dead)) this.#relays.delete(id)
    for (const [uid, held] of this.#inputs) {
      if (held.expected?.at === dead) held.expected = undefined
      if (held.engine !== dead) continue
      held.engine = engine
      const { accountId } = held.wish
      for (const output of [...held.activeOutputs])
        this.#outputChanged(uid, output, () =>
          this.#board.outputChanged(accountId, uid, output, { name: 'idle' }, this.#board.lastErrorOf(output)),
        )
      held.activeOutputs.clear()
      if (held.isLive) this.#board.inputChanged(accountId, uid, { name: 'disconnected' }, false)
      held.isLive = false
      engine.adopt(held.wish, this.#lastErrorsOf(held.wish))
    }
    return engine
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
      this.#parts.bus.respond(retryOutputSubject, async (message) => {
        const { inputId, outputId } = message as RetryOutputRequest
        const engine = this.#inputs.get(inputId as LiveInputId)?.engine
        const retried = await engine?.retryOutput(inputId as LiveInputId, outputId as OutputId)
        return { retried: retried ?? false } satisfies RetryOutputAnswer
      }),
      this.#parts.bus.respond(preflightSubject, async (message, signal) => {
        return (await this.#preflight(message as PreflightRequest, signal)) as unknown as Plain
      }),
      this.#parts.bus.serveStream(preflightStepsSubject, (message, sink) => {
        // Some dozens of short lines at the most: the credit of whoever asks is larger.
        const tell = (event: PreflightEvent) => void sink.write(Buffer.from(`${JSON.stringify(event)}\n`))
        this.#preflight(message as PreflightRequest, sink.signal, tell).then(
          (report) => {
            tell({ report })
            sink.end()
          },
          (error: unknown) => sink.end(error instanceof Error ? error : new Error(String(error))),
        )
      }),
    )
  }

  #preflight(
    request: PreflightRequest,
    signal: AbortSignal,
    onStep?: (event: PreflightEvent) => void,
  ): Promise<PreflightReport> {
    const { cipher } = this.#parts
    const { url, streamKey, username, password, tls } = request
    const target = {
      url,
      streamKey: cipher.open(streamKey, 'preflight.streamKey'),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password: cipher.open(password, 'preflight.password') }),
      ...(tls !== undefined && { tls }),
    }
    return preflight(target, {
      ...this.#parts,
      signal: AbortSignal.any([signal, this.#closing.signal]),
      ...(onStep && { onStep }),
    })
  }

  /** Ends every broadcast: encoders are cut, destinations get their goodbye, at most so long. */
  async close(withinMs: number): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(new CodedError('store_closed'))
    for (const cancel of this.#timers) cancel()
    for (const stop of this.#answers) stop()
    await Promise.all([...this.#inputs].map(([uid, { engine }]) => engine.remove(uid, 'publisher_idle', withinMs)))
    await this.#board.flush()
    await this.#watching
  }

  #reportsOf(engine: () => Engine): EngineReports {
    const board = this.#board
    return {
      inputChanged: (account, input, state, returning) => {
        const held = this.#inputs.get(input)
        if (held !== undefined) {
          held.isLive = state.name !== 'disconnected'
          held.expected = undefined
        }
        board.inputChanged(account, input, state, returning)
      },
      outputChanged: (account, input, output, state, lastError) => {
        const active = this.#inputs.get(input)?.activeOutputs
        if (state.name === 'idle' || state.name === 'disabled') active?.delete(output)
        else active?.add(output)
        this.#outputChanged(input, output, () => board.outputChanged(account, input, output, state, lastError))
      },
      figures: (figures) => {
        const { accountId, inputId } = figures
        this.#seen.add(inputId)
        for (const id of this.#inputs.get(inputId)?.activeOutputs ?? []) this.#seen.add(id)
        this.#parts.bus.publish(figuresSubject(accountId, inputId), figures as unknown as Plain)
      },
      carried: (carried) => this.#parts.bus.publish(mediaSubjects.carried, carried),
      find: (input, presentedKey) => this.#find(engine(), input, presentedKey),
      relayEnded: (id) => {
        const relay = this.#relays.get(id)
        if (!relay?.ends.delete(engine()) || relay.ends.size > 0) return
        this.#relays.delete(id)
        this.#rings.giveBack(relay.ring)
      },
    }
  }

  /** An output that was removed says its last words; nobody is left to hear them. */
  #outputChanged(input: LiveInputId, output: OutputId, tell: () => void): void {
    if (this.#inputs.get(input)?.wish.outputs.some(({ uid }) => uid === output)) tell()
  }

  async #find(asker: Engine, input: LiveInputId, presentedKey: string): Promise<Found> {
    const held = this.#inputs.get(input) ?? (await this.#lookUp(input))
    // Whoever does not know the key moves nothing.
    if (!held?.wish.streamKey.equals(presentedKey)) return { at: 'nowhere' }
    if (this.#closing.signal.aborted) return { at: 'refused', code: 'publisher_idle' }
    const found = (this.#moves.get(input) ?? Promise.resolve()).then(() => this.#bringTo(asker, input))
    const settled = found.catch(() => {})
    this.#moves.set(input, settled)
    void settled.then(() => {
      if (this.#moves.get(input) === settled) this.#moves.delete(input)
    })
    return found
  }

  async #bringTo(asker: Engine, input: LiveInputId): Promise<Found> {
    const held = this.#inputs.get(input)
    // Or who asked is gone.
    if (held === undefined || !this.#engines.includes(asker)) return { at: 'nowhere' }
    const owner = held.engine
    // Who was sent there a moment ago shall find it.
    const chosen = this.#isExpected(held) ? owner : this.#choose(asker, held)
    const untilMs = this.#parts.clock.monotonicMs() + expectedMs
    held.expected = { at: chosen, untilMs }
    if (chosen !== owner && (await owner.release(input))) {
      // Meanwhile it may have been deleted, or its engine replaced.
      if (this.#inputs.get(input) !== held) return { at: 'nowhere' }
      if (held.engine === owner) {
        // The other one, too, may be gone by now.
        if (this.#engines.includes(chosen)) held.engine = chosen
        held.engine.adopt(held.wish, this.#lastErrorsOf(held.wish))
      }
    }
    if (held.engine === asker) return { at: 'here' }
    this.relayedPublishers++
    this.#parts.bus.publish(mediaSubjects.relayed, null)
    const ring = this.#rings.take()
    const id = this.relayedPublishers
    this.#relays.set(id, { ring, ends: new Set([held.engine, asker]) })
    const { port1, port2 } = new MessageChannel()
    held.engine.takeRelay({ id, port: port1, ring })
    return { at: 'elsewhere', relay: { id, port: port2, ring } }
  }

  #isExpected({ expected }: Held): boolean {
    return expected !== undefined && this.#parts.clock.monotonicMs() < expected.untilMs
  }

  #choose(asker: Engine, arriving: Held): Engine {
    if (this.#engines.length === 1) return asker
    const works = new Map(this.#engines.map((engine) => [engine, 0]))
    for (const held of this.#inputs.values()) {
      if (held === arriving) continue
      const at = held.isLive ? held.engine : this.#isExpected(held) ? held.expected!.at : undefined
      const before = at === undefined ? undefined : works.get(at)
      if (before !== undefined) works.set(at!, before + workOf(held.wish))
    }
    return chooseEngine(asker, works, workOf(arriving.wish))
  }

  #lastErrorsOf(wish: LiveInput): [OutputId, LastError][] {
    return wish.outputs.flatMap(({ uid }) => {
      const error = this.#board.lastErrorOf(uid)
      return error === undefined ? [] : [[uid, error] as [OutputId, LastError]]
    })
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
    const held = this.#inputs.get(uid)
    if (held !== undefined && held.revision >= entry.revision) return
    const wish = this.#decode(entry)
    if (wish === undefined) return
    if (held === undefined) {
      const engine = this.#engines[this.#nextEngine++ % this.#engines.length]!
      this.#inputs.set(uid, {
        wish,
        revision: entry.revision,
        engine,
        isLive: false,
        expected: undefined,
        activeOutputs: new Set(),
      })
      engine.adopt(wish, this.#lastErrorsOf(wish))
      return
    }
    const kept = new Set(wish.outputs.map((output) => output.uid))
    const gone = held.wish.outputs.filter((output) => !kept.has(output.uid))
    held.wish = wish
    held.revision = entry.revision
    held.engine.update(wish)
    for (const output of gone) {
      held.activeOutputs.delete(output.uid)
      this.#board.forget(output.uid)
    }
  }

  #unwanted(key: string, revision: number): void {
    const uid = key.slice(liveInputPrefix.length + 1) as LiveInputId
    const held = this.#inputs.get(uid)
    if (held === undefined || held.revision > revision) return
    this.#inputs.delete(uid)
    const { wish, engine } = held
    void engine.remove(uid, 'input_deleted', deletedMs).finally(() => {
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

  async #lookUp(uid: LiveInputId): Promise<Held | undefined> {
    const { store, clock } = this.#parts
    const late = sleep(clock, lookUpMs, this.#closing.signal).then(
      () => undefined,
      () => undefined,
    )
    const entry = await Promise.race([store.get(liveInputKey(uid)), late]).catch(() => undefined)
    if (entry !== undefined) this.#wanted(entry)
    return this.#inputs.get(uid)
  }

  #tick(): void {
    this.#board.tick((uid) => this.#seen.has(uid))
    this.#seen.clear()
  }

  #storeFailed(error: unknown): void {
    if (!this.#closing.signal.aborted) this.#parts.log.warn({ err: error }, 'the store could not be listed')
  }
}
