import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'

/** What the Vite of these tests does: it says that it was called, and builds from one source. */
const fakeVite = `
  const { appendFileSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
  const { join } = require('node:path')
  const [, , command, root, , outDir] = process.argv
  appendFileSync(join(root, '..', 'calls'), command + '\\n')
  if (process.env.VITE_FAILS) { console.error('main.tsx: Unexpected token'); process.exit(1) }
  mkdirSync(join(outDir, 'assets'), { recursive: true })
  writeFileSync(join(outDir, 'index.html'), '<title>' + readFileSync(join(root, 'src', 'main.tsx'), 'utf8') + '</title>')
  writeFileSync(join(outDir, 'assets', 'large.js'), 'a()\\n'.repeat(1000))
  writeFileSync(join(outDir, 'assets', 'part.js'), 'b()')
  writeFileSync(join(outDir, 'assets', 'later.js'), Buffer.alloc(9000, 'c'))
  writeFileSync(join(outDir, 'assets', 'page.css'), 'p{}')
  mkdirSync(join(outDir, '.vite'))
  const part = { file: 'assets/part.js', imports: ['index.html'], css: ['assets/page.css'] }
  const entry = { file: 'assets/large.js', isEntry: true, imports: ['_part.js'], dynamicImports: ['later.tsx'], css: ['assets/page.css'] }
  writeFileSync(join(outDir, '.vite', 'manifest.json'), JSON.stringify({ '_part.js': part, 'index.html': entry, 'later.tsx': { file: 'assets/later.js' } }))
`

function project(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'project-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = (...names: string[]) => join(folder, ...names)
  const write = (name: string, text: string) => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text)
  }
  mkdirSync(path('scripts'))
  for (const name of ['build-dashboard.mjs', 'setup.mjs'])
    cpSync(join(import.meta.dirname, name), path('scripts', name))
  write('package-lock.json', '{"packages":{}}')
  write('node_modules/.package-lock.json', '{"packages":{}}')
  write('node_modules/vite/bin/vite.js', fakeVite)
  write('web/vite.config.ts', 'export default {}')
  write('web/src/main.tsx', 'one')
  return {
    path,
    write,
    page: () => readFileSync(path('web', 'dist', 'index.html'), 'utf8'),
    /** @returns how often Vite was called in this run, what was said, and the exit status. */
    run(script = 'build-dashboard.mjs', env: Record<string, string> = {}, args: readonly string[] = []) {
      rmSync(path('calls'), { force: true })
      const { status, stdout, stderr } = spawnSync(process.execPath, [path('scripts', script), ...args], {
        encoding: 'utf8',
        env: { PATH: `${path('node_modules', '.bin')}:${dirname(process.execPath)}`, ...env },
      })
      const calls = existsSync(path('calls')) ? readFileSync(path('calls'), 'utf8').trim().split('\n').length : 0
      return { status, said: stdout + stderr, calls }
    },
  }
}

test('the dashboard is built once, and again when its sources or packages have changed', (t) => {
  const { run, write, page, path } = project(t)
  const first = run()
  assert.deepEqual([first.status, first.calls], [0, 1])
  assert.match(first.said, /Building the dashboard/)
  assert.equal(page(), '<title>one</title>')
  assert.deepEqual(run(), { status: 0, said: '', calls: 0 })

  write('web/src/main.tsx', 'two')
  assert.equal(run().calls, 1)
  assert.equal(page(), '<title>two</title>')
  write('web/src/more.tsx', '')
  assert.equal(run().calls, 1)
  write('package-lock.json', '{"packages":{"node_modules/react":{}}}')
  assert.equal(run().calls, 1)
  assert.equal(run().calls, 0)
  rmSync(path('web', 'dist'), { recursive: true })
  assert.equal(run().calls, 1)
  assert.deepEqual(readdirSync(path('web')).toSorted(), ['dist', 'src', 'vite.config.ts'])
})

test('what is large is compressed once, for the server to send', (t) => {
  const { run, path } = project(t)
  run()
  const asset = path('web', 'dist', 'assets', 'large.js')
  const text = readFileSync(asset, 'utf8')
  assert.equal(brotliDecompressSync(readFileSync(`${asset}.br`)).toString(), text)
  assert.equal(gunzipSync(readFileSync(`${asset}.gz`)).toString(), text)
  assert.ok(!existsSync(path('web', 'dist', 'index.html.gz')))
})

test('the size of what the first page loads is told once, with its limit', (t) => {
  const { run, path } = project(t)
  const bytesOf = (...names: string[]) =>
    names.reduce((sum, name) => sum + gzipSync(readFileSync(path('web', 'dist', 'assets', name))).length, 0)
  const { said } = run()
  const kB = (bytes: number) => (bytes / 1_000).toFixed(1)
  const sizes = [kB(bytesOf('large.js', 'part.js')), kB(bytesOf('page.css'))]
  assert.ok(said.includes(`${sizes[0]} kB (at most 250) of JavaScript and ${sizes[1]} kB (at most 60) of CSS`), said)
  assert.equal(run().said, '')
})

test('a dashboard that cannot be built leaves the one that is there, and keeps no server from starting', (t) => {
  const { run, write, page, path } = project(t)
  run()
  write('web/src/main.tsx', 'broken')
  const failed = run('build-dashboard.mjs', { VITE_FAILS: '1' })
  assert.deepEqual([failed.status, failed.calls, page()], [1, 1, '<title>one</title>'])
  assert.match(failed.said, /could not be built: main\.tsx: Unexpected token/)
  assert.deepEqual(readdirSync(path('web')).toSorted(), ['dist', 'src', 'vite.config.ts'])
  const start = run('setup.mjs', { npm_lifecycle_event: 'start', VITE_FAILS: '1' })
  assert.deepEqual([start.status, start.calls], [0, 1])
  // It is tried again at the next start.
  assert.equal(run('setup.mjs', { npm_lifecycle_event: 'start' }).calls, 1)
  assert.equal(page(), '<title>broken</title>')

  rmSync(path('node_modules', 'vite'), { recursive: true })
  write('web/src/main.tsx', 'three')
  assert.match(run().said, /npm ci --include=dev/)
})

test('it is built before a start and before the tests, and not before anything else', (t) => {
  const { run, path } = project(t)
  const isBuilt = (event: string | undefined, ...args: string[]) => {
    rmSync(path('web', 'dist'), { recursive: true, force: true })
    return run('setup.mjs', event === undefined ? {} : { npm_lifecycle_event: event }, args).calls === 1
  }
  for (const event of ['start', 'test', 'test:unit', 'npx', undefined]) assert.ok(isBuilt(event), event)
  for (const event of ['docs', 'lint', 'typecheck', 'format', 'bench']) assert.ok(!isBuilt(event), event)
  assert.ok(isBuilt('npx', '--http-port', '8081'))
  assert.ok(!isBuilt('npx', 'token', 'list'))
  assert.ok(!isBuilt(undefined, 'sign-in-link'))
})
