import type { ServerResponse } from 'node:http'
import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import type { Cancel, Clock } from '../clock.ts'
import type { AccountId } from '../model/id.ts'
import type { InputFigures } from '../model/status.ts'

/** Events that can be told again to a listener that comes back: some minutes of a busy account. */
const rememberedMax = 1_000
/** Proxies close what is silent for a minute. */
const heartbeatMs = 15_000
const figuresMs = 1_000
/** A listener that does not read is let go. */
const unreadBytesMax = 1024 * 1024
/** Figures that are older are of a broadcast that has ended. */
const freshMs = 5_000

type StateEvent = {
  readonly sequence: number
  readonly accountId: string
  readonly name: string
  readonly message: Plain
}
type Listener = {
  readonly accountId: AccountId
  /** Inputs whose figures are wanted; none: totals. */
  readonly inputs: ReadonlySet<string>
  readonly response: ServerResponse
  lastWrittenMs: number
}

/**
 * Server-sent events: changes of state as they happen, and figures once a second. Ids are `<run>-<number>`; a listener that comes back
 * with the id that it saw last (Last-Event-ID) gets what it missed, or `reset` when that is not known any more: list again.
 *
 * Lives from its construction to `close()`, which ends all listeners.
 */
export class EventStreams {
  readonly #clock: Clock
  readonly #run: string
  readonly #events: StateEvent[] = []
  readonly #listeners = new Set<Listener>()
  readonly #figures = new Map<string, { figures: InputFigures; atMs: number }>()
  readonly #stops: Unsubscribe[]
  #sequence = 0
  #cancel: Cancel = () => {}

  /** @param run tells this start of the server from others. */
  constructor(bus: Bus, clock: Clock, run: string) {
    this.#clock = clock
    this.#run = run
    this.#stops = [
      bus.subscribe('state.input.>', (message) => this.#happened('input.status', message)),
      bus.subscribe('state.output.>', (message) => this.#happened('output.status', message)),
      bus.subscribe('figures.>', (message) => {
        const figures = message as unknown as InputFigures
        this.#figures.set(figures.inputId, { figures, atMs: clock.monotonicMs() })
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
  listen(
    accountId: AccountId,
    inputs: ReadonlySet<string>,
    lastEventId: string | undefined,
    response: ServerResponse,
  ): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
    })
    const listener: Listener = { accountId, inputs, response, lastWrittenMs: this.#clock.monotonicMs() }
    this.#listeners.add(listener)
    response.on('close', () => this.#listeners.delete(listener))
    response.on('error', () => this.#listeners.delete(listener))
    this.#write(listener, 'retry: 2000\n\n')
    this.#resume(listener, lastEventId)
    this.#tellFigures(listener, this.#clock.monotonicMs())
  }

  close(): void {
    this.#cancel()
    for (const stop of this.#stops) stop()
    for (const { response } of this.#listeners) response.end()
    this.#listeners.clear()
  }

  #resume(listener: Listener, lastEventId: string | undefined): void {
    const seen = /^(.+)-(\d+)$/.exec(lastEventId ?? '')
    const oldest = this.#events[0]?.sequence ?? this.#sequence + 1
    const isKnown = seen !== null && seen[1] === this.#run && Number(seen[2]) >= oldest - 1
    if (!isKnown) {
      this.#write(listener, `id: ${this.#run}-${this.#sequence}\nevent: reset\ndata: {}\n\n`)
      return
    }
    for (const event of this.#events) if (event.sequence > Number(seen[2])) this.#tell(listener, event)
  }

  #happened(name: string, message: Plain): void {
    const { accountId } = message as { accountId: string }
    const event: StateEvent = { sequence: ++this.#sequence, accountId, name, message }
    this.#events.push(event)
    if (this.#events.length > rememberedMax) this.#events.shift()
    for (const listener of this.#listeners) this.#tell(listener, event)
  }

  #tell(listener: Listener, { sequence, accountId, name, message }: StateEvent): void {
    if (accountId !== listener.accountId) return
    this.#write(listener, `id: ${this.#run}-${sequence}\nevent: ${name}\ndata: ${JSON.stringify(message)}\n\n`)
  }

  #tick(): void {
    this.#cancel = this.#clock.after(figuresMs, () => {
      const now = this.#clock.monotonicMs()
      for (const [id, { atMs }] of this.#figures) if (now - atMs > freshMs) this.#figures.delete(id)
      for (const listener of this.#listeners) this.#tellFigures(listener, now)
      this.#tick()
    })
  }

  #tellFigures(listener: Listener, now: number): void {
    const own = [...this.#figures.values()].filter(({ figures }) => figures.accountId === listener.accountId)
    if (listener.inputs.size > 0) {
      for (const { figures } of own)
        if (listener.inputs.has(figures.inputId))
          this.#write(listener, `event: figures\ndata: ${JSON.stringify(figures)}\n\n`)
    } else {
      const totals = own.map(({ figures }) => ({
        inputId: figures.inputId,
        bitrateKbps: figures.input.bitrateKbps,
        outputs: Object.keys(figures.outputs).length,
        outputsUp: Object.values(figures.outputs).filter(({ connectedAt }) => connectedAt !== undefined).length,
        egressKbps: Object.values(figures.outputs).reduce((sum, { bitrateKbps }) => sum + bitrateKbps, 0),
      }))
      this.#write(
        listener,
        `event: totals\ndata: ${JSON.stringify({ at: new Date(this.#clock.now()).toISOString(), inputs: totals })}\n\n`,
      )
    }
    if (now - listener.lastWrittenMs >= heartbeatMs) this.#write(listener, ': still here\n\n')
  }

  #write(listener: Listener, text: string): void {
    const { response } = listener
    if (response.writableLength > unreadBytesMax) {
      this.#listeners.delete(listener)
      response.destroy()
      return
    }
    listener.lastWrittenMs = this.#clock.monotonicMs()
    response.write(text)
  }
}
