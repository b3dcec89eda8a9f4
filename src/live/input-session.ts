import type { Bus } from '../bus/bus.ts'
import type { Cancel } from '../clock.ts'
import type { IngestErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { OutputId } from '../model/id.ts'
import { type InputState, inputTransitions, type OutputState } from '../model/lifecycle.ts'
import type { LiveInput, Output } from '../model/live-input.ts'
import type { InputFigures, LastError, ToldFigures } from '../model/status.ts'
import { Broadcast, type PublisherFeed } from './broadcast.ts'
import { codecWarnings } from './codec-warning.ts'
import { FeedHealth } from './feed-health.ts'
import { HeldPicture } from './held-picture.ts'
import type { MediaLogLimits } from './media-log.ts'
import { type Ending, type OutputParts, OutputSession } from './output-session.ts'
import { servePreviews } from './preview-stream.ts'
import { isLoop, relayIdOf } from './relay-path.ts'

/** An encoder's connection, as its input sees it. */
export interface Publisher {
  /** Through which live inputs its feed has come already, here and elsewhere: see relay-path.ts. */
  readonly relayPath?: readonly string[]
  /** Tells the encoder why and ends its connection. */
  cut(reason: IngestErrorCode): void
  /** Reads nothing more of it for a while. Only a publisher whose input belongs to another thread is asked to. */
  setPaused?(isPaused: boolean): void
}

export type InputParts = OutputParts & {
  readonly logLimits: MediaLogLimits
  readonly reconnectWindowMs: number
  readonly maxBitrateKbps: number
  /** Where people watch what arrives; absent: nowhere. */
  readonly previewBus?: Pick<Bus, 'serveStream'>
  readonly onInputChange: (input: LiveInput, state: InputState, returning: boolean) => void
  readonly onOutputChange: (input: LiveInput, output: Output, state: OutputState, lastError?: LastError) => void
  readonly lastErrorOf: (output: OutputId) => LastError | undefined
}

/** Without picture and sound for so long, a publisher has vanished, even if its socket is still there. */
const silenceMs = 5_000
/** A second encoder waits for its key frame for as long as it sends; with nothing at all it is cut after so long. */
const candidateSilenceMs = 30_000
/** At the end of a broadcast, an output that is behind has so long to send the rest. */
const drainMs = 5_000
/** Takeovers by encoders that both live: the third one in this time is refused, or they would fight for ever. */
const takeoverWindowMs = 60_000
const takeoversMax = 2
/** Outputs that do what they have been doing are told of once in so long: fifty of them cost as much as a fiftieth of what they send. */
const outputsToldEveryMs = 5_000
/** A warning is shown for so long after what it is about. */
const warningMs = 60_000

/** A publisher's place in its input: what it feeds, and how it leaves. */
export type Seat = {
  readonly feed: PublisherFeed
  /** `goodbye`: the encoder said that it ends. `vanished`: the connection broke, or was closed without a word. */
  leave(how: 'goodbye' | 'vanished'): void
}

type Seated = { readonly publisher: Publisher; readonly feed: PublisherFeed; lastMediaMs: number; frames: number }

/**
 * One live input, as it runs: its state, its one publisher (and one that is about to take over), its broadcast, its outputs. Made by the
 * supervisor when there is a wish for it; `update()` with every change of the wish; `close()` when it is deleted or the server
 * ends.
 *
 * Closing order: publisher, outputs (goodbye), broadcast.
 */
export class InputSession {
  readonly #parts: InputParts
  readonly #log: Log
  #wish: LiveInput
  #state: InputState = { name: 'disconnected' }
  #broadcast: Broadcast | undefined
  #stopPreviews = () => {}
  #health: FeedHealth | undefined
  #publisher: Seated | undefined
  /** Connected and not let in yet: waits for its first key frame. */
  #candidate: Seated | undefined
  #cancelHold: Cancel | undefined
  #heldPicture: HeldPicture | undefined
  readonly #outputs = new Map<OutputId, OutputSession>()
  /** Outputs on their way out, all of each that have not gone; a successor of the same output waits for them. */
  readonly #leaving = new Map<OutputId, { readonly sessions: readonly OutputSession[]; readonly gone: Promise<void> }>()
  /** Bytes of this broadcast that are in `carried` already. */
  #receivedCounted = 0
  #outputsToldMs = Number.NEGATIVE_INFINITY
  /** Other ones than when they were told. */
  #areOutputsOthers = false
  readonly #takeovers: number[] = []
  /** Through which inputs the feed has come: of the publisher that is, or was last. */
  #cameThrough: readonly string[] = []
  readonly #warnings = new Map<string, { readonly code: string; readonly message: string; readonly untilMs: number }>()

  constructor(wish: LiveInput, parts: InputParts) {
    this.#wish = wish
    this.#parts = parts
    this.#log = parts.log.child({ inputId: wish.uid })
  }

  get wish(): LiveInput {
    return this.#wish
  }
  get state(): InputState {
    return this.#state
  }
  /** Nothing runs: no encoder, no broadcast, no output that is still saying goodbye. */
  get isAtRest(): boolean {
    return this.#broadcast === undefined && this.#publisher === undefined && this.#leaving.size === 0
  }

  /** @returns the publisher's seat, or why it may not have one. */
  seat(publisher: Publisher): Seat | { readonly refused: IngestErrorCode } {
    if (!this.#wish.enabled) return { refused: 'input_disabled' }
    if (isLoop(publisher.relayPath ?? [], this.#wish)) return { refused: 'feed_loops' }
    const now = this.#parts.clock.monotonicMs()
    const present = this.#publisher
    if (present !== undefined && now - present.lastMediaMs < silenceMs) {
      while (this.#takeovers.length > 0 && now - this.#takeovers[0]! > takeoverWindowMs) this.#takeovers.shift()
      if (this.#takeovers.length >= takeoversMax) {
        this.#warn(
          'encoders_fight',
          'Two encoders publish with the same stream key and take over from one another. Stop one of them.',
        )
        return { refused: 'publisher_replaced' }
      }
    }
    this.#broadcast ??= this.#open()
    const feed = this.#broadcast.feed()
    const seated: Seated = { publisher, feed, lastMediaMs: now, frames: 0 }
    feed.onAdmitted = () => this.#admit(seated)
    if (feed.admitted) this.#admit(seated)
    else {
      this.#candidate?.publisher.cut('publisher_replaced')
      this.#candidate = seated
    }
    return { feed, leave: (how) => this.#leave(seated, how) }
  }

  /** A change of the wish: keys that were rotated and disabling cut the publisher; outputs come and go. */
  update(wish: LiveInput): void {
    const before = this.#wish
    this.#wish = wish
    if (!wish.streamKey.equals(before.streamKey.reveal())) this.#cutPublishers('keys_rotated')
    if (!wish.enabled && before.enabled) {
      this.#cutPublishers('input_disabled')
      this.#endBroadcast({ atEdge: false, withinMs: goodbyeNowMs, state: 'idle' })
    }
    this.#hurryUnwanted(before)
    this.#reconcileOutputs()
  }

  /** Ends everything. Resolves when the destinations have been told or cut. */
  async close(reason: IngestErrorCode, withinMs: number): Promise<void> {
    const ending: Ending = { atEdge: withinMs > goodbyeNowMs, withinMs, state: 'idle' }
    // Outputs of a broadcast that has just ended may have more time than there is now.
    const leaving = [...this.#leaving.values()]
    this.#cutPublishers(reason)
    this.#endBroadcast(ending)
    for (const { sessions } of leaving) for (const session of sessions) void session.stop(ending)
    await Promise.all([...this.#leaving.values()].map(({ gone }) => gone))
  }

  retryOutput(output: OutputId): boolean {
    return this.#outputs.get(output)?.retryNow() ?? false
  }

  /** Once a second. @param isWatched somebody looks at the outputs' figures. @returns the figures, or undefined when the input is not live. */
  tick(isWatched: boolean): ToldFigures | undefined {
    const { clock } = this.#parts
    const now = clock.monotonicMs()
    for (const seated of [this.#publisher, this.#candidate]) {
      if (seated === undefined || seated.feed.frames === seated.frames) continue
      seated.frames = seated.feed.frames
      seated.lastMediaMs = now
    }
    for (const [code, { untilMs }] of this.#warnings) if (now >= untilMs) this.#warnings.delete(code)
    const publisher = this.#publisher
    if (this.#state.name === 'connected' && publisher !== undefined && now - publisher.lastMediaMs >= silenceMs)
      this.#hold()
    else if (this.#state.name === 'held' && publisher?.feed.admitted && now - publisher.lastMediaMs < 1_000)
      this.#connect()
    const candidate = this.#candidate
    if (candidate !== undefined && now - candidate.lastMediaMs >= candidateSilenceMs)
      candidate.publisher.cut('publisher_idle')
    if (this.#broadcast === undefined || this.#health === undefined) return undefined
    for (const output of this.#outputs.values()) output.tick(now)
    this.#health.tick(now)
    this.#countReceived(this.#health)
    return {
      accountId: this.#wish.accountId,
      inputId: this.#wish.uid,
      at: new Date(clock.now()).toISOString(),
      input: this.#health.health([
        ...[...this.#warnings.values()].map(({ code, message }) => ({ code, message })),
        ...codecWarnings(this.#broadcast.codecs.video, this.#wish.outputs),
      ]),
      ...((isWatched || this.#haveOutputsNews(now)) && { outputs: this.#tellOutputs(now) }),
    }
  }

  #countReceived({ bytesReceived }: FeedHealth): void {
    this.#parts.carried.bytesReceived += bytesReceived - this.#receivedCounted
    this.#receivedCounted = bytesReceived
  }

  #haveOutputsNews(nowMs: number): boolean {
    if (this.#areOutputsOthers || nowMs - this.#outputsToldMs >= outputsToldEveryMs) return true
    for (const { hasNews } of this.#outputs.values()) if (hasNews) return true
    return false
  }

  #tellOutputs(nowMs: number): InputFigures['outputs'] {
    this.#outputsToldMs = nowMs
    this.#areOutputsOthers = false
    return Object.fromEntries([...this.#outputs].map(([id, output]) => [id, output.health()]))
  }

  #open(): Broadcast {
    const { pool, logLimits, pump } = this.#parts
    this.#health = new FeedHealth(this.#parts.clock, this.#parts.maxBitrateKbps)
    this.#receivedCounted = 0
    const broadcast = new Broadcast(pool, logLimits, pump, this.#health)
    const { previewBus } = this.#parts
    if (previewBus !== undefined) this.#stopPreviews = servePreviews(previewBus, this.#wish.uid, broadcast)
    // Outputs connect when there is something to send, and it is known what: destinations are told of Enhanced RTMP in connect.
    const stop = broadcast.listen({
      onAppended: () => {
        if (!broadcast.hasMedia) return
        stop()
        this.#reconcileOutputs()
      },
      onFormatChanged: () => {},
    })
    return broadcast
  }

  #admit(seated: Seated): void {
    const before = this.#publisher
    if (this.#candidate === seated) this.#candidate = undefined
    if (before !== undefined && before !== seated) {
      const now = this.#parts.clock.monotonicMs()
      if (now - before.lastMediaMs < silenceMs) this.#takeovers.push(now)
      before.feed.end()
      before.publisher.cut('publisher_replaced')
    }
    this.#publisher = seated
    this.#cameThrough = seated.publisher.relayPath ?? []
    for (const output of this.#outputs.values()) output.rerouted()
    seated.lastMediaMs = this.#parts.clock.monotonicMs()
    this.#connect()
    this.#reconcileOutputs()
  }

  #leave(seated: Seated, how: 'goodbye' | 'vanished'): void {
    seated.feed.end()
    if (this.#candidate === seated) {
      this.#candidate = undefined
      return
    }
    if (this.#publisher !== seated) return
    this.#publisher = undefined
    if (this.#state.name === 'held' && how === 'vanished') return
    // Another encoder is there and waits for its key frame: the broadcast is handed over to it.
    const windowMs = this.#windowMs(this.#candidate === undefined ? how : 'vanished')
    if (windowMs > 0) this.#hold(windowMs)
    else this.#endBroadcast({ atEdge: true, withinMs: drainMs, state: 'idle' })
  }

  #windowMs(how: 'goodbye' | 'vanished'): number {
    const { reconnectWindowSeconds, reconnectWindowOnStopSeconds } = this.#wish
    if (how === 'goodbye') return (reconnectWindowOnStopSeconds ?? 0) * 1000
    return reconnectWindowSeconds === undefined ? this.#parts.reconnectWindowMs : reconnectWindowSeconds * 1000
  }

  #connect(): void {
    this.#cancelHold?.()
    this.#cancelHold = undefined
    this.#letPictureGo()
    const returning = this.#state.name === 'held'
    this.#become({ name: 'connected' }, returning)
  }

  #hold(windowMs = this.#windowMs('vanished')): void {
    const end = () => {
      this.#publisher?.feed.end()
      this.#publisher?.publisher.cut('publisher_idle')
      this.#publisher = undefined
      this.#endBroadcast({ atEdge: true, withinMs: drainMs, state: 'idle' })
    }
    if (windowMs <= 0) {
      end()
      return
    }
    this.#cancelHold?.()
    this.#cancelHold = this.#parts.clock.after(windowMs, end)
    if (this.#wish.holdPicture && this.#broadcast !== undefined) {
      this.#heldPicture ??= new HeldPicture(this.#broadcast, this.#parts.clock)
      // What is repeated is no reference for the frames of an encoder that goes on: it is let in again at a key frame.
      this.#publisher?.feed.suspend()
    }
    this.#become({ name: 'held', until: this.#parts.clock.now() + windowMs }, false)
  }

  #cutPublishers(reason: IngestErrorCode): void {
    for (const seated of [this.#candidate, this.#publisher]) {
      seated?.feed.end()
      seated?.publisher.cut(reason)
    }
    this.#candidate = undefined
    this.#publisher = undefined
    if (this.#state.name === 'connected' && reason === 'keys_rotated')
      this.#endBroadcast({ atEdge: true, withinMs: drainMs, state: 'idle' })
  }

  #letPictureGo(): void {
    this.#heldPicture?.stop()
    this.#heldPicture = undefined
  }

  #endBroadcast(ending: Ending): void {
    this.#cancelHold?.()
    this.#cancelHold = undefined
    this.#letPictureGo()
    const broadcast = this.#broadcast
    if (broadcast === undefined) return
    if (this.#health !== undefined) this.#countReceived(this.#health)
    this.#broadcast = undefined
    this.#health = undefined
    // They are of this broadcast: who fights for the next one is warned of anew.
    this.#warnings.clear()
    broadcast.finish()
    this.#stopPreviews()
    const gone = [...this.#outputs.keys()].map((id) => this.#stopOutput(id, ending))
    void Promise.all(gone).then(() => broadcast.close())
    this.#become({ name: 'disconnected' }, false)
    const candidate = this.#candidate
    if (candidate === undefined) return
    // An encoder that still waits for its first key frame begins a broadcast of its own.
    this.#broadcast = this.#open()
    candidate.feed.enter(this.#broadcast)
    this.#admit(candidate)
  }

  /** Makes the running outputs those of the wish. Nothing is touched that stays as it is. */
  #reconcileOutputs(): void {
    const wanted = new Map(this.#wish.outputs.map((output) => [output.uid, output]))
    for (const [id, session] of this.#outputs) {
      const output = wanted.get(id)
      // Its name and what it sends again after a break are no reason to connect anew.
      if (output?.enabled && sameDestination(output, session.output)) session.output = output
      else
        void this.#stopOutput(id, {
          atEdge: false,
          withinMs: goodbyeNowMs,
          state: output?.enabled === false ? 'disabled' : 'idle',
        })
    }
    if (!this.#broadcast?.hasMedia || !this.#wish.enabled) return
    for (const output of wanted.values())
      if (output.enabled && !this.#outputs.has(output.uid)) this.#startOutput(output, this.#broadcast)
  }

  #startOutput(output: Output, broadcast: Broadcast): void {
    const parts = this.#parts
    const session = new OutputSession(
      output,
      broadcast,
      { ...parts, log: this.#log },
      {
        onChange: (state, lastError) => parts.onOutputChange(this.#wish, output, state, lastError),
        isHeld: () => this.#state.name === 'held',
        relayPath: () => [...this.#cameThrough, relayIdOf(this.#wish)],
      },
      parts.lastErrorOf(output.uid),
    )
    this.#outputs.set(output.uid, session)
    this.#areOutputsOthers = true
    // The same destination twice at once would be refused there: its predecessor says goodbye first.
    const predecessor = this.#leaving.get(output.uid)?.gone
    if (predecessor === undefined) session.start()
    else void predecessor.then(() => session.start())
  }

  #stopOutput(id: OutputId, ending: Ending): Promise<void> {
    const session = this.#outputs.get(id)
    if (session === undefined) return Promise.resolve()
    this.#outputs.delete(id)
    this.#areOutputsOthers = true
    // One that still waits for its predecessor ends at once; whoever comes after it waits for that predecessor, too.
    const before = this.#leaving.get(id)
    const gone = Promise.all([before?.gone, session.stop(ending)]).then(() => {
      if (this.#leaving.get(id)?.gone === gone) this.#leaving.delete(id)
    })
    this.#leaving.set(id, { sessions: [...(before?.sessions ?? []), session], gone })
    return gone
  }

  /** After a broadcast's end its outputs may still send the rest; those that a change of the wish takes away now may not. */
  #hurryUnwanted(before: LiveInput): void {
    if (this.#leaving.size === 0 || !before.enabled) return
    const wanted = new Map(this.#wish.outputs.map((output) => [output.uid, output]))
    for (const output of before.outputs) {
      const now = wanted.get(output.uid)
      if (!output.enabled || (this.#wish.enabled && now?.enabled && sameDestination(now, output))) continue
      for (const session of this.#leaving.get(output.uid)?.sessions ?? [])
        void session.stop({ atEdge: false, withinMs: goodbyeNowMs, state: 'idle' })
    }
  }

  #warn(code: string, message: string): void {
    this.#warnings.set(code, { code, message, untilMs: this.#parts.clock.monotonicMs() + warningMs })
    this.#log.warn({ code }, 'live input warning')
  }

  #become(state: InputState, returning: boolean): void {
    const from = this.#state.name
    if (from === state.name || !inputTransitions[from].includes(state.name)) return
    this.#state = state
    this.#log.info({ from, to: state.name }, 'live input state changed')
    this.#parts.onInputChange(this.#wish, state, returning)
  }
}

/** A removed output is gone within a second: see OutputSession. */
const goodbyeNowMs = 500

function sameDestination(a: Output, b: Output): boolean {
  return (
    a.url === b.url &&
    a.streamKey.equals(b.streamKey.reveal()) &&
    a.username === b.username &&
    (a.password?.reveal() ?? '') === (b.password?.reveal() ?? '') &&
    a.tls?.verify === b.tls?.verify &&
    a.tls?.fingerprint === b.tls?.fingerprint
  )
}
