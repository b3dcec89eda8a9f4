import { createRequire } from 'node:module'
import pino from 'pino'
import type { Config } from './config.ts'
import { plain, printable } from './log-fields.ts'

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
    return new PinoLog(this.#pino.child(plain(fields) as object))
  }

  #write(level: 'error' | 'warn' | 'info' | 'debug' | 'trace', fields: LogFields, sentence: string): void {
    if (this.#pino.isLevelEnabled(level)) this.#pino[level](plain(fields), printable(sentence))
  }
}

function prettyLines(out: LogDestination, colorize: boolean): LogDestination {
  // Only for a person at a terminal: every thread would load it otherwise.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
  const prettify = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', singleLine: true })
  return { write: (line) => out.write(prettify(line)) }
}
