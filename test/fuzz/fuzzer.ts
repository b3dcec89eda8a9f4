import { inspect } from 'node:util'
import type { Coverage } from './coverage.ts'
import { havoc } from './mutator.ts'
import type { Random } from './random.ts'
import { Broken, type Target } from './target.ts'

export type Finding = {
  readonly target: string
  /** What went wrong, without what depends on the input: findings with the same title are one. */
  readonly title: string
  readonly detail: string
  /** As small as it could be made. */
  readonly input: Buffer
}

/** What is told to whoever watches, before each execution: an input that never ends is found from outside. */
export type Watch = (input: Buffer) => void

/** CPU time of one execution that is too long, even where it shares a core: what is quadratic in 64 KiB takes seconds. */
const cpuMsMax = (bytes: number): number => 40 + bytes * 0.006
/** Executed so often before it counts as slow: garbage collection and compiling take time, too. */
const slowTries = 4
/** A look at V8's counters costs a few milliseconds: it is worth so much work before, of the processor's own time. */
const batchCpuMs = 50
const batchMin = 8
const batchMax = 2000
/** Long inputs are slow, and find what is quadratic or has a limit: seldom made. */
const usualBytesMax = 3000
const longOneIn = 30
/** Inputs kept because of their outcome alone. */
const outcomesMax = 400
const minimiseTriesMax = 1500
const slow = 'slow'
/** Each of these tries is slow, too. */
const slowTriesMax = 6

/**
 * Coverage-guided fuzzing of one target. Inputs run in batches; a batch in which code ran that never ran before is halved until the
 * inputs are found that did it, and they join the corpus. So do inputs with an outcome that is new.
 */
export class Fuzzer {
  readonly corpus: Buffer[] = []
  readonly findings = new Map<string, Finding>()
  executions = 0
  /** Inputs that covered something once and not again. */
  unstable = 0
  readonly #target: Target
  readonly #random: Random
  readonly #coverage: Coverage
  readonly #watch: Watch
  readonly #outcomes = new Set<string>()
  #batchSize = 64

  constructor(target: Target, random: Random, coverage: Coverage, watch: Watch = () => {}) {
    this.#target = target
    this.#random = random
    this.#coverage = coverage
    this.#watch = watch
  }

  /** Runs inputs as they are, and keeps them all: what they are good for was found out before. */
  async replay(inputs: readonly Buffer[]): Promise<void> {
    for (const input of inputs) {
      const outcome = await this.#run(input)
      if (outcome === undefined) continue
      this.#outcomes.add(outcome)
      this.corpus.push(input)
    }
    this.#coverage.take(true)
  }

  /** Goes on until `isOver` says so, which is asked between batches. */
  async fuzz(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const before = process.threadCpuUsage()
      await this.#batch(Array.from({ length: this.#batchSize }, () => this.#mutated()))
      const { user, system } = process.threadCpuUsage(before)
      const factor = batchCpuMs / Math.max(1, (user + system) / 1000)
      const wanted = Math.round(this.#batchSize * Math.min(2, Math.max(0.5, factor)))
      this.#batchSize = Math.min(batchMax, Math.max(batchMin, wanted))
    }
  }

  /** The inputs of the corpus that together cover and do what all of it does, shortest first. The coverage begins anew. */
  async distil(): Promise<Buffer[]> {
    const kept: Buffer[] = []
    const outcomes = new Set<string>()
    this.#coverage.restart()
    for (const input of this.corpus.toSorted((a, b) => a.length - b.length)) {
      const outcome = await this.#run(input)
      const isNew = this.#coverage.take(true).size > 0 || (outcome !== undefined && !outcomes.has(outcome))
      if (outcome !== undefined) outcomes.add(outcome)
      if (isNew) kept.push(input)
    }
    return kept
  }

