import { NativeSelect } from '@mantine/core'
import { type MouseEvent, type ReactNode, useEffect, useRef } from 'react'
import type { DashboardSession } from '../../../src/api/dashboard-types.ts'
import { useConnection } from '../api/live.ts'
import { SettingsIcon, SignalIcon } from '../parts/icons.tsx'
import { goTo, hashOf, Link, type Route } from '../router.tsx'
import styles from './AppFrame.module.css'
import { ColorSchemeSwitch } from './ColorSchemeSwitch.tsx'
import { ConnectionBanner } from './ConnectionBanner.tsx'
import { Mark } from './Mark.tsx'
import { SignOutButton } from './SignOutButton.tsx'

type Props = {
  readonly session: DashboardSession
  readonly account: string | undefined
  readonly route: Route
  readonly children: ReactNode
}

/** What stands around every page. */
export function AppFrame({ session, account, route, children }: Props) {
  const main = useRef<HTMLElement>(null)
  const isLost = useConnection().name === 'lost'
  const place = hashOf(route)
  const isFirst = useRef(true)
  // As a browser does for a new page: the keyboard begins at the top, and a screen reader says where one is.
  useEffect(() => {
    if (isFirst.current) isFirst.current = false
    else if (place !== '') main.current?.focus({ preventScroll: true })
  }, [place])
  const skip = (event: MouseEvent) => {
    event.preventDefault()
    main.current?.focus()
  }
  return (
    <>
      <header className={styles['bar']}>
        <a className={styles['skip']} href={place} onClick={skip}>
          Skip to the content
        </a>
        <div className={styles['inner']}>
          <a className={styles['home']} href="#/" aria-label="Stream Connect: live inputs">
            <Mark />
            <span>Stream Connect</span>
          </a>
          {account !== undefined && (
            <nav className={styles['nav']} aria-label="Pages">
              <Link
                to={{ name: 'inputs', account }}
                aria-current={route.name === 'inputs' ? 'page' : route.name === 'input' ? 'true' : undefined}
              >
                <SignalIcon />
                <span>Live inputs</span>
              </Link>
              <Link to={{ name: 'settings', account }} aria-current={route.name === 'settings' ? 'page' : undefined}>
                <SettingsIcon />
                <span>Settings</span>
              </Link>
            </nav>
          )}
          {session.accounts.length > 1 && (
            <NativeSelect
              aria-label="Account"
              size="xs"
              className={styles['account'] ?? ''}
              value={account ?? ''}
              onChange={({ currentTarget }) => goTo({ name: 'inputs', account: currentTarget.value })}
              data={[
                ...(account === undefined ? [{ value: '', label: 'Choose an account' }] : []),
                ...session.accounts.map(({ id, name }) => ({ value: id, label: name })),
              ]}
            />
          )}
          <div className={styles['right']}>
            <ColorSchemeSwitch />
            <SignOutButton />
          </div>
        </div>
        <ConnectionBanner />
      </header>
      <main ref={main} tabIndex={-1} className={styles['main']} data-stale={isLost || undefined}>
        {children}
      </main>
    </>
  )
}
