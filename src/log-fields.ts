import { CodedError } from './errors.ts'

/** A string longer than this is cut: long enough for any URL or sentence. */
const charactersMax = 2_000
/** Objects within objects, and causes of causes. */
const depthMax = 6
/** Lists and objects with more members are cut. */
const membersMax = 100

/** The value as plain, printable, bounded data: what may stand in the log, and what may be told to another thread. */
export function plain(value: unknown, depth = 0): unknown {
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
export function printable(text: string): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `<U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}>`,
  )
}
