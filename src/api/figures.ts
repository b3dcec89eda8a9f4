import type { Bus, Plain, Unsubscribe } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { LiveInputId, OutputId } from '../model/id.ts'
import {
  completeFigures,
  type InputFigures,
  type InputHealth,
  type InputStateEvent,
  mediaSubjects,
  type OutputHealth,
  type ToldFigures,
} from '../model/status.ts'

/** Figures come once a second; these many are missing before they no longer count as what is going on now. */
const freshMs = 5_000

/**
 * They are remembered for longer: outputs are not told with all figures, and are known from those before, also when this thread or a media
 * thread has stood still; nor must a stall count everything once more.
 */
export const rememberedMs = 60_000

/** Whoever asks is told of outputs once a second for some seconds; the question need not be repeated sooner. */
const wantedEveryMs = 1_000

/** The newest figures of each running broadcast, from the bus. Lives from its construction to `close()`. */
export class LatestFigures {
  readonly #clock: Clock
  readonly #bus: Bus
  readonly #isInput: (uid: LiveInputId) => boolean
  readonly #latest = new Map<LiveInputId, { readonly figures: InputFigures; readonly arrivedAt: number }>()
  readonly #stops: readonly Unsubscribe[]
  #sweptAt: number
  #wantedAt = Number.NEGATIVE_INFINITY

  /** @param isInput figures of what is no live input are not kept. */
  constructor(options: { bus: Bus; clock: Clock; isInput: (uid: LiveInputId) => boolean }) {
    this.#clock = options.clock
    this.#bus = options.bus
    this.#isInput = options.isInput
    this.#sweptAt = options.clock.monotonicMs()
    this.#stops = [
      options.bus.subscribe('figures.>', (message) => this.#remember(message)),
      options.bus.subscribe('state.input.>', (message) => {
        const event = message as unknown as InputStateEvent
        if (isOver(event)) this.#latest.delete(event.inputId)
      }),
    ]
  }

  ofInput(uid: LiveInputId): InputHealth | undefined {
    return this.#fresh(uid)?.input
  }

  ofOutput(input: LiveInputId, output: OutputId): OutputHealth | undefined {
    const now = this.#clock.monotonicMs()
    if (now - this.#wantedAt >= wantedEveryMs) {
      this.#wantedAt = now
      this.#bus.publish(mediaSubjects.figuresWanted, null)
    }
    return this.#fresh(input)?.outputs[output]
  }

  close(): void {
    for (const stop of this.#stops) stop()
  }

  #fresh(uid: LiveInputId): InputFigures | undefined {
    const latest = this.#latest.get(uid)
    return latest && this.#clock.monotonicMs() - latest.arrivedAt <= freshMs ? latest.figures : undefined
  }

  #remember(message: Plain): void {
    if (!isFigures(message)) return
    const now = this.#clock.monotonicMs()
    const { inputId } = message
    const figures = completeFigures(message, this.#latest.get(inputId)?.figures)
    if (this.#isInput(inputId)) this.#latest.set(inputId, { figures, arrivedAt: now })
    if (now - this.#sweptAt < rememberedMs) return
    this.#sweptAt = now
    for (const [uid, { arrivedAt }] of this.#latest) if (now - arrivedAt > rememberedMs) this.#latest.delete(uid)
  }
}

/** Written by our own `live/` once a second for each broadcast: a look at the outline is enough. */
export function isFigures(message: unknown): message is ToldFigures {
  if (typeof message !== 'object' || message === null) return false
  const { inputId, input, outputs } = message as Partial<ToldFigures>
  return typeof inputId === 'string' && isObject(input) && (outputs === undefined || isObject(outputs))
}

/** Its broadcast has ended, figures of it are of the past; not while its encoder is waited for. */
export function isOver({ status }: InputStateEvent): boolean {
  const { state, reason } = status.current
  return state === 'disconnected' && reason !== 'reconnecting'
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
