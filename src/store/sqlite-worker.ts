import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { CodedError, type ErrorCode, sentenceOf } from '../errors.ts'
import { isFull, openDatabaseFile, probeBeside } from './sqlite-file.ts'
import type { Entry, Lease, Revision } from './store.ts'

/**
 * The thread that has the database, and the only one that ever waits for the disk. It takes groups of operations, does each group
 * in one transaction, and answers after COMMIT: the callers of a group share one fsync.
 */
export type WorkerOptions = { readonly file: string; readonly pageCountMax: number | undefined }

type Expected = Revision | 'absent' | 'any'

export type Operation =
  | { readonly type: 'get'; readonly key: string }
  | { readonly type: 'list'; readonly prefix: string }
  | {
      readonly type: 'put'
      readonly key: string
      readonly value: string
      readonly expected: Expected
      readonly durable: boolean
    }
  | { readonly type: 'delete'; readonly key: string; readonly expected: Revision | 'any'; readonly durable: boolean }
  | {
      readonly type: 'acquire'
      readonly name: string
      readonly holder: string
      readonly now: number
      readonly durationMs: number
    }
  | {
      readonly type: 'renew'
      readonly name: string
      readonly epoch: number
      readonly holder: string
      readonly now: number
      readonly durationMs: number
    }
  | { readonly type: 'release'; readonly name: string; readonly epoch: number; readonly holder: string }

export type Results = {
  get: Entry | undefined
  list: Entry[]
  put: Revision
  delete: Revision
  acquire: Lease | undefined
  renew: Lease | undefined
  release: undefined
}

/** An error on its way between threads: structured clone would keep neither class nor code. */
export type Failure = { readonly code: ErrorCode; readonly message: string; readonly cause: string | undefined }
export type Answer = { readonly result: Results[keyof Results] } | { readonly failure: Failure }

export type ToWorker =
  | { readonly type: 'group'; readonly operations: readonly Operation[] }
  | { readonly type: 'close' }
export type FromWorker =
  | { readonly type: 'opened' }
  | { readonly type: 'refused'; readonly failure: Failure }
  | { readonly type: 'answers'; readonly answers: readonly Answer[] }

if (!isMainThread && parentPort !== null) serve(parentPort, workerData as WorkerOptions)

function serve(port: NonNullable<typeof parentPort>, { file, pageCountMax }: WorkerOptions): void {
  const tell = (message: FromWorker) => port.postMessage(message)
  const probe = probeBeside(file)
  const failure = (error: unknown) => failureOf(error, probe)
  let opened: ReturnType<typeof openDatabaseFile>
  let runGroup: (operations: readonly Operation[]) => Answer[]
  try {
    opened = openDatabaseFile(file, pageCountMax)
    runGroup = groupRunner(opened.database, failure)
  } catch (error) {
    tell({ type: 'refused', failure: failure(error) })
    return
  }
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'group':
        tell({ type: 'answers', answers: runGroup(message.operations) })
        return
      case 'close':
        opened.close()
        port.close()
        return
      default:
        message satisfies never
    }
  })
  tell({ type: 'opened' })
}

