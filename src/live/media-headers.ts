/**
 * What a decoder must have seen before the first frame: onMetaData, sequence headers, and their like (multichannel
 * configuration, HDR metadata), each the newest of its slot. Immutable: a change makes a new list, so that the log can say
 * which headers are in force at which message.
 */
export type MediaHeader = {
  /** What it replaces when it comes again: `metadata`, `video:0`, `audio:0`, `audio:0:multichannel`, … */
  readonly slot: string
  readonly lane: number
  /** RTMP message type: 8, 9 or 18. */
  readonly type: number
  readonly body: Buffer
}
export type MediaHeaders = readonly MediaHeader[]

/** A sequence header of a real codec has some hundred bytes; what is larger is passed on but not kept. */
export const headerBytesMax = 64 * 1024
/** onMetaData, and for 8 video and 8 audio tracks a sequence header and one companion. */
export const headerCountMax = 1 + (8 + 8) * 2

/** Metadata first, then audio, then video: the order that OBS and SRS use. */
function rank(header: MediaHeader): number {
  return header.type === 18 ? 0 : header.type === 8 ? 1 : 2
}

/** The list with one header replaced or added; the same list when nothing changed or there is no room. */
export function withHeader(headers: MediaHeaders, header: MediaHeader): MediaHeaders {
  const index = headers.findIndex((other) => other.slot === header.slot)
  if (index >= 0) {
    if (headers[index]!.body.equals(header.body)) return headers
    return headers.with(index, header)
  }
  if (headers.length >= headerCountMax) return headers
  return [...headers, header].sort((a, b) => rank(a) - rank(b))
}
