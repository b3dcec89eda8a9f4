import { settings } from '../src/settings.ts'
import { type LimitRow, limitRows } from './limits.ts'
import { markdownTable, printedFrom } from './markdown.ts'
import { constantsIn } from './source-constants.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** docs/limits.md: every limit with its value as the code has it, its reason, and the test that reaches it. */
export function limitsPage(): string {
  const sections = limitRows.map(
    ({ title, rows }) =>
      `## ${title}\n\n${markdownTable(['limit', 'value', 'why', 'test', 'in the code'], rows.map(printRow))}`,
  )
  return `${printedFrom('scripts/limits.ts, scripts/limits-of-the-api.ts and the constants that they name')}
# Limits

An ingest port is open to the internet, and a destination is a stranger's server: whatever either of them can make grow has a limit. What
can be set is in [config.md](config.md); the rest is not meant to be changed, because nothing real comes near it. What happens at one is in
the reason, or else the connection is closed and the log says which limit it was.

Memory grows with the bytes that were received, never with a length that was announced.

${sections.join('\n')}`
}

/** @throws Error when the row names a constant or setting that is not there. */
export function shownValueOf({ of, unit }: LimitRow): string {
  return (typeof of === 'string' ? [of] : of).map((one) => printValue(numberOf(one), unit)).join(', then ')
}

function printRow(row: LimitRow): string[] {
  const names = typeof row.of === 'string' ? [row.of] : row.of
  return [
    row.limit,
    shownValueOf(row),
    row.why,
    `${row.test[1]} (\`${row.test[0]}\`)`,
    names.map((name) => `\`${name.replace('#', ': ')}\``).join(', '),
  ]
}

function numberOf(name: string): number {
  const [path, constant = ''] = name.split('#')
  if (path === 'setting') {
    const setting = Object.values(settings).find((one) => one.name === constant)
    const value = setting?.schema.parse(('default' in setting && setting.default) || '')
    if (typeof value === 'number') return value
  } else {
    const [first = '', member] = constant.split('.')
    const value = constantsIn(path!).get(first)
    const number = typeof value === 'object' && member !== undefined ? value[member] : value
    if (typeof number === 'number') return number
  }
  throw new Error(`there is no number ${name}`)
}

function printValue(value: number, unit: LimitRow['unit']): string {
  switch (unit) {
    case 'ms':
      if (value >= hourMs) return value % dayMs === 0 ? inDays(value / dayMs) : `${inGroups(value / hourMs)} h`
      return value < 1_000 ? `${value} ms` : `${value / 1_000} s`
    case 's':
      return `${value} s`
    case 'bytes':
      return inBytes(value)
    case 'bytes/s':
      return `${inBytes(value)}/s`
    case 'kbit/s':
      return `${inGroups(value)} kbit/s`
    case '/s':
      return `${inGroups(value)}/s`
    case 'count':
      return inGroups(value)
    default:
      return unit satisfies never
  }
}

function inDays(days: number): string {
  return days === 1 ? '24 h' : `${days} days`
}

function inBytes(value: number): string {
  const mebibyte = 1024 * 1024
  if (value >= mebibyte && value % mebibyte === 0) return `${inGroups(value / mebibyte)} MiB`
  if (value >= 1024 && value % 1024 === 0) return `${inGroups(value / 1024)} KiB`
  return `${inGroups(value)} bytes`
}

function inGroups(value: number): string {
  return value.toLocaleString('en')
}
