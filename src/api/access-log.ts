import type { FastifyRequest } from 'fastify'
import { isId } from '../model/id.ts'
import type { ApiLog } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { HttpRoutes } from './routes.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The id of what the request has made, for the log. */
    madeId: string | undefined
  }
}

export const changeSentence = 'a change over the API'
export const readSentence = 'a request to the API'

/**
 * Tells of each request when it has been answered: to the metrics, and to the log. What changes something, or tries to, is logged as who
 * (the token's id and name, the address), what (method, route, ids, the names of the fields that were sent), and the outcome; what only
 * reads, at the level debug. Never logged: a token, a key, a url, or any other value that was sent.
 */
export function logAccess(routes: HttpRoutes, log: ApiLog, metrics: Metrics): void {
  routes.decorateRequest('madeId', undefined)
  routes.addHook('preSerialization', async (request, _reply, payload) => {
    if (request.method === 'POST') request.madeId = idIn(payload)
    return payload
  })
  routes.addHook('onResponse', async (request, reply) => {
    const route = routeOf(request)
    // How long somebody has listened is no latency.
    if (!endless.test(String(reply.raw.getHeader('content-type'))))
      metrics.requestServed(request.method, route, reply.statusCode, reply.elapsedTime / 1000)
    const isChange = !readingMethods.has(request.method) && !request.routeOptions?.config.onlyReads
    const fields = {
      method: request.method,
      route,
      ...idsOf(request),
      ...(request.madeId !== undefined && { madeId: request.madeId }),
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
      address: request.ip,
      ...(request.principal && { tokenId: request.principal.id, tokenName: request.principal.name }),
    }
    if (isChange) log.info({ ...fields, ...namesOf(request.body) }, changeSentence)
    else log.debug(fields, readSentence)
  })
}

const readingMethods = new Set(['GET', 'HEAD', 'OPTIONS'])
const endless = /^(?:text\/event-stream|video\/x-flv)/

/** The pattern; a path may hold anything, and there is no end of them. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions?.url ?? 'none'
}

/** What does not look like an id may be anything, be it a key in the wrong place. */
function idsOf(request: FastifyRequest): Record<string, string> {
  const params = (request.params ?? {}) as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    Object.entries(params).filter((param): param is [string, string] => typeof param[1] === 'string' && isId(param[1])),
  )
}

/** The body as the schema has read it: it has no names but those that are known. */
function namesOf(body: unknown): { fields?: string[] } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return {}
  const fields = Object.keys(body)
  return fields.length === 0 ? {} : { fields }
}

function idIn(payload: unknown): string | undefined {
  const { uid, id } = ((payload as { result?: unknown } | null)?.result ?? {}) as { uid?: unknown; id?: unknown }
  const made = uid ?? id
  return typeof made === 'string' && isId(made) ? made : undefined
}
