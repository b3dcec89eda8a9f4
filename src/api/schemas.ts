import { z } from 'zod'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import { connectingSteps } from '../model/lifecycle.ts'
import type { JsonObject } from '../model/live-input.ts'

/** What goes over the wire, both ways: each resource once. What validates here is also what the description is made from. */

export const metaBytesMax = 16 * 1024
/** As Cloudflare's `deleteRecordingAfterDays`. */
const retentionDays = { min: 30, max: 1096 }
/** As Cloudflare's `creator`. */
const creatorLengthMax = 64
const allowedOriginsMax = 100
const originLengthMax = 255

const id = z.string().regex(/^[0-9a-f]{32}$/)
export const accountParams = z.object({ account_id: id as unknown as z.ZodType<AccountId> })
export const inputParams = accountParams.extend({ input_id: id as unknown as z.ZodType<LiveInputId> })
export const outputParams = inputParams.extend({ output_id: id as unknown as z.ZodType<OutputId> })
/** The ids of every path, checked before anything else is. */
export const idParams: readonly string[] = Object.keys(outputParams.shape)

const boolean = z.boolean({ error: 'Must be true or false.' })

/** `custom` carries the code of the envelope where it is not 10005. */
function outOfRange(message: string) {
  return { error: message, params: { code: 10060 } }
}

const meta = z
  .record(z.string(), z.json(), { error: 'Must be an object, for example {"name": "test stream 1"}.' })
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= metaBytesMax, {
    error: `Is larger than ${metaBytesMax} bytes. Keep only what you need to tell your live inputs apart.`,
  }) as unknown as z.ZodType<JsonObject>

const retention = z
  .number({ error: `Must be a number of days from ${retentionDays.min} to ${retentionDays.max}, or null.` })
  .refine(
    (days) => Number.isInteger(days) && days >= retentionDays.min && days <= retentionDays.max,
    outOfRange(`Must be a whole number of days from ${retentionDays.min} to ${retentionDays.max}.`),
  )

const recording = z.object(
  {
    mode: z.enum(['off', 'automatic'], { error: 'Must be "off" or "automatic".' }).nullish(),
    requireSignedURLs: boolean.nullish(),
    allowedOrigins: z
      .array(z.string({ error: 'Must be a host name, for example "*.example.com".' }).max(originLengthMax), {
        error: 'Must be a list of host names, or null.',
      })
      .max(allowedOriginsMax, { error: `At most ${allowedOriginsMax} host names.` })
      .nullish(),
    hideLiveViewerCount: boolean.nullish(),
    timeoutSeconds: z
      .int({ error: 'Must be a whole number of seconds, 0 or more.' })
      .min(0, { error: 'Must be a whole number of seconds, 0 or more.' })
      .nullish(),
  },
  { error: 'Must be an object, for example {"mode": "automatic"}.' },
)

/** Body of create and of PUT. Absent: the default, or no change. `null`: the default. Further fields are passed over. */
export const liveInputBody = z.object(
  {
    meta: meta.nullish(),
    enabled: boolean.nullish(),
    defaultCreator: z
      .string({ error: 'Must be a text.' })
      .max(creatorLengthMax, { error: `Must have at most ${creatorLengthMax} characters.` })
      .nullish(),
    deleteRecordingAfterDays: retention.nullish(),
    preferLowLatency: boolean.nullish(),
    recording: recording.nullish(),
  },
  { error: 'The body must be a JSON object, for example {"meta": {"name": "test stream 1"}}.' },
)
export type LiveInputBody = z.output<typeof liveInputBody>

const outputExample = '{"url": "rtmp://a.rtmp.youtube.com/live2", "streamKey": "…"}'

/** What is in them is looked at by `destination/`. */
function text(missing: string) {
  return z.string({ error: (issue) => (issue.input === undefined ? missing : 'Must be a text.') })
}

export const outputBody = z.object(
  {
    url: text('Give the url of the destination, for example rtmp://a.rtmp.youtube.com/live2.'),
    streamKey: text('Give the stream key that the destination gave you.'),
    enabled: boolean.nullish(),
  },
  { error: `The body must be a JSON object, for example ${outputExample}.` },
)
export type OutputBody = z.output<typeof outputBody>

