import assert from 'node:assert/strict'
import { test } from 'node:test'
import { helpText, readCommand, versionText } from './command-line.ts'
import { type Setting, settings } from './settings.ts'

test('flags alone serve; --help and --version win wherever they stand; another word is refused', () => {
  assert.deepEqual(readCommand([]), { name: 'serve', flags: [] })
  assert.deepEqual(readCommand(['--http-port', '1']), { name: 'serve', flags: ['--http-port', '1'] })
  assert.deepEqual(readCommand(['--http-port', '1', '--help']), { name: 'help' })
  assert.deepEqual(readCommand(['-v']), { name: 'version' })
  assert.throws(() => readCommand(['dance']), { code: 'setting_unknown', message: /^"dance" is not a command/ })
})

test('--help names every setting, says which have no effect yet, and shows no flag for a secret', () => {
  const help = helpText('  token create\n')
  for (const one of Object.values(settings) as readonly Setting[]) assert(help.includes(`STREAM_CONNECT_${one.name}`))
  assert.match(help, /--http-port, STREAM_CONNECT_HTTP_PORT/)
  assert.match(help, /^Commands:\n\n {2}token create$/m)
  assert.doesNotMatch(help, /--api-token|--secret-key/)
  const without = (Object.values(settings) as readonly Setting[]).filter((one) => one.withoutEffect)
  assert.equal(help.replace(/\s+/g, ' ').split('Has no effect in this version.').length - 1, without.length)
  assert.match(versionText(), /^\d+\.\d+\.\d+/)
})
