import type { JsonObject } from '../model/live-input.ts'
import {
  type Delivery,
  type WebhookDeliveriesAnswer,
  type WebhookDeliveriesRequest,
  type WebhookResendAnswer,
  type WebhookResendRequest,
  webhookDeliveriesSubject,
  webhookResendSubject,
} from '../model/webhook.ts'
import { notFound, success } from './envelope.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import { accountParams, successOf } from './schemas.ts'
import { outcomeOnWire } from './webhook-destinations.ts'
import { deliveriesQuery, deliveryAnswer, deliveryPage, deliveryParams, type WireDelivery } from './webhook-schemas.ts'

const collection = '/accounts/:account_id/alerting/v3/deliveries'

/** The notifier has them in memory, and answers at once. */
const deadlineMs = 5_000

/** What became of each notification. Ours: Cloudflare has nothing of the kind. */
export function addWebhookDeliveryRoutes(routes: AccountRoutes, { bus }: Parts): void {
  routes.get(
    collection,
    { schema: { params: accountParams, querystring: deliveriesQuery, response: { 200: deliveryPage } } },
    async ({ params: { account_id }, query: { destination_id, input_id, state, limit, cursor } }) => {
      const request: WebhookDeliveriesRequest = {
        accountId: account_id,
        limit,
        ...(destination_id !== undefined && { destinationId: destination_id }),
        ...(input_id !== undefined && { inputId: input_id }),
        ...(state !== undefined && { state }),
        ...(cursor !== undefined && { before: cursor }),
      }
      const answer = await bus.request(webhookDeliveriesSubject, request, { deadlineMs })
      const { deliveries, hasMore } = answer as unknown as WebhookDeliveriesAnswer
      return {
        ...success(deliveries.map(onWire)),
        result_info: { count: deliveries.length, ...(hasMore && { cursor: deliveries.at(-1)!.id }) },
      }
    },
  )

  routes.post(
    `${collection}/:delivery_id/resend`,
    { schema: { params: deliveryParams, response: { 200: successOf(deliveryAnswer) } } },
    async ({ params: { account_id, delivery_id } }) => {
      const request: WebhookResendRequest = { accountId: account_id, id: delivery_id }
      const answer = await bus.request(webhookResendSubject, request, { deadlineMs })
      const { delivery } = answer as unknown as WebhookResendAnswer
      if (delivery === undefined) throw notFound('delivery', delivery_id)
      return success(onWire(delivery))
    },
  )
}

function onWire(delivery: Delivery): WireDelivery {
  const { id, policyId, destinationId, inputId, eventType, state, attempts, nextAttemptAt, lastOutcome } = delivery
  return {
    id,
    policy_id: policyId,
    destination_id: destinationId,
    input_id: inputId,
    event_type: eventType,
    state,
    attempts,
    created_at: delivery.created,
    ...(nextAttemptAt !== undefined && { next_attempt_at: new Date(nextAttemptAt).toISOString() }),
    out_of_order: delivery.outOfOrder ?? false,
    ...(lastOutcome !== undefined && { last_outcome: outcomeOnWire(lastOutcome) }),
    payload: JSON.parse(delivery.body) as JsonObject,
  }
}
