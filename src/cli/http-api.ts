import type { Failure } from '../api/envelope.ts'
import { type Api, type Method, NotReachable, RefusedByServer, type Success } from './command.ts'
import { printable } from './table.ts'

/** The server answers in milliseconds, and by itself after ten seconds at the latest. */
const answerMsMax = 30_000

/** The API of a server that runs. */
export function httpApi(origin: string, token: string): Api {
  return {
    async call<Result>(method: Method, path: string, body?: object) {
      const { status, text } = await send(origin, token, method, path, body)
      return answerOf<Result>(status, text, origin)
    },
  }
}

async function send(origin: string, token: string, method: Method, path: string, body?: object) {
  try {
    const answer = await fetch(`${origin}/client/v4${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      // A token goes to whom it was meant for, and nowhere else.
      redirect: 'error',
      signal: AbortSignal.timeout(answerMsMax),
    })
    return { status: answer.status, text: await answer.text() }
  } catch (error) {
    throw notReachable(origin, error)
  }
}

/** @throws RefusedByServer; NotReachable for what no server of ours says. */
export function answerOf<Result>(status: number, text: string, origin: string): Success<Result> {
  let answer: Partial<Success<Result>> & Partial<Pick<Failure, 'errors'>>
  try {
    answer = JSON.parse(text)
    if (typeof answer !== 'object' || answer === null) throw new SyntaxError('not an object')
  } catch (cause) {
    throw new NotReachable(
      `What answers at ${origin} (with status ${status}) is not stream-connect. Check --api-url.`,
      { cause },
    )
  }
  if (status === 200) return { result: answer.result as Result, messages: answer.messages ?? [] }
  const errors = answer.errors ?? []
  const said = errors.map(({ code, message, source }) => {
    const where = source?.pointer ? `${source.pointer.slice(1)}: ` : ''
    return `${where}${printable(message)} (${code})`
  })
  if (errors.some(({ code }) => code === 10000))
    said.push(
      'The token is wrong, has expired, or has no right to do this. Look at --account and at where the token is from.',
    )
  if (errors.some(({ code }) => code === 7003))
    said.push('An id has 32 hex characters, as `input list`, `output list` and `account list` print them.')
  throw new RefusedByServer(status, said.length === 0 ? `The server answered with status ${status}.` : said.join('\n'))
}

function notReachable(origin: string, error: unknown): NotReachable {
  const code = codeOf(error)
  if (code === 'ECONNREFUSED')
    return new NotReachable(`No server answers at ${origin}. Start it, or say where it is with --api-url.`, {
      isRefused: true,
      cause: error,
    })
  if (/CERT|SELF_SIGNED|ISSUER/.test(code))
    return new NotReachable(
      `The certificate of ${origin} is not trusted (${code}). Name its authority, or the certificate itself, with NODE_EXTRA_CA_CERTS.`,
      { cause: error },
    )
  const why = code || (error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error))
  return new NotReachable(`${origin} cannot be reached (${why}). Check --api-url.`, { cause: error })
}

/** fetch hides what happened in `cause`, and the attempts on several addresses in `errors`. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if (error.name === 'TimeoutError') return 'no answer in time'
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return codeOf(error.cause)
}
