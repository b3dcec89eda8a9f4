import { randomBytes } from 'node:crypto'
import { chmod, link, lstat, mkdir, mkdtemp, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { CodedError } from './errors.ts'
import { type AccountId, isId, newAccountId } from './model/id.ts'
import { Secret } from './secret.ts'

/**
 * DATA_DIR: the database, the generated certificate and the generated secrets. The folder belongs to the server's user alone
 * (0700), and so does each file (0600). Files are written whole or not at all, and are on the disk when the promise resolves.
 */
export type DataDir = {
  /** Absolute. */
  readonly path: string
  /** The path of a file in it. */
  file(name: string): string
}

/**
 * Makes the folder where it is missing, and checks it where it is there.
 * @throws CodedError data_dir_unusable: not a folder, no right to read or write, or open to other users.
 */
export async function openDataDir(configured: string): Promise<DataDir> {
  const path = resolve(configured)
  try {
    await makeFolder(path)
    const { mode, uid } = await stat(path)
    if ((mode & 0o077) !== 0) {
      // A folder that someone made for us, with nothing in it yet: nobody can have read anything.
      const ours = uid === process.getuid?.() && (await readdir(path)).length === 0
      if (!ours)
        throw unusable(
          path,
          `is open to other users (mode ${octal(mode)}); close it with \`chmod 700 ${path}\` if it is this server's alone, else set DATA_DIR to another folder`,
        )
      await chmod(path, 0o700)
    }
    // Only doing it tells: rights, a read-only file system and a full disk all look different from outside.
    await readdir(path)
    await rmdir(await mkdtemp(join(path, '.probe-')))
  } catch (error) {
    throw explained(path, error)
  }
  return { path, file: (name) => join(path, name) }
}

/** Not mkdir's `recursive`, which tries for ever where a file system refuses with ENOENT (/proc). */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await mkdir(path, { mode: 0o700 })
  }
}

/**
 * The key that encrypts secrets in the database: SECRET_KEY, or the one in DATA_DIR/secret-key, made when missing.
 * @returns 32 bytes
 * @throws CodedError data_dir_unusable
 */
export async function loadSecretKey(dataDir: DataDir, configured: Secret | undefined): Promise<Buffer> {
  if (configured !== undefined) return Buffer.from(configured.reveal(), 'base64')
  const { text } = await readOrCreate(dataDir, 'secret-key', () => randomBytes(32).toString('base64'))
  return keyFrom(text, dataDir, 'secret-key')
}

/**
 * The key that the database was encrypted with before: SECRET_KEY_PREVIOUS, or the one in DATA_DIR/secret-key-previous, where a person
 * has put it to have another one made.
 * @returns 32 bytes; undefined when there is none
 * @throws CodedError data_dir_unusable
 */
export async function loadPreviousSecretKey(
  dataDir: DataDir,
  configured: Secret | undefined,
): Promise<Buffer | undefined> {
  if (configured !== undefined) return Buffer.from(configured.reveal(), 'base64')
  const name = 'secret-key-previous'
  const text = await readOwn(dataDir.file(name)).catch((error: unknown) => {
    throw explained(dataDir.file(name), error)
  })
  return text === undefined ? undefined : keyFrom(text, dataDir, name)
}

function keyFrom(text: string, dataDir: DataDir, name: string): Buffer {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text))
    throw damaged(dataDir, name, '32 bytes in base64; without the right key the database cannot be read')
  return Buffer.from(text, 'base64')
}

export type FirstToken = {
  readonly token: Secret
  /** True the one time it was made: then, and only then, it is shown to the person. */
  readonly created: boolean
}

/**
 * The token with all rights: API_TOKEN, or the one in DATA_DIR/api-token, made when missing.
 * @throws CodedError data_dir_unusable
 */
export async function loadApiToken(dataDir: DataDir, configured: Secret | undefined): Promise<FirstToken> {
  if (configured !== undefined) return { token: configured, created: false }
  const { text, created } = await readOrCreate(dataDir, 'api-token', () => randomBytes(30).toString('base64url'))
  if (!/^[\x21-\x7e]{20,1024}$/.test(text))
    throw damaged(dataDir, 'api-token', 'a token; remove the file to have a new one made')
  return { token: new Secret(text), created }
}

/**
 * The id of the first account: ACCOUNT_ID, or the one in DATA_DIR/account-id, made when missing.
 * @throws CodedError data_dir_unusable
 */
export async function loadAccountId(dataDir: DataDir, configured: AccountId | undefined): Promise<AccountId> {
  if (configured !== undefined) return configured
  const { text } = await readOrCreate(dataDir, 'account-id', newAccountId)
  if (!isId(text)) throw damaged(dataDir, 'account-id', '32 hexadecimal digits in lower case')
  return text as AccountId
}

/** Puts the text in the place of what is there, in one step. */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const written = await writeBeside(path, text)
  try {
    await rename(written, path)
  } catch (error) {
    await rm(written, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Two servers that start at once on a new folder end with the same text: the second finds the first one's. */
async function readOrCreate(
  dataDir: DataDir,
  name: string,
  make: () => string,
): Promise<{ text: string; created: boolean }> {
  const path = dataDir.file(name)
  try {
    const found = await readOwn(path)
    if (found !== undefined) return { text: found, created: false }
    const text = make()
    const written = await writeBeside(path, `${text}\n`)
    try {
      await link(written, path)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
      return { text: (await readOwn(path)) ?? '', created: false }
    } finally {
      await rm(written, { force: true })
    }
    await syncFolder(dataDir.path)
    return { text, created: true }
  } catch (error) {
    throw explained(path, error)
  }
}

async function readOwn(path: string): Promise<string | undefined> {
  try {
    const { mode } = await lstat(path)
    if ((mode & 0o170000) === 0o100000 && (mode & 0o077) !== 0)
      throw unusable(path, `is open to other users (mode ${octal(mode)}); close it with \`chmod 600 ${path}\``)
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function writeBeside(path: string, text: string): Promise<string> {
  const beside = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    const file = await open(beside, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
  return beside
}

/** A new name is on the disk only when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function unusable(path: string, what: string, cause?: unknown): CodedError {
  return new CodedError('data_dir_unusable', `DATA_DIR: ${path} ${what}.`, { cause })
}

function damaged(dataDir: DataDir, name: string, expected: string): CodedError {
  return unusable(dataDir.file(name), `does not hold ${expected}`)
}

const mends: Readonly<Record<string, string>> = {
  EACCES:
    'cannot be read and written by this user; give it to the user that the server runs as, or set DATA_DIR to another folder',
  EPERM: 'cannot be used by this user; give it to the user that the server runs as, or set DATA_DIR to another folder',
  ENOENT: 'cannot be made on this file system; set DATA_DIR to another folder',
  ENOTDIR: 'is a file, or lies below one; set DATA_DIR to a folder',
  EROFS: 'is on a file system that is read-only; set DATA_DIR to a folder that can be written',
  ENOSPC: 'is on a disk that is full; make room',
  EDQUOT: "is over this user's disk quota; make room",
}

function explained(path: string, error: unknown): unknown {
  if (error instanceof CodedError) return error
  if (!(error instanceof Error) || !('code' in error)) return error
  const mend = mends[String(error.code)] ?? `cannot be used (${String(error.code)}); set DATA_DIR to another folder`
  return unusable(path, mend, error)
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8)
}
