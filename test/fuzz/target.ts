import type { Random } from './random.ts'

/** Code that is given inputs, and what must hold whatever the input. */
export type Target = {
  readonly name: string
  /** Files whose blocks count, as the ends of their paths: `src/rtmp/amf0.ts`. */
  readonly covers: readonly string[]
  /** Well-formed inputs, from the tables that the tests use and from recorded peers. */
  readonly seeds: () => readonly Buffer[]
  /** Pieces that inputs are made of. */
  readonly words: readonly Buffer[]
  /** Bytes of the longest input. */
  readonly bytesMax: number
  /** Changes an input as one who knows its format. Left out: only as one who does not. */
  readonly mutate?: (input: Buffer, random: Random) => Buffer
  /**
   * @returns what became of it, in a few words without numbers that take many values: an input with new words is kept.
   * @throws whatever is wrong: an error that is no declared refusal, a Broken promise of the code.
   */
  run(input: Buffer): string | Promise<string>
}

/** A promise of the code under test that an input breaks. */
export class Broken extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Broken'
  }
}

export function must(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Broken(promise)
}

/** Two tellings of the same thing are one. Texts, so that a report shows both. */
export function mustEqual(actual: string, expected: string, promise: string): void {
  if (actual !== expected) throw new Broken(`${promise}\n  one:   ${clip(actual)}\n  other: ${clip(expected)}`)
}

function clip(text: string): string {
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text
}

/** Any value as a text in which equal values look equal: NaN, −0, Maps, bytes, dates and values that contain themselves included. */
export function show(value: unknown, depth = 0, within: readonly unknown[] = []): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value)
  const index = within.indexOf(value)
  if (index >= 0 || depth > 40) return `^${index}`
  const inside = [...within, value]
  if (value instanceof Uint8Array)
    return `<${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}>`
  if (value instanceof Date) return `date ${value.getTime()}`
  if (Array.isArray(value)) return `[${value.map((item) => show(item, depth + 1, inside)).join(',')}]`
  const entries: readonly (readonly [unknown, unknown])[] =
    value instanceof Map ? [...value] : Object.entries(value as Readonly<Record<string, unknown>>)
  return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${show(member, depth + 1, inside)}`).join(',')}}`
}

/** A number as the power of two below it, for words about what happened. */
export function magnitude(count: number): string {
  return count <= 0 ? '0' : `2^${Math.floor(Math.log2(count))}`
}

/** Text as bytes, for `words`. */
export function texts(...words: readonly string[]): Buffer[] {
  return words.map((word) => Buffer.from(word))
}

export function hexes(...words: readonly string[]): Buffer[] {
  return words.map((word) => Buffer.from(word.replaceAll(' ', ''), 'hex'))
}
