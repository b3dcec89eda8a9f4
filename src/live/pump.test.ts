import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { systemClock } from '../clock.ts'
import type { ArrivalForecast } from './arrival-forecast.ts'
import { type Marked, noRests, Pump, type PumpTurn, type Rests } from './pump.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const rests: Rests = { few: 0, many: 30, foretold: 0, crowd: 60 }

class Output implements PumpTurn {
  turns = 0
  bytesMax = 0
  queued = false
  catchingUp = false
  outputs = 1
  awaitsLoop = false

  takeTurn(bytesMax: number): boolean {
    this.turns++
    this.bytesMax = bytesMax
    return false
  }
  failed(error: unknown): never {
    throw error
  }
}

/** Logs that have something for all of their outputs, again and again. */
class Stage {
  readonly pump: Pump
  rounds = 0
  readonly #logs: Marked[]

  constructor(logs: number, outputsOfEach: number, isAwaited?: () => boolean) {
    this.pump = new Pump(systemClock, rests, isAwaited)
    this.#logs = Array.from({ length: logs }, () => {
      const outputs = Array.from({ length: outputsOfEach }, () => new Output())
      return {
        flush: () => {
          this.rounds++
          for (const output of outputs) this.pump.offer(output)
        },
      }
    })
  }

  /** @returns how long it took until everything that was marked was out, milliseconds. */
  async round(): Promise<number> {
    const before = this.rounds
    const start = performance.now()
    this.pump.rest()
    for (const log of this.#logs) this.pump.mark(log)
    while (this.rounds < before + this.#logs.length) await turn()
    return performance.now() - start
  }
}

/** The last of three rounds: the first one cannot know what there will be to do. */
async function lastRoundMs(stage: Stage): Promise<number> {
  let ms = 0
  for (let count = 0; count < 3; count++) ms = await stage.round()
  return ms
}

test('a few outputs are served at once', async () => {
  const fastest = Math.min(...(await Promise.all([1, 2, 3].map(() => lastRoundMs(new Stage(1, 3))))))
  assert.ok(fastest < rests.many / 2, `${fastest} ms`)
})

test('many outputs of one broadcast are a reason to rest, and those of many broadcasts to rest for longer', async () => {
  const many = await lastRoundMs(new Stage(1, 50))
  assert.ok(many >= rests.many - 1, `${many} ms`)
  const crowd = await lastRoundMs(new Stage(20, 1))
  assert.ok(crowd >= rests.crowd - 1, `${crowd} ms`)
})

test('many broadcasts that come one by one are a crowd, too', async () => {
  const pump = new Pump(systemClock, rests)
  const logs = Array.from({ length: 20 }, () => new Output())
  const flushes = logs.map((output) => ({ flush: () => pump.offer(output) }))
  // As sockets that are read one in each turn of a loop that is quick enough.
  const until = performance.now() + 10 * rests.crowd
  for (let index = 0; pump.restedMs === 0 && performance.now() < until; index = (index + 1) % 20) {
    const before = logs[index]!.turns
    pump.mark(flushes[index]!)
    while (logs[index]!.turns === before) await turn()
  }
  assert.ok(pump.restedMs >= rests.crowd)
})

test('the rest of a crowd follows its round, and is not taken again when the next bytes come', async () => {
  const stage = new Stage(20, 1)
  await lastRoundMs(stage)
  const { restedMs } = stage.pump
  assert.ok(restedMs >= rests.crowd)
  const start = performance.now()
  stage.pump.rest()
  assert.ok(performance.now() - start < rests.crowd / 2)
  assert.equal(stage.pump.restedMs, restedMs)
})

test('a long round shortens the rest before the next one, as far as half', async () => {
  const pump = new Pump(systemClock, { few: 0, many: 20, foretold: 0, crowd: 60 })
  const outputs = Array.from({ length: 16 }, () => new Output())
  const busy = outputs[0]!
  const log = {
    flush() {
      for (const output of outputs) pump.offer(output)
    },
  }
  const restAfter = async (roundMs: number) => {
    busy.takeTurn = () => {
      busy.turns++
      for (const end = performance.now() + roundMs; performance.now() < end; );
      return false
    }
    const before = busy.turns
    pump.mark(log)
    while (busy.turns === before) await turn()
    const { restedMs } = pump
    pump.rest()
    return pump.restedMs - restedMs
  }
  const afterShort = await restAfter(0)
  assert.ok(afterShort > 10 && afterShort <= 20, `${afterShort} ms`)
  const afterLonger = await restAfter(4)
  assert.ok(afterLonger <= 16, `${afterLonger} ms`)
})

/** A broadcast of which a test says when its next beat ends, on a clock that stands still. */
class Foretold {
  readonly clock = new ManualClock()
  readonly pump = new Pump(this.clock, { few: 0, many: 5, foretold: 1, crowd: 60 })
  readonly gathers: number[] = []
  readonly seenToArrive: number[] = []
  rounds = 0
  #endsInMs = Number.NaN
  readonly forecast = {
    isLook: false,
    isWorthWaiting: () => false,
    nextBeat: (gatherMs: number, nowMs: number, arrivedMs: number) => {
      this.gathers.push(gatherMs)
      this.seenToArrive.push(arrivedMs - nowMs)
      return nowMs + this.#endsInMs
    },
  }
  readonly outputs = Array.from({ length: 16 }, () => new Output())
  readonly #log = {
    forecast: this.forecast as unknown as ArrivalForecast,
    flush: () => {
      this.rounds++
      for (const output of this.outputs) this.pump.offer(output)
    },
  }

  /** @returns how long it rested when the bytes came, and from then until its round was over, in whole milliseconds. */
  async round(endsInMs: number): Promise<[number, number]> {
    this.#endsInMs = endsInMs
    const start = this.pump.restedMs
    this.pump.rest()
    const rested = this.pump.restedMs - start
    const before = this.rounds
    this.pump.mark(this.#log)
    while (this.rounds === before) await turn()
    return [Math.round(rested), Math.round(this.pump.restedMs - start - rested)]
  }
}

test('where the coming of a broadcast is foretold, the thread sleeps until the end of its beat, and not again', async () => {
  const stage = new Foretold()
  assert.deepEqual(await stage.round(3), [0, 3], 'the first one knows of no outputs')
  assert.deepEqual(await stage.round(Number.NaN), [0, 0])
  assert.deepEqual(await stage.round(20), [5, 20], 'nothing was foretold of this one')
  assert.deepEqual(await stage.round(30), [0, 0], 'nobody waits for longer than 25 ms')
  assert.deepEqual(stage.gathers, [6, 6, 6, 6], 'a beat is longer where it is foretold')
})

test('what it does not sleep through rests until the end of its beat, and no longer than a beat', async () => {
  const stage = new Foretold()
  await stage.round(Number.NaN)
  await stage.round(30)
  stage.clock.advance(27)
  assert.deepEqual(await stage.round(30), [3, 0])
  assert.deepEqual(await stage.round(30), [6, 0])
  stage.clock.advance(40)
  stage.forecast.isLook = true
  assert.deepEqual(await stage.round(4), [0, 0], 'a look')
  stage.clock.advance(1)
  stage.forecast.isLook = false
  assert.deepEqual(await stage.round(4), [3, 4])
})

test('a turn that goes on when the loop says that its first part is out is not slept over', async () => {
  const stage = new Foretold()
  await stage.round(3)
  stage.outputs[3]!.awaitsLoop = true
  assert.deepEqual(await stage.round(3), [0, 0])
  stage.outputs[3]!.awaitsLoop = false
  assert.deepEqual(await stage.round(3), [0, 0], 'nor when a message comes meanwhile')
  // A destination that takes nothing keeps nobody from resting.
  stage.clock.advance(5)
  const [, slept] = await stage.round(3)
  assert.equal(slept, 3)
})

test('two broadcasts in turn are not foretold, and one is again when the other has been silent for a while', async () => {
  const stage = new Foretold()
  const other = new Foretold()
  const otherRound = async () => {
    stage.pump.mark({ flush() {}, forecast: other.forecast as unknown as ArrivalForecast })
    await turn()
  }
  await stage.round(3)
  for (let count = 0; count < 20; count++) {
    stage.clock.advance(16)
    await otherRound()
    stage.clock.advance(17)
    const [, slept] = await stage.round(3)
    assert.equal(slept, 0)
  }
  assert.equal(stage.gathers.length, 1)
  stage.clock.advance(200)
  const [, slept] = await stage.round(3)
  assert.equal(slept, 3)
})

test('a foretold message that is late is waited for in small steps, for as long as its forecast says', async () => {
  const stage = new Foretold()
  let misses = 0
  stage.forecast.isWorthWaiting = () => misses-- > 0
  await stage.round(2)
  misses = 3
  const [, rested] = await stage.round(Number.NaN)
  assert.equal(rested, 1, '3 x 0.4 ms')
  // Nothing is foretold of this one, and then of somebody else's.
  misses = 3
  assert.deepEqual(await stage.round(2), [5, 2])
  misses = 3
  stage.pump.mark({ flush() {} })
  assert.deepEqual(await stage.round(Number.NaN), [0, 0])
})

test('what comes long after the thread woke up is seen to arrive; what is there already is not', async () => {
  const stage = new Foretold()
  await stage.round(3)
  await stage.round(3)
  stage.clock.advance(2)
  await stage.round(3)
  await stage.round(3)
  // The beginning of a message came, and the rest of it after a beat.
  await stage.round(Number.NaN)
  stage.pump.rest()
  stage.clock.advance(5)
  await stage.round(3)
  assert.deepEqual(stage.seenToArrive, [Number.NaN, Number.NaN, 0, Number.NaN, Number.NaN, -5])
})

test('what comes while the thread rests goes out in the same round', async () => {
  const stage = new Stage(1, 50)
  await stage.round()
  let late = 0
  // Read by the loop after the rest, before the round.
  const reading = setTimeout(() => stage.pump.mark({ flush: () => late++ }), 1)
  await stage.round()
  clearTimeout(reading)
  assert.equal(late, 1)
})

test('nobody who waits for something else that the thread does waits for its rest', async () => {
  let isAwaited = false
  const stage = new Stage(1, 50, () => isAwaited)
  assert.ok((await lastRoundMs(stage)) >= rests.many - 1)
  isAwaited = true
  const fastest = Math.min(await stage.round(), await stage.round(), await stage.round())
  assert.ok(fastest < rests.many / 2, `${fastest} ms`)
})

test('a turn takes 64 KiB, and twice as much where nobody cares for delay', async () => {
  for (const [few, kib] of [
    [0, 64],
    [1, 128],
  ] as const) {
    const pump = new Pump(systemClock, { few, many: few, foretold: 0, crowd: few })
    const output = new Output()
    pump.mark({ flush: () => pump.offer(output) })
    while (output.turns === 0) await turn()
    assert.equal(output.bytesMax, kib * 1024)
  }
})

test('a turn that throws ends its own output, and a flush its own round', async () => {
  const pump = new Pump(systemClock, noRests)
  const [bad, good] = [new Output(), new Output()]
  const failures: unknown[] = []
  bad.takeTurn = () => {
    throw new TypeError('a mistake')
  }
  bad.failed = ((error: unknown) => failures.push(error)) as never
  pump.mark({
    flush() {
      pump.offer(bad)
      pump.offer(good)
    },
  })
  while (good.turns === 0) await turn()
  assert.equal(failures.length, 1)
})
