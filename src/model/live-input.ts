import { z } from 'zod'
import type { Secret } from '../secret.ts'
import type { AccountId, LiveInputId, OutputId } from './id.ts'

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
export type JsonObject = { [name: string]: Json }

/** What a person wants: one live input with its outputs, in the order in which they were added. */
export type LiveInput = {
  readonly uid: LiveInputId
  readonly accountId: AccountId
  /** ISO 8601 with microseconds and Z. */
  readonly created: string
  /** Changes only when a person changes something. */
  readonly modified: string
  readonly meta: JsonObject
  readonly enabled: boolean
  readonly streamKey: Secret
  readonly keysRotatedAt?: string
  /** How long the outputs wait for a publisher that vanished, in seconds; unset: the server's RECONNECT_WINDOW. */
  readonly reconnectWindowSeconds?: number
  /** The same after a proper goodbye; unset: 0. */
  readonly reconnectWindowOnStopSeconds?: number
  readonly holdPicture?: boolean
  /** Fields of Cloudflare's API that are kept and given back, and do nothing yet: defaultCreator, recording, … */
  readonly kept?: JsonObject
  readonly outputs: readonly Output[]
}

/** What a person wants of one destination. */
export type Output = {
  readonly uid: OutputId
  /** rtmp:// or rtmps://, as the person gave it. */
  readonly url: string
  readonly streamKey: Secret
  readonly enabled: boolean
  readonly created: string
  readonly name?: string
  readonly username?: string
  readonly password?: Secret
  readonly tls?: { readonly verify?: boolean; readonly fingerprint?: string }
  readonly resumeSeconds?: number
}

/** Seals and opens secrets for storage; `bound` is where the secret belongs. SecretBox is one. */
export type SecretCipher = {
  seal(secret: Secret, bound: string): string
  open(sealed: string, bound: string): Secret
}

const json: z.ZodType<Json> = z.json() as z.ZodType<Json>
const jsonObject = z.record(z.string(), json) as z.ZodType<JsonObject>

const outputDocument = z.object({
  uid: z.string(),
  url: z.string(),
  streamKey: z.string(),
  enabled: z.boolean(),
  created: z.string(),
  name: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  tls: z.object({ verify: z.boolean().optional(), fingerprint: z.string().optional() }).optional(),
  resumeSeconds: z.number().optional(),
})

const liveInputDocument = z.object({
  version: z.literal(1),
  uid: z.string(),
  accountId: z.string(),
  created: z.string(),
  modified: z.string(),
  meta: jsonObject,
  enabled: z.boolean(),
  streamKey: z.string(),
  keysRotatedAt: z.string().optional(),
  reconnectWindowSeconds: z.number().optional(),
  reconnectWindowOnStopSeconds: z.number().optional(),
  holdPicture: z.boolean().optional(),
  kept: jsonObject.optional(),
  outputs: z.array(outputDocument),
})

export const liveInputPrefix = 'input'

export function liveInputKey(uid: LiveInputId): string {
  return `${liveInputPrefix}.${uid}`
}

/** The stored form: JSON, with the secrets sealed. */
export function encodeLiveInput(input: LiveInput, cipher: SecretCipher): string {
  return JSON.stringify({
    version: 1,
    ...input,
    streamKey: cipher.seal(input.streamKey, `input.${input.uid}.streamKey`),
    outputs: input.outputs.map((output) => ({
      ...output,
      streamKey: cipher.seal(output.streamKey, `output.${output.uid}.streamKey`),
      ...(output.password && { password: cipher.seal(output.password, `output.${output.uid}.password`) }),
    })),
  })
}

/** @throws Error when the document is not one, or its secrets do not open with this key. */
export function decodeLiveInput(value: string, cipher: SecretCipher): LiveInput {
  const { version: _, ...document } = liveInputDocument.parse(JSON.parse(value))
  return {
    ...document,
    streamKey: cipher.open(document.streamKey, `input.${document.uid}.streamKey`),
    outputs: document.outputs.map((output) => ({
      ...output,
      streamKey: cipher.open(output.streamKey, `output.${output.uid}.streamKey`),
      ...(output.password !== undefined && { password: cipher.open(output.password, `output.${output.uid}.password`) }),
    })),
  } as unknown as LiveInput
}
