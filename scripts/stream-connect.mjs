#!/usr/bin/env node
/**
 * `npx stream-connect …`, on any Node from 18 on: sets up what is missing, then hands over to src/main.ts on a Node that is new
 * enough: the one that came with the packages, else the one that runs this. Arguments, streams, signals and the exit status pass
 * through; no shell is between.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const ours = join(root, 'node_modules', '.bin')
// What runs this may be older than what was installed: the set-up shall find the latter first, as under npm.
process.env.PATH = [ours, process.env.PATH ?? ''].join(delimiter)
await import('./setup.mjs')

const linked = join(ours, 'node')
const child = spawn(
  existsSync(linked) ? linked : process.execPath,
  [join(root, 'src', 'main.ts'), ...process.argv.slice(2)],
  {
    stdio: 'inherit',
    // Look-ups of host names wait in the pool's threads; package.json says the same for `npm start`.
    env: { UV_THREADPOOL_SIZE: '16', ...process.env },
  },
)
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']
for (const signal of passedOn) process.on(signal, () => child.kill(signal))
child.once('error', (error) => {
  process.stderr.write(`Node could not be started: ${error.message}\n`)
  process.exit(1)
})
child.once('exit', (status, signal) => {
  if (signal === null) process.exit(status ?? 1)
  // Whoever waits for this process shall see how the other one ended.
  for (const one of passedOn) process.removeAllListeners(one)
  process.kill(process.pid, signal)
})
