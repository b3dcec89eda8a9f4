import { Skeleton } from '@mantine/core'
import type { ReactNode } from 'react'
import type { InputHealth } from '../../../src/model/status.ts'
import { useBitrateHistory, useInputHealth } from '../api/live.ts'
import { Bitrate } from '../parts/Bitrate.tsx'
import { noFigure } from '../parts/bitrate-words.ts'
import { AlertIcon } from '../parts/icons.tsx'
import { later } from '../parts/later.tsx'
import { Panel } from '../parts/Panel.tsx'
import { channelWords, codecWords } from './codec-words.ts'
import styles from './EncoderPanel.module.css'

const BitrateGraph = later(
  () => import('./BitrateGraph.tsx').then(({ BitrateGraph }) => BitrateGraph),
  <Skeleton height={200} />,
)

export const encoderPanelId = 'encoder'

/** What the encoder sends, measured by the server, and what should be set otherwise. */
export function EncoderPanel({ id, isOnAir }: { readonly id: string; readonly isOnAir: boolean }) {
  const health = useInputHealth(id)
  const wasLive = useBitrateHistory(id).length > 0
  // What came before the end is what one wants to see after it.
  if (!isOnAir && !wasLive)
    return (
      <Panel title="Encoder" id={encoderPanelId}>
        <p className={styles['none']}>
          When an encoder sends, its codecs, picture, key frames and bitrate stand here, and what should be set
          otherwise.
        </p>
      </Panel>
    )
  return (
    <Panel title="Encoder" id={encoderPanelId}>
      <div className={styles['content']}>
        <Warnings health={health} />
        <dl className={styles['facts']}>
          {factsOf(health).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value ?? noFigure}</dd>
            </div>
          ))}
        </dl>
        <BitrateGraph id={id} />
      </div>
    </Panel>
  )
}

/** The server's sentences: each says what to change in the encoder. */
function Warnings({ health }: { readonly health: InputHealth | undefined }) {
  return (
    <div className={styles['warned']} role="status">
      <ul className={styles['warnings']}>
        {health?.warnings.map(({ code, message }) => (
          <li key={code}>
            <AlertIcon />
            <span>{message}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}

function factsOf(health: InputHealth | undefined): readonly (readonly [string, ReactNode])[] {
  const { video, audio } = health ?? {}
  const size = video?.width !== undefined && video.height !== undefined ? `${video.width} × ${video.height}` : undefined
  const rate = video?.frameRate !== undefined ? `${rounded(video.frameRate, 2)} fps` : undefined
  const keyFrames = video?.keyframeIntervalMs
  return [
    ['Bitrate', <Bitrate key="bitrate" kbps={health?.bitrateKbps} />],
    ['Video', video && [codecWords(video.codec), video.profile].filter(Boolean).join(' ')],
    ['Picture', size],
    ['Frame rate', rate],
    ['Key frames', keyFrames === undefined ? undefined : `every ${rounded(keyFrames / 1_000, 1)} s`],
    ['B-frames', video?.bFrames === undefined ? undefined : video.bFrames ? 'yes' : 'no'],
    ['Audio', audio && audioWords(audio)],
    ['Upload', uploadWords(health?.uploadRatio)],
  ]
}

function audioWords({ codec, sampleRate, channels }: NonNullable<InputHealth['audio']>): string {
  const parts = [codecWords(codec)]
  if (sampleRate !== undefined) parts.push(`${rounded(sampleRate / 1_000, 2)} kHz`)
  if (channels !== undefined) parts.push(channelWords(channels))
  return parts.join(', ')
}

/** Media time over wall time. */
function uploadWords(ratio: number | undefined): string | undefined {
  if (ratio === undefined) return undefined
  return ratio >= 0.98 ? 'keeps up' : `${Math.round(ratio * 100)} % of real time`
}

function rounded(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)))
}
