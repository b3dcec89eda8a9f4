import type { Plain, StreamSink } from './bus.ts'

/**
 * A byte stream between any two places, as two small halves: the source's end gives bytes to a receiver, and is told of credit
 * (what the consumer has consumed) and of its going through a control. A hub only hands both on, so that the credit counts from
 * the consumer to the source, however many threads are between them.
 */
export type StreamReceiver = {
  bytes(bytes: Uint8Array<ArrayBuffer>): void
  end(error?: Error): void
}
export type StreamControl = { grant(bytes: number): void; cancel(): void }
export type OpenStream = (message: Plain, creditBytes: number, receiver: StreamReceiver) => StreamControl

/** @throws RangeError */
export function checkCredit(creditBytes: number): void {
  if (!Number.isSafeInteger(creditBytes) || creditBytes < 1)
    throw new RangeError('creditBytes must be a positive integer')
}

/** The source's end. Bytes beyond the credit of the write that used it up wait here; further writes are refused. */
export class CreditSink implements StreamSink {
  onDrain: (() => void) | undefined
  readonly #abort = new AbortController()
  readonly #receiver: StreamReceiver
  #creditBytes: number
  #held: Uint8Array<ArrayBuffer> | undefined
  #ending: { readonly error: Error | undefined } | undefined
  #isBlocked = false

  constructor(creditBytes: number, receiver: StreamReceiver) {
    this.#creditBytes = creditBytes
    this.#receiver = receiver
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /**
   * The bytes are copied: a source may use its buffer again at once.
   * @throws RangeError for a source that did not wait for `onDrain`.
   */
  write(bytes: Uint8Array): boolean {
    if (this.#ending !== undefined || this.signal.aborted) return false
    if (this.#isBlocked) throw new RangeError('the credit of the stream is used up: wait for onDrain')
    if (bytes.length > 0) this.#send(new Uint8Array(bytes))
    this.#isBlocked = this.#creditBytes === 0
    return !this.#isBlocked
  }

  end(error?: Error): void {
    if (this.#ending !== undefined || this.signal.aborted) return
    this.#ending = { error }
    if (this.#held === undefined) this.#receiver.end(error)
  }

  /** The consumer has consumed so many bytes. */
  grant(bytes: number): void {
    if (this.signal.aborted) return
    this.#creditBytes += bytes
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#send(held)
    if (this.#held !== undefined) return
    if (this.#ending !== undefined) {
      if (held !== undefined) this.#receiver.end(this.#ending.error)
      return
    }
    if (!this.#isBlocked || this.#creditBytes === 0) return
    this.#isBlocked = false
    this.onDrain?.()
  }

  /** The consumer has gone. After an orderly end there is nothing left to abort. */
  cancel(): void {
    if (this.#ending !== undefined && this.#held === undefined) return
    this.#held = undefined
    this.#abort.abort()
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    const sent = bytes.length <= this.#creditBytes ? bytes : bytes.slice(0, this.#creditBytes)
    this.#creditBytes -= sent.length
    if (sent.length < bytes.length) this.#held = bytes.slice(sent.length)
    if (sent.length > 0) this.#receiver.bytes(sent)
  }
}

/** The consumer's end: what has arrived and waits to be read, at most the credit. Owned by one iteration. */
export class StreamFeed implements StreamReceiver {
  #waiting: Uint8Array<ArrayBuffer>[] = []
  #ending: { readonly error: Error | undefined } | undefined
  #wake: (() => void) | undefined

  bytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#ending !== undefined) return
    this.#waiting.push(bytes)
    this.#wake?.()
  }

  /** Told when all that has arrived is read. */
  end(error?: Error): void {
    this.#ending ??= { error }
    this.#wake?.()
  }

  /** Ends at once and in peace; what has arrived is let go. */
  stop(): void {
    this.#ending = { error: undefined }
    this.#waiting = []
    this.#wake?.()
  }

  /** @param onConsumed the consumer has come back for more, so it is done with so many bytes */
  async *read(onConsumed: (bytes: number) => void): AsyncGenerator<Uint8Array, void, undefined> {
    while (true) {
      const bytes = this.#waiting.shift()
      if (bytes !== undefined) {
        yield bytes
        onConsumed(bytes.length)
      } else if (this.#ending !== undefined) {
        if (this.#ending.error !== undefined) throw this.#ending.error
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    }
  }
}

/** Reads a stream that `open` begins, until its source ends it, the signal aborts, or `closing` tells its stop. */
export async function* readStream(
  open: (receiver: StreamReceiver) => StreamControl,
  signal: AbortSignal,
  closing: Set<() => void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (signal.aborted) return
  const feed = new StreamFeed()
  const stop = () => feed.stop()
  closing.add(stop)
  signal.addEventListener('abort', stop, { once: true })
  try {
    const control = open(feed)
    try {
      yield* feed.read((bytes) => control.grant(bytes))
    } finally {
      control.cancel()
    }
  } finally {
    closing.delete(stop)
    signal.removeEventListener('abort', stop)
  }
}
