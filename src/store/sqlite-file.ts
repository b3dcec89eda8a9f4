import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CodedError } from '../errors.ts'

/**
 * Each entry takes the database from the version of its index to the next. A released entry is never changed: databases that
 * have passed it would differ from those that have not.
 */
const migrations: readonly string[] = [
  `CREATE TABLE documents (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL);
   CREATE TABLE leases (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, epoch INTEGER NOT NULL, expires_at INTEGER NOT NULL);
   CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL);
   INSERT INTO counters VALUES ('revision', 0);`,
]

/** "SCON": tells our databases from those of other programs (PRAGMA application_id). */
const applicationId = 0x53434f4e

/** A server that is just ending gets this long to let go of the directory. */
const lockWaitMs = 200

/** How long a person's own sqlite3 may hold the write lock before operations fail. */
const busyWaitMs = 5_000

/** Result codes of SQLite (https://sqlite.org/rescode.html); the low byte is the primary code. */
export const sqliteCodes = { busy: 5, corrupt: 11, full: 13, notADatabase: 26 } as const

/** Extended codes of writes that failed for what the system said: SQLite takes ENOSPC for a full disk, and hides EDQUOT among these. */
const failedWrites: ReadonlySet<number> = new Set([
  778, // SQLITE_IOERR_WRITE
  1034, // SQLITE_IOERR_FSYNC
  4874, // SQLITE_IOERR_SHMSIZE
])
/** Of a system that has no room, or none for this user (a quota). */
const noRoom: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])
/** More than the longest document takes up, in the log and in the database. */
const probeBytes = 1024 * 1024

/**
 * Whether a change failed because there is no room. SQLite does not say why a write failed, and a broken disk must not count as a full one:
 * so it is tried.
 * @param probe writes as much as a change may take up. @throws the system's error
 */
export function isFull(error: unknown, probe: () => void): boolean {
  if (sqliteCodeOf(error) === sqliteCodes.full) return true
  const extended = error instanceof Error && 'errcode' in error ? Number(error.errcode) : 0
  if (!failedWrites.has(extended)) return false
  try {
    probe()
    return false
  } catch (reason) {
    return reason instanceof Error && 'code' in reason && noRoom.has(reason.code)
  }
}

/** The probe of the disk that a database is on. */
export function probeBeside(file: string): () => void {
  const path = `${file}.probe`
  return () => {
    try {
      writeFileSync(path, Buffer.alloc(probeBytes), { mode: 0o600, flush: true })
    } finally {
      rmSync(path, { force: true })
    }
  }
}

/** @returns the primary result code of an error of SQLite, undefined for any other error. */
export function sqliteCodeOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}

export type DatabaseFile = {
  readonly database: DatabaseSync
  /** Writes the log back into the database, then lets go of the directory. */
  close(): void
}

/**
 * Opens, or makes, the database and takes the directory that it is in for this process. All files are of mode 0600, a directory
 * that is made 0700, whatever the umask. What cannot be used is left as it is, byte for byte.
 *
 * The lock is an exclusive transaction on an empty file beside the database, so the kernel frees it when the process ends, however
 * it ends. (Taking it on the database itself would keep a person's sqlite3 from making a backup of a running server.)
 *
 * @param pageCountMax largest size of the database in pages of 4,096 bytes; unset: the disk is the limit
 * @throws CodedError data_dir_unusable, data_dir_in_use, data_dir_newer, data_dir_corrupt
 */
