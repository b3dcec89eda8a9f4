import { Anchor, Skeleton } from '@mantine/core'
import type { ReactNode } from 'react'
import { useServerFacts } from '../api/queries.ts'
import { CopyField } from '../parts/CopyField.tsx'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { exactTime } from '../parts/time-words.ts'
import styles from './ServerSections.module.css'

/** Where encoders and programs reach this server. */
export function AddressesSection() {
  const server = useServerFacts().data
  if (server === undefined) return <Loading title="Addresses" />
  const { addresses, certificate } = server
  return (
    <Panel title="Addresses">
      <dl className={styles['addresses']}>
        <Address name="RTMPS" of="Encoders, encrypted" value={addresses.rtmps} />
        <Address name="RTMP" of="Encoders" value={addresses.rtmp} />
        <Address name="API" of="Programs, and this page" value={addresses.https ?? addresses.http} />
      </dl>
      {certificate !== undefined && (
        <p className={styles['note']}>
          Certificate of {certificate.subject}, valid until {exactTime(certificate.validTo)}.
          {certificate.selfSigned && ' It is self-signed: encoders and browsers must be told to trust it.'}
          <code>SHA-256 {certificate.fingerprint}</code>
        </p>
      )}
    </Panel>
  )
}

function Address({
  name,
  of,
  value,
}: {
  readonly name: string
  readonly of: string
  readonly value: string | undefined
}) {
  return (
    <div>
      <dt>
        {name} <span>{of}</span>
      </dt>
      <dd>{value === undefined ? 'This listener is off.' : <CopyField value={value} name={`${name} address`} />}</dd>
    </div>
  )
}

const number = (value: number) => value.toLocaleString('en-GB')

export function LimitsSection() {
  const server = useServerFacts().data
  if (server === undefined) return <Loading title="Limits" />
  const { limits } = server
  const { recommendedBitrateKbps, ingestBitrateKbps, reconnectWindowSeconds, lagMs, bufferMs } = limits
  return (
    <Panel title="Limits">
      <dl className={styles['limits']}>
        <Limit name="Live inputs in an account">{number(limits.liveInputsPerAccount)}</Limit>
        <Limit name="Outputs of a live input">{number(limits.outputsPerLiveInput)}</Limit>
        {recommendedBitrateKbps !== undefined && (
          <Limit name="Recommended bitrate, at most">{number(recommendedBitrateKbps)} kb/s</Limit>
        )}
        {ingestBitrateKbps !== undefined && (
          <Limit name="Bitrate above which an encoder is slowed">{number(ingestBitrateKbps)} kb/s</Limit>
        )}
        {reconnectWindowSeconds !== undefined && (
          <Limit name="Wait for an encoder that vanished">{number(reconnectWindowSeconds)} s</Limit>
        )}
        {lagMs !== undefined && <Limit name="Lag at which an output jumps ahead">{number(lagMs / 1000)} s</Limit>}
        {bufferMs !== undefined && <Limit name="Media kept of a broadcast">{number(bufferMs / 1000)} s</Limit>}
        <Limit name="API calls of a token">
          {limits.requestsPerToken === 0 ? 'no limit' : `${number(limits.requestsPerToken)} in 5 min`}
        </Limit>
        <Limit name="Previews at once">
          {number(limits.previewsInTotal)}, {number(limits.previewsPerLiveInput)} of one input
        </Limit>
      </dl>
    </Panel>
  )
}

function Limit({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="numbers">{children}</dd>
    </div>
  )
}

export function AboutSection({ account }: { readonly account: string }) {
  const server = useServerFacts().data
  if (server === undefined) return <Loading title="About" />
  return (
    <Panel title="About">
      <dl className={styles['limits']}>
        <Limit name="Stream Connect">{server.version}</Limit>
        <Limit name="Node">{server.nodeVersion}</Limit>
        <Limit name="Running for">
          <RelativeTime at={server.startedAt} form="duration" />
        </Limit>
      </dl>
      <div className={styles['account']}>
        <span>Account id</span>
        <CopyField value={account} name="account id" />
      </div>
      <p className={styles['note']}>
        <Anchor href="/docs" inherit underline="always">
          API documentation
        </Anchor>{' '}
        ·{' '}
        <Anchor href="/openapi.json" inherit underline="always">
          OpenAPI description
        </Anchor>{' '}
        ·{' '}
        <Anchor href="/metrics" inherit underline="always">
          Metrics
        </Anchor>
      </p>
    </Panel>
  )
}

function Loading({ title }: { readonly title: string }) {
  return (
    <Panel title={title}>
      <Skeleton height={120} />
    </Panel>
  )
}
