import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../clock.ts'
import { Pump, type PumpTurn, type Rests } from './pump.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const rests: Rests = { few: 0, many: 30, crowd: 60 }

class Output implements PumpTurn {
  turns = 0
  queued = false
  catchingUp = false

  takeTurn(): boolean {
    this.turns++
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
  readonly #logs: (() => void)[]

  constructor(logs: number, outputsOfEach: number, isAwaited?: () => boolean) {
    this.pump = new Pump(systemClock, rests, isAwaited)
    this.#logs = Array.from({ length: logs }, () => {
      const outputs = Array.from({ length: outputsOfEach }, () => new Output())
      return () => {
        this.rounds++
        for (const output of outputs) this.pump.offer(output)
      }
    })
  }

  /** @returns how long it took until everything that was marked was out, milliseconds. */
  async round(): Promise<number> {
    const before = this.rounds
    const start = performance.now()
    this.pump.rest()
    for (const flush of this.#logs) this.pump.mark(flush)
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

test('what comes while the thread rests goes out in the same round', async () => {
  const stage = new Stage(1, 50)
  await stage.round()
  let late = 0
  // Read by the loop after the rest, before the round.
  const reading = setTimeout(() => stage.pump.mark(() => late++), 1)
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

test('a turn that throws ends its own output, and a flush its own round', async () => {
  const pump = new Pump(systemClock, { few: 0, many: 0, crowd: 0 })
  const [bad, good] = [new Output(), new Output()]
  const failures: unknown[] = []
  bad.takeTurn = () => {
    throw new TypeError('a mistake')
  }
  bad.failed = ((error: unknown) => failures.push(error)) as never
  pump.mark(() => {
    pump.offer(bad)
    pump.offer(good)
  })
  while (good.turns === 0) await turn()
  assert.equal(failures.length, 1)
})
