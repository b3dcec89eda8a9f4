import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Bus, Unsubscribe } from '../bus/bus.ts'
import { outputErrorCodes } from '../errors.ts'
import {
  type Carried,
  completeFigures,
  dropReasons,
  type InputFigures,
  type InputStateEvent,
  mediaSubjects,
  type OutputHealth,
  type OutputStateEvent,
  type ThreadFigures,
  type ToldFigures,
} from '../model/status.ts'
import { isFigures, isOver, rememberedMs } from './figures.ts'

/** Broadcasts whose figures have not come for so long do not count as going on. They come once a second. */
const freshMs = 5_000
/** Anybody may ask for the figures, as often as they like, and making them takes milliseconds of a thread that may carry media. */
const textKeptMs = 1_000
const requestBuckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5]
const outputsToldWithinSeconds = 5
/** An output that is so far behind is told of every second. */
const newsLagMs = 1_000
const lagBuckets = [0, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000]

/** What a broadcast has counted up to its newest figures; counters begin at 0 with each broadcast. */
type Seen = { readonly figures: InputFigures; readonly atMs: number; readonly outputsAtMs: number }

/** Attempts at webhooks since the start; `retried` will be tried again, `failed` will not. */
export type WebhookOutcomes = { readonly delivered: number; readonly retried: number; readonly failed: number }

/** Each look at the delay wakes the process up: at the usual hundred a second, a server at rest has nothing else to do. */
const loopDelayResolutionMs = 100
/** Of the library, whose figures hold the interval at which it looks, and nonsense before it has looked once. */
const neverMs = 24 * 3_600_000
const loopDelaysLeftOut = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']

/** Memory, processor time and the delay of the event loop belong to the process: collected once in it, whatever asks for them. */
let processRegistry: Registry | undefined

function figuresOfProcess(): Registry {
  if (processRegistry !== undefined) return processRegistry
  const register = new Registry()
  collectDefaultMetrics({ register, prefix: 'stream_connect_', eventLoopMonitoringPrecision: neverMs })
  const lag = (what: string) => `stream_connect_nodejs_eventloop_lag_${what}_seconds`
  for (const what of loopDelaysLeftOut) register.removeSingleMetric(lag(what))
  const delays = monitorEventLoopDelay({ resolution: loopDelayResolutionMs })
  delays.enable()
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - loopDelayResolutionMs) / 1e3
  new Gauge({
    name: lag('p99'),
    help: 'How late the main thread came to what was due, p99, since these figures were last asked for.',
    registers: [register],
    collect() {
      this.set(seconds(delays.percentile(99)))
    },
  })
  new Gauge({
    name: lag('max'),
    help: 'How late the main thread came to what was due, at most, since these figures were last asked for.',
    registers: [register],
    collect() {
      this.set(seconds(delays.max))
      delays.reset()
    },
  })
  processRegistry = register
  return register
}

