import type { AccountId } from '../model/id.ts'
import {
  type DeliveryOutcome,
  encodeDestination,
  isAccepted,
  newSigningSecret,
  newWebhookId,
  type ReceiverStatus,
  type WebhookDestination,
  type WebhookTestRequest,
  webhookTestSubject,
} from '../model/webhook.ts'
import { Secret } from '../secret.ts'
import type { Alerting } from './alerting.ts'
import { invalid, type Notice, noticeCode, refused, success } from './envelope.ts'
import { noticesOn } from './kept.ts'
import { goneSignal, takePlace } from './output-actions.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import { accountParams, successOf } from './schemas.ts'
import {
  createdDestination,
  type DestinationChange,
  destinationAnswer,
  destinationBody,
  destinationChange,
  destinationFields,
  destinationList,
  idAnswer,
  type WireDestination,
  type WireOutcome,
  webhookParams,
  webhookTestAnswer,
} from './webhook-schemas.ts'

const collection = '/accounts/:account_id/alerting/v3/destinations/webhooks'
const one = `${collection}/:webhook_id`

/** The attempt has a deadline of its own, which ends sooner. */
const testDeadlineMs = 15_000

/** Where notifications go. */
export function addWebhookDestinationRoutes(routes: AccountRoutes, { alerting, wishes, bus }: Parts): void {
  const { destinations } = alerting
  const tests = new Map<AccountId, number>()

  /** The notifier sends a test notification, whatever it thinks of the answer. */
  const test = async (destination: WebhookDestination, response: Parameters<typeof goneSignal>[0]) => {
    using _place = takePlace(tests, destination.accountId)
    const gone = goneSignal(response)
    const request: WebhookTestRequest = { destination: encodeDestination(destination, alerting.cipher) }
    const outcome = await bus
      .request(webhookTestSubject, request, { deadlineMs: testDeadlineMs, signal: gone })
      .catch((error: unknown) => {
        // Nobody is left to read what is answered now.
        throw gone.aborted ? refused(408, { cause: error }) : error
      })
    return outcome as DeliveryOutcome
  }

  routes.get(
    collection,
    { schema: { params: accountParams, response: { 200: successOf(destinationList) } } },
    async ({ params: { account_id } }) => {
      const receivers = await alerting.receivers(account_id)
      return success((await destinations.list(account_id)).map((each) => onWire(each, receivers.get(each.id))))
    },
  )

  routes.post(
    collection,
    { schema: { params: accountParams, body: destinationBody, response: { 200: successOf(createdDestination) } } },
    async ({ params: { account_id }, body, sentBody }, reply) => {
      const { name, url, secret } = body
      const destination: WebhookDestination = {
        id: newWebhookId(),
        accountId: account_id,
        name,
        url,
        ...(secret != null && { secret: new Secret(secret) }),
        signingSecret: newSigningSecret(),
        created: wishes.stamp(),
      }
      await destinations.checkRoom(account_id)
      mustBeAccepted(await test(destination, reply.raw))
      await destinations.create(destination)
      return success(
        {
          ...onWire(destination, (await alerting.receivers(account_id)).get(destination.id)),
          signing_secret: destination.signingSecret.reveal(),
        },
        noticesOn(sentBody, destinationFields),
      )
    },
  )

  routes.get(
    one,
    { schema: { params: webhookParams, response: { 200: successOf(destinationAnswer) } } },
    async ({ params: { account_id, webhook_id } }) => {
      const destination = await destinations.find(account_id, webhook_id)
      return success(onWire(destination, (await alerting.receivers(account_id)).get(webhook_id)))
    },
  )

  routes.put(
    one,
    { schema: { params: webhookParams, body: destinationChange, response: { 200: successOf(destinationAnswer) } } },
    async ({ params: { account_id, webhook_id }, body, sentBody }, reply) => {
      const before = await destinations.find(account_id, webhook_id)
      const wanted = withChanges(before, body)
      // What receivers see of it is tried before it counts.
      if (wanted.url !== before.url || wanted.secret?.reveal() !== before.secret?.reveal())
        mustBeAccepted(await test(wanted, reply.raw))
      const changed = await destinations.change(account_id, webhook_id, (current) => withChanges(current, body))
      return success(
        onWire(changed, (await alerting.receivers(account_id)).get(webhook_id)),
        noticesOn(sentBody, destinationFields),
      )
    },
  )

  routes.delete(
    one,
    { schema: { params: webhookParams, response: { 200: successOf(idAnswer) } } },
    async ({ params: { account_id, webhook_id } }) => {
      await destinations.remove(account_id, webhook_id)
      return success({ id: webhook_id }, await leavePolicies(alerting, account_id, webhook_id, () => wishes.stamp()))
    },
  )

  routes.post(
    `${one}/test`,
    { schema: { params: webhookParams, response: { 200: successOf(webhookTestAnswer) } } },
    async ({ params: { account_id, webhook_id } }, reply) => {
      const outcome = await test(await destinations.find(account_id, webhook_id), reply.raw)
      return success({ delivered: isAccepted(outcome), outcome: outcomeOnWire(outcome) })
    },
  )
}

/** Policies name what exists. Should the server be killed here: what is not there is not notified. */
async function leavePolicies(
  { policies }: Alerting,
  account: AccountId,
  destinationId: string,
  stamp: () => string,
): Promise<Notice[]> {
  const named: string[] = []
  for (const { id, name, destinationIds } of await policies.list(account)) {
    if (!destinationIds.includes(destinationId)) continue
    await policies.change(account, id, (policy) => ({
      ...policy,
      destinationIds: policy.destinationIds.filter((each) => each !== destinationId),
      modified: stamp(),
    }))
    named.push(name)
  }
  if (named.length === 0) return []
  const message = `It was taken out of ${named.length === 1 ? 'the policy' : 'the policies'} ${named.join(', ')}.`
  return [{ code: noticeCode, message }]
}

/** @throws Refusal */
function mustBeAccepted(outcome: DeliveryOutcome): void {
  if (isAccepted(outcome)) return
  const { status, error } = outcome
  const why =
    status === undefined
      ? error
      : status >= 300 && status < 400
        ? `The receiver answered ${status}, and redirects are not followed. Give the url that it leads to.`
        : `The receiver answered ${status}; it must answer with 2xx.`
  throw invalid('/url', `The test notification could not be delivered. ${why}`)
}

function withChanges(before: WebhookDestination, { name, url, secret }: DestinationChange): WebhookDestination {
  const { secret: secretBefore, ...rest } = before
  const kept = secret === undefined ? secretBefore : secret === null ? undefined : new Secret(secret)
  return {
    ...rest,
    ...(name !== undefined && { name }),
    ...(url !== undefined && { url }),
    ...(kept !== undefined && { secret: kept }),
  }
}

function onWire({ id, name, url, created }: WebhookDestination, receiver: ReceiverStatus = {}): WireDestination {
  const { lastSuccess, lastFailure } = receiver
  return {
    id,
    name,
    url,
    type: 'generic',
    created_at: created,
    ...(lastSuccess !== undefined && { last_success: lastSuccess }),
    ...(lastFailure !== undefined && { last_failure: lastFailure }),
  }
}

export function outcomeOnWire({ at, status, error, durationMs }: DeliveryOutcome): WireOutcome {
  return {
    at,
    ...(status !== undefined && { status }),
    ...(error !== undefined && { error }),
    duration_ms: durationMs,
  }
}
