import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OutputPace, type PaceSample } from './output-pace.ts'

/** Seconds of a feed of `offered` Mbit/s at a destination that takes `accepted` of it; drops where told. */
function seconds(
  pace: OutputPace,
  options: {
    from: number
    to: number
    offered: number
    accepted: number
    /** Bytes between two acknowledgements. */
    acknowledgeEvery?: number
    dropsEvery?: number
    /** What the kernel has taken beyond what was read. */
    kernelBytes?: number
  },
): void {
  const { from, to, offered, accepted, acknowledgeEvery, dropsEvery, kernelBytes = 0 } = options
  const bytesPerMs = (mbps: number) => (mbps * 1_000) / 8
  for (let second = from; second <= to; second++) {
    const atMs = second * 1_000
    const readBytes = bytesPerMs(accepted) * atMs
    const acknowledgements = acknowledgeEvery === undefined ? 0 : Math.floor(readBytes / acknowledgeEvery)
    pace.observe({
      atMs,
      offeredBytes: bytesPerMs(offered) * atMs,
      writtenBytes: Math.min(bytesPerMs(offered) * atMs, readBytes + kernelBytes),
      acknowledgedBytes: acknowledgements * (acknowledgeEvery ?? 0),
      acknowledgedAtMs:
        acknowledgements === 0 ? Number.NaN : (acknowledgements * acknowledgeEvery!) / bytesPerMs(accepted),
      droppedMessages: dropsEvery === undefined ? 0 : Math.floor(second / dropsEvery) * 200,
    } satisfies PaceSample)
  }
}

test('a destination that keeps up has no warning', () => {
  const pace = new OutputPace()
  assert.equal(pace.warning(), undefined)
  seconds(pace, { from: 0, to: 60, offered: 6, accepted: 6 })
  assert.equal(pace.warning(), undefined)
})

test('one that is slow has none as long as nothing is dropped: the kernel and the log still help', () => {
  const pace = new OutputPace()
  seconds(pace, { from: 0, to: 60, offered: 6, accepted: 3.1 })
  assert.equal(pace.warning(), undefined)
})

test('one for which messages are dropped is told with what it accepts and what there is', () => {
  const pace = new OutputPace()
  seconds(pace, { from: 0, to: 40, offered: 6, accepted: 3.1, dropsEvery: 8 })
  assert.equal(pace.warning()?.code, 'too_slow')
  assert.match(pace.warning()!.message, /accepts 3\.1 of 6\.0 Mbit\/s/)
})

test('acknowledgements say more than writes while the kernel fills', () => {
  const pace = new OutputPace()
  const slow = { offered: 12, accepted: 6, dropsEvery: 4, kernelBytes: 8_000_000 }
  seconds(pace, { ...slow, from: 0, to: 8, acknowledgeEvery: 1_250_000 })
  assert.match(pace.warning()!.message, /accepts 6\.0 of 12\.0 Mbit\/s/)
})

test('the warning stays between two drops and goes when the destination has kept up for 10 s', () => {
  const pace = new OutputPace()
  seconds(pace, { from: 0, to: 30, offered: 6, accepted: 3, dropsEvery: 15 })
  assert(pace.warning())
  const droppedMessages = 400
  const bytes = { offeredBytes: 30 * 750_000, writtenBytes: 30 * 375_000 }
  for (let second = 1; second <= 12; second++) {
    pace.observe({
      atMs: (30 + second) * 1_000,
      offeredBytes: bytes.offeredBytes + second * 750_000,
      writtenBytes: bytes.writtenBytes + second * 750_000,
      acknowledgedBytes: 0,
      acknowledgedAtMs: Number.NaN,
      droppedMessages,
    })
    if (second <= 8) assert(pace.warning(), `after ${second} s`)
  }
  assert.equal(pace.warning(), undefined)
})
