import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { WireDelivery, WireDestination, WireOutcome, WirePolicy } from '../../../src/api/webhook-schemas.ts'
import type { DeliveryState, WebhookEventType } from '../../../src/model/webhook.ts'
import { accountPath, call } from '../api/client.ts'
import { useChange } from '../api/queries.ts'
import { tellFailure } from '../frame/notices.ts'

const refreshMs = 15_000
/** What was just sent is looked for. */
const deliveriesRefreshMs = 5_000
const deliveriesPerPage = 20
const alertType = 'stream_live_notifications'

/** The three that are told where a policy names none: Cloudflare's. */
export const inputEvents = ['live_input.connected', 'live_input.disconnected', 'live_input.errored'] as const
export const eventWords: Readonly<Record<WebhookEventType, string>> = {
  'live_input.connected': 'A live input goes on air',
  'live_input.disconnected': 'A live input has ended',
  'live_input.errored': 'An encoder is in trouble',
  'output.connected': 'An output is live',
  'output.reconnecting': 'An output was lost and is tried again',
  'output.error': 'An output is refused',
  'output.recovered': 'An output is live again',
}
export const allEvents = Object.keys(eventWords) as WebhookEventType[]

/** A receiver, and the rules that name it. */
export type Webhook = { readonly destination: WireDestination; readonly policies: readonly WirePolicy[] }

const keyOf = (account: string) => ['webhooks', account] as const
const deliveriesKeyOf = (account: string) => ['deliveries', account] as const

function alerting(account: string, ...parts: readonly string[]): string {
  return accountPath(account, 'alerting', 'v3', ...parts)
}
const destinationPath = (account: string, ...more: readonly string[]) =>
  alerting(account, 'destinations', 'webhooks', ...more)

export function useWebhooks(account: string) {
  return useQuery({
    queryKey: keyOf(account),
    queryFn: async ({ signal }): Promise<readonly Webhook[]> => {
      const [destinations, policies] = await Promise.all([
        call<readonly WireDestination[]>(destinationPath(account), { signal }),
        call<readonly WirePolicy[]>(alerting(account, 'policies'), { signal }),
      ])
      return destinations.result.map((destination) => ({
        destination,
        policies: policies.result.filter(({ mechanisms }) =>
          mechanisms.webhooks.some(({ id }) => id === destination.id),
        ),
      }))
    },
    refetchInterval: refreshMs,
  })
}

/** What is told to it; none when all its policies are disabled, or there are none. */
export function eventsOf({ policies }: Webhook): WebhookEventType[] {
  const named = new Set(
    policies.filter(({ enabled }) => enabled).flatMap(({ filters }) => filters.event_type ?? inputEvents),
  )
  return allEvents.filter((event) => named.has(event))
}

/** The one policy that this page can change: it names this receiver alone. Others were made over the API, and are left as they are. */
export function ownPolicyOf({ policies }: Webhook): WirePolicy | undefined {
  const [only, ...others] = policies
  return others.length === 0 && only?.mechanisms.webhooks.length === 1 ? only : undefined
}

export type WebhookWish = {
  readonly name: string
  readonly url: string
  /** Empty: none, or, of a receiver that is there, as it is. */
  readonly secret: string
  readonly events: readonly WebhookEventType[]
}

/**
 * Where it goes, then what: a receiver without a policy hears nothing. Both are made, or neither.
 * @returns the secret of its signatures, shown this once.
 */
export function useCreateWebhook(account: string) {
  return useChange({
    run: async ({ name, url, secret, events }: WebhookWish) => {
      const body = { name, url, ...(secret !== '' && { secret }) }
      const { result } = await call<WireDestination & { readonly signing_secret: string }>(destinationPath(account), {
        method: 'POST',
        body,
      })
      try {
        await call(alerting(account, 'policies'), { method: 'POST', body: policyOf(name, result.id, events) })
      } catch (error) {
        // Its signing secret was in that answer and in no other. What cannot be deleted now stays in the list, as one that is told nothing.
        await call(destinationPath(account, result.id), { method: 'DELETE' }).catch(() => {})
        throw error
      }
      return result
    },
    refresh: () => [keyOf(account), deliveriesKeyOf(account)],
    failed: undefined,
  })
}