export function openDatabaseFile(file: string, pageCountMax?: number): DatabaseFile {
  const directory = dirname(file)
  prepareDirectory(directory)
  const unlock = lockDirectory(directory)
  try {
    refuseLostDatabase(file)
    usable(directory, () => makePrivateFile(file))
    refuseForeignDatabase(file)
    const database = openForWriting(file, directory, pageCountMax)
    return {
      database,
      close() {
        try {
          database.close()
        } finally {
          unlock()
        }
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/**
 * Rewrites documents while nobody else has the database: all of them or, whatever happens meanwhile, none. What was there before is then
 * wiped from the file, too, where deleted rows stay readable for a while. Revisions stay: the documents say what they said before.
 * @param plan called with a reader of documents. It gives what makes a document's new text of its key and text, or undefined: nothing is to be done.
 * @returns how many documents have another text now
 * @throws CodedError as openDatabaseFile, store_full, and whatever `plan` and what it gives throw; nothing is changed then
 */
export function rewriteDocuments(
  file: string,
  plan: (read: (key: string) => string | undefined) => ((key: string, value: string) => string) | undefined,
): number {
  const { database, close } = openDatabaseFile(file)
  try {
    const select = database.prepare('SELECT value FROM documents WHERE key = ?')
    const read = (key: string) => select.get(key)?.['value'] as string | undefined
    const rewrite = plan(read)
    if (rewrite === undefined) return 0
    const changed = inTransaction(database, () => {
      const keys = database.prepare('SELECT key FROM documents').all() as { key: string }[]
      const update = database.prepare('UPDATE documents SET value = ? WHERE key = ?')
      let count = 0
      for (const { key } of keys) {
        const before = read(key) as string
        const after = rewrite(key, before)
        if (after === before) continue
        update.run(after, key)
        count += 1
      }
      if (count > 0) database.exec(`INSERT OR REPLACE INTO counters VALUES ('${wipeWanted}', 1)`)
      return count
    })
    wipe(database)
    return changed
  } catch (error) {
    if (isFull(error, probeBeside(file))) throw new CodedError('store_full', undefined, { cause: error })
    throw error
  } finally {
    close()
  }
}

/** Stands among the counters until free pages, which hold what was deleted, have been wiped. */
const wipeWanted = 'wipe wanted'

/** Needs as much room again as the database has. Without it, or when the power fails, it is done at the next start. */
function wipe(database: DatabaseSync): void {
  if (database.prepare('SELECT number FROM counters WHERE name = ?').get(wipeWanted) === undefined) return
  try {
    // The log holds old pages until all of it is in the database.
    database.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')
    database.prepare('DELETE FROM counters WHERE name = ?').run(wipeWanted)
  } catch (error) {
    if (sqliteCodeOf(error) !== sqliteCodes.full) throw error
  }
}

function prepareDirectory(directory: string): void {
  usable(directory, () => {
    const made = mkdirSync(directory, { recursive: true, mode: 0o700 })
    if (made !== undefined) {
      chmodSync(directory, 0o700)
      syncDirectory(dirname(made))
    }
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  })
}

function lockDirectory(directory: string): () => void {
  const lockFile = join(directory, 'server.lock')
  const pidFile = join(directory, 'server.pid')
  const lock = usable(directory, () => {
    makePrivateFile(lockFile)
    return new DatabaseSync(lockFile, { timeout: lockWaitMs })
  })
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if (sqliteCodeOf(error) === sqliteCodes.busy) throw inUse(directory, pidFile, error)
    throw unusable(directory, error)
  }
  const unlock = () => {
    rmSync(pidFile, { force: true })
    lock.close()
  }
  try {
    usable(directory, () => {
      rmSync(pidFile, { force: true })
      makePrivateFile(pidFile)
      writeFileSync(pidFile, `${process.pid}\n`)
    })
    return unlock
  } catch (error) {
    unlock()
    throw error
  }
}

function inUse(directory: string, pidFile: string, cause: unknown): CodedError {
  let holder = ''
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10)
    if (Number.isInteger(pid)) holder = ` (process ${pid})`
  } catch {
    // The holder has not written it yet, or it is not ours to read: the sentence is clear without it.
  }
  return new CodedError(
    'data_dir_in_use',
    `DATA_DIR: ${directory} is in use by another server${holder}; stop that server or set DATA_DIR to another folder.`,
    { cause },
  )
}

/** SQLite throws away a write-ahead log that it finds beside an empty or missing database, and acknowledged changes with it. */
function refuseLostDatabase(file: string): void {
  if (sizeOf(`${file}-wal`) > 0 && sizeOf(file) === 0) {
    throw corrupt(file, 'it is missing or empty, although its write-ahead log is there')
  }
}

/** Looks at what is there through a connection that cannot write. */
function refuseForeignDatabase(file: string): void {
  if (sizeOf(file) === 0) return
  readable(file, () => {
    const database = new DatabaseSync(file, { readOnly: true, timeout: busyWaitMs })
    try {
      const version = pragma(database, 'user_version')
      if (pragma(database, 'application_id') !== applicationId) {
        const tables = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()?.['count']
        if (version !== 0 || tables !== 0) throw corrupt(file, 'it belongs to another program')
      }
      if (typeof version !== 'number' || version > migrations.length) {
        throw new CodedError(
          'data_dir_newer',
          `DATA_DIR: the database ${file} has version ${version} and this server knows versions up to ${migrations.length}; start the newer server or set DATA_DIR to another folder.`,
        )
      }
      const verdict = pragma(database, 'quick_check(1)', 'quick_check')
      // In one line, and without its heading: "*** in database main ***".
      if (verdict !== 'ok')
        throw corrupt(
          file,
          String(verdict)
            .replace(/^\*.*\*\s+/, '')
            .replaceAll(/\s+/g, ' '),
        )
    } finally {
      database.close()
    }
  })
}

function openForWriting(file: string, directory: string, pageCountMax: number | undefined): DatabaseSync {
  return readable(file, () => {
    const database = new DatabaseSync(file, { timeout: busyWaitMs })
    try {
      const mode = pragma(database, 'journal_mode = WAL', 'journal_mode')
      if (mode !== 'wal') throw unusable(directory, new Error('the file system does not support a write-ahead log'))
      database.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY')
      migrate(database)
      wipe(database)
      if (pageCountMax !== undefined) database.exec(`PRAGMA max_page_count = ${pageCountMax}`)
      syncDirectory(directory)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

function migrate(database: DatabaseSync): void {
  const version = Number(pragma(database, 'user_version'))
  if (version === migrations.length) return
  inTransaction(database, () => {
    for (const migration of migrations.slice(version)) database.exec(migration)
    database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}`)
  })
}

function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function pragma(database: DatabaseSync, text: string, column = text): unknown {
  return database.prepare(`PRAGMA ${text}`).get()?.[column]
}

/**
 * SQLite gives a database's mode to the -wal and -shm that it makes. A file that exists is only chmod-ed: to open and close it would
 * free the locks that another store of this process has on it (POSIX).
 */
function makePrivateFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  chmodSync(file, 0o600)
}

/** Makes new names in a directory survive the loss of power. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

function usable<T>(directory: string, step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw unusable(directory, error)
  }
}

function readable<T>(file: string, step: () => T): T {
  try {
    return step()
  } catch (error) {
    if (error instanceof CodedError) throw error
    const code = sqliteCodeOf(error)
    if (code === sqliteCodes.corrupt || code === sqliteCodes.notADatabase) throw corrupt(file, messageOf(error), error)
    throw unusable(dirname(file), new Error(`${basename(file)}: ${messageOf(error)}`, { cause: error }))
  }
}

function corrupt(file: string, why: string, cause?: unknown): CodedError {
  return new CodedError(
    'data_dir_corrupt',
    `DATA_DIR: the database ${file} is damaged (${why}) and was left as it is; put a backup in its place or set DATA_DIR to another folder.`,
    { cause },
  )
}

function unusable(directory: string, cause: unknown): CodedError {
  return new CodedError(
    'data_dir_unusable',
    `DATA_DIR: ${directory} cannot be used (${messageOf(cause)}); make it writable for this user or set DATA_DIR to another folder.`,
    { cause },
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
