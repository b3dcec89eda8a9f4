import type { ServerResponse } from 'node:http'
import type { Plain } from '../bus/bus.ts'
import type { AccountId } from '../model/id.ts'
import type { LiveInput, Output, SecretCipher } from '../model/live-input.ts'
import {
  type PreflightReport,
  type PreflightRequest,
  preflightSubject,
  type RetryOutputAnswer,
  type RetryOutputRequest,
  retryOutputSubject,
} from '../model/preflight.ts'
import { Secret } from '../secret.ts'
import { adviceOnDestination, adviceOnOptions } from './destination-check.ts'
import { invalid, invalidBecause, notFound, noticeCode, refused, success, tooMuch } from './envelope.ts'
import { noticesOn } from './kept.ts'
import { optionsOf } from './output-edit.ts'
import { tellSteps, wantsSteps } from './preflight-steps.ts'
import type { AccountRoutes, Parts } from './routes.ts'
import {
  inputParams,
  type OutputTest,
  outputParams,
  outputTest,
  outputTestFields,
  retryAnswer,
  successOf,
  testAnswer,
} from './schemas.ts'

const collection = '/accounts/:account_id/stream/live_inputs/:input_id/outputs'

/** Whoever runs the outputs answers at once. */
const retryDeadlineMs = 5_000
/** A try-out has deadlines of its own, which end sooner. */
const testDeadlineMs = 60_000
/** Each is a connection to wherever a person says, and a stranger's server may hold it for long. */
const testsAtOnceMax = 10
const retryAfterSeconds = 5

type Target = Pick<Output, 'url' | 'streamKey' | 'username' | 'password' | 'tls'>

/** What an output can be told to do, beyond Cloudflare: asked over the bus of whoever runs the live input. */
export function addOutputActionRoutes(routes: AccountRoutes, { projection, wire, bus, cipher }: Parts): void {
  const tests = new Map<AccountId, number>()

  routes.post(
    `${collection}/:output_id/retry`,
    { schema: { params: outputParams, response: { 200: successOf(retryAnswer) } } },
    async ({ params: { account_id, input_id, output_id } }) => {
      const stored = projection.find(account_id, input_id)
      const output = stored?.input.outputs.find((candidate) => candidate.uid === output_id)
      if (stored === undefined || output === undefined) throw notFound('output', output_id)
      const request: RetryOutputRequest = { inputId: input_id, outputId: output_id }
      const answer = await bus.request(retryOutputSubject, request, { deadlineMs: retryDeadlineMs })
      const { retried } = answer as RetryOutputAnswer
      const state = wire.output(stored.input, output).status?.current.state
      return success(
        { retried },
        retried ? [] : [{ code: noticeCode, message: whyNotRetried(stored.input, output, state) }],
      )
    },
  )

  routes.post(
    `${collection}/test`,
    { schema: { params: inputParams, body: outputTest, response: { 200: successOf(testAnswer) } } },
    async ({ params: { account_id, input_id }, body, sentBody, headers }, reply) => {
      const stored = projection.find(account_id, input_id)
      if (stored === undefined) throw notFound('live input', input_id)
      const target = targetOf(body, stored.input)
      using _place = takePlace(tests, account_id)
      const gone = goneSignal(reply.raw)
      const notices = [
        ...adviceOnDestination(target.url, target.streamKey.reveal()),
        ...adviceOnOptions(target),
        ...noticesOn(sentBody, outputTestFields),
      ]
      if (wantsSteps(headers.accept)) {
        await tellSteps(
          reply,
          bus,
          sealed(target, cipher),
          notices,
          AbortSignal.any([gone, AbortSignal.timeout(testDeadlineMs)]),
        )
        return reply as never
      }
      const report = await bus
        .request(preflightSubject, sealed(target, cipher), { deadlineMs: testDeadlineMs, signal: gone })
        .catch((error: unknown) => {
          // Nobody is left to read what is answered now.
          throw gone.aborted ? refused(408, { cause: error }) : error
        })
      return success(report as unknown as PreflightReport, notices)
    },
  )
}

/** What an output that waits for nothing does instead. The status may be a moment old; the answer of what runs is not. */
function whyNotRetried(input: LiveInput, output: Output, state: string | undefined): string {
  if (!input.enabled) return 'The live input is disabled. Enable it; its outputs connect when an encoder sends.'
  if (!output.enabled) return 'The output is disabled. Enable it, and it connects at once.'
  switch (state) {
    case 'connected':
      return 'The output is connected; there is no wait to end.'
    case 'connecting':
      return 'The output is connecting; there is no wait to end.'
    case undefined:
    case 'disconnected':
      return 'No encoder sends to the live input. Its outputs connect when one does.'
    default:
      return 'The output does not wait any more: an attempt has just begun. Read its status again.'
  }
}

/** @throws Refusal when the body names no destination, or two. */
function targetOf(body: OutputTest, input: LiveInput): Target {
  const { output_id, url, streamKey, ...options } = body
  if (output_id !== undefined) {
    const others = Object.keys(body).filter((name) => name !== 'output_id')
    if (others.length > 0)
      throw invalid(`/${others[0]}`, 'Give either output_id alone, or url and streamKey with their options.')
    const output = input.outputs.find((candidate) => candidate.uid === output_id)
    if (output === undefined) throw notFound('output', output_id)
    return output
  }
  if (url === undefined || streamKey === undefined)
    throw invalidBecause(
      Object.entries({ url, streamKey })
        .filter(([, value]) => value === undefined)
        .map(([name]) => ({
          code: 10005,
          message: `Give the ${name} of the destination, or the output_id of an output that exists.`,
          source: { pointer: `/${name}` },
        })),
    )
  // Whether they can be used at all is the first step of the report.
  return { url: url.trim(), streamKey: new Secret(streamKey.trim()), ...optionsOf(options, {}) }
}

/** A bus may cross machines. */
function sealed({ url, streamKey, username, password, tls }: Target, cipher: SecretCipher): Plain {
  const request: PreflightRequest = {
    url,
    streamKey: cipher.seal(streamKey, 'preflight.streamKey'),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: cipher.seal(password, 'preflight.password') }),
    ...(tls !== undefined && { tls }),
  }
  return request
}

/** @throws Refusal 11429 */
export function takePlace(taken: Map<AccountId, number>, account: AccountId): Disposable {
  const count = taken.get(account) ?? 0
  if (count >= testsAtOnceMax)
    throw tooMuch(
      `${testsAtOnceMax} destinations are being tried already, the most at once. Wait until one is done.`,
      retryAfterSeconds,
    )
  taken.set(account, count + 1)
  return {
    [Symbol.dispose]: () => {
      const left = (taken.get(account) ?? 1) - 1
      if (left === 0) taken.delete(account)
      else taken.set(account, left)
    },
  }
}

/** Aborts when the client is gone before it has its answer. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}
