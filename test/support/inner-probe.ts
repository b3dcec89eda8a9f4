import { isMainThread, threadId } from 'node:worker_threads'

/**
 * Preloaded into a server under test (`--import`): at SIGUSR2 it collects garbage in every thread that it was loaded into, and writes a
 * line of JSON that says what the process holds. With `--expose-gc` the figures of memory are of what is alive.
 */
type OfThread = {
  readonly threadId: number
  readonly heapUsed: number
  readonly arrayBuffers: number
  readonly resources: Readonly<Record<string, number>>
}

/** Each thread answers within some milliseconds, unless it is busy. */
const answersMs = 400

// `unref` is missing in the types of the global one.
const channel = new BroadcastChannel('inner-probe') as InstanceType<typeof BroadcastChannel> & { unref(): void }
channel.unref()

if (isMainThread) {
  let count = 0
  process.on('SIGUSR2', async () => {
    const threads: OfThread[] = []
    const question = ++count
    channel.onmessage = ({ data }: MessageEvent) => {
      const { answer, to } = data as { answer?: OfThread; to: number }
      if (answer !== undefined && to === question) threads.push(answer)
    }
    channel.unref()
    channel.postMessage({ question })
    threads.push(await held())
    await new Promise((resolve) => setTimeout(resolve, answersMs))
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
}

async function held(): Promise<OfThread> {
  const { gc } = globalThis as { gc?: () => void }
  // Twice: what finalizers let go in the first round is gone after the second.
  gc?.()
  await new Promise((resolve) => setTimeout(resolve, 50))
  gc?.()
  const resources: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return { threadId, heapUsed, arrayBuffers, resources }
}
