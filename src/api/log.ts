/** What the API needs of a log: fields, then a short fixed sentence. A pino logger is one. */
export type ApiLog = {
  debug(fields: object, sentence: string): void
  info(fields: object, sentence: string): void
  warn(fields: object, sentence: string): void
  error(fields: object, sentence: string): void
}
