import type { MessagePort } from 'node:worker_threads'
import type { Cancel } from '../clock.ts'
import type { IngestErrorCode } from '../errors.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import type { InputState, OutputState } from '../model/lifecycle.ts'
import type { LiveInput } from '../model/live-input.ts'
import type { Carried, LastError, ToldFigures } from '../model/status.ts'
import { liveInputOfKey } from '../model/stream-key.ts'
import type { Message } from '../rtmp/message.ts'
import type { Secret } from '../secret.ts'
import { CarriedCounter } from './carried-counter.ts'
import { type InputParts, InputSession, type Publisher } from './input-session.ts'
import { isWorthRelaying } from './placement.ts'
import { answerRelay, askOverRelay } from './relay.ts'
import type { HowLeft } from './relay-ring.ts'

/** What an engine tells the supervisor. Calls, in one thread; messages, from another: all that is said is plain data. */
export interface EngineReports {
  inputChanged(account: AccountId, input: LiveInputId, state: InputState, returning: boolean): void
  outputChanged(
    account: AccountId,
    input: LiveInputId,
    output: OutputId,
    state: OutputState,
    lastError: LastError | undefined,
  ): void
  figures(figures: ToldFigures): void
  carried(carried: Carried): void
  /** An encoder has come with a key of an input that is not here, or is at rest. @param presentedKey not yet known to be the right one. */
  find(input: LiveInputId, presentedKey: string): Promise<Found>
  /** This engine's end of a relay is over: it does not look at the ring any more. */
  relayEnded(id: number): void
  /** The figures of this second have been told. Seldom where there were none. */
  secondTold?(): void
}

export type Found =
  /** It is here: before this answer, `adopt` was called. */
  | { readonly at: 'here' }
  /** It is live in another engine, whose answer comes over the port: see relay.ts. */
  | { readonly at: 'elsewhere'; readonly relay: RelayEnd }
  | { readonly at: 'nowhere' }
  | { readonly at: 'refused'; readonly code: IngestErrorCode }

/** One end of the way of a publisher's messages from the engine at which it arrived to the one that has its input. */
export type RelayEnd = { readonly id: number; readonly port: MessagePort; readonly ring: SharedArrayBuffer }

/** What the supervisor asks of an engine, wherever it runs. An input is asked for only between `adopt` and `release` or `remove`. */
export interface Engine {
  adopt(wish: LiveInput, lastErrors: readonly (readonly [OutputId, LastError])[]): void
  update(wish: LiveInput): void
  /** Gives an input up, if nothing of it runs. @returns whether it did. */
  release(input: LiveInputId): Promise<boolean>
  /** Ends what runs of it; resolves when the destinations have been told or cut. */
  remove(input: LiveInputId, reason: IngestErrorCode, withinMs: number): Promise<void>
  retryOutput(input: LiveInputId, output: OutputId): Promise<boolean>
  /** An encoder that arrived elsewhere publishes to an input of this engine. */
  takeRelay(end: RelayEnd): void
}

/** A publisher's place, as its socket's session sees it, wherever the input is. */
export type PublisherSeat = {
  readonly inputId: LiveInputId
  /** @param message valid during the call. @returns whether it was media. */
  publish(message: Message): boolean
  leave(how: HowLeft): void
  /** Media, so far. */
  readonly bytes: number
  readonly messages: number
}

/** `inputId` where the key is one of an input, for the log. */
export type SeatRefused = { readonly refused: IngestErrorCode; readonly inputId?: LiveInputId }

/** Finds the place of a publisher. */
export interface Seats {
  /** @param candidateKeys what it presented, in the order in which they are tried. */
  seat(candidateKeys: readonly Secret[], publisher: Publisher): Promise<PublisherSeat | SeatRefused>
}

export type EngineParts = Omit<InputParts, 'onInputChange' | 'onOutputChange' | 'carried' | 'lastErrorOf'> & {
  readonly reports: EngineReports
}

const tickMs = 1_000
/** Somebody looks: for so long after each question all figures are told every second. */
const watchedMs = 10_000
/** An engine that carries nothing has little to tell. */
const idleTicksPerReport = 10

/**
 * Everything that carries media in one thread: the sessions of the inputs that the supervisor has given to it. Speaks to the rest through
 * its reports alone, so that it may run in a thread of its own.
 */
