import { resolve as resolvePath } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
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
  /** The database thread ended by itself. Whatever waited was rejected, and so is all that follows: start anew. */
  readonly onCrash?: (error: CodedError<'store_failed'>) => void
  readonly watchLimits?: WatchLimits
  /** For tests: the size in pages of 4,096 bytes at which the database counts as full. */
  readonly pageCountMax?: number
}

/** Bounds what one transaction holds up and what one message between the threads copies. */
const groupOperationsMax = 512
const groupCharactersMax = 8 * 1024 * 1024

/**
 * Opens the durable store in one SQLite file.
 * @throws CodedError data_dir_unusable, data_dir_in_use, data_dir_newer, data_dir_corrupt, store_failed
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const workerOptions: WorkerOptions = { file: resolvePath(options.file), pageCountMax: options.pageCountMax }
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
    name: 'store',
    workerData: workerOptions,
    execArgv: [], // flags of the program, such as --eval, are not for this thread
  })
  const first = await firstMessage(worker)
  if (first.type === 'refused') throw errorOf(first.failure)
  return new SqliteStore(worker, options)
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
  /** Called with the result before anything of a later operation is told. */
  readonly resolve: (result: Results[keyof Results]) => void
  readonly reject: (error: Error) => void
}

/**
 * The caller's side of the database thread. Operations are collected while a group is on its way, and go together as the next
 * group when its answers have come. Watchers are fed from those answers, in commit order: every change of the file passes here.
 *
 * Owned by app.ts; owns the thread.
 */
class SqliteStore implements Store {
  readonly #worker: Worker
  readonly #clock: Clock
  readonly #watchLimits: WatchLimits
  readonly #feeds = new Set<WatchFeed>()
  #waiting: Pending[] = []
  #underway: readonly Pending[] = []
  #isSendScheduled = false
  #onIdle: (() => void) | undefined
  #closing: Promise<void> | undefined
  #crash: CodedError<'store_failed'> | undefined

  constructor(worker: Worker, options: SqliteStoreOptions) {
    this.#worker = worker
    this.#clock = options.clock
    this.#watchLimits = options.watchLimits ?? watchLimits
    let cause: unknown
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'answers') this.#settle(message.answers)
    })
    worker.on('error', (error) => {
      cause = error
    })
    worker.on('exit', (status) => {
      if (this.#closing !== undefined && this.#underway.length === 0 && this.#waiting.length === 0) return
      this.#fail(cause ?? new Error(`the thread exited with status ${status}`))
      if (this.#crash !== undefined) options.onCrash?.(this.#crash)
    })
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
        const entries = await this.#ask({ type: 'list', prefix }, () => feed.begin())
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
    if (this.#crash !== undefined) return
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve))
    await this.#flushed()
    this.#post({ type: 'close' })
    await ended
  }

  async #flushed(): Promise<void> {
    while (this.#waiting.length > 0 || this.#underway.length > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
  }
  #ask<Type extends keyof Results>(
    operation: Operation & { readonly type: Type },
    onResult?: (result: Results[Type]) => void,
  ): Promise<Results[Type]> {
    return new Promise((resolve, reject) => {
      this.#refuseIfClosed()
      this.#waiting.push({
        operation,
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
    if (this.#underway.length > 0 || this.#waiting.length === 0) return
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

  #fail(cause: unknown): void {
    this.#crash = new CodedError('store_failed', 'The database thread ended unexpectedly. Restart the server.', {
      cause,
    })
    const rejected = [...this.#underway, ...this.#waiting]
    this.#underway = []
    this.#waiting = []
    for (const { reject } of rejected) reject(this.#crash)
    for (const feed of this.#feeds) feed.end(this.#crash)
    this.#onIdle?.()
  }

  #tell(change: Change): void {
    for (const feed of this.#feeds) feed.offer(change)
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw new CodedError('store_closed')
    if (this.#crash !== undefined) throw this.#crash
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message)
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
