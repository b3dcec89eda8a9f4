import { fileURLToPath } from 'node:url'
import type { ApiDescription } from '../../src/api/openapi.ts'
import { DescribedAnswers } from './described-answers.ts'
import {
  freePorts,
  type ProgramExit,
  type RunningProgram,
  startProgram,
  temporaryFolder,
  waitFor,
} from './processes.ts'
import { SecretWatch } from './secret-watch.ts'

/** The server under test, as a child process of its own: real ports, real files, real signals. */

export const accountIdOfTests = '0123456789abcdef0123456789abcdef'
export const tokenOfTests = 'token-of-the-tests'
const logLinesMax = 20_000
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const mainWithHosts = fileURLToPath(new URL('server-with-resolve.ts', import.meta.url))

export type ServerOptions = {
  /** Settings, without STREAM_CONNECT_: `{ RECONNECT_WINDOW: '2' }`. They win over the tests' own. */
  readonly settings?: Readonly<Record<string, string>>
  /** Other environment variables: NODE_EXTRA_CA_CERTS. */
  readonly env?: Readonly<Record<string, string>>
  /** Arguments of node: `['--cpu-prof', '--cpu-prof-dir=…']`. */
  readonly nodeArgs?: readonly string[]
  /** A program in place of src/main.ts. */
  readonly main?: string
  readonly readyDeadlineMs?: number
  /** Names and their addresses: the server looks up these and no others, and asks nobody. */
  readonly hosts?: Readonly<Record<string, string>>
}

/** An answer of the API. `json` is as it came: a test says what it expects of it. */
export type Answer<Result = Json> = {
  readonly status: number
  readonly json: Envelope<Result>
  readonly headers: Headers
}
export type Json = { readonly [key: string]: JsonValue }
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | Json
export type Envelope<Result> = {
  readonly success: boolean
  readonly result: Result
  readonly errors: readonly {
    readonly code: number
    readonly message: string
    readonly source?: { readonly pointer: string }
  }[]
  readonly messages: readonly { readonly code: number; readonly message: string }[]
}
export type WireStatus = {
  readonly current: { readonly state: string; readonly reason: string; readonly ingestProtocol: string }
  readonly history: readonly { readonly state: string; readonly reason: string }[]
}
export type CreatedInput = Json & {
  readonly uid: string
  readonly rtmps: { readonly url: string; readonly streamKey: string }
}
export type CreatedOutput = Json & {
  readonly uid: string
  readonly url: string
  readonly streamKey: string
  readonly enabled: boolean
}
/** One line of the server's log, or a line that is no JSON as `{ msg }`. */
export type LogLine = Readonly<Record<string, unknown>>

/** A port that was free a moment ago may be the other end of somebody's connection by now. */
const portsTried = 3

/** Starts the server and waits for `GET /readyz` to answer 200. @throws Error with what the server wrote when it ends first. */
export async function startServer(options: ServerOptions = {}): Promise<ServerUnderTest> {
  for (let attempt = 1; ; attempt++) {
    const folder = await temporaryFolder('data')
    const [httpPort, rtmpPort, rtmpsPort] = (await freePorts(3)) as [number, number, number]
    const server = new ServerUnderTest(options, folder, { http: httpPort, rtmp: rtmpPort, rtmps: rtmpsPort })
    try {
      await server.start()
      return server
    } catch (error) {
      await server[Symbol.asyncDispose]()
      const isTaken = (error as Error).message.includes('another program listens there')
      if (!isTaken || attempt === portsTried) throw error
    }
  }
}

export class ServerUnderTest implements AsyncDisposable {
  readonly accountId: string
  readonly token: string
  readonly dataDir: string
  readonly ports: { readonly http: number; readonly rtmp: number; readonly rtmps: number }
  /** The newest 20,000 lines of all runs. */
  readonly log: LogLine[] = []
  readonly #options: ServerOptions
  readonly #folder: AsyncDisposable
  /** What the server writes is searched for what it should keep to itself, when the test is over. */
  readonly secrets: SecretWatch = new SecretWatch()
  readonly #settings: Readonly<Record<string, string>>
  #program: RunningProgram | undefined
  #described: Promise<DescribedAnswers> | undefined

