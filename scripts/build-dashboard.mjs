/**
 * Builds the dashboard (web/) into web/dist, when that is not what its sources and packages would give: a hash over them is kept with what
 * was built. Called by setup.mjs; also by hand: `node scripts/build-dashboard.mjs`.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const web = join(root, 'web')
const dist = join(web, 'dist')
const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js')
/** Written last: half a build is none. */
const stamp = join(dist, '.built-from')
/** Fewer bytes go in one packet, compressed or not. */
const compressedBytesMin = 1_024
/** Of what the first page loads, gzip: small enough to be read in a field, over a phone. Held by test/dashboard/bundle.ts. */
const firstLoadMax = { scripts: 250_000, styles: 60_000 }
const compressed = /\.(?:js|css|html|svg|json|txt|webmanifest)$/

if (process.argv[1] === fileURLToPath(import.meta.url) && !buildDashboard(process.execPath)) process.exitCode = 1

/**
 * @param {string} program Node, new enough for Vite
 * @returns {boolean} whether what is built is now what the sources give
 */
export function buildDashboard(program) {
  const wanted = hashOfSources()
  return wanted === undefined || wanted === builtFrom() || build(wanted, program)
}

/** @returns {string | undefined} nothing where there is no dashboard to build. */
function hashOfSources() {
  if (!existsSync(join(web, 'vite.config.ts'))) return undefined
  const hash = createHash('sha256')
  // Types of the server that the front imports are gone when it is built: what it is built from is in web/ and in the packages.
  for (const file of [...filesIn(web).sort(), join(root, 'package-lock.json'), fileURLToPath(import.meta.url)])
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  return hash.digest('hex')
}

function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return entry.isFile() ? [path] : []
    // Also what another process is just building.
    return path === dist || entry.name === 'node_modules' || entry.name.startsWith('.') ? [] : filesIn(path)
  })
}

function builtFrom() {
  try {
    return readFileSync(stamp, 'utf8').trim()
  } catch {
    return undefined
  }
}

function build(hash, program) {
  if (!existsSync(vite)) return tell('what builds it (Vite) is not installed; run `npm ci --include=dev`.')
  process.stderr.write('Building the dashboard; this happens once …\n')
  // Beside the one that is served, which stays whole until this one is; and a folder of its own for each of two that build at once.
  const made = join(web, `.dist-${process.pid}`)
  const old = join(web, `.dist-old-${process.pid}`)
  try {
    const { status, error, stdout, stderr } = spawnSync(
      program,
      [vite, 'build', web, '--outDir', made, '--emptyOutDir', '--logLevel', 'warn'],
      { cwd: root, encoding: 'utf8', env: { ...process.env, NODE_ENV: 'production' } },
    )
    if (error !== undefined || status !== 0) return tell(`${error?.message ?? `${stdout}${stderr}`.trim()}`)
    for (const file of filesIn(made)) compress(file)
    const said = firstLoadWords(made)
    writeFileSync(join(made, '.built-from'), `${hash}\n`)
    mkdirSync(dist, { recursive: true })
    renameSync(dist, old)
    renameSync(made, dist)
    process.stderr.write(said)
    return true
  } catch (error) {
    // Another process was as fast.
    return builtFrom() === hash || tell(error.message)
  } finally {
    for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true })
  }
}

/** What must have come before anything is seen, as the manifest tells: the entry, and what it imports at once. Empty without one. */
function firstLoadWords(folder) {
  const file = join(folder, '.vite', 'manifest.json')
  if (!existsSync(file)) return ''
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  const first = new Set()
  const visit = (name) => {
    if (first.has(name)) return
    first.add(name)
    for (const next of manifest[name].imports ?? []) visit(next)
  }
  for (const name of Object.keys(manifest)) if (manifest[name].isEntry) visit(name)
  const chunks = [...first].map((name) => manifest[name])
  const words = (names, bytesMax) => {
    const bytes = [...new Set(names)].reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).length, 0)
    return `${(bytes / 1_000).toFixed(1)} kB (at most ${bytesMax / 1_000})`
  }
  const scripts = words(
    chunks.map(({ file }) => file),
    firstLoadMax.scripts,
  )
  const styles = words(
    chunks.flatMap(({ css = [] }) => css),
    firstLoadMax.styles,
  )
  return `The dashboard is built. Its first page loads ${scripts} of JavaScript and ${styles} of CSS, gzip.\n`
}

/** Once, as well as it goes: the server sends these in place of the file to whoever takes them. */
function compress(file) {
  if (!compressed.test(file) || statSync(file).size < compressedBytesMin) return
  const bytes = readFileSync(file)
  const made = {
    br: brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
    gz: gzipSync(bytes, { level: 9 }),
  }
  for (const [ending, one] of Object.entries(made)) writeFileSync(`${file}.${ending}`, one)
}

/** The server is of use without it. */
function tell(reason) {
  process.stderr.write(`The dashboard could not be built: ${reason}\n`)
  return false
}
