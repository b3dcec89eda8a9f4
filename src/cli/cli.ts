import { parseArgs } from 'node:util'
import type { WireAccount } from '../api/account-schemas.ts'
import type { Clock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import { accountCommands } from './account-commands.ts'
import { type Command, exitStatus, type Invocation, NotReachable, RefusedByServer, WrongUsage } from './command.ts'
import { dashboardCommands } from './dashboard-commands.ts'
import { FoundServer, type OfflineApi, type ServerSettings } from './find-server.ts'
import { commandsText, commandText, commonOptions, groupText, namesOf } from './help.ts'
import { inputCommands } from './input-commands.ts'
import { outputCommands } from './output-commands.ts'
import { type SecretInput, SecretReader } from './read-secret.ts'

/** What commands find around them. */
export type Surroundings = {
  readonly stdin: SecretInput
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean }
  readonly stderr: NodeJS.WritableStream
  readonly clock: Clock
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal
  /** @throws CodedError for a setting that cannot be used. */
  readonly settings: (dataDir: string | undefined) => ServerSettings
  readonly openOffline: (dataDir: string | undefined) => Promise<OfflineApi>
}

const commands: readonly Command[] = [...inputCommands, ...outputCommands, ...accountCommands, ...dashboardCommands]

/** Whether the words are for commands, and not for the server's start. */
export function isCommand(words: readonly string[]): boolean {
  const [first] = words
  return commands.some(({ words: [group] }) => group === first) || first === 'help'
}

/** All commands, for the help of the whole program. */
export function commandsHelp(): string {
  return commandsText(commands)
}

/** @returns the exit status. */
export async function runCommand(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stderr } = surroundings
  try {
    await run(words[0] === 'help' ? [...words.slice(1), '--help'] : words, surroundings)
    return exitStatus.ok
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const status = statusOf(error)
    if (status === undefined) throw error
    stderr.write(`${error.message}\n`)
    return status
  }
}

function statusOf(error: Error): number | undefined {
  if (error instanceof RefusedByServer) return exitStatus.refused
  if (error instanceof WrongUsage) return exitStatus.usage
  if (error instanceof NotReachable) return exitStatus.unreachable
  // Of settings, and of a data directory that cannot be used.
  return error instanceof CodedError ? exitStatus.usage : undefined
}

async function run(words: readonly string[], surroundings: Surroundings): Promise<void> {
  const { stdout, stderr, clock, signal } = surroundings
  const print = (text: string) => void stdout.write(text)
  const note = (text: string) => void stderr.write(`${text}\n`)
  const asksForHelp = words.includes('--help') || words.includes('-h')
  const [group = '', name] = words
  const names = namesOf(commands, group)
  const alone = commands.find((one) => one.words.length === 1 && one.words[0] === group)
  if (names.length === 0 && alone === undefined)
    throw new WrongUsage(`There is no command "${shown(group)}" (stream-connect --help lists all).`)
  const command = alone ?? commands.find((one) => one.words[0] === group && one.words[1] === name)
  if (command === undefined) {
    if (asksForHelp && (name === undefined || name.startsWith('-'))) return print(groupText(commands, group))
    throw new WrongUsage(
      name === undefined || name.startsWith('-')
        ? `Say which: stream-connect ${group} ${names.join(' | ')} (--help explains).`
        : `There is no command "${group} ${shown(name)}"; there are: ${names.join(', ')}.`,
    )
  }
  if (asksForHelp) return print(commandText(command))

  const { values, positionals } = read(command, words.slice(command.words.length))
  const option = (key: string) => values[key]?.findLast((value) => typeof value === 'string')
  const dataDir = option('data-dir')
  const settings = surroundings.settings(dataDir)
  await using api = new FoundServer({
    settings,
    apiUrl: option('api-url'),
    tokenFile: option('token-file'),
    openOffline: command.worksOffline && (() => surroundings.openOffline(dataDir)),
    note,
  })
  const secrets = new SecretReader(surroundings.stdin, (text) => void stderr.write(text))
  let account: string | undefined = option('account') ?? settings.accountId
  const invocation: Invocation = {
    api: {
      async call<Result>(...call: Parameters<FoundServer['call']>) {
        const answer = await api.call<Result>(...call)
        for (const { message, source } of answer.messages)
          note(`Note${source?.pointer ? ` on ${source.pointer.slice(1)}` : ''}: ${shown(message, 1_000)}`)
        return answer
      },
    },
    async account() {
      account ??= (await api.call<WireAccount[]>('GET', '/accounts?per_page=1')).result[0]?.id
      if (account === undefined) throw new RefusedByServer(403, 'The token may use no account.')
      return encodeURIComponent(account)
    },
    given: positionals,
    flag: (key) => values[key]?.includes(true) ?? false,
    option,
    options: (key) => values[key]?.filter((value) => typeof value === 'string') ?? [],
    isJson: values['json'] !== undefined,
    print,
    note,
    isTerminal: stdout.isTTY ?? false,
    readSecret: (what) => secrets.read(what),
    clock,
    signal,
  }
  await command.run(invocation)
}

