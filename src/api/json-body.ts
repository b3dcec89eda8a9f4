import { invalid, jsonPointer } from './envelope.ts'

/** Nothing in this API needs more than four levels; checkers and printers of JSON recurse, and must not be led too deep. */
export const nestingMax = 32

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Reads a body as JSON, whatever its Content-Type says: the documented curl lines send `--data '{…}'` as form data.
 * Refused besides what is no JSON: nesting that is too deep, a name given twice (readers disagree on which one counts), and
 * `__proto__` as a name.
 * @throws Refusal
 */
export function parseJsonBody(bytes: Buffer): unknown {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw invalid('', 'The body is not UTF-8 text. Send JSON in UTF-8.')
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // V8's own message quotes the body, which may hold a key.
    const position = error instanceof Error ? / at position (\d+)/.exec(error.message)?.[1] : undefined
    throw invalid(
      '',
      `The body is not valid JSON${position === undefined ? '' : ` (at character ${Number(position) + 1})`}. Send one JSON object.`,
    )
  }
  checkNames(text)
  return value
}

/** One `{` or `[` that is open. */
type Level = { readonly names: Set<string> | undefined; nameIsNext: boolean; at: string | number }

/** Walks over a text that is known to be valid JSON. */
function checkNames(text: string): void {
  const levels: Level[] = []
  const pointer = () => jsonPointer(levels.map((level) => level.at))
  for (let index = 0; index < text.length; index++) {
    const top = levels.at(-1)
    switch (text[index]) {
      case '{':
      case '[': {
        if (levels.length === nestingMax)
          throw invalid(pointer(), `The body is nested too deep: at most ${nestingMax} levels. Make it flatter.`)
        const isObject = text[index] === '{'
        levels.push({ names: isObject ? new Set() : undefined, nameIsNext: isObject, at: isObject ? '' : 0 })
        break
      }
      case '}':
      case ']':
        levels.pop()
        break
      case ',':
        if (top?.names) top.nameIsNext = true
        else if (top) top.at = Number(top.at) + 1
        break
      case '"': {
        const start = index
        for (index++; text[index] !== '"'; index++) if (text[index] === '\\') index++
        if (!top?.names || !top.nameIsNext) break
        const name = JSON.parse(text.slice(start, index + 1)) as string
        top.nameIsNext = false
        top.at = name
        if (name === '__proto__') throw invalid(pointer(), 'The name `__proto__` cannot be used. Choose another name.')
        if (top.names.has(name))
          throw invalid(pointer(), 'The same name stands twice in one object. Leave only the one whose value is meant.')
        top.names.add(name)
        break
      }
    }
  }
}
