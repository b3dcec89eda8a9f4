/**
 * The contract of the bus: what just happened, and questions to whoever can answer them. Nothing here is durable.
 * All messages are plain data (what structured clone copies and JSON can say, and Uint8Array in streams), so that the same
 * code works in one process, between threads and between machines.
 *
 * Subjects are tokens of `[A-Za-z0-9_-]` joined by dots. A pattern may have `*` for one token and end in `>` for one or more.
 */
export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [name: string]: Plain | undefined }

export type Unsubscribe = () => void

export interface Bus {
  /** Tells all subscribers. Never waits, never throws for what a subscriber does. */
  publish(subject: string, message: Plain): void
  /** Handlers are called later than the publish, in its order, never inside it. */
  subscribe(pattern: string, handler: (message: Plain, subject: string) => void): Unsubscribe
  /**
   * Asks the one responder of a subject.
   * @throws CodedError no_responder, request_timeout, bus_closed; an error that the responder threw arrives with its code and message.
   */
  request(subject: string, message: Plain, options: { deadlineMs: number; signal?: AbortSignal }): Promise<Plain>
  /** Answers the requests of a subject (no wildcards). One responder for each subject: a later one takes over. */
  respond(subject: string, handler: (message: Plain, signal: AbortSignal) => Promise<Plain> | Plain): Unsubscribe
  /**
   * Opens a byte stream from the responder of `subject`; credit-based: the source sends no more than `creditBytes` beyond what
   * was consumed, so that a slow consumer never makes it grow. Ends with the source, an abort, or close().
   */
  stream(
    subject: string,
    message: Plain,
    options: { creditBytes: number; signal: AbortSignal },
  ): AsyncIterable<Uint8Array>
  /** Serves the streams of a subject. The handler writes with `sink.write`, which says false when the credit is used up. */
  serveStream(subject: string, handler: (message: Plain, sink: StreamSink) => void): Unsubscribe
  close(): Promise<void>
}

export interface StreamSink {
  /** Aborted when the consumer has gone. */
  readonly signal: AbortSignal
  /** @returns false when no credit is left: the bytes were taken, but wait for `onDrain` before the next. */
  write(bytes: Uint8Array): boolean
  onDrain: (() => void) | undefined
  end(error?: Error): void
}
