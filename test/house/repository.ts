import { globSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

/** The folder of the repository, absolute. */
export const root = join(import.meta.dirname, '..', '..')

/** What is made, not written: installed packages, the history, the data of a server that was tried, recordings. */
const made = new Set(['node_modules', '.git', 'data', 'coverage', 'dist'])

/** Every file that a person wrote, from the root on, with `/`, sorted. */
export function filesOfRepository(): readonly string[] {
  return globSync('**', { cwd: root, withFileTypes: true, exclude: (entry) => made.has(entry.name) })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .toSorted()
}

export function readRepositoryFile(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
