import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadAccountId, loadApiToken, loadSecretKey, openDataDir, writeFileAtomically } from './data-dir.ts'
import type { AccountId } from './model/id.ts'
import { Secret } from './secret.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'data-dir-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o777

test('a missing folder is made for its user alone, with what is above it', async (t) => {
  const path = join(await folder(t), 'a', 'b')
  const dataDir = await openDataDir(path)
  assert.equal(dataDir.path, path)
  assert.equal(dataDir.file('x'), join(path, 'x'))
  assert.equal(await modeOf(path), 0o700)
  await openDataDir(path)
})

test('an empty folder that is open to others is closed; one with files is refused with the mend', async (t) => {
  const path = join(await folder(t), 'data')
  await mkdir(path)
  await chmod(path, 0o755)
  await openDataDir(path)
  assert.equal(await modeOf(path), 0o700)
  await writeFile(join(path, 'file'), '')
  await chmod(path, 0o755)
  await assert.rejects(openDataDir(path), {
    code: 'data_dir_unusable',
    message: `DATA_DIR: ${path} is open to other users (mode 755); close it with \`chmod 700 ${path}\` if it is this server's alone, else set DATA_DIR to another folder.`,
  })
})

test('a file in the place of the folder, or above it, is refused with a sentence', async (t) => {
  const file = join(await folder(t), 'file')
  await writeFile(file, '')
  await assert.rejects(openDataDir(file), {
    code: 'data_dir_unusable',
    message: /is a file, or lies below one; set DATA_DIR/,
  })
  await assert.rejects(openDataDir(join(file, 'x')), { code: 'data_dir_unusable', message: /lies below one/ })
})

test('a folder that the user may not write is refused with a sentence', async (t) => {
  const path = await folder(t)
  await chmod(path, 0o500)
  // root may write everywhere: be somebody else meanwhile
  const root = process.geteuid?.() === 0
  if (root) process.seteuid?.(65_534)
  try {
    await assert.rejects(openDataDir(path), { code: 'data_dir_unusable', message: /cannot be read and written/ })
    await assert.rejects(openDataDir(join(path, 'x')), { code: 'data_dir_unusable', message: /cannot be read and/ })
  } finally {
    if (root) process.seteuid?.(0)
  }
})

test('secrets are made once, for the user alone, and found again', async (t) => {
  const dataDir = await openDataDir(await folder(t))
  const key = await loadSecretKey(dataDir, undefined)
  assert.equal(key.length, 32)
  assert.deepEqual(await loadSecretKey(dataDir, undefined), key)

  const first = await loadApiToken(dataDir, undefined)
  const second = await loadApiToken(dataDir, undefined)
  assert(first.token.reveal().length >= 40)
  assert.deepEqual([first.created, second.created], [true, false])
  assert.equal(second.token.reveal(), first.token.reveal())
  assert.equal((await readFile(dataDir.file('api-token'), 'utf8')).trim(), first.token.reveal())

  const account = await loadAccountId(dataDir, undefined)
  assert.match(account, /^[0-9a-f]{32}$/)
  assert.equal(await loadAccountId(dataDir, undefined), account)

  assert.deepEqual((await readdir(dataDir.path)).sort(), ['account-id', 'api-token', 'secret-key'])
  for (const name of await readdir(dataDir.path)) assert.equal(await modeOf(dataDir.file(name)), 0o600)
})

test('what is configured is used and leaves no file', async (t) => {
  const dataDir = await openDataDir(await folder(t))
  const bytes = Buffer.alloc(32, 9)
  assert.deepEqual(await loadSecretKey(dataDir, new Secret(bytes.toString('base64'))), bytes)
  const { token, created } = await loadApiToken(dataDir, new Secret('sesame'))
  assert.deepEqual([token.reveal(), created], ['sesame', false])
  assert.equal(await loadAccountId(dataDir, 'a'.repeat(32) as AccountId), 'a'.repeat(32))
  assert.deepEqual(await readdir(dataDir.path), [])
})

test('two servers that start at once get the same secrets', async (t) => {
  const dataDir = await openDataDir(await folder(t))
  const tokens = await Promise.all(Array.from({ length: 8 }, () => loadApiToken(dataDir, undefined)))
  assert.equal(new Set(tokens.map(({ token }) => token.reveal())).size, 1)
  assert.equal(tokens.filter(({ created }) => created).length, 1)
  assert.deepEqual(await readdir(dataDir.path), ['api-token'])
})

test('a secret that is damaged, or open to others, is refused and never replaced', async (t) => {
  const dataDir = await openDataDir(await folder(t))
  await writeFile(dataDir.file('secret-key'), 'short\n', { mode: 0o600 })
  await assert.rejects(loadSecretKey(dataDir, undefined), {
    code: 'data_dir_unusable',
    message: /does not hold 32 bytes/,
  })
  await writeFile(dataDir.file('api-token'), '', { mode: 0o600 })
  await assert.rejects(loadApiToken(dataDir, undefined), { code: 'data_dir_unusable', message: /remove the file/ })
  await chmod(dataDir.file('api-token'), 0o644)
  await assert.rejects(loadApiToken(dataDir, undefined), { message: /open to other users \(mode 644\).*chmod 600/ })
  assert.equal(await readFile(dataDir.file('secret-key'), 'utf8'), 'short\n')
})

test('a file is replaced whole and leaves nothing beside it', async (t) => {
  const path = join(await folder(t), 'file')
  await writeFileAtomically(path, 'one')
  await writeFileAtomically(path, 'two')
  assert.equal(await readFile(path, 'utf8'), 'two')
  assert.equal(await modeOf(path), 0o600)
  await assert.rejects(writeFileAtomically(join(path, 'x'), ''))
  assert.deepEqual(await readdir(join(path, '..')), ['file'])
})
