import { createHash } from 'node:crypto'
import type { Answer, ApiDescription, DescribedOperation, JsonSchema, Parameter } from './openapi.ts'

const style = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
nav ul { columns: 2; padding-left: 1rem } code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem }
h3 code { font-weight: 700 } section { border-top: 1px solid #8886; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0 }
td p { margin: 0 }
`

/** Nothing runs on this page, and nothing comes from elsewhere. */
export const docsPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The description of the API, for people. */
export function docsPage(description: ApiDescription): string {
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  const groups = description.tags.map(({ name, description: words }) => ({
    ...{ name, words },
    operations: operations.filter(({ operation }) => operation.tags?.includes(name)),
  }))
  const index = groups.map(
    ({ name, operations: some }) =>
      `<h3>${text(name)}</h3><ul>${some
        .map(({ operation }) => `<li><a href="#${text(operation.operationId)}">${text(operation.summary)}</a></li>`)
        .join('')}</ul>`,
  )
  const parts = groups.map(
    ({ name, words, operations: some }) =>
      `<h2>${text(name)}</h2><p>${prose(words)}</p>${some
        .map(({ path, method, operation }) => section(path, method, operation))
        .join('')}`,
  )
  const codes = Object.values(description.components.responses).map((answer) => `<li>${prose(answer.description)}</li>`)
  const { title, version, description: about } = description.info
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}: API</title>
<style>${style}</style></head><body>
<h1>${text(title)} ${text(version)}: API</h1><p>${prose(about)}</p>
<p>For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI ${text(description.openapi)})</p>
<nav>${index.join('')}</nav>
${parts.join('\n')}
<h2 id="errors">Errors</h2><ul>${codes.join('')}</ul>
</body></html>
`
}

function section(path: string, method: string, operation: DescribedOperation): string {
  const sent = Object.values(operation.requestBody?.content ?? {})[0]
  const done = operation.responses['200'] as Answer | undefined
  const answered = Object.values(done?.content ?? {})[0]
  const others = Object.keys(operation.responses).filter((status) => status !== '200')
  return `<section id="${text(operation.operationId)}"><h3>${text(operation.summary)}</h3>
<p><code>${text(method)} ${text(path)}</code></p><p>${prose(operation.description)}</p>
${parameterTable(operation.parameters ?? [])}
${sent === undefined ? '' : `<h4>Body</h4>${fieldTable(sent.schema)}${example(sent.example)}`}
${answered?.example === undefined ? '' : `<h4>Answer</h4>${example(answered.example)}`}
${others.length === 0 ? '' : `<p>Refused with ${others.join(', ')}: see <a href="#errors">errors</a>.</p>`}</section>`
}

function parameterTable(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return ''
  const rows = parameters.map(({ name, in: place, description, schema }) => [
    `<code>${text(name)}</code>`,
    text(place),
    text(kindOf(schema)),
    prose(description),
  ])
  return table(['parameter', 'in', 'kind', ''], rows)
}

function fieldTable(schema: JsonSchema | undefined): string {
  const fields = Object.entries((schema?.['properties'] ?? {}) as Record<string, JsonSchema>)
  const required = new Set((schema?.['required'] ?? []) as string[])
  const rows = fields.map(([name, field]) => [
    `<code>${text(name)}</code>`,
    text(kindOf(field)),
    required.has(name) ? 'required' : '',
    prose(wordsOf(field)),
  ])
  return rows.length === 0 ? '' : table(['field', 'kind', '', ''], rows)
}

/** The description may stand at one of the kinds that a field can have. */
function wordsOf(schema: JsonSchema): string | undefined {
  const { description, anyOf = [] } = schema as { description?: string; anyOf?: JsonSchema[] }
  return description ?? anyOf.map(wordsOf).find((words) => words !== undefined)
}

/** In a few words: `text of at most 64`, `integer from 30 to 1096 or null`, `one of a, b`. */
function kindOf(schema: JsonSchema | undefined): string {
  if (schema === undefined) return ''
  const { type, anyOf, enum: values } = schema as { type?: string | string[]; anyOf?: JsonSchema[]; enum?: unknown[] }
  if (values !== undefined) return `one of ${values.join(', ')}`
  if (anyOf !== undefined) return [...new Set(anyOf.map(kindOf))].join(' or ')
  const [kind = '', ...others] = [type ?? 'any JSON'].flat()
  return [`${kind.replace('string', 'text')}${limitsOf(schema)}`, ...others].join(' or ')
}

function limitsOf(schema: JsonSchema): string {
  const { minimum, maximum, maxLength, maxItems } = schema as Readonly<Record<string, number | undefined>>
  const most = maxLength ?? maxItems
  if (most !== undefined) return ` of at most ${most}`
  if (minimum === undefined) return ''
  return maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER
    ? ` from ${minimum}`
    : ` from ${minimum} to ${maximum}`
}

function example(value: unknown): string {
  if (value === undefined) return ''
  return `<pre>${text(typeof value === 'string' ? value : JSON.stringify(value, null, 2))}</pre>`
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], name: string) =>
    `<tr>${cells.map((cell) => `<${name}>${cell}</${name}>`).join('')}</tr>`
  return `<table>${line(heads, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`
}

/** Backticks become code, empty lines paragraphs. */
function prose(words: string | undefined): string {
  return text(words)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replaceAll('\n\n', '<br>')
}

function text(value: string | undefined): string {
  const signs: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return (value ?? '').replace(/[&<>"']/g, (sign) => signs[sign] ?? sign)
}
