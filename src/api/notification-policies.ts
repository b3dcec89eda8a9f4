import { isDeepStrictEqual } from 'node:util'
import type { AccountId } from '../model/id.ts'
import { alertType, type NotificationPolicy, newWebhookId } from '../model/webhook.ts'
import { invalidBecause, type Notice, noticeCode, success } from './envelope.ts'
import { noticesOn } from './kept.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import { accountParams, successOf } from './schemas.ts'
import {
  idAnswer,
  type PolicyChange,
  policyAnswer,
  policyBody,
  policyChange,
  policyFields,
  policyList,
  policyParams,
  type WirePolicy,
} from './webhook-schemas.ts'

const collection = '/accounts/:account_id/alerting/v3/policies'
const one = `${collection}/:policy_id`

/** Which events of which live inputs go to which destinations. */
export function addNotificationPolicyRoutes(routes: AccountRoutes, { alerting, wishes, projection }: Parts): void {
  const { policies, destinations } = alerting

  /** @throws Refusal when one of them does not exist. */
  const checkDestinations = async (account: AccountId, ids: readonly string[]): Promise<void> => {
    const existing = new Set((await destinations.list(account)).map(({ id }) => id))
    const errors = ids.flatMap((id, place) =>
      existing.has(id)
        ? []
        : [
            {
              code: 10005 as const,
              message: `There is no webhook destination ${id} in this account.`,
              source: { pointer: `/mechanisms/webhooks/${place}/id` },
            },
          ],
    )
    if (errors.length > 0) throw invalidBecause(errors)
  }

  /** A filter that matches nothing is most often a slip. */
  const adviceOn = ({ accountId, inputIds }: NotificationPolicy): Notice[] =>
    inputIds
      .flatMap((id, place) =>
        projection.find(accountId, id) === undefined
          ? [
              {
                code: noticeCode,
                message: `There is no live input ${id} in this account.`,
                source: { pointer: `/filters/input_id/${place}` },
              },
            ]
          : [],
      )
      .slice(0, 20)

  routes.get(
    collection,
    { schema: { params: accountParams, response: { 200: successOf(policyList) } } },
    async ({ params: { account_id } }) => success((await policies.list(account_id)).map(onWire)),
  )

  routes.post(
    collection,
    { schema: { params: accountParams, body: policyBody, response: { 200: successOf(idAnswer) } } },
    async ({ params: { account_id }, body, sentBody }) => {
      const created = wishes.stamp()
      const policy = withChanges(
        {
          id: newWebhookId(),
          accountId: account_id,
          name: body.name,
          description: '',
          enabled: true,
          inputIds: [],
          eventTypes: [],
          destinationIds: [],
          created,
          modified: created,
        },
        body,
      )
      await policies.create(policy, () => checkDestinations(account_id, policy.destinationIds))
      return success({ id: policy.id }, [...adviceOn(policy), ...noticesOn(sentBody, policyFields)])
    },
  )

  routes.get(
    one,
    { schema: { params: policyParams, response: { 200: successOf(policyAnswer) } } },
    async ({ params: { account_id, policy_id } }) => success(onWire(await policies.find(account_id, policy_id))),
  )

  routes.put(
    one,
    { schema: { params: policyParams, body: policyChange, response: { 200: successOf(policyAnswer) } } },
    async ({ params: { account_id, policy_id }, body, sentBody }) => {
      await policies.find(account_id, policy_id)
      if (body.mechanisms !== undefined)
        await checkDestinations(
          account_id,
          body.mechanisms.webhooks.map(({ id }) => id),
        )
      const modified = wishes.stamp()
      const policy = await policies.change(account_id, policy_id, (before) => {
        const changed = withChanges(before, body)
        return isDeepStrictEqual(changed, before) ? before : { ...changed, modified }
      })
      const advice = body.filters === undefined ? [] : adviceOn(policy)
      return success(onWire(policy), [...advice, ...noticesOn(sentBody, policyFields)])
    },
  )

  routes.delete(
    one,
    { schema: { params: policyParams, response: { 200: successOf(idAnswer) } } },
    async ({ params: { account_id, policy_id } }) => {
      await policies.remove(account_id, policy_id)
      return success({ id: policy_id })
    },
  )
}

function withChanges(
  before: NotificationPolicy,
  { name, description, enabled, filters, mechanisms }: PolicyChange,
): NotificationPolicy {
  return {
    ...before,
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description: description ?? '' }),
    ...(enabled !== undefined && { enabled: enabled ?? true }),
    ...(filters !== undefined && { inputIds: [...new Set(filters?.input_id)] }),
    ...(filters !== undefined && { eventTypes: [...new Set(filters?.event_type)] }),
    ...(mechanisms !== undefined && { destinationIds: [...new Set(mechanisms.webhooks.map(({ id }) => id))] }),
  }
}

function onWire(policy: NotificationPolicy): WirePolicy {
  const { id, name, description, enabled, inputIds, eventTypes, destinationIds, created, modified } = policy
  return {
    id,
    name,
    description,
    enabled,
    alert_type: alertType,
    filters: {
      ...(inputIds.length > 0 && { input_id: [...inputIds] }),
      ...(eventTypes.length > 0 && { event_type: [...eventTypes] }),
    },
    mechanisms: { webhooks: destinationIds.map((each) => ({ id: each })) },
    created,
    modified,
  }
}
