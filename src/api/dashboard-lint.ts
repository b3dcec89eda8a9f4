import { z } from 'zod'
import { parseDestination } from '../destination/destination-url.ts'
import { lintDestination } from '../destination/lint.ts'
import { platformOf } from '../destination/platforms.ts'
import type { DestinationLint } from './dashboard-types.ts'
import { checkDestination } from './destination-check.ts'
import { Refusal, success } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'

/** A url and a key as they are typed: what is longer is told as far too long by the same sentence as when saving. */
const text = z.string({ error: 'Must be a text.' })
const lintBody = z.object({ url: text, streamKey: text })

/** What saving a destination would say, while a person still types: nothing is stored, looked up or dialled. */
export function addLintRoute(routes: HttpRoutes): void {
  routes.post('/dashboard/lint', { schema: { body: lintBody }, config: { onlyReads: true } }, ({ body }) =>
    success(lint(body.url.trim(), body.streamKey.trim())),
  )
}

function lint(url: string, streamKey: string): DestinationLint {
  const parsed = parseDestination(url, streamKey)
  const platform = parsed.ok ? platformOf(parsed.destination.host) : undefined
  const refused = refusedWith(url, streamKey)
  const known = new Set(refused.map(({ message }) => message))
  const advice = lintDestination(url, streamKey)
    .filter(({ message }) => !known.has(message))
    .map(({ field, message }) => ({ field, message }))
  return { refused, advice, ...(platform && { platform: { id: platform.id, name: platform.name } }) }
}

function refusedWith(url: string, streamKey: string): DestinationLint['refused'] {
  try {
    checkDestination(url, streamKey)
    return []
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.errors.map(({ message, source }) => ({ field: source?.pointer.slice(1) ?? '', message }))
  }
}
