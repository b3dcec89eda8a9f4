import { isIP, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { Clock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { AddressPolicy } from './address-policy.ts'
import { type CertificateFacts, judgeCertificate, type TlsChoice } from './certificate.ts'
import { attemptsMax, connectFirst, inTurn, printAddress } from './connect-first.ts'
import type { Destination } from './destination-url.ts'
import { addressesMax, type Resolve, type ResolvedAddress, unlessAborted } from './look-up.ts'
import { resetConnection } from './reset.ts'

export { type Resolve, type ResolvedAddress, systemResolve } from './look-up.ts'

export type DialTarget = Pick<Destination, 'scheme' | 'host' | 'port'>
export type DialStep = 'resolving' | 'dialing' | 'securing'

export type DialOptions = {
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly clock: Clock
  readonly signal: AbortSignal
  /** For look-up, TCP and TLS together. */
  readonly deadlineMs: number
  readonly tls?: TlsChoice
  /** Authorities in place of Node's own (which NODE_EXTRA_CA_CERTS adds to), PEM. */
  readonly ca?: string
  /** Told as each step begins; `securing` only for rtmps. */
  readonly onStep?: (step: DialStep) => void
}

/**
 * A connection, the caller's from now on; nothing of what the peer said has been read. Errors that nobody listens for are swallowed
 * (one output must not end the process); `close` tells the end in any case.
 */
export type Dialled = {
  /** What RTMP is spoken over. */
  readonly stream: Socket | TLSSocket
  /** The TCP socket: beneath `stream` for rtmps, `stream` itself for rtmp. */
  readonly raw: Socket
  /** The address that was checked and connected to. */
  readonly remoteAddress: string
  /**
   * Ends it at once: the peer gets a reset, and none of the megabytes that the kernel would still deliver after a close. Use this,
   * never `raw.resetAndDestroy()`, which leaks the descriptor in some states. May be called more than once.
   */
  reset(): void
  /** Only for rtmps. */
  readonly certificate?: CertificateFacts
}

/**
 * Connects to a destination: looked up anew, every address checked, connected to a checked address without a second look-up,
 * IPv4 and IPv6 in turn, TLS (1.2 or newer) verified with the host's name. RTMP itself has not begun.
 *
 * Of a name that has allowed and refused addresses, the allowed ones are used: nothing but a checked address is ever connected to.
 *
 * @throws CodedError with an OutputErrorCode and the facts; the signal's reason when it aborts. No socket is left behind.
 */
export async function dial(target: DialTarget, options: DialOptions): Promise<Dialled> {
  const { clock } = options
  const stop = new AbortController()
  const onAbort = () => stop.abort(options.signal.reason)
  let silence: () => CodedError = () =>
    new CodedError(
      'dns_failed',
      `The name server did not answer for ${target.host} within ${seconds(options.deadlineMs)}.`,
    )
  const cancelDeadline = clock.after(options.deadlineMs, () => stop.abort(silence()))
  options.signal.addEventListener('abort', onAbort, { once: true })
  if (options.signal.aborted) onAbort()
  let raw: Socket | undefined
  let secured: TLSSocket | undefined
  try {
    stop.signal.throwIfAborted()
    options.onStep?.('resolving')
    const [found] = await Promise.all([
      lookUp(target.host, options.resolve, stop.signal),
      unlessAborted(options.policy.refresh(), stop.signal),
    ])
    const addresses = allowedOf(found, target.host, options.policy)

    options.onStep?.('dialing')
    silence = () => dialingTimeout(target, addresses, options.deadlineMs)
    const socket = await connectFirst(addresses, { ...target, clock, signal: stop.signal })
    raw = socket
    stop.signal.throwIfAborted()
    const remoteAddress = socket.remoteAddress ?? ''
    socket.on('error', swallow)
    if (target.scheme === 'rtmp')
      return { stream: socket, raw: socket, remoteAddress, reset: () => resetConnection(socket, socket, clock) }

    options.onStep?.('securing')
    silence = () => securingTimeout(target, remoteAddress, options.deadlineMs)
    const stream = startTls(socket, target, options.ca)
    secured = stream
    await handshake(stream, socket, target, stop.signal)
    const certificate = judgeCertificate(stream, target.host, options.tls ?? {}, clock.now())
    stop.signal.throwIfAborted()
    return { stream, raw: socket, remoteAddress, reset: () => resetConnection(socket, stream, clock), certificate }
  } catch (error) {
    if (raw !== undefined) resetConnection(raw, secured ?? raw, clock)
    throw error
  } finally {
    cancelDeadline()
    options.signal.removeEventListener('abort', onAbort)
  }
}

function swallow(): void {}

async function lookUp(host: string, resolve: Resolve, signal: AbortSignal): Promise<readonly ResolvedAddress[]> {
  const version = isIP(host)
  if (version !== 0) return [{ address: host, family: version === 6 ? 6 : 4 }]
  let addresses: readonly ResolvedAddress[]
  try {
    addresses = await unlessAborted(resolve(host, signal), signal)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const code = (error as NodeJS.ErrnoException).code ?? 'look-up failed'
    const mend =
      code === 'EAI_AGAIN'
        ? 'The name server did not answer; check the network of this server.'
        : 'The host name could not be resolved; check its spelling in the url.'
    throw new CodedError('dns_failed', `${code} ${host}. ${mend}`, { cause: error })
  }
  if (addresses.length === 0)
    throw new CodedError('dns_failed', `ENODATA ${host}. The host name has no address; check its spelling in the url.`)
  return addresses
}

function allowedOf(addresses: readonly ResolvedAddress[], host: string, policy: AddressPolicy): ResolvedAddress[] {
  const refused: string[] = []
  const allowed = addresses.slice(0, addressesMax).filter(({ address }) => {
    const verdict = policy.check(address)
    if (!verdict.allowed) refused.push(`${address}, ${verdict.reason}`)
    return verdict.allowed
  })
  if (allowed.length > 0) return allowed
  const told = refused.slice(0, attemptsMax).join('; ')
  throw new CodedError(
    'destination_not_allowed',
    `${host === addresses[0]?.address ? '' : `${host} is `}${told}. Outputs may not reach it; to permit it, add its range to STREAM_CONNECT_DESTINATION_ALLOW.`,
  )
}

function startTls(raw: Socket, { host }: DialTarget, ca: string | undefined): TLSSocket {
  return connectTls({
    socket: raw,
    // What the certificate is compared with.
    host,
    // SNI is for names alone (RFC 6066, section 3), without the dot of the root.
    ...(isIP(host) === 0 && { servername: host.replace(/\.$/, '') }),
    secureContext: contextFor(ca),
    // The verdict is `stream.authorized`, judged by judgeCertificate: a connection that is refused here could not say why.
    rejectUnauthorized: false,
  }).on('error', swallow)
}

/** One for all destinations of a thread: OpenSSL's context of a connection is larger than what the connection itself takes. */
let sharedContext: SecureContext | undefined
const minVersion = 'TLSv1.2'

function contextFor(ca: string | undefined): SecureContext {
  if (ca !== undefined) return createSecureContext({ minVersion, ca })
  sharedContext ??= createSecureContext({ minVersion })
  return sharedContext
}

/** @throws CodedError tls_failed, connection_reset or connect_timeout; the signal's reason. Closing the sockets is the caller's. */
function handshake(stream: TLSSocket, raw: Socket, target: DialTarget, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const settle = (outcome: () => void) => {
    signal.removeEventListener('abort', onAbort)
    stream.off('error', onError)
    stream.off('close', onClose)
    stream.off('secureConnect', onSecure)
    outcome()
  }
  const fail = (error: unknown) => settle(() => reject(error))
  const onAbort = () => fail(signal.reason)
  // These events come from inside OpenSSL's handshake. Whoever resets and destroys the socket from there ends the process with a
  // segmentation fault (Node 24.21), for the handshake goes on with what was freed; so the story goes on in the next turn.
  const onError = (error: NodeJS.ErrnoException) => setImmediate(() => fail(tlsFailure(error, raw, target)))
  const onClose = () => setImmediate(() => fail(tlsFailure(undefined, raw, target)))
  const onSecure = () =>
    setImmediate(() => {
      // Destroyed in between: `close` is on its way.
      if (!stream.destroyed) settle(resolve)
    })
  stream.on('error', onError)
  stream.on('close', onClose)
  stream.on('secureConnect', onSecure)
  signal.addEventListener('abort', onAbort, { once: true })
  return promise
}

type TlsError = NodeJS.ErrnoException & { readonly reason?: string }

function tlsFailure(error: TlsError | undefined, raw: Socket, { host, port }: DialTarget): CodedError {
  const where = printAddress(host, port)
  const options = { cause: error }
  // An end of the connection has the same code as a reset, but no system call that failed.
  if (error === undefined || (error.code === 'ECONNRESET' && error.syscall === undefined))
    return new CodedError(
      'tls_failed',
      raw.bytesRead === 0
        ? `${where} closed the connection at the TLS greeting: it probably speaks no TLS. Use rtmp://, or the port for RTMPS.`
        : `${where} closed the connection during the TLS handshake.`,
      options,
    )
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    return new CodedError(
      'connection_reset',
      `${error.code} ${where}: the connection was cut during the TLS handshake. Check that the port speaks TLS.`,
      options,
    )
  if (error.code === 'ETIMEDOUT')
    return new CodedError('connect_timeout', `ETIMEDOUT ${where}: silent during the TLS handshake.`, options)
  const words = error.reason ?? error.code ?? error.message
  if (/wrong version number|packet length too long|record layer failure|http request/i.test(words))
    return new CodedError(
      'tls_failed',
      `${where} speaks no TLS (${words}). Use rtmp://, or the port for RTMPS.`,
      options,
    )
  return new CodedError('tls_failed', `The TLS handshake with ${where} failed: ${words}.`, options)
}

function dialingTimeout(target: DialTarget, addresses: readonly ResolvedAddress[], deadlineMs: number): CodedError {
  const tried = inTurn(addresses)
    .slice(0, attemptsMax)
    .map(({ address }) => printAddress(address, target.port))
    .join(', ')
  return new CodedError(
    'connect_timeout',
    `No answer from ${isIP(target.host) === 0 ? `${target.host} (${tried})` : tried} within ${seconds(deadlineMs)}. Check host and port, and that a firewall lets the connection out.`,
  )
}

function securingTimeout(target: DialTarget, remoteAddress: string, deadlineMs: number): CodedError {
  return new CodedError(
    'connect_timeout',
    `${target.host} (${printAddress(remoteAddress, target.port)}) took the connection but did not answer the TLS handshake within ${seconds(deadlineMs)}. Check that the port speaks TLS.`,
  )
}

function seconds(ms: number): string {
  return `${ms / 1000} s`
}
