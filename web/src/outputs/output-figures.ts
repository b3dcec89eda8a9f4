import type { WireOutput } from '../../../src/api/schemas.ts'
import { noFigure } from '../parts/bitrate-words.ts'
import { durationWords } from '../parts/time-words.ts'

type Health = NonNullable<WireOutput['health']>

/** "0.3 s": how far behind the encoder the output sends. */
export function lagWords({ lagMs }: Health): string {
  return lagMs === undefined ? noFigure : `${(lagMs / 1000).toFixed(1)} s`
}

/** "0 s", "0.4 s", "2 min": media time that was left out, since the broadcast began. */
export function droppedWords({ droppedMs }: Health): string {
  if (droppedMs === undefined) return noFigure
  if (droppedMs === 0) return '0 s'
  return droppedMs < 10_000 ? `${(Math.max(100, droppedMs) / 1000).toFixed(1)} s` : durationWords(droppedMs)
}

export function countWords(count: number | undefined): string {
  return count === undefined ? noFigure : count.toLocaleString('en-GB')
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** "0 B", "812 kB", "1.42 GB": powers of a thousand, as bitrates are. */
export function bytesWords(bytes: number | undefined): string {
  if (bytes === undefined) return noFigure
  let [value, unit] = [bytes, 0]
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`
}
