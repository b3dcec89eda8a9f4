import { createHash } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { tooMuch } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'

/** Cloudflare's window: 1,200 requests in five minutes for each token. */
const windowSeconds = 300
/** Tokens and addresses that are counted at once; the least recently seen is forgotten. */
const countedMax = 10_000

const libraryHeaders = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'] as const

/**
 * Counts requests by token (by address where there is none, so that guessing tokens is slow, too), and says how many are left in
 * Cloudflare's headers: `Ratelimit: "default";r=<left>;t=<seconds>` and `Ratelimit-Policy: "default";q=<limit>;w=300`.
 *
 * @param limit requests per window; 0 turns it off.
 */
export async function limitRate(routes: HttpRoutes, limit: number): Promise<void> {
  if (limit === 0) return
  await routes.register(rateLimit, {
    global: true,
    max: limit,
    timeWindow: windowSeconds * 1000,
    cache: countedMax,
    keyGenerator: whoAsks,
    errorResponseBuilder: (_request, { ttl }) => {
      const seconds = Math.ceil(ttl / 1000)
      return tooMuch(`Too many requests. Wait ${seconds} s, ask less often, or raise RATE_LIMIT.`, seconds)
    },
  })
  routes.addHook('onSend', async (_request, reply) => {
    const left = reply.getHeader('x-ratelimit-remaining')
    const seconds = reply.getHeader('x-ratelimit-reset')
    for (const name of libraryHeaders) reply.removeHeader(name)
    if (left === undefined) return
    reply.header('ratelimit', `"default";r=${left};t=${seconds ?? windowSeconds}`)
    reply.header('ratelimit-policy', `"default";q=${limit};w=${windowSeconds}`)
  })
}

function whoAsks(request: FastifyRequest): string {
  const { authorization } = request.headers
  const key = authorization ?? request.headers['x-auth-key'] ?? request.headers.cookie
  if (key === undefined) return `address ${request.ip}`
  // A digest: the counter's memory holds no token.
  return createHash('sha256').update(String(key)).digest('base64url')
}
