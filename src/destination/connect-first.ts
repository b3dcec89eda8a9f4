import { connect, type Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { ResolvedAddress } from './look-up.ts'

/** How long one address may keep silent before the next is tried beside it (RFC 8305, section 5: "Connection Attempt Delay"). */
const attemptDelayMs = 250
/** Addresses of one name that are tried: a name server that answers with a thousand must not open a thousand sockets. */
export const attemptsMax = 8
/** When the kernel begins to ask a silent peer whether it is still there. */
const keepAliveDelayMs = 15_000

export type ConnectFirstOptions = {
  /** Host name as the person knows it, for the sentences. */
  readonly host: string
  readonly port: number
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * The first of several addresses that takes a TCP connection (happy eyeballs: families in turn, the next attempt after 250 ms or
 * at a failure). The addresses are connected to as they are; nothing is looked up. The socket has no listeners when it is returned.
 *
 * @throws CodedError when every address failed; the signal's reason when it aborts. No socket is left behind either way.
 */
export function connectFirst(addresses: readonly ResolvedAddress[], options: ConnectFirstOptions): Promise<Socket> {
  const { clock, host, port, signal } = options
  const waiting = inTurn(addresses).slice(0, attemptsMax)
  const connecting = new Set<Socket>()
  const failures: Failure[] = []
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  let cancelNext = () => {}

  const stop = () => {
    cancelNext()
    signal.removeEventListener('abort', onAbort)
    // A socket that is still connecting sends nothing that a reset would have to stop.
    for (const socket of connecting) socket.destroy()
    connecting.clear()
  }
  const onAbort = () => {
    stop()
    reject(signal.reason)
  }
  const attempt = () => {
    cancelNext()
    const next = waiting.shift()
    if (next === undefined) return
    const { address, family } = next
    const socket = connect({
      host: address,
      port,
      family,
      autoSelectFamily: false,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveDelayMs,
    })
    connecting.add(socket)
    socket.once('connect', () => {
      if (!connecting.delete(socket)) return
      socket.removeAllListeners()
      stop()
      resolve(socket)
    })
    // Stays attached: a socket that lost may fail once more after it was given up.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!connecting.delete(socket)) return
      failures.push({ address: printAddress(address, port), code: error.code ?? error.message, error })
      if (waiting.length > 0) attempt()
      else if (connecting.size === 0) {
        stop()
        reject(failureOf(host, failures))
      }
    })
    if (waiting.length > 0) cancelNext = clock.after(attemptDelayMs, attempt)
  }

  if (signal.aborted) reject(signal.reason)
  else {
    signal.addEventListener('abort', onAbort, { once: true })
    attempt()
  }
  return promise
}

/** Families in turn, beginning with the one that the resolver prefers (RFC 8305, section 4). */
export function inTurn(addresses: readonly ResolvedAddress[]): ResolvedAddress[] {
  const preferred = addresses.filter(({ family }) => family === addresses[0]?.family)
  const others = addresses.filter(({ family }) => family !== addresses[0]?.family)
  const order: ResolvedAddress[] = []
  for (let index = 0; index < Math.max(preferred.length, others.length); index += 1)
    order.push(...preferred.slice(index, index + 1), ...others.slice(index, index + 1))
  return order
}

export function printAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

type Failure = { readonly address: string; readonly code: string; readonly error: Error }

/** The failure that says most: somebody answered, before nobody could be asked. */
function failureOf(host: string, failures: readonly Failure[]): CodedError {
  const facts = failures.map(({ address, code }) => `${code} ${address}`).join(', ')
  const told = facts.includes(host) ? facts : `${host}: ${facts}`
  const codes = new Set(failures.map(({ code }) => code))
  const cause = failures.length === 1 ? failures[0]!.error : new AggregateError(failures.map(({ error }) => error))
  if (codes.has('ECONNREFUSED'))
    return new CodedError('connection_refused', `${told}. Nothing listens there: check host and port.`, { cause })
  if (codes.has('ECONNRESET'))
    return new CodedError('connection_reset', `${told}. The connection was cut as soon as it was made.`, { cause })
  if (codes.has('EMFILE') || codes.has('ENFILE'))
    return new CodedError(
      'internal_error',
      `${told}. This server has no file descriptor left: raise the limit (ulimit -n).`,
      { cause },
    )
  return new CodedError(
    'connect_timeout',
    `${told}. The address cannot be reached: check it, and that a firewall lets the connection out.`,
    { cause },
  )
}