/**
 * What Prometheus asks for. Labels are states, reasons and routes: never an id, a key or a url, so that their number is bounded and
 * nothing leaks. Lives from its construction to `close()`.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #seen = new Map<string, Seen>()
  readonly #nowMs: () => number
  readonly #stops: Unsubscribe[]
  readonly #ingressBytes: Counter
  readonly #egressBytes: Counter
  readonly #dropped: Counter<'reason'>
  readonly #reconnects: Counter<'reason'>
  readonly #inputChanges: Counter<'state' | 'reason'>
  readonly #outputChanges: Counter<'state' | 'reason'>
  /** State of each output of a live input. */
  readonly #outputStates = new Map<string, string>()
  #sweptAtMs = 0
  #text: { readonly made: Promise<string>; readonly atMs: number } | undefined
  readonly #lag: Histogram
  readonly #requests: Histogram<'method' | 'route' | 'status'>

  /** @param nowMs monotonic milliseconds. @param webhooks where the notifier runs. */
  constructor(bus: Bus, nowMs: () => number, webhooks?: () => WebhookOutcomes) {
    this.#nowMs = nowMs
    const registers = [this.#registry]
    const counter = (name: string, help: string) => new Counter({ name: `stream_connect_${name}`, help, registers })
    const counterByReason = (name: string, help: string) =>
      new Counter({ name: `stream_connect_${name}`, help, labelNames: ['reason'] as const, registers })
    this.#ingressBytes = counter('ingest_bytes_total', 'Media bytes received from encoders.')
    this.#egressBytes = counter('egress_bytes_total', 'Bytes sent to destinations.')
    this.#dropped = counterByReason(
      'output_dropped_messages_total',
      'Messages that were left out for outputs. `lag`: the destination took less than MAX_LAG_MS allows, `overtaken`: it took nothing for longer than the log lasts, `late`: older than what had been sent.',
    )
    for (const reason of dropReasons) this.#dropped.inc({ reason }, 0)
    this.#reconnects = counterByReason(
      'output_reconnects_total',
      'Connections of outputs that had been live and were lost, by the code of the error.',
    )
    // A series that begins with its first event has no increase then.
    for (const reason of Object.keys(outputErrorCodes)) this.#reconnects.inc({ reason }, 0)
    const changes = (of: string, help: string) =>
      new Counter({
        name: `stream_connect_${of}_state_changes_total`,
        help,
        labelNames: ['state', 'reason'] as const,
        registers,
      })
    this.#inputChanges = changes('live_input', 'Changes of live inputs to a state, with the reason.')
    this.#outputChanges = changes('output', 'Changes of outputs to a state, with the reason.')
    this.#lag = new Histogram({
      name: 'stream_connect_output_lag_milliseconds',
      help: 'How far outputs are behind the encoder, looked at once a second for each output.',
      buckets: lagBuckets,
      registers,
    })
    this.#requests = new Histogram({
      name: 'stream_connect_http_request_seconds',
      help: 'Duration of API requests.',
      labelNames: ['method', 'route', 'status'],
      buckets: requestBuckets,
      registers,
    })
    this.#gauge('live_inputs', 'Live inputs that are live or held.', () => this.#fresh().length)
    new Gauge({
      name: 'stream_connect_live_outputs',
      help: 'Outputs of live inputs, by state.',
      labelNames: ['state'] as const,
      registers,
      collect: this.#countStates(),
    })
    this.#gauge('ingest_kilobits_per_second', 'What encoders send: the mean of the last five seconds.', () =>
      this.#sum((one) => one.input.bitrateKbps),
    )
    this.#gauge(
      'egress_kilobits_per_second',
      'What the kernel took for destinations in one second, one of the last five where nobody looks at the outputs (the dashboard, the events, the live input in the API).',
      () => this.#sum((one) => outputsOf(one).reduce((total, output) => total + output.bitrateKbps, 0)),
    )
    const relayed = counter(
      'relayed_publishers_total',
      'Encoders that arrived at another media thread than their live input.',
    )
    const replaced = counter('media_threads_replaced_total', 'Media threads that died and were replaced.')
    const ofThread = (name: string, help: string) =>
      new Gauge({ name: `stream_connect_media_thread_${name}`, help, labelNames: ['thread'] as const, registers })
    const delayP99 = ofThread(
      'loop_delay_p99_seconds',
      'How long what had come waited for its media thread to be done with other work, p99, since the thread last reported (a second; ten while it carries nothing).',
    )
    const delayMax = ofThread(
      'loop_delay_max_seconds',
      'How long what had come waited for its media thread to be done with other work, at most, since the thread last reported.',
    )
    const busy = ofThread(
      'busy_ratio',
      'Part of the time since the thread last reported in which it was at work, its rests left out.',
    )
    if (webhooks !== undefined)
      new Counter({
        name: 'stream_connect_webhook_attempts_total',
        help: 'Attempts to deliver webhooks; `retried` will be tried again, `failed` will not.',
        labelNames: ['outcome'] as const,
        registers,
        collect() {
          this.reset()
          for (const [outcome, count] of Object.entries(webhooks())) this.inc({ outcome }, count)
        },
      })
    this.#stops = [
      bus.subscribe(mediaSubjects.relayed, () => relayed.inc()),
      bus.subscribe(mediaSubjects.replaced, () => replaced.inc()),
      bus.subscribe('media.thread.*', (message) => {
        const figures = message as unknown as ThreadFigures
        const thread = `${figures.thread}`
        delayP99.set({ thread }, figures.loopDelayP99Ms / 1000)
        delayMax.set({ thread }, figures.loopDelayMaxMs / 1000)
        busy.set({ thread }, figures.busy)
      }),
      bus.subscribe('figures.>', (message) => {
        if (isFigures(message)) this.#count(message)
      }),
      bus.subscribe(mediaSubjects.carried, (message) => this.#countCarried(message as unknown as Carried)),
      bus.subscribe('state.input.>', (message) => {
        const event = message as unknown as InputStateEvent
        const { state, reason } = event.status.current
        this.#inputChanges.inc({ state, reason })
        if (isOver(event)) this.#seen.delete(event.inputId)
      }),
      bus.subscribe('state.output.>', (message) => {
        const { outputId, status } = message as unknown as OutputStateEvent
        const { state, reason } = status.current
        this.#outputChanges.inc({ state, reason })
        const isLost = state === 'reconnecting' || state === 'error'
        if (isLost && this.#outputStates.get(outputId) === 'connected') this.#reconnects.inc({ reason })
        this.#outputStates.set(outputId, state)
      }),
    ]
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The same for a second, whoever asks. */
  text(): Promise<string> {
    const now = this.#nowMs()
    if (this.#text === undefined || now - this.#text.atMs >= textKeptMs)
      this.#text = { made: this.#makeText(), atMs: now }
    return this.#text.made
  }

  async #makeText(): Promise<string> {
    return `${await figuresOfProcess().metrics()}\n${await this.#registry.metrics()}`
  }

  /** @param route the pattern, never the path: paths hold ids. */
  requestServed(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds)
  }

  close(): void {
    for (const stop of this.#stops) stop()
    this.#registry.clear()
  }

  #gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name: `stream_connect_${name}`,
      help,
      registers: [this.#registry],
      collect() {
        this.set(value())
      },
    })
  }

  #countStates(): (this: Gauge<'state'>) => void {
    const counts = () => {
      const byState = new Map<string, number>()
      for (const { outputs } of this.#fresh())
        for (const id of Object.keys(outputs)) {
          // Told before this began to listen.
          const state = this.#outputStates.get(id) ?? 'unknown'
          byState.set(state, (byState.get(state) ?? 0) + 1)
        }
      return byState
    }
    return function collect() {
      this.reset()
      for (const [state, count] of counts()) this.set({ state }, count)
    }
  }

  #count(told: ToldFigures): void {
    const seen = this.#seen.get(told.inputId)
    const before = seen?.figures
    const now = this.#nowMs()
    const outputsAtMs = told.outputs === undefined ? (seen?.outputsAtMs ?? now) : now
    this.#seen.set(told.inputId, { figures: completeFigures(told, before), atMs: now, outputsAtMs })
    // Where they were not told every second, there was nothing to tell: they were hardly behind, as they are now if that is no news.
    const seconds = Math.min(
      Math.max(1, Math.round((now - (seen?.outputsAtMs ?? now)) / 1000)),
      outputsToldWithinSeconds,
    )
    for (const [id, output] of Object.entries(told.outputs ?? {})) {
      const earlier = before?.outputs[id]
      const isNews = earlier === undefined || output.lagMs >= newsLagMs
      for (let second = 0; second < (isNews ? 1 : seconds); second++) this.#lag.observe(output.lagMs)
    }
    this.#sweep()
  }

  #countCarried({ bytesReceived, bytesSent, dropped }: Carried): void {
    this.#ingressBytes.inc(bytesReceived)
    this.#egressBytes.inc(bytesSent)
    for (const reason of dropReasons) if (dropped[reason] > 0) this.#dropped.inc({ reason }, dropped[reason])
  }

  #sweep(): void {
    const now = this.#nowMs()
    if (now - this.#sweptAtMs < rememberedMs) return
    this.#sweptAtMs = now
    const live = new Set<string>()
    for (const [id, { figures, atMs }] of this.#seen)
      if (now - atMs > rememberedMs) this.#seen.delete(id)
      else for (const output of Object.keys(figures.outputs)) live.add(output)
    for (const id of this.#outputStates.keys()) if (!live.has(id)) this.#outputStates.delete(id)
  }

  #fresh(): InputFigures[] {
    const since = this.#nowMs() - freshMs
    return [...this.#seen.values()].filter(({ atMs }) => atMs >= since).map(({ figures }) => figures)
  }

  #sum(of: (figures: InputFigures) => number): number {
    return this.#fresh().reduce((total, figures) => total + of(figures), 0)
  }
}

function outputsOf(figures: InputFigures): OutputHealth[] {
  return Object.values(figures.outputs)
}
