import type { WatchEvent } from './store.ts'

/** What a watcher that reads slowly may leave waiting before it is told of a gap. */
export type WatchLimits = {
  /** Keys of which a change waits. */
  readonly keysMax: number
  /** Characters (UTF-16 units) in the values that wait. */
  readonly charactersMax: number
}

/** Room for every input and output of some hundred full inputs to change while a watcher is busy, in at most 64 MB. */
export const watchLimits: WatchLimits = { keysMax: 16_384, charactersMax: 32 * 1024 * 1024 }

export type Change = Extract<WatchEvent, { type: 'put' | 'delete' }>

/**
 * What waits for one watcher: the newest change of each key, in the order in which the keys first changed (a key that changes all
 * the time keeps its place, or it would never be told). Beyond the limits it forgets them all and tells `gap` in their stead.
 *
 * It is deaf until `begin`, and again after a gap. Owned by one call of `watch`.
 */
export class WatchFeed {
  readonly #prefix: string
  readonly #limits: WatchLimits
  readonly #pending = new Map<string, Change>()
  #characters = 0
  #state: 'deaf' | 'listening' | 'gap' | 'ended' = 'deaf'
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(prefix: string, limits: WatchLimits) {
    this.#prefix = prefix
    this.#limits = limits
  }

  get isListening(): boolean {
    return this.#state === 'listening'
  }

  get hasEnded(): boolean {
    return this.#state === 'ended'
  }

  /** From now on changes count: the watcher has the values of this moment. */
  begin(): void {
    if (this.#state !== 'ended') this.#state = 'listening'
  }

  offer(change: Change): void {
    if (this.#state !== 'listening' || !isUnder(keyOf(change), this.#prefix)) return
    const before = this.#pending.get(keyOf(change))
    this.#characters += charactersOf(change) - (before === undefined ? 0 : charactersOf(before))
    this.#pending.set(keyOf(change), change)
    if (this.#pending.size > this.#limits.keysMax || this.#characters > this.#limits.charactersMax) this.#leave('gap')
    this.#wake?.()
  }

  /** Changes may have been missed: the watcher is told of a gap. Deaf, it has been told of nothing yet. */
  miss(): void {
    if (this.#state !== 'listening') return
    this.#leave('gap')
    this.#wake?.()
  }

  /** @param error thrown to the watcher; without one its iteration just ends. */
  end(error?: Error): void {
    if (this.#state === 'ended') return
    this.#leave('ended')
    this.#error = error
    this.#wake?.()
  }

  /** Waits for the next change. Undefined at the end. */
  async next(): Promise<Change | 'gap' | undefined> {
    while (true) {
      if (this.#state === 'ended') {
        if (this.#error !== undefined) throw this.#error
        return undefined
      }
      if (this.#state === 'gap') {
        this.#state = 'deaf'
        return 'gap'
      }
      for (const [key, change] of this.#pending) {
        this.#pending.delete(key)
        this.#characters -= charactersOf(change)
        return change
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }

  #leave(state: 'gap' | 'ended'): void {
    this.#state = state
    this.#pending.clear()
    this.#characters = 0
  }
}

function keyOf(change: Change): string {
  return change.type === 'put' ? change.entry.key : change.key
}

function charactersOf(change: Change): number {
  return change.type === 'put' ? change.entry.value.length : 0
}

function isUnder(key: string, prefix: string): boolean {
  return prefix === '' || key === prefix || (key.startsWith(prefix) && key[prefix.length] === '.')
}
