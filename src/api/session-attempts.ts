import ipaddr from 'ipaddr.js'
import type { Clock } from '../clock.ts'

/** Who mistypes a token, or pastes the wrong one, does not wait. */
const freeFailures = 5
/** A person can wait for so long; a program comes to 1,440 guesses a day. */
const delayMsMax = 60_000
/** So long without a failure, and all is forgotten. */
const forgottenMs = 3_600_000
/** Addresses that are remembered; who has failed longest ago is forgotten first. */
const addressesMax = 10_000

type Failures = { count: number; atMs: number; waitUntilMs: number }

/**
 * How long an address must wait after attempts to sign in that failed: nothing at first, then one second, doubled each time, one minute
 * at the most. IPv6 by /64, which one person has whole.
 */
export class SignInAttempts {
  readonly #clock: Clock
  readonly #failures = new Map<string, Failures>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns 0 when the address may try now. */
  waitMs(address: string): number {
    const known = this.#failures.get(networkOf(address))
    return Math.max(0, (known?.waitUntilMs ?? 0) - this.#clock.monotonicMs())
  }

  failed(address: string): void {
    const network = networkOf(address)
    const now = this.#clock.monotonicMs()
    const known = this.#failures.get(network)
    const count = known === undefined || now - known.atMs >= forgottenMs ? 1 : known.count + 1
    const delayMs = count < freeFailures ? 0 : Math.min(delayMsMax, 1_000 * 2 ** (count - freeFailures))
    this.#failures.delete(network)
    this.#failures.set(network, { count, atMs: now, waitUntilMs: now + delayMs })
    if (this.#failures.size > addressesMax) this.#failures.delete(this.#failures.keys().next().value!)
  }

  succeeded(address: string): void {
    this.#failures.delete(networkOf(address))
  }
}

function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const read = ipaddr.process(address)
  if (read.kind() === 'ipv4') return read.toString()
  return `${read.toByteArray().slice(0, 8).join('.')}/64`
}