function groupRunner(database: ReturnType<typeof openDatabaseFile>['database'], failure: (error: unknown) => Failure) {
  const select = database.prepare('SELECT key, value, revision FROM documents WHERE key = ?')
  const selectRevision = database.prepare('SELECT revision FROM documents WHERE key = ?')
  const selectAll = database.prepare('SELECT key, value, revision FROM documents ORDER BY key')
  // '/' follows '.', so this range is the prefix itself and all that begins with `prefix.`, plus `prefix-…`, which is left out.
  const selectUnder = database.prepare(
    `SELECT key, value, revision FROM documents
     WHERE key >= :prefix AND key < :prefix || '/' AND (key = :prefix OR key > :prefix || '.') ORDER BY key`,
  )
  const upsert = database.prepare(
    `INSERT INTO documents (key, value, revision) VALUES (?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision`,
  )
  const remove = database.prepare('DELETE FROM documents WHERE key = ?')
  const saveRevision = database.prepare(`UPDATE counters SET number = ? WHERE name = 'revision'`)
  const selectLease = database.prepare('SELECT holder, epoch, expires_at AS expiresAt FROM leases WHERE name = ?')
  const saveLease = database.prepare(
    `INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch, expires_at = excluded.expires_at`,
  )

  let committedRevision = Number(
    database.prepare(`SELECT number FROM counters WHERE name = 'revision'`).get()?.['number'],
  )
  let revision = committedRevision
  let synchronous = 'FULL'

  function perform(operation: Operation): Answer {
    switch (operation.type) {
      case 'get': {
        const row = select.get(operation.key)
        return { result: row === undefined ? undefined : (row as Entry) }
      }
      case 'list':
        return {
          result: (operation.prefix === ''
            ? selectAll.all()
            : selectUnder.all({ prefix: operation.prefix })) as Entry[],
        }
      case 'put': {
        const current = revisionOf(operation.key)
        const expected = operation.expected
        if (expected !== 'any' && current !== (expected === 'absent' ? undefined : expected)) return conflict(operation)
        revision += 1
        upsert.run(operation.key, operation.value, revision)
        return { result: revision }
      }
      case 'delete': {
        const current = revisionOf(operation.key)
        if (current === undefined || (operation.expected !== 'any' && current !== operation.expected)) {
          return conflict(operation)
        }
        revision += 1
        remove.run(operation.key)
        return { result: revision }
      }
      case 'acquire': {
        const { name, holder, now, durationMs } = operation
        const current = leaseOf(name)
        const held = current !== undefined && current.expiresAt > now
        if (held && current.holder !== holder) return { result: undefined }
        const epoch = held ? current.epoch : (current?.epoch ?? 0) + 1
        return leaseUntil(name, holder, epoch, now + durationMs)
      }
      case 'renew': {
        const { name, holder, epoch, now, durationMs } = operation
        const current = leaseOf(name)
        if (current?.holder !== holder || current.epoch !== epoch || current.expiresAt <= now) {
          return { result: undefined }
        }
        return leaseUntil(name, holder, epoch, now + durationMs)
      }
      case 'release': {
        const { name, holder, epoch } = operation
        const current = leaseOf(name)
        // The row stays: the epoch of the next holder must be greater.
        if (current?.holder === holder && current.epoch === epoch) saveLease.run(name, holder, epoch, 0)
        return { result: undefined }
      }
      default:
        return operation satisfies never
    }
  }

  function revisionOf(key: string): Revision | undefined {
    return selectRevision.get(key)?.['revision'] as Revision | undefined
  }

  function leaseOf(name: string) {
    return selectLease.get(name) as { holder: string; epoch: number; expiresAt: number } | undefined
  }

  function leaseUntil(name: string, holder: string, epoch: number, expiresAt: number): Answer {
    saveLease.run(name, holder, epoch, expiresAt)
    return { result: { name, epoch, expiresAt } }
  }

  function inTransaction(operations: readonly Operation[]): Answer[] {
    const writes = operations.some(isWrite)
    // Without fsync (NORMAL) a commit is in the kernel's hands: it survives the process, not always the power. The next commit
    // with fsync (FULL) makes all before it durable too, since they are in one log.
    const wanted = operations.some(isDurable) ? 'FULL' : 'NORMAL'
    if (writes && wanted !== synchronous) {
      database.exec(`PRAGMA synchronous = ${wanted}`)
      synchronous = wanted
    }
    database.exec(writes ? 'BEGIN IMMEDIATE' : 'BEGIN')
    try {
      const answers = operations.map(perform)
      if (revision !== committedRevision) saveRevision.run(revision)
      database.exec('COMMIT')
      committedRevision = revision
      return answers
    } catch (error) {
      revision = committedRevision
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }

  return function runGroup(operations: readonly Operation[]): Answer[] {
    try {
      return inTransaction(operations)
    } catch (error) {
      if (operations.length === 1) return [{ failure: failure(error) }]
      // The database took the whole group back (a full disk, say). One by one, those that can be done are.
      return operations.flatMap((operation) => runGroup([operation]))
    }
  }
}

function isWrite({ type }: Operation): boolean {
  return type !== 'get' && type !== 'list'
}

/** A lease's epoch must never be given twice; a shorter or longer end does no harm after a loss of power, which ends its holder. */
function isDurable(operation: Operation): boolean {
  return operation.type === 'acquire' || ('durable' in operation && operation.durable)
}

function conflict({ key, expected }: { key: string; expected: Expected }): Answer {
  const message = `${sentenceOf('revision_conflict')} (${key}, expected ${expected})`
  return { failure: { code: 'revision_conflict', message, cause: undefined } }
}

function failureOf(error: unknown, probe: () => void): Failure {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof CodedError) {
    return {
      code: error.code,
      message: error.message,
      cause: error.cause === undefined ? undefined : String(error.cause),
    }
  }
  const code = isFull(error, probe) ? 'store_full' : 'store_failed'
  return { code, message: `${sentenceOf(code)} (${text})`, cause: text }
}
