import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Clock, sleep } from '../clock.ts'
import type { Resolve } from './look-up.ts'

/** PUBLIC_HOST is looked up again after so long: a server at home gets another address each night. */
const knownForMs = 60_000
/** An attempt waits no longer for it: a name server that is silent must not hold up the outputs. */
const waitMs = 1_000

/** The addresses of this machine's interfaces. */
export function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address))
}

/**
 * What this server itself is reached at: the addresses of its interfaces, and those of PUBLIC_HOST, which may be a NAT in front of it. For
 * AddressPolicy.
 */
export class OwnAddresses {
  readonly #publicHost: string
  readonly #resolve: Resolve
  readonly #clock: Clock
  #ofPublicHost: readonly string[]
  #askedAtMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(publicHost: string, parts: { readonly resolve: Resolve; readonly clock: Clock }) {
    this.#publicHost = publicHost
    this.#resolve = parts.resolve
    this.#clock = parts.clock
    this.#ofPublicHost = isIP(publicHost) === 0 ? [] : [publicHost]
  }

  /** As they are now, and PUBLIC_HOST's as they were looked up last. */
  now(): string[] {
    return [...interfaceAddresses(), ...this.#ofPublicHost]
  }

  /** Before a check: looks PUBLIC_HOST up when that was not done of late. Never rejects; what is not found stays as it was. */
  async refresh(): Promise<void> {
    if (isIP(this.#publicHost) !== 0 || this.#publicHost === 'localhost') return
    if (this.#asking === undefined) {
      if (this.#clock.monotonicMs() - this.#askedAtMs < knownForMs) return
      this.#askedAtMs = this.#clock.monotonicMs()
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
    }
    const done = new AbortController()
    const late = sleep(this.#clock, waitMs, done.signal).catch(() => {})
    await Promise.race([this.#asking, late])
    done.abort()
  }

  async #ask(): Promise<void> {
    try {
      const found = await this.#resolve(this.#publicHost, new AbortController().signal)
      this.#ofPublicHost = found.map(({ address }) => address)
    } catch {
      // A name that nobody has given out yet, or a name server that is down: nothing that an output could be told.
    }
  }
}
