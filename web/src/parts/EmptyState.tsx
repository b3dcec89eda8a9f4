import { Title } from '@mantine/core'
import type { ReactNode } from 'react'
import styles from './EmptyState.module.css'

type Props = {
  readonly title: string
  /** What this place is for, and how one begins. */
  readonly children?: ReactNode
  /** The button that begins. */
  readonly action?: ReactNode
  readonly icon?: ReactNode
}

export function EmptyState({ title, children, action, icon }: Props) {
  return (
    <div className={styles['empty']}>
      {icon !== undefined && <div className={styles['icon']}>{icon}</div>}
      <Title order={2}>{title}</Title>
      {children !== undefined && <div className={styles['words']}>{children}</div>}
      {action}
    </div>
  )
}
