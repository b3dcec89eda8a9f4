import { createRequire } from 'node:module'
import pino from 'pino'
import type { Config } from './config.ts'
import { CodedError } from './errors.ts'

/**
 * The structured log: fields, and a short fixed sentence. It tells of transitions, never of messages. Whatever a peer had a
 * hand in (an application name, a stream name, an error of the system) is cut to a bearable length and stripped of control
 * characters, so that it can neither fill the disk, nor forge a line, nor steer a terminal. Secrets print as `[redacted]`.
 */
export interface Log {
  error(fields: LogFields, sentence: string): void
  warn(fields: LogFields, sentence: string): void
  info(fields: LogFields, sentence: string): void
  debug(fields: LogFields, sentence: string): void
  trace(fields: LogFields, sentence: string): void
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log
}

/** An Error may stand in any field: it is written with its code, message and causes. */
export type LogFields = { readonly [name: string]: unknown } & {
  /** The line's own. */
  readonly level?: never
  readonly time?: never
  readonly msg?: never
}

/** Takes whole lines, each with its line feed. */
export type LogDestination = { write(line: string): void }

/** A string longer than this is cut: long enough for any URL or sentence. */
const charactersMax = 2_000
/** Objects within objects, and causes of causes. */
const depthMax = 6
/** Lists and objects with more members are cut. */
const membersMax = 100
/**
 * What is kept in memory for a reader of the log that has stopped reading; beyond it lines are lost. The log is written
 * without waiting, because media goes through the same thread.
 */
const pendingBytesMax = 4 * 1024 * 1024

/** @param destination where the lines go; standard output by default. */
export function createLog(config: Pick<Config, 'logLevel' | 'logFormat'>, destination?: LogDestination): Log {
  const terminal = destination === undefined && process.stdout.isTTY
  const pretty = (config.logFormat ?? (terminal ? 'pretty' : 'json')) === 'pretty'
  const out = destination ?? pino.destination({ dest: 1, sync: terminal, maxLength: pendingBytesMax })
  const options = {
    level: config.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return new PinoLog(pino(options, pretty ? prettyLines(out, terminal && process.env['NO_COLOR'] === undefined) : out))
}

class PinoLog implements Log {
  readonly #pino: pino.Logger

  constructor(logger: pino.Logger) {
    this.#pino = logger
  }

  error(fields: LogFields, sentence: string): void {
    this.#write('error', fields, sentence)
  }

  warn(fields: LogFields, sentence: string): void {
    this.#write('warn', fields, sentence)
  }

  info(fields: LogFields, sentence: string): void {
    this.#write('info', fields, sentence)
  }

  debug(fields: LogFields, sentence: string): void {
    this.#write('debug', fields, sentence)
  }

  trace(fields: LogFields, sentence: string): void {
    this.#write('trace', fields, sentence)
  }

  child(fields: LogFields): Log {
    return new PinoLog(this.#pino.child(plain(fields, 0) as object))
  }

  #write(level: 'error' | 'warn' | 'info' | 'debug' | 'trace', fields: LogFields, sentence: string): void {
    if (this.#pino.isLevelEnabled(level)) this.#pino[level](plain(fields, 0), printable(sentence))
  }
}

function prettyLines(out: LogDestination, colorize: boolean): LogDestination {
  // Only for a person at a terminal: every thread would load it otherwise.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
  const prettify = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', singleLine: true })
  return { write: (line) => out.write(prettify(line)) }
}

/** The value as plain, printable, bounded data. */
function plain(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return printable(value)
    case 'bigint':
      return value.toString()
    case 'symbol':
    case 'function':
      return undefined
    case 'object':
      break
    default:
      return value
  }
  if (value === null) return null
  if (depth >= depthMax) return '…'
  if (value instanceof Error) return plainError(value, depth)
  // Secrets, dates and URLs say themselves how they want to be shown.
  if ('toJSON' in value && typeof value.toJSON === 'function') return plain(value.toJSON(), depth + 1)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return value.slice(0, membersMax).map((item) => plain(item, depth + 1) ?? null)
  if (value instanceof Map || value instanceof Set) return plain([...value], depth)
  const members = Object.entries(value).slice(0, membersMax)
  return Object.fromEntries(members.map(([name, member]) => [printable(name), plain(member, depth + 1)]))
}

/** Only what is known to be harmless: other properties of an error may be anything, a request with its headers for instance. */
function plainError(error: Error, depth: number): object {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const causes = error instanceof AggregateError ? error.errors.slice(0, 8) : undefined
  return {
    type: printable(error.name),
    ...(code !== undefined && { code: printable(code) }),
    message: printable(error.message),
    // An error with a code of ours is an expected one: where it was thrown helps nobody.
    ...(!(error instanceof CodedError) && error.stack !== undefined && { stack: printableStack(error.stack) }),
    ...(error.cause !== undefined && { cause: plain(error.cause, depth + 1) }),
    ...(causes !== undefined && { errors: causes.map((cause) => plain(cause, depth + 1)) }),
  }
}

/** Line by line, so that a line feed stays one: V8 writes the frames on lines of their own, after the message. */
function printableStack(stack: string): readonly string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 10)
    .map((line) => printable(line.trim()))
}

/**
 * Control characters (C0, DEL, C1, with ANSI escapes among them), separators of lines, and characters that turn the direction
 * of writing are shown as their code points.
 */
function printable(text: string): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `<U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}>`,
  )
}
