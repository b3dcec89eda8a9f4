import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = readonly [Address, number]

/** @throws RangeError with a sentence for the person who wrote it. */
export function parseCidr(text: string): Range {
  try {
    return text.includes('/') ? ipaddr.parseCIDR(text) : wholeAddress(text)
  } catch {
    throw new RangeError(`${text} is no address range; write one like 192.168.0.0/16 or fd00::/8`)
  }
}

function wholeAddress(text: string): Range {
  const address = ipaddr.parse(text)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

/** Ranges that ipaddr.js calls unicast and that are none of the public internet's. */
const furtherRefused = [
  '100::/64', // discard
  '64:ff9b:1::/48', // local NAT64
  '2001:2::/48', // benchmarking
  'fec0::/10', // site-local, deprecated
  '192.0.0.0/24', // protocol assignments
  '192.88.99.0/24', // 6to4 relays
].map(parseCidr)

export type Verdict = { readonly allowed: true } | { readonly allowed: false; readonly reason: string }

/**
 * Which addresses an output may reach. Public unicast is allowed; loopback, private, link-local (with the clouds' metadata
 * services), shared, multicast, unspecified and reserved ranges are refused, unless DESTINATION_ALLOW names them. An IPv4 address
 * inside an IPv6 one (mapped, NAT64, 6to4) is judged by itself.
 */
export class AddressPolicy {
  readonly #allowed: readonly Range[]

  /** @param allow CIDRs. @throws RangeError */
  constructor(allow: readonly string[]) {
    this.#allowed = allow.map(parseCidr)
  }

  check(text: string): Verdict {
    if (!ipaddr.isValid(text)) return { allowed: false, reason: 'not an address' }
    const address = ipaddr.parse(text)
    const inner = innerIpv4(address)
    if (inner !== undefined) {
      if (this.#isNamed(address)) return { allowed: true }
      return this.check(inner.toString())
    }
    if (this.#isNamed(address)) return { allowed: true }
    const range = address.range()
    if (range !== 'unicast') return { allowed: false, reason: range }
    if (furtherRefused.some((refused) => isWithin(address, refused))) return { allowed: false, reason: 'reserved' }
    return { allowed: true }
  }

  #isNamed(address: Address): boolean {
    return this.#allowed.some((range) => isWithin(address, range))
  }
}

function isWithin(address: Address, range: Range): boolean {
  return address.kind() === range[0].kind() && address.match(range[0], range[1])
}

/** The IPv4 address that packets to an IPv6 one would reach in the end. */
function innerIpv4(address: Address): ipaddr.IPv4 | undefined {
  if (!(address instanceof ipaddr.IPv6)) return undefined
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  const bytes = address.toByteArray()
  const range = address.range()
  if (range === 'rfc6052' || range === 'rfc6145') return new ipaddr.IPv4(bytes.slice(12))
  if (range === '6to4') return new ipaddr.IPv4(bytes.slice(2, 6))
  // ::a.b.c.d, deprecated; :: and ::1 have ranges of their own.
  if (range === 'unicast' && bytes.slice(0, 12).every((byte) => byte === 0)) return new ipaddr.IPv4(bytes.slice(12))
  return undefined
}
