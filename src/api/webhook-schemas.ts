import { z } from 'zod'
import type { LiveInputId } from '../model/id.ts'
import { alertType, deliveryStates, webhookEventTypes } from '../model/webhook.ts'
import { destinationsMax } from './alerting.ts'
import { accountParams, id, line, successOf } from './schemas.ts'

/** Webhooks on the wire: names and shapes are those of Cloudflare's alerting API, and what is ours beside them says so. */

const nameLengthMax = 200
const descriptionLengthMax = 1_000
const urlLengthMax = 2_048
const secretLengthMax = 1_024
const filterLengthMax = 1_000
const deliveriesPerPageMax = 100
const deliveriesPerPage = 25

export const webhookParams = accountParams.extend({ webhook_id: id })
export const policyParams = accountParams.extend({ policy_id: id })
const deliveryId = z.string().regex(/^[0-9a-z]{31}$/, { error: 'Must be the id of a delivery.' })
export const deliveryParams = accountParams.extend({ delivery_id: deliveryId })

const url = z
  .string({ error: 'Give the url to which notifications are sent, for example https://example.com/hooks/live.' })
  .trim()
  .max(urlLengthMax, { error: `Must have at most ${urlLengthMax} characters.` })
  .superRefine((text, context) => {
    const problem = problemOf(text)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
  .meta({ description: 'https:// or http://, without user name and password.' })

function problemOf(text: string): string | undefined {
  const parsed = /[\p{C}\s]/u.test(text) ? null : URL.parse(text)
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || !/^https?:\/\//i.test(text))
    return 'Must be a url that begins with https:// or http://.'
  if (parsed.username !== '' || parsed.password !== '')
    return 'Must not hold a user name or password. Give a `secret`: it is sent in the header cf-webhook-auth.'
  return undefined
}

/** What an HTTP header can hold. Empty: none. */
const secret = z
  .string({ error: 'Must be a text, or null.' })
  .max(secretLengthMax, { error: `Must have at most ${secretLengthMax} characters.` })
  .regex(/^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/, {
    error: 'Must be letters, digits and signs of ASCII, without spaces at its ends: it is sent in a header.',
  })
  .transform((text) => (text === '' ? null : text))
  .meta({ description: 'Sent as `cf-webhook-auth`. ASCII without spaces at its ends.' })

const destinationExample = '{"name": "Control room", "url": "https://example.com/hooks/live", "secret": "…"}'

export const destinationBody = z.object(
  { name: line(nameLengthMax), url, secret: secret.nullish() },
  { error: `The body must be a JSON object, for example ${destinationExample}.` },
)
/** Absent leaves as it is; `secret: null` removes. */
export const destinationChange = destinationBody.partial()
export type DestinationChange = z.output<typeof destinationChange>
/** Names that are read, or that come back from a client that sends what it has read. */
export const destinationFields: readonly string[] = [
  ...Object.keys(destinationBody.shape),
  ...['type', 'created_at', 'last_success', 'last_failure'],
]

/** Filters and mechanisms of Cloudflare's other products: passed over where they say nothing, refused where they would be. */
function saysNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0)
}
function refuseOthers(known: readonly string[], sentence: string) {
  return (value: Readonly<Record<string, unknown>>, context: z.RefinementCtx) => {
    for (const [name, said] of Object.entries(value))
      if (!known.includes(name) && !saysNothing(said))
        context.addIssue({ code: 'custom', message: sentence, path: [name] })
  }
}

const filters = z
  .looseObject(
    {
      input_id: z
        .array(id as unknown as z.ZodType<LiveInputId>, { error: 'Must be a list of ids of live inputs.' })
        .max(filterLengthMax, { error: `At most ${filterLengthMax} ids. Without any, all live inputs are meant.` })
        .nullish(),
      event_type: z
        .array(z.enum(webhookEventTypes, { error: `Must be one of: ${webhookEventTypes.join(', ')}.` }), {
          error: `Must be a list with some of: ${webhookEventTypes.join(', ')}.`,
        })
        .max(filterLengthMax)
        .nullish(),
    },
    { error: 'Must be an object, for example {"event_type": ["live_input.connected"]}.' },
  )
  .superRefine(refuseOthers(['input_id', 'event_type'], `${alertType} has the filters input_id and event_type alone.`))

