import { X509Certificate } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { ServerFacts } from './dashboard-types.ts'
import { previewsMax, previewsPerInputMax } from './preview-limits.ts'
import type { IngestAddresses } from './wire.ts'

/** What the API does not know by itself: app.ts tells it. */
export type ServerAround = {
  readonly version?: string
  /** Origins, `http://host:port`; absent: the listener is off. */
  readonly httpUrl?: string
  readonly httpsUrl?: string
  /** PEM of the certificate in force, where a TLS listener is on. */
  readonly certificate?: () => string | undefined
  readonly limits?: Pick<
    ServerFacts['limits'],
    'reconnectWindowSeconds' | 'recommendedBitrateKbps' | 'ingestBitrateKbps' | 'lagMs' | 'bufferMs'
  >
}

export type FactParts = {
  readonly around: ServerAround
  readonly addresses: () => IngestAddresses
  readonly limits: {
    readonly liveInputsMax: number
    readonly outputsMax: number
    readonly resumeSecondsMax: number
    readonly requestsMax?: number
  }
  /** Milliseconds since 1970 */
  readonly startedAt: number
}

/** What a person may want to know of the server; nothing of its files. */
export function serverFacts({ around, addresses, limits, startedAt }: FactParts, clock: Clock): ServerFacts {
  const { rtmpUrl, rtmpsUrl } = addresses()
  const { httpUrl, httpsUrl } = around
  const certificate = certificateFacts(around.certificate?.())
  return {
    version: around.version ?? 'unknown',
    nodeVersion: process.version,
    startedAt: new Date(startedAt).toISOString(),
    uptimeSeconds: Math.max(0, Math.floor((clock.now() - startedAt) / 1000)),
    addresses: {
      ...(rtmpUrl !== undefined && { rtmp: rtmpUrl }),
      ...(rtmpsUrl !== undefined && { rtmps: rtmpsUrl }),
      ...(httpUrl !== undefined && { http: httpUrl }),
      ...(httpsUrl !== undefined && { https: httpsUrl }),
    },
    ...(certificate && { certificate }),
    limits: {
      liveInputsPerAccount: limits.liveInputsMax,
      outputsPerLiveInput: limits.outputsMax,
      requestsPerToken: limits.requestsMax ?? 0,
      previewsPerLiveInput: previewsPerInputMax,
      previewsInTotal: previewsMax,
      resumeSeconds: limits.resumeSecondsMax,
      ...around.limits,
    },
  }
}

function certificateFacts(pem: string | undefined): ServerFacts['certificate'] {
  if (pem === undefined) return undefined
  const certificate = new X509Certificate(pem)
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1]
  return {
    selfSigned: certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey),
    subject: name ?? certificate.subject,
    validTo: new Date(certificate.validTo).toISOString(),
    fingerprint: certificate.fingerprint256,
  }
}
