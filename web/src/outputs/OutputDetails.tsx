import type { WireOutput } from '../../../src/api/schemas.ts'
import { CopyField } from '../parts/CopyField.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { Secret } from '../parts/Secret.tsx'
import styles from './OutputDetails.module.css'
import { bytesWords, countWords } from './output-figures.ts'
import { momentWords, type OutputView } from './output-words.ts'

/** Further back nobody looks here; the API has it all. */
const momentsShownMax = 8

type Props = {
  readonly output: WireOutput
  readonly status: WireOutput['status']
  readonly health: NonNullable<WireOutput['health']>
  readonly view: OutputView
}

/** All that is known of an output, for whoever wants to know why. What a destination has said is text. */
export function OutputDetails({ output, status, health, view }: Props) {
  const { lastError, bytesSent, attempts, droppedMessages } = health
  const isTrouble = view.kind === 'reconnecting' || view.kind === 'failed' || view.kind === 'slow'
  const isPast = lastError !== undefined && !(isTrouble && view.detail?.includes(lastError.message))
  return (
    <div className={styles['details']}>
      <dl className={styles['facts']}>
        {isTrouble && (
          <div>
            <dt>Why</dt>
            <dd>{view.detail}</dd>
          </div>
        )}
        {isPast && (
          <div>
            <dt>
              Last trouble, <RelativeTime at={lastError.at} />
            </dt>
            <dd>{lastError.message}</dd>
          </div>
        )}
        <div>
          <dt>Server</dt>
          <dd>
            <CopyField value={output.url} name="url" />
          </dd>
        </div>
        <div>
          <dt>Stream key</dt>
          <dd>
            <Secret value={output.streamKey} name="stream key" />
          </dd>
        </div>
        <div>
          <dt>This broadcast</dt>
          <dd className="numbers">
            {bytesWords(bytesSent)} sent · {countWords(droppedMessages)} messages left out · {countWords(attempts)}{' '}
            {attempts === 1 ? 'connection' : 'connections'} tried
          </dd>
        </div>
      </dl>
      <div className={styles['history']}>
        <h3>What happened</h3>
        {status === null ? (
          <p>Nothing yet: no encoder has sent since this output was added.</p>
        ) : (
          <ol>
            {[status.current, ...status.history].slice(0, momentsShownMax).map(({ state, reason, statusEnteredAt }) => (
              <li key={`${statusEnteredAt} ${state}`}>
                <span>{momentWords(state, reason)}</span>
                <RelativeTime at={statusEnteredAt} />
              </li>
            ))}
          </ol>
        )}
      </div>
    </div>
  )
}
