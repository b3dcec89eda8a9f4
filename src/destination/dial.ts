import { lookup } from 'node:dns/promises'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import type { Clock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { AddressPolicy } from './address-policy.ts'

export type ResolvedAddress = { readonly address: string; readonly family: 4 | 6 }
/** @throws Error with the code of the resolver: ENOTFOUND, EAI_AGAIN, … */
export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

export const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: true })) as unknown as ResolvedAddress[]

export type TlsChoice = {
  /** False: whatever certificate the destination shows is taken. */
  readonly verify?: boolean
  /** SHA-256 of the certificate, hex with or without colons: this one is taken, and no other. */
  readonly fingerprint?: string
}

export type DialOptions = {
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly clock: Clock
  readonly signal: AbortSignal
  /** For look-up, TCP and TLS together. */
  readonly deadlineMs: number
  readonly tls?: TlsChoice
  /** Authorities beside Node's own, PEM. */
  readonly ca?: string
  readonly onStep?: (step: 'resolving' | 'dialing' | 'securing') => void
}

export type Dialled = {
  readonly stream: Socket | TLSSocket
  readonly remoteAddress: string
  /** Ends it at once: the peer gets a reset and none of the megabytes that the kernel still holds. */
  reset(): void
}

/** Between attempts at two addresses of one host (RFC 8305 recommends 250 ms). */
const attemptDelayMs = 250

/**
 * A connection to a destination: looked up anew, every address checked, connected to a checked address without a second look-up,
 * IPv6 and IPv4 in turn (happy eyeballs), TLS verified with the host's name.
 *
 * @throws CodedError with an OutputErrorCode and the facts, or the signal's reason.
 */
export async function dial(
  destination: { readonly scheme: 'rtmp' | 'rtmps'; readonly host: string; readonly port: number },
  options: DialOptions,
): Promise<Dialled> {
  const deadline = new AbortController()
  const { host, port } = destination
  const cancelDeadline = options.clock.after(options.deadlineMs, () =>
    deadline.abort(
      new CodedError('connect_timeout', `${host}:${port} did not answer within ${options.deadlineMs / 1000} s`),
    ),
  )
  const signal = AbortSignal.any([options.signal, deadline.signal])
  let raw: Socket | undefined
  try {
    options.onStep?.('resolving')
    const addresses = await abortable(resolveChecked(host, options), signal)
    options.onStep?.('dialing')
    raw = await connectToOne(host, port, addresses, signal)
    raw.setNoDelay(true)
    raw.setKeepAlive(true, 30_000)
    const remoteAddress = raw.remoteAddress ?? ''
    const socket = raw
    const reset = () => {
      if (!socket.destroyed) socket.resetAndDestroy()
    }
    if (destination.scheme === 'rtmp') return { stream: raw, remoteAddress, reset }
    options.onStep?.('securing')
    const stream = await secure(raw, host, port, options, signal)
    return {
      stream,
      remoteAddress,
      reset: () => {
        reset()
        stream.destroy()
      },
    }
  } catch (error) {
    raw?.destroy()
    throw error
  } finally {
    cancelDeadline()
  }
}

async function resolveChecked(host: string, options: DialOptions): Promise<readonly ResolvedAddress[]> {
  const literal = isIP(host)
  let addresses: readonly ResolvedAddress[]
  if (literal !== 0) addresses = [{ address: host, family: literal as 4 | 6 }]
  else
    try {
      addresses = await options.resolve(host)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'ENOTFOUND'
      throw new CodedError('dns_failed', `${code} ${host}`, { cause: error })
    }
  if (addresses.length === 0) throw new CodedError('dns_failed', `ENOTFOUND ${host}`)
  const refused: string[] = []
  const allowed = addresses.filter(({ address }) => {
    const verdict = options.policy.check(address)
    if (!verdict.allowed) refused.push(`${address} (${verdict.reason})`)
    return verdict.allowed
  })
  // One refused address is enough: a name that points both outside and inside is no destination to trust.
  if (refused.length > 0 || allowed.length === 0)
    throw new CodedError(
      'destination_not_allowed',
      `${host} is ${refused.join(', ')}, which outputs may not reach. Add its range to STREAM_CONNECT_DESTINATION_ALLOW to permit it.`,
    )
  return allowed
}

/** Attempts one address after the other, the next one after 250 ms or at a failure; the first connection wins. */
function connectToOne(
  host: string,
  port: number,
  addresses: readonly ResolvedAddress[],
  signal: AbortSignal,
): Promise<Socket> {
  const order = interleave(addresses)
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>()
    let next = 0
    let timer: NodeJS.Timeout | undefined
    const settle = (outcome: () => void) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      outcome()
    }
    const onAbort = () =>
      settle(() => {
        for (const socket of sockets) socket.destroy()
        reject(signal.reason)
      })
    const attempt = () => {
      clearTimeout(timer)
      const address = order[next++]
      if (address === undefined) return
      const socket = connectTcp({ host: address.address, port, family: address.family })
      sockets.add(socket)
      if (next < order.length) timer = setTimeout(attempt, attemptDelayMs)
      socket.once('connect', () =>
        settle(() => {
          socket.removeAllListeners('error')
          socket.on('error', () => {})
          for (const other of sockets) if (other !== socket) other.destroy()
          resolve(socket)
        }),
      )
      socket.once('error', (error: NodeJS.ErrnoException) => {
        sockets.delete(socket)
        if (next < order.length) attempt()
        else if (sockets.size === 0) settle(() => reject(tcpFailure(error, host, address.address, port)))
      })
    }
    if (signal.aborted) reject(signal.reason)
    else {
      signal.addEventListener('abort', onAbort, { once: true })
      attempt()
    }
  })
}

