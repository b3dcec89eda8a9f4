/** Time, passed in wherever something waits or dates something, so that a test can move it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes backward. */
  monotonicMs(): number
  /** Calls once after so many milliseconds, unless cancelled. Does not keep the program alive. */
  after(durationMs: number, callback: () => void): Cancel
}

export type Cancel = () => void

/** The longest that a timer of Node can wait; at a longer time it fires at once. What fires too early looks again, and waits again. */
const timerMsMax = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(durationMs, callback) {
    const timer = setTimeout(callback, Math.min(durationMs, timerMsMax))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Resolves after so many milliseconds. @throws the signal's reason when it aborts first. */
export function sleep(clock: Clock, durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason)
      return
    }
    const onAbort = () => {
      cancel()
      reject(signal.reason)
    }
    const cancel = clock.after(durationMs, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
