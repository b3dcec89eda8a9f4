import { Loader, Text } from '@mantine/core'
import type { PreflightReport, PreflightStep } from '../../../src/model/preflight.ts'
import styles from './PreflightSteps.module.css'

const stepWords: Readonly<Record<PreflightStep['name'], string>> = {
  url: 'Read the url',
  resolve: 'Look up the host name',
  connect_tcp: 'Connect',
  secure: 'Encrypt (TLS)',
  handshake: 'Shake hands (RTMP)',
  connect_rtmp: 'Ask to publish',
}

type Props = {
  /** Undefined while the test runs. */
  readonly report: PreflightReport | undefined
  /** Of the url that is tried: TLS is a step of its own. */
  readonly isSecure: boolean
}

/** A test of a destination, step by step: what worked and how long it took, where it ended and what to do. */
export function PreflightSteps({ report, isSecure }: Props) {
  return (
    <div className={styles['steps']} role="status" aria-label="Test of the destination">
      <Text size="sm" fw={600}>
        {report === undefined ? 'Testing …' : report.ok ? 'The destination answers.' : 'The test failed.'}
      </Text>
      <ol>{report === undefined ? expected(isSecure).map(Pending) : report.steps.map(Done)}</ol>
    </div>
  )
}

function expected(isSecure: boolean): PreflightStep['name'][] {
  return isSecure
    ? ['resolve', 'connect_tcp', 'secure', 'handshake', 'connect_rtmp']
    : ['resolve', 'connect_tcp', 'handshake', 'connect_rtmp']
}

function Pending(name: PreflightStep['name'], index: number) {
  return (
    <li key={name} data-state="pending">
      <span className={styles['sign']}>{index === 0 ? <Loader size={12} aria-hidden="true" /> : '·'}</span>
      <span>{stepWords[name]}</span>
    </li>
  )
}

function Done({ name, ok, durationMs, detail }: PreflightStep, index: number) {
  // A redirect or a login goes through the same steps again.
  return (
    <li key={`${index} ${name}`} data-state={ok ? 'passed' : 'failed'}>
      <span className={styles['sign']} aria-hidden="true">
        {ok ? '✓' : '✕'}
      </span>
      <span>
        {stepWords[name]}
        <span className={styles['told']}>{ok ? ' worked' : ' failed'}</span>
      </span>
      <span className={`${styles['time']} numbers`}>{durationMs} ms</span>
      {detail !== undefined && <p>{detail}</p>}
    </li>
  )
}
