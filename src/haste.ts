import type { Clock } from './clock.ts'

/** For so long after a request: it takes several turns of the event loop, and a person rarely asks for one thing alone. */
const hasteMs = 100

/** Whether somebody waits for an answer of this thread, so that the media that it may carry as well must not rest. Owned by the app. */
export class Haste {
  readonly #clock: Clock
  #untilMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly asked = (): void => {
    this.#untilMs = this.#clock.monotonicMs() + hasteMs
  }

  readonly isAwaited = (): boolean => this.#clock.monotonicMs() < this.#untilMs
}
