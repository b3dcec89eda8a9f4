import type { Clock } from '../clock.ts'
import { CodedError } from '../errors.ts'

export type RequestLimits = {
  readonly subject: string
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
  readonly clock: Clock
  /** Called with the error when the bus closes. */
  readonly closing: Set<(error: Error) => void>
}

/**
 * Runs a request until it is answered or given up: at its deadline, when the caller's signal aborts, or when the bus closes.
 * @param run gets a signal that aborts when the request is given up, and only then
 */
export function withinLimits<T>(limits: RequestLimits, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { subject, deadlineMs, signal, clock, closing } = limits
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted()
    const abandonment = new AbortController()
    const giveUp = (reason: unknown) => {
      release()
      reject(reason)
      abandonment.abort(reason)
    }
    const onAbort = () => giveUp(signal?.reason)
    const cancelDeadline = clock.after(deadlineMs, () =>
      giveUp(new CodedError('request_timeout', `The request ${subject} was not answered within ${deadlineMs} ms.`)),
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    closing.add(giveUp)
    const release = () => {
      cancelDeadline()
      signal?.removeEventListener('abort', onAbort)
      closing.delete(giveUp)
    }
    run(abandonment.signal).then(
      (answer) => {
        release()
        resolve(answer)
      },
      (error) => {
        release()
        reject(error)
      },
    )
  })
}
