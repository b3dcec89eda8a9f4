import { randomBytes, randomInt } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { InjectOptions } from 'fastify'
import {
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  type LightMyRequestResponse,
} from 'fastify'
import type { z } from 'zod'
import type { Bus } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import { CodedError } from '../errors.ts'
import type { SecretCipher } from '../model/live-input.ts'
import { Secret } from '../secret.ts'
import type { Store } from '../store/store.ts'
import { logAccess } from './access-log.ts'
import { AccountRegister, type FirstAccount, firstTokenId } from './account-register.ts'
import type { Principal } from './accounts.ts'
import { Alerting } from './alerting.ts'
import type { Doors } from './auth.ts'
import { BitrateHistory } from './bitrate-history.ts'
import { BrokenRequests, checkHeaders } from './broken-requests.ts'
import { addDashboard, type ServerAround } from './dashboard.ts'
import { Deadline, DeadlinePassed, storeDeadlineMs } from './deadline.ts'
import { failure, invalid, invalidBecause, jsonPointer, noRoute, Refusal, refused } from './envelope.ts'
import { EventStreams } from './events.ts'
import { LatestFigures } from './figures.ts'
import {
  connectionsMax,
  type HttpDeadlines,
  httpDeadlines,
  httpOptions,
  keepAliveMs,
  limitConnections,
} from './http-limits.ts'
import { IdempotencyKeys } from './idempotency.ts'
import { parseJsonBody } from './json-body.ts'
import type { ApiLog } from './log.ts'
import { Metrics, type WebhookOutcomes } from './metrics.ts'
import { describeRoutes } from './openapi.ts'
import { Previews } from './preview.ts'
import { type OwnerIsAlive, Projection } from './projection.ts'
import { addPublicRoutes } from './public-routes.ts'
import { limitRate } from './rate-limit.ts'
import { addAccountRoutes, addAuthenticatedRoutes, type HttpRoutes } from './routes.ts'
import { SessionCookie } from './session-cookie.ts'
import { SignInLinks, signInPath } from './session-links.ts'
import { Sessions } from './sessions.ts'
import { type IngestAddresses, Wire } from './wire.ts'
import { Wishes } from './wishes.ts'

export type ApiOptions = {
  readonly store: Store
  readonly bus: Bus
  readonly cipher: SecretCipher
  readonly clock: Clock
  readonly log: ApiLog
  /** Which addresses outputs may reach, for what is told of a new one. Absent where that is not known: a server has its own settings. */
  readonly policy?: Pick<AddressPolicy, 'check'>
  /** Further accounts and tokens are in the store. */
  readonly first: FirstAccount
  /** Asked at every answer: ports may be chosen by the system, and known later than the API is made. */
  readonly addresses: () => IngestAddresses
  readonly limits: {
    readonly liveInputsMax: number
    readonly outputsMax: number
    /** What the log of a broadcast holds: BUFFER_MS. */
    readonly resumeSecondsMax: number
    /** Of one token in five minutes: RATE_LIMIT. Absent or 0: no limit. */
    readonly requestsMax?: number
  }
  /** CIDRs of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy?: readonly string[]
  readonly ownerIsAlive: OwnerIsAlive
  /** What else must be up before /readyz says so. */
  readonly isReady?: () => boolean
  /** Called at each request: somebody waits. */
  readonly onRequest?: () => void
  /** Where a notifier runs: for the metrics. */
  readonly webhooks?: () => WebhookOutcomes
  /** 0 to 1. */
  readonly random?: () => number
  /** How long clients may take: shorter for tests. */
  readonly deadlines?: HttpDeadlines
  /** Of one listener: fewer for tests. */
  readonly connectionsMax?: number
  /** Where the dashboard was built; absent: there is none. */
  readonly dashboardFolder?: string
  /** What the dashboard shows of the server around the API. */
  readonly around?: ServerAround
}

/** Everything over HTTP. Made by `createApi`, owned by the app, closed before the store and the bus are. */
export interface Api extends AsyncDisposable {
  /** @returns where it listens. @throws the system's error: EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EACCES. */
  listen(host: string, port: number): Promise<AddressInfo>
  /** The same API over TLS. `renew` puts a new certificate into force for connections to come. */
  listenTls(host: string, port: number, tls: SecureContextOptions): Promise<AddressInfo & TlsListener>
  ready(): boolean
  /** A one-time link for the session of the first token, below the server's address: for the person who starts the server. */
  signInPath(): Secret
  /** Every route that there is, as it was registered: `:name` stands for an id. */
  readonly routes: readonly Route[]
  /** A request without a socket, for tests. */
  inject(request: InjectOptions): Promise<LightMyRequestResponse>
  /** Requests under way get a moment to end; then every connection is cut. */
  close(): Promise<void>
}

export type Route = { readonly method: string; readonly path: string }

export type TlsListener = { readonly renew: (tls: SecureContextOptions) => void }

