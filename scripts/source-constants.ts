import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createContext, runInContext } from 'node:vm'

const root = join(import.meta.dirname, '..')

/**
 * The constants at the top of a source file that are numbers, or objects of numbers, as they stand there: `const burstMax = 4 * 1024`.
 * Read from the text, so that a constant need not be exported to be shown. Those that are made of anything else are left out.
 *
 * @param path from the root of the repository
 */
export function constantsIn(path: string): ReadonlyMap<string, number | Readonly<Record<string, number>>> {
  const source = readFileSync(join(root, path), 'utf8')
  const found = new Map<string, number | Readonly<Record<string, number>>>()
  const known = createContext({})
  for (const [, name, text] of source.matchAll(
    /^(?:export )?const (\w+)(?:: [\w<>, ]+)? = (\{\n.*?^\}|[^\n]+?)(?: as const)?$/gms,
  )) {
    const expression = text!.replace(/\/\*\*.*?\*\/|\/\/.*$/gms, '')
    // Numbers, arithmetic, names of constants before it, and braces: nothing that could do anything.
    if (!/^[\w\s.,:*+\-/(){}]+$/.test(expression)) continue
    try {
      const value: unknown = runInContext(`globalThis.${name} = (${expression})`, known)
      if (typeof value === 'number') found.set(name!, value)
      else if (isNumbers(value)) found.set(name!, { ...value })
    } catch {
      // Made of something that this file imports or calls.
    }
  }
  return found
}

function isNumbers(value: unknown): value is Readonly<Record<string, number>> {
  return typeof value === 'object' && value !== null && Object.values(value).every((one) => typeof one === 'number')
}
