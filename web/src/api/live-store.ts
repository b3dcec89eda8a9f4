import type { WireStatus } from '../../../src/model/lifecycle.ts'
import type {
  InputFigures,
  InputHealth,
  InputStateEvent,
  LastError,
  OutputHealth,
  OutputStateEvent,
} from '../../../src/model/status.ts'
import { BitrateHistory, type BitratePoint } from './bitrate-history.ts'

/** The server counts figures as old after the same time. */
export const freshMs = 5_000
/** Figures come once a second; but of a watched input that is not live, nothing comes for long, and the server is asked. */
const quietMs = 5_000
const probeTimeoutMs = 5_000
const checkEveryMs = 1_000
const reopenMs = { min: 1_000, max: 15_000 }
/** A switch of what is watched takes no longer: until then nothing is said to be lost. */
const graceMs = 2_500

/** As EventSource has them. */
const readyState = { open: 1, closed: 2 }

/** Of one live input, in the list: what comes in, and how many of its outputs are live. */
export type Totals = {
  readonly inputId: string
  readonly bitrateKbps: number
  readonly outputs: number
  readonly outputsUp: number
  readonly egressKbps: number
}
/** Of all live inputs of the account. */
export type Sum = { readonly inputs: number; readonly ingressKbps: number; readonly egressKbps: number }
export type OutputNow = { readonly status: WireStatus; readonly lastError?: LastError }

/** `since`: when it was last heard of, milliseconds since 1970. */
export type Connection =
  | { readonly name: 'connecting' }
  | { readonly name: 'fresh' }
  | { readonly name: 'lost'; readonly since: number }

/** What a browser gives this store: exchanged in tests. */
export type Surroundings = {
  readonly open: (url: string) => EventSource
  readonly now: () => number
  /** Whether the server answers at all. */
  readonly probe: (timeoutMs: number) => Promise<'here' | 'signed-out' | 'away'>
}

type Listener = () => void

/**
 * All that the server tells without being asked, over ONE event stream: changes of state, and figures once a second. Who shows something
 * subscribes to its key, so that a row is drawn anew when its own figures change, and no other.
 *
 * Lives as long as the page; `follow(account)` opens the stream, `follow(undefined)` closes it.
 */
export class LiveStore {
  readonly #around: Surroundings
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #inputs = new Map<string, WireStatus>()
  readonly #outputs = new Map<string, OutputNow>()
  readonly #totals = new Map<string, { readonly totals: Totals; readonly atMs: number }>()
  readonly #figures = new Map<string, { readonly figures: InputFigures; readonly atMs: number }>()
  readonly #histories = new Map<string, BitrateHistory>()
  /** Inputs whose pages are open, with how many look at each. */
  readonly #watched = new Map<string, number>()
  /** Inputs whose broadcast was told to be over, and when. */
  readonly #overAtMs = new Map<string, number>()
  #sum: { readonly sum: Sum; readonly atMs: number } | undefined
  #statesVersion = 0
  #account: string | undefined
  #source: EventSource | undefined
  #connection: Connection = { name: 'connecting' }
  #heardAtMs = 0
  /** Events may have been missed since the pages last asked. */
  #hasGap = false
  #isProbing = false
  #isPaused = false
  #reopenAtMs = Number.POSITIVE_INFINITY
  #reopenInMs = reopenMs.min
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** Called when what was listed may be out of date: everything is to be asked for again. */
  onGap: () => void = () => {}
  onSignedOut: () => void = () => {}

