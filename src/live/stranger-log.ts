import type { Log } from '../log.ts'
import { TokenBucket } from '../rtmp/token-bucket.ts'

/** An operator wants to see scanners and mistyped keys; a flood of connections must not fill the disk with them. */
const lineRate = { perSecond: 2, burst: 100 }

/** The lines of the log that strangers cause, so many of them. How many were left out is told with the next one that is not. */
export class StrangerLog {
  readonly #lines: TokenBucket
  #leftOut = 0

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#lines = new TokenBucket(lineRate, now)
  }

  write(log: Log, level: 'info' | 'warn', fields: Readonly<Record<string, unknown>>, sentence: string): void {
    if (!this.#lines.take()) {
      this.#leftOut++
      return
    }
    log[level]({ ...fields, ...(this.#leftOut > 0 && { leftOut: this.#leftOut }) }, sentence)
    this.#leftOut = 0
  }
}
