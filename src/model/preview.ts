import type { LiveInputId } from './id.ts'

/**
 * Where on the bus the feed of a live input is watched: a byte stream, served by whoever runs the broadcast for as long as it is open (live
 * or held), and by nobody else. The bytes are FLV, from the newest key frame on.
 */
export function previewSubject(input: LiveInputId): string {
  return `live.preview.${input}`
}
