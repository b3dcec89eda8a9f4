import type { ReactNode } from 'react'
import styles from './StateBadge.module.css'

/** good: live. wait: something goes on, or is waited for. bad: a person has to do something. idle: nothing goes on, and nothing should. */
export type Tone = 'good' | 'wait' | 'bad' | 'idle'

/** `mark`: in place of the tone's own. */
type Props = { readonly tone: Tone; readonly children: ReactNode; readonly mark?: ReactNode }

/** Colour and a mark of its own shape: a state is never told by colour alone. */
export function StateBadge({ tone, children, mark }: Props) {
  return (
    <span className={styles['badge']} data-tone={tone}>
      {mark ?? (
        <svg className={styles['mark']} viewBox="0 0 10 10" aria-hidden="true">
          {marks[tone]}
        </svg>
      )}
      {children}
    </span>
  )
}

const marks: Readonly<Record<Tone, ReactNode>> = {
  good: <circle cx="5" cy="5" r="4" fill="currentColor" />,
  wait: <path d="M5 1a4 4 0 1 1-4 4" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  bad: <path d="M5 .8 9.6 9.2H.4Z" fill="currentColor" />,
  idle: <circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" strokeWidth="1.6" />,
}
