import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import type { Cancel, Clock } from '../clock.ts'
import type { AccountId } from '../model/id.ts'
import { completeFigures, type InputFigures, type InputStateEvent, mediaSubjects } from '../model/status.ts'
import { isFigures, isOver, rememberedMs } from './figures.ts'

/** Events of an account that can be told again to a listener that comes back: some minutes of a busy one. */
const rememberedPerAccountMax = 1_000
/** Of all accounts, some kilobytes each. Who has most gives way first: a busy account takes nothing from a quiet one. */
const rememberedMax = 10_000
/** Proxies close what is silent for a minute. */
const heartbeatMs = 15_000
const figuresMs = 1_000
/** While nobody listens: only to forget what is old. */
const idleMs = 10_000
/** A listener that does not read is let go. */
const unreadBytesMax = 1024 * 1024
/** Figures that are older are of a broadcast that has ended. */
const freshMs = 5_000
/**
 * Who comes anew lists what there is; the list may be behind what was told by so much (a status is stored once a second). What happened
 * since is told again: an event holds a whole status, and does no harm twice.
 */
const listLagMs = 3_000

const streamHeaders: OutgoingHttpHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}

type Arrived = { readonly figures: InputFigures; readonly atMs: number }

type StateEvent = {
  readonly sequence: number
  readonly atMs: number
  readonly name: string
  readonly message: Plain
}
/** What is remembered of one account, the oldest first. Kept when it is empty: it says what cannot be told again. */
type Remembered = {
  readonly events: StateEvent[]
  /** The sequence of the newest event that was let go; 0: none was. */
  forgotten: number
}
type Listener = {
  readonly accountId: AccountId
  /** Inputs whose figures are wanted; none: totals. */
  readonly inputs: ReadonlySet<string>
  readonly response: ServerResponse
  /** False once the token was revoked or has expired, or the session was signed out. */
  readonly mayListen: () => boolean
  lastWrittenMs: number
}
export type Listening = Pick<Listener, 'accountId' | 'inputs' | 'response' | 'mayListen'> & {
  /** Last-Event-ID, where the listener has been here before. */
  readonly lastEventId: string | undefined
  /** Besides those of an event stream. */
  readonly headers: OutgoingHttpHeaders
}

/**
 * Server-sent events: changes of state as they happen, and figures once a second. Ids are `<run>-<number>`; a listener that comes back
 * with the id that it saw last (Last-Event-ID) gets what it missed, or `reset` when that is not known any more: list again.
 *
 * Lives from its construction to `close()`, which ends all listeners.
 */
export class EventStreams {
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #run: string
  readonly #remembered = new Map<string, Remembered>()
  #rememberedCount = 0
  readonly #listeners = new Set<Listener>()
  readonly #figures = new Map<string, Arrived>()
  readonly #stops: Unsubscribe[]
  #sequence = 0
  #isClosed = false
  #cancel: Cancel = () => {}

