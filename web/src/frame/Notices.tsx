import { CloseButton, Text } from '@mantine/core'
import { useSyncExternalStore } from 'react'
import { AlertIcon, CheckIcon } from '../parts/icons.tsx'
import styles from './Notices.module.css'
import { closeNotice, readNotices, subscribeToNotices } from './notices.ts'

/** What was done, and what was not and why: read out by screen readers as it comes. */
export function Notices() {
  const notices = useSyncExternalStore(subscribeToNotices, readNotices)
  return (
    <section className={styles['corner']} aria-label="Notices" aria-live="polite">
      {notices.map(({ id, tone, title, message }) => (
        <div key={id} className={styles['notice']} data-tone={tone}>
          {tone === 'good' ? <CheckIcon /> : <AlertIcon />}
          <div className={styles['words']}>
            <Text size="sm" fw={600}>
              {title}
            </Text>
            {message !== '' && (
              <Text size="sm" c="dimmed">
                {message}
              </Text>
            )}
          </div>
          <CloseButton size="sm" aria-label="Close this notice" onClick={() => closeNotice(id)} />
        </div>
      ))}
    </section>
  )
}
