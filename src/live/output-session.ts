import { type Clock, sleep } from '../clock.ts'
import type { AddressPolicy } from '../destination/address-policy.ts'
import { type Destination, parseDestination } from '../destination/destination-url.ts'
import type { Resolve } from '../destination/dial.ts'
import { CodedError, type OutputErrorCode, outputErrorCodes } from '../errors.ts'
import type { Log } from '../log.ts'
import { type OutputState, type OutputStateName, outputTransitions } from '../model/lifecycle.ts'
import type { Output } from '../model/live-input.ts'
import { type DropReason, dropReasons, type LastError, type OutputHealth } from '../model/status.ts'
import { capsExMasks, type EnhancedCapabilities, fourCcMasks } from '../rtmp/enhanced-capabilities.ts'
import { SaidByDestination } from '../rtmp/refusal.ts'
import type { Broadcast, LogForm, Missed } from './broadcast.ts'
import type { CarriedCounter } from './carried-counter.ts'
import { connectOutput, type OutputConnection } from './output-connection.ts'
import { OutputPace } from './output-pace.ts'
import { OutputSender } from './output-sender.ts'
import type { Pump } from './pump.ts'
import { closedEarlyMs, RetryPolicy, stablePublishMs } from './retry-policy.ts'
import type { SlabPool } from './slab-pool.ts'

/** What all outputs of a thread share. */
export type OutputParts = {
  readonly clock: Clock
  readonly pump: Pump
  readonly pool: SlabPool
  readonly resolve: Resolve
  readonly policy: AddressPolicy
  readonly maxLagMs: number
  readonly random: () => number
  readonly log: Log
  readonly carried: CarriedCounter
}

/** After Publish.Start, media must have been taken for so long before an output is called connected. */
const provingMs = 5_000
/** And not with a write that has waited for so long: the kernel takes some seconds of media for a peer that does not read. */
const provingGapMs = 1_000
/** Frames come one by one, and so does a second: what was sent may be so much less than the time that has passed. */
const mediaSlackMs = 1_000
/** An output that is further behind is told of every second. */
const newsLagMs = 1_000
/** Bytes wait and none is taken: the destination is dead, whatever its socket says. */
const noProgressMs = 10_000
/** A destination that used to acknowledge and has stopped, while it was sent several times what it used to wait for. */
const noAcknowledgementMs = 15_000
/** So many resets in a row, each so soon, are a refusal, too: a peer that closes before it has read everything resets. */
const earlyResetsMax = 5
/** A removed output is gone within a second: so long for what is pending, and so long for the peer's own close. */
const goodbyeMs = 500
const peerCloseMs = 400
/** At the end of a broadcast the kernels may hold seconds for a destination that is so far behind: it has the rest of its time to read them. */
const behindMs = 1_000
/** What was sent in less time is no rate: at the start it is what the destination is given at once. */
const rateMinMs = 500

/** How an output ends: `now` after the message under way, `atEdge` when all of the broadcast is out (at most so long). */
export type Ending = { readonly atEdge: boolean; readonly withinMs: number; readonly state: 'idle' | 'disabled' }
/** For a connection that is not wanted any more, while the output is. */
const goodbyeAtOnce: Ending = { atEdge: false, withinMs: goodbyeMs, state: 'idle' }

class Stopped extends Error {
  readonly ending: Ending

  constructor(ending: Ending) {
    super('the output was stopped')
    this.ending = ending
  }
}

/**
 * One output's life while its input is live: connects, sends, and connects again for as long as it is wanted. One attempt is one
 * function that ends; what comes next is decided outside of it.
 *
 * Lifecycle: the table in model/lifecycle.ts, through `#become` alone. Started by the input's session, which owns it; `stop()` ends
 * it and resolves when the destination has been told, or cut.
 */
export class OutputSession {
  /** The wish as it is now. A change that needs a new connection makes a new session. */
  output: Output
  readonly #parts: OutputParts
  readonly #broadcast: Broadcast
  readonly #onChange: (state: OutputState, lastError: LastError | undefined) => void
  readonly #isHeld: () => boolean
  readonly #relayPath: () => readonly string[]
  readonly #stop = new AbortController()
  readonly #retry: RetryPolicy
  readonly #log: Log
  #running: Promise<void> | undefined
  #state: OutputState = { name: 'idle' }
  #lastError: LastError | undefined
  #wake: AbortController | undefined
  #restart = new AbortController()
  /** On the log's clock: up to where the destination got the feed from the connection before this one. */
  #deliveredUntil = Number.NaN

