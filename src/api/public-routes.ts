import { z } from 'zod'
import { isId, type LiveInputId } from '../model/id.ts'
import { docsPage, docsPolicy } from './docs-page.ts'
import { noRoute } from './envelope.ts'
import type { Metrics } from './metrics.ts'
import type { ApiDescription } from './openapi.ts'
import type { Projection } from './projection.ts'
import type { HttpRoutes } from './routes.ts'

type Parts = {
  readonly projection: Projection
  readonly metrics: Metrics
  readonly ready: () => boolean
  readonly description: () => ApiDescription
}

const lifecycleParams = z.object({ input_uid: z.string() })
const lifecycleAnswer = z.strictObject({
  isInput: z.literal(true),
  /** Of a recording. */
  videoUID: z.null(),
  live: z.boolean(),
})
const healthAnswer = z.strictObject({ status: z.literal('ok') })
const readyAnswer = z.strictObject({ status: z.literal('ready') })
const notReadyAnswer = z.strictObject({ status: z.literal('starting or stopping') })
const figures = { description: 'Figures, as Prometheus reads them.', content: { 'text/plain': { schema: z.string() } } }

/**
 * What is answered without a token: nothing here says whose a live input is, what it is called, or where it goes. /healthz: the process
 * serves requests. /readyz: everything that requests need is up, and the server does not stop.
 */
export function addPublicRoutes(routes: HttpRoutes, { projection, metrics, ready, description }: Parts): void {
  routes.get('/healthz', { schema: { response: { 200: healthAnswer } } }, () => ({ status: 'ok' as const }))
  routes.get('/readyz', { schema: { response: { 200: readyAnswer, 503: notReadyAnswer } } }, (_request, reply) => {
    if (ready()) return { status: 'ready' as const }
    reply.code(503)
    return { status: 'starting or stopping' as const }
  })
  routes.get('/metrics', { schema: { response: { 200: figures } } }, async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .serializer((text: unknown) => String(text))
      .send(await metrics.text()),
  )

  // As Cloudflare's, which players ask from any web page.
  routes.get(
    '/:input_uid/lifecycle',
    { schema: { params: lifecycleParams, response: { 200: lifecycleAnswer } } },
    (request, reply) => {
      const uid = request.params.input_uid
      reply.header('access-control-allow-origin', '*')
      if (!isId(uid) || !projection.isInput(uid as string as LiveInputId)) throw noRoute(request.url)
      const state = projection.status(uid as string as LiveInputId)?.status.current.state
      return { isInput: true as const, videoUID: null, live: state === 'connected' }
    },
  )

  // Anybody may ask for it, as often as they like.
  let text: string | undefined
  routes.get('/openapi.json', (_request, reply) => {
    text ??= JSON.stringify(description())
    return reply
      .header('access-control-allow-origin', '*')
      .type('application/json; charset=utf-8')
      .serializer((same: unknown) => String(same))
      .send(text as never)
  })
  let page: string | undefined
  routes.get('/docs', (_request, reply) => {
    page ??= docsPage(description())
    return reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', docsPolicy)
      .header('referrer-policy', 'no-referrer')
      .serializer((text: unknown) => String(text))
      .send(page as never)
  })
}
