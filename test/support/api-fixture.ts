import { randomBytes } from 'node:crypto'
import { changeSentence, readSentence } from '../../src/api/access-log.ts'
import type { WireLiveInput } from '../../src/api/schemas.ts'
import { type Api, type ApiOptions, createApi } from '../../src/api/server.ts'
import type { Cancel, Clock } from '../../src/clock.ts'
import { systemClock } from '../../src/clock.ts'
import type { AccountId } from '../../src/model/id.ts'
import type { SecretCipher } from '../../src/model/live-input.ts'
import { Secret, SecretBox } from '../../src/secret.ts'
import { DescribedAnswers } from './described-answers.ts'
import { MemoryBus } from './memory-bus.ts'
import { MemoryStore } from './memory-store.ts'

export const account = '0123456789abcdef0123456789abcdef' as AccountId
export const token = 'a-token-for-tests'
export const unknownId = 'f'.repeat(32)
export const inputsPath = `/client/v4/accounts/${account}/stream/live_inputs`

export type LogLine = {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: object
  readonly sentence: string
}

/** An API on a store in memory, with everything that a test may want to hold on to. */
export type ApiFixture = AsyncDisposable & {
  readonly api: Api
  readonly store: MemoryStore
  readonly bus: MemoryBus
  readonly cipher: SecretCipher
  readonly log: readonly LogLine[]
  /** The log's lines about each request, which are not in `log`. */
  readonly accessLog: readonly LogLine[]
  /** A request with the token. `body` is sent as JSON, or as it is when it is a text. */
  call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD' | 'OPTIONS' | 'PATCH',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>
  /** @returns the result of a call that must succeed. */
  result<Result = WireLiveInput>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<Result>
}

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  /** undefined when the body is empty. */
  readonly body: AnswerBody
}
type AnswerBody = {
  readonly success: boolean
  readonly result: never
  readonly errors: readonly {
    readonly code: number
    readonly message: string
    readonly source?: { readonly pointer: string }
    readonly error_chain?: readonly { code: number; message: string }[]
  }[]
  readonly messages: readonly {
    readonly code: number
    readonly message: string
    readonly source?: { readonly pointer: string }
  }[]
}

export async function startApi(options: Partial<ApiOptions> & { store?: MemoryStore } = {}): Promise<ApiFixture> {
  const store = options.store ?? new MemoryStore()
  const bus = new MemoryBus()
  const cipher = options.cipher ?? new SecretBox(randomBytes(32))
  const log: LogLine[] = []
  const accessLog: LogLine[] = []
  const writer = (level: LogLine['level']) => (fields: object, sentence: string) => {
    const isAccess = sentence === changeSentence || sentence === readSentence
    const lines = isAccess ? accessLog : log
    lines.push({ level, fields, sentence })
  }
  const api = await createApi({
    bus,
    clock: systemClock,
    log: { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') },
    first: { account, token: new Secret(token) },
    addresses: () => ({ rtmpUrl: 'rtmp://localhost:1935/live/', rtmpsUrl: 'rtmps://localhost:1936/live/' }),
    limits: { liveInputsMax: 1000, outputsMax: 50, resumeSecondsMax: 15 },
    ownerIsAlive: () => true,
    ...options,
    cipher,
    store,
  })
  const call: ApiFixture['call'] = async (method, path, body, headers = {}) => {
    const answer = await api.inject({
      method,
      url: path,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    if (path.startsWith('/client/v4/')) await checkDescribed(api, method, path, answer)
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text: answer.body,
      body: (answer.body === '' ? undefined : JSON.parse(answer.body)) as AnswerBody,
    }
  }
  return {
    api,
    store,
    bus,
    cipher,
    log,
    accessLog,
    call,
    async result(method, path, body) {
      const answer = await call(method, path, body)
      if (answer.status !== 200 || !answer.body.success)
        throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
      return answer.body.result
    },
    [Symbol.asyncDispose]: () => api.close(),
  }
}

/** Read once: it is the same for every API of a process. */
let described: DescribedAnswers | undefined

/** Each answer of each test is held against what /openapi.json says of it. */
async function checkDescribed(
  api: Api,
  method: string,
  path: string,
  { statusCode, body }: { statusCode: number; body: string },
): Promise<void> {
  described ??= new DescribedAnswers((await api.inject({ method: 'GET', url: '/openapi.json' })).json())
  described.check(method, path, statusCode, body)
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now = Date.parse('2026-01-02T03:04:05.678Z')
  #monotonicMs = 0
  #timers: { at: number; callback: () => void }[] = []

  now(): number {
    return this.#now
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  after(durationMs: number, callback: () => void): Cancel {
    const timer = { at: this.#monotonicMs + durationMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  advance(durationMs: number): void {
    this.#now += durationMs
    this.#monotonicMs += durationMs
    const due = this.#timers.filter(({ at }) => at <= this.#monotonicMs)
    this.#timers = this.#timers.filter((timer) => !due.includes(timer))
    for (const { callback } of due) callback()
  }
}
