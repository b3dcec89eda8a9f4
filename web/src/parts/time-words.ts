const second = 1
const minute = 60
const hour = 3_600
const day = 86_400

/** "8 s", "12 min", "3 h 5 min", "2 d 4 h": two units at most, never negative. @param ms milliseconds. */
export function durationWords(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  if (seconds < minute) return `${seconds} s`
  if (seconds < hour) return `${Math.floor(seconds / minute)} min`
  if (seconds < day) return twoUnits(seconds, hour, 'h', minute, 'min')
  return twoUnits(seconds, day, 'd', hour, 'h')
}

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % large) / small)
  return `${Math.floor(seconds / large)} ${largeName}${rest === 0 ? '' : ` ${rest} ${smallName}`}`
}

/** When the words of a duration change next, milliseconds from now. */
export function wordsLastMs(ms: number): number {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  const unit = seconds < minute ? second : seconds < day ? minute : hour
  return unit * 1_000 - (Math.max(0, ms) % (unit * 1_000))
}

/** "in 5 s", "5 s ago", "just now". */
export function agoWords(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs
  if (Math.abs(ms) < 1_000) return 'just now'
  return ms > 0 ? `${durationWords(ms)} ago` : `in ${durationWords(-ms + 999)}`
}

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' })

/** Date and time to the second with the time zone, as this browser has it. */
export function exactTime(at: string | number): string {
  return exact.format(new Date(at))
}
