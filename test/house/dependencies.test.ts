import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRepositoryFile } from './repository.ts'

/** What is installed: exactly what the lock file names, and nothing of it runs before somebody uses it. */

type Locked = {
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}

const { packages } = JSON.parse(readRepositoryFile('package-lock.json')) as {
  readonly packages: Readonly<Record<string, Locked>>
}
const installed = Object.entries(packages).filter(([place]) => place.includes('node_modules/'))

/** Packages that have an install script and do without it, and why. Nothing that a running server loads may be here. */
const doesWithoutItsScript: Readonly<Record<string, string>> = {
  'node_modules/node-av': 'its script builds what comes in its package for the platform; only tests use it',
}

test('no locked dependency needs its install script', () => {
  const withScript = installed.filter(([, { hasInstallScript }]) => hasInstallScript)
  assert.deepEqual(withScript.map(([place]) => place).sort(), Object.keys(doesWithoutItsScript).sort())
  for (const [place, { dev }] of withScript) assert.ok(dev, `${place} is loaded by a running server`)
})

test('whatever installs the dependencies runs no script of theirs', () => {
  assert.match(readRepositoryFile('scripts/setup.mjs'), /'--ignore-scripts'/)
})

test('every locked dependency is held by its digest, wherever it comes from', () => {
  assert.ok(installed.length > 100)
  for (const [place, { integrity, resolved, link }] of installed) {
    if (link) continue
    assert.match(integrity ?? '', /^sha512-/, place)
    // Whoever installs chooses the registry; the digest says whether it is the same package.
    assert.equal(resolved, undefined, place)
  }
})
