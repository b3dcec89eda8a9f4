import { z } from 'zod'
import { normaliseFingerprint } from '../destination/certificate.ts'
import { streamKeyLengthMax, urlLengthMax } from '../destination/destination-url.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import { connectingSteps } from '../model/lifecycle.ts'
import type { JsonObject } from '../model/live-input.ts'
import { preflightStepNames } from '../model/preflight.ts'

/** What goes over the wire, both ways: each resource once. What validates here is also what the description is made from. */

export const metaBytesMax = 16 * 1024
/** As Cloudflare's `deleteRecordingAfterDays`. */
const retentionDays = { min: 30, max: 1096 }
/** As Cloudflare's `creator`. */
const creatorLengthMax = 64
const allowedOriginsMax = 100
const originLengthMax = 255
/** An hour: whoever is away for longer begins a new broadcast. */
const windowSecondsMax = 3_600
/** A name is a line in a list. */
const nameLengthMax = 200
const usernameLengthMax = 255
const passwordLengthMax = 1_024

export const id = z
  .string({ error: 'Must be an id.' })
  .regex(/^[0-9a-f]{32}$/, { error: 'Must be an id: 32 hex characters.' })
export const accountParams = z.object({ account_id: id as unknown as z.ZodType<AccountId> })
export const inputParams = accountParams.extend({ input_id: id as unknown as z.ZodType<LiveInputId> })
export const outputParams = inputParams.extend({ output_id: id as unknown as z.ZodType<OutputId> })
/** The ids of every path, checked before anything else is. */
export const idParams: readonly string[] = [...Object.keys(outputParams.shape), 'token_id', 'webhook_id', 'policy_id']

const boolean = z.boolean({ error: 'Must be true or false.' })

/** `custom` carries the code of the envelope where it is not 10005. */
function outOfRange(message: string) {
  return { error: message, params: { code: 10060 } }
}

/**
 * What JSON Schema cannot check, or zod does not tell it of, is said in words: `meta` is what the description of the API shows, and
 * what validates stands beside it.
 */
function whole(min: number, max?: number, words?: string) {
  return {
    ...{ type: 'integer', minimum: min },
    ...(max !== undefined && { maximum: max }),
    ...(words !== undefined && { description: words }),
  }
}

const meta = z
  .record(z.string(), z.json(), { error: 'Must be an object, for example {"name": "test stream 1"}.' })
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= metaBytesMax, {
    error: `Is larger than ${metaBytesMax} bytes. Keep only what you need to tell your live inputs apart.`,
  })
  .meta({
    description: `Yours. At most ${metaBytesMax} bytes as JSON; \`name\` is shown in lists.`,
  }) as unknown as z.ZodType<JsonObject>

const retention = z
  .number({ error: `Must be a number of days from ${retentionDays.min} to ${retentionDays.max}, or null.` })
  .refine(
    (days) => Number.isInteger(days) && days >= retentionDays.min && days <= retentionDays.max,
    outOfRange(`Must be a whole number of days from ${retentionDays.min} to ${retentionDays.max}.`),
  )
  .meta(whole(retentionDays.min, retentionDays.max))

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

/** Names that `recording` may have. */
export const recordingFields: ReadonlySet<string> = new Set(Object.keys(recording.shape))

/** @param max undefined where it is only known to the route. */
function seconds(max: number | undefined, words: string) {
  const sentence = `Must be a whole number of seconds${max === undefined ? '' : ` from 0 to ${max}`}, or null.`
  const isInRange = (value: number) => Number.isInteger(value) && value >= 0 && value <= (max ?? Number.MAX_VALUE)
  return z
    .number({ error: sentence })
    .refine(isInRange, outOfRange(sentence))
    .meta(whole(0, max, words))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/** One line that a person typed, verbatim. */
export function line(lengthMax: number) {
  return z
    .string({ error: 'Must be a text, or null.' })
    .min(1, { error: 'Must not be empty. null removes it.' })
    .max(lengthMax, { error: `Must have at most ${lengthMax} characters.` })
    .refine((value) => !controlCharacter.test(value) && value.isWellFormed(), {
      error: 'Must be one line, without control characters.',
    })
    .meta({ description: 'One line, without control characters.' })
}

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
    reconnectWindowSeconds: seconds(
      windowSecondsMax,
      'How long outputs are held for an encoder that vanished; null: as RECONNECT_WINDOW says.',
    ).nullish(),
    reconnectWindowOnStopSeconds: seconds(
      windowSecondsMax,
      'The same for an encoder that said goodbye; null: 0.',
    ).nullish(),
    holdPicture: boolean
      .meta({ description: 'While an encoder is waited for, its last picture is repeated for the outputs.' })
      .nullish(),
  },
  { error: 'The body must be a JSON object, for example {"meta": {"name": "test stream 1"}}.' },
)
export type LiveInputBody = z.output<typeof liveInputBody>