/** What somebody may try to give here, and every user of the machine could read. */
const secretOptions: Readonly<Record<string, string>> = {
  token: 'name a file with --token-file, or set STREAM_CONNECT_API_TOKEN',
  'api-token': 'name a file with --token-file, or set STREAM_CONNECT_API_TOKEN',
  key: 'give it on standard input',
  'stream-key': 'give it on standard input',
  password: 'give it on standard input, in the line after the stream key',
}

type Values = Readonly<Record<string, readonly (string | boolean)[] | undefined>>

/** @throws WrongUsage */
function read(command: Command, words: readonly string[]): { values: Values; positionals: readonly string[] } {
  const known = { ...commonOptions, ...command.options }
  const help = `(stream-connect ${command.words.join(' ')} --help explains)`
  const { tokens } = parseArgs({
    args: [...words],
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(known).map(([name, one]) => [name, { type: 'value' in one ? 'string' : 'boolean' } as const]),
    ),
  })
  const values: Record<string, (string | boolean)[]> = {}
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const { name, value } = token
    const mend = secretOptions[name]
    if (mend !== undefined)
      throw new WrongUsage(
        `--${name} is no option, because every user of the machine can read a command line; ${mend}.`,
      )
    const one: Command['options'][string] | undefined = Object.hasOwn(known, name)
      ? known[name as keyof typeof known]
      : undefined
    if (one === undefined) throw new WrongUsage(`${shown(token.rawName)} is no option of this command ${help}.`)
    if (one.value === undefined && value !== undefined) throw new WrongUsage(`--${name} takes no value ${help}.`)
    if (
      one.value !== undefined &&
      (value === undefined || value === '' || (!token.inlineValue && value.startsWith('--')))
    )
      throw new WrongUsage(`--${name} has no value; give --${name} ${one.value} ${help}.`)
    if (values[name] !== undefined && !one.isList) throw new WrongUsage(`--${name} is given twice ${help}.`)
    values[name] = [...(values[name] ?? []), value ?? true]
  }
  for (const [name, { isRequired, value }] of Object.entries(command.options))
    if (isRequired && values[name] === undefined) throw new WrongUsage(`Give --${name} ${value} ${help}.`)
  if (positionals.length !== command.takes.length || positionals.includes(''))
    throw new WrongUsage(
      `After "${command.words.join(' ')}" comes ${command.takes.length === 0 ? 'no word without an option' : command.takes.join(' and ')}, and ${positionals.length === 0 ? 'nothing' : `${positionals.length} word${positionals.length === 1 ? '' : 's'}`} came ${help}.`,
    )
  return { values, positionals }
}

/** A word as it may stand in one line of a message. */
function shown(text: string, lengthMax = 60): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?').slice(0, lengthMax)
}
