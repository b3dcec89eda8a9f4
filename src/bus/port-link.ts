import type { MessagePort } from 'node:worker_threads'
import type { Plain } from './bus.ts'
import type { StreamControl, StreamReceiver } from './credit-stream.ts'
import { fromWireError, plainCopy, toWireError, type WireError } from './plain.ts'

/** What a remote bus asks of the hub. `id` is the registration's, chosen by the remote bus. */
export type RegistrationFrame =
  | { readonly type: 'publish'; readonly subject: string; readonly message: Plain }
  | { readonly type: 'subscribe'; readonly id: string; readonly pattern: string }
  | { readonly type: 'respond'; readonly id: string; readonly subject: string }
  | { readonly type: 'serveStream'; readonly id: string; readonly subject: string }
  | { readonly type: 'unregister'; readonly id: string }
  /** From the hub: what a subscription is told. */
  | { readonly type: 'event'; readonly id: string; readonly subject: string; readonly message: Plain }

/**
 * Requests and streams, which go either way. `to` is a subject towards the hub, the id of a registration from it; `call` is chosen
 * by the side that asks or consumes.
 */
type CallFrame =
  | { readonly type: 'ask'; readonly call: number; readonly to: string; readonly message: Plain }
  | { readonly type: 'answer'; readonly call: number; readonly message: Plain }
  | { readonly type: 'refuse'; readonly call: number; readonly error: WireError }
  | { readonly type: 'abandon'; readonly call: number }
  | {
      readonly type: 'open'
      readonly call: number
      readonly to: string
      readonly message: Plain
      readonly creditBytes: number
    }
  | { readonly type: 'grant'; readonly call: number; readonly bytes: number }
  | { readonly type: 'cancel'; readonly call: number }
  | { readonly type: 'bytes'; readonly call: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end'; readonly call: number; readonly error: WireError | undefined }

type Frame = RegistrationFrame | CallFrame

/** What this end of a link serves to the other. */
export type LinkSide = {
  ask(to: string, message: Plain, abandoned: AbortSignal): Promise<Plain>
  openStream(to: string, message: Plain, creditBytes: number, receiver: StreamReceiver): StreamControl
  frame(frame: RegistrationFrame): void
  /** The port has closed, from either end. */
  closed(): void
  /** What the calls that are under way end with then. */
  lost(): Error
}

/** One end of a MessagePort that carries a bus. Owns the port. */
export class PortLink {
  readonly #port: MessagePort
  readonly #side: LinkSide
  readonly #asked = new Map<number, { resolve(message: Plain): void; reject(error: unknown): void }>()
  readonly #answering = new Map<number, AbortController>()
  readonly #receiving = new Map<number, StreamReceiver>()
  readonly #sending = new Map<number, StreamControl>()
  readonly #ended: Promise<void>
  #lastCall = 0
  #isClosed = false

  constructor(port: MessagePort, side: LinkSide) {
    this.#port = port
    this.#side = side
    port.on('message', (frame: Frame) => this.#receive(frame))
    this.#ended = new Promise((resolve) => {
      port.once('close', () => {
        this.#closed()
        resolve()
      })
    })
  }

  send(frame: RegistrationFrame): void {
    this.#post(frame)
  }

  ask(to: string, message: Plain, abandoned: AbortSignal): Promise<Plain> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw this.#side.lost()
      abandoned.throwIfAborted()
      const call = this.#nextCall()
      const onAbort = () => {
        this.#asked.delete(call)
        this.#post({ type: 'abandon', call })
        reject(abandoned.reason)
      }
      abandoned.addEventListener('abort', onAbort, { once: true })
      const release = () => abandoned.removeEventListener('abort', onAbort)
      this.#asked.set(call, {
        resolve(message) {
          release()
          resolve(message)
        },
        reject(error) {
          release()
          reject(error)
        },
      })
      this.#post({ type: 'ask', call, to, message })
    })
  }

  openStream(to: string, message: Plain, creditBytes: number, receiver: StreamReceiver): StreamControl {
    if (this.#isClosed) {
      receiver.end(this.#side.lost())
      return { grant() {}, cancel() {} }
    }
    const call = this.#nextCall()
    this.#receiving.set(call, receiver)
    this.#post({ type: 'open', call, to, message, creditBytes })
    return {
      grant: (bytes) => {
        if (this.#receiving.has(call)) this.#post({ type: 'grant', call, bytes })
      },
      cancel: () => {
        if (this.#receiving.delete(call)) this.#post({ type: 'cancel', call })
      },
    }
  }

  /** What was sent before still arrives. */
  async close(): Promise<void> {
    this.#port.close()
    await this.#ended
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case 'ask':
        void this.#answer(frame.call, frame.to, plainCopy(frame.message))
        return
      case 'answer':
        this.#take(this.#asked, frame.call)?.resolve(plainCopy(frame.message))
        return
      case 'refuse':
        this.#take(this.#asked, frame.call)?.reject(fromWireError(frame.error))
        return
      case 'abandon':
        this.#answering.get(frame.call)?.abort()
        return
      case 'open':
        this.#serve(frame.call, frame.to, plainCopy(frame.message), frame.creditBytes)
        return
      case 'grant':
        this.#sending.get(frame.call)?.grant(frame.bytes)
        return
      case 'cancel':
        this.#take(this.#sending, frame.call)?.cancel()
        return
      case 'bytes':
        this.#receiving.get(frame.call)?.bytes(frame.bytes)
        return
      case 'end':
        this.#take(this.#receiving, frame.call)?.end(frame.error === undefined ? undefined : fromWireError(frame.error))
        return
      default:
        this.#side.frame(frame)
    }
  }

  async #answer(call: number, to: string, message: Plain): Promise<void> {
    const abandonment = new AbortController()
    this.#answering.set(call, abandonment)
    // An abandoned call is forgotten at once; its answer, if one comes, has nowhere to go.
    abandonment.signal.addEventListener('abort', () => this.#answering.delete(call), { once: true })
    try {
      const answer = await this.#side.ask(to, message, abandonment.signal)
      if (this.#answering.delete(call)) this.#post({ type: 'answer', call, message: answer })
    } catch (error) {
      if (this.#answering.delete(call)) this.#post({ type: 'refuse', call, error: toWireError(error) })
    }
  }

  #serve(call: number, to: string, message: Plain, creditBytes: number): void {
    let isOver = false
    const control = this.#side.openStream(to, message, creditBytes, {
      // Each piece has a buffer of its own (CreditSink copies), so it can move instead of being copied again.
      bytes: (bytes) => this.#post({ type: 'bytes', call, bytes }, [bytes.buffer]),
      end: (error) => {
        isOver = true
        this.#sending.delete(call)
        this.#post({ type: 'end', call, error: error === undefined ? undefined : toWireError(error) })
      },
    })
    if (!isOver) this.#sending.set(call, control)
  }

  #closed(): void {
    this.#isClosed = true
    for (const abandonment of [...this.#answering.values()]) abandonment.abort()
    for (const control of [...this.#sending.values()]) control.cancel()
    for (const { reject } of [...this.#asked.values()]) reject(this.#side.lost())
    for (const receiver of [...this.#receiving.values()]) receiver.end(this.#side.lost())
    for (const calls of [this.#sending, this.#asked, this.#receiving]) calls.clear()
    this.#side.closed()
  }

  #take<T>(calls: Map<number, T>, call: number): T | undefined {
    const entry = calls.get(call)
    calls.delete(call)
    return entry
  }

  #nextCall(): number {
    this.#lastCall += 1
    return this.#lastCall
  }

  /** To a port that has closed this does nothing. */
  #post(frame: Frame, transferred: readonly ArrayBuffer[] = []): void {
    this.#port.postMessage(frame, transferred)
  }
}
