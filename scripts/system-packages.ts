import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { requirements } from '../test/support/requirements.ts'

/** What this needs to know of the machine; passed in so that a test can be another machine. */
export type Machine = {
  /** Packages of Debian that the tests need and that are not there. */
  missing(): readonly string[]
  readonly isDebian: boolean
  readonly isRoot: boolean
  /** Where nothing may be left out: CI=true. */
  readonly isCi: boolean
  /** Where Debian asks whether an installed service may start. */
  readonly policyFile: string
  /** @returns whether it succeeded */
  run(program: string, args: readonly string[]): boolean
  say(sentence: string): void
}

/**
 * Makes sure that the programs are there which the end-to-end tests use. Debian, as root: installs what is missing. Elsewhere: says
 * what to type; those tests are then skipped by name, except where CI=true.
 * @returns whether the tests may go on
 */
export async function provideSystemPackages(machine: Machine = thisMachine()): Promise<boolean> {
  const missing = machine.missing()
  if (missing.length === 0) {
    machine.say('all there')
    return true
  }
  const line = `apt-get install --no-install-recommends ${missing.join(' ')}`
  if (machine.isDebian && machine.isRoot) {
    machine.say(`Installing ${missing.join(', ')} …`)
    if (!install(missing, machine)) {
      machine.say(`apt-get did not succeed (its reason stands above). Try by hand: ${line}`)
      return false
    }
    const left = machine.missing()
    if (left.length > 0)
      machine.say(`apt-get ended well, but the tests still miss what these bring: ${left.join(', ')}`)
    return left.length === 0
  }
  machine.say(`Some tests need programs that are not installed. On Debian and its relatives, as root, type: ${line}`)
  if (machine.isCi) return false
  machine.say('Those tests are skipped; each says so by name.')
  return true
}

/** Installs without starting a service: an nginx that runs would only be in the way. */
function install(packages: readonly string[], machine: Machine): boolean {
  const quiet = ['-q', '-y', '-o', 'Dpkg::Use-Pty=0']
  const { policyFile } = machine
  const kept = `${policyFile}.before-stream-connect`
  // An interrupt reaches apt-get too and ends it; this process lives on until the policy is as it was.
  const wait = () => {}
  process.on('SIGINT', wait)
  process.on('SIGTERM', wait)
  try {
    // What an earlier run, ended by force, could not put back, is the true one.
    if (existsSync(policyFile) && !existsSync(kept)) renameSync(policyFile, kept)
    writeFileSync(policyFile, '#!/bin/sh\nexit 101\n')
    chmodSync(policyFile, 0o755)
    return (
      machine.run('apt-get', ['update', '-q']) &&
      machine.run('apt-get', ['install', ...quiet, '--no-install-recommends', ...packages])
    )
  } finally {
    rmSync(policyFile, { force: true })
    if (existsSync(kept)) renameSync(kept, policyFile)
    process.off('SIGINT', wait)
    process.off('SIGTERM', wait)
  }
}

function thisMachine(): Machine {
  return {
    missing: () => [
      ...new Set(
        Object.values(requirements)
          .filter((requirement) => !requirement.isThere())
          .flatMap((requirement) => requirement.package.split(' ')),
      ),
    ],
    isDebian: existsSync('/etc/debian_version'),
    isRoot: process.getuid?.() === 0,
    isCi: process.env['CI'] === 'true',
    policyFile: '/usr/sbin/policy-rc.d',
    run: (program, args) =>
      spawnSync(program, args, {
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      }).status === 0,
    say: (sentence) => process.stdout.write(`${sentence}\n`),
  }
}
