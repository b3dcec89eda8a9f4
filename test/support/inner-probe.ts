import { isMainThread, threadId } from 'node:worker_threads'
import { RelayRings } from '../../src/live/relay-ring.ts'
import { SlabPool } from '../../src/live/slab-pool.ts'

/**
 * Preloaded into a server under test (`--import`): at SIGUSR2 it collects garbage in every thread that it was loaded into, and writes a
 * line of JSON that says what the process holds. With `--expose-gc` the figures of memory are of what is alive.
 */
type OfThread = {
  readonly threadId: number
  readonly heapUsed: number
  readonly arrayBuffers: number
  /** Of `arrayBuffers`, what pools keep for later use: as much as was once needed at the same time, and no more than their bounds. */
  readonly pooled: number
  readonly resources: Readonly<Record<string, number>>
}

/** For all threads to answer; they need some milliseconds, unless they are busy. */
const answersMs = 10_000

/** The pools of this thread: whoever has something idle has given something out before. */
const pools = new Set<{ readonly idleBytes: number }>()
for (const { prototype } of [SlabPool, RelayRings]) {
  const { take } = prototype as { take(this: { readonly idleBytes: number }, ...args: unknown[]): unknown }
  Object.assign(prototype, {
    take(this: { readonly idleBytes: number }, ...args: unknown[]) {
      pools.add(this)
      return take.apply(this, args)
    },
  })
}

// `unref` is missing in the types of the global one.
const channel = new BroadcastChannel('inner-probe') as InstanceType<typeof BroadcastChannel> & { unref(): void }
channel.unref()

if (isMainThread) {
  let count = 0
  let workers = 0
  let onAnswer: (answer: OfThread, to: number) => void = () => {}
  channel.onmessage = ({ data }: MessageEvent) => {
    const { answer, to } = data as { answer?: OfThread; to: number }
    if (answer === undefined) workers++
    else onAnswer(answer, to)
  }
  channel.unref()
  process.on('SIGUSR2', async () => {
    const threads: OfThread[] = []
    const question = ++count
    const allHaveAnswered = new Promise<void>((resolve) => {
      onAnswer = (answer, to) => {
        if (to === question) threads.push(answer)
        if (threads.length === workers) resolve()
      }
      if (workers === 0) resolve()
      setTimeout(resolve, answersMs).unref()
    })
    channel.postMessage({ question })
    await allHaveAnswered
    // The last one: shared memory counts here until every thread has let go of it.
    threads.push(await held())
    const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    // On a line of its own, whatever of the log is half written.
    process.stdout.write(
      `\n${JSON.stringify({ probe: question, rss: process.memoryUsage.rss(), listeners, threads })}\n`,
    )
  })
} else {
  channel.onmessage = async ({ data }: MessageEvent) => {
    // All threads hear all of it, the answers of the others, too.
    const { question } = data as { question?: number }
    if (question !== undefined) channel.postMessage({ answer: await held(), to: question })
  }
  channel.unref()
  channel.postMessage({ threadId })
}

async function held(): Promise<OfThread> {
  const { gc } = globalThis as { gc?: () => void }
  // Three times: what finalizers let go in one round is gone after the next, and the memory of buffers is freed beside the program.
  for (let round = 1; round <= 3; round++) {
    gc?.()
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  const resources: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  const pooled = [...pools].reduce((sum, { idleBytes }) => sum + idleBytes, 0)
  return { threadId, heapUsed, arrayBuffers, pooled, resources }
}
