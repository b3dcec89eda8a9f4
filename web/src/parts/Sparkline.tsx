import type { BitratePoint } from '../api/bitrate-history.ts'
import styles from './Sparkline.module.css'

type Props = {
  readonly points: readonly BitratePoint[]
  readonly width?: number
  readonly height?: number
  /** Only what is this new is drawn. Default: two minutes. */
  readonly spanMs?: number
}

const defaultSpanMs = 120_000
/** Between two figures of a running broadcast lies a second: a longer silence is a gap in the line. */
const gapMs = 4_000

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

/** Newest at the right edge; from zero up, so that a small change looks small. */
export function sparkPath(points: readonly BitratePoint[], width: number, height: number, spanMs: number): string {
  const last = points.at(-1)
  if (last === undefined) return ''
  const shown = points.filter(({ atMs }) => atMs > last.atMs - spanMs)
  const top = Math.max(1, ...shown.map(({ kbps }) => kbps)) * 1.15
  let previousMs = Number.NEGATIVE_INFINITY
  let path = ''
  for (const { atMs, kbps } of shown) {
    const x = width - ((last.atMs - atMs) / spanMs) * width
    const y = height - 1 - (Math.max(0, kbps) / top) * (height - 2)
    path += `${atMs - previousMs > gapMs ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`
    previousMs = atMs
  }
  return path
}
