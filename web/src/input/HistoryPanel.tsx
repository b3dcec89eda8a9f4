import { Button, Text } from '@mantine/core'
import { useState } from 'react'
import type { Status } from '../api/live.ts'
import { momentWords, toneOf } from '../inputs/input-state.ts'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { StateBadge } from '../parts/StateBadge.tsx'
import { durationWords, exactTime } from '../parts/time-words.ts'
import styles from './HistoryPanel.module.css'

const shownAtFirst = 8

/** When encoders came and went; the server keeps the newest fifty changes. */
export function HistoryPanel({ status }: { readonly status: Status | undefined }) {
  const [isWhole, setWhole] = useState(false)
  if (status === undefined)
    return (
      <Panel title="History">
        <Text size="sm" c="dimmed">
          No encoder has connected yet.
        </Text>
      </Panel>
    )
  const moments = [status.current, ...status.history]
  const shown = isWhole ? moments : moments.slice(0, shownAtFirst)
  return (
    <Panel title="History" isFlush>
      <ol className={styles['moments']}>
        {shown.map(({ state, reason, statusEnteredAt }, index) => (
          <li key={`${statusEnteredAt} ${reason}`}>
            <StateBadge tone={toneOf(state, reason)}>{momentWords(state, reason)}</StateBadge>
            <span className={styles['times']}>
              <span>{exactTime(statusEnteredAt)}</span>
              <span className={styles['lasted']}>
                {index === 0 ? (
                  <>
                    for <RelativeTime at={statusEnteredAt} form="duration" />
                  </>
                ) : (
                  lasted(statusEnteredAt, moments[index - 1]?.statusEnteredAt)
                )}
              </span>
            </span>
          </li>
        ))}
      </ol>
      {moments.length > shown.length && (
        <div className={styles['more']}>
          <Button variant="subtle" size="xs" onClick={() => setWhole(true)}>
            Show {moments.length - shown.length} older
          </Button>
        </div>
      )}
    </Panel>
  )
}

function lasted(from: string, to: string | undefined): string {
  return to === undefined ? '' : durationWords(Date.parse(to) - Date.parse(from))
}
