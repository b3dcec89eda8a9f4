import { resolve as resolvePath } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type Clock, sleep } from '../clock.ts'
import { CodedError } from '../errors.ts'
import type { Answer, Failure, FromWorker, Operation, Results, ToWorker, WorkerOptions } from './sqlite-worker.ts'
import type { Entry, Lease, PutOptions, Revision, Store, WatchEvent } from './store.ts'
import { valueBytesMax } from './store.ts'
import { type Change, WatchFeed, type WatchLimits, watchLimits } from './watch-feed.ts'

export type SqliteStoreOptions = {
  /** Path of the database. Its directory (DATA_DIR) is made if it is missing, and locked against other servers. */
  readonly file: string
  /** Dates leases. */
  readonly clock: Clock
  /** The database thread has ended by itself, or could not be started again. It is tried again by itself. */
  readonly onCrash?: (error: CodedError) => void
  /** The thread that was started in its place has the database. */
  readonly onReopened?: () => void
  readonly watchLimits?: WatchLimits
  /** For tests: the size in pages of 4,096 bytes at which the database counts as full. */
  readonly pageCountMax?: number
}

/** Bounds what one transaction holds up and what one message between the threads copies. */
const groupOperationsMax = 512
const groupCharactersMax = 8 * 1024 * 1024

/** A thread that has crashed is replaced at once; one that crashes again and again, after twice as long each time, up to the longest. */
const reopenAfterMs = 1_000
const reopenAfterMsMax = 30_000
/** A thread that has worked for so long has done so for good: the next crash is a first one. */
const soundAfterMs = 60_000

/**
 * Opens the durable store in one SQLite file.
 * @throws CodedError data_dir_unusable, data_dir_in_use, data_dir_newer, data_dir_corrupt, store_failed
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  return new SqliteStore(await startThread(options), options)
}

/** @throws as openSqliteStore. */
async function startThread({ file, pageCountMax }: SqliteStoreOptions): Promise<Worker> {
  const workerOptions: WorkerOptions = { file: resolvePath(file), pageCountMax }
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
    name: 'store',
    workerData: workerOptions,
    execArgv: [], // flags of the program, such as --eval, are not for this thread
  })
  const first = await firstMessage(worker)
  if (first.type === 'refused') throw errorOf(first.failure)
  return worker
}

/** A refusal is told when the thread has ended, so that the locks are free again. */
function firstMessage(worker: Worker): Promise<FromWorker> {
  return new Promise((resolve, reject) => {
    let cause: unknown
    const onError = (error: unknown) => {
      cause = error
    }
    const onExit = () => reject(new CodedError('store_failed', 'The database thread could not be started.', { cause }))
    worker.on('error', onError)
    worker.on('exit', onExit)
    worker.once('message', (message: FromWorker) => {
      worker.off('exit', onExit)
      if (message.type === 'refused') {
        worker.once('exit', () => resolve(message))
        return
      }
      worker.off('error', onError)
      resolve(message)
    })
  })
}

type Pending = {
  readonly operation: Operation
  /** Asked again of the next thread when this one ends: for what only reads, and has nobody who would ask again. */
  readonly isPatient: boolean
  /** Called with the result before anything of a later operation is told. */
  readonly resolve: (result: Results[keyof Results]) => void
  readonly reject: (error: Error) => void
}

/** Without a thread: since when it is being replaced, and whether that has failed. */
type Outage = { readonly cause: CodedError; readonly isLasting: boolean }

/**
 * The caller's side of the database thread. Operations are collected while a group is on its way, and go together as the next
 * group when its answers have come. Watchers are fed from those answers, in commit order: every change of the file passes here.
 *
 * A thread that ends by itself is replaced. What it had been asked is rejected with `store_restarting` (it may have been done, or not),
 * what waits goes to the next thread, and watchers are told of a gap. While no thread can be started everything is rejected at once.
 *
 * Owned by app.ts; owns the thread.
 */
