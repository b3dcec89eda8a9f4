import { isDeepStrictEqual } from 'node:util'
import type { JsonObject } from '../model/live-input.ts'
import { type Notice, noticeCode } from './envelope.ts'
import type { LiveInputBody, WireLiveInput } from './schemas.ts'

/**
 * Fields of Cloudflare's API that this server validates and keeps, although nothing acts on them yet: programs written for
 * Cloudflare send them, and what they sent is there when it can take effect.
 */
const keptFields = ['defaultCreator', 'deleteRecordingAfterDays', 'preferLowLatency', 'recording'] as const

/** What is kept after one more body. Absent leaves as it is, `null` removes, `recording` is merged name by name. */
export function keep(before: JsonObject | undefined, body: LiveInputBody): JsonObject {
  const kept: JsonObject = { ...before }
  for (const field of keptFields) {
    const value = body[field]
    if (value === undefined) continue
    if (value === null) delete kept[field]
    else if (field === 'recording') kept[field] = merge(kept[field] as JsonObject | undefined, value as JsonObject)
    else kept[field] = value as string | number | boolean
  }
  return kept
}

export type KeptOnWire = Pick<
  WireLiveInput,
  'defaultCreator' | 'deleteRecordingAfterDays' | 'preferLowLatency' | 'recording'
>

/** What is kept, as it is answered: with Cloudflare's defaults for what was never sent. */
export function keptOnWire(kept: JsonObject | undefined): KeptOnWire {
  const { recording, ...others } = (kept ?? {}) as Partial<KeptOnWire>
  return { ...keptByDefault, ...others, recording: { ...keptByDefault.recording, ...recording } }
}

const keptByDefault: KeptOnWire = {
  deleteRecordingAfterDays: null,
  preferLowLatency: false,
  recording: { mode: 'off', requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
}

/** Whether a field was sent that asks for nothing but the default: most often it was read here and is sent back. */
function isDefault(name: string, value: unknown): boolean {
  if (value === null) return true
  const sent = keptOnWire({ [name]: value } as JsonObject)
  return isDeepStrictEqual(sent, keptByDefault)
}

/** An optional field after one more body: absent leaves as it is, `null` removes. */
export function after<Value>(before: Value | undefined, sent: Value | null | undefined): Value | undefined {
  return sent === undefined ? before : (sent ?? undefined)
}

function merge(before: JsonObject | undefined, changes: JsonObject): JsonObject {
  const merged: JsonObject = { ...before }
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete merged[name]
    else if (value !== undefined) merged[name] = value
  }
  return merged
}

/** Names of an input or output as it is read: whoever sends one back changed has done nothing wrong. */
const readOnlyFields = new Set(
  'uid id created modified status health keysRotatedAt rtmps rtmp rtmpsPlayback srt srtPlayback webRTC webRTCPlayback playback outputs'.split(
    ' ',
  ),
)

/** What a person should know about fields that were sent and do nothing: most often a name is misspelt. */
export function noticesOn(body: unknown, effective: readonly string[]): Notice[] {
  if (typeof body !== 'object' || body === null) return []
  const isKept = (name: string) => (keptFields as readonly string[]).includes(name)
  const without = Object.entries(body).filter(
    ([name, value]) =>
      !effective.includes(name) && !readOnlyFields.has(name) && !(isKept(name) && isDefault(name, value)),
  )
  return without.slice(0, noticesMax).map(([name]) => ({
    code: noticeCode,
    message: isKept(name)
      ? 'This field is kept and answered. It takes effect when this server can record, which it cannot yet.'
      : 'This field is not known and was passed over. Check its spelling.',
    source: { pointer: `/${name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 100)}` },
  }))
}

const noticesMax = 20
