import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import type { Accounts } from './accounts.ts'
import { authenticate } from './auth.ts'
import { tooMuch } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'

/** Cloudflare's window: 1,200 requests in five minutes for each token. */
const windowSeconds = 300
/** Tokens, and addresses, that are counted at once; the least recently seen is forgotten. */
const countedMax = 10_000

/**
 * Counts the requests of each token, and says how many are left in Cloudflare's headers: `Ratelimit: "default";r=<left>;t=<seconds>` and
 * `Ratelimit-Policy: "default";q=<limit>;w=300`. Requests with no valid token are counted by address (by /64 for IPv6), apart from the
 * others: who floods the server or guesses tokens takes nothing away from a neighbour behind the same address who has one.
 *
 * Registered before the routes and before what authenticates for them.
 * @param limit requests per window; 0 turns it off.
 */
export async function limitRate(routes: HttpRoutes, limit: number, accounts: Accounts): Promise<void> {
  if (limit === 0) return
  const options = { max: limit, timeWindow: windowSeconds * 1000, cache: countedMax }
  await routes.register(rateLimit, { global: false, ...options })
  const countToken = routes.createRateLimit({ ...options, keyGenerator: (request) => tokenOf(request, accounts) ?? '' })
  const countAddress = routes.createRateLimit(options)
  routes.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS') return
    const count = tokenOf(request, accounts) === undefined ? countAddress : countToken
    const counted = await count(request)
    if (counted.isAllowed) return
    reply.header('ratelimit', `"default";r=${counted.remaining};t=${counted.ttlInSeconds}`)
    reply.header('ratelimit-policy', `"default";q=${limit};w=${windowSeconds}`)
    if (counted.isExceeded)
      throw tooMuch(
        `More than ${limit} requests in ${windowSeconds / 60} minutes. Wait ${counted.ttlInSeconds} s, ask less often, or raise RATE_LIMIT.`,
        counted.ttlInSeconds,
      )
  })
}

/** @returns the id of the token; undefined without one that is valid. */
function tokenOf(request: FastifyRequest, accounts: Accounts): string | undefined {
  try {
    return authenticate(request.headers, accounts).id
  } catch {
    return undefined
  }
}