export function useEditWebhook(account: string, before: Webhook | undefined) {
  return useChange({
    run: async ({ name, url, secret, events }: WebhookWish) => {
      const { destination } = before!
      const body = { name, ...(url !== destination.url && { url }), ...(secret !== '' && { secret }) }
      await call(destinationPath(account, destination.id), { method: 'PUT', body })
      const policy = ownPolicyOf(before!)
      if (policy === undefined && before!.policies.length > 0) return
      if (policy === undefined)
        await call(alerting(account, 'policies'), { method: 'POST', body: policyOf(name, destination.id, events) })
      else {
        const filters = { ...policy.filters, event_type: events }
        await call(alerting(account, 'policies', policy.id), { method: 'PUT', body: { name, enabled: true, filters } })
      }
    },
    refresh: () => [keyOf(account)],
    failed: undefined,
  })
}

export function useDeleteWebhook(account: string) {
  return useChange({
    run: async (webhook: Webhook) => {
      await call(destinationPath(account, webhook.destination.id), { method: 'DELETE' })
      // A policy without a receiver would stay behind, and nobody would see it here.
      const policy = ownPolicyOf(webhook)
      if (policy !== undefined) await call(alerting(account, 'policies', policy.id), { method: 'DELETE' })
    },
    show: ({ destination }, patch) =>
      patch<readonly Webhook[]>(keyOf(account), (all) => all.filter((each) => each.destination.id !== destination.id)),
    refresh: () => [keyOf(account), deliveriesKeyOf(account)],
    failed: ({ destination }) => `${destination.name} was not deleted`,
  })
}

export function useTestWebhook(account: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async ({ destination }: Webhook) =>
      (
        await call<{ readonly delivered: boolean; readonly outcome: WireOutcome }>(
          destinationPath(account, destination.id, 'test'),
          { method: 'POST' },
        )
      ).result,
    onError: (error, { destination }) => tellFailure(`${destination.name} was not tested`, error),
    onSettled: () => void client.invalidateQueries({ queryKey: keyOf(account) }),
  })
}

/** @param destination, state empty: all. */
export function useDeliveries(account: string, destination: string, state: DeliveryState | '') {
  return useInfiniteQuery({
    queryKey: [...deliveriesKeyOf(account), destination, state],
    queryFn: async ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: String(deliveriesPerPage) })
      if (destination !== '') query.set('destination_id', destination)
      if (state !== '') query.set('state', state)
      if (pageParam !== '') query.set('cursor', pageParam)
      return await call<readonly WireDelivery[]>(`${alerting(account, 'deliveries')}?${query}`, { signal })
    },
    initialPageParam: '',
    getNextPageParam: ({ info }) => (info as { readonly cursor?: string }).cursor,
    refetchInterval: deliveriesRefreshMs,
    placeholderData: (before) => before,
  })
}

export function useResend(account: string) {
  return useChange({
    run: (delivery: WireDelivery) => call(alerting(account, 'deliveries', delivery.id, 'resend'), { method: 'POST' }),
    refresh: () => [deliveriesKeyOf(account)],
    failed: ({ event_type }) => `"${eventWords[event_type]}" was not sent again`,
  })
}

function policyOf(name: string, destination: string, events: readonly WebhookEventType[]) {
  return {
    name,
    alert_type: alertType,
    enabled: true,
    mechanisms: { webhooks: [{ id: destination }] },
    filters: { event_type: events },
  }
}

/** "200 in 12 ms", or why there was no answer. */
export function outcomeWords({ status, error, duration_ms }: WireOutcome): string {
  return status === undefined ? (error ?? 'There was no answer.') : `HTTP ${status} in ${duration_ms} ms`
}
