import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Inputs that are kept: `corpus/<target>.txt`, one in each line, hex; `regressions/<target>/<name>.hex`, each a bug that was. */
const corpusFolder = join(import.meta.dirname, 'corpus')
const regressionFolder = join(import.meta.dirname, 'regressions')

/** Characters of a line, so that what is kept stays readable as a file. */
const hexColumns = 120

export function readCorpus(target: string): Buffer[] {
  const file = join(corpusFolder, `${target}.txt`)
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => (line === '-' ? Buffer.alloc(0) : Buffer.from(line, 'hex')))
}

/** Shortest first, each once, so that a changed corpus is a small change of its file. */
export function writeCorpus(target: string, inputs: readonly Buffer[]): void {
  mkdirSync(corpusFolder, { recursive: true })
  const lines = new Set(inputs.map((input) => (input.length === 0 ? '-' : input.toString('hex'))))
  const sorted = [...lines].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  writeFileSync(join(corpusFolder, `${target}.txt`), `${sorted.join('\n')}\n`)
}

export function readRegressions(target: string): { readonly name: string; readonly input: Buffer }[] {
  const folder = join(regressionFolder, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, input: Buffer.from(readFileSync(join(folder, name), 'utf8').replace(/\s/g, ''), 'hex') }))
}

/** @returns the file. */
export function writeFinding(folder: string, target: string, name: string, input: Buffer): string {
  mkdirSync(join(folder, target), { recursive: true })
  const file = join(folder, target, `${name}.hex`)
  writeFileSync(file, `${inLines(input)}\n`)
  return file
}

export function inLines(input: Buffer): string {
  return (input.toString('hex').match(new RegExp(`.{1,${hexColumns}}`, 'g')) ?? []).join('\n')
}
