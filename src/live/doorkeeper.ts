import ipaddr from 'ipaddr.js'

export type DoorLimits = {
  /** Connections that have not published yet, from everywhere. */
  readonly max: number
  /** And from one network: see networkOf. */
  readonly perNetworkMax: number
}

/** Each may hold 256 KiB of what it has begun to say; a studio behind one address has some dozen encoders. */
export const unpublishedLimits: DoorLimits = { max: 1_000, perNetworkMax: 200 }

/** The part of one of several threads, among which the system deals connections out evenly. */
export function shareOf(limits: DoorLimits, threads: number): DoorLimits {
  return { max: Math.ceil(limits.max / threads), perNetworkMax: Math.ceil(limits.perNetworkMax / threads) }
}

/** Who comes from where: an IPv4 address, or the first 64 bits of an IPv6 address, of which a customer has 2^64 and more. */
export function networkOf(address: string): string {
  // Also ::ffff:192.0.2.1, which is how a socket that listens on both families calls it.
  if (address.includes('.')) return address.slice(address.lastIndexOf(':') + 1)
  try {
    const { parts } = ipaddr.IPv6.parse(address.replace(/%.*$/, ''))
    return `${parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(':')}::/64`
  } catch {
    // A socket that is closed already has no address.
    return address
  }
}

export type Place = {
  /** Gives it back. Calling it again does nothing. */
  leave(): void
  /** Whoever has it has been refused: it is the first to go when room is needed. */
  demote(): void
}

type Guest = { readonly network: string; readonly evict: () => void }

/** Of one network, oldest first. */
type Guests = { readonly hopeful: Set<Guest>; readonly refused: Set<Guest> }

/**
 * Counts the connections that have not published yet, and keeps them bounded without ever shutting the door: where there is no room, the
 * oldest one has to go, of the same network when that has its share, else of the network that has most. An encoder publishes within a second; who
 * fills the door with connections that say nothing loses them one by one, and an encoder behind the same address comes in all the same.
 */
export class Doorkeeper {
  readonly #limits: DoorLimits
  readonly #networks = new Map<string, Guests>()
  #count = 0

  constructor(limits: DoorLimits) {
    this.#limits = limits
  }

  get count(): number {
    return this.#count
  }

  /** @param evict closes the connection, at once; its place has been given back by then. */
  enter(address: string, evict: () => void): Place {
    const network = networkOf(address)
    const present = this.#networks.get(network)
    if (present !== undefined && sizeOf(present) >= this.#limits.perNetworkMax) this.#evictOldest(present)
    else if (this.#count >= this.#limits.max) this.#evictOldest(this.#busiest())
    // Only now: the last one of this very network may have gone.
    const guests = this.#networks.get(network) ?? { hopeful: new Set(), refused: new Set() }
    this.#networks.set(network, guests)
    const guest = { network, evict }
    guests.hopeful.add(guest)
    this.#count++
    return {
      leave: () => this.#remove(guest),
      demote: () => {
        if (guests.hopeful.delete(guest)) guests.refused.add(guest)
      },
    }
  }

  #evictOldest(guests: Guests): void {
    const [oldest] = guests.refused.size > 0 ? guests.refused : guests.hopeful
    if (oldest === undefined) return
    this.#remove(oldest)
    oldest.evict()
  }

  #busiest(): Guests {
    let busiest: Guests = { hopeful: new Set(), refused: new Set() }
    for (const guests of this.#networks.values()) if (sizeOf(guests) > sizeOf(busiest)) busiest = guests
    return busiest
  }

  #remove(guest: Guest): void {
    const guests = this.#networks.get(guest.network)
    if (guests === undefined || !(guests.hopeful.delete(guest) || guests.refused.delete(guest))) return
    this.#count--
    if (sizeOf(guests) === 0) this.#networks.delete(guest.network)
  }
}

function sizeOf({ hopeful, refused }: Guests): number {
  return hopeful.size + refused.size
}
