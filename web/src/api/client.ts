import type { ApiError, Failure, Notice, Success } from '../../../src/api/envelope.ts'

/** Codes of `ApiFailure` that no server sends. */
export const unreachable = 0
export const unreadable = 1

/** What the server refused, or that it could not be asked; `message` is a sentence for a person. */
export class ApiFailure extends Error {
  /** The code of the envelope (docs: apiErrorCodes), or one of the two above. */
  readonly code: number
  /** HTTP; 0 when there was no answer. */
  readonly status: number
  /** All that is wrong, each with a JSON pointer into what was sent where there is one: for the fields of a form. */
  readonly errors: readonly ApiError[]

  constructor(code: number, message: string, status = 0, errors: readonly ApiError[] = [], cause?: unknown) {
    super(message, { cause })
    this.name = 'ApiFailure'
    this.code = code
    this.status = status
    this.errors = errors
  }

  /** What is wrong with one field of what was sent: `failure.at('/url')`. */
  at(pointer: string): string | undefined {
    return this.errors.find(({ source }) => source?.pointer === pointer)?.message
  }
}

export type Answer<Result> = {
  readonly result: Result
  /** What the server has to say though it did as it was told: lint of an output's url. */
  readonly messages: readonly Notice[]
  readonly info: unknown
}

export type Call = {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Goes as JSON. */
  readonly body?: unknown
  readonly signal?: AbortSignal
  readonly headers?: Readonly<Record<string, string>>
  /** Then the call is given up, so that what was shown before the answer does not stay for ever. */
  readonly withinMs?: number
}

/** A server that hangs, or a browser whose connections to it are all taken. */
const answerMs = 15_000
/** A test of a destination tries for 45 s at the most. */
const linesMs = 60_000

const api = '/client/v4'
const signedOutListeners = new Set<() => void>()

/** Tells when the server does not know (any more) who asks. */
export function onSignedOut(listener: () => void): () => void {
  signedOutListeners.add(listener)
  return () => signedOutListeners.delete(listener)
}

export function announceSignedOut(): void {
  for (const listener of signedOutListeners) listener()
}

/** `/client/v4/accounts/<account>/stream/…`, each part encoded. */
export function streamPath(account: string, ...parts: readonly string[]): string {
  return [`${api}/accounts/${account}/stream`, ...parts.map(encodeURIComponent)].join('/')
}

export function accountPath(account: string, ...parts: readonly string[]): string {
  return [`${api}/accounts/${account}`, ...parts.map(encodeURIComponent)].join('/')
}

/** One call of the API or of /dashboard. @throws ApiFailure */
export async function call<Result>(path: string, options: Call = {}): Promise<Answer<Result>> {
  const response = await ask(path, options)
  if (response.status === 204) return { result: undefined as Result, messages: [], info: undefined }
  const answer = await readJson(response)
  if (!response.ok) throw refused(response, answer)
  // DELETE of an input or output answers a bare {}, as Cloudflare's does.
  if (!isEnvelope(answer)) return { result: answer as Result, messages: [], info: undefined }
  return {
    result: answer.result as Result,
    messages: answer.messages,
    info: (answer as { result_info?: unknown }).result_info,
  }
}

/**
 * A call that the server answers while it goes on: each line tells something, and the last one is the envelope.
 * @throws ApiFailure
 */
export async function callInLines<Result, Line>(
  path: string,
  options: Call,
  onLine: (line: Line) => void,
): Promise<Answer<Result>> {
  const response = await ask(path, {
    withinMs: linesMs,
    ...options,
    headers: { accept: 'application/x-ndjson', ...options.headers },
  })
  if (!response.ok) throw refused(response, await readJson(response))
  for await (const text of linesOf(response)) {
    const line = parsed(text, response)
    if (!isEnvelope(line)) onLine(line as Line)
    else if ((line as { success: unknown }).success !== true) throw refused(response, line)
    else return { result: line.result as Result, messages: line.messages, info: undefined }
  }
  throw new ApiFailure(unreachable, 'The server broke off its answer.')
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const read = await reader?.read().catch((cause: unknown) => {
      if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
      throw new ApiFailure(unreachable, 'The server broke off its answer.', 0, [], cause)
    })
    if (read === undefined || read.done) break
    const lines = (text + read.value).split('\n')
    text = lines.pop() ?? ''
    yield* lines
  }
  if (text !== '') yield text
}

function parsed(text: string, response: Response): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw unreadableAnswer(response, cause)
  }
}

async function ask(
  path: string,
  { method = 'GET', body, signal, headers, withinMs = answerMs }: Call,
): Promise<Response> {
  const late = AbortSignal.timeout(withinMs)
  try {
    return await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: {
        accept: 'application/json',
        // A page of another site cannot send it without asking first: the server changes nothing without.
        ...(method !== 'GET' && { 'x-stream-connect': 'dashboard' }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, late]) : late,
    })
  } catch (cause) {
    if (signal?.aborted) throw cause
    if (late.aborted) {
      const words = `The server has not answered for ${withinMs / 1000} s. Whether it did what was asked shows when it answers again.`
      throw new ApiFailure(unreachable, words, 0, [], cause)
    }
    throw new ApiFailure(unreachable, 'The server cannot be reached.', 0, [], cause)
  }
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch (cause) {
    throw unreadableAnswer(response, cause)
  }
}

function unreadableAnswer({ status }: Response, cause: unknown): ApiFailure {
  const words = `The answer (HTTP ${status}) is not from Stream Connect. Something stands between this page and the server.`
  return new ApiFailure(unreadable, words, status, [], cause)
}

function refused(response: Response, answer: unknown): ApiFailure {
  const errors = isEnvelope(answer) ? (answer as unknown as Failure).errors : []
  const [first] = errors
  if (response.status === 401) announceSignedOut()
  return new ApiFailure(
    first?.code ?? unreadable,
    first?.message ?? `The server answered with HTTP ${response.status}.`,
    response.status,
    errors,
  )
}

function isEnvelope(answer: unknown): answer is Success<unknown> {
  return typeof answer === 'object' && answer !== null && 'success' in answer && 'result' in answer
}
