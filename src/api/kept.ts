import { isDeepStrictEqual } from 'node:util'
import type { JsonObject } from '../model/live-input.ts'
import { type Notice, noticeCode } from './envelope.ts'
import { type LiveInputBody, recordingFields, type WireLiveInput } from './schemas.ts'

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
  if (!isObject(body)) return []
  const notices: Notice[] = []
  for (const [name, value] of Object.entries(body)) {
    if (effective.includes(name) || readOnlyFields.has(name)) continue
    const pointer = `/${escaped(name)}`
    if (!isKept(name)) notices.push(notice(pointer, unknownWords))
    else if (name === 'recording' && isObject(value)) notices.push(...noticesOnRecording(value, pointer))
    else if (!isDefault(name, value)) notices.push(notice(pointer, keptWords))
  }
  return notices.slice(0, noticesMax)
}

function noticesOnRecording(recording: Readonly<Record<string, unknown>>, pointer: string): Notice[] {
  const isKnown = (name: string) => recordingFields.has(name)
  const known = Object.fromEntries(Object.entries(recording).filter(([name]) => isKnown(name)))
  const unknown = Object.keys(recording).filter((name) => !isKnown(name))
  return [
    ...(isDefault('recording', known) ? [] : [notice(pointer, keptWords)]),
    ...unknown.map((name) =>
      notice(
        `${pointer}/${escaped(name)}`,
        isKept(name) ? 'This field was passed over: it stands beside `recording`, not in it.' : unknownWords,
      ),
    ),
  ]
}

const keptWords = 'This field is kept and answered. It takes effect when this server can record, which it cannot yet.'
const unknownWords = 'This field is not known and was passed over. Check its spelling.'
const noticesMax = 20

function notice(pointer: string, message: string): Notice {
  return { code: noticeCode, message, source: { pointer } }
}

function isKept(name: string): boolean {
  return (keptFields as readonly string[]).includes(name)
}

/** As a part of a JSON pointer (RFC 6901). */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 100)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
