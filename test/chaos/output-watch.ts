import { setTimeout as pause } from 'node:timers/promises'
import type { CreatedOutput, ServerUnderTest, WireStatus } from '../support/server.ts'

export type Health = {
  readonly attempts: number
  readonly reconnects: number
  readonly droppedMessages: number
  readonly droppedMs: number
  readonly lagMs: number
  readonly bytesSent: number
  readonly messagesSent: number
  readonly bitrateKbps: number
  readonly lastError?: { readonly code: string; readonly message: string; readonly at: string }
  readonly warning?: { readonly code: string; readonly message: string }
}

export type Moment = { readonly state: string; readonly reason: string; readonly atMs: number }

const everyMs = 250

/** Asks the API again and again how the outputs of an input are, as a dashboard does, and keeps what was said. */
export class OutputWatch implements AsyncDisposable {
  /** Of each output, as the API said last. */
  readonly newest = new Map<string, CreatedOutput>()
  /** The most memory that the server's process has had, bytes. */
  residentBytesMax = 0
  /** Outputs that were shown with a state and without a reason. */
  readonly withoutReason: string[] = []
  readonly #errors = new Map<string, string>()
  readonly #warnings = new Map<string, { readonly atMs: number; readonly messages: string[] }>()
  readonly #server: ServerUnderTest
  readonly #inputUid: string
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  #failure: unknown

  constructor(server: ServerUnderTest, inputUid: string) {
    this.#server = server
    this.#inputUid = inputUid
    this.#running = this.#run().catch((error: unknown) => {
      this.#failure = error
    })
  }

  health(uid: string): Health {
    return (this.newest.get(uid)?.['health'] ?? {}) as Health
  }

  current(uid: string): WireStatus['current'] | undefined {
    return (this.newest.get(uid)?.['status'] as WireStatus | null | undefined)?.current
  }

  /** All states that the output has been in, oldest first, with the time at which it entered them. */
  moments(uid: string): Moment[] {
    type Dated = { readonly state: string; readonly reason: string; readonly statusEnteredAt: string }
    const status = this.newest.get(uid)?.['status'] as unknown as
      | { current: Dated; history: Dated[] }
      | null
      | undefined
    if (!status) return []
    return [status.current, ...status.history]
      .map(({ state, reason, statusEnteredAt }) => ({ state, reason, atMs: Date.parse(statusEnteredAt) }))
      .reverse()
  }

  /** The sentence of the newest error with this code. */
  sentence(uid: string, code: string): string | undefined {
    return this.#errors.get(`${uid} ${code}`)
  }

  /** The warning with this code: when it was first seen, and all that it said. */
  warning(uid: string, code: string): { readonly atMs: number; readonly messages: readonly string[] } | undefined {
    return this.#warnings.get(`${uid} ${code}`)
  }

  /** @throws what made the watch fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
    if (this.#failure !== undefined) throw this.#failure
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      for (const output of await this.#server.outputs(this.#inputUid)) this.#see(output)
      this.residentBytesMax = Math.max(this.residentBytesMax, await this.#server.program.residentBytes())
      await pause(everyMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  #see(output: CreatedOutput): void {
    const { uid } = output
    this.newest.set(uid, output)
    const current = this.current(uid)
    if (current !== undefined && !current.reason) this.withoutReason.push(uid)
    const { lastError, warning } = this.health(uid)
    if (lastError) this.#errors.set(`${uid} ${lastError.code}`, lastError.message)
    if (!warning) return
    const key = `${uid} ${warning.code}`
    const known = this.#warnings.get(key)
    if (!known) this.#warnings.set(key, { atMs: Date.now(), messages: [warning.message] })
    else if (known.messages.at(-1) !== warning.message) known.messages.push(warning.message)
  }
}
