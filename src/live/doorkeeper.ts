/**
 * Counts the connections that have not published yet: each may hold some hundred kilobytes, and one address must not keep the door shut
 * for all others.
 */
export class Doorkeeper {
  readonly #max: number
  readonly #perAddressMax: number
  readonly #ofAddress = new Map<string, number>()
  #count = 0

  constructor(limits: { readonly max: number; readonly perAddressMax: number }) {
    this.#max = limits.max
    this.#perAddressMax = limits.perAddressMax
  }

  /** @returns what gives the place back (calling it again does nothing), or undefined when there is none. */
  enter(address: string): (() => void) | undefined {
    const here = this.#ofAddress.get(address) ?? 0
    if (this.#count >= this.#max || here >= this.#perAddressMax) return undefined
    this.#count++
    this.#ofAddress.set(address, here + 1)
    let isInside = true
    return () => {
      if (!isInside) return
      isInside = false
      this.#count--
      const left = this.#ofAddress.get(address)! - 1
      if (left === 0) this.#ofAddress.delete(address)
      else this.#ofAddress.set(address, left)
    }
  }
}
