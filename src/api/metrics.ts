import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Bus, Unsubscribe } from '../bus/bus.ts'
import type { InputFigures, OutputHealth, OutputStateEvent } from '../model/status.ts'

/** Broadcasts whose figures have not come for so long are over. They come once a second. */
const freshMs = 5_000
const requestBuckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5]
const lagBuckets = [0, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000]

/** What a broadcast has counted up to its newest figures; counters begin at 0 with each broadcast. */
type Seen = { readonly figures: InputFigures; readonly atMs: number }

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
  readonly #dropped: Counter
  readonly #reconnects: Counter
  readonly #outputChanges: Counter<'state' | 'reason'>
  readonly #lag: Histogram
  readonly #requests: Histogram<'method' | 'route' | 'status'>

  /** @param nowMs monotonic milliseconds. @param webhooks outcomes since the start, where the notifier runs. */
  constructor(
    bus: Bus,
    nowMs: () => number,
    webhooks?: () => { readonly delivered: number; readonly retried: number; readonly failed: number },
  ) {
    this.#nowMs = nowMs
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry, prefix: 'stream_connect_' })
    const counter = (name: string, help: string) => new Counter({ name: `stream_connect_${name}`, help, registers })
    this.#ingressBytes = counter('ingest_bytes_total', 'Media bytes received from encoders.')
    this.#egressBytes = counter('egress_bytes_total', 'Bytes sent to destinations.')
    this.#dropped = counter(
      'output_dropped_messages_total',
      'Messages that outputs left out because their destination was too slow.',
    )
    this.#reconnects = counter('output_reconnects_total', 'Connections of outputs that had been live and were lost.')
    this.#outputChanges = new Counter({
      name: 'stream_connect_output_state_changes_total',
      help: 'Changes of outputs to a state, with the reason.',
      labelNames: ['state', 'reason'],
      registers,
    })
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
    this.#gauge('live_outputs', 'Outputs of live inputs, whatever their state.', () =>
      this.#sum((one) => Object.keys(one.outputs).length),
    )
    this.#gauge('ingest_kilobits_per_second', 'What encoders send now.', () =>
      this.#sum((one) => one.input.bitrateKbps),
    )
    this.#gauge('egress_kilobits_per_second', 'What destinations get now.', () =>
      this.#sum((one) => outputsOf(one).reduce((total, output) => total + output.bitrateKbps, 0)),
    )
    if (webhooks !== undefined)
      for (const outcome of ['delivered', 'retried', 'failed'] as const)
        this.#gauge(
          `webhooks_${outcome}`,
          `Attempts at notifications since the start that were ${outcome}.`,
          () => webhooks()[outcome],
        )
    this.#stops = [
      bus.subscribe('figures.>', (message) => this.#count(message as unknown as InputFigures)),
      bus.subscribe('state.output.>', (message) => {
        const { state, reason } = (message as unknown as OutputStateEvent).status.current
        this.#outputChanges.inc({ state, reason })
      }),
    ]
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
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

  #count(figures: InputFigures): void {
    const before = this.#seen.get(figures.inputId)?.figures
    this.#seen.set(figures.inputId, { figures, atMs: this.#nowMs() })
    this.#ingressBytes.inc(growth(figures.input.bytesReceived, before?.input.bytesReceived))
    for (const [id, output] of Object.entries(figures.outputs)) {
      const earlier = before?.outputs[id]
      this.#egressBytes.inc(growth(output.bytesSent, earlier?.bytesSent))
      this.#dropped.inc(growth(output.droppedMessages, earlier?.droppedMessages))
      this.#reconnects.inc(growth(output.reconnects, earlier?.reconnects))
      this.#lag.observe(output.lagMs)
    }
  }

  #fresh(): InputFigures[] {
    const since = this.#nowMs() - freshMs
    for (const [id, { atMs }] of this.#seen) if (atMs < since) this.#seen.delete(id)
    return [...this.#seen.values()].map(({ figures }) => figures)
  }

  #sum(of: (figures: InputFigures) => number): number {
    return this.#fresh().reduce((total, figures) => total + of(figures), 0)
  }
}

function outputsOf(figures: InputFigures): OutputHealth[] {
  return Object.values(figures.outputs)
}

/** A count that is smaller than before belongs to a new broadcast. */
function growth(now: number, before: number | undefined): number {
  return before === undefined || now < before ? now : now - before
}
