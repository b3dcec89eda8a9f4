import { useEffect, useState } from 'react'
import { agoWords, durationWords, exactTime, wordsLastMs } from './time-words.ts'

type Props = {
  /** ISO 8601, of the past or of the future. */
  readonly at: string
  /** `ago`: "5 min ago", "in 8 s". `duration`: "5 min": how long it has lasted. */
  readonly form?: 'ago' | 'duration'
}

/** A time as people say it, kept true while it is shown; the exact one on hover. */
export function RelativeTime({ at, form = 'ago' }: Props) {
  const atMs = Date.parse(at)
  const now = useNow(atMs)
  const words = form === 'ago' ? agoWords(atMs, now) : durationWords(now - atMs)
  return (
    <time dateTime={at} title={exactTime(atMs)} className="numbers">
      {words}
    </time>
  )
}

/** Draws anew when the words change, not more often. */
function useNow(atMs: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setTimeout(() => setNow(Date.now()), Math.max(50, wordsLastMs(Math.abs(now - atMs))))
    return () => clearTimeout(timer)
  }, [now, atMs])
  // A time that comes later than the clock was read would be in the future.
  return atMs > now && atMs - now < 1_000 ? atMs : now
}
