/**
 * The envelope of every answer, as Cloudflare's: `{result, success, errors, messages}`. An error is never answered with
 * HTTP 200: the official SDKs look at the status alone.
 */

/** Codes of the envelope. Below 11000 they are Cloudflare's own; those of ours are 11000 + the HTTP status that says it best. */
export const apiErrorCodes = {
  1000: 'The token is not valid, has expired, or was revoked. Make a new one.',
  6003: 'The authentication headers have not the form that they must have. Send `Authorization: Bearer <token>`.',
  7000: 'There is no route for this method and path.',
  7003: 'The path leads nowhere; perhaps an id in it is not one (ids are 32 hex characters).',
  9106: 'The request carries no authentication. Send `Authorization: Bearer <token>`.',
  10000: 'The token is not valid, has expired, or has no right to do this in this account.',
  10003: 'There is no such live input, output, token, webhook destination, policy or delivery in this account.',
  10005: 'The request cannot be carried out as it is. `message` says what to mend, `source.pointer` where.',
  10060: 'A number is out of its range. `message` names the range.',
  11401: 'Nobody is signed in on the dashboard, or no longer. Sign in again.',
  11403:
    'A request with the cookie of the dashboard did not come from the dashboard. Send `Authorization: Bearer <token>`.',
  11404: 'Nothing is live at this live input, so there is nothing to see. Start the encoder, then ask again.',
  11408: 'The request did not arrive whole in time. Send it again.',
  11409: 'Too many others changed the same live input at the same time. Send the request again.',
  11410: 'The live input that this Idempotency-Key made has been deleted. Send another key to make another.',
  11413: 'The body of the request is too large: 100 KiB at most.',
  11429: 'Too much at once. Wait as many seconds as `Retry-After` says, then send the request again.',
  11431: 'The headers of the request are too large.',
  11500: 'The server made a mistake. The log of the server says more.',
  11503: 'A part of the server did not answer in time, or the server is starting or stopping. Try again.',
  11507: 'The disk or the database of the server is full. Free some room, then try again.',
} as const satisfies Record<number, string>
export type ApiErrorCode = keyof typeof apiErrorCodes

/** The code of an entry in `messages` that only informs: something in the request has no effect, or looks wrong. */
export const noticeCode = 11200

export type ApiError = {
  readonly code: ApiErrorCode
  readonly message: string
  /** `pointer` is a JSON pointer (RFC 6901) into the body; for a query parameter `/name`. */
  readonly source?: { readonly pointer: string }
  /** Only with 6003, as Cloudflare's: which header is malformed, and how. */
  readonly error_chain?: readonly { readonly code: number; readonly message: string }[]
}

export type Notice = { readonly code: number; readonly message: string; readonly source?: { readonly pointer: string } }

export type Success<Result> = {
  readonly result: Result
  readonly success: true
  readonly errors: never[]
  readonly messages: Notice[]
}

export type Failure = {
  readonly success: false
  readonly errors: readonly ApiError[]
  readonly messages: Notice[]
  readonly result: null
}

export function success<Result>(result: Result, notices: readonly Notice[] = []): Success<Result> {
  return { result, success: true, errors: [], messages: [...notices] }
}

export function failure(errors: readonly ApiError[]): Failure {
  return { success: false, errors, messages: [], result: null }
}

/** A refusal that is thrown where it is found and becomes an answer at the server's edge. */
export class Refusal extends Error {
  readonly status: number
  readonly errors: readonly ApiError[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    errors: readonly ApiError[],
    options: { headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(errors[0]?.message ?? 'refused', { cause: options.cause })
    this.name = 'Refusal'
    this.status = status
    this.errors = errors
    this.headers = options.headers ?? {}
  }
}

/** More errors than these tell a person nothing more, and a hostile body could ask for thousands. */
const errorsMax = 20

/** 400: what the person sent cannot be carried out. `where` is a JSON pointer into the body. */
export function invalid(where: string, message: string, code: 10005 | 10060 = 10005): Refusal {
  return invalidBecause([{ code, message, source: { pointer: where } }])
}

export function invalidBecause(errors: readonly ApiError[]): Refusal {
  return new Refusal(400, errors.slice(0, errorsMax))
}

/** 404 for what does not exist, or belongs to another account: the two must look the same. */
export function notFound(
  what: 'live input' | 'output' | 'token' | 'webhook destination' | 'notification policy' | 'delivery',
  id: string,
): Refusal {
  const list = what.endsWith('y') ? `${what.slice(0, -1)}ies` : `${what}s`
  return new Refusal(404, [
    { code: 10003, message: `There is no ${what} ${id} in this account. The list of ${list} shows those that exist.` },
  ])
}

const shownPathLengthMax = 200

/** For a path that leads nowhere (404), or exists with other methods only (405). */
export function noRoute(path: string, status: 404 | 405 = 404): Refusal {
  const shown = (path.split('?', 1)[0] ?? '').replace(/^\/client\/v4(?=\/)/, '').slice(0, shownPathLengthMax)
  return new Refusal(status, [
    { code: 7003, message: `Could not route to ${shown}, perhaps your object identifier is invalid?` },
    { code: 7000, message: 'No route for that URI' },
  ])
}

/** 403: one answer for a wrong token, an expired one, and one without the right; which of them it was is nobody's business. */
export function notAuthenticated(): Refusal {
  return new Refusal(403, [{ code: 10000, message: 'Authentication error' }])
}

/** 409 for a key that is used up. Clients would try again by themselves what can never go better. */
export function keyOfDeleted(): Refusal {
  return new Refusal(409, [{ code: 11410, message: apiErrorCodes[11410] }], { headers: { 'x-should-retry': 'false' } })
}

/** 429. @param message what there is too much of, and the mend. */
export function tooMuch(message: string, retryAfterSeconds: number): Refusal {
  return new Refusal(429, [{ code: 11429, message }], { headers: { 'retry-after': String(retryAfterSeconds) } })
}

/** One of ours, with the code's own sentence. */
export function refused(
  status: 401 | 403 | 404 | 408 | 409 | 413 | 431 | 500 | 503 | 507,
  options: { headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
): Refusal {
  const code = (11000 + status) as 11401 | 11403 | 11404 | 11408 | 11409 | 11413 | 11431 | 11500 | 11503 | 11507
  return new Refusal(status, [{ code, message: apiErrorCodes[code] }], options)
}

/** RFC 6901. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((token) => `/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