  /** @param run tells this start of the server from others. */
  constructor(bus: Bus, clock: Clock, run: string) {
    this.#bus = bus
    this.#clock = clock
    this.#run = run
    this.#stops = [
      bus.subscribe('state.input.>', (message) => {
        const event = message as unknown as InputStateEvent
        if (isOver(event)) this.#figures.delete(event.inputId)
        this.#happened('input.status', message)
      }),
      bus.subscribe('state.output.>', (message) => this.#happened('output.status', message)),
      bus.subscribe('figures.>', (message) => {
        if (!isFigures(message)) return
        const figures = completeFigures(message, this.#figures.get(message.inputId)?.figures)
        this.#figures.set(message.inputId, { figures, atMs: clock.monotonicMs() })
      }),
    ]
    this.#tick()
  }

  /** Listeners of an account: for a limit. */
  countOf(accountId: AccountId): number {
    let count = 0
    for (const listener of this.#listeners) if (listener.accountId === accountId) count++
    return count
  }

  /** Takes over a response: from now on it is written by this class, and ended by the client, a limit, or `close()`. */
  listen({ accountId, inputs, response, mayListen, lastEventId, headers }: Listening): void {
    // One by one: whoever logs and measures the response can read only what was set so.
    for (const [name, value] of Object.entries({ ...headers, ...streamHeaders }))
      if (value !== undefined) response.setHeader(name, value)
    response.writeHead(200)
    if (this.#isClosed) {
      response.end()
      return
    }
    const listener: Listener = { accountId, inputs, response, mayListen, lastWrittenMs: this.#clock.monotonicMs() }
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) {
      this.#forgetOldFigures()
      this.#tick()
    }
    response.on('close', () => this.#listeners.delete(listener))
    response.on('error', () => this.#listeners.delete(listener))
    this.#write(listener, 'retry: 2000\n\n')
    this.#resume(listener, lastEventId)
    this.#tellFigures(listener, new Figures(this.#figures, this.#clock))
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
    for (const stop of this.#stops) stop()
    for (const { response } of this.#listeners) response.end()
    this.#listeners.clear()
  }

  #resume(listener: Listener, lastEventId: string | undefined): void {
    const [, run, number] = /^(.+)-(\d{1,15})$/.exec(lastEventId ?? '') ?? []
    const { events, forgotten } = this.#rememberedOf(listener.accountId)
    const isKnown = run === this.#run && Number(number) >= forgotten && Number(number) <= this.#sequence
    if (!isKnown) this.#write(listener, `id: ${this.#run}-${this.#sequence}\nevent: reset\ndata: {}\n\n`)
    const since = this.#clock.monotonicMs() - listLagMs
    for (const event of events)
      if (isKnown ? event.sequence > Number(number) : event.atMs >= since) this.#tell(listener, event)
  }

  #happened(name: string, message: Plain): void {
    const { accountId } = message as { accountId: string }
    const event = { sequence: ++this.#sequence, atMs: this.#clock.monotonicMs(), name, message }
    this.#remember(accountId, event)
    for (const listener of this.#listeners) if (listener.accountId === accountId) this.#tell(listener, event)
  }

  #remember(accountId: string, event: StateEvent): void {
    const ofAccount = this.#rememberedOf(accountId)
    ofAccount.events.push(event)
    this.#rememberedCount++
    if (ofAccount.events.length > rememberedPerAccountMax) this.#forgetOldest(ofAccount)
    if (this.#rememberedCount > rememberedMax) {
      let most = ofAccount
      for (const other of this.#remembered.values()) if (other.events.length > most.events.length) most = other
      this.#forgetOldest(most)
    }
  }

  #forgetOldest(ofAccount: Remembered): void {
    const event = ofAccount.events.shift()
    if (event === undefined) return
    ofAccount.forgotten = event.sequence
    this.#rememberedCount--
  }

  /** Accounts are bounded where they are made, and so is this. */
  #rememberedOf(accountId: string): Remembered {
    const known = this.#remembered.get(accountId)
    if (known !== undefined) return known
    const anew = { events: [], forgotten: 0 }
    this.#remembered.set(accountId, anew)
    return anew
  }

  #tell(listener: Listener, { sequence, name, message }: StateEvent): void {
    if (!this.#mayStay(listener)) return
    this.#write(listener, `id: ${this.#run}-${sequence}\nevent: ${name}\ndata: ${JSON.stringify(message)}\n\n`)
  }

  #tick(): void {
    this.#cancel()
    if (this.#listeners.size > 0) this.#bus.publish(mediaSubjects.figuresWanted, null)
    this.#cancel = this.#clock.after(this.#listeners.size > 0 ? figuresMs : idleMs, () => {
      this.#forgetOldFigures()
      const figures = new Figures(this.#figures, this.#clock)
      for (const listener of this.#listeners) this.#tellFigures(listener, figures)
      this.#tick()
    })
  }

  #forgetOldFigures(): void {
    const now = this.#clock.monotonicMs()
    for (const [id, { atMs }] of this.#figures) if (now - atMs > rememberedMs) this.#figures.delete(id)
  }

  #tellFigures(listener: Listener, figures: Figures): void {
    if (!this.#mayStay(listener)) return
    if (listener.inputs.size === 0) this.#write(listener, figures.totalsOf(listener.accountId))
    for (const input of listener.inputs) {
      const text = figures.ofInput(listener.accountId, input)
      if (text !== undefined) this.#write(listener, text)
    }
    if (this.#clock.monotonicMs() - listener.lastWrittenMs >= heartbeatMs) this.#write(listener, ': still here\n\n')
  }

  /** A listener who lost the right to hear is told nothing more. */
  #mayStay(listener: Listener): boolean {
    if (listener.mayListen()) return true
    this.#listeners.delete(listener)
    listener.response.end()
    return false
  }

  #write(listener: Listener, text: string): void {
    const { response } = listener
    if (response.destroyed || response.writableEnded) return
    if (response.writableLength > unreadBytesMax) {
      this.#listeners.delete(listener)
      response.destroy()
      return
    }
    listener.lastWrittenMs = this.#clock.monotonicMs()
    response.write(text)
  }
}

/** The figures of one moment as they are written: made once, however many listen. */
class Figures {
  readonly #latest: ReadonlyMap<string, Arrived>
  readonly #clock: Clock
  readonly #freshSinceMs: number
  readonly #texts = new Map<string, string>()

  constructor(latest: ReadonlyMap<string, Arrived>, clock: Clock) {
    this.#latest = latest
    this.#clock = clock
    this.#freshSinceMs = clock.monotonicMs() - freshMs
  }

  ofInput(accountId: AccountId, input: string): string | undefined {
    const latest = this.#latest.get(input)
    if (latest?.figures.accountId !== accountId || latest.atMs < this.#freshSinceMs) return undefined
    const { figures } = latest
    return this.#once(input, () => `event: figures\ndata: ${JSON.stringify(figures)}\n\n`)
  }

  totalsOf(accountId: AccountId): string {
    return this.#once(accountId, () => {
      const inputs: object[] = []
      for (const { figures, atMs } of this.#latest.values())
        if (figures.accountId === accountId && atMs >= this.#freshSinceMs) inputs.push(totalOf(figures))
      const at = new Date(this.#clock.now()).toISOString()
      return `event: totals\ndata: ${JSON.stringify({ at, inputs })}\n\n`
    })
  }

  #once(key: string, make: () => string): string {
    const text = this.#texts.get(key) ?? make()
    this.#texts.set(key, text)
    return text
  }
}

function totalOf({ inputId, input, outputs }: InputFigures): object {
  const all = Object.values(outputs)
  return {
    inputId,
    bitrateKbps: input.bitrateKbps,
    outputs: all.length,
    outputsUp: all.filter(({ connectedAt }) => connectedAt !== undefined).length,
    egressKbps: all.reduce((sum, { bitrateKbps }) => sum + bitrateKbps, 0),
  }
}
