import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { type Publisher, publish } from '../test/support/publisher.ts'
import { syntheticTags } from '../test/support/synthetic-source.ts'
import type { PublishersReport, Target } from './load.ts'

/**
 * The encoders of a bench where there is no C compiler: publishers.ts KBPS FPS [video]. Obeys the lines of bench/load/publishers.c. Each
 * publishes the synthetic source, begun at different times, so that their key frames do not fall together.
 */
const [kbps, fps] = process.argv.slice(2, 4).map(Number) as [number, number]
const audio = process.argv[4] !== 'video'
const targets: Target[] = []
const publishers: Publisher[] = []
const staggerMsMax = 40
const groupMs = 2_000
const eventLoopDelay = monitorEventLoopDelay({ resolution: 1 })
eventLoopDelay.enable()
let cpuSince = process.cpuUsage()
let waitingBytesMax = 0

async function start(): Promise<{ publishing: number }> {
  const staggerMs = Math.min(staggerMsMax, groupMs / targets.length)
  for (const { port, app, key } of targets.splice(0)) {
    const publisher = await publish({
      url: `rtmp://127.0.0.1:${port}/${app}`,
      key,
      chunkSize: 4096,
      deadlineMs: 30_000,
    })
    void publisher.replay(syntheticTags({ kbps, fps, audio, session: publishers.length }))
    publishers.push(publisher)
    await new Promise((resolve) => setTimeout(resolve, staggerMs))
  }
  return { publishing: publishers.length }
}

function report(): PublishersReport {
  const waiting = publishers.map(({ socket }) => socket.writableLength)
  waitingBytesMax = Math.max(waitingBytesMax, ...waiting)
  const { user, system } = process.cpuUsage(cpuSince)
  const ms = (nanoseconds: number) => nanoseconds / 1e6
  return {
    publishing: publishers.filter(({ socket }) => !socket.destroyed).length,
    gone: publishers.filter(({ socket }) => socket.destroyed).length,
    messages: 0,
    bytes: 0,
    waitingBytes: waiting.reduce((sum, bytes) => sum + bytes, 0),
    waitingBytesMax,
    cpuSeconds: (user + system) / 1e6,
    // Messages are made by timers: what holds up the loop makes them late.
    latenessMs: {
      p50: ms(eventLoopDelay.percentile(50)),
      p99: ms(eventLoopDelay.percentile(99)),
      max: ms(eventLoopDelay.max),
    },
  }
}

async function obey(line: string): Promise<unknown> {
  const target = /^target (\d+) (\S+) (\S+)$/.exec(line)
  if (target !== null) {
    targets.push({ port: Number(target[1]), app: target[2]!, key: target[3]! })
    return undefined
  }
  if (line === 'start') return start()
  if (line === 'report') return report()
  cpuSince = process.cpuUsage()
  waitingBytesMax = 0
  eventLoopDelay.reset()
  return {}
}

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const answer = await obey(line)
    if (answer !== undefined) process.stdout.write(`${JSON.stringify(answer)}\n`)
  })
  .on('close', () => process.exit(0))