const mechanismExample = '{"webhooks": [{"id": "…"}]}'
const mechanisms = z
  .looseObject(
    {
      webhooks: z
        .array(z.object({ id }, { error: 'Must be an object with the id of a webhook destination.' }), {
          error: `Give the destinations, for example ${mechanismExample}.`,
        })
        .min(1, { error: `Give one destination or more, for example ${mechanismExample}.` })
        .max(destinationsMax, { error: `At most ${destinationsMax} destinations.` }),
    },
    { error: `Give the destinations, for example ${mechanismExample}.` },
  )
  .superRefine(refuseOthers(['webhooks'], 'This server notifies by webhooks alone.'))

const description = z
  .string({ error: 'Must be a text, or null.' })
  .max(descriptionLengthMax, { error: `Must have at most ${descriptionLengthMax} characters.` })
const enabled = z.boolean({ error: 'Must be true or false.' })
const alert = z.literal(alertType, { error: `Must be "${alertType}": this server has no others.` })
const policyExample = `{"name": "…", "alert_type": "${alertType}", "enabled": true, "mechanisms": ${mechanismExample}}`

export const policyBody = z.object(
  {
    name: line(nameLengthMax),
    alert_type: alert,
    mechanisms,
    enabled: enabled.nullish(),
    description: description.nullish(),
    filters: filters.nullish(),
  },
  { error: `The body must be a JSON object, for example ${policyExample}.` },
)
export type PolicyBody = z.output<typeof policyBody>
/** Absent leaves as it is; filters and mechanisms are replaced as a whole. */
export const policyChange = policyBody.partial()
export type PolicyChange = z.output<typeof policyChange>
export const policyFields: readonly string[] = Object.keys(policyBody.shape)

export const deliveriesQuery = z.object({
  destination_id: id.optional(),
  input_id: id.optional(),
  state: z.enum(deliveryStates, { error: `Must be one of: ${deliveryStates.join(', ')}.` }).optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, { error: `Must be a whole number from 1 to ${deliveriesPerPageMax}.` })
    .transform(Number)
    .refine((value) => value <= deliveriesPerPageMax, {
      error: `Must be a whole number from 1 to ${deliveriesPerPageMax}.`,
    })
    .default(deliveriesPerPage)
    .meta({ description: `A whole number from 1 to ${deliveriesPerPageMax}.` }),
  cursor: deliveryId.optional(),
})

// Answers.

const time = z.iso.datetime()

export const destinationAnswer = z.strictObject({
  id,
  name: z.string(),
  url: z.string(),
  type: z.literal('generic'),
  created_at: time,
  last_success: time.optional(),
  last_failure: time.optional(),
})
export type WireDestination = z.output<typeof destinationAnswer>
/** Ours: the secret of the signatures, this once. */
export const createdDestination = destinationAnswer.extend({ signing_secret: z.string().startsWith('whsec_') })
export const destinationList = z.array(destinationAnswer)

const outcome = z.strictObject({
  at: time,
  /** Of HTTP, where there was an answer. */
  status: z.int().optional(),
  /** Where there was none. */
  error: z.string().optional(),
  duration_ms: z.number(),
})
export type WireOutcome = z.output<typeof outcome>
export const webhookTestAnswer = z.strictObject({ delivered: z.boolean(), outcome })

export const policyAnswer = z.strictObject({
  id,
  name: z.string(),
  description: z.string(),
  enabled: z.boolean(),
  alert_type: z.literal(alertType),
  filters: z.strictObject({
    input_id: z.array(id).optional(),
    event_type: z.array(z.enum(webhookEventTypes)).optional(),
  }),
  mechanisms: z.strictObject({ webhooks: z.array(z.strictObject({ id })) }),
  created: time,
  modified: time,
})
export type WirePolicy = z.output<typeof policyAnswer>
export const policyList = z.array(policyAnswer)
/** Cloudflare's answer to create and update of a policy, and to deletions of both. */
export const idAnswer = z.strictObject({ id })

export const deliveryAnswer = z.strictObject({
  /** The `webhook-id` of every attempt. */
  id: deliveryId,
  policy_id: id,
  destination_id: id,
  input_id: id,
  event_type: z.enum(webhookEventTypes),
  state: z.enum(deliveryStates),
  attempts: z.int(),
  created_at: time,
  next_attempt_at: time.optional(),
  /** It was sent while an earlier event of the same live input was still failing. */
  out_of_order: z.boolean(),
  last_outcome: outcome.optional(),
  /** What is sent. */
  payload: z.record(z.string(), z.json()),
})
export type WireDelivery = z.output<typeof deliveryAnswer>
/** `cursor` leads to the next page, where there is one. */
export const deliveryPage = successOf(z.array(deliveryAnswer)).extend({
  result_info: z.strictObject({ count: z.int(), cursor: z.string().optional() }),
})