  constructor(options: ServerOptions, folder: AsyncDisposable & { path: string }, ports: ServerUnderTest['ports']) {
    this.#options = options
    this.#folder = folder
    this.ports = ports
    this.#settings = {
      HTTP_HOST: '127.0.0.1',
      HTTP_PORT: `${ports.http}`,
      RTMP_HOST: '127.0.0.1',
      RTMP_PORT: `${ports.rtmp}`,
      RTMPS_PORT: `${ports.rtmps}`,
      DATA_DIR: `${folder.path}/data`,
      DESTINATION_ALLOW: '127.0.0.0/8,::1/128',
      API_TOKEN: tokenOfTests,
      ACCOUNT_ID: accountIdOfTests,
      RATE_LIMIT: '0',
      LOG_FORMAT: 'json',
      // All that it could ever say, so that no secret in it is overlooked.
      LOG_LEVEL: 'trace',
      // npm run test:one-thread
      ...(process.env['TEST_MEDIA_THREADS'] && { MEDIA_THREADS: process.env['TEST_MEDIA_THREADS'] }),
      ...options.settings,
    }
    this.dataDir = this.#settings['DATA_DIR']!
    this.token = this.#settings['API_TOKEN']!
    this.accountId = this.#settings['ACCOUNT_ID']!
    this.secrets.add(this.token)
    this.secrets.add(this.token)
  }

  /** `http://127.0.0.1:port` */
  get origin(): string {
    return `http://127.0.0.1:${this.ports.http}`
  }

  /** baseURL for the `cloudflare` package. */
  get baseUrl(): string {
    return `${this.origin}/client/v4`
  }

  /** What an encoder has as server; the stream key goes beside it. */
  get rtmpUrl(): string {
    return `rtmp://127.0.0.1:${this.ports.rtmp}/live`
  }

  get rtmpsUrl(): string {
    return `rtmps://127.0.0.1:${this.ports.rtmps}/live`
  }

  /** The running process. @throws Error when it was stopped. */
  get program(): RunningProgram {
    if (!this.#program) throw new Error('the server does not run')
    return this.#program
  }

  async start(): Promise<void> {
    // Settings of the person who runs the tests must not reach the server.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STREAM_CONNECT_'))
    const settings = Object.entries(this.#settings).map(([name, value]) => [`STREAM_CONNECT_${name}`, value])
    const { hosts, nodeArgs = [], main = hosts ? mainWithHosts : mainFile } = this.#options
    const program = await startProgram(process.execPath, [...nodeArgs, main], {
      env: {
        ...Object.fromEntries(inherited),
        ...(hosts && { TEST_HOSTS: JSON.stringify(hosts) }),
        ...this.#options.env,
        ...Object.fromEntries(settings),
      },
      onLine: (line) => this.#writeDown(line),
    })
    this.#program = program
    await waitFor(
      'the server to be ready',
      async () => {
        if (program.exit) return true
        // Its own words first: on a port that was taken meanwhile, another server would answer.
        if (main === mainFile && !program.output.includes(this.accountId)) return false
        return (await fetch(`${this.origin}/readyz`, { headers: { connection: 'close' } })).status === 200
      },
      this.#options.readyDeadlineMs ?? 60_000,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; the server wrote:\n${program.output.slice(-4_000)}`)
    })
    if (program.exit) {
      const { code, signal } = program.exit
      throw new Error(`the server ended with ${code ?? signal} before it was ready:\n${program.output.slice(-4_000)}`)
    }
  }

  /** SIGTERM, and SIGKILL after so long. Gives how it ended. */
  async stop(graceMs = 10_000): Promise<ProgramExit> {
    const program = this.program
    this.#program = undefined
    return program.stop(graceMs)
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<ProgramExit> {
    const program = this.program
    this.#program = undefined
    program.signal(signal)
    return program.exited
  }

  /** The same data directory and ports again; `how` it is ended first (if it runs). */
  async restart(how: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#program) await (how === 'SIGTERM' ? this.stop() : this.kill(how))
    await this.start()
  }

  /**
   * As the global one, for an SDK: each answer is held against the server's own /openapi.json, and without keep-alive the server's
   * connections end with the test.
   */
  readonly fetch: typeof fetch = async (url, init = {}) => {
    const described = await this.#describedAnswers()
    const headers = { ...Object.fromEntries(new Headers(init.headers)), connection: 'close' }
    const answer = await fetch(url, { ...init, headers })
    const { pathname } = new URL(String(url))
    described?.check((init.method ?? 'GET').toUpperCase(), pathname, answer.status, await answer.clone().text())
    return answer
  }

  /**
   * Calls the API, and holds the answer against the server's own /openapi.json. @param path below
   * `/client/v4/accounts/{account_id}/stream/live_inputs` (`/{uid}/outputs`, or `''`), or from the root when it begins with `/client`.
   */
  async api<Result = Json>(method: string, path = '', body?: unknown): Promise<Answer<Result>> {
    // Before the call: what answers it may end the server.
    const described = await this.#describedAnswers()
    const pathname = path.startsWith('/client')
      ? path
      : `/client/v4/accounts/${this.accountId}/stream/live_inputs${path}`
    const answer = await fetch(`${this.origin}${pathname}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json', connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    described?.check(method, pathname, answer.status, text)
    this.secrets.addFrom(body)
    if (answer.status === 200) this.secrets.addFrom(JSON.parse(text))
    else this.secrets.wrote(`the answer to ${method} ${path}`, text)
    return { status: answer.status, json: JSON.parse(text) as Envelope<Result>, headers: answer.headers }
  }

  /** @throws Error when the API refuses. */
  async createInput(body: Record<string, unknown> = {}): Promise<CreatedInput> {
    return this.#must<CreatedInput>('POST', '', body)
  }

  /** @throws Error when the API refuses. */
  async addOutput(
    inputUid: string,
    output: { readonly url: string; readonly streamKey: string; readonly enabled?: boolean } & Record<string, unknown>,
  ): Promise<CreatedOutput> {
    return this.#must<CreatedOutput>('POST', `/${inputUid}/outputs`, output)
  }

  async outputs(inputUid: string): Promise<CreatedOutput[]> {
    return this.#must<CreatedOutput[]>('GET', `/${inputUid}/outputs`)
  }

  async input(inputUid: string): Promise<CreatedInput> {
    return this.#must<CreatedInput>('GET', `/${inputUid}`)
  }

  /** Waits until the output is in this state on the wire (and has this reason), and gives it. */
  async waitForOutput(
    inputUid: string,
    outputUid: string,
    wanted: { readonly state: string; readonly reason?: string },
    deadlineMs = 20_000,
  ): Promise<CreatedOutput> {
    let seen: unknown
    return waitFor(
      `output ${outputUid} to be ${wanted.state} ${wanted.reason ?? ''}`.trimEnd(),
      async () => {
        const output = (await this.outputs(inputUid)).find(({ uid }) => uid === outputUid)
        const current = (output?.['status'] as WireStatus | null | undefined)?.current
        seen = current
        if (!output || current?.state !== wanted.state) return undefined
        return wanted.reason === undefined || current.reason === wanted.reason ? output : undefined
      },
      deadlineMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(seen ?? null)}`)
    })
  }

  /** The first log line that fits, written already or yet to come. */
  async waitForLog(what: string, fits: (line: LogLine) => boolean, deadlineMs = 10_000): Promise<LogLine> {
    return waitFor(`a log line: ${what}`, () => this.log.find(fits), deadlineMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#program) {
      await this.#readMetrics()
      await this.stop()
    }
    this.secrets.addFromDatabase(this.dataDir, this.#settings['SECRET_KEY'])
    await this.#folder[Symbol.asyncDispose]()
    // A stand-in for the server may repeat what it is sent.
    if (this.#options.main === undefined) this.secrets.assertNothingFound()
  }

  async #readMetrics(): Promise<void> {
    const answer = await fetch(`${this.origin}/metrics`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(2_000),
    }).catch(() => undefined)
    this.secrets.wrote('GET /metrics', (await answer?.text().catch(() => '')) ?? '')
  }

  async #must<Result>(method: string, path: string, body?: unknown): Promise<Result> {
    const { status, json } = await this.api<Result>(method, path, body)
    if (status !== 200) throw new Error(`${method} ${path} answered ${status}: ${JSON.stringify(json)}`)
    return json.result
  }

  /** Asked for once: a restart changes nothing in it. Another program in the server's place describes nothing. */
  async #describedAnswers(): Promise<DescribedAnswers | undefined> {
    if (this.#options.main !== undefined) return undefined
    this.#described ??= fetch(`${this.origin}/openapi.json`, { headers: { connection: 'close' } })
      .then((answer) => answer.json())
      .then((description) => new DescribedAnswers(description as ApiDescription))
    try {
      return await this.#described
    } catch (error) {
      // The next call asks again.
      this.#described = undefined
      throw error
    }
  }

  #writeDown(line: string): void {
    if (line === '') return
    this.secrets.wrote('the log', line)
    if (this.log.length >= logLinesMax) this.log.splice(0, logLinesMax / 2)
    try {
      this.log.push(JSON.parse(line) as LogLine)
    } catch {
      this.log.push({ msg: line })
    }
  }
}
