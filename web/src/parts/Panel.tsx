import { Title } from '@mantine/core'
import { type ReactNode, useId } from 'react'
import styles from './Panel.module.css'

type Props = {
  readonly title: string
  /** Beside the title, at the right. */
  readonly actions?: ReactNode
  readonly children: ReactNode
  /** Without room around the content: for lists whose rows go from edge to edge. */
  readonly isFlush?: boolean
  readonly id?: string
}

/** A part of a page, with its title: every page is made of these. */
export function Panel({ title, actions, children, isFlush = false, id }: Props) {
  const titleId = useId()
  return (
    <section className={styles['panel']} aria-labelledby={titleId} id={id}>
      <header className={styles['head']}>
        <Title order={2} id={titleId}>
          {title}
        </Title>
        {actions !== undefined && <div className={styles['actions']}>{actions}</div>}
      </header>
      <div className={isFlush ? undefined : styles['body']}>{children}</div>
    </section>
  )
}
