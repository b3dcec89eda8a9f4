import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Bus } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import { type AccountId, isId } from '../model/id.ts'
import type { SecretCipher } from '../model/live-input.ts'
import type { AccountRegister } from './account-register.ts'
import { addTokenRoutes, addUserRoutes, authenticateUser } from './account-routes.ts'
import type { Principal, Right } from './accounts.ts'
import type { Alerting } from './alerting.ts'
import { authenticate, type Doors } from './auth.ts'
import { noRoute, notAuthenticated } from './envelope.ts'
import { addEventRoutes } from './event-routes.ts'
import type { EventStreams } from './events.ts'
import type { IdempotencyKeys } from './idempotency.ts'
import { addLiveInputRoutes } from './live-inputs.ts'
import { addNotificationPolicyRoutes } from './notification-policies.ts'
import { addOutputActionRoutes } from './output-actions.ts'
import { addOutputRoutes } from './outputs.ts'
import { addPreviewRoutes, type Previews } from './preview.ts'
import type { Projection } from './projection.ts'
import { idParams } from './schemas.ts'
import type { SignInLinks } from './session-links.ts'
import { addSignInLinkRoutes } from './session-routes.ts'
import { addWebhookDeliveryRoutes } from './webhook-deliveries.ts'
import { addWebhookDestinationRoutes } from './webhook-destinations.ts'
import type { Wire } from './wire.ts'
import type { Wishes } from './wishes.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The body as it was sent, before the schema left out what it does not know. */
    sentBody: unknown
    /** Who asks. Set before a route behind authentication is called. */
    principal: Principal
  }
  interface FastifyContextConfig {
    /** What the route takes, where its method does not say it (GET and HEAD: `read`, others: `write`). */
    right?: Right
    /** A POST that changes nothing: its body holds what must stand in no address. */
    onlyReads?: true
  }
}

export type HttpRoutes = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** Routes behind authentication, below one account. */
export type AccountRoutes = HttpRoutes

/** What the routes are made of. */
export type Parts = {
  readonly projection: Projection
  readonly wishes: Wishes
  readonly wire: Wire
  readonly bus: Bus
  readonly cipher: SecretCipher
  readonly idempotencyKeys: IdempotencyKeys
  readonly alerting: Alerting
  readonly eventStreams: EventStreams
  readonly previews: Previews
  readonly clock: Clock
  readonly policy: Pick<AddressPolicy, 'check'> | undefined
  readonly outputsMax: number
  readonly resumeSecondsMax: number
}

/**
 * Everything below /accounts/{account_id}. Who asks, whether the ids are ids and whether the token may do this is settled before
 * a byte of the body is read.
 */
export function addAccountRoutes(routes: AccountRoutes, register: AccountRegister, doors: Doors, parts: Parts): void {
  routes.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS') return
    request.principal = authenticate(request, doors)
    const params = request.params as Readonly<Record<string, string>>
    for (const name of idParams) if (params[name] !== undefined && !isId(params[name])) throw noRoute(request.url)
    const byMethod = request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write'
    const right = request.routeOptions.config.right ?? byMethod
    if (!request.principal.mayUse(params['account_id'] as AccountId, right)) throw notAuthenticated()
  })
  answerOtherMethods(routes, () => {
    addLiveInputRoutes(routes, parts)
    addOutputRoutes(routes, parts)
    addOutputActionRoutes(routes, parts)
    addTokenRoutes(routes, register)
    addWebhookDestinationRoutes(routes, parts)
    addNotificationPolicyRoutes(routes, parts)
    addWebhookDeliveryRoutes(routes, parts)
    addEventRoutes(routes, parts)
    addPreviewRoutes(routes, parts)
  })
}

/** What belongs to whoever asks: /accounts and /user. */
export function addAuthenticatedRoutes(
  routes: HttpRoutes,
  register: AccountRegister,
  doors: Doors,
  links: SignInLinks,
  origin: string | undefined,
): void {
  authenticateUser(routes, doors)
  answerOtherMethods(routes, () => {
    addUserRoutes(routes, register)
    addSignInLinkRoutes(routes, links, origin)
  })
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** For every path that `add` adds: OPTIONS says which methods it has, the others of `methods` are refused with 405. */
export function answerOtherMethods(routes: AccountRoutes, add: () => void): void {
  const methodsOf = new Map<string, Set<string>>()
  const rightOf = new Map<string, Right>()
  let isAdding = true
  routes.addHook('onRoute', (route) => {
    if (!isAdding) return
    const known = methodsOf.get(route.routePath) ?? new Set(['OPTIONS'])
    for (const method of [route.method].flat()) known.add(method)
    methodsOf.set(route.routePath, known)
    if (route.config?.right !== undefined) rightOf.set(route.routePath, route.config.right)
  })
  add()
  isAdding = false
  for (const [url, known] of methodsOf) {
    const allow = [...known].join(', ')
    const right = rightOf.get(url)
    routes.route({ method: 'OPTIONS', url, handler: (_, reply) => reply.code(204).header('allow', allow).send() })
    routes.route({
      method: methods.filter((method) => !known.has(method)),
      url,
      config: right === undefined ? {} : { right },
      handler: (request, reply) => {
        reply.header('allow', allow)
        throw noRoute(request.url, 405)
      },
    })
  }
}
