import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isCoded } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { type Api, type Method, NotReachable, WrongUsage } from './command.ts'
import { answerOf, httpApi } from './http-api.ts'

/** What the settings say of the server, as far as commands need it. */
export type ServerSettings = {
  readonly dataDir: string
  readonly accountId: string | undefined
  readonly apiToken: Secret | undefined
  /** Where a server with these settings listens, `http://host:port`. */
  readonly origin: string
}

/** The API over the database, in this process, while no server runs. */
export type OfflineApi = AsyncDisposable & {
  call(method: Method, path: string, body?: object): Promise<{ readonly status: number; readonly text: string }>
}

export type Whereabouts = {
  readonly settings: ServerSettings
  readonly apiUrl: string | undefined
  readonly tokenFile: string | undefined
  /** @throws CodedError data_dir_in_use when a server runs, and whatever else a server would not start with. */
  readonly openOffline: (() => Promise<OfflineApi>) | undefined
  readonly note: (text: string) => void
}

/**
 * The API that commands speak to, found at the first call: --api-url; the server that runs on the data directory (it keeps its address
 * in DATA_DIR/api-url); where the settings say; and, for commands that may, the database itself. Dispose of it afterwards.
 */
export class FoundServer implements Api, AsyncDisposable {
  readonly #where: Whereabouts
  #found: Api | undefined
  #offline: OfflineApi | undefined

  constructor(where: Whereabouts) {
    this.#where = where
  }

  async call<Result>(method: Method, path: string, body?: object) {
    if (this.#found !== undefined) return this.#found.call<Result>(method, path, body)
    const { settings, apiUrl, openOffline } = this.#where
    if (apiUrl !== undefined) return this.#online(originOf(apiUrl)).then((api) => api.call<Result>(method, path, body))

    const announced = await readLine(join(settings.dataDir, 'api-url'))
    const mayOpen = openOffline !== undefined && (await exists(join(settings.dataDir, 'stream-connect.sqlite')))
    if (announced === undefined && mayOpen && (await this.#openOffline(openOffline)))
      return this.#found!.call<Result>(method, path, body)
    const api = await this.#online(announced === undefined ? settings.origin : originOf(announced))
    try {
      return await api.call<Result>(method, path, body)
    } catch (error) {
      // A server that was killed left its address behind. Nobody has heard of this call yet.
      const isGone = error instanceof NotReachable && error.isRefused && announced !== undefined
      if (!isGone || !mayOpen || !(await this.#openOffline(openOffline))) throw error
      return this.#found!.call<Result>(method, path, body)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#offline?.[Symbol.asyncDispose]()
  }

  async #online(origin: string): Promise<Api> {
    const api = httpApi(origin, await this.#token())
    this.#found = api
    return api
  }

  /** @returns false when a server has the database. */
  async #openOffline(open: () => Promise<OfflineApi>): Promise<boolean> {
    try {
      const offline = await open()
      this.#offline = offline
      this.#found = {
        call: async <Result>(method: Method, path: string, body?: object) => {
          const { status, text } = await offline.call(method, path, body)
          return answerOf<Result>(status, text, this.#where.settings.dataDir)
        },
      }
    } catch (error) {
      if (isCoded(error, 'data_dir_in_use')) return false
      throw error
    }
    this.#where.note(`No server runs on ${this.#where.settings.dataDir}; its database was opened.`)
    return true
  }

  async #token(): Promise<string> {
    const { settings, tokenFile } = this.#where
    if (tokenFile !== undefined) {
      const token = await readLine(tokenFile)
      if (token === undefined) throw new WrongUsage(`--token-file: ${tokenFile} cannot be read, or is empty.`)
      return token
    }
    const token = settings.apiToken?.reveal() ?? (await readLine(join(settings.dataDir, 'api-token')))
    if (token !== undefined) return token
    throw new WrongUsage(
      `There is no token: set STREAM_CONNECT_API_TOKEN, or name a file with --token-file, or the server's folder with --data-dir (${settings.dataDir} has no api-token that can be read).`,
    )
  }
}

/** `http://host:port`, whatever path a person left on it. */
function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new WrongUsage('The address of the API is a url, for example http://localhost:8080.')
  if (url.username !== '' || url.password !== '')
    throw new WrongUsage('The address of the API has no user or password in it; the token is read from a file.')
  return `${url.origin}${url.pathname.replace(/\/+$/, '').replace(/\/client\/v4$/, '')}`
}

async function readLine(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.trim() || undefined
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}
