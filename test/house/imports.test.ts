import assert from 'node:assert/strict'
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { test } from 'node:test'
import { filesOfRepository, readRepositoryFile } from './repository.ts'

/**
 * Who may import whom (DESIGN: "The house"). `import type` counts as much as any other: a room that knows another's words knows it.
 * Adapters (sqlite-store, in-process-bus, …) are in nobody's list: app.ts alone imports them.
 */

/** Ground: a room may import these files at the root of src besides the rooms in its list. */
const ground = ['clock', 'errors', 'secret']
const groundOf: Readonly<Record<string, readonly string[]>> = {
  // Pure: no clock, no log.
  model: ['errors', 'secret'],
  rtmp: ['errors', 'secret'],
  destination: ground,
  bus: [...ground, 'log'],
  store: [...ground, 'log'],
  live: [...ground, 'log'],
  threads: [...ground, 'log', 'log-fields'],
  notify: [...ground, 'log'],
  api: [...ground, 'log'],
  // It speaks to the server as anybody does; what it cannot do without the store comes to it from app.ts.
  cli: ['clock', 'errors', 'secret'],
}

/** A room, or one file of a room. */
const neighboursOf: Readonly<Record<string, readonly string[]>> = {
  model: [],
  rtmp: [],
  destination: ['model'],
  bus: ['model'],
  store: ['model'],
  live: ['rtmp', 'model', 'destination', 'store/store', 'bus/bus'],
  // What carries media, in threads of its own: it has both ends of the way between them.
  threads: ['live', 'model', 'destination', 'bus'],
  notify: ['model', 'destination', 'store/store', 'bus/bus'],
  api: ['model', 'destination', 'store/store', 'bus/bus', 'rtmp/media-message'],
  cli: ['model'],
}

/** What a room may know the words of, with `import type`, and nothing else. */
const wordsOf: Readonly<Record<string, readonly string[]>> = {
  cli: ['api/envelope', 'api/schemas', 'api/account-schemas', 'api/session-routes'],
}

/** What `rtmp` and `model` may use of Node and of packages: nothing that opens, waits, stores or tells. */
const pureModules: Readonly<Record<string, readonly string[]>> = {
  rtmp: ['node:crypto', 'node:stream', 'node:buffer', 'node:util'],
  model: ['node:crypto', 'zod'],
}

type Import = { readonly from: string; readonly specifier: string; readonly isType: boolean }