  #mutated(): Buffer {
    const random = this.#random
    const { corpus } = this
    const { mutate, words, bytesMax } = this.#target
    // What is new is what leads on: half of the parents are from the last eighth. And of two the shorter one leads on faster.
    const index = () =>
      random.oneIn(2) ? corpus.length - 1 - random.below(Math.ceil(corpus.length / 8)) : random.below(corpus.length)
    const [one, two] = [corpus[index()], corpus[index()]]
    let input = (one !== undefined && two !== undefined && two.length < one.length ? two : one) ?? Buffer.alloc(0)
    const most = random.oneIn(longOneIn) ? bytesMax : Math.min(bytesMax, usualBytesMax)
    if (mutate !== undefined && !random.oneIn(3)) {
      for (let times = 1 + random.small(3); times > 0; times--) input = mutate(input, random)
      if (!random.oneIn(4)) return Buffer.from(input.subarray(0, most))
    }
    const other = corpus[random.below(corpus.length)] ?? Buffer.alloc(0)
    return Buffer.from(havoc(input, random, words, other, most))
  }

  async #batch(inputs: readonly Buffer[]): Promise<void> {
    for (const input of inputs) {
      const outcome = await this.#run(input)
      if (outcome === undefined || this.#outcomes.has(outcome) || this.#outcomes.size >= outcomesMax) continue
      this.#outcomes.add(outcome)
      this.corpus.push(input)
    }
    const fresh = this.#coverage.take(true)
    if (fresh.size > 0) await this.#find(inputs, fresh)
  }

  /** Which of these inputs cover what is new. */
  async #find(inputs: readonly Buffer[], wanted: ReadonlySet<string>): Promise<void> {
    if (inputs.length === 1) {
      const input = inputs[0]!
      if (!this.corpus.includes(input)) this.corpus.push(input)
      return
    }
    const middle = inputs.length >> 1
    const first = inputs.slice(0, middle)
    this.#coverage.drop()
    for (const input of first) await this.#run(input)
    const inFirst = this.#coverage.hits(wanted)
    const rest = new Set([...wanted].filter((key) => !inFirst.has(key)))
    if (inFirst.size > 0) await this.#find(first, inFirst)
    if (rest.size === 0) return
    const second = inputs.slice(middle)
    if (second.length > 1) {
      await this.#find(second, rest)
      return
    }
    this.#coverage.drop()
    await this.#run(second[0]!)
    if (this.#coverage.hits(rest).size > 0) await this.#find(second, rest)
    else this.unstable++
  }

  /** @returns the outcome; undefined when it is a finding, which is remembered. */
  async #run(input: Buffer): Promise<string | undefined> {
    const tried = await this.#try(input)
    if ('outcome' in tried) return tried.outcome
    const { title, detail } = tried
    if (!this.findings.has(title)) {
      this.findings.set(title, { target: this.#target.name, title, detail, input })
      const smaller = await this.#minimise(input, title)
      const again = await this.#try(smaller)
      const told = 'title' in again ? again.detail : detail
      this.findings.set(title, { target: this.#target.name, title, detail: told, input: smaller })
    }
    return undefined
  }

  async #try(input: Buffer): Promise<{ outcome: string } | { title: string; detail: string }> {
    this.#watch(input)
    this.executions++
    try {
      for (let tries = 1; ; tries++) {
        const before = process.threadCpuUsage()
        // A copy: nothing that the code does to an input may change the corpus.
        const result = this.#target.run(Buffer.from(input))
        const outcome = typeof result === 'string' ? result : await result
        const { user, system } = process.threadCpuUsage(before)
        const cpuMs = (user + system) / 1000
        if (cpuMs <= cpuMsMax(input.length)) return { outcome }
        if (tries === slowTries)
          return { title: slow, detail: `${cpuMs.toFixed(0)} ms of CPU for ${input.length} bytes` }
      }
    } catch (error) {
      return { title: titleOf(error), detail: inspect(error) }
    }
  }

  /** Leaves out pieces, large ones first, then makes bytes 0, as long as it goes wrong in the same way. */
  async #minimise(input: Buffer, title: string): Promise<Buffer> {
    let smallest = input
    let tries = 0
    const isSame = async (candidate: Buffer): Promise<boolean> => {
      tries++
      const tried = await this.#try(candidate)
      if (!('title' in tried) || tried.title !== title) return false
      smallest = candidate
      return true
    }
    const triesMax = title === slow ? slowTriesMax : minimiseTriesMax
    for (let size = Math.max(1, input.length >> 1); size >= 1 && tries < triesMax; size = size >> 1)
      for (let at = 0; at < smallest.length && tries < triesMax; ) {
        const without = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)])
        if (!(await isSame(without))) at += size
      }
    for (let at = 0; at < smallest.length && tries < triesMax; at++) {
      if (smallest[at] === 0) continue
      const zeroed = Buffer.from(smallest)
      zeroed[at] = 0
      await isSame(zeroed)
    }
    return smallest
  }
}

/** The first line of what is wrong and where it was thrown, without numbers. */
function titleOf(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${typeof error}`
  const message = (error.message.split('\n', 1)[0] ?? '').replace(/\d+/g, 'N').slice(0, 100)
  if (error instanceof Broken) return `broken: ${message}`
  const place = /at (?:.*\()?[^()]*\/((?:src|test)\/[^():]+):\d+/.exec(error.stack ?? '')?.[1] ?? ''
  return `${error.name}: ${message} (${place})`
}
