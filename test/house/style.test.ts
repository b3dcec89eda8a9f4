import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesOfRepository, readRepositoryFile } from './repository.ts'

/** Rules of the house that neither the compiler nor the linter knows. */

const linesMax = 600

const files = filesOfRepository()
const sources = files.filter((path) => /^(src|scripts|test|bench)\/.*\.(ts|mjs)$/.test(path))
const texts = files.filter((path) => /\.(ts|tsx|mjs|js|json|md|sh|yml|yaml|npmrc|run)$|\.npmrc$|\.ci\/run$/.test(path))

function offenders(paths: readonly string[], pattern: RegExp): readonly string[] {
  return paths.flatMap((path) =>
    readRepositoryFile(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
  )
}

test('the repository was found', () => {
  assert(files.includes('package.json') && sources.includes('src/errors.ts'))
})

test('no folder is named after nothing', () => {
  assert.deepEqual(
    files.filter((path) => /(^|\/)(utils?|helpers?|common|shared|misc|types|lib)\//.test(path)),
    [],
  )
})

test(`no source has more than ${linesMax} lines`, () => {
  const long = sources.filter((path) => path.startsWith('src/') && !path.endsWith('.test.ts'))
  assert.deepEqual(
    long.filter((path) => readRepositoryFile(path).split('\n').length > linesMax),
    [],
  )
})

test('tests stand beside what they test', () => {
  assert.deepEqual(
    files.filter((path) => path.startsWith('src/') && /(^|\/)(__tests__|tests?|specs?)\/|\.spec\.ts$/.test(path)),
    [],
  )
})

test('files are named in kebab-case', () => {
  assert.deepEqual(
    sources.filter((path) => !/^[a-z0-9/-]+(\.test|\.vectors)?\.(ts|mjs)$/.test(path)),
    [],
  )
})

test('nothing is left to be done, or switched off', () => {
  assert.deepEqual(offenders(sources, /\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b|@ts-(ignore|no[c]heck)|\btest\.only\(/), [])
})

test('the server prints through its log alone', () => {
  const own = sources.filter((path) => path.startsWith('src/') && !path.endsWith('.test.ts'))
  assert.deepEqual(offenders(own, /\bconsole\.\w+\(/), [])
})

test('nothing names a package registry or a path of one machine', () => {
  // In pieces, so that this file does not name them itself.
  const forbidden = [
    'registry\\.(npm[j]s|yarnpkg)',
    'npm\\.pkg\\.git[h]ub',
    '"resol[v]ed":',
    '/(work|roo[t]|home|Users)/[a-z.]',
  ]
  assert.deepEqual(offenders(texts, new RegExp(forbidden.join('|'))), [])
})

test('the lock file names the very versions that package.json asks for', () => {
  type Lists = Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>
  const wanted = JSON.parse(readRepositoryFile('package.json')) as Lists
  const locked = (JSON.parse(readRepositoryFile('package-lock.json')) as { packages: Record<string, Partial<Lists>> })
    .packages['']
  for (const list of ['dependencies', 'devDependencies', 'optionalDependencies'] as const) {
    assert.deepEqual(locked?.[list], wanted[list])
    for (const version of Object.values(wanted[list])) assert.match(version, /^(npm:[\w@/-]+@)?\d/, 'exact versions')
  }
})