  follow(account: string | undefined): void {
    if (account === this.#account) return
    this.#account = account
    this.#inputs.clear()
    this.#outputs.clear()
    this.#totals.clear()
    this.#sum = undefined
    this.#figures.clear()
    this.#histories.clear()
    this.#overAtMs.clear()
    this.#hasGap = false
    this.#close()
    this.#become({ name: 'connecting' })
    clearInterval(this.#timer)
    this.#timer = undefined
    if (account === undefined) return
    this.#timer = setInterval(() => this.#check(), checkEveryMs)
    this.#open()
  }

  /** Nobody looks: the connection is given back. Browsers open six to one server at a time, for all of their tabs together. */
  pause(): void {
    this.#isPaused = true
    this.#close()
  }

  /** Somebody looks again. What is old by now is gone at once, and what was missed is asked for. */
  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#hasGap = true
    this.#heardAtMs = this.#around.now()
    this.#forgetOld(this.#heardAtMs)
    this.#open()
  }

  /** Figures of one live input and its outputs, from now until the function that is returned is called. */
  watch(input: string): () => void {
    this.#watched.set(input, (this.#watched.get(input) ?? 0) + 1)
    if (this.#watched.get(input) === 1) this.#rewatch()
    return () => {
      const left = (this.#watched.get(input) ?? 1) - 1
      if (left > 0) this.#watched.set(input, left)
      else {
        this.#watched.delete(input)
        this.#rewatch()
      }
    }
  }

  /** What the server remembers of before. */
  fillHistory(id: string, told: readonly BitratePoint[]): void {
    this.#historyOf(id).fill(told)
    this.#tell(id)
  }

  subscribe(key: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(key) ?? new Set()
    this.#listeners.set(key, listeners)
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.#listeners.delete(key)
    }
  }

  // What there is now. Each is the same object until it changes, as useSyncExternalStore wants it.

  connection = (): Connection => this.#connection
  inputStatus = (input: string): WireStatus | undefined => this.#inputs.get(input)
  output = (output: string): OutputNow | undefined => this.#outputs.get(output)
  totals = (input: string): Totals | undefined => this.#totals.get(input)?.totals
  inputHealth = (input: string): InputHealth | undefined => this.#figures.get(input)?.figures.input
  outputHealth = (input: string, output: string): OutputHealth | undefined =>
    this.#figures.get(input)?.figures.outputs[output]
  /** Of all live inputs together; undefined while nothing is heard. */
  sum = (): Sum | undefined => this.#sum?.sum
  /** Changes with the state of any live input: for who sorts by it. */
  statesVersion = (): number => this.#statesVersion
  /** Kept while the page is open. `id` is an id of a live input or of an output. */
  history = (id: string): BitrateHistory | undefined => this.#histories.get(id)

  #open(): void {
    const account = this.#account
    if (account === undefined || this.#isPaused) return
    const inputs = [...this.#watched.keys()].join(',')
    const source = this.#around.open(
      `/client/v4/accounts/${account}/stream/events${inputs === '' ? '' : `?inputs=${inputs}`}`,
    )
    this.#source = source
    this.#reopenAtMs = Number.POSITIVE_INFINITY
    const on = (name: string, take: (data: unknown) => void) =>
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return
        this.#heard()
        const data = parse((event as MessageEvent<string>).data)
        if (data !== undefined) take(data)
      })
    on('input.status', (data) => this.#takeInput(data as InputStateEvent))
    on('output.status', (data) => this.#takeOutput(data as OutputStateEvent))
    on('figures', (data) => this.#takeFigures(data as InputFigures))
    on('totals', (data) => this.#takeTotals((data as { inputs: readonly Totals[] }).inputs))
    on('reset', () => {
      if (!this.#hasGap) return
      this.#hasGap = false
      this.onGap()
    })
    source.addEventListener('open', () => source === this.#source && this.#heard())
    source.addEventListener('error', () => source === this.#source && this.#failed(source))
  }

  #close(): void {
    this.#source?.close()
    this.#source = undefined
  }

  /** The set of watched inputs is part of the address. Pages come and go in one step: that is one change. */
  #rewatch(): void {
    if (this.#source === undefined) return
    queueMicrotask(() => {
      if (this.#source === undefined) return
      this.#close()
      this.#open()
    })
  }

  #heard(): void {
    this.#heardAtMs = this.#around.now()
    this.#reopenInMs = reopenMs.min
    this.#become({ name: 'fresh' })
  }

  /** An EventSource tries again by itself, unless the server has answered with something else than events. */
  #failed(source: EventSource): void {
    this.#hasGap = true
    if (source.readyState !== readyState.closed) return
    this.#reopenAtMs = this.#around.now() + this.#reopenInMs
    this.#reopenInMs = Math.min(this.#reopenInMs * 2, reopenMs.max)
    void this.#probe()
  }

  #lose(): void {
    this.#hasGap = true
    if (this.#connection.name === 'lost') return
    this.#become({ name: 'lost', since: this.#heardAtMs === 0 ? this.#around.now() : this.#heardAtMs })
  }

  #check(): void {
    if (this.#isPaused) return
    const now = this.#around.now()
    this.#forgetOld(now)
    const silentMs = now - this.#heardAtMs
    const isOpen = this.#source?.readyState === readyState.open
    if (!isOpen && silentMs > graceMs) this.#lose()
    if (now >= this.#reopenAtMs) {
      this.#close()
      this.#open()
    }
    if (isOpen && silentMs > quietMs) void this.#probe()
  }

  async #probe(): Promise<void> {
    if (this.#isProbing) return
    this.#isProbing = true
    const found = await this.#around.probe(probeTimeoutMs)
    this.#isProbing = false
    if (this.#account === undefined) return
    if (found === 'signed-out') this.onSignedOut()
    else if (found === 'away') this.#lose()
    else if (this.#source?.readyState === readyState.open) {
      // The stream is open, and yet it was thought lost: a sleep, a network that hung. A new one says what was missed.
      if (this.#connection.name === 'lost') {
        this.#close()
        this.#open()
      } else this.#heard()
    }
  }

  #become(connection: Connection): void {
    if (connection.name === this.#connection.name) return
    this.#connection = connection
    this.#tell('connection')
  }

  #takeInput({ inputId, status }: InputStateEvent): void {
    this.#inputs.set(inputId, status)
    const { state, reason } = status.current
    this.#overAtMs.delete(inputId)
    if (state === 'disconnected' && reason !== 'reconnecting') {
      this.#overAtMs.set(inputId, this.#around.now())
      this.#totals.delete(inputId)
      this.#forgetFigures(inputId)
    }
    this.#statesVersion++
    this.#tell(inputId)
    this.#tell('states')
  }

  #takeOutput({ outputId, status, lastError }: OutputStateEvent): void {
    this.#outputs.set(outputId, { status, ...(lastError && { lastError }) })
    this.#tell(outputId)
  }

  #takeTotals(told: readonly Totals[]): void {
    const atMs = this.#around.now()
    const all = told.filter(({ inputId }) => !this.#isJustOver(inputId))
    const present = new Set<string>()
    for (const totals of all) {
      present.add(totals.inputId)
      const before = this.#totals.get(totals.inputId)?.totals
      this.#totals.set(totals.inputId, { totals: isSame(before, totals) ? before : totals, atMs })
      this.#remember(totals.inputId, atMs, totals.bitrateKbps)
      this.#tell(totals.inputId)
    }
    for (const id of this.#totals.keys())
      if (!present.has(id)) {
        this.#totals.delete(id)
        this.#tell(id)
      }
    this.#sum = { sum: sumOf(all), atMs }
    this.#tell('totals')
  }

  #takeFigures(figures: InputFigures): void {
    if (this.#isJustOver(figures.inputId)) return
    const atMs = this.#around.now()
    this.#figures.set(figures.inputId, { figures, atMs })
    this.#remember(figures.inputId, atMs, figures.input.bitrateKbps)
    this.#tell(figures.inputId)
    for (const [id, { bitrateKbps }] of Object.entries(figures.outputs)) {
      this.#remember(id, atMs, bitrateKbps)
      this.#tell(id)
    }
  }

  #remember(id: string, atMs: number, kbps: number): void {
    this.#historyOf(id).add(atMs, kbps)
  }

  #historyOf(id: string): BitrateHistory {
    let history = this.#histories.get(id)
    if (history === undefined) {
      history = new BitrateHistory()
      this.#histories.set(id, history)
    }
    return history
  }

  /** Figures that nothing has renewed are of a broadcast that is over, or of a server that is away: they are shown no more. */
  #forgetOld(now: number): void {
    for (const [id, { atMs }] of this.#totals) if (now - atMs > freshMs && this.#totals.delete(id)) this.#tell(id)
    if (this.#sum !== undefined && now - this.#sum.atMs > freshMs) {
      this.#sum = undefined
      this.#tell('totals')
    }
    for (const [id, { atMs }] of this.#figures) if (now - atMs > freshMs) this.#forgetFigures(id)
  }

  #forgetFigures(id: string): void {
    const { figures } = this.#figures.get(id) ?? {}
    if (figures === undefined) return
    this.#figures.delete(id)
    for (const key of [id, ...Object.keys(figures.outputs)]) this.#tell(key)
  }

  /** The server repeats the last figures of a broadcast for some seconds after its end. */
  #isJustOver(id: string): boolean {
    const overAtMs = this.#overAtMs.get(id)
    return overAtMs !== undefined && this.#around.now() - overAtMs <= freshMs + checkEveryMs
  }

  #tell(key: string): void {
    for (const listener of this.#listeners.get(key) ?? []) listener()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function sumOf(all: readonly Totals[]): Sum {
  let [ingressKbps, egressKbps] = [0, 0]
  for (const totals of all) {
    ingressKbps += totals.bitrateKbps
    egressKbps += totals.egressKbps
  }
  return { inputs: all.length, ingressKbps, egressKbps }
}

function isSame(a: Totals | undefined, b: Totals): a is Totals {
  return (
    a !== undefined &&
    a.bitrateKbps === b.bitrateKbps &&
    a.outputs === b.outputs &&
    a.outputsUp === b.outputsUp &&
    a.egressKbps === b.egressKbps
  )
}