  #connection: OutputConnection | undefined
  #sender: OutputSender | undefined
  #pace = new OutputPace()
  #isTooSlow = false
  #droppedBeforeTold = 0
  /** Something has happened since the last `health()` that is not more of the same. */
  hasNews = true
  #earlyResets = 0
  #publishedAtMs = Number.NaN
  #mediaSinceMs = Number.NaN
  #connectedAt: string | undefined

  /** What is in `carried` already. */
  #counted = { bytesSent: 0, droppedMessages: 0, dropped: { lag: 0, overtaken: 0, late: 0 } }
  // Of earlier connections of this session, so that figures go on.
  readonly #before = { bytesSent: 0, messagesSent: 0, droppedMessages: 0, droppedMs: 0 }
  readonly #droppedBefore = { lag: 0, overtaken: 0, late: 0 }
  #attempts = 0
  #reconnects = 0
  readonly #rate = { bytes: 0, atMs: Number.NaN, kbps: 0 }

  constructor(
    output: Output,
    broadcast: Broadcast,
    parts: OutputParts,
    events: {
      readonly onChange: (state: OutputState, lastError: LastError | undefined) => void
      /** The input waits for its publisher: what a destination does now is not held against it. */
      readonly isHeld: () => boolean
      /** Through which live inputs the feed comes, this one included. */
      readonly relayPath: () => readonly string[]
    },
    lastError?: LastError,
  ) {
    this.output = output
    this.#broadcast = broadcast
    this.#parts = parts
    this.#onChange = events.onChange
    this.#isHeld = events.isHeld
    this.#relayPath = events.relayPath
    this.#lastError = lastError
    this.#retry = new RetryPolicy(parts.random)
    this.#log = parts.log.child({ outputId: output.uid })
  }

