import type { OutgoingHttpHeaders } from 'node:http'
import { z } from 'zod'
import { tooMuch } from './envelope.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import { accountParams } from './schemas.ts'

/** Each holds a connection open for as long as it likes. */
const listenersMax = 100
const inputsMax = 100
const retryAfterSeconds = 10

const eventsQuery = z.object({
  inputs: z
    .string({ error: 'Must be ids of live inputs, joined by commas.' })
    .regex(/^[0-9a-f]{32}(,[0-9a-f]{32})*$/, { error: 'Must be ids of live inputs, joined by commas.' })
    .transform((text) => new Set(text.split(',')))
    .refine((inputs) => inputs.size <= inputsMax, { error: `At most ${inputsMax} live inputs.` })
    .meta({ description: `Ids of live inputs whose figures are wanted, joined by commas; at most ${inputsMax}.` })
    .optional(),
})

const eventStream = {
  description: 'Events, for as long as both sides like.',
  content: { 'text/event-stream': { schema: z.string() } },
}

/** For the description; the stream is written by EventStreams. */
const schema = { params: accountParams, querystring: eventsQuery, response: { 200: eventStream } }

/** What goes on in an account, as server-sent events, for as long as the client listens. */
export function addEventRoutes(routes: AccountRoutes, { eventStreams }: Parts): void {
  routes.get('/accounts/:account_id/stream/events', { schema }, async (request, reply): Promise<never> => {
    const { principal, headers } = request
    const accountId = request.params.account_id
    if (request.method === 'HEAD') return reply.type('text/event-stream; charset=utf-8').send('') as never
    if (eventStreams.countOf(accountId) >= listenersMax)
      throw tooMuch(
        `${listenersMax} programs listen to the events of this account already, the most at once. End one of them.`,
        retryAfterSeconds,
      )
    const lastEventId = headers['last-event-id']
    reply.hijack()
    eventStreams.listen({
      accountId,
      inputs: request.query.inputs ?? new Set(),
      response: reply.raw,
      mayListen: () => principal.mayUse(accountId, 'read'),
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      headers: reply.getHeaders() as OutgoingHttpHeaders,
    })
    return reply as never
  })
}
