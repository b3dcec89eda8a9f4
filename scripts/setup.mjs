/**
 * Runs before everything else that npm runs here, on any Node from 18 on, with nothing installed yet. It installs what
 * package-lock.json names when that is not what node_modules holds, and makes sure that the `node` that follows on the PATH is
 * new enough for the TypeScript sources. Before a start of the server, and before the tests, it has the dashboard built where its sources
 * have changed. When all is well it only reads files, touches no network and says nothing.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const nodeMajorMin = 24
const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** npm writes this last, when all else is in place: what is really installed. */
const installedLock = join(root, 'node_modules', '.package-lock.json')

const trouble = differences()
if (trouble.length > 0 || followingNode().major < nodeMajorMin) {
  install(trouble)
  const left = differences()
  if (left.length > 0)
    stop(`npm ci ended well, but ${left[0]}. Remove the folder node_modules and run the same command again.`)
}
const node = followingNode()
if (node.major < nodeMajorMin)
  stop(
    `stream-connect needs Node ${nodeMajorMin} or newer, and the one that would run it is ${node.version} (${node.path}). ` +
      `Install Node ${nodeMajorMin}; on Linux (x64 or arm64, glibc) it comes with \`npm ci --include=optional\`.`,
  )

await buildDashboard(node.path)

/** @returns {string[]} how node_modules differs from package-lock.json, first things first; empty when it does not. */
function differences() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (wanted === undefined)
    stop('package-lock.json is missing or damaged. Get it again with `git checkout package-lock.json`.')
  const installed = packagesOf(installedLock)
  if (installed === undefined) return ['nothing is installed yet']
  const found = []
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue
    const there = installed[path]
    if (there === undefined) {
      // What is optional may be left out by npm: for another platform, or because it could not be had.
      if (!entry.optional) found.push(`${path} is missing`)
    } else if (there.version !== entry.version || there.integrity !== entry.integrity) {
      found.push(`${path} is ${there.version}, not ${entry.version}`)
    } else if (!suits(entry.os, process.platform) || !suits(entry.cpu, process.arch)) {
      found.push(`${path} was installed for another kind of machine`)
    } else if (!existsSync(join(root, path, 'package.json'))) {
      found.push(`${path} is incomplete`)
    }
  }
  for (const path of Object.keys(installed))
    if (wanted[path] === undefined) found.push(`${path} is not wanted any more`)
  return found
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** The rule of package.json's `os` and `cpu`: names that are meant, or names with `!` that are not. */
function suits(rule, value) {
  if (rule === undefined) return true
  const names = Array.isArray(rule) ? rule : [rule]
  if (names.includes(`!${value}`)) return false
  const meant = names.filter((name) => !name.startsWith('!'))
  return meant.length === 0 || meant.includes(value)
}

function install(reasons) {
  const reason = reasons[0] ?? 'the Node that comes with the packages is not there'
  process.stderr.write(`Installing what package-lock.json names (${reason}); this happens once …\n`)
  // Should this be interrupted, the next run must not take half an installation for a whole one.
  rmSync(installedLock, { force: true })
  // The npm that runs us, on its own Node: the one in node_modules is about to be replaced.
  const npm = process.env.npm_execpath
  const [program, ...before] = npm === undefined ? ['npm'] : [process.env.npm_node_execpath ?? process.execPath, npm]
  const args = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const { status, error } = spawnSync(program, [...before, ...args], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
    env: npm === undefined ? { ...process.env, PATH: pathWithoutOurs() } : process.env,
  })
  if (error) stop(`npm could not be started: ${error.message}. Install npm 9 or newer.`)
  if (status !== 0)
    stop(
      'npm ci did not succeed (its reason stands above). Check the network and the disk, then run the same command again.',
    )
}

function pathWithoutOurs() {
  const ours = join(root, 'node_modules', '.bin')
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== ours)
    .join(delimiter)
}

/** The `node` that a command after this one gets: the first on the PATH. npm puts node_modules/.bin there first. */
function followingNode() {
  const ours = join(root, 'node_modules', '.bin')
  linkNode(join(ours, 'node'))
  const folders = (process.env.PATH ?? '').split(delimiter)
  // Called by hand, without npm: what matters is what npm would find.
  for (const folder of folders.includes(ours) ? folders : [ours, ...folders]) {
    const path = join(folder === '' ? '.' : folder, 'node')
    if (!isProgram(path)) continue
    const version = versionOf(path)
    // A binary that does not run here (another C library, another kind of machine) would be found before one that does.
    if (version === undefined && folder === ours) rmSync(path)
    else return { path, version: version ?? 'broken', major: Number(/^v(\d+)/.exec(version ?? '')?.[1] ?? 0) }
  }
  return { path: 'not on the PATH', version: 'missing', major: 0 }
}

/**
 * npm 9 takes the link away again when it throws out the package for the other kind of machine, whose program has the same name.
 * @param {string} link
 */
function linkNode(link) {
  const name = `node-${process.platform}-${process.arch}`
  const program = join(root, 'node_modules', name, 'bin', 'node')
  if (!existsSync(program) || existsSync(link) || versionOf(program) === undefined) return
  rmSync(link, { force: true })
  symlinkSync(join('..', name, 'bin', 'node'), link)
}

/**
 * Not before what does not need it (`npm run docs`, …). A dashboard that cannot be built keeps no server from starting.
 * @param {string} program Node
 */
async function buildDashboard(program) {
  const script = join(root, 'scripts', 'build-dashboard.mjs')
  // Without npm (or under npx): for a start of the server, and not for a command that speaks to one.
  const event = process.env.npm_lifecycle_event ?? 'npx'
  const isMeant =
    event === 'npx' ? (process.argv[2] ?? '-').startsWith('-') : /^(?:start|test|screenshots)\b/.test(event)
  if (!isMeant || !existsSync(script)) return
  const { buildDashboard: build } = await import('./build-dashboard.mjs')
  build(program)
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function versionOf(path) {
  if (realpathSync(path) === realpathSync(process.execPath)) return process.version
  const { stdout, status } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

function stop(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}
