/** Reads bits, the most significant first. Past the end everything reads 0 and `overrun` is true: whoever reads a structure asks once. */
export class BitReader {
  readonly #bytes: Uint8Array
  #at = 0
  #overrun = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** More was asked for than there is, or a number was longer than any can be: what was read is nonsense. */
  get overrun(): boolean {
    return this.#overrun
  }
  /** Bits. */
  get left(): number {
    return this.#bytes.length * 8 - this.#at
  }

  /** An unsigned number of 0 to 32 bits. */
  bits(count: number): number {
    if (count > this.left) {
      this.#fail()
      return 0
    }
    let value = 0
    for (let end = this.#at + count; this.#at < end; this.#at++)
      value = value * 2 + ((this.#bytes[this.#at >> 3]! >> (7 - (this.#at & 7))) & 1)
    return value
  }

  flag(): boolean {
    return this.bits(1) === 1
  }

  skip(count: number): void {
    if (count > this.left) this.#fail()
    else this.#at += count
  }

  /** To the next whole byte. */
  align(): void {
    this.#at = (this.#at + 7) & ~7
  }

  /** Exp-Golomb, ue(v) of H.264 (clause 9.1) and H.265; uvlc() of AV1 (4.10.3) is the same for all that occurs. */
  unsigned(): number {
    let zeros = 0
    while (!this.flag()) {
      if (this.#overrun) return 0
      if (++zeros === 32) {
        this.#fail()
        return 0
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros)
  }

  /** se(v): 1, −1, 2, −2, … */
  signed(): number {
    const value = this.unsigned()
    return value % 2 === 1 ? (value + 1) / 2 : -value / 2
  }

  #fail(): void {
    this.#overrun = true
    this.#at = this.#bytes.length * 8
  }
}

/** Far more than any parameter set of a real encoder has; what a stranger sends beyond that is not looked at. */
const nalBytesMax = 4096

/**
 * What a NAL unit says: in H.264 and H.265 an encoder puts a 03 after two zero bytes so that nothing looks like a start code
 * (H.264, clause 7.4.1).
 */
export function withoutEmulationPrevention(nal: Uint8Array): Uint8Array {
  const length = Math.min(nal.length, nalBytesMax)
  const bytes = new Uint8Array(length)
  let written = 0
  let zeros = 0
  for (let at = 0; at < length; at++) {
    const byte = nal[at]!
    if (zeros >= 2 && byte === 3) {
      zeros = 0
      continue
    }
    zeros = byte === 0 ? zeros + 1 : 0
    bytes[written++] = byte
  }
  return bytes.subarray(0, written)
}
