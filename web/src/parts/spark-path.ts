import type { BitratePoint } from '../api/bitrate-history.ts'

/** Between two figures of a running broadcast lies a second: a longer silence is a gap in the line. */
const gapMs = 4_000

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
