import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Machine, provideSystemPackages } from './system-packages.ts'

/** Another machine: apt-get is a record, and what it installs is there afterwards. */
function machineOf(t: TestContext, about: Partial<Machine> & { readonly lacks: readonly string[] }) {
  const folder = mkdtempSync(join(tmpdir(), 'policy-'))
  t.after(() => rmSync(folder, { recursive: true }))
  let lacks = about.lacks
  const said: string[] = []
  const commands: string[] = []
  const machine: Machine = {
    missing: () => lacks,
    isDebian: true,
    isRoot: true,
    isCi: false,
    policyFile: join(folder, 'policy-rc.d'),
    say: (sentence) => said.push(sentence),
    run(program, args) {
      // What Debian's packages ask before they start a service, and the answer "no".
      assert.equal(spawnSync(machine.policyFile, ['nginx', 'start']).status, 101)
      commands.push([program, ...args].join(' '))
      if (args[0] === 'install') lacks = []
      return true
    },
    ...about,
  }
  return { machine, said, commands, folder }
}

test('where all is there, nothing is done', async (t) => {
  const { machine, commands, folder } = machineOf(t, { lacks: [] })
  assert.equal(await provideSystemPackages(machine), true)
  assert.deepEqual(commands, [])
  assert.deepEqual(readdirSync(folder), [])
})

test('on Debian as root what is missing is installed, and no service may start meanwhile', async (t) => {
  const { machine, commands, folder } = machineOf(t, { lacks: ['ffmpeg', 'nginx'] })
  assert.equal(await provideSystemPackages(machine), true)
  assert.equal(commands[0], 'apt-get update -q')
  assert.match(commands[1] ?? '', /^apt-get install .*-y .*--no-install-recommends ffmpeg nginx$/)
  assert.deepEqual(readdirSync(folder), [])
})

test("the machine's own policy is put back, after a failure and after an earlier run that was killed", async (t) => {
  const failing = machineOf(t, { lacks: ['nginx'], run: () => false })
  writeFileSync(failing.machine.policyFile, '#!/bin/sh\nexit 0\n', { mode: 0o700 })
  assert.equal(await provideSystemPackages(failing.machine), false)
  assert.match(failing.said.at(-1) ?? '', /did not succeed.*apt-get install --no-install-recommends nginx$/)
  assert.equal(readFileSync(failing.machine.policyFile, 'utf8'), '#!/bin/sh\nexit 0\n')
  assert.equal(statSync(failing.machine.policyFile).mode & 0o777, 0o700)

  writeFileSync(`${failing.machine.policyFile}.before-stream-connect`, 'the true one')
  await provideSystemPackages(failing.machine)
  assert.equal(readFileSync(failing.machine.policyFile, 'utf8'), 'the true one')
  assert.deepEqual(readdirSync(failing.folder), ['policy-rc.d'])
})

test('elsewhere the line to type is said: tests are skipped, except where CI=true', async (t) => {
  for (const about of [{ isRoot: false }, { isDebian: false }]) {
    const person = machineOf(t, { lacks: ['ffmpeg'], ...about })
    assert.equal(await provideSystemPackages(person.machine), true)
    assert.match(person.said[0] ?? '', /type: apt-get install --no-install-recommends ffmpeg$/)
    assert.deepEqual(person.commands, [])
    const ci = machineOf(t, { lacks: ['ffmpeg'], isCi: true, ...about })
    assert.equal(await provideSystemPackages(ci.machine), false)
  }
})

test('packages that bring not what is missing are a failure', async (t) => {
  const { machine } = machineOf(t, { lacks: ['nginx'], run: () => true })
  assert.equal(await provideSystemPackages(machine), false)
})

test('an unknown stage is refused', () => {
  assert.throws(
    () => execFileSync(process.execPath, [join(import.meta.dirname, 'test.ts'), 'no-such'], { stdio: 'pipe' }),
    { status: 2 },
  )
})
