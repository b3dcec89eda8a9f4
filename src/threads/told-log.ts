import type { Log, LogFields } from '../log.ts'
import { plain, printable } from '../log-fields.ts'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** A line of a thread, for the main thread to write. */
export type LogRecord = { readonly level: LogLevel; readonly fields: LogFields; readonly sentence: string }

/** The log of a thread: told to the main thread, which alone writes, so that lines stay whole and in their order. */
export class ToldLog implements Log {
  readonly #tell: (record: LogRecord) => void
  readonly #from: number
  readonly #fields: LogFields

  /** @param level the lowest that is told: LOG_LEVEL. */
  constructor(tell: (record: LogRecord) => void, level: string, fields: LogFields = {}) {
    this.#tell = tell
    // Levels above `error` (fatal, silent) tell nothing that is written here.
    const known = logLevels.indexOf(level as LogLevel)
    this.#from = known < 0 ? logLevels.length : known
    this.#fields = fields
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
    return new ToldLog(this.#tell, logLevels[this.#from] ?? 'silent', { ...this.#fields, ...fields })
  }

  #write(level: LogLevel, fields: LogFields, sentence: string): void {
    if (logLevels.indexOf(level) < this.#from) return
    // Errors and secrets do not survive the way between threads as what they are.
    this.#tell({ level, fields: plain({ ...this.#fields, ...fields }) as LogFields, sentence: printable(sentence) })
  }
}