/** `import … from 'x'`, `export … from 'x'`, `import 'x'` and `import('x')`, outside comments. */
export function importsIn(source: string): readonly Omit<Import, 'from'>[] {
  // A string may hold what looks like a comment ('**/*.ts'), a comment what looks like a string: whichever begins first counts.
  const code = source.replace(
    /('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, literal?: string) => literal ?? ' ',
  )
  const statements = code.matchAll(
    /\b(import|export)\b(\s+type\b)?(?:[^'"=;().]*\bfrom\b)?\s*\(?\s*['"]([^'"\n]+)['"]/g,
  )
  return [...statements].map(([, , type, specifier = '']) => ({ specifier, isType: type !== undefined }))
}

const sources = filesOfRepository().filter((path) => path.startsWith('src/') && path.endsWith('.ts'))
const ownSources = sources.filter((path) => !path.endsWith('.test.ts'))
const imports: readonly Import[] = ownSources.flatMap((from) =>
  importsIn(readRepositoryFile(from)).map((one) => ({ from, ...one })),
)

const isRelative = (specifier: string) => specifier.startsWith('.')
const targetOf = ({ from, specifier }: Omit<Import, 'isType'>) => posix.join(posix.dirname(from), specifier)
/** `src/live/pump.ts` -> `live`; `src/app.ts` -> ''. */
const roomOf = (path: string) => path.split('/').slice(1, -1)[0] ?? ''
/** `src/store/store.ts` -> `store/store`. */
const nameOf = (path: string) => path.replace(/^src\//, '').replace(/\.ts$/, '')

/** @returns why this import is against the rules, if it is. */
export function objection(from: string, target: string, isType = false): string | undefined {
  if (!target.startsWith('src/')) return 'only what is in src/ may be imported'
  if (target.endsWith('.test.ts')) return 'a test may not be imported'
  const [room, targetRoom] = [roomOf(from), roomOf(target)]
  if ((from === 'src/app.ts' && targetRoom !== 'cli') || room === targetRoom) return undefined
  if (target === 'src/app.ts') return from === 'src/main.ts' ? undefined : 'app.ts is imported by main.ts alone'
  if (from === 'src/main.ts' && (targetRoom === 'cli' || target === 'src/threads/spawn.ts')) return undefined
  if (room === '') return targetRoom === 'model' ? undefined : 'app.ts alone sees the rooms'
  const allowed = targetRoom === '' ? groundOf[room] : neighboursOf[room]
  if (allowed === undefined) return `${room} is no room that the rules know`
  const name = nameOf(target)
  if (isType && wordsOf[room]?.includes(name)) return undefined
  return allowed.includes(name) || (targetRoom !== '' && allowed.includes(targetRoom))
    ? undefined
    : `${room} may import ${[...(neighboursOf[room] ?? []), ...(groundOf[room] ?? [])].join(', ')}`
}

test('imports are found in every form, and not in comments', () => {
  const source = `import a from './a.ts' // from './no.ts'
    import type { B } from "./b.ts"
    import {
      c,
    } from './c.ts'
    import './d.ts'
    /* import './no.ts' */
    export * from './e.ts'
    const glob = '/**/*.ts', f = await import('./f.ts')
    const bytes = Buffer.from('00'), more = from('00')
    export function h() { return Buffer.from('not this') }
    import g from 'node:fs'`
  assert.deepEqual(
    importsIn(source).map(({ specifier }) => specifier),
    ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts', 'node:fs'],
  )
  assert.deepEqual(
    importsIn(source).filter(({ isType }) => isType),
    [{ specifier: './b.ts', isType: true }],
  )
})

test('the rules object to what DESIGN forbids and to nothing else', () => {
  const allowed = [
    ['src/app.ts', 'src/store/sqlite-store.ts'],
    ['src/main.ts', 'src/app.ts'],
    ['src/data-dir.ts', 'src/model/id.ts'],
    ['src/live/broadcast.ts', 'src/live/deep/log.ts'],
    ['src/live/broadcast.ts', 'src/store/store.ts'],
    ['src/live/broadcast.ts', 'src/rtmp/chunk-writer.ts'],
    ['src/api/preview.ts', 'src/rtmp/media-message.ts'],
    ['src/model/live-input.ts', 'src/secret.ts'],
    ['src/main.ts', 'src/cli/cli.ts'],
    ['src/cli/watch.ts', 'src/clock.ts'],
  ] as const
  for (const [from, target] of allowed) assert.equal(objection(from, target), undefined, `${from} -> ${target}`)
  const forbidden = [
    ['src/api/outputs.ts', 'src/live/supervisor.ts'],
    ['src/api/preview.ts', 'src/rtmp/chunk-reader.ts'],
    ['src/live/supervisor.ts', 'src/store/sqlite-store.ts'],
    ['src/live/supervisor.ts', 'src/bus/in-process-bus.ts'],
    ['src/live/supervisor.ts', 'src/config.ts'],
    ['src/rtmp/connection.ts', 'src/clock.ts'],
    ['src/rtmp/connection.ts', 'src/log.ts'],
    ['src/rtmp/connection.ts', 'src/model/id.ts'],
    ['src/model/id.ts', 'src/clock.ts'],
    ['src/destination/url.ts', 'src/rtmp/message.ts'],
    ['src/store/sqlite-store.ts', 'src/bus/bus.ts'],
    ['src/config.ts', 'src/destination/address-policy.ts'],
    ['src/api/server.ts', 'src/app.ts'],
    ['src/live/pump.ts', 'src/live/pump.test.ts'],
    ['src/live/pump.ts', 'test/support/flv.ts'],
    ['src/cloud/new.ts', 'src/model/id.ts'],
    ['src/cli/find-server.ts', 'src/store/sqlite-store.ts'],
    ['src/cli/find-server.ts', 'src/app.ts'],
    ['src/cli/watch.ts', 'src/api/schemas.ts'],
    ['src/cli/watch.ts', 'src/live/broadcast.ts'],
    ['src/app.ts', 'src/cli/cli.ts'],
    ['src/api/server.ts', 'src/cli/cli.ts'],
  ] as const
  for (const [from, target] of forbidden) assert.notEqual(objection(from, target), undefined, `${from} -> ${target}`)
  assert.equal(objection('src/cli/watch.ts', 'src/api/schemas.ts', true), undefined)
  assert.notEqual(objection('src/cli/watch.ts', 'src/api/server.ts', true), undefined)
})

test('every import goes in an allowed direction', () => {
  const wrong = imports
    .filter(({ specifier }) => isRelative(specifier))
    .map((one) => [`${one.from} -> ${targetOf(one)}`, objection(one.from, targetOf(one), one.isType)])
    .filter(([, reason]) => reason !== undefined)
  assert.deepEqual(wrong, [])
})

test('every relative import names a file that is there', () => {
  const missing = imports.filter((one) => isRelative(one.specifier) && !sources.includes(targetOf(one)))
  assert.deepEqual(missing, [])
})

test('rtmp and model are pure', () => {
  const wrong = imports.filter(({ from, specifier }) => {
    const pure = pureModules[roomOf(from)]
    return pure !== undefined && !isRelative(specifier) && !pure.includes(specifier)
  })
  assert.deepEqual(wrong, [])
})

test('packages that src uses are dependencies, and modules of Node are named with node:', () => {
  const { dependencies } = JSON.parse(readRepositoryFile('package.json')) as { dependencies: Record<string, string> }
  const wrong = imports.filter(({ specifier }) => {
    if (isRelative(specifier) || specifier.startsWith('node:')) return false
    const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
    return builtinModules.includes(name) || dependencies[name] === undefined
  })
  assert.deepEqual(wrong, [])
})

/** Types are gone when the program runs: two files that share words in both directions are no circle then. */
test('no file imports itself by way of others', () => {
  const edges = new Map<string, string[]>()
  for (const one of imports.filter(({ specifier, isType }) => isRelative(specifier) && !isType))
    edges.set(one.from, [...(edges.get(one.from) ?? []), targetOf(one)])
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, way: readonly string[]) => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(' -> '))
    if (way.includes(file) || done.has(file)) return
    for (const next of edges.get(file) ?? []) visit(next, [...way, file])
    done.add(file)
  }
  for (const file of edges.keys()) visit(file, [])
  assert.deepEqual(circles, [])
})
