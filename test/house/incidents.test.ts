import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesOfRepository, readRepositoryFile } from './repository.ts'
import { hasTest } from './tests-by-title.ts'

test('the server starts no program, and makes no code of text', () => {
  const own = filesOfRepository().filter(
    (path) => path.startsWith('src/') && /\.ts$/.test(path) && !/\.test\.ts$/.test(path),
  )
  assert.ok(own.length > 50)
  const forbidden = /['"](?:node:)?(?:child_process|cluster|vm)['"]|\beval\s*\(|\bnew Function\b|\bimport\(\s*[^'")\s]/
  assert.deepEqual(
    own.filter((path) => forbidden.test(readRepositoryFile(path))),
    [],
  )
})

test('every test that docs/reliability.md names is there', () => {
  const page = readRepositoryFile('docs/reliability.md')
  const named = [...page.matchAll(/`([\w/.-]+\.test\.ts)`: (.+?)(?=; `| \| )/g)]
  assert.ok(named.length > 100, `${named.length} tests are named`)
  const missing = named.filter(([, file, title]) => !hasTest(file!, title!))
  assert.deepEqual(
    missing.map(([whole]) => whole),
    [],
  )
})

test('every incident of the list has its row', () => {
  const page = readRepositoryFile('docs/reliability.md')
  const numbers = [...page.matchAll(/^\| (\w+) \| /gm)].map(([, number]) => number)
  for (const number of ['13b', ...Array.from({ length: 34 }, (_, index) => `${index + 1}`)])
    assert.equal(numbers.filter((one) => one === number).length, 1, number)
})
