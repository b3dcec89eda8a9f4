/** Ten minutes, at one figure a second. */
export const historyMs = 600_000
const lengthMax = 600
/** A figure that comes sooner takes the place of the one before: the list and a page both tell of the same second. */
const sameMs = 500
/** What the server remembers is of a second that was seen here when a figure came this near to it. */
const seenMs = 1_000

export type BitratePoint = { readonly atMs: number; readonly kbps: number }

/** The newest bitrates of one live input or output, oldest first. Times are of this browser's clock. */
export class BitrateHistory {
  #points: readonly BitratePoint[] = []

  add(atMs: number, kbps: number): void {
    const last = this.#points.at(-1)
    const before = last !== undefined && atMs - last.atMs < sameMs ? this.#points.slice(0, -1) : this.#points
    this.#points = newest([...before, { atMs, kbps }])
  }

  /** Fills what this page has not seen itself. @param told oldest first. */
  fill(told: readonly BitratePoint[]): void {
    let next = 0
    const missing = told.filter(({ atMs }) => {
      while (next < this.#points.length && this.#points[next]!.atMs < atMs - seenMs) next++
      const seen = this.#points[next]
      return seen === undefined || seen.atMs > atMs + seenMs
    })
    if (missing.length > 0) this.#points = newest([...this.#points, ...missing].sort((a, b) => a.atMs - b.atMs))
  }

  /** The same array until something is added. */
  get points(): readonly BitratePoint[] {
    return this.#points
  }
}

function newest(points: readonly BitratePoint[]): readonly BitratePoint[] {
  const since = (points.at(-1)?.atMs ?? 0) - historyMs
  return points.length > lengthMax || points[0]!.atMs < since
    ? points.slice(-lengthMax).filter(({ atMs }) => atMs >= since)
    : points
}
