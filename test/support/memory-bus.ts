import type { Bus, Plain, Unsubscribe } from '../../src/bus/bus.ts'
import { CodedError } from '../../src/errors.ts'

/** Publish and subscribe of the bus's contract, for unit tests of rooms that only listen. Nobody answers requests here. */
export class MemoryBus implements Bus {
  readonly #subscribers = new Set<{ pattern: string[]; handler: (message: Plain, subject: string) => void }>()

  publish(subject: string, message: Plain): void {
    const copy = structuredClone(message)
    const tokens = subject.split('.')
    for (const subscriber of this.#subscribers)
      if (matches(subscriber.pattern, tokens))
        queueMicrotask(() => {
          if (this.#subscribers.has(subscriber)) subscriber.handler(copy, subject)
        })
  }

  subscribe(pattern: string, handler: (message: Plain, subject: string) => void): Unsubscribe {
    const subscriber = { pattern: pattern.split('.'), handler }
    this.#subscribers.add(subscriber)
    return () => this.#subscribers.delete(subscriber)
  }

  get subscriberCount(): number {
    return this.#subscribers.size
  }

  async request(): Promise<Plain> {
    throw new CodedError('no_responder')
  }

  respond(): Unsubscribe {
    return () => {}
  }

  // biome-ignore lint/correctness/useYield: nobody serves streams here
  async *stream(): AsyncIterable<Uint8Array> {
    throw new CodedError('no_responder')
  }

  serveStream(): Unsubscribe {
    return () => {}
  }

  async close(): Promise<void> {
    this.#subscribers.clear()
  }
}

function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  if (pattern.at(-1) === '>')
    return subject.length >= pattern.length && matches(pattern.slice(0, -1), subject.slice(0, pattern.length - 1))
  return pattern.length === subject.length && pattern.every((token, index) => token === '*' || token === subject[index])
}
