/** A figure with one panel beside the other: measured points, and the straight line that fits them best. SVG, drawn by hand. */
export type Panel = {
  readonly title: string
  readonly xTitle: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Of the line, shown beneath the title. */
  readonly says: (line: Line) => string
}

/** y = offset + slope · x */
export type Line = { readonly offset: number; readonly slope: number }

const panelWidth = 420
const height = 300
const margin = { left: 56, right: 18, top: 58, bottom: 46 }
const ticksWanted = 5

export function drawFigure(panels: readonly Panel[]): string {
  const width = panelWidth * panels.length
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<title>${escaped(panels.map(({ title }) => title).join('; '))}</title>
<rect width="100%" height="100%" fill="#fff"/>
${panels.map((panel, index) => `<g transform="translate(${index * panelWidth} 0)">\n${drawPanel(panel)}\n</g>`).join('\n')}
</svg>
`
}

function drawPanel({ title, xTitle, points, says }: Panel): string {
  const line = fitLine(points)
  const xs = points.map(([x]) => x)
  const xTicks = ticks(Math.max(...xs))
  const yTicks = ticks(Math.max(...points.map(([, y]) => y), line.offset + line.slope * Math.max(...xs)))
  const right = panelWidth - margin.right
  const bottom = height - margin.bottom
  const toX = (x: number) => round(margin.left + (x / xTicks.at(-1)!) * (right - margin.left))
  const toY = (y: number) => round(bottom - (y / yTicks.at(-1)!) * (bottom - margin.top))
  const last = Math.max(...xs)
  return [
    `<text x="${margin.left}" y="22" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    `<text x="${margin.left}" y="41" fill="#555">${escaped(says(line))}</text>`,
    ...yTicks.map(
      (y) =>
        `<path d="M${margin.left} ${toY(y)}H${right}" stroke="#ddd"/><text x="${margin.left - 8}" y="${toY(y) + 4}" text-anchor="end" fill="#555">${short(y)}</text>`,
    ),
    ...xTicks.map((x) => `<text x="${toX(x)}" y="${bottom + 18}" text-anchor="middle" fill="#555">${short(x)}</text>`),
    `<text x="${(margin.left + right) / 2}" y="${height - 10}" text-anchor="middle" fill="#555">${escaped(xTitle)}</text>`,
    `<path d="M${toX(0)} ${toY(Math.max(0, line.offset))}L${toX(last)} ${toY(line.offset + line.slope * last)}" stroke="#1c7ed6" stroke-dasharray="5 4" fill="none"/>`,
    ...points.map(([x, y]) => `<circle cx="${toX(x)}" cy="${toY(y)}" r="4" fill="#1c7ed6"/>`),
  ].join('\n')
}

/** Least squares. */
export function fitLine(points: readonly (readonly [number, number])[]): Line {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const x = mean(([value]) => value)
  const y = mean(([, value]) => value)
  const spread = mean(([value]) => (value - x) ** 2)
  const slope = spread === 0 ? 0 : mean(([a, b]) => (a - x) * (b - y)) / spread
  return { offset: y - slope * x, slope }
}

/** From 0 in steps of 1, 2 or 5 times a power of ten, up to the first that is not below `max`. */
function ticks(max: number): readonly number[] {
  const rough = (max || 1) / ticksWanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  return Array.from({ length: Math.ceil((max || 1) / step) + 1 }, (_, index) => index * step)
}

const round = (value: number): number => Math.round(value * 10) / 10
const short = (value: number): string => Number(value.toPrecision(6)).toLocaleString('en')
const escaped = (text: string): string => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
