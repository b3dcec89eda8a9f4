import type { Worker } from 'node:worker_threads'
import type { InProcessBus } from '../bus/in-process-bus.ts'
import { serveBus } from '../bus/port-bus.ts'
import type { Cancel, Clock } from '../clock.ts'
import type { Resolve } from '../destination/dial.ts'
import type { IngestErrorCode } from '../errors.ts'
import type { Engine, EngineReports, RelayEnd } from '../live/media-engine.ts'
import type { Supervisor } from '../live/supervisor.ts'
import type { Log } from '../log.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import type { LiveInput } from '../model/live-input.ts'
import { type LastError, mediaSubjects } from '../model/status.ts'
import { type CallsOfMain, type CallsOfThread, type ListenOrder, sendWish } from './calls.ts'
import { type SpawnData, type SpawnedThread, spawnThread } from './spawn.ts'
import { ThreadLink, withTransfer } from './thread-link.ts'

/** For a look-up that a thread has asked for. Outputs give up a little earlier; then it waits for a place no longer. */
const lookUpMs = 12_000
/** A thread that died so young is not replaced at once: whatever killed it may kill the next one. */
const youngMs = 5_000
/** For a thread to write its last words. */
const endMs = 1_000

export type MediaThreadsParts = {
  readonly count: number
  readonly data: SpawnData
  /** Begun already, by index. */
  readonly spawned: readonly SpawnedThread[]
  readonly bus: InProcessBus
  readonly supervisor: Supervisor
  readonly resolve: Resolve
  readonly clock: Clock
  readonly log: Log
}

/**
 * The threads that carry media, as the main thread sees them: an Engine for each, given to the supervisor; listeners on ports that
 * they share; and a new thread in place of one that has died. Owned by the app.
 */
export class MediaThreads {
  readonly #parts: MediaThreadsParts
  readonly #engines: ThreadEngine[] = []
  readonly #orders: ListenOrder[] = []
  readonly #waiting = new Set<Cancel>()
  #isListening = true
  #isClosing = false
  /** Threads that died and were replaced, since the start. */
  replaced = 0

  constructor(parts: MediaThreadsParts) {
    this.#parts = parts
    for (let index = 0; index < parts.count; index++)
      this.#engines.push(parts.supervisor.addEngine((reports) => this.#begin(index, reports, parts.spawned[index])))
  }

  /** On all threads. The port must be free: the system would let two servers share it. @throws the error of listen. */
  async listen(order: ListenOrder): Promise<void> {
    this.#orders.push(order)
    await Promise.all(this.#engines.map((engine) => engine.link.ask('listen', order)))
  }

  renewCertificate(port: number, tls: { readonly cert: string; readonly key: string }): void {
    const index = this.#orders.findIndex((order) => order.port === port)
    if (index >= 0) this.#orders[index] = { ...this.#orders[index]!, tls }
    for (const { link } of this.#engines) link.tell('renewCertificate', { port, ...tls })
  }

  stopListening(): void {
    this.#isListening = false
    for (const { link } of this.#engines) link.tell('stopListening', undefined)
  }

  /** After the supervisor has ended everything that runs. */
  async close(): Promise<void> {
    this.#isClosing = true
    for (const cancel of this.#waiting) cancel()
    await Promise.all(this.#engines.map((engine) => engine.close(this.#parts.clock)))
  }

  /** For tests: kills one, as running out of memory would. Resolves when it is dead. */
  async kill(index: number): Promise<void> {
    await this.#engines[index]!.worker.terminate()
  }

  #begin(index: number, reports: EngineReports, spawned?: SpawnedThread): ThreadEngine {
    const { data, bus, clock, log, resolve } = this.#parts
    const bornMs = clock.monotonicMs()
    const thread = spawned ?? spawnThread(index, data)
    serveBus(bus, thread.busPort)
    const engine = new ThreadEngine(thread.worker, {
      inputChanged: ({ account, input, state, returning }) => reports.inputChanged(account, input, state, returning),
      outputChanged: ({ account, input, output, state, lastError }) =>
        reports.outputChanged(account, input, output, state, lastError),
      figures: (figures) => reports.figures(figures),
      carried: (carried) => reports.carried(carried),
      async find({ input, presentedKey }) {
        const found = await reports.find(input, presentedKey)
        return found.at === 'elsewhere' ? withTransfer(found, [found.relay.port]) : found
      },
      relayEnded: (id) => reports.relayEnded(id),
      log: ({ level, fields, sentence }) => log[level](fields, sentence),
      resolve: (host) => resolve(host, AbortSignal.timeout(lookUpMs)),
    })
    engine.worker.on('error', (error) => log.error({ err: error, thread: index }, 'a media thread has crashed'))
    engine.worker.once('exit', () => {
      engine.link.cut()
      if (this.#isClosing) return
      const isYoung = clock.monotonicMs() - bornMs < youngMs
      log.error(
        { thread: index },
        'a media thread has ended; another one takes its place, and encoders come back to it',
      )
      const cancel = clock.after(isYoung ? youngMs : 0, () => {
        this.#waiting.delete(cancel)
        this.#replace(index, engine)
      })
      this.#waiting.add(cancel)
    })
    return engine
  }

  #replace(index: number, dead: ThreadEngine): void {
    const { supervisor, bus, log } = this.#parts
    this.replaced++
    bus.publish(mediaSubjects.replaced, null)
    const engine = supervisor.replaceEngine(dead, (reports) => this.#begin(index, reports))
    this.#engines[index] = engine
    if (!this.#isListening) return
    for (const order of this.#orders)
      engine.link
        .ask('listen', order)
        .catch((error) => log.error({ err: error, thread: index }, 'a new media thread cannot listen'))
  }
}

/** One media thread, as an Engine. What it cannot answer any more is answered for it. */
class ThreadEngine implements Engine {
  readonly worker: Worker
  readonly link: ThreadLink<CallsOfThread, CallsOfMain>
  readonly #exited: Promise<unknown>

  constructor(worker: Worker, calls: CallsOfMain) {
    this.worker = worker
    this.link = new ThreadLink<CallsOfThread, CallsOfMain>(this.worker, calls)
    this.#exited = new Promise((resolve) => this.worker.once('exit', resolve))
  }

  adopt(wish: LiveInput, lastErrors: readonly (readonly [OutputId, LastError])[]): void {
    this.link.tell('adopt', { wish: sendWish(wish), lastErrors })
  }

  update(wish: LiveInput): void {
    this.link.tell('update', sendWish(wish))
  }

  release(input: LiveInputId): Promise<boolean> {
    return this.link.ask('release', input).catch(() => false)
  }

  remove(input: LiveInputId, reason: IngestErrorCode, withinMs: number): Promise<void> {
    return this.link.ask('remove', { input, reason, withinMs }).catch(() => {})
  }

  retryOutput(input: LiveInputId, output: OutputId): Promise<boolean> {
    return this.link.ask('retryOutput', { input, output }).catch(() => false)
  }

  takeRelay(end: RelayEnd): void {
    this.link.tell('takeRelay', end, [end.port])
  }

  async close(clock: Clock): Promise<void> {
    this.link.tell('close', undefined)
    const late = new Promise<'late'>((resolve) => clock.after(endMs, () => resolve('late')))
    if ((await Promise.race([this.#exited, late])) === 'late') await this.worker.terminate()
  }
}
