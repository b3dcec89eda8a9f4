import { Loader, Text } from '@mantine/core'
import type { PreflightEvent, PreflightReport, PreflightStep } from '../../../src/model/preflight.ts'
import styles from './PreflightSteps.module.css'

const stepWords: Readonly<Record<PreflightStep['name'], string>> = {
  url: 'Read the url',
  resolve: 'Look up the host name',
  connect_tcp: 'Connect',
  secure: 'Encrypt (TLS)',
  handshake: 'Shake hands (RTMP)',
  connect_rtmp: 'Ask to publish',
}

/** A test that goes on: what has ended, and what is being done. */
export type Progress = { readonly ended: readonly PreflightStep[]; readonly begun: PreflightStep['name'] | undefined }
export const nothingYet: Progress = { ended: [], begun: undefined }

/** What a line of the answer says, added to what was said before. */
export function progressed({ ended, begun }: Progress, line: PreflightEvent): Progress {
  if ('begun' in line) return { ended, begun: line.begun }
  if ('ended' in line) return { ended: [...ended, line.ended], begun: undefined }
  return { ended, begun }
}

type Props = {
  /** Undefined while the test runs. */
  readonly report: PreflightReport | undefined
  readonly progress: Progress
  /** Of the url that is tried: TLS is a step of its own. */
  readonly isSecure: boolean
}

/** A test of a destination, step by step as it happens: what worked and how long it took, where it ended and what to do. */
export function PreflightSteps({ report, progress, isSecure }: Props) {
  return (
    <div className={styles['steps']} role="status" aria-label="Test of the destination">
      <Text size="sm" fw={600}>
        {report === undefined ? 'Testing …' : report.ok ? 'The destination answers.' : 'The test failed.'}
      </Text>
      <ol>
        {(report?.steps ?? progress.ended).map(Done)}
        {report === undefined && toCome(progress, isSecure).map(Pending)}
      </ol>
    </div>
  )
}

/** The step that is being done, and those that are expected after it. */
function toCome({ ended, begun }: Progress, isSecure: boolean): PreflightStep['name'][] {
  const names: readonly PreflightStep['name'][] = isSecure
    ? ['resolve', 'connect_tcp', 'secure', 'handshake', 'connect_rtmp']
    : ['resolve', 'connect_tcp', 'handshake', 'connect_rtmp']
  const last = ended.at(-1)?.name
  const next = begun === undefined ? (last === undefined ? 0 : names.indexOf(last) + 1) : names.indexOf(begun)
  return names.slice(Math.max(0, next))
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
