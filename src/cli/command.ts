import type { Notice } from '../api/envelope.ts'
import type { Clock } from '../clock.ts'

/** How a command ended, for shells. */
export const exitStatus = { ok: 0, refused: 1, usage: 2, unreachable: 3 } as const

/** What was typed cannot be carried out. `message` says what to type. */
export class WrongUsage extends Error {}

/** The server answered, and said no. */
export class RefusedByServer extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** No answer, or none of a server of ours. */
export class NotReachable extends Error {
  /** Nothing listens there: nothing can have happened. */
  readonly isRefused: boolean

  constructor(message: string, options: { isRefused?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.isRefused = options.isRefused ?? false
  }
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
export type Success<Result> = { readonly result: Result; readonly messages: readonly Notice[] }

/** The API, wherever it is: over HTTP, or in this process while no server runs. `path` goes below /client/v4. */
export interface Api {
  /** @throws RefusedByServer, NotReachable */
  call<Result>(method: Method, path: string, body?: object): Promise<Success<Result>>
}

export type Option = {
  /** In the help: `--url URL`. Without it the option is a flag. */
  readonly value?: string
  readonly meaning: string
  readonly isRequired?: true
  /** May be given more than once. */
  readonly isList?: true
}

/** What a command has to work with. */
export type Invocation = {
  readonly api: Api
  /** --account, or the setting ACCOUNT_ID, or the first account that the token may use. */
  account(): Promise<string>
  /** In the order of `Command.takes`. */
  readonly given: readonly string[]
  flag(name: string): boolean
  option(name: string): string | undefined
  options(name: string): readonly string[]
  readonly isJson: boolean
  /** Standard output: what was asked for. */
  print(text: string): void
  /** Standard error: what a person may want to know besides. */
  note(text: string): void
  /** Standard output is a terminal: it may be drawn on. */
  readonly isTerminal: boolean
  /** One line from standard input; on a terminal it is asked for, and not shown. @throws WrongUsage when there is none. */
  readSecret(name: string): Promise<string>
  readonly clock: Clock
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal
}

export type Command = {
  readonly words: readonly [group: string, name: string] | readonly [alone: string]
  /** Names of what stands after the words: `INPUT`. */
  readonly takes: readonly string[]
  readonly options: Readonly<Record<string, Option>>
  /** One line in a list. */
  readonly summary: string
  readonly details?: string
  readonly examples: readonly string[]
  /** Works on the database itself while no server runs. */
  readonly worksOffline?: true
  run(invocation: Invocation): Promise<void>
}