const outputExample = '{"url": "rtmp://a.rtmp.youtube.com/live2", "streamKey": "…"}'

/** What is in them is looked at by `destination/`. */
function text(missing: string, words: object) {
  return z.string({ error: (issue) => (issue.input === undefined ? missing : 'Must be a text.') }).meta({ ...words })
}
const urlWords = { description: 'rtmp:// or rtmps://', maxLength: urlLengthMax }
const streamKeyWords = { description: 'One line.', maxLength: streamKeyLengthMax }

/** Strict: a pin that is misspelt would be no pin. */
const tls = z.strictObject(
  {
    verify: boolean.nullish(),
    fingerprint: z
      .string({ error: 'Must be a text, or null.' })
      .refine((value) => normaliseFingerprint(value) !== undefined, {
        error: 'Must be the SHA-256 of the certificate: 64 hex digits, with or without colons.',
      })
      .meta({ description: 'SHA-256 of the certificate: 64 hex digits, with or without colons.' })
      .nullish(),
  },
  {
    error: ({ code }) =>
      code === 'unrecognized_keys'
        ? 'Has `verify` and `fingerprint` and nothing else. Check the spelling.'
        : 'Must be an object, for example {"verify": false}, or null.',
  },
)

const login = { username: line(usernameLengthMax).nullish(), password: line(passwordLengthMax).nullish() }

/** Beyond Cloudflare. `null` removes, absent leaves as it is; `tls` is merged name by name. */
const outputOptions = {
  name: line(nameLengthMax).nullish(),
  ...login,
  tls: tls.nullish(),
  /** At most what the log holds: the route knows. */
  resumeSeconds: seconds(
    undefined,
    'After a break, the output goes on where it was, if that is no longer ago. At most what the server keeps of a broadcast: BUFFER_MS.',
  ).nullish(),
}
export type OutputOptions = z.output<z.ZodObject<typeof outputOptions>>
/** The names that have an effect in the body of an output. */
export const outputFields: readonly string[] = ['url', 'streamKey', 'enabled', ...Object.keys(outputOptions)]

export const outputBody = z.object(
  {
    url: text('Give the url of the destination, for example rtmp://a.rtmp.youtube.com/live2.', urlWords),
    streamKey: text('Give the stream key that the destination gave you.', streamKeyWords),
    enabled: boolean.nullish(),
    ...outputOptions,
  },
  { error: `The body must be a JSON object, for example ${outputExample}.` },
)
export type OutputBody = z.output<typeof outputBody>

/** Body of PUT. Cloudflare takes `enabled` alone. */
export const outputChange = z.object(
  {
    enabled: boolean.optional(),
    url: text('', urlWords).optional(),
    streamKey: text('', streamKeyWords).optional(),
    ...outputOptions,
  },
  { error: 'The body must be a JSON object, for example {"enabled": false}.' },
)
export type OutputChange = z.output<typeof outputChange>

/** What shall be tried: an output that exists, or a destination that is none yet. */
export const outputTest = z.object(
  {
    output_id: (id as unknown as z.ZodType<OutputId>).optional(),
    url: text('', { description: 'Whether it can be used is the first step of the answer.' }).optional(),
    streamKey: text('', { description: 'With `url`; in place of both, `output_id`.' }).optional(),
    ...login,
    tls: tls.nullish(),
  },
  { error: `The body must be a JSON object, for example ${outputExample}.` },
)
export const outputTestFields: readonly string[] = Object.keys(outputTest.shape)
export type OutputTest = z.output<typeof outputTest>

