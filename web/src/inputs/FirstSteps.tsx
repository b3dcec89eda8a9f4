import { Title } from '@mantine/core'
import type { ReactNode } from 'react'
import { Mark } from '../frame/Mark.tsx'
import styles from './FirstSteps.module.css'

const steps: readonly { readonly title: string; readonly words: string }[] = [
  {
    title: 'Create a live input',
    words: 'It is the place that your encoder sends to, with a server address and a stream key of its own.',
  },
  {
    title: 'Set your encoder to it',
    words: 'OBS, FFmpeg, vMix or a box: copy the address and the key. You see the picture here as soon as it arrives.',
  },
  {
    title: 'Add outputs',
    words: 'YouTube, Twitch, Facebook, any RTMP server. They go live with your encoder, and can change while you are.',
  },
]

/** In place of an empty list: what this is for, and how one begins. */
export function FirstSteps({ action }: { readonly action: ReactNode }) {
  return (
    <div className={styles['page']}>
      <Mark size={48} />
      <Title order={1}>Send once, be live everywhere</Title>
      <ol className={styles['steps']}>
        {steps.map(({ title, words }) => (
          <li key={title}>
            <Title order={2}>{title}</Title>
            <p>{words}</p>
          </li>
        ))}
      </ol>
      {action}
    </div>
  )
}
