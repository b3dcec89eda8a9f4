import { existsSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { noRoute } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'

/**
 * What the dashboard's pages may do: run the scripts of this server and speak with it, and nothing else. Mantine sets style attributes
 * (positions, sizes); those cannot run anything. `blob:` is what a player of live media makes for the browser's own player, and the worker
 * that it unpacks FLV in.
 */
export const dashboardPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "style-src-attr 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "media-src 'self' blob:",
  "worker-src 'self' blob:",
  "manifest-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join('; ')

const headers = {
  'content-security-policy': dashboardPolicy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=(), usb=()',
}

/** The name of what is below /assets has a hash of what is in it: it never changes. */
const forever = 'public, max-age=31536000, immutable'
/** Asked for each time, and most often answered with 304. */
const askAnew = 'no-cache'

/** Beside index.html: the icon, the script that chooses light or dark, … */
const rootFile = /^[\w-]+\.(?:js|svg|png|ico|txt|webmanifest)$/
/** What Vite makes has no folders below, and no name begins with a dot. */
const assetFile = /^[\w-][\w.-]*$/
const fileParams = z.object({ dashboard_file: z.string() })
const assetParams = z.object({ '*': z.string() })

/**
 * Serves the built dashboard at `/`. Its pages are told apart by the fragment of the address alone, so there is but one. Nothing here is
 * anybody's: who has signed in or not gets the same files.
 * @param folder where index.html and assets/ are; looked at with each request, since it may be built while the server runs
 */
export async function addDashboardFiles(app: HttpRoutes, folder: string | undefined): Promise<void> {
  if (folder === undefined) return
  await app.register(fastifyStatic, {
    root: folder,
    serve: false,
    // Compressed once, when it was built: see scripts/build-dashboard.mjs.
    preCompressed: true,
    dotfiles: 'ignore',
    cacheControl: false,
    index: false,
    // What is missing is said below: not built yet.
    suppressWarning: true,
  })
  const send = (reply: FastifyReply, file: string, cacheControl: string) =>
    reply.headers(headers).header('cache-control', cacheControl).sendFile(file)

  app.get('/', (_request, reply) => {
    if (existsSync(join(folder, 'index.html'))) return send(reply as FastifyReply, 'index.html', askAnew) as never
    return reply
      .code(503)
      .headers(headers)
      .header('retry-after', '10')
      .type('text/html; charset=utf-8')
      .serializer((text: unknown) => String(text))
      .send(notBuilt as never) as never
  })
  app.get('/assets/*', { schema: { params: assetParams } }, (request, reply) => {
    const { '*': file } = request.params
    if (!assetFile.test(file)) throw noRoute(request.url)
    return send(reply as FastifyReply, `assets/${file}`, forever) as never
  })
  app.get('/:dashboard_file', { schema: { params: fileParams } }, (request, reply) => {
    const { dashboard_file: file } = request.params
    if (!rootFile.test(file)) throw noRoute(request.url)
    return send(reply as FastifyReply, file, askAnew) as never
  })
}

const notBuilt = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>stream-connect</title></head><body>
<h1>The dashboard is not built</h1>
<p>The server runs, and so does its API (<a href="/docs">/docs</a>). The dashboard is built by <code>npm start</code>; or, while the server
runs, by <code>node scripts/build-dashboard.mjs</code> in the server's folder. Then load this page again.</p>
</body></html>
`
