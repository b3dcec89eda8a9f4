import type { MessagePort } from 'node:worker_threads'
import { type Clock, systemClock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { Bus, Plain, StreamSink, Unsubscribe } from './bus.ts'
import { checkCredit, type OpenStream, readStream } from './credit-stream.ts'
import { withinLimits } from './deadline.ts'
import type { BusOptions, InProcessBus } from './in-process-bus.ts'
import { plainCopy } from './plain.ts'
import { PortLink, type RegistrationFrame } from './port-link.ts'
import {
  type Ask,
  askOf,
  callSubscriber,
  type OnError,
  openStreamOf,
  type Responder,
  type Subscriber,
} from './serve.ts'
import { checkPattern, checkSubject } from './subject.ts'

/** No subject is empty, so the hub answers this itself. */
const flushSubject = ''

/**
 * Connects the bus at the other end of a port (a PortBus, in another thread as a rule) to this one. When that thread ends, whatever
 * it had registered here goes with it, and those who wait for its answers get no_responder.
 * @returns the call that cuts the connection; closing `bus` does it too
 */
export function serveBus(bus: InProcessBus, port: MessagePort): Unsubscribe {
  const registrations = new Map<string, Unsubscribe>()
  const link = new PortLink(port, {
    async ask(subject, message, abandoned) {
      if (subject !== flushSubject) return bus.ask(subject, message, abandoned)
      await bus.flush()
      return null
    },
    openStream: (subject, message, creditBytes, receiver) => bus.openStream(subject, message, creditBytes, receiver),
    frame: receive,
    closed() {
      detach()
      for (const unregister of registrations.values()) unregister()
      registrations.clear()
    },
    lost: () => new CodedError('no_responder', 'The thread that was to answer has ended.'),
  })
  const close = () => void link.close()
  const detach = bus.attachLink(close)
  return close

  function receive(frame: RegistrationFrame): void {
    switch (frame.type) {
      case 'publish':
        bus.publish(frame.subject, frame.message)
        return
      case 'subscribe': {
        const { id } = frame
        const forward: Subscriber = (message, subject) => link.send({ type: 'event', id, subject, message })
        registrations.set(id, bus.subscribe(frame.pattern, forward))
        return
      }
      case 'respond': {
        const { id } = frame
        const ask: Ask = (message, abandoned) => link.ask(id, message, abandoned)
        registrations.set(id, bus.serveAsk(frame.subject, ask))
        return
      }
      case 'serveStream': {
        const { id } = frame
        const open: OpenStream = (message, creditBytes, receiver) => link.openStream(id, message, creditBytes, receiver)
        registrations.set(id, bus.serveOpenStream(frame.subject, open))
        return
      }
      case 'unregister':
        registrations.get(frame.id)?.()
        registrations.delete(frame.id)
        return
      case 'event':
        return // only a hub sends these
      default:
        frame satisfies never
    }
  }
}

/**
 * The bus in another thread: the same contract over a MessagePort whose other end `serveBus` has. What is subscribed or served here
 * counts from the moment at which the hub has heard of it: `flush` waits for that.
 *
 * Owns the port, and keeps its thread alive until it is closed. Closes by itself when the hub does.
 */
export class PortBus implements Bus {
  readonly #onError: OnError
  readonly #clock: Clock
  readonly #link: PortLink
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #responders = new Map<string, Ask>()
  readonly #sources = new Map<string, OpenStream>()
  readonly #requests = new Set<(error: Error) => void>()
  readonly #streams = new Set<() => void>()
  #lastRegistration = 0
  #isClosed = false
  #closing: Promise<void> | undefined

  constructor(port: MessagePort, { onError, clock = systemClock }: BusOptions) {
    this.#onError = onError
    this.#clock = clock
    this.#link = new PortLink(port, {
      ask: async (id, message, abandoned) => {
        const responder = this.#responders.get(id)
        if (responder === undefined) throw new CodedError('no_responder')
        return responder(message, abandoned)
      },
      openStream: (id, message, creditBytes, receiver) => {
        const open = this.#sources.get(id)
        if (open !== undefined) return open(message, creditBytes, receiver)
        receiver.end(new CodedError('no_responder'))
        return { grant() {}, cancel() {} }
      },
      frame: (frame) => this.#receive(frame),
      closed: () => {
        this.#isClosed = true
        this.#subscribers.clear()
        this.#responders.clear()
        this.#sources.clear()
      },
      lost: () => new CodedError('bus_closed'),
    })
  }

  publish(subject: string, message: Plain): void {
    checkSubject(subject)
    if (!this.#isClosed) this.#link.send({ type: 'publish', subject, message: plainCopy(message) })
  }

  subscribe(pattern: string, handler: Subscriber): Unsubscribe {
    checkPattern(pattern)
    return this.#register(this.#subscribers, handler, (id) => ({ type: 'subscribe', id, pattern }))
  }

  async request(
    subject: string,
    message: Plain,
    { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal },
  ): Promise<Plain> {
    checkSubject(subject)
    this.#refuseIfClosed()
    const copy = plainCopy(message)
    const limits = { subject, deadlineMs, signal, clock: this.#clock, closing: this.#requests }
    return withinLimits(limits, (abandoned) => this.#link.ask(subject, copy, abandoned))
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    checkSubject(subject)
    const ask = askOf(handler, subject, this.#onError)
    return this.#register(this.#responders, ask, (id) => ({ type: 'respond', id, subject }))
  }

  async *stream(
    subject: string,
    message: Plain,
    { creditBytes, signal }: { creditBytes: number; signal: AbortSignal },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    checkSubject(subject)
    checkCredit(creditBytes)
    this.#refuseIfClosed()
    const copy = plainCopy(message)
    yield* readStream((receiver) => this.#link.openStream(subject, copy, creditBytes, receiver), signal, this.#streams)
  }

  serveStream(subject: string, handler: (message: Plain, sink: StreamSink) => void): Unsubscribe {
    checkSubject(subject)
    const open = openStreamOf(handler, subject, this.#onError)
    return this.#register(this.#sources, open, (id) => ({ type: 'serveStream', id, subject }))
  }

  /**
   * Waits until the hub has heard what was subscribed and served here, and delivered what was published.
   * @throws CodedError bus_closed
   */
  async flush(): Promise<void> {
    this.#refuseIfClosed()
    await this.#flush()
  }

  /** What was published before is still delivered; requests are rejected, streams end. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#isClosed = true
    for (const giveUp of [...this.#requests]) giveUp(new CodedError('bus_closed'))
    for (const stop of [...this.#streams]) stop()
    await this.#flush().catch(() => {}) // a hub that is gone has nothing left to deliver
    await this.#link.close()
  }

  async #flush(): Promise<void> {
    await this.#link.ask(flushSubject, null, new AbortController().signal)
  }

  #register<T>(registry: Map<string, T>, entry: T, frame: (id: string) => RegistrationFrame): Unsubscribe {
    if (this.#isClosed) return () => {}
    this.#lastRegistration += 1
    const id = String(this.#lastRegistration)
    registry.set(id, entry)
    this.#link.send(frame(id))
    return () => {
      if (registry.delete(id)) this.#link.send({ type: 'unregister', id })
    }
  }

  #receive(frame: RegistrationFrame): void {
    if (frame.type !== 'event') return
    const subscriber = this.#subscribers.get(frame.id)
    if (subscriber === undefined) return
    callSubscriber(subscriber, plainCopy(frame.message), frame.subject, this.#onError)
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw new CodedError('bus_closed')
  }
}
