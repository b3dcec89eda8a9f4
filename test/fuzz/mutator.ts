import type { Random } from './random.ts'

/** Changes an input without knowing its format: bits, numbers, pieces that move, come twice, or come from elsewhere. */
export type Mutation = (input: Buffer, random: Random, words: readonly Buffer[], other: Buffer) => Buffer

const interesting = [0, 1, 2, 3, 7, 8, 16, 31, 32, 63, 64, 65, 127, 128, 254, 255]
const interesting16 = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0x8000, 0xfffe, 0xffff]
const interesting24 = [0, 1, 0xff, 0x100, 0xffff, 0x10000, 0x7fffff, 0x800000, 0xfffffe, 0xffffff]
const interesting32 = [0, 1, 0xff, 0xffff, 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]

/** A piece that is repeated until quadratic work would show. */
const longRepeatBytes = 16 * 1024

const mutations: readonly Mutation[] = [
  flipBit,
  setByte,
  setByte,
  setNumber,
  addToByte,
  insertBytes,
  removeBytes,
  removeBytes,
  repeatPiece,
  movePiece,
  insertWord,
  insertWord,
  overwriteWord,
  splice,
  insertFromOther,
  cutOff,
]

/** One to a dozen changes, few more often than many. */
export function havoc(
  input: Buffer,
  random: Random,
  words: readonly Buffer[],
  other: Buffer,
  bytesMax: number,
): Buffer {
  let changed: Buffer = Buffer.from(input)
  const changes = 1 + random.small(11)
  for (let change = 0; change < changes; change++) changed = random.pick(mutations)(changed, random, words, other)
  // Rarely, because long inputs are slow ones.
  if (random.oneIn(200)) changed = repeatLong(changed, random, words)
  return changed.length > bytesMax ? changed.subarray(0, bytesMax) : changed
}

function insert(input: Buffer, at: number, piece: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)])
}

/** Start and end of a piece, short more often than long. */
function pieceOf(input: Buffer, random: Random): { start: number; end: number } {
  const length = Math.min(input.length, 1 + random.small(Math.max(1, input.length - 1)))
  const start = random.below(input.length - length + 1)
  return { start, end: start + length }
}

function flipBit(input: Buffer, random: Random): Buffer {
  if (input.length > 0) input[random.below(input.length)]! ^= 1 << random.below(8)
  return input
}

function setByte(input: Buffer, random: Random): Buffer {
  if (input.length > 0)
    input[random.below(input.length)] = random.oneIn(2) ? random.pick(interesting) : random.below(256)
  return input
}

function addToByte(input: Buffer, random: Random): Buffer {
  if (input.length > 0) input[random.below(input.length)]! += random.below(35) - 17
  return input
}

function setNumber(input: Buffer, random: Random): Buffer {
  const bytes = 2 + random.below(3)
  if (input.length < bytes) return input
  const at = random.below(input.length - bytes + 1)
  // A length that is almost right finds more than one that is absurd.
  const value = random.oneIn(3)
    ? Math.min(input.length, 0xffff)
    : random.pick(bytes === 2 ? interesting16 : bytes === 3 ? interesting24 : interesting32)
  if (random.oneIn(4)) input.writeUIntLE(value, at, bytes)
  else input.writeUIntBE(value, at, bytes)
  return input
}

function insertBytes(input: Buffer, random: Random): Buffer {
  const count = 1 + random.small(64)
  const piece = random.oneIn(2) ? Buffer.alloc(count, random.pick(interesting)) : random.bytes(count)
  return insert(input, random.below(input.length + 1), piece)
}

function removeBytes(input: Buffer, random: Random): Buffer {
  if (input.length === 0) return input
  const { start, end } = pieceOf(input, random)
  return Buffer.concat([input.subarray(0, start), input.subarray(end)])
}

function repeatPiece(input: Buffer, random: Random): Buffer {
  if (input.length === 0) return input
  const { start, end } = pieceOf(input, random)
  const piece = input.subarray(start, end)
  return insert(input, end, Buffer.concat(Array.from({ length: 1 + random.small(15) }, () => piece)))
}

function movePiece(input: Buffer, random: Random): Buffer {
  if (input.length < 2) return input
  const { start, end } = pieceOf(input, random)
  const piece = Buffer.from(input.subarray(start, end))
  const rest = Buffer.concat([input.subarray(0, start), input.subarray(end)])
  return insert(rest, random.below(rest.length + 1), piece)
}

function insertWord(input: Buffer, random: Random, words: readonly Buffer[]): Buffer {
  return words.length === 0 ? input : insert(input, random.below(input.length + 1), random.pick(words))
}

function overwriteWord(input: Buffer, random: Random, words: readonly Buffer[]): Buffer {
  if (words.length === 0) return input
  const word = random.pick(words)
  if (word.length <= input.length) word.copy(input, random.below(input.length - word.length + 1))
  return input
}

/** The beginning of one and the end of another. */
function splice(input: Buffer, random: Random, _words: readonly Buffer[], other: Buffer): Buffer {
  return Buffer.concat([
    input.subarray(0, random.below(input.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ])
}

function insertFromOther(input: Buffer, random: Random, _words: readonly Buffer[], other: Buffer): Buffer {
  if (other.length === 0) return input
  const { start, end } = pieceOf(other, random)
  return insert(input, random.below(input.length + 1), other.subarray(start, end))
}

function cutOff(input: Buffer, random: Random): Buffer {
  return input.subarray(0, random.below(input.length + 1))
}

function repeatLong(input: Buffer, random: Random, words: readonly Buffer[]): Buffer {
  const piece = words.length > 0 && random.oneIn(2) ? random.pick(words) : random.bytes(1 + random.below(3))
  if (piece.length === 0) return input
  const bytes = 1 + random.below(longRepeatBytes)
  return insert(input, random.below(input.length + 1), Buffer.alloc(bytes, piece))
}
