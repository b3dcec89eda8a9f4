/**
 * `npm test`: system packages, type-check, lint, then the tests, cheap ones first. With names of stages as arguments only those
 * run: `npm run test:unit`. All stages run even when one fails, so that one run tells everything; the exit status is honest.
 * The last lines are the figures of all tests together, in the form in which Node's test runner prints them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { dirname } from 'node:path'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { styleText } from 'node:util'
import { provideSystemPackages } from './system-packages.ts'

const root = dirname(import.meta.dirname)
process.chdir(root)

type Stage = {
  readonly name: string
  readonly title: string
  /** @returns whether it succeeded */
  run(): Promise<boolean>
}

const unitFiles = ['src/**/*.test.ts', 'web/src/**/*.test.ts', 'scripts/**/*.test.ts', 'test/{house,fuzz}/**/*.test.ts']
const contractFiles = ['test/contract/**/*.test.ts']
/** They look at times, memory or the processor, or need both cores themselves. The other end-to-end tests wait most of the time. */
const measuringFiles = [
  'test/chaos/**/*.test.ts',
  'test/dashboard/**/*.test.ts',
  'test/e2e/{encoder-blips,fifty-outputs,outputs-change,stalled-outputs,start-stop,tiny-messages}.test.ts',
  'test/hostile/{churn,limits}.test.ts',
  'bench/**/*.test.ts',
]

const stages: readonly Stage[] = [
  { name: 'packages', title: 'system packages', run: () => provideSystemPackages() },
  { name: 'typecheck', title: 'type-check', run: () => typecheck() },
  { name: 'lint', title: 'lint', run: () => runProgram('@biomejs/biome/bin/biome', ['check', '--error-on-warnings']) },
  // Unit tests compute: two at a time suit two cores.
  { name: 'unit', title: 'unit and property tests', run: () => runTests(globSync(unitFiles), 2, 180_000) },
  { name: 'contract', title: 'contract tests', run: () => runTests(globSync(contractFiles), 1, 180_000) },
  {
    name: 'e2e',
    title: 'end-to-end tests',
    // Whatever stands nowhere else, so that no test is ever left out.
    async run() {
      const alone = globSync(measuringFiles)
      const others = globSync('{test,bench}/**/*.test.ts', { exclude: [...unitFiles, ...contractFiles, ...alone] })
      const haveSucceeded = [await runTests(others, 2, 900_000), await runTests(alone, 1, 900_000)]
      return haveSucceeded.every(Boolean)
    },
  },
]

const figures = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 }
const failures: string[] = []
const skips: string[] = []

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !stages.some((stage) => stage.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `Unknown stage: ${unknown.join(', ')}. There are: ${stages.map(({ name }) => name).join(', ')}.\n`,
  )
  process.exit(2)
}

/** A signal to this process alone ends what it has started, too. */
const interrupted = new AbortController()
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const)
  process.once(signal, () => {
    process.exitCode = 128 + number
    interrupted.abort()
  })

const began = performance.now()
const results: string[] = []
for (const stage of stages) {
  if (asked.length > 0 && !asked.includes(stage.name)) continue
  if (interrupted.signal.aborted) break
  process.stdout.write(`\n${styleText('bold', `— ${stage.title}`)}\n`)
  const stageBegan = performance.now()
  const succeeded = await stage.run()
  if (!succeeded) process.exitCode ??= 1
  const seconds = ((performance.now() - stageBegan) / 1000).toFixed(1).padStart(7)
  results.push(`${succeeded ? styleText('green', '✔') : styleText('red', '✖')} ${seconds} s  ${stage.title}`)
}
report()

function report(): void {
  const lines = ['']
  if (skips.length > 0) lines.push('Skipped:', ...skips.map((line) => `  ﹣ ${line}`), '')
  if (failures.length > 0) lines.push('Failed:', ...failures.map((line) => `  ✖ ${line}`), '')
  lines.push(...results, '')
  if (figures.tests > 0) {
    const { passed, failed, tests, suites, ...others } = figures
    const all = {
      tests,
      suites,
      pass: passed,
      fail: failed,
      ...others,
      duration_ms: Math.round(performance.now() - began),
    }
    lines.push(...Object.entries(all).map(([name, count]) => `ℹ ${name} ${count}`))
  }
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** The server and the dashboard have different surroundings: Node's, and a browser's. */
async function typecheck(): Promise<boolean> {
  const ofServer = await runProgram('typescript/bin/tsc', [])
  return (await runProgram('typescript/bin/tsc', ['-p', 'web'])) && ofServer
}

/** Runs a program of node_modules, by its JavaScript entry, so that it does not depend on the PATH. */
async function runProgram(entry: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, [`${root}/node_modules/${entry}`, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    signal: interrupted.signal,
  })
  const status = await once(child, 'exit').then(
    ([code]: (number | null)[]) => code,
    () => null,
  )
  if (status === 0) process.stdout.write('nothing to report\n')
  return status === 0
}

/** @param timeoutMs for one file and for one test: only something that hangs takes so long. */
async function runTests(files: readonly string[], concurrency: number, timeoutMs: number): Promise<boolean> {
  if (files.length === 0) {
    process.stdout.write('no tests yet\n')
    return true
  }
  let succeeded = true
  const events = run({ files: files.toSorted(), concurrency, timeout: timeoutMs, signal: interrupted.signal })
  events.on('test:fail', ({ name, file, details, todo }) => {
    // A suite or a file fails along with a test in it, which is told by itself.
    const ofAnother = (details.error as { failureType?: string } | undefined)?.failureType === 'subtestsFailed'
    if (todo === undefined && !ofAnother) failures.push(`${relative(file)}: ${name}`)
  })
  events.on('test:pass', ({ name, file, skip }) => {
    if (skip !== undefined && skip !== false)
      skips.push(`${relative(file)}: ${name}${skip === true ? '' : ` # ${skip}`}`)
  })
  events.on('test:summary', ({ counts, success, file }) => {
    // There is one for each file, and one, without a file, for all.
    if (file !== undefined) return
    figures.tests += counts.tests
    figures.suites += counts.suites
    figures.passed += counts.passed
    figures.failed += counts.tests - counts.passed - counts.cancelled - counts.skipped - counts.todo
    figures.cancelled += counts.cancelled
    figures.skipped += counts.skipped
    figures.todo += counts.todo
    if (!success) succeeded = false
  })
  const printed = events.compose(new spec())
  printed.pipe(process.stdout, { end: false })
  await finished(printed)
  return succeeded && figures.tests > 0
}

function relative(file: string | undefined): string {
  return file?.startsWith(`${root}/`) ? file.slice(root.length + 1) : (file ?? '?')
}
