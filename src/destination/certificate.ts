import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { CodedError } from '../errors.ts'

/** What a person chose for the TLS of one output. A pin goes before `verify`. */
export type TlsChoice = {
  /** False: whatever certificate the destination shows is taken. Default true. */
  readonly verify?: boolean
  /** SHA-256 of the certificate (64 hex digits, colons allowed): this one is taken, whoever signed it, and no other. */
  readonly fingerprint?: string
}

/** What a destination's certificate says of itself. Texts are the peer's: shortened, without control characters. */
export type CertificateFacts = {
  readonly subject: string
  readonly issuer: string
  /** DNS names and IP addresses that it was made for. */
  readonly names: readonly string[]
  /** ISO 8601 */
  readonly validFrom: string
  readonly validTo: string
  /** SHA-256, 64 lower-case hex digits. */
  readonly fingerprint: string
  /** The chain leads to a known authority and the name is right; false only where `verify: false` or a pin lets it pass. */
  readonly verified: boolean
}

/** Names of a certificate that a sentence lists; some have hundreds. */
const namesToldMax = 5
/** Characters of a text of the peer's that a sentence repeats. */
const textLengthMax = 200
/** Certificates of a chain that are looked at. */
const chainLengthMax = 10

/** 64 lower-case hex digits; undefined when the text is not a SHA-256 fingerprint. `sha256:`, colons and blanks are dropped. */
export function normaliseFingerprint(text: string): string | undefined {
  const hex = text
    .replace(/^\s*sha-?256[:=]/i, '')
    .replaceAll(/[:\s]/g, '')
    .toLowerCase()
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined
}

/**
 * Judges the certificate of a finished handshake that was made with `rejectUnauthorized: false`, so that the sentence can name what
 * the certificate says.
 *
 * @param host the name that was connected to
 * @param now milliseconds since 1970, to find the certificate of the chain that has expired
 * @throws CodedError certificate_expired, certificate_host_mismatch, certificate_untrusted, destination_invalid (an unusable pin)
 */
export function judgeCertificate(stream: TLSSocket, host: string, choice: TlsChoice, now: number): CertificateFacts {
  const certificate = stream.getPeerX509Certificate()
  if (certificate === undefined)
    throw new CodedError('certificate_untrusted', `${host} showed no certificate. It cannot be told who answers there.`)
  const facts = factsOf(certificate, stream.authorized)
  if (choice.fingerprint !== undefined) {
    const pinned = normaliseFingerprint(choice.fingerprint)
    if (pinned === undefined)
      throw new CodedError(
        'destination_invalid',
        'The pinned fingerprint is not one of SHA-256: give 64 hex digits, with or without colons.',
      )
    if (facts.fingerprint !== pinned)
      throw new CodedError(
        'certificate_untrusted',
        `The certificate of ${host} has the SHA-256 fingerprint ${facts.fingerprint}, which is not the pinned one. Pin it if its operator confirms the change.`,
      )
    return facts
  }
  if (choice.verify === false || stream.authorized) return facts
  // Node's types call it an Error; it is the code of the error, or its text.
  throw failureOf(String(stream.authorizationError), certificate, facts, host, now)
}

function failureOf(
  problem: string,
  certificate: X509Certificate,
  facts: CertificateFacts,
  host: string,
  now: number,
): CodedError {
  const cause = new Error(problem)
  switch (problem) {
    case 'CERT_HAS_EXPIRED': {
      const expired = chainOf(certificate).find(({ validToDate }) => validToDate.getTime() < now)
      const whose = expired === certificate ? '' : ` of ${expired ? clean(expired.subject) : 'its authority'}`
      return new CodedError(
        'certificate_expired',
        `${host}: certificate${whose} expired${expired ? ` on ${day(expired.validToDate)}` : ''}. Its operator must renew it.`,
        { cause },
      )
    }
    case 'CERT_NOT_YET_VALID': {
      const early = chainOf(certificate).find(({ validFromDate }) => validFromDate.getTime() > now)
      return new CodedError(
        'certificate_expired',
        `${host}: certificate is not valid before ${day((early ?? certificate).validFromDate)}. Check the clock of this server, or ask its operator.`,
        { cause },
      )
    }
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return new CodedError(
        'certificate_host_mismatch',
        `The certificate is for ${listed(facts.names)}, not for ${host}. Check the host in the url.`,
        { cause },
      )
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return untrusted(`${host}: certificate is self-signed`, problem, facts, cause)
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return untrusted(
        `${host}: certificate was signed by an unknown authority (${facts.issuer})`,
        problem,
        facts,
        cause,
      )
    default:
      return untrusted(`${host}: certificate is not trusted`, problem, facts, cause)
  }
}

function untrusted(sentence: string, problem: string, facts: CertificateFacts, cause: Error): CodedError {
  return new CodedError(
    'certificate_untrusted',
    `${sentence} (${clean(problem)}). Add the authority with NODE_EXTRA_CA_CERTS, or pin the fingerprint ${facts.fingerprint}.`,
    { cause },
  )
}

function factsOf(certificate: X509Certificate, verified: boolean): CertificateFacts {
  return {
    subject: clean(certificate.subject ?? ''),
    issuer: clean(certificate.issuer ?? ''),
    names: namesOf(certificate),
    validFrom: isoDate(certificate.validFromDate),
    validTo: isoDate(certificate.validToDate),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    verified,
  }
}

/** Without alternative names, the common name: no client looks at it any more, but it shows whose certificate this is. */
function namesOf({ subjectAltName, subject }: X509Certificate): string[] {
  const names = [...(subjectAltName ?? '').matchAll(/(?:DNS|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(
    ([, name]) => name!,
  )
  if (names.length === 0) names.push(...[...(subject ?? '').matchAll(/^CN=(.*)$/gm)].map(([, name]) => name!))
  return names.map(clean)
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'no host name at all'
  const told = names.slice(0, namesToldMax).join(', ')
  return names.length > namesToldMax ? `${told} and ${names.length - namesToldMax} more` : told
}

function chainOf(certificate: X509Certificate): X509Certificate[] {
  const chain = [certificate]
  for (let next = certificate.issuerCertificate; next && chain.length < chainLengthMax; next = next.issuerCertificate)
    chain.push(next)
  return chain
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what a peer wrote must not act on a log or a terminal
const controlCharacters = /[\u0000-\u001f\u007f-\u009f]+/g

function clean(text: string): string {
  return text.trim().replaceAll(controlCharacters, ', ').slice(0, textLengthMax)
}

function day(date: Date): string {
  return isoDate(date).slice(0, 10)
}

function isoDate(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'an unknown day' : date.toISOString()
}
