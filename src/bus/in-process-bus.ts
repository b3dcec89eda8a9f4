import { type Clock, systemClock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { Bus, Plain, StreamSink, Unsubscribe } from './bus.ts'
import { checkCredit, type OpenStream, readStream, type StreamControl, type StreamReceiver } from './credit-stream.ts'
import { withinLimits } from './deadline.ts'
import { plainCopy } from './plain.ts'
import {
  type Ask,
  askOf,
  callSubscriber,
  type OnError,
  openStreamOf,
  type Responder,
  type Subscriber,
} from './serve.ts'
import { checkPattern, checkSubject, isLiteral, matches } from './subject.ts'

export type BusOptions = {
  /** What a subscriber or a source threw, and what a responder threw that has no code of ours: for the log. */
  readonly onError: OnError
  readonly clock?: Clock
}

type Subscription = { readonly tokens: readonly string[]; readonly subscriber: Subscriber; isActive: boolean }

/**
 * The bus of one process, and the hub to which other threads' buses connect (`serveBus`). Handlers run in a later turn of the event
 * loop, in the order of what was published, so that no publisher ever runs a subscriber's code.
 *
 * Owned by app.ts.
 */
export class InProcessBus implements Bus {
  readonly #onError: OnError
  readonly #clock: Clock
  readonly #literals = new Map<string, Set<Subscription>>()
  readonly #wildcards = new Set<Subscription>()
  readonly #responders = new Map<string, Ask>()
  readonly #sources = new Map<string, OpenStream>()
  readonly #requests = new Set<(error: Error) => void>()
  readonly #streams = new Set<() => void>()
  readonly #links = new Set<() => void>()
  #deliveries: (() => void)[] = []
  #closing: Promise<void> | undefined

  constructor({ onError, clock = systemClock }: BusOptions) {
    this.#onError = onError
    this.#clock = clock
  }

  publish(subject: string, message: Plain): void {
    checkSubject(subject)
    if (this.#closing !== undefined) return
    const copy = plainCopy(message)
    const subscriptions = this.#subscriptionsTo(subject)
    if (subscriptions.length === 0) return
    this.#later(() => {
      for (const subscription of subscriptions) {
        if (subscription.isActive) callSubscriber(subscription.subscriber, copy, subject, this.#onError)
      }
    })
  }

  subscribe(pattern: string, handler: Subscriber): Unsubscribe {
    checkPattern(pattern)
    if (this.#closing !== undefined) return () => {}
    const subscription: Subscription = { tokens: pattern.split('.'), subscriber: handler, isActive: true }
    if (!isLiteral(pattern)) {
      this.#wildcards.add(subscription)
      return () => {
        subscription.isActive = false
        this.#wildcards.delete(subscription)
      }
    }
    const siblings = this.#literals.get(pattern) ?? new Set()
    this.#literals.set(pattern, siblings.add(subscription))
    return () => {
      subscription.isActive = false
      siblings.delete(subscription)
      if (siblings.size === 0 && this.#literals.get(pattern) === siblings) this.#literals.delete(pattern)
    }
  }

  async request(
    subject: string,
    message: Plain,
    { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal },
  ): Promise<Plain> {
    this.#refuseIfClosed()
    const limits = { subject, deadlineMs, signal, clock: this.#clock, closing: this.#requests }
    return withinLimits(limits, (abandoned) => this.ask(subject, message, abandoned))
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    return this.serveAsk(subject, askOf(handler, subject, this.#onError))
  }

  async *stream(
    subject: string,
    message: Plain,
    { creditBytes, signal }: { creditBytes: number; signal: AbortSignal },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    checkCredit(creditBytes)
    this.#refuseIfClosed()
    yield* readStream((receiver) => this.openStream(subject, message, creditBytes, receiver), signal, this.#streams)
  }

  serveStream(subject: string, handler: (message: Plain, sink: StreamSink) => void): Unsubscribe {
    return this.serveOpenStream(subject, openStreamOf(handler, subject, this.#onError))
  }

  /** What was published before is still delivered; requests are rejected, streams end, the buses of other threads close. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const giveUp of [...this.#requests]) giveUp(new CodedError('bus_closed'))
    for (const stop of [...this.#streams]) stop()
    await this.flush()
    for (const closeLink of [...this.#links]) closeLink()
    this.#literals.clear()
    this.#wildcards.clear()
    this.#responders.clear()
    this.#sources.clear()
  }

  // What follows is for `serveBus`, which hands on what other threads ask and serve. Deadlines and credit are kept at their ends.

  /** Waits until what was published before is delivered. */
  flush(): Promise<void> {
    return new Promise((resolve) => this.#later(resolve))
  }

  /** A request without a deadline. An abandoned one may never settle. */
  async ask(subject: string, message: Plain, abandoned: AbortSignal): Promise<Plain> {
    checkSubject(subject)
    const copy = plainCopy(message)
    return new Promise((resolve, reject) => {
      this.#later(() => {
        if (abandoned.aborted) return
        const responder = this.#responders.get(subject)
        if (responder === undefined) reject(noResponder(subject))
        else responder(copy, abandoned).then(resolve, reject)
      })
    })
  }

  serveAsk(subject: string, ask: Ask): Unsubscribe {
    return this.#register(this.#responders, subject, ask)
  }

  openStream(subject: string, message: Plain, creditBytes: number, receiver: StreamReceiver): StreamControl {
    checkSubject(subject)
    const copy = plainCopy(message)
    let source: StreamControl | undefined
    let isOver = false
    const finish = () => {
      isOver = true
      this.#streams.delete(stop)
    }
    const end = (error?: Error) => {
      if (isOver) return
      finish()
      receiver.end(error)
    }
    const stop = () => {
      source?.cancel()
      end()
    }
    this.#streams.add(stop)
    this.#later(() => {
      if (isOver) return
      const open = this.#sources.get(subject)
      if (open === undefined) {
        end(noResponder(subject))
        return
      }
      source = open(copy, creditBytes, {
        bytes: (bytes) => {
          if (!isOver) receiver.bytes(bytes)
        },
        end,
      })
    })
    return {
      // Later, so that a consumer never runs the source's code.
      grant: (bytes) => this.#later(() => source?.grant(bytes)),
      cancel: () => {
        finish()
        this.#later(() => source?.cancel())
      },
    }
  }

  serveOpenStream(subject: string, open: OpenStream): Unsubscribe {
    return this.#register(this.#sources, subject, open)
  }

  /** @param closeLink called when this bus closes */
  attachLink(closeLink: () => void): Unsubscribe {
    if (this.#closing !== undefined) {
      closeLink()
      return () => {}
    }
    this.#links.add(closeLink)
    return () => this.#links.delete(closeLink)
  }

  #register<T>(registry: Map<string, T>, subject: string, entry: T): Unsubscribe {
    checkSubject(subject)
    if (this.#closing !== undefined) return () => {}
    registry.set(subject, entry)
    return () => {
      // A later one may have taken over.
      if (registry.get(subject) === entry) registry.delete(subject)
    }
  }

  #subscriptionsTo(subject: string): Subscription[] {
    const subscriptions = [...(this.#literals.get(subject) ?? [])]
    if (this.#wildcards.size === 0) return subscriptions
    const tokens = subject.split('.')
    for (const subscription of this.#wildcards) {
      if (matches(subscription.tokens, tokens)) subscriptions.push(subscription)
    }
    return subscriptions
  }

  #later(delivery: () => void): void {
    this.#deliveries.push(delivery)
    if (this.#deliveries.length > 1) return
    setImmediate(() => {
      // What these publish waits for the next turn, so that handlers that answer one another do not starve the sockets.
      const deliveries = this.#deliveries
      this.#deliveries = []
      for (const deliver of deliveries) deliver()
    })
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw new CodedError('bus_closed')
  }
}

function noResponder(subject: string): CodedError {
  return new CodedError('no_responder', `Nobody answers requests on ${subject}.`)
}
