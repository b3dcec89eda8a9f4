import { ActionIcon, Button, Loader, Tooltip } from '@mantine/core'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { streamPath } from '../api/client.ts'
import { useInputHealth } from '../api/live.ts'
import { FullScreenIcon, PlayIcon, SoundIcon, SoundOffIcon, StopIcon } from '../parts/icons.tsx'
import { Panel } from '../parts/Panel.tsx'
import { whyNotPlayable } from './codec-words.ts'
import styles from './PreviewPanel.module.css'
import type { PreviewTrouble } from './preview-player.ts'

type State =
  | { readonly name: 'off'; readonly words?: string }
  | { readonly name: 'starting' }
  | { readonly name: 'playing' }

type Props = { readonly account: string; readonly id: string; readonly isOnAir: boolean }

/** What arrives, as it arrives. Started by the person, without sound, and never on while nobody can see it. */
export function PreviewPanel({ account, id, isOnAir }: Props) {
  const [state, setState] = useState<State>({ name: 'off' })
  const [isMuted, setMuted] = useState(true)
  const video = useRef<HTMLVideoElement>(null)
  const health = useInputHealth(id)
  const formats = useRef({ video: health?.video?.codec, audio: health?.audio?.codec })
  formats.current = { video: health?.video?.codec, audio: health?.audio?.codec }
  const isOn = state.name !== 'off'

  useEffect(() => {
    if (!isOn) return
    let isLeft = false
    let stop = () => {}
    const off = (words?: string) => {
      if (!isLeft) setState(words === undefined ? { name: 'off' } : { name: 'off', words })
    }
    const start = async () => {
      const { isPlayable, play } = await import('./preview-player.ts')
      const element = video.current
      if (isLeft || element === null) return
      if (!isPlayable())
        return off('This browser cannot play live media (it has no Media Source Extensions). Try another one.')
      const why = whyNotPlayable(formats.current.video, formats.current.audio, (type) =>
        MediaSource.isTypeSupported(type),
      )
      if (why !== undefined) return off(why)
      const url = new URL(`${streamPath(account, 'live_inputs', id)}/preview.flv`, location.href).href
      stop = play(element, url, (trouble) => off(wordsOf(trouble)))
    }
    start().catch(() => off('The player could not be loaded from the server. Try again.'))
    const hid = () => {
      if (document.hidden) off('Stopped, as this tab was hidden.')
    }
    document.addEventListener('visibilitychange', hid)
    return () => {
      isLeft = true
      document.removeEventListener('visibilitychange', hid)
      stop()
    }
  }, [isOn, account, id])

  const start = () => {
    setMuted(true)
    setState({ name: 'starting' })
  }
  return (
    <Panel
      title="Preview"
      isFlush
      actions={
        isOn && (
          <Button
            variant="default"
            size="xs"
            leftSection={<StopIcon size={14} />}
            onClick={() => setState({ name: 'off' })}
          >
            Stop
          </Button>
        )
      }
    >
      <div className={styles['screen']}>
        {isOn && (
          <video
            ref={video}
            className={styles['video']}
            muted={isMuted}
            playsInline
            aria-label="What arrives from the encoder"
            onPlaying={() => setState({ name: 'playing' })}
          />
        )}
        {state.name === 'starting' && (
          <div className={styles['over']}>
            <Loader size="sm" color="gray" aria-label="Waiting for the next key frame" />
          </div>
        )}
        {state.name === 'playing' && (
          <div className={styles['controls']}>
            <Control
              label={isMuted ? 'Sound on' : 'Sound off'}
              onClick={() => setMuted(!isMuted)}
              icon={isMuted ? <SoundOffIcon /> : <SoundIcon />}
            />
            <Control
              label="Full screen"
              onClick={() => void video.current?.requestFullscreen()}
              icon={<FullScreenIcon />}
            />
          </div>
        )}
        {state.name === 'off' && (
          <div className={styles['over']} role="status">
            {state.words !== undefined && <p>{state.words}</p>}
            {isOnAir ? (
              <Button variant="white" color="dark" leftSection={<PlayIcon size={16} />} onClick={start}>
                {state.words === undefined ? 'Show preview' : 'Show again'}
              </Button>
            ) : (
              state.words === undefined && <p>No picture: no encoder sends.</p>
            )}
          </div>
        )}
      </div>
    </Panel>
  )
}

type ControlProps = { readonly label: string; readonly onClick: () => void; readonly icon: ReactNode }

function Control({ label, onClick, icon }: ControlProps) {
  return (
    <Tooltip label={label}>
      <ActionIcon className={styles['control'] ?? ''} size="lg" aria-label={label} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  )
}

function wordsOf(trouble: PreviewTrouble): string {
  switch (trouble.name) {
    case 'ended':
      return 'The broadcast has ended.'
    case 'lost':
      return 'The connection to the server was lost.'
    case 'format':
      return `This browser cannot play what the encoder sends (${trouble.detail}). It is relayed to the outputs as it is.`
    case 'refused':
      return refusals[trouble.status] ?? `The server does not show it (HTTP ${trouble.status}).`
  }
}

const refusals: Readonly<Record<number, string>> = {
  403: 'You may not look at this live input.',
  404: 'Nothing to show: no encoder sends, or no key frame came in 15 s. Set the key frame interval of the encoder to 2 s.',
  429: 'Too many people look already. Stop the preview in another window, then try again.',
}
