import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { systemClock } from '../clock.ts'
import type { ArrivalForecast } from './arrival-forecast.ts'
import { type Marked, Pump, type PumpTurn, type Rests } from './pump.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const rests: Rests = { few: 0, many: 30, crowd: 60 }

class Output implements PumpTurn {
  turns = 0
  bytesMax = 0
  queued = false
  catchingUp = false
  outputs = 1

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
  const pump = new Pump(systemClock, { few: 0, many: 20, crowd: 60 })
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

test('where the coming of a broadcast is foretold, the thread sleeps until then and for its rest, and not again', async () => {
  const clock = new ManualClock()
  const pump = new Pump(clock, { few: 0, many: 5, crowd: 60 })
  const outputs = Array.from({ length: 16 }, () => new Output())
  let comesInMs = Number.NaN
  const seenToArrive: number[] = []
  const forecast = {
    next(arrivedMs: number) {
      seenToArrive.push(arrivedMs - clock.monotonicMs())
      return clock.monotonicMs() + comesInMs
    },
  }
  let rounds = 0
  const log = {
    forecast: forecast as unknown as ArrivalForecast,
    flush() {
      rounds++
      for (const output of outputs) pump.offer(output)
    },
  }
  /** @returns how long it rested when the bytes came, and after their round. */
  const roundBefore = async (foretoldMs: number) => {
    comesInMs = foretoldMs
    const start = pump.restedMs
    pump.rest()
    const rested = pump.restedMs - start
    const before = rounds
    pump.mark(log)
    while (rounds === before) await turn()
    return [rested, pump.restedMs - start - rested]
  }
  assert.deepEqual(await roundBefore(3), [0, 8], 'the first one knows of no outputs')
  assert.deepEqual(await roundBefore(Number.NaN), [0, 0])
  assert.deepEqual(await roundBefore(15), [5, 20])
  assert.deepEqual(await roundBefore(16), [0, 0], 'nobody waits for longer than 20 ms')
  assert.deepEqual(await roundBefore(3), [5, 8])
  // What comes long after the thread woke up is seen to arrive; what is there already is not.
  clock.advance(2)
  await roundBefore(3)
  await roundBefore(3)
  assert.deepEqual(seenToArrive, [Number.NaN, Number.NaN, 0, Number.NaN, 0, 0, Number.NaN])
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
    const pump = new Pump(systemClock, { few, many: few, crowd: few })
    const output = new Output()
    pump.mark({ flush: () => pump.offer(output) })
    while (output.turns === 0) await turn()
    assert.equal(output.bytesMax, kib * 1024)
  }
})

test('a turn that throws ends its own output, and a flush its own round', async () => {
  const pump = new Pump(systemClock, { few: 0, many: 0, crowd: 0 })
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
