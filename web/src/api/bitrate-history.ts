/** Ten minutes, at one figure a second. */
export const historyMs = 600_000
const lengthMax = 600
/** A figure that comes sooner takes the place of the one before: the list and a page both tell of the same second. */
const sameMs = 500

export type BitratePoint = { readonly atMs: number; readonly kbps: number }

/** The newest bitrates of one live input or output, oldest first. Times are of this browser's clock. */
export class BitrateHistory {
  #points: BitratePoint[] = []

  add(atMs: number, kbps: number): void {
    const last = this.#points.at(-1)
    const points = last !== undefined && atMs - last.atMs < sameMs ? this.#points.slice(0, -1) : this.#points.slice()
    points.push({ atMs, kbps })
    const since = atMs - historyMs
    this.#points =
      points.length > lengthMax || points[0]!.atMs < since
        ? points.slice(-lengthMax).filter((point) => point.atMs >= since)
        : points
  }

  /** The same array until something is added. */
  get points(): readonly BitratePoint[] {
    return this.#points
  }
}
