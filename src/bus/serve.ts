import { CodedError } from '../errors.ts'
import type { Plain, StreamSink } from './bus.ts'
import { CreditSink, type OpenStream } from './credit-stream.ts'
import { fromWireError, plainCopy, toWireError } from './plain.ts'

/** How each bus calls what others gave it: nothing they throw gets past these. */
export type OnError = (error: unknown, subject: string) => void

export type Subscriber = (message: Plain, subject: string) => void
export type Responder = (message: Plain, signal: AbortSignal) => Promise<Plain> | Plain
/** A responder whose answers and errors are already what crosses a bus. */
export type Ask = (message: Plain, signal: AbortSignal) => Promise<Plain>

export function callSubscriber(subscriber: Subscriber, message: Plain, subject: string, onError: OnError): void {
  try {
    const result: unknown = subscriber(message, subject)
    // An async function is a subscriber too, as far as the types go.
    if (result instanceof Promise) result.catch((error: unknown) => onError(error, subject))
  } catch (error) {
    onError(error, subject)
  }
}

/** An error without a code of ours is a mistake in the responder: it is reported here, where its stack is. */
export function askOf(responder: Responder, subject: string, onError: OnError): Ask {
  return async (message, signal) => {
    try {
      return plainCopy(await responder(message, signal))
    } catch (error) {
      if (!(error instanceof CodedError) && !signal.aborted) onError(error, subject)
      throw fromWireError(toWireError(error))
    }
  }
}

export function openStreamOf(
  source: (message: Plain, sink: StreamSink) => void,
  subject: string,
  onError: OnError,
): OpenStream {
  return (message, creditBytes, receiver) => {
    const sink = new CreditSink(creditBytes, {
      bytes: (bytes) => receiver.bytes(bytes),
      end: (error) => receiver.end(error === undefined ? undefined : fromWireError(toWireError(error))),
    })
    const run = (step: () => void) => {
      try {
        step()
      } catch (error) {
        onError(error, subject)
        sink.end(error instanceof Error ? error : new Error(String(error)))
      }
    }
    run(() => source(message, sink))
    return { grant: (bytes) => run(() => sink.grant(bytes)), cancel: () => run(() => sink.cancel()) }
  }
}
