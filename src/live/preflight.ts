import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import type { CertificateFacts } from '../destination/certificate.ts'
import { type Destination, parseDestination } from '../destination/destination-url.ts'
import { dial, type Resolve } from '../destination/dial.ts'
import { CodedError } from '../errors.ts'
import type { Output } from '../model/live-input.ts'
import type { PreflightEvent, PreflightReport, PreflightStep } from '../model/preflight.ts'
import { unknownPeerLimits } from '../rtmp/chunk-reader.ts'
import { RtmpConnection } from '../rtmp/connection.ts'
import { AuthenticationNeeded, connectionFailure, RedirectError, requestPublish } from '../rtmp/request-publish.ts'
import { redirectTarget } from './redirect-target.ts'

export type PreflightParts = {
  readonly clock: Clock
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly signal: AbortSignal
  /** Told of each step when it begins and when it has ended. */
  readonly onStep?: (event: PreflightEvent) => void
}

/** For each step; a person waits for it. */
const stepMs = 8_000
/** For all of them: a destination may send us on, each time to one that is slow. Below the deadline of whoever asks. */
const totalMs = 45_000
/** As for a broadcast: see output-connection.ts. */
const redirectsMax = 3
const loginsMax = 2

/**
 * Tries a destination without publishing: look-up, TCP, TLS, handshake, connect, createStream, each with its time and result. Never
 * throws: what fails is in the report.
 */
export async function preflight(
  output: Pick<Output, 'url' | 'streamKey' | 'username' | 'password' | 'tls'>,
  parts: PreflightParts,
): Promise<PreflightReport> {
  const steps = new Steps(parts.clock, parts.onStep)
  const parsed = parseDestination(output.url, output.streamKey.reveal())
  if (!parsed.ok) {
    steps.begin('url')
    steps.fail('destination_invalid', parsed.problems.map(({ message }) => message).join(' '))
    return steps.report()
  }
  const late = new AbortController()
  const cancel = parts.clock.after(totalMs, () =>
    late.abort(new CodedError('connect_timeout', `The destination took longer than ${totalMs / 1000} s in all.`)),
  )
  try {
    await attempts(
      parsed.destination,
      output,
      { ...parts, signal: AbortSignal.any([parts.signal, late.signal]) },
      steps,
    )
  } catch (error) {
    const failure = error instanceof CodedError ? error : connectionFailure(error, 'connecting')
    steps.fail(failure.code, failure.message)
  } finally {
    cancel()
  }
  return steps.report()
}

type Target = Pick<Output, 'streamKey' | 'username' | 'password' | 'tls'>

/** Again where the destination redirects or asks for a login. @throws why it does not work. */
async function attempts(destination: Destination, output: Target, parts: PreflightParts, steps: Steps): Promise<void> {
  let target = destination
  let authenticationQuery: string | undefined
  let redirectsLeft = redirectsMax
  let loginsLeft = loginsMax
  for (;;) {
    try {
      return await attempt(target, output, parts, steps, { redirectsLeft, authenticationQuery })
    } catch (error) {
      if (error instanceof RedirectError) {
        redirectsLeft--
        target = redirectTarget(error.url, destination)
        authenticationQuery = undefined
        steps.done(`redirected to ${target.host}:${target.port}`)
      } else if (error instanceof AuthenticationNeeded && loginsLeft-- > 0) {
        authenticationQuery = error.authenticationQuery
        steps.done('asks for a login')
      } else if (error instanceof AuthenticationNeeded) {
        throw new CodedError(
          'publish_denied',
          'The destination asks for the login again and again. Check username and password.',
        )
      } else throw error
    }
  }
}

async function attempt(
  destination: Destination,
  output: Target,
  parts: PreflightParts,
  steps: Steps,
  hop: { readonly redirectsLeft: number; readonly authenticationQuery: string | undefined },
): Promise<void> {
  const { clock } = parts
  const where = `${destination.host}:${destination.port}`
  const dialled = await dial(destination, {
    ...parts,
    deadlineMs: stepMs,
    ...(output.tls && { tls: output.tls }),
    onStep: (step) => steps.begin(step === 'resolving' ? 'resolve' : step === 'dialing' ? 'connect_tcp' : 'secure'),
  })
  const late = new AbortController()
  let cancel = () => {}
  const within = (what: string) => {
    cancel()
    cancel = clock.after(stepMs, () =>
      late.abort(new CodedError('connect_timeout', `${where} did not answer ${what} within ${stepMs / 1000} s`)),
    )
  }
  const signal = AbortSignal.any([parts.signal, late.signal])
  try {
    steps.done(
      dialled.certificate === undefined
        ? `connected to ${dialled.remoteAddress}`
        : certificateWords(dialled.certificate),
    )
    steps.begin('handshake')
    within('the handshake')
    const connection = await RtmpConnection.connect(dialled.stream, {
      limits: unknownPeerLimits,
      now: () => clock.monotonicMs(),
      signal,
    })
    steps.begin('connect_rtmp')
    within('connect')
    const { app, tcUrl, streamKey } = destination
    await requestPublish(
      connection,
      {
        app,
        tcUrl,
        streamKey,
        redirectsLeft: hop.redirectsLeft,
        ...(hop.authenticationQuery !== undefined && { authenticationQuery: hop.authenticationQuery }),
        ...(output.username !== undefined && { username: output.username }),
        ...(output.password !== undefined && { password: output.password }),
      },
      { signal, publish: false },
    )
    steps.done('the server takes publishers; the stream key itself is only tried when you go live')
  } finally {
    cancel()
    dialled.reset()
  }
}

function certificateWords(certificate: CertificateFacts): string {
  const trust = certificate.verified ? 'verified' : 'taken without verification'
  return `certificate of ${certificate.subject} ${trust}, valid until ${certificate.validTo.slice(0, 10)}`
}

class Steps {
  readonly #clock: Clock
  readonly #tell: (event: PreflightEvent) => void
  readonly #steps: PreflightStep[] = []
  #begunAt = 0
  #name: PreflightStep['name'] | undefined

  constructor(clock: Clock, tell: (event: PreflightEvent) => void = () => {}) {
    this.#clock = clock
    this.#tell = tell
  }

  /** A step that is under way has succeeded when the next one begins. */
  begin(name: PreflightStep['name']): void {
    this.done()
    this.#name = name
    this.#begunAt = this.#clock.monotonicMs()
    this.#tell({ begun: name })
  }

  done(detail?: string): void {
    if (this.#name === undefined) return
    this.#end({ name: this.#name, ok: true, durationMs: this.#took(), ...(detail !== undefined && { detail }) })
    this.#name = undefined
  }

  fail(code: string, message: string): void {
    this.#end({ name: this.#name ?? 'url', ok: false, durationMs: this.#took(), code, detail: message })
    this.#name = undefined
  }

  report(): PreflightReport {
    return { ok: this.#steps.every(({ ok }) => ok), steps: this.#steps }
  }

  #end(step: PreflightStep): void {
    this.#steps.push(step)
    this.#tell({ ended: step })
  }

  #took(): number {
    return this.#name === undefined ? 0 : Math.round(this.#clock.monotonicMs() - this.#begunAt)
  }
}