/** Body of PUT. An output sent back as it was read is welcome, so url and streamKey may stand in it, unchanged. */
export const outputChange = z.object(
  {
    enabled: z.boolean({ error: 'Say whether the output is enabled: true or false.' }),
    url: text('').optional(),
    streamKey: text('').optional(),
  },
  { error: 'The body must be a JSON object, for example {"enabled": false}.' },
)
export type OutputChange = z.output<typeof outputChange>

export const listQuery = z.object({
  include_counts: z.enum(['true', 'false', '1', '0'], { error: 'Must be true or false.' }).optional(),
})

// Answers.

const moment = z.object({
  ingestProtocol: z.literal('rtmp'),
  reason: z.string(),
  state: z.string(),
  statusEnteredAt: z.iso.datetime(),
  step: z.enum(connectingSteps).optional(),
  nextAttemptAt: z.iso.datetime().optional(),
})
const status = z
  .object({ current: moment.extend({ statusLastSeen: z.iso.datetime() }), history: z.array(moment).readonly() })
  .nullable()

const lastError = z.object({ code: z.string(), message: z.string(), at: z.iso.datetime() })
const warning = z.object({ code: z.string(), message: z.string() })

const outputHealth = z.object({
  bitrateKbps: z.number().optional(),
  bytesSent: z.number().optional(),
  messagesSent: z.number().optional(),
  droppedMessages: z.number().optional(),
  droppedMs: z.number().optional(),
  lagMs: z.number().optional(),
  connectedAt: z.iso.datetime().optional(),
  attempts: z.number().optional(),
  reconnects: z.number().optional(),
  lastError: lastError.optional(),
  warning: warning.optional(),
})

const inputHealth = z.object({
  bitrateKbps: z.number(),
  bytesReceived: z.number(),
  connectedAt: z.iso.datetime().optional(),
  video: z
    .object({
      codec: z.string(),
      profile: z.string().optional(),
      width: z.number().optional(),
      height: z.number().optional(),
      frameRate: z.number().optional(),
      keyframeIntervalMs: z.number().optional(),
      bFrames: z.boolean().optional(),
    })
    .optional(),
  audio: z.object({ codec: z.string(), sampleRate: z.number().optional(), channels: z.number().optional() }).optional(),
  uploadRatio: z.number().optional(),
  warnings: z.array(warning).readonly(),
})

const stamp = z.iso.datetime({ precision: 6 })
const endpoint = z.object({ url: z.string(), streamKey: z.string() })

export const liveInputAnswer = z.strictObject({
  uid: id,
  rtmps: endpoint.optional(),
  rtmp: endpoint.optional(),
  created: stamp,
  modified: stamp,
  meta: z.record(z.string(), z.json()),
  status,
  enabled: z.boolean(),
  keysRotatedAt: stamp.optional(),
  health: inputHealth.optional(),
})
export type WireLiveInput = z.output<typeof liveInputAnswer>

export const liveInputItem = z.strictObject({
  uid: id,
  /** As the first documentation of Stream Connect had it. */
  id,
  created: stamp,
  modified: stamp,
  meta: z.record(z.string(), z.json()),
  enabled: z.boolean(),
})
export type WireLiveInputItem = z.output<typeof liveInputItem>

export const liveInputList = z.union([
  z.array(liveInputItem),
  z.strictObject({ liveInputs: z.array(liveInputItem), range: z.int(), total: z.int() }),
])

export const outputAnswer = z.strictObject({
  uid: id,
  url: z.string(),
  streamKey: z.string(),
  enabled: z.boolean(),
  status,
  health: outputHealth.optional(),
})
export type WireOutput = z.output<typeof outputAnswer>

export const outputList = z.array(outputAnswer)
export const videoList = z.array(z.never())
/** Cloudflare's own answer to a deletion, without an envelope; the one body that every version of the SDK reads without harm. */
export const deleted = z.strictObject({})

const notice = z.object({ code: z.int(), message: z.string(), source: z.object({ pointer: z.string() }).optional() })

export function successOf<Result extends z.ZodType>(result: Result) {
  return z.strictObject({ result, success: z.literal(true), errors: z.array(z.never()), messages: z.array(notice) })
}

export const failureAnswer = z.strictObject({
  success: z.literal(false),
  errors: z
    .array(
      z.strictObject({
        code: z.int().min(1000),
        message: z.string().min(1),
        source: z.strictObject({ pointer: z.string() }).optional(),
        error_chain: z.array(z.strictObject({ code: z.int(), message: z.string() })).optional(),
      }),
    )
    .min(1),
  messages: z.array(notice),
  result: z.null(),
})