export class MediaEngine implements Engine, Seats {
  readonly #parts: EngineParts
  readonly #sessions = new Map<LiveInputId, InputSession>()
  readonly #lastErrors = new Map<OutputId, LastError>()
  #cancelTick: Cancel
  #watchedUntilMs = Number.NEGATIVE_INFINITY
  #idleTicks = 0
  readonly #carried = new CarriedCounter()

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#cancelTick = parts.clock.after(tickMs, this.#tick)
  }

  adopt(wish: LiveInput, lastErrors: readonly (readonly [OutputId, LastError])[]): void {
    for (const [output, error] of lastErrors) this.#lastErrors.set(output, error)
    this.#sessions.set(wish.uid, new InputSession(wish, this.#inputParts()))
  }

  update(wish: LiveInput): void {
    const session = this.#sessions.get(wish.uid)
    if (session === undefined) return
    const before = session.wish
    session.update(wish)
    const kept = new Set(wish.outputs.map(({ uid }) => uid))
    for (const { uid } of before.outputs) if (!kept.has(uid)) this.#lastErrors.delete(uid)
  }

  async release(input: LiveInputId): Promise<boolean> {
    const session = this.#sessions.get(input)
    if (session === undefined) return true
    if (!session.isAtRest) return false
    this.#forget(session)
    return true
  }

  async remove(input: LiveInputId, reason: IngestErrorCode, withinMs: number): Promise<void> {
    const session = this.#sessions.get(input)
    if (session === undefined) return
    this.#forget(session)
    await session.close(reason, withinMs)
  }

  async retryOutput(input: LiveInputId, output: OutputId): Promise<boolean> {
    return this.#sessions.get(input)?.retryOutput(output) ?? false
  }

  takeRelay(end: RelayEnd): void {
    answerRelay(
      end,
      () => this.#parts.pump.rest(),
      (presentedKey, publisher) => this.#seatHere(presentedKey, publisher),
      () => this.#parts.reports.relayEnded(end.id),
    )
  }

  async seat(candidateKeys: readonly Secret[], publisher: Publisher): Promise<PublisherSeat | SeatRefused> {
    for (const candidate of candidateKeys) {
      const presented = candidate.reveal()
      const uid = liveInputOfKey(presented)
      if (uid === undefined) continue
      const session = this.#sessions.get(uid)
      // One that is at rest may be better off in an engine that has less to do.
      if (session !== undefined && !(session.isAtRest && isWorthRelaying(session.wish))) {
        const here = this.#seatHere(presented, publisher)
        if (here !== undefined) return here
      }
      const found = await this.#parts.reports.find(uid, presented)
      switch (found.at) {
        case 'here': {
          const adopted = this.#seatHere(presented, publisher)
          if (adopted !== undefined) return adopted
          break
        }
        case 'elsewhere': {
          const { relay } = found
          const ended = () => this.#parts.reports.relayEnded(relay.id)
          const relayed = await askOverRelay(relay, presented, publisher, this.#parts.clock, ended)
          if (relayed !== undefined) return relayed
          break
        }
        case 'refused':
          return { refused: found.code }
        case 'nowhere':
          break
        default:
          found satisfies never
      }
    }
    return { refused: 'stream_key_unknown' }
  }

  /** Nothing more is told; whatever still runs has been removed before. */
  close(): void {
    this.#cancelTick()
  }

  /** @returns undefined when the key is not one of an input that is here. */
  #seatHere(presented: string, publisher: Publisher): PublisherSeat | SeatRefused | undefined {
    const uid = liveInputOfKey(presented)
    const session = uid === undefined ? undefined : this.#sessions.get(uid)
    if (session === undefined || !session.wish.streamKey.equals(presented)) return undefined
    const seat = session.seat(publisher)
    if ('refused' in seat) return { ...seat, inputId: session.wish.uid }
    const { feed } = seat
    return {
      inputId: session.wish.uid,
      publish: (message) => feed.publish(message),
      leave: (how) => seat.leave(how),
      get bytes() {
        return feed.bytes
      },
      get messages() {
        return feed.messages
      },
    }
  }

  #inputParts(): InputParts {
    const { reports } = this.#parts
    return {
      ...this.#parts,
      onInputChange: (input, state, returning) => reports.inputChanged(input.accountId, input.uid, state, returning),
      onOutputChange: (input, output, state, lastError) => {
        if (lastError !== undefined) this.#lastErrors.set(output.uid, lastError)
        reports.outputChanged(input.accountId, input.uid, output.uid, state, lastError)
      },
      carried: this.#carried,
      lastErrorOf: (output) => this.#lastErrors.get(output),
    }
  }

  #forget(session: InputSession): void {
    this.#sessions.delete(session.wish.uid)
    for (const { uid } of session.wish.outputs) this.#lastErrors.delete(uid)
  }

  /** Somebody looks at them. */
  readonly figuresWanted = (): void => {
    this.#watchedUntilMs = this.#parts.clock.monotonicMs() + watchedMs
  }

  readonly #tick = (): void => {
    this.#cancelTick = this.#parts.clock.after(tickMs, this.#tick)
    const isWatched = this.#parts.clock.monotonicMs() < this.#watchedUntilMs
    let isIdle = true
    for (const session of this.#sessions.values()) {
      try {
        const figures = session.tick(isWatched)
        if (figures === undefined) continue
        isIdle = false
        this.#parts.reports.figures(figures)
      } catch (error) {
        // The others have their second all the same.
        const inputId = session.wish.uid
        this.#parts.log.error(
          { inputId, err: error, code: 'internal_error' },
          'a live input failed by a mistake of ours',
        )
      }
    }
    const carried = this.#carried.take()
    if (carried !== undefined) this.#parts.reports.carried(carried)
    // The first idle second is told at once, or the busy one before it would stand for ten.
    if (!isIdle) this.#idleTicks = 0
    if (!isIdle || this.#idleTicks++ % idleTicksPerReport === 0) this.#parts.reports.secondTold?.()
  }
}
