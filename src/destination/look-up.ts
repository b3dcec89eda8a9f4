import { lookup } from 'node:dns/promises'

/** Addresses of one name that are looked at. Sixty-four KiB of answer hold four thousand; each is checked against all of our own. */
export const addressesMax = 64

export type ResolvedAddress = { readonly address: string; readonly family: 4 | 6 }

/**
 * All addresses of a host name, in the order of preference. Never cached: an address that changes between two attempts counts.
 * @throws Error whose `code` is the resolver's (ENOTFOUND, EAI_AGAIN, …), or the signal's reason.
 */
export type Resolve = (host: string, signal: AbortSignal) => Promise<readonly ResolvedAddress[]>

/**
 * Look-ups that have not answered yet. The system's look-up cannot be cancelled and holds one of libuv's few threads (two of four
 * are for look-ups); one host whose name server is silent, asked again at each attempt, must not take them all.
 */
const underway = new Map<string, Promise<readonly ResolvedAddress[]>>()

/** The system's resolver: /etc/hosts, DNS, and the odd spellings of IPv4 addresses (2130706433, 0x7f.1, 127.1). */
export const systemResolve: Resolve = (host, signal) => {
  let asked = underway.get(host)
  if (asked === undefined) {
    asked = ask(host).finally(() => underway.delete(host))
    underway.set(host, asked)
  }
  return unlessAborted(asked, signal)
}

async function ask(host: string): Promise<readonly ResolvedAddress[]> {
  const found = await lookup(host, { all: true, order: 'verbatim' })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

/** Settles as the promise does, or with the signal's reason if that comes first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
