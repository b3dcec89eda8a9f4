import type { Cancel, Clock } from '../../src/clock.ts'

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000
  readonly #alarms = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(durationMs: number, callback: () => void): Cancel {
    const alarm = { atMs: this.#nowMs + durationMs, callback }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }

  /** How many callbacks wait. */
  get alarms(): number {
    return this.#alarms.size
  }

  advance(durationMs: number): void {
    this.#nowMs += durationMs
    for (const alarm of [...this.#alarms].sort((a, b) => a.atMs - b.atMs)) {
      if (alarm.atMs <= this.#nowMs && this.#alarms.delete(alarm)) alarm.callback()
    }
  }
}
