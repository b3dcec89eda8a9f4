import { z } from 'zod'
import type { LiveInput } from '../model/live-input.ts'
import { invalid } from './envelope.ts'

/**
 * Query parameters of the list of live inputs. `include_counts` is Cloudflare's; the others are ours: without them the list is what
 * Cloudflare answers, all live inputs in a bare array, the newest first.
 */
const searchLengthMax = 200
const limitMax = 1_000
const limitByDefault = 100
const cursorLengthMax = 1_000
/** So that the cursor, which holds it in base64, is short enough for a url. */
const namePlaceLengthMax = 100
const sorts = ['created', '-created', 'modified', '-modified', 'name', '-name'] as const
const extras = ['status', 'health', 'summary'] as const
type Sort = (typeof sorts)[number]

const sortMend = `Must be one of ${sorts.join(', ')}; a "-" puts the greatest first.`
const limitMend = `Must be a whole number from 1 to ${limitMax}.`
const includeMend = 'Must be status, health or summary, or some of them joined by commas.'

export const listQuery = z.object({
  include_counts: z.enum(['true', 'false', '1', '0'], { error: 'Must be true or false.' }).optional(),
  search: z
    .string({ error: 'Must be one text.' })
    .min(1, { error: 'Must not be empty.' })
    .max(searchLengthMax, { error: `Must have at most ${searchLengthMax} characters.` })
    .optional(),
  sort: z.enum(sorts, { error: sortMend }).optional(),
  limit: z
    .string({ error: limitMend })
    .regex(/^[1-9]\d{0,3}$/, { error: limitMend })
    .refine((text) => Number(text) <= limitMax, { error: limitMend })
    .meta({
      description: `A whole number from 1 to ${limitMax}. Without it, all; with a cursor alone, ${limitByDefault}.`,
    })
    .optional(),
  cursor: z
    .string({ error: 'Must be the cursor of an earlier answer.' })
    .max(cursorLengthMax, { error: 'Must be the cursor of an earlier answer.' })
    .optional(),
  include: z
    .string({ error: includeMend })
    .regex(/^(status|health|summary)(,(status|health|summary))*$/, { error: includeMend })
    .optional(),
})
export type ListQuery = z.output<typeof listQuery>

export type Page = {
  readonly inputs: readonly LiveInput[]
  /** How many there are on all pages. */
  readonly total: number
  /** Absent on the last page. */
  readonly cursor?: string
}

/** @throws Refusal for a cursor that is none, or of another order. */
export function pageOf(inputs: readonly LiveInput[], query: ListQuery): Page {
  const found = query.search === undefined ? inputs : inputs.filter(matching(query.search))
  if (query.sort === undefined && query.limit === undefined && query.cursor === undefined)
    return { inputs: found, total: found.length }
  const sort = query.sort ?? '-created'
  const placed = found.map((input) => ({ input, place: placeOf(input, sort) }))
  placed.sort((a, b) => compare(a.place, b.place, sort))
  const after = query.cursor === undefined ? undefined : readCursor(query.cursor, sort)
  const rest = after === undefined ? placed : placed.filter(({ place }) => compare(place, after, sort) > 0)
  // A sorted list is still the whole list, unless somebody begins to page.
  const isPaged = query.limit !== undefined || query.cursor !== undefined
  const limit = isPaged ? Number(query.limit ?? limitByDefault) : rest.length
  const page = rest.slice(0, limit)
  const last = page.at(-1)
  return {
    inputs: page.map(({ input }) => input),
    total: found.length,
    ...(last !== undefined && rest.length > page.length && { cursor: writeCursor(last.place, sort) }),
  }
}

export function included(query: ListQuery): ReadonlySet<(typeof extras)[number]> {
  return new Set(extras.filter((name) => query.include?.split(',').includes(name)))
}

/** Where an input stands in an order: what it is sorted by, then its uid, so that no two stand in the same place. */
type Place = readonly [by: string, uid: string]

function placeOf(input: LiveInput, sort: Sort): Place {
  switch (sort) {
    case 'created':
    case '-created':
      return [input.created, input.uid]
    case 'modified':
    case '-modified':
      return [input.modified, input.uid]
    case 'name':
    case '-name':
      return [nameOf(input).toLowerCase().slice(0, namePlaceLengthMax), input.uid]
  }
}

function compare(a: Place, b: Place, sort: Sort): number {
  const order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
  if (order !== 0) return sort.startsWith('-') ? -order : order
  return a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0
}

function matching(search: string): (input: LiveInput) => boolean {
  const wanted = search.toLowerCase()
  return (input) => input.uid.includes(wanted) || nameOf(input).toLowerCase().includes(wanted)
}

function nameOf({ meta }: LiveInput): string {
  const { name } = meta
  return typeof name === 'string' ? name : ''
}

const cursorDocument = z.tuple([z.enum(sorts), z.string(), z.string()])

/** Says where the page ended, not how many were passed: what is made or deleted meanwhile moves nothing. */
function writeCursor(place: Place, sort: Sort): string {
  return Buffer.from(JSON.stringify([sort, ...place])).toString('base64url')
}

function readCursor(cursor: string, sort: Sort): Place {
  let read: unknown
  try {
    read = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    // Said below.
  }
  const document = cursorDocument.safeParse(read)
  if (!document.success || document.data[0] !== sort)
    throw invalid('/cursor', 'Must be the cursor of an earlier answer with the same sort. Leave it out to begin anew.')
  return [document.data[1], document.data[2]]
}
