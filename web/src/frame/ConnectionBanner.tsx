import { useConnection } from '../api/live.ts'
import { AlertIcon } from '../parts/icons.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import styles from './ConnectionBanner.module.css'

/** Lies over the page, so that nothing moves when it comes and goes. */
export function ConnectionBanner() {
  const connection = useConnection()
  return (
    <div className={styles['place']} role="status">
      {connection.name === 'lost' && (
        <div className={styles['banner']}>
          <AlertIcon />
          <span>
            Connection to the server lost. What you see is from{' '}
            <RelativeTime at={new Date(connection.since).toISOString()} />; trying again by itself.
          </span>
        </div>
      )}
    </div>
  )
}
