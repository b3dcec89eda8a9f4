import type { JsonObject } from '../../../src/model/live-input.ts'

export type Named = { readonly uid: string; readonly meta: JsonObject | Record<string, unknown> }

/** What people call it; its id begins the name of one that has none. */
export function nameOf({ uid, meta }: Named): string {
  const name = meta['name']
  return typeof name === 'string' && name.trim() !== '' ? name : `Unnamed (${uid.slice(0, 8)})`
}
