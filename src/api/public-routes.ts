import { isId, type LiveInputId } from '../model/id.ts'
import { noRoute } from './envelope.ts'
import type { Metrics } from './metrics.ts'
import type { Projection } from './projection.ts'
import type { HttpRoutes } from './routes.ts'

/**
 * What is answered without a token: nothing here says whose a live input is, what it is called, or where it goes. /healthz: the process
 * serves requests. /readyz: everything that requests need is up, and the server does not stop.
 */
export function addPublicRoutes(
  routes: HttpRoutes,
  { projection, metrics, ready }: { projection: Projection; metrics: Metrics; ready: () => boolean },
): void {
  routes.get('/healthz', () => ({ status: 'ok' }))
  routes.get('/readyz', (_request, reply) =>
    ready() ? { status: 'ready' } : reply.code(503).send({ status: 'starting or stopping' }),
  )
  routes.get('/metrics', async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .serializer((text: unknown) => String(text))
      .send(await metrics.text()),
  )

  // As Cloudflare's, which players ask from any web page.
  routes.get<{ Params: { input_uid: string } }>('/:input_uid/lifecycle', (request, reply) => {
    const { input_uid } = request.params
    reply.header('access-control-allow-origin', '*')
    if (!isId(input_uid) || !projection.isInput(input_uid as string as LiveInputId)) throw noRoute(request.url)
    const state = projection.status(input_uid as string as LiveInputId)?.status.current.state
    return { isInput: true, videoUID: null, live: state === 'connected' }
  })
}
