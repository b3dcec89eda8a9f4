import { type Current, useInputCurrent } from '../api/live.ts'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { StateBadge } from '../parts/StateBadge.tsx'
import styles from './InputState.module.css'
import { viewOf } from './input-state.ts'

type Props = { readonly id: string; readonly isEnabled: boolean; readonly current: Current | null | undefined }

/** State and since when, kept true by what the server tells. */
export function InputState({ id, isEnabled, current }: Props) {
  const { tone, words, since } = viewOf(isEnabled, useInputCurrent(id, current))
  return (
    <span className={styles['state']}>
      <StateBadge tone={tone}>{words}</StateBadge>
      {since !== undefined && (
        <span className={styles['since']}>
          <RelativeTime at={since} form="duration" />
        </span>
      )}
    </span>
  )
}