  get state(): OutputState {
    return this.#state
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Ends the output; calling again may shorten the time that it has. Resolves when the destination has been told or cut; never rejects. */
  async stop(ending: Ending): Promise<void> {
    // The second time: less patience, and nothing more to say.
    const cut = () => this.#connection?.close()
    const cancel = this.#stop.signal.aborted ? this.#parts.clock.after(ending.withinMs, cut) : undefined
    this.#stop.abort(new Stopped(ending))
    await this.#running
    cancel?.()
  }

  /** Ends a wait for the next attempt at once. @returns whether there was one. */
  retryNow(): boolean {
    if (this.#wake === undefined) return false
    this.#wake.abort()
    return true
  }

  /**
   * The feed may come another way now. A destination that was told of a shorter one is connected to anew: a loop behind it could not be
   * found else. Happens when a server of ours takes an input over from an encoder, and to no platform.
   */
  rerouted(): void {
    const told = this.#connection?.relayPath
    if (told !== undefined && this.#relayPath().some((id) => !told.includes(id))) this.#restart.abort()
  }

  /** Once a second: what only time can show. Never throws. */
  tick(nowMs: number): void {
    try {
      this.#count()
      this.#observe(nowMs)
    } catch (error) {
      this.#connection?.fail(this.#mistake(error))
    }
  }

  #observe(nowMs: number): void {
    const sender = this.#sender
    const connection = this.#connection
    if (sender === undefined || connection === undefined) return
    const bytes = this.#before.bytesSent + sender.bytesSent
    if (nowMs - this.#rate.atMs >= rateMinMs) {
      const kbps = Math.round(((bytes - this.#rate.bytes) * 8) / (nowMs - this.#rate.atMs))
      if (kbps === 0 && this.#rate.kbps > 0) this.hasNews = true
      this.#rate.kbps = kbps
      this.#rate.bytes = bytes
      this.#rate.atMs = nowMs
    }
    if (sender.isWaiting && nowMs - sender.lastProgressMs >= noProgressMs) {
      connection.fail(stopped(`took no data for ${noProgressMs / 1000} s`))
      return
    }
    if (sender.delivery.hasStopped(sender.bytesSent, nowMs, noAcknowledgementMs)) {
      connection.fail(stopped(`acknowledged no data for ${noAcknowledgementMs / 1000} s`))
      return
    }
    this.#observePace(sender, nowMs)
    // Time in which the encoder sent nothing proves nothing.
    const { cursor } = sender
    const sentMs = cursor.timeOf(cursor.handedOutUntil)
    const proven = Math.min(nowMs - this.#mediaSinceMs, sentMs + mediaSlackMs)
    const idleMs = nowMs - sender.lastProgressMs
    const takes = idleMs < (sender.isWaiting ? provingGapMs : provingMs)
    if (this.#state.name === 'connecting' && proven >= provingMs && takes) {
      this.#connectedAt = new Date(this.#parts.clock.now()).toISOString()
      this.#become({ name: 'connected' })
    }
    if (proven >= stablePublishMs) this.#retry.succeeded()
    if (sender.lagMs >= newsLagMs || cursor.droppedMessages !== this.#droppedBeforeTold) this.hasNews = true
  }

  health(): OutputHealth {
    const sender = this.#sender
    const cursor = sender?.cursor
    const warning = this.#pace.warning()
    this.hasNews = false
    this.#droppedBeforeTold = cursor?.droppedMessages ?? 0
    return {
      bitrateKbps: sender === undefined ? 0 : this.#rate.kbps,
      bytesSent: this.#before.bytesSent + (sender?.bytesSent ?? 0),
      messagesSent: this.#before.messagesSent + (cursor?.messagesSent ?? 0),
      droppedMessages: this.#before.droppedMessages + (cursor?.droppedMessages ?? 0),
      droppedMs: Math.round(this.#before.droppedMs + (cursor?.droppedMs ?? 0)),
      dropped: added(this.#droppedBefore, cursor?.dropped),
      lagMs: Math.round(sender?.lagMs ?? 0),
      ...(this.#state.name === 'connected' && this.#connectedAt && { connectedAt: this.#connectedAt }),
      attempts: this.#attempts,
      reconnects: this.#reconnects,
      ...(this.#lastError && { lastError: this.#lastError }),
      ...(warning && { warning }),
    }
  }

  /** Adds what it has done since the last time, over all its connections. */
  #count(): void {
    const { carried } = this.#parts
    const counted = this.#counted
    const cursor = this.#sender?.cursor
    const bytesSent = this.#before.bytesSent + (this.#sender?.bytesSent ?? 0)
    carried.bytesSent += bytesSent - counted.bytesSent
    counted.bytesSent = bytesSent
    const droppedMessages = this.#before.droppedMessages + (cursor?.droppedMessages ?? 0)
    if (droppedMessages === counted.droppedMessages) return
    counted.droppedMessages = droppedMessages
    const dropped = added(this.#droppedBefore, cursor?.dropped)
    for (const reason of dropReasons) carried.dropped[reason] += dropped[reason] - counted.dropped[reason]
    counted.dropped = dropped
  }

  #observePace(sender: OutputSender, nowMs: number): void {
    this.#pace.observe({
      atMs: nowMs,
      offeredBytes: sender.bytesOffered,
      writtenBytes: sender.bytesSent,
      acknowledgedBytes: sender.delivery.acknowledgedBytes,
      acknowledgedAtMs: sender.delivery.acknowledgedAtMs,
      droppedMessages: sender.cursor.droppedMessages,
    })
    const warning = this.#pace.warning()
    if (warning && !this.#isTooSlow) this.#log.warn(warning, 'output warning')
    if (this.#isTooSlow !== (warning !== undefined)) this.hasNews = true
    this.#isTooSlow = warning !== undefined
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal
    while (!stop.aborted) {
      const failure = await this.#attempt()
      if (stop.aborted) break
      // Begun anew on purpose: no failure, and no wait.
      if (failure === undefined) continue
      const wasConnected = this.#state.name === 'connected'
      if (wasConnected) this.#reconnects++
      const retry = this.#retry.failed(failure.code, this.#parts.clock.monotonicMs())
      const delayMs = this.#isHeld() ? Math.min(retry.delayMs, 1_000) : retry.delayMs
      const now = this.#parts.clock.now()
      this.#lastError = { code: failure.code, message: failure.message, at: new Date(now).toISOString() }
      this.#become({
        name: this.#isHeld() ? 'reconnecting' : retry.state,
        reason: failure.code,
        nextAttemptAt: now + delayMs,
      })
      await this.#wait(delayMs)
    }
    this.#count()
    const { ending } = stop.reason as Stopped
    this.#become({ name: ending.state })
  }

  async #wait(delayMs: number): Promise<void> {
    this.#wake = new AbortController()
    const signal = AbortSignal.any([this.#wake.signal, this.#stop.signal])
    await sleep(this.#parts.clock, delayMs, signal).catch(() => {})
    this.#wake = undefined
  }

  /** One connection, from the look-up to its end. @returns why it failed; undefined when it was ended on purpose. */
  async #attempt(): Promise<CodedError<OutputErrorCode> | undefined> {
    const stop = this.#stop.signal
    this.#attempts++
    try {
      const connection = await connectOutput(this.#destination(), this.output, {
        ...this.#parts,
        signal: stop,
        enhanced: this.#broadcast.usesEnhanced,
        relayPath: this.#relayPath(),
        // What is not acknowledged yet is sent again after a break.
        feedKbps: () => (this.output.resumeSeconds ? undefined : this.#broadcast.kbps),
        onStep: (step) => this.#become({ name: 'connecting', step }),
      })
      await this.#send(connection)
      return undefined
    } catch (error) {
      if (stop.aborted) return undefined
      return this.#failureOf(error)
    } finally {
      this.#forgetConnection()
    }
  }

  #destination(): Destination {
    const parsed = parseDestination(this.output.url, this.output.streamKey.reveal())
    if (parsed.ok) return parsed.destination
    throw new CodedError('destination_invalid', parsed.problems[0]?.message)
  }

  /** From the accepted publish to the end of the connection. @throws why it ended, unless it was stopped. */
  async #send(connection: OutputConnection): Promise<void> {
    const { clock, pump, pool, maxLagMs } = this.#parts
    const refused = this.#refusedCodec(connection)
    const sender = new OutputSender({
      stream: connection.stream,
      broadcast: this.#broadcast,
      pool,
      pump,
      clock,
      messageStreamId: connection.messageStreamId,
      maxLagMs,
      form: this.#formFor(connection),
      takesModEx: says(connection, capsExMasks.modEx),
      missed: this.#missed(),
      onRestart: () => this.#restart.abort(),
      onFailed: (error) => connection.fail(this.#mistake(error)),
      onStarted: () => {
        this.#mediaSinceMs = clock.monotonicMs()
        this.#become({ name: 'connecting', step: 'proving' })
      },
    })
    this.#connection = connection
    this.#sender = sender
    this.#publishedAtMs = clock.monotonicMs()
    this.#rate.bytes = this.#before.bytesSent
    this.#rate.atMs = this.#publishedAtMs
    this.#rate.kbps = 0
    connection.carry(sender)
    if (refused !== undefined) {
      // It has accepted the publish, and must not keep the key for a stream that never comes.
      await this.#leave(connection, sender, goodbyeAtOnce)
      throw refused
    }
    if (!sender.cursor.started) this.#become({ name: 'connecting', step: 'waiting_for_key_frame' })
    this.#restart = new AbortController()
    this.rerouted()
    const stop = this.#stop.signal
    await connection.over(AbortSignal.any([stop, this.#restart.signal]))
    this.#noteDelivered(sender)
    await this.#leave(connection, sender, stop.aborted ? (stop.reason as Stopped).ending : goodbyeAtOnce)
  }

  /** Everything as it came for a destination that says that it understands it, the plain form for all others. */
  #formFor(connection: OutputConnection): LogForm {
    const { multitrack, modEx } = capsExMasks
    const takesAll = says(connection, multitrack) && (says(connection, modEx) || !this.#broadcast.usesModEx)
    return takesAll ? 'received' : 'plain'
  }

  /** The destination has said that it does not take a codec of the feed. */
  #refusedCodec({ capabilities }: OutputConnection): CodedError<'codec_refused'> | undefined {
    const { codecs } = this.#broadcast
    for (const kind of ['video', 'audio'] as const) {
      const codec = codecs[kind]
      const legacy = codec === '' || codec === 'avc1' || codec === 'mp4a' || codec === '.mp3'
      if (!legacy && !understands(capabilities, kind, codec))
        return new CodedError(
          'codec_refused',
          `the destination says that it does not take ${codec}, which the encoder sends`,
        )
    }
    return undefined
  }

  /** After a break: from where the destination was left, as far back as the person wants and the log reaches. */
  #missed(): Missed | undefined {
    const seconds = this.output.resumeSeconds ?? 0
    if (seconds === 0 || Number.isNaN(this.#deliveredUntil)) return undefined
    return { from: this.#deliveredUntil, earliest: this.#broadcast.timeline.newest - seconds * 1000 }
  }

  /** Goodbye and end of stream when what is pending drains in time; a reset otherwise, so that the kernel sends no more of it. */
  async #leave(connection: OutputConnection, sender: OutputSender, ending: Ending): Promise<void> {
    const { clock } = this.#parts
    const within = (durationMs: number, what: Promise<void>) => {
      return Promise.race([
        what.then(() => true),
        sleep(clock, durationMs, connection.ended).then(
          () => false,
          () => false,
        ),
      ])
    }
    const endsAtMs = clock.monotonicMs() + ending.withinMs
    const isBehind = ending.atEdge && sender.lagMs >= behindMs
    let said = await within(ending.withinMs, sender.leave(connection.goodbye, ending.atEdge))
    if (!said && ending.atEdge && !connection.ended.aborted)
      said = await within(goodbyeMs, sender.leave(connection.goodbye, false))
    const leftMs = isBehind ? endsAtMs - clock.monotonicMs() : 0
    if (said) await within(Math.max(peerCloseMs, leftMs), new Promise(() => {}))
    sender.close()
    connection.close()
  }

  #forgetConnection(): void {
    const sender = this.#sender
    if (sender !== undefined) {
      const { cursor } = sender
      this.#noteDelivered(sender)
      this.#before.bytesSent += sender.bytesSent
      this.#before.messagesSent += cursor.messagesSent
      this.#before.droppedMessages += cursor.droppedMessages
      this.#before.droppedMs += cursor.droppedMs
      Object.assign(this.#droppedBefore, added(this.#droppedBefore, cursor.dropped))
      sender.close()
    }
    this.#connection?.close()
    this.#sender = undefined
    this.#connection = undefined
    this.#pace = new OutputPace()
    this.#isTooSlow = false
    this.#connectedAt = undefined
    this.#publishedAtMs = Number.NaN
    this.#mediaSinceMs = Number.NaN
  }

  /** Before it leaves the log, after which it does not know any more. */
  #noteDelivered({ deliveredUntil }: OutputSender): void {
    if (!Number.isNaN(deliveredUntil)) this.#deliveredUntil = deliveredUntil
  }

  #failureOf(error: unknown): CodedError<OutputErrorCode> {
    const sinceMs = this.#parts.clock.monotonicMs() - this.#publishedAtMs
    if (error instanceof CodedError && error.code in outputErrorCodes) {
      const failure = error as CodedError<OutputErrorCode>
      // A close right after the publish was accepted is how most platforms refuse a key. A reset may be anything, unless it goes on.
      const isEarly = failure.code === 'connection_reset' && sinceMs < closedEarlyMs && !this.#isHeld()
      const hasWords = failure.cause instanceof SaidByDestination
      const isReset = failure.cause !== undefined && !hasWords
      this.#earlyResets = isEarly && isReset ? this.#earlyResets + 1 : 0
      if (!isEarly || (isReset && this.#earlyResets < earlyResetsMax)) return failure
      const after = `${(sinceMs / 1000).toFixed(1)} s after it had accepted the publish`
      return new CodedError(
        'closed_after_publish',
        hasWords
          ? `${failure.message} (${after}). Check the key.`
          : `The destination closed the connection ${after}; most platforms do this for a wrong or expired stream key. Check the key.`,
        { cause: failure },
      )
    }
    return this.#mistake(error)
  }

  #mistake(error: unknown): CodedError<'internal_error'> {
    this.#log.error({ err: error, code: 'internal_error' }, 'an output failed in a way that is a mistake of ours')
    return new CodedError('internal_error')
  }

  #become(state: OutputState): void {
    this.hasNews = true
    const from: OutputStateName = this.#state.name
    if (from === state.name && sameDetails(this.#state, state)) return
    if (!outputTransitions[from].includes(state.name)) return
    this.#state = state
    if (from !== state.name)
      this.#log.info(
        { from, to: state.name, ...('reason' in state && { reason: state.reason, message: this.#lastError?.message }) },
        'output state changed',
      )
    this.#onChange(state, this.#lastError)
  }
}

function sameDetails(a: OutputState, b: OutputState): boolean {
  if (a.name === 'connecting' && b.name === 'connecting') return a.step === b.step
  return a.name !== 'reconnecting' && a.name !== 'error'
}

type Dropped = Readonly<Record<DropReason, number>>

function added(a: Dropped, b: Dropped | undefined): Dropped {
  return b === undefined
    ? { ...a }
    : { lag: a.lag + b.lag, overtaken: a.overtaken + b.overtaken, late: a.late + b.late }
}

function stopped(what: string): CodedError<OutputErrorCode> {
  return new CodedError('no_progress', `The destination ${what}. The output is connected again by itself.`)
}

function says({ capabilities }: OutputConnection, mask: number): boolean {
  return ((capabilities?.capsEx ?? 0) & mask) !== 0
}

/** Silence is no refusal: few destinations say what they understand. */
function understands(said: EnhancedCapabilities | undefined, kind: 'video' | 'audio', codec: string): boolean {
  const map = kind === 'video' ? said?.videoFourCcInfoMap : said?.audioFourCcInfoMap
  const takes = fourCcMasks.canDecode | fourCcMasks.canForward
  if (map !== undefined) return ((map.get(codec) ?? map.get('*') ?? 0) & takes) !== 0
  const list = said?.fourCcList
  return list === undefined || list.includes('*') || list.includes(codec)
}
