import type { BitratePoint } from '../api/bitrate-history.ts'
import styles from './Sparkline.module.css'
import { sparkPath } from './spark-path.ts'

type Props = {
  readonly points: readonly BitratePoint[]
  readonly width?: number
  readonly height?: number
  /** Only what is this new is drawn. Default: two minutes. */
  readonly spanMs?: number
}

const defaultSpanMs = 120_000
/** The shape of the last minutes, beside the figure that says how much: decoration for those who read the figure. */
export function Sparkline({ points, width = 120, height = 28, spanMs = defaultSpanMs }: Props) {
  return (
    <svg
      className={styles['spark']}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
    >
      <line x1={0} x2={width} y1={height - 0.5} y2={height - 0.5} className={styles['ground']} />
      <path d={sparkPath(points, width, height, spanMs)} className={styles['line']} />
    </svg>
  )
}