function interleave(addresses: readonly ResolvedAddress[]): ResolvedAddress[] {
  const first = addresses[0]!.family
  const preferred = addresses.filter(({ family }) => family === first)
  const others = addresses.filter(({ family }) => family !== first)
  const order: ResolvedAddress[] = []
  for (let index = 0; index < Math.max(preferred.length, others.length); index++) {
    if (preferred[index]) order.push(preferred[index]!)
    if (others[index]) order.push(others[index]!)
  }
  return order
}

function tcpFailure(error: NodeJS.ErrnoException, host: string, address: string, port: number): CodedError {
  const where = host === address ? `${address}:${port}` : `${host} (${address}:${port})`
  const code = error.code ?? 'connection failed'
  const options = { cause: error }
  switch (code) {
    case 'ECONNREFUSED':
      return new CodedError('connection_refused', `ECONNREFUSED ${where}`, options)
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
      return new CodedError('connect_timeout', `${code} ${where}`, options)
    default:
      return new CodedError('connection_reset', `${code} ${where}`, options)
  }
}

function secure(
  raw: Socket,
  host: string,
  port: number,
  options: DialOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const pin = options.tls?.fingerprint
  const verify = pin === undefined && options.tls?.verify !== false
  return new Promise((resolve, reject) => {
    const stream = connectTls({
      socket: raw,
      host,
      ...(isIP(host) === 0 && { servername: host }),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: verify,
      ...(options.ca !== undefined && { ca: options.ca }),
    })
    const finish = (outcome: () => void) => {
      signal.removeEventListener('abort', onAbort)
      stream.off('error', onError)
      stream.off('close', onClose)
      stream.on('error', () => {})
      outcome()
    }
    const fail = (error: unknown) =>
      finish(() => {
        stream.destroy()
        reject(error)
      })
    const onAbort = () => fail(signal.reason)
    const onError = (error: NodeJS.ErrnoException) => fail(tlsFailure(error, host, port, stream))
    const onClose = () =>
      fail(new CodedError('tls_failed', `${host}:${port} closed the connection during the TLS handshake`))
    stream.once('secureConnect', () => {
      const seen = pin === undefined ? '' : plainFingerprint(stream.getPeerCertificate().fingerprint256 ?? '')
      if (pin !== undefined && seen !== plainFingerprint(pin))
        fail(
          new CodedError(
            'certificate_untrusted',
            `The certificate of ${host} has another fingerprint than the one given: ${seen}`,
          ),
        )
      else finish(() => resolve(stream))
    })
    stream.once('error', onError)
    stream.once('close', onClose)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}

function plainFingerprint(text: string): string {
  return text.replaceAll(':', '').toLowerCase()
}

function tlsFailure(error: NodeJS.ErrnoException, host: string, port: number, stream: TLSSocket): CodedError {
  const options = { cause: error }
  const code = error.code ?? ''
  const certificate = peerCertificate(stream)
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return new CodedError('certificate_expired', `certificate expired on ${day(certificate?.valid_to)}`, options)
    case 'CERT_NOT_YET_VALID':
      return new CodedError(
        'certificate_expired',
        `certificate is not valid before ${day(certificate?.valid_from)}`,
        options,
      )
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names = (certificate?.subjectaltname ?? certificate?.subject?.CN ?? 'another host').toString()
      return new CodedError(
        'certificate_host_mismatch',
        `the certificate is for ${names}, not for ${host}`.slice(0, 300),
        options,
      )
    }
    case 'ECONNRESET':
      return new CodedError('tls_failed', `${host}:${port} cut the connection during the TLS handshake`, options)
  }
  if (/CERT|ISSUER|SIGNATURE|SELF_SIGNED|CA_|CHAIN/.test(code) && !code.startsWith('ERR_SSL'))
    return new CodedError('certificate_untrusted', `the certificate of ${host} is not trusted: ${code}`, options)
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return new CodedError('tls_failed', `${host}:${port} does not speak TLS. Use rtmp:// or another port.`, options)
  return new CodedError('tls_failed', `TLS with ${host}:${port} failed: ${code || 'unknown error'}`, options)
}

function peerCertificate(stream: TLSSocket): DetailedPeerCertificate | undefined {
  try {
    const certificate = stream.getPeerCertificate(true)
    return certificate && Object.keys(certificate).length > 0 ? certificate : undefined
  } catch {
    return undefined
  }
}

function day(text: string | undefined): string {
  const date = new Date(text ?? '')
  return Number.isNaN(date.getTime()) ? 'an unknown day' : date.toISOString().slice(0, 10)
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