/** The largest meta and the longest recording settings are far below; a stranger's upload ends here. */
export const bodyBytesMax = 100 * 1024
/** An upload that is too large is read on for so many bytes, so that the answer is not lost in a connection reset. */
const drainBytesMax = 4 * 1024 * 1024
const drainMsMax = 2_000
const closeMsMax = 2_000

/** Resolves when everything that the store holds can be read. @throws Refusal 11503 when the store does not answer in time. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { store, bus, cipher, clock, log, limits, deadlines = httpDeadlines } = options
  const ofListener = { unreadMs: deadlines.unreadMs, connections: options.connectionsMax ?? connectionsMax }
  const ending = new AbortController()
  const projection = new Projection({ store, cipher, clock, log, ownerIsAlive: options.ownerIsAlive })
  const register = new AccountRegister({ store, clock, log, first: options.first })
  const figures = new LatestFigures({ bus, clock, isInput: (uid) => projection.isInput(uid) })
  const bitrates = new BitrateHistory({ bus, clock, isInput: (uid) => projection.isInput(uid) })
  const wire = new Wire({ projection, figures, addresses: options.addresses })
  const random = options.random ?? (() => randomInt(2 ** 32) / 2 ** 32)
  const wishes = new Wishes({ store, cipher, clock, log, projection, liveInputsMax: limits.liveInputsMax, random })
  const links = new SignInLinks(clock)
  const doors: Doors = {
    accounts: register,
    sessions: new Sessions(register, clock),
    cookie: new SessionCookie(options.first.account),
  }
  const idempotencyKeys = new IdempotencyKeys(store, clock)
  const eventStreams = new EventStreams(bus, clock, randomBytes(4).toString('hex'))
  const previews = new Previews()
  const metrics = new Metrics(bus, () => clock.monotonicMs(), options.webhooks)
  let isClosing = false
  const ready = () => !isClosing && projection.isCurrent() && register.isCurrent() && (options.isReady?.() ?? true)

  const brokenRequests = new BrokenRequests()
  const app: HttpRoutes = fastify({
    bodyLimit: bodyBytesMax,
    http: httpOptions(deadlines),
    requestTimeout: deadlines.requestMs,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    // Fastify's own 503 is not in the envelope; whoever is still connected is served, and told to come back anew.
    return503OnClosing: false,
    trustProxy: options.trustProxy?.length ? [...options.trustProxy] : false,
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
    frameworkErrors: (_error, request, reply) => answerError(noRoute(request.url), request, reply, log),
    clientErrorHandler: brokenRequests.answer,
  })
  app.setValidatorCompiler(({ schema, httpPart }) => (sent: unknown) => {
    const read = (schema as z.ZodType).safeParse(sent)
    if (read.success) return { value: read.data }
    return { error: httpPart === 'params' ? noRoute('') : refusalOf(read.error) }
  })
  // What the schemas of answers say is tested, not checked again at every request.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer))
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, log))
  app.setNotFoundHandler((request) => {
    throw noRoute(request.url)
  })

  const routes: Route[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.push({ method: one, path: url })
  })
  logAccess(app, log, metrics)
  app.decorateRequest('sentBody', undefined)
  // Set before any handler runs that reads it.
  app.decorateRequest('principal', null as unknown as Principal)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      if (request.routeOptions.schema?.body === undefined) return undefined
      request.sentBody = bytes.length === 0 ? {} : parseJsonBody(bytes)
      return request.sentBody
    },
  )
  app.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw
    if (!brokenRequests.isFlooded(socket)) return
    socket.destroy()
    reply.hijack()
  })
  // Not for what anybody may ask: a thread that carries media, too, is not to be kept awake by strangers.
  app.addHook('onRequest', async ({ url }) => {
    if (url.startsWith('/client/')) options.onRequest?.()
  })
  app.addHook('onRequest', async (request, reply) => {
    checkHeaders(request.raw)
    // Whatever the client calls it: the documented curl lines send their JSON as a form, or as nothing at all.
    request.raw.headers['content-type'] = 'application/json'
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    // Whoever opens an answer in a browser sees text, and no page shows it in a frame; pages have policies of their own.
    reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
  })

  const description = await describeRoutes(app)
  addPublicRoutes(app, { projection, metrics, ready, description })
  await app.register(
    async (scope) => {
      const all = scope as unknown as HttpRoutes
      await limitRate(all, limits.requestsMax ?? 0, doors)
      all.setNotFoundHandler((request) => {
        throw noRoute(request.url)
      })
      await all.register(async (routes) =>
        addAccountRoutes(routes as unknown as HttpRoutes, register, doors, {
          projection,
          wishes,
          wire,
          bus,
          cipher,
          idempotencyKeys,
          alerting: new Alerting({ store, cipher, clock, log }),
          eventStreams,
          previews,
          clock,
          policy: options.policy,
          outputsMax: limits.outputsMax,
          resumeSecondsMax: limits.resumeSecondsMax,
        }),
      )
      await all.register(async (routes) =>
        addAuthenticatedRoutes(
          routes as unknown as HttpRoutes,
          register,
          doors,
          links,
          options.around?.httpUrl ?? options.around?.httpsUrl,
        ),
      )
    },
    { prefix: '/client/v4' },
  )
  await addDashboard(app, {
    register,
    doors,
    links,
    clock,
    folder: options.dashboardFolder,
    bitrates,
    exists: (accountId, uid) => projection.find(accountId, uid) !== undefined,
    around: options.around ?? {},
    addresses: options.addresses,
    limits,
  })
  await app.ready()
  limitConnections(app.server, ofListener)
  brokenRequests.watch(app.server)

  const tlsServers: HttpsServer[] = []
  const api: Api = {
    async listen(host, port) {
      await app.listen({ host, port })
      return app.server.address() as AddressInfo
    },
    async listenTls(host, port, tls) {
      const server = createHttpsServer(
        { ...tls, ...httpOptions(deadlines), handshakeTimeout: deadlines.headersMs },
        app.routing,
      )
      limitConnections(server, ofListener)
      // The handshake takes several turns of the event loop, too.
      server.on('connection', () => options.onRequest?.())
      server.on('clientError', brokenRequests.answer)
      brokenRequests.watch(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host, port }, () => {
          server.off('error', reject)
          resolve()
        })
      })
      tlsServers.push(server)
      return { ...(server.address() as AddressInfo), renew: (next) => server.setSecureContext(next) }
    },
    ready,
    signInPath: () => new Secret(signInPath(links.make(firstTokenId).once)),
    routes,
    inject: (request) => app.inject(request),
    async close() {
      isClosing = true
      // They would never end by themselves.
      eventStreams.close()
      previews.close()
      const servers = [app.server, ...tlsServers]
      const cancel = clock.after(closeMsMax, () => {
        for (const server of servers) server.closeAllConnections()
      })
      await Promise.all([
        app.close(),
        ...tlsServers.map((server) => new Promise((resolve) => server.close(resolve).closeIdleConnections())),
      ])
      cancel()
      // Only now: what is under way waits for the projection.
      figures.close()
      bitrates.close()
      idempotencyKeys.close()
      metrics.close()
      ending.abort()
    },
    [Symbol.asyncDispose]: () => api.close(),
  }

  using deadline = new Deadline(clock, storeDeadlineMs)
  try {
    await deadline.race(Promise.all([projection.start(ending.signal), register.start(ending.signal)]))
  } catch (error) {
    await api.close()
    throw error instanceof DeadlinePassed ? refused(503, { cause: error }) : error
  }
  return api
}

async function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: ApiLog): Promise<void> {
  const refusal = asRefusal(error)
  if (refusal.status >= 500)
    log.error({ method: request.method, route: request.routeOptions?.url, err: error }, 'a request could not be served')
  if (refusal.status === 413) await drain(request.raw)
  reply.code(refusal.status).headers(refusal.headers).type('application/json; charset=utf-8')
  await reply.serializer(JSON.stringify).send(failure(refusal.errors))
}

/** Everything that can go wrong, as what is answered. */
function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof DeadlinePassed) return refused(503, { headers: { 'retry-after': '1' }, cause: error })
  if (error instanceof CodedError) return refusalOfCode(error)
  const { code, statusCode } = error as Partial<FastifyError>
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return refused(413, { cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return invalid('', 'The request cannot be read. Check its headers, above all Content-Length.')
  return refused(500, { cause: error })
}

/** Of the store's contract and the bus's. */
function refusalOfCode(error: CodedError): Refusal {
  switch (error.code) {
    case 'store_full':
      return refused(507, { cause: error })
    case 'store_closed':
    case 'store_restarting':
    case 'no_responder':
    case 'request_timeout':
    case 'bus_closed':
      return refused(503, { headers: { 'retry-after': '1' }, cause: error })
    case 'revision_conflict':
      return refused(409, { cause: error })
    case 'value_too_large':
      return invalid('', 'The live input and its outputs together are too large. Shorten its meta, or delete outputs.')
    default:
      return refused(500, { cause: error })
  }
}

function refusalOf(error: z.ZodError): Refusal {
  return invalidBecause(
    error.issues.map((issue) => ({
      code: issue.code === 'custom' && issue.params?.['code'] === 10060 ? 10060 : 10005,
      message: issue.message,
      source: { pointer: jsonPointer(issue.path) },
    })),
  )
}

/** A client that is still sending does not read the answer when the connection is reset under it. */
function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    if (request.readableEnded || request.destroyed) return resolve()
    let seenBytes = 0
    const done = () => {
      clearTimeout(timer)
      request.off('data', count).off('close', done).off('end', done)
      resolve()
    }
    const count = (bytes: Buffer) => {
      seenBytes += bytes.length
      if (seenBytes > drainBytesMax) done()
    }
    const timer = setTimeout(done, drainMsMax)
    request.on('data', count).once('end', done).once('close', done).resume()
  })
}
