import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { failure, invalid, Refusal, refused } from './envelope.ts'

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse }

/**
 * Requests of one connection that are not answered yet. Browsers and SDKs send the next one after an answer; Node reads a thousand pipelined
 * ones at once, and each of them may open a file that waits behind the others.
 */
export const pipelinedMax = 16

/** As much of a listener as is used here. */
type Listener = {
  on(event: 'request', heard: (request: IncomingMessage, response: ServerResponse) => void): unknown
  on(event: 'clientError', heard: (error: NodeJS.ErrnoException, socket: Duplex) => void): unknown
}

/**
 * Answers what is no HTTP, or never arrives whole: there is no request to answer through, so it is written to the socket, which is closed.
 * Where an earlier request on the same connection still waits for its answer, nothing is written: it would be taken for that answer.
 */
export class BrokenRequests {
  readonly #underWay = new WeakMap<Duplex, Set<Exchange>>()

  watch(listener: Listener): void {
    listener.on('request', (request, response) => {
      const exchange = { request, response }
      const known = this.#underWay.get(request.socket) ?? new Set()
      this.#underWay.set(request.socket, known.add(exchange))
      response.once('close', () => known.delete(exchange))
    })
  }

  /** More requests of one connection are under way than anybody pipelines. */
  isFlooded(socket: Duplex): boolean {
    return socket.destroyed || (this.#underWay.get(socket)?.size ?? 0) > pipelinedMax
  }

  /** For `clientError`. */
  readonly answer = (error: NodeJS.ErrnoException, socket: Socket | Duplex): void => {
    const exchanges = [...(this.#underWay.get(socket) ?? [])]
    // The one that is broken has begun, too, when it is the body that is wrong.
    const isMistakable = exchanges.some(({ request, response }) => request.complete || response.headersSent)
    // All else is of the connection: one that is reset hears nothing, and one whose TLS never began would wait for its end for ever.
    const isOfHttp = error.code?.startsWith('HPE_') || error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
    if (isOfHttp && socket.writable && !isMistakable) socket.end(textOf(refusalOf(error)))
    else socket.destroy()
  }
}

function refusalOf({ code }: NodeJS.ErrnoException): Refusal {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return refused(408)
    case 'HPE_HEADER_OVERFLOW':
      return refused(431)
    default:
      return invalid('', 'This is not a valid HTTP request.')
  }
}

const phrases: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

function textOf({ status, errors }: Refusal): string {
  const body = JSON.stringify(failure(errors))
  return [
    `HTTP/1.1 ${status} ${phrases[status]}`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    'x-content-type-options: nosniff',
    `content-length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n')
}

/** Two of these are two meanings: whoever stands before this server may have read the other one. */
const onlyOnce = new Set(['host', 'authorization', 'x-auth-email', 'x-auth-key'])

/** @throws Refusal for what RFC 9112 section 3.2 has refused, and for who shows two tokens. */
export function checkHeaders({ rawHeaders, httpVersion, headers }: IncomingMessage): void {
  const seen = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase()
    if (!onlyOnce.has(name)) continue
    if (seen.has(name)) throw closing(`The header ${name} stands twice. Send it once.`)
    seen.add(name)
  }
  if (httpVersion === '1.1' && headers.host === undefined) throw closing('The header Host is missing. Send it.')
}

function closing(message: string): Refusal {
  return new Refusal(400, [{ code: 10005, message, source: { pointer: '' } }], {
    headers: { connection: 'close' },
  })
}
