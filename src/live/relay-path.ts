import { createHmac } from 'node:crypto'
import type { LiveInput } from '../model/live-input.ts'

/**
 * Through which live inputs a feed has come, so that an output that leads back is found before its first frame.
 *
 * An output tells its destination in the connect object, and nowhere else: media and metadata stay as they came. Each live input that
 * relays the feed adds its own id; whoever is asked to take a feed that has come through the very same input refuses it. A server that
 * knows nothing of it ignores the member, as all servers do with those that they do not know.
 *
 *   relayPath: "mJ0t…,Zq8x…"   ids of 16 characters, the first input's first
 */
export const relayPathField = 'relayPath'

/** Relays in a row; three are many. A ring of servers that each strip one another's ids ends here. */
export const relayPathLengthMax = 16
const idForm = /^[A-Za-z0-9_-]{16}$/
const textLengthMax = relayPathLengthMax * 17

/**
 * What an input is called in a path. It tells a stranger nothing: it is made of the stream key, of which 128 bits are random, and
 * changes with it. The same after a restart, so that whoever takes our feed does not take it for another one.
 */
export function relayIdOf(input: Pick<LiveInput, 'streamKey'>): string {
  return createHmac('sha256', input.streamKey.reveal())
    .update('stream-connect relay path')
    .digest('base64url')
    .slice(0, 16)
}

/** @param text a peer's words; what is no id is left out, and what is too long counts as a path that is. */
export function readRelayPath(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  return text
    .slice(0, textLengthMax)
    .split(',')
    .filter((id) => idForm.test(id))
}

export function writeRelayPath(path: readonly string[]): string {
  return path.join(',')
}

/** Whether a feed that has come this way may not go into an input: it has been there, or comes from too far. */
export function isLoop(path: readonly string[], input: Pick<LiveInput, 'streamKey'>): boolean {
  return path.length >= relayPathLengthMax || path.includes(relayIdOf(input))
}
