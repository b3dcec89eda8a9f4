import { type Profiler, Session } from 'node:inspector'

/** One script of the code under test: which of its characters have run. */
type Script = { readonly painted: Uint8Array; readonly run: Uint8Array; readonly blocks: Map<string, number> }

/**
 * V8's precise block coverage of this thread, asked over the inspector within the process (Profiler domain of the Chrome DevTools Protocol).
 *
 * V8 reports nested ranges with counts, and leaves a range out where its count is that of the range around it. So a range says
 * little alone; painted from the outside to the inside they say of each character of a source whether it has run. New is what was
 * never painted before. Each take sets V8's counters back to 0.
 */
export class Coverage implements Disposable {
  readonly #session = new Session()
  readonly #covers: (url: string) => boolean
  readonly #scripts = new Map<string, Script>()

  /** @param covers whether the file at a url belongs to the code under test. */
  constructor(covers: (url: string) => boolean) {
    this.#covers = covers
    this.#session.connect()
    this.#post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true }, rethrow)
  }

  /** Forgets what has run since the last take. */
  drop(): void {
    this.#take()
  }

  /** What has run since the last take and never before; `mark` says whether it is remembered. Zero: nothing new. */
  take(mark: boolean): ReadonlySet<string> {
    const fresh = new Set<string>()
    for (const script of this.#take()) {
      if (!this.#covers(script.url)) continue
      const known = this.#scriptOf(script)
      const { run, start, end } = paint(script.functions, known)
      let isInside = false
      const before = fresh.size
      for (let at = start; at < end; at++) {
        const isNew = run[at] === 1 && known.painted[at] === 0
        if (isNew && !isInside) fresh.add(`${script.url}:${at}`)
        isInside = isNew
        if (isNew && mark) known.painted[at] = 1
      }
      if (fresh.size > before)
        for (const { ranges } of script.functions)
          for (const { startOffset, endOffset } of ranges) known.blocks.set(`${startOffset}-${endOffset}`, startOffset)
    }
    return fresh
  }

  /** Whether any of these has run since the last take. */
  hits(wanted: ReadonlySet<string>): ReadonlySet<string> {
    const hit = new Set<string>()
    for (const script of this.#take()) {
      if (!this.#covers(script.url)) continue
      const { run } = paint(script.functions, this.#scriptOf(script))
      for (const key of wanted) {
        const split = key.lastIndexOf(':')
        if (key.slice(0, split) === script.url && run[Number(key.slice(split + 1))] === 1) hit.add(key)
      }
    }
    return hit
  }

  /** Blocks that V8 has told apart so far, and those of them that have run. */
  get blocks(): { readonly covered: number; readonly known: number } {
    let covered = 0
    let known = 0
    for (const { painted, blocks } of this.#scripts.values()) {
      known += blocks.size
      for (const start of blocks.values()) covered += painted[start] ?? 0
    }
    return { covered, known }
  }

  /** Begins anew, as if nothing had run. */
  restart(): void {
    this.#take()
    this.#scripts.clear()
  }

  [Symbol.dispose](): void {
    this.#post('Profiler.stopPreciseCoverage')
    this.#session.disconnect()
  }

  #scriptOf({ url, functions }: Profiler.ScriptCoverage): Script {
    const known = this.#scripts.get(url)
    if (known !== undefined) return known
    // A script that has run as a whole before is told of without its outermost function: a function may lie behind all others.
    const length = Math.max(
      scriptBytesMin,
      ...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)),
    )
    const script = { painted: new Uint8Array(length), run: new Uint8Array(length), blocks: new Map<string, number>() }
    this.#scripts.set(url, script)
    return script
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let taken: readonly Profiler.ScriptCoverage[] = []
    // In the same thread the answer comes within the call.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      rethrow(error)
      taken = result
    })
    return taken
  }

  #post(method: 'Profiler.enable' | 'Profiler.stopPreciseCoverage'): void {
    this.#session.post(method, rethrow)
  }
}

/** The longest file of the code under test has so many characters, and half as many again. */
const scriptBytesMin = 64 * 1024

function rethrow(error: Error | null): void {
  if (error !== null) throw error
}

/**
 * Which characters have run since the last take, and between which of them all of those lie. Outer ranges come before those inside of
 * them. The same array for a script each time.
 */
function paint(
  functions: readonly Profiler.FunctionCoverage[],
  { run }: Script,
): { readonly run: Uint8Array; readonly start: number; readonly end: number } {
  run.fill(0)
  let start = run.length
  let end = 0
  for (const { ranges } of functions)
    for (const { startOffset, endOffset, count } of ranges) {
      run.fill(count > 0 ? 1 : 0, startOffset, endOffset)
      if (count === 0) continue
      start = Math.min(start, startOffset)
      end = Math.max(end, endOffset)
    }
  return { run, start, end }
}
