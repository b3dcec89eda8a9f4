import { posix } from 'node:path'
import { filesOfRepository, readRepositoryFile } from './repository.ts'

const files = new Set(filesOfRepository())
const titlesOfFile = new Map<string, readonly string[]>()

/** Titles of tests and suites as they stand in the source, `${…}` included. */
function titlesOf(file: string): readonly string[] {
  const known = titlesOfFile.get(file)
  if (known !== undefined) return known
  const matches = readRepositoryFile(file).matchAll(/\b(?:test|it|describe)\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gs)
  const titles = [...matches].map(([, , text]) => plain(text!.replace(/\\(.)/g, '$1')))
  titlesOfFile.set(file, titles)
  return titles
}

/**
 * Whether a file has a test or a suite whose title begins so. Where the title has parts that are filled in, whether it could: what stands in
 * their place is a text of the file, or of a table beside it.
 */
export function hasTest(file: string, title: string): boolean {
  if (!files.has(file)) return false
  const wanted = plain(title)
  return titlesOf(file).some((text) => {
    if (!text.includes('${')) return text.startsWith(wanted)
    const fixed = text.split(/\$\{[^}]*\}/)
    return fixed[0] === ''
      ? fixed.some((part) => part.includes(wanted))
      : text.startsWith(wanted) || (wanted.startsWith(fixed[0]!) && hasText(file, wanted.slice(fixed[0]!.length)))
  })
}

function hasText(file: string, text: string): boolean {
  const source = readRepositoryFile(file)
  const tables = [...source.matchAll(/from '\.\/([\w-]+\.vectors\.ts)'/g)].map(([, name]) =>
    readRepositoryFile(posix.join(posix.dirname(file), name!)),
  )
  return [source, ...tables].some((one) => plain(one).includes(text))
}

function plain(text: string): string {
  return text.replaceAll('’', "'")
}
