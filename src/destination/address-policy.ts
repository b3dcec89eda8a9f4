import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
/** Network and length of its prefix in bits. */
export type Cidr = readonly [Address, number]

/**
 * A range such as 10.0.0.0/8 or fd00::/8; a bare address is a range of one. Bits after the prefix are not looked at.
 * @throws RangeError with a sentence for the person who wrote it.
 */
export function parseCidr(text: string): Cidr {
  const parts = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text.trim())
  // isIP first: ipaddr.js also takes octal and shortened spellings, which nobody means in a CIDR.
  const version = parts === null ? 0 : isIP(parts[1]!)
  const bitsMax = version === 6 ? 128 : 32
  const bits = parts?.[2] === undefined ? bitsMax : Number(parts[2])
  if (parts === null || version === 0 || parts[1]!.includes('%') || bits > bitsMax)
    throw new RangeError(`"${text}" is not an address range. Write one such as 192.168.0.0/16 or fd00::/8.`)
  const network = ipaddr.parse(inHex(parts[1]!))
  if (network instanceof ipaddr.IPv6 && network.isIPv4MappedAddress() && bits >= 96)
    return [network.toIPv4Address(), bits - 96]
  return [network, bits]
}

/** What this server itself is reached at. */
type Own = { now(): readonly string[]; refresh(): Promise<void> }

export type Verdict =
  | { readonly allowed: true }
  /** `reason` is a noun phrase: "a loopback address". */
  | { readonly allowed: false; readonly reason: string }

/** What a range of ipaddr.js is called towards a person. */
const rangeNames: Readonly<Record<string, string>> = {
  unspecified: 'an unspecified address',
  broadcast: 'a broadcast address',
  multicast: 'a multicast address',
  linkLocal: 'a link-local address',
  loopback: 'a loopback address',
  carrierGradeNat: 'an address of a carrier-grade NAT',
  private: 'a private address',
  uniqueLocal: 'a private (unique-local) address',
  deprecatedSiteLocal: 'a private (site-local) address',
  rfc6145: 'an IPv4 address translated into IPv6',
  rfc6052: 'a NAT64 address',
  '6to4': 'a 6to4 address',
  teredo: 'a Teredo address',
}

/** Addresses that look public and are not: a platform's own services, for the machines inside it alone. */
const platformServices: readonly (readonly [Cidr, string])[] = [
  [parseCidr('169.254.169.254/32'), 'a link-local address (the metadata service of clouds)'],
  [parseCidr('168.63.129.16/32'), "an address of Azure's platform services"],
]
/** Everything that IANA has given out for global unicast; ipaddr.js calls the rest "unicast" too. */
const globalUnicast6 = parseCidr('2000::/3')
const ipv4Compatible = parseCidr('::/96')

/**
 * Which addresses an output may reach. Public unicast is allowed. Everything else (loopback, private, link-local with the clouds'
 * metadata services, shared, multicast, reserved, IPv6 that hides an IPv4 address) and this server's own addresses are refused,
 * unless DESTINATION_ALLOW names them. An IPv4-mapped address is judged as the IPv4 address inside, for that is what is connected to.
 */
export class AddressPolicy {
  readonly #allow: readonly Cidr[]
  readonly #own: Own

  /**
   * @param allow CIDRs (DESTINATION_ALLOW)
   * @param own asked at each check, because interfaces come and go; OwnAddresses is one
   * @throws RangeError when one of them is not a CIDR
   */
  constructor(allow: readonly string[], own: Own = { now: () => [], refresh: async () => {} }) {
    this.#allow = allow.map(parseCidr)
    this.#own = own
  }

  /** Before the checks of one attempt: this server's own addresses may have changed. Takes a second at most. */
  refresh(): Promise<void> {
    return this.#own.refresh()
  }

  /** @param text an IP address as a look-up gives it, never a host name */
  check(text: string): Verdict {
    const address = parseAddress(text)
    if (address === undefined) return { allowed: false, reason: 'not an IP address' }
    if (this.#allow.some((range) => isWithin(address, range))) return { allowed: true }
    const reason = reasonToRefuse(address) ?? (this.#isOwn(address) ? 'an address of this server itself' : undefined)
    return reason === undefined ? { allowed: true } : { allowed: false, reason }
  }

  #isOwn(address: Address): boolean {
    const wanted = address.toNormalizedString()
    return this.#own.now().some((own) => parseAddress(own)?.toNormalizedString() === wanted)
  }
}

function parseAddress(text: string): Address | undefined {
  if (isIP(text) === 0) return undefined
  return ipaddr.process(inHex(text.replace(/%.*$/, '')))
}

/** ipaddr.js reads ::8.8.8.8 as ::ffff:8.8.8.8, which is another address: the dotted end of an IPv6 address is written out. */
function inHex(address: string): string {
  const dotted = address.includes(':') ? /\d+\.\d+\.\d+\.\d+$/.exec(address) : null
  if (dotted === null) return address
  const [a, b, c, d] = dotted[0].split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'))
  return `${address.slice(0, dotted.index)}${a}${b}:${c}${d}`
}

function reasonToRefuse(address: Address): string | undefined {
  const service = platformServices.find(([range]) => isWithin(address, range))
  if (service !== undefined) return service[1]
  const range = address.range()
  if (range !== 'unicast') return rangeNames[range] ?? 'a reserved address'
  if (address.kind() === 'ipv4' || isWithin(address, globalUnicast6)) return undefined
  return isWithin(address, ipv4Compatible) ? 'an IPv4 address written as IPv6' : 'a reserved address'
}

function isWithin(address: Address, [network, bits]: Cidr): boolean {
  return address.kind() === network.kind() && address.match(network, bits)
}
