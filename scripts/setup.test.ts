import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'

const here = { os: process.platform, cpu: process.arch }
const nodePackage = `node_modules/node-${process.platform}-${process.arch}`

type Packages = Record<string, Record<string, unknown>>
const lock: Packages = {
  '': { name: 'clone' },
  'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
  'node_modules/b': { version: '2.0.0', integrity: 'sha512-b', ...here },
  'node_modules/elsewhere': { version: '1.0.0', optional: true, os: ['plan9'], cpu: ['68000'] },
}

/** What the npm of these tests does for `npm ci`: it writes down how it was called, and installs what it is told to. */
const fakeNpm = `
  const { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
  appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n')
  rmSync('node_modules', { recursive: true, force: true })
  if (process.env.NPM_FAILS) process.exit(1)
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  for (const path of Object.keys(packages)) {
    if (path === '' || packages[path].optional) delete packages[path]
    else mkdirSync(path, { recursive: true }), writeFileSync(path + '/package.json', '{}')
  }
  if (process.env.NPM_LEAVES_OUT) delete packages[process.env.NPM_LEAVES_OUT]
  writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages }))
`

/** A fresh clone: the script, a lock file, and an npm that needs no network. */
function freshClone(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'clone-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = (...names: string[]) => join(folder, ...names)
  mkdirSync(path('scripts'))
  cpSync(join(import.meta.dirname, 'setup.mjs'), path('scripts', 'setup.mjs'))
  writeFileSync(path('package-lock.json'), JSON.stringify({ packages: lock }))
  writeFileSync(path('npm.cjs'), fakeNpm)
  return {
    path,
    /** @returns exit status, what was said, and how often npm was called in this run. */
    setUp(env: Record<string, string> = {}) {
      rmSync(path('calls'), { force: true })
      const PATH = `${path('node_modules', '.bin')}:${dirname(process.execPath)}`
      const { status, stderr, stdout } = spawnSync(process.execPath, [path('scripts', 'setup.mjs')], {
        cwd: tmpdir(),
        encoding: 'utf8',
        env: { PATH, npm_execpath: path('npm.cjs'), npm_node_execpath: process.execPath, ...env },
      })
      const calls = existsSync(path('calls')) ? readFileSync(path('calls'), 'utf8').trim().split('\n') : []
      return { status, said: stdout + stderr, calls }
    },
    /** Makes the installed state say something else. */
    change(edit: (packages: Packages) => void) {
      const { packages } = JSON.parse(readFileSync(path('node_modules', '.package-lock.json'), 'utf8')) as {
        packages: Packages
      }
      edit(packages)
      writeFileSync(path('node_modules', '.package-lock.json'), JSON.stringify({ packages }))
    },
  }
}

test('a fresh clone is installed once; after that nothing is done and nothing said', (t) => {
  const clone = freshClone(t)
  const first = clone.setUp()
  assert.equal(first.status, 0, first.said)
  assert.match(first.calls.join(), /^ci --ignore-scripts --include=dev /)
  assert.deepEqual(clone.setUp(), { status: 0, said: '', calls: [] })
})

const changes: readonly [string, (clone: ReturnType<typeof freshClone>) => void][] = [
  [
    'another version',
    ({ change }) => change((packages) => Object.assign(packages['node_modules/a'] ?? {}, { version: '0.9.0' })),
  ],
  [
    'another content',
    ({ change }) => change((packages) => Object.assign(packages['node_modules/a'] ?? {}, { integrity: 'x' })),
  ],
  ['a package too few', ({ change }) => change((packages) => delete packages['node_modules/a'])],
  ['a package too many', ({ change }) => change((packages) => Object.assign(packages, { 'node_modules/c': {} }))],
  [
    'packages of another kind of machine',
    ({ change, path }) => {
      const packages = { ...lock, 'node_modules/b': { ...lock['node_modules/b'], cpu: ['68000'] } }
      change((installed) => Object.assign(installed['node_modules/b'] ?? {}, { cpu: ['68000'] }))
      writeFileSync(path('package-lock.json'), JSON.stringify({ packages }))
    },
  ],
  ['a folder that is gone', ({ path }) => rmSync(path('node_modules', 'a', 'package.json'))],
  ['an installation that was interrupted', ({ path }) => rmSync(path('node_modules', '.package-lock.json'))],
  ['a damaged record', ({ path }) => writeFileSync(path('node_modules', '.package-lock.json'), '{"packa')],
]

for (const [name, damage] of changes)
  test(`installed anew: ${name}`, (t) => {
    const clone = freshClone(t)
    clone.setUp()
    damage(clone)
    assert.equal(clone.setUp().calls.length, 1)
  })

test('an npm that fails, or leaves something out, ends with a sentence, and the next run tries again', (t) => {
  const clone = freshClone(t)
  const failed = clone.setUp({ NPM_FAILS: '1' })
  assert.equal(failed.status, 1)
  assert.match(failed.said, /npm ci did not succeed .* Check the network and the disk/)
  const partly = clone.setUp({ NPM_LEAVES_OUT: 'node_modules/a' })
  assert.equal(partly.status, 1)
  assert.match(partly.said, /npm ci ended well, but node_modules\/a is missing\. Remove the folder node_modules/)
  assert.deepEqual([clone.setUp().status, clone.setUp().calls.length], [0, 0])
})

function writeProgram(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text, { mode: 0o755 })
}

test('a Node that is too old, or none that would follow, ends with a sentence', (t) => {
  const clone = freshClone(t)
  writeProgram(clone.path('old', 'node'), '#!/bin/sh\necho v20.1.0\n')
  const { status, said } = clone.setUp({ PATH: clone.path('old') })
  assert.equal(status, 1)
  assert.match(
    said,
    /needs Node 24 or newer, and the one that would run it is v20\.1\.0 \(.*old\/node\)\. Install Node 24/,
  )
  assert.match(clone.setUp({ PATH: clone.path('none') }).said, /is missing \(not on the PATH\)/)
})

test('the program of the installed Node is linked where npm forgot it, and used although the own one is old', (t) => {
  const clone = freshClone(t)
  clone.setUp()
  writeProgram(clone.path(nodePackage, 'bin', 'node'), '#!/bin/sh\necho v24.9.0\n')
  writeProgram(clone.path('old', 'node'), '#!/bin/sh\necho v20.1.0\n')
  mkdirSync(clone.path('node_modules', '.bin'))
  const run = clone.setUp({ PATH: `${clone.path('node_modules', '.bin')}:${clone.path('old')}` })
  assert.deepEqual(run, { status: 0, said: '', calls: [] })
  assert.match(readlinkSync(clone.path('node_modules', '.bin', 'node')), /^\.\.\/node-.*\/bin\/node$/)
})

test('a Node in node_modules that does not run here gives way to the own one', (t) => {
  const clone = freshClone(t)
  clone.setUp()
  writeProgram(clone.path(nodePackage, 'bin', 'node'), '#!/no/such/loader\n')
  mkdirSync(clone.path('node_modules', '.bin'))
  symlinkSync(clone.path(nodePackage, 'bin', 'node'), clone.path('node_modules', '.bin', 'node'))
  assert.deepEqual(clone.setUp(), { status: 0, said: '', calls: [] })
  assert.equal(existsSync(clone.path('node_modules', '.bin', 'node')), false)
})