// Answers.

const moment = z.object({
  ingestProtocol: z.literal('rtmp'),
  reason: z.string().min(1),
  state: z.string().min(1),
  statusEnteredAt: z.iso.datetime(),
  step: z.enum(connectingSteps).optional(),
  nextAttemptAt: z.iso.datetime().optional(),
})
const currentMoment = moment.extend({ statusLastSeen: z.iso.datetime() })
const status = z.object({ current: currentMoment, history: z.array(moment).readonly() }).nullable()

const lastError = z.object({ code: z.string(), message: z.string(), at: z.iso.datetime() })
const warning = z.object({ code: z.string(), message: z.string() })

const outputHealth = z.object({
  bitrateKbps: z.number().optional(),
  bytesSent: z.number().optional(),
  messagesSent: z.number().optional(),
  droppedMessages: z.number().optional(),
  /** By reason. */
  dropped: z.object({ lag: z.number(), overtaken: z.number(), late: z.number() }).optional(),
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

/** Kept and answered; nothing is recorded yet. */
const recordingAnswer = z.strictObject({
  mode: z.enum(['off', 'automatic']),
  requireSignedURLs: z.boolean(),
  allowedOrigins: z.array(z.string()).nullable(),
  hideLiveViewerCount: z.boolean(),
  timeoutSeconds: z.number().optional(),
})

export const liveInputAnswer = z.strictObject({
  uid: id,
  rtmps: endpoint.optional(),
  rtmp: endpoint.optional(),
  created: stamp,
  modified: stamp,
  meta: z.record(z.string(), z.json()),
  defaultCreator: z.string().optional(),
  deleteRecordingAfterDays: z.number().nullable(),
  preferLowLatency: z.boolean(),
  recording: recordingAnswer,
  status,
  enabled: z.boolean(),
  keysRotatedAt: stamp.optional(),
  reconnectWindowSeconds: z.number().optional(),
  reconnectWindowOnStopSeconds: z.number().optional(),
  holdPicture: z.boolean().optional(),
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
  deleteRecordingAfterDays: z.number().nullable(),
  enabled: z.boolean(),
  /** Only where `include` asks for them. */
  status: status.optional(),
  health: inputHealth.optional(),
  /** What a list shows: the state without its history, which a thousand inputs are heavy with, and how many outputs there are. */
  summary: z.strictObject({ status: currentMoment.nullable(), outputs: z.int(), outputsEnabled: z.int() }).optional(),
})
export type WireLiveInputItem = z.output<typeof liveInputItem>

export const liveInputList = z.union([
  z.array(liveInputItem),
  z.strictObject({ liveInputs: z.array(liveInputItem), range: z.int(), total: z.int() }),
])

/** Only where the list was asked with `search`, `sort`, `limit`, `cursor` or `include`. */
export const listInfo = z.strictObject({
  /** On this page, and on all pages. */
  count: z.int(),
  total_count: z.int(),
  /** Of the next page; absent on the last. */
  cursor: z.string().optional(),
})

export const outputAnswer = z.strictObject({
  uid: id,
  url: z.string(),
  streamKey: z.string(),
  enabled: z.boolean(),
  name: z.string().optional(),
  /** The password is never answered. */
  username: z.string().optional(),
  tls: z.strictObject({ verify: z.boolean().optional(), fingerprint: z.string().optional() }).optional(),
  resumeSeconds: z.number().optional(),
  status,
  health: outputHealth.optional().meta({
    description:
      'As it was at most five seconds ago where nothing has happened and nobody looks. Who asks once has it told every second for the ten seconds that follow.',
  }),
})
export type WireOutput = z.output<typeof outputAnswer>

export const outputList = z.array(outputAnswer)
/** False: there was no wait that could have been ended; `messages` says why. */
export const retryAnswer = z.strictObject({ retried: z.boolean() })
export const testAnswer = z.strictObject({
  ok: z.boolean(),
  steps: z
    .array(
      z.strictObject({
        name: z.enum(preflightStepNames),
        ok: z.boolean(),
        durationMs: z.number(),
        /** As in `health.lastError`. */
        code: z.string().optional(),
        detail: z.string().optional(),
      }),
    )
    .readonly(),
})
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