class SqliteStore implements Store {
  readonly #options: SqliteStoreOptions
  readonly #clock: Clock
  readonly #watchLimits: WatchLimits
  readonly #feeds = new Set<WatchFeed>()
  #worker: Worker | undefined
  #openedAtMs = 0
  #crashes = 0
  #outage: Outage | undefined
  /** The attempt to start the next thread, or the wait for it. Never rejects. */
  #reopening: Promise<void> | undefined
  readonly #closed = new AbortController()
  #waiting: Pending[] = []
  #underway: readonly Pending[] = []
  #isSendScheduled = false
  #onIdle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(worker: Worker, options: SqliteStoreOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#watchLimits = options.watchLimits ?? watchLimits
    this.#adopt(worker)
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key)
    return this.#ask({ type: 'get', key })
  }

  async put(
    key: string,
    value: string,
    expected: Revision | 'absent' | 'any',
    options?: PutOptions,
  ): Promise<Revision> {
    checkKey(key)
    checkValue(value)
    // A lone surrogate has no UTF-8: what is told to watchers must be what a restart reads back.
    const text = value.toWellFormed()
    return this.#ask({ type: 'put', key, value: text, expected, durable: isDurable(options) }, (revision) =>
      this.#tell({ type: 'put', entry: { key, value: text, revision } }),
    )
  }

  async delete(key: string, expected: Revision | 'any', options?: PutOptions): Promise<Revision> {
    checkKey(key)
    return this.#ask({ type: 'delete', key, expected, durable: isDurable(options) }, (revision) =>
      this.#tell({ type: 'delete', key, revision }),
    )
  }

  async list(prefix: string): Promise<Entry[]> {
    checkPrefix(prefix)
    return this.#ask({ type: 'list', prefix })
  }

  async *watch(prefix: string, signal: AbortSignal): AsyncGenerator<WatchEvent, void, undefined> {
    checkPrefix(prefix)
    this.#refuseIfClosed()
    if (signal.aborted) return
    const feed = new WatchFeed(prefix, this.#watchLimits)
    const end = () => feed.end()
    signal.addEventListener('abort', end, { once: true })
    this.#feeds.add(feed)
    try {
      while (!feed.hasEnded) {
        // Begun when the answer arrives, so that the list and the changes after it leave nothing out between them.
        const entries = await this.#ask({ type: 'list', prefix }, () => feed.begin(), true)
        for (const entry of entries) {
          if (!feed.isListening) break
          yield { type: 'put', entry }
        }
        if (feed.isListening) yield { type: 'upToDate' }
        let change = await feed.next()
        while (change !== 'gap') {
          if (change === undefined) return
          yield change
          change = await feed.next()
        }
        yield { type: 'gap' }
      }
      await feed.next() // throws what ended it
    } finally {
      signal.removeEventListener('abort', end)
      this.#feeds.delete(feed)
    }
  }

  async acquire(name: string, holder: string, durationMs: number): Promise<Lease | undefined> {
    checkKey(name)
    return this.#ask({ type: 'acquire', name, holder, now: this.#clock.now(), durationMs })
  }

  async renew({ name, epoch }: Lease, holder: string, durationMs: number): Promise<Lease | undefined> {
    checkKey(name)
    return this.#ask({ type: 'renew', name, epoch, holder, now: this.#clock.now(), durationMs })
  }

  async release({ name, epoch }: Lease, holder: string): Promise<void> {
    checkKey(name)
    await this.#ask({ type: 'release', name, epoch, holder })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const feed of this.#feeds) feed.end()
    await this.#flushed()
    this.#closed.abort()
    await this.#reopening
    const worker = this.#worker
    if (worker === undefined) return
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    this.#post({ type: 'close' })
    await ended
  }

  /** Without a thread there is nobody to wait for. */
  async #flushed(): Promise<void> {
    while (this.#worker !== undefined && (this.#waiting.length > 0 || this.#underway.length > 0)) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    for (const { reject } of this.#waiting.splice(0)) reject(new CodedError('store_closed'))
  }

  #adopt(worker: Worker): void {
    let cause: unknown
    this.#worker = worker
    this.#openedAtMs = this.#clock.monotonicMs()
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'answers') this.#settle(message.answers)
    })
    worker.on('error', (error) => {
      cause = error
    })
    worker.once('exit', (status) => {
      this.#worker = undefined
      if (!this.#closed.signal.aborted) this.#crashed(cause ?? new Error(`the thread exited with status ${status}`))
    })
  }

  #crashed(cause: unknown): void {
    const isSound = this.#clock.monotonicMs() - this.#openedAtMs >= soundAfterMs
    this.#crashes = isSound ? 1 : this.#crashes + 1
    const error = new CodedError('store_restarting', undefined, { cause })
    this.#outage = { cause: error, isLasting: false }
    const underway = this.#underway
    this.#underway = []
    this.#waiting.unshift(...underway.filter(({ isPatient }) => isPatient))
    for (const { isPatient, reject } of underway) if (!isPatient) reject(error)
    for (const feed of this.#feeds) feed.miss()
    this.#onIdle?.()
    this.#options.onCrash?.(error)
    if (this.#closing === undefined) this.#reopening = this.#reopen()
  }

  async #reopen(): Promise<void> {
    const { signal } = this.#closed
    for (let attempts = this.#crashes - 1; !signal.aborted; attempts++) {
      if (attempts > 0) {
        const delayMs = Math.min(reopenAfterMsMax, reopenAfterMs * 2 ** Math.min(attempts - 1, 10))
        await sleep(this.#clock, delayMs, signal).catch(() => {})
        if (signal.aborted) return
      }
      try {
        this.#adopt(await startThread(this.#options))
      } catch (error) {
        this.#failedToReopen(error as CodedError)
        continue
      }
      this.#outage = undefined
      this.#options.onReopened?.()
      this.#sendGroup()
      return
    }
  }

  #failedToReopen(cause: CodedError): void {
    const error = new CodedError('store_failed', `The database cannot be opened again: ${cause.message}`, { cause })
    this.#outage = { cause: error, isLasting: true }
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ isPatient }) => isPatient)
    for (const { isPatient, reject } of waiting) if (!isPatient) reject(error)
    this.#options.onCrash?.(error)
  }

  #ask<Type extends keyof Results>(
    operation: Operation & { readonly type: Type },
    onResult?: (result: Results[Type]) => void,
    isPatient = false,
  ): Promise<Results[Type]> {
    return new Promise((resolve, reject) => {
      this.#refuseIfClosed()
      if (this.#outage?.isLasting && !isPatient) throw this.#outage.cause
      this.#waiting.push({
        operation,
        isPatient,
        resolve: (result) => {
          // The thread answers an operation with a result of its type.
          onResult?.(result as Results[Type])
          resolve(result as Results[Type])
        },
        reject,
      })
      if (this.#isSendScheduled || this.#underway.length > 0) return
      this.#isSendScheduled = true
      queueMicrotask(() => {
        this.#isSendScheduled = false
        this.#sendGroup()
      })
    })
  }

  #sendGroup(): void {
    if (this.#worker === undefined || this.#underway.length > 0 || this.#waiting.length === 0) return
    let count = 0
    let characters = 0
    for (const { operation } of this.#waiting) {
      if (count === groupOperationsMax || characters > groupCharactersMax) break
      count += 1
      if (operation.type === 'put') characters += operation.value.length
    }
    this.#underway = this.#waiting.splice(0, count)
    this.#post({ type: 'group', operations: this.#underway.map(({ operation }) => operation) })
  }

  #settle(answers: readonly Answer[]): void {
    const settled = this.#underway
    this.#underway = []
    this.#sendGroup()
    for (const [index, { resolve, reject }] of settled.entries()) {
      const answer = answers[index]
      if (answer === undefined) reject(new CodedError('store_failed', 'The database thread left an operation out.'))
      else if ('failure' in answer) reject(errorOf(answer.failure))
      else resolve(answer.result)
    }
    if (this.#underway.length === 0) this.#onIdle?.()
  }

  #tell(change: Change): void {
    for (const feed of this.#feeds) feed.offer(change)
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw new CodedError('store_closed')
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message)
  }
}

const keyPattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/

function checkKey(key: string): void {
  if (!keyPattern.test(key)) throw new CodedError('key_invalid')
}

function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix)
}

function checkValue(value: string): void {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if (value.length * 3 > valueBytesMax && Buffer.byteLength(value) > valueBytesMax) {
    throw new CodedError('value_too_large')
  }
}

function isDurable(options: PutOptions | undefined): boolean {
  return options?.durability !== 'relaxed'
}

function errorOf({ code, message, cause }: Failure): CodedError {
  return new CodedError(code, message, cause === undefined ? undefined : { cause: new Error(cause) })
}
