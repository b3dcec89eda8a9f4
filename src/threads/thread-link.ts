import type { Transferable } from 'node:worker_threads'
import { CodedError, type ErrorCode } from '../errors.ts'

/** Either end of two threads: a Worker, or the parent port of one. */
type End = {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void
  on(event: 'message', listener: (message: unknown) => void): unknown
}

/** What one end answers and hears: name → what is given, and what is given back (`undefined` where nothing is awaited). */
export type Calls = { readonly [name: string]: (given: never) => unknown }
type Given<C extends Calls, Name extends keyof C> = Parameters<C[Name]>[0]
type Answer<C extends Calls, Name extends keyof C> = Awaited<ReturnType<C[Name]>>

type Frame =
  | { readonly type: 'tell'; readonly name: string; readonly given: unknown }
  | { readonly type: 'ask'; readonly id: number; readonly name: string; readonly given: unknown }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failure'; readonly id: number; readonly failure: Failure }

/** An error on its way: one of ours keeps its code, one of the system too (EADDRINUSE, …). */
type Failure = { readonly isOurs: boolean; readonly code: string | undefined; readonly message: string }

/**
 * Calls between two threads, in their order: `tell` waits for nothing, `ask` for an answer or an error, which keeps its code. Given and
 * answer are what structured clone takes. An answer may have ports to hand over: see `withTransfer`.
 */
export class ThreadLink<Theirs extends Calls, Ours extends Calls> {
  readonly #end: End
  readonly #ours: Ours
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #lastId = 0
  #isCut = false

  constructor(end: End, ours: Ours) {
    this.#end = end
    this.#ours = ours
    end.on('message', (frame) => this.#receive(frame as Frame))
  }

  tell<Name extends keyof Theirs & string>(
    name: Name,
    given: Given<Theirs, Name>,
    transfer?: readonly Transferable[],
  ): void {
    if (!this.#isCut) this.#post({ type: 'tell', name, given }, transfer)
  }

  /** @throws CodedError that the other end threw; no_responder when its thread has ended. */
  ask<Name extends keyof Theirs & string>(name: Name, given: Given<Theirs, Name>): Promise<Answer<Theirs, Name>> {
    return new Promise((resolve, reject) => {
      if (this.#isCut) {
        reject(threadEnded())
        return
      }
      const id = ++this.#lastId
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#post({ type: 'ask', id, name, given })
    })
  }

  /** The other thread has ended: nobody answers any more. */
  cut(): void {
    this.#isCut = true
    for (const { reject } of this.#waiting.values()) reject(threadEnded())
    this.#waiting.clear()
  }

  #post(frame: Frame, transfer: readonly Transferable[] = []): void {
    this.#end.postMessage(frame, transfer)
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case 'tell':
        this.#call(frame.name, frame.given)
        return
      case 'ask':
        void this.#answer(frame.id, frame.name, frame.given)
        return
      case 'answer':
        this.#settle(frame.id)?.resolve(frame.value)
        return
      case 'failure':
        this.#settle(frame.id)?.reject(errorOf(frame.failure))
        return
      default:
        frame satisfies never
    }
  }

  #call(name: string, given: unknown): unknown {
    const call = this.#ours[name] as ((given: unknown) => unknown) | undefined
    if (call === undefined) throw new Error(`no thread of ours knows the call ${name}`)
    return call(given)
  }

  async #answer(id: number, name: string, given: unknown): Promise<void> {
    try {
      const value = await this.#call(name, given)
      const transfer = value instanceof WithTransfer ? value.transfer : []
      this.#post({ type: 'answer', id, value: value instanceof WithTransfer ? value.value : value }, transfer)
    } catch (error) {
      this.#post({ type: 'failure', id, failure: failureOf(error) })
    }
  }

  #settle(id: number) {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }
}

/** An answer that hands something over instead of copying it. */
class WithTransfer<T> {
  readonly value: T
  readonly transfer: readonly Transferable[]

  constructor(value: T, transfer: readonly Transferable[]) {
    this.value = value
    this.transfer = transfer
  }
}

/** @returns for the type checker the answer itself: the link takes the wrapping off. */
export function withTransfer<T>(value: T, transfer: readonly Transferable[]): T {
  return new WithTransfer(value, transfer) as unknown as T
}

function failureOf(error: unknown): Failure {
  const { code, message } = error as { code?: unknown; message?: string }
  return {
    isOurs: error instanceof CodedError,
    code: typeof code === 'string' ? code : undefined,
    message: message ?? String(error),
  }
}

function errorOf({ isOurs, code, message }: Failure): Error {
  if (isOurs) return new CodedError(code as ErrorCode, message)
  return Object.assign(new Error(message), code !== undefined && { code })
}

function threadEnded(): CodedError {
  return new CodedError('no_responder', 'The thread that was to answer has ended.')
}
