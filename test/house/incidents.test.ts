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
  const named = [...page.matchAll(/`((?:src|test)\/[\w/.-]+\.ts)`: (.+?)(?=; `| \| )/g)]
  assert.ok(named.length > 100, `${named.length} tests are named`)
  const missing = named.filter(([, file, title]) => !hasTest(file!, title!))
  assert.deepEqual(
    missing.map(([whole]) => whole),
    [],
  )
})

/** Known by an id, or by a name where there is none. */
const ids = [
  ...['CVE-2016-10191', 'CVE-2017-11665', 'CVE-2015-8270', 'CVE-2015-8271', 'CVE-2015-8272', 'CVE-2010-2220'],
  ...['CVE-2005-3900', 'CVE-2012-4750', 'CVE-2021-4185', 'CVE-2022-0586', 'Wireshark #17813', 'CVE-2023-34105'],
  ...['CVE-2026-68004', 'Red5 #456', 'Red5 #469', 'Red5 #475', 'ireader #235', 'ZLMediaKit #1839', 'SRS #607'],
  ...['SRS Go proxy', 'nginx #1042', 'nginx #1808', 'MediaMTX #3414', 'MediaMTX #3188', 'MediaMTX csid'],
  ...['MediaMTX chunk size', 'librtmp2 names', 'librtmp2 depth', 'librtmp2 budget', 'librtmp2 memory'],
  ...['librtmp2 deadline', 'librtmp2 tables', 'librtmp2 counters', 'librtmp2 sessions', 'librtmp2 #88', 'gortmplib'],
]

test('every incident, attack and id of the lists has its row, with a test or the reason why there is none', () => {
  const page = readRepositoryFile('docs/reliability.md')
  const rows = [...page.matchAll(/^\| ([^|]+) \| .+$/gm)].map(([row, first]) => ({ row, first }))
  const incidents = ['13b', ...Array.from({ length: 34 }, (_, index) => `${index + 1}`)]
  const attacks = Array.from({ length: 19 }, (_, index) => `A${index + 1}`)
  for (const wanted of [...incidents, ...attacks, ...ids]) {
    const [found, ...more] = rows.filter(({ first }) => first === wanted)
    assert.ok(found !== undefined && more.length === 0, wanted)
    assert.match(found.row, /`(?:src|test)\/[\w/.-]+\.ts`: |not applicable, because /, wanted)
  }
})
