import type { SecureContextOptions } from 'node:tls'
import {
  type Behaviour,
  type Destination,
  type DestinationConnection,
  startDestination,
} from '../test/support/destination.ts'
import { readStamp } from '../test/support/synthetic-source.ts'

/** 0 ≤ x < 1 */
export type Random = () => number

/** Mulberry32: small, and the same everywhere for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const faultKinds = ['reset', 'stall', 'long stall', 'slow', 'down', 'refuses', 'silent', 'closes', 'floods'] as const
export type Faulty = (typeof faultKinds)[number]

type Offsets = { video?: number; audio?: number }

const audioFrameMs = (1_024 * 1_000) / 48_000

/** One output's destination over a soak: has faults, recovers from them, and keeps sums of what it was sent. */
export class SoakDestination implements AsyncDisposable {
  readonly isSteady: boolean
  isFaulty = false
  /** The most by which sound and picture were apart from where the encoder had put them. */
  driftMs = 0
  connections = 0
  messages = 0
  gaps = 0
  brokenGroups = 0
  violations = 0
  #destination: Destination
  readonly #tls: SecureContextOptions | undefined
  readonly #fps: number
  readonly #watcher: NodeJS.Timeout
  readonly #watched = new WeakSet<DestinationConnection>()

  private constructor(options: SoakOptions, destination: Destination) {
    this.isSteady = options.isSteady
    this.#destination = destination
    this.#tls = options.tls
    this.#fps = options.fps
    this.#watcher = setInterval(() => this.#look(), 10)
  }

  static async start(options: SoakOptions): Promise<SoakDestination> {
    return new SoakDestination(options, await startDestination(described(options.tls)))
  }

  get url(): string {
    return this.#destination.url(this.#tls === undefined ? '127.0.0.1' : 'secure.invalid')
  }

  /** Begins a fault that ends by itself. @returns which. */
  fail(random: Random): Faulty {
    const kind = faultKinds[Math.floor(random() * faultKinds.length)]!
    this.isFaulty = true
    const until = (durationMs: number, end: () => void) =>
      setTimeout(() => {
        end()
        this.isFaulty = false
      }, durationMs)
    const misbehave = (behaviour: Behaviour, durationMs: number) => {
      this.#destination.behaviour = behaviour
      this.#cut()
      until(durationMs, () => {
        this.#destination.behaviour = {}
        this.#cut()
      })
    }
    const stall = (durationMs: number) => {
      const stalled = this.#destination.publishing
      for (const connection of stalled) connection.stopReading()
      until(durationMs, () => {
        for (const connection of stalled) connection.resumeReading()
      })
    }
    switch (kind) {
      case 'reset':
        this.#cut()
        until(1_000, () => {})
        break
      case 'stall':
        stall(1_000 + random() * 7_000)
        break
      case 'long stall':
        stall(15_000 + random() * 15_000)
        break
      case 'slow':
        misbehave({ readKbps: 1_500 }, 25_000)
        break
      case 'down':
        void this.#goDown().then((comeBack) => until(2_000 + random() * 18_000, () => void comeBack()))
        break
      case 'refuses':
        misbehave({ answerPublish: 'bad_name' }, 3_000 + random() * 10_000)
        break
      case 'silent':
        misbehave({ silent: true }, 5_000 + random() * 10_000)
        break
      case 'closes':
        misbehave({ closeAfterPublishMs: 400 }, 3_000 + random() * 5_000)
        break
      case 'floods':
        misbehave({ floodCommandsPerSecond: 2_000 }, 3_000)
        break
      default:
        kind satisfies never
    }
    return kind
  }

  /** Adds up what has ended, and lets go of it; at the end, with what is still there. */
  count(): void {
    clearInterval(this.#watcher)
    for (const connection of this.#destination.connections) this.#add(connection)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#watcher)
    await this.#destination.stop()
  }

  #cut(): void {
    for (const connection of this.#destination.connections) if (connection.end === undefined) connection.reset()
  }

  async #goDown(): Promise<() => Promise<void>> {
    const { port } = this.#destination
    await this.#destination.stop()
    this.#look()
    return async () => {
      this.#destination = await startDestination({ ...described(this.#tls), port })
    }
  }

  #look(): void {
    const { connections } = this.#destination
    for (const connection of connections) {
      if (connection.end !== undefined) this.#add(connection)
      else if (!this.#watched.has(connection)) this.#watch(connection)
    }
    if (connections.some(({ end }) => end !== undefined)) this.#destination.forget()
  }

  #add({ key, counts, ledger, violations }: DestinationConnection): void {
    if (key !== undefined) this.connections++
    this.messages += counts.video + counts.audio
    this.gaps += ledger.gaps.length
    this.brokenGroups += ledger.brokenGroups.length
    this.violations += violations.length
    for (const violation of violations) process.stdout.write(`a destination objects: ${violation}\n`)
  }

  /** Each message says which of its encoder's it is: how far its time is moved must be the same for sound and picture. */
  #watch(connection: DestinationConnection): void {
    this.#watched.add(connection)
    const { ledger } = connection
    const observe = ledger.observe.bind(ledger)
    const ofSession = new Map<number, Offsets>()
    ledger.observe = (message) => {
      const stamp = readStamp(message)
      if (stamp !== undefined) {
        const sentAt = Math.round(stamp.sequence * (stamp.track === 'video' ? 1_000 / this.#fps : audioFrameMs))
        const offsets = ofSession.get(stamp.session) ?? {}
        offsets[stamp.track] = (message as unknown as { readonly timestamp: number }).timestamp - sentAt
        ofSession.set(stamp.session, offsets)
        if (offsets.video !== undefined && offsets.audio !== undefined)
          this.driftMs = Math.max(this.driftMs, Math.abs(offsets.video - offsets.audio))
      }
      return observe(message)
    }
  }
}

type SoakOptions = {
  readonly isSteady: boolean
  readonly tls: SecureContextOptions | undefined
  readonly fps: number
}

function described(tls: SecureContextOptions | undefined) {
  return { recording: 'counts' as const, ...(tls && { tls }) }
}
