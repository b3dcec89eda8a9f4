import type { Server, ServerOptions } from 'node:http'

/** How long a client may take. Milliseconds. */
export type HttpDeadlines = {
  /** From the first moment of a connection, or of the next request on it, until all headers are there. */
  readonly headersMs: number
  /** Until the request has arrived whole, however slowly it is sent. */
  readonly requestMs: number
  /** Between a client's taking of one piece of an answer and of the next: who does not read what was asked for is cut. */
  readonly unreadMs: number
}

/** Headers are one packet; a body is 100 KiB at most, and a bad line carries that in seconds. A listener to events gets a sign of life every 15 s. */
export const httpDeadlines: HttpDeadlines = { headersMs: 10_000, requestMs: 30_000, unreadMs: 120_000 }

/** Proxies keep unused connections for a minute: they shall be the first to close, or they send a request into a closed connection. */
export const keepAliveMs = 72_000
/** Tokens and cookies need one; Node's own. */
const headerBytesMax = 16 * 1024
/** Of one listener. Far more than people and programs have open; what a flood can hold stays below what a process may open. */
export const connectionsMax = 4_000
const checkedEveryMs = 1_000

/** Of both listeners. The parser is the strict one, whatever NODE_OPTIONS says. */
export function httpOptions({ headersMs, requestMs }: HttpDeadlines): ServerOptions {
  return {
    headersTimeout: Math.min(headersMs, requestMs),
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(checkedEveryMs, headersMs),
    keepAliveTimeout: keepAliveMs,
    maxHeaderSize: headerBytesMax,
    insecureHTTPParser: false,
    // Node would refuse it outside the envelope; `checkHeaders` does.
    requireHostHeader: false,
  }
}

/** What cannot be said when a listener is made. */
export function limitConnections(
  server: Pick<Server, 'maxConnections' | 'setTimeout'>,
  { unreadMs, connections }: { readonly unreadMs: number; readonly connections: number },
): void {
  server.maxConnections = connections
  server.setTimeout(unreadMs)
}
