import type { Clock } from '../clock.ts'

/** The storage answers in milliseconds. A person whose request hangs for longer than this learns more from an error. */
export const storeDeadlineMs = 10_000

export class DeadlinePassed extends Error {
  constructor() {
    super('the deadline has passed')
    this.name = 'DeadlinePassed'
  }
}

/** One deadline over all the waits of one operation. Dispose of it when the operation is over. */
export class Deadline implements Disposable {
  readonly #cancel: () => void
  readonly #passed: Promise<never>
  isPassed = false

  constructor(clock: Clock, durationMs: number) {
    const { promise, reject } = Promise.withResolvers<never>()
    this.#passed = promise
    promise.catch(() => {})
    this.#cancel = clock.after(durationMs, () => {
      this.isPassed = true
      reject(new DeadlinePassed())
    })
  }

  /** @throws DeadlinePassed when the promise is not settled in time. What it does goes on; nobody waits for it any more. */
  race<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#passed])
  }

  [Symbol.dispose](): void {
    this.#cancel()
  }
}
