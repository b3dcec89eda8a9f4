import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import type { Principal } from './accounts.ts'
import { authenticate, type Doors } from './auth.ts'
import { tooMuch } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'

/** Cloudflare's window: 1,200 requests in five minutes for each token. */
const windowSeconds = 300
/** Tokens, and addresses, that are counted at once; the least recently seen is forgotten. */
const countedMax = 10_000
/** Of one session of the dashboard: 40 a second for five minutes. No person and no page comes near; a program has a token. */
const sessionRequestsMax = 12_000

/**
 * Counts the requests of each token, and says how many are left in Cloudflare's headers: `Ratelimit: "default";r=<left>;t=<seconds>` and
 * `Ratelimit-Policy: "default";q=<limit>;w=300`. Requests with no valid token are counted by address (by /64 for IPv6), apart from the
 * others: who floods the server or guesses tokens takes nothing away from a neighbour behind the same address who has one. What the
 * dashboard asks takes nothing away from the programs that use the same token.
 *
 * Registered before the routes and before what authenticates for them.
 * @param limit requests per window; 0 turns it off.
 * @param remembered how many tokens, and how many addresses, are counted at once: fewer for tests.
 */
export async function limitRate(
  routes: HttpRoutes,
  limit: number,
  doors: Doors,
  remembered = countedMax,
): Promise<void> {
  if (limit === 0) return
  const options = { max: limit, timeWindow: windowSeconds * 1000, cache: remembered }
  await routes.register(rateLimit, { global: false, ...options })
  const countToken = routes.createRateLimit({
    ...options,
    keyGenerator: (request) => askerOf(request, doors)?.id ?? '',
  })
  const countSession = routes.createRateLimit({
    ...options,
    max: sessionRequestsMax,
    keyGenerator: (request) => askerOf(request, doors)?.session ?? '',
  })
  const countAddress = routes.createRateLimit(options)
  routes.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS') return
    const asker = askerOf(request, doors)
    const count = asker === undefined ? countAddress : asker.session === undefined ? countToken : countSession
    const counted = await count(request)
    if (counted.isAllowed) return
    reply.header('ratelimit', `"default";r=${counted.remaining};t=${counted.ttlInSeconds}`)
    reply.header('ratelimit-policy', `"default";q=${counted.max};w=${windowSeconds}`)
    if (counted.isExceeded)
      throw tooMuch(
        `More than ${counted.max} requests in ${windowSeconds / 60} minutes. Wait ${counted.ttlInSeconds} s, ask less often, or raise STREAM_CONNECT_RATE_LIMIT.`,
        counted.ttlInSeconds,
      )
  })
}

/** @returns undefined without a token, or session, that is valid. */
function askerOf(request: FastifyRequest, doors: Doors): Principal | undefined {
  try {
    return authenticate(request, doors)
  } catch {
    return undefined
  }
}
