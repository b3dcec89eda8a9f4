import { publish } from '../test/support/publisher.ts'
import { syntheticTags } from '../test/support/synthetic-source.ts'

/**
 * The encoders of a bench, in a process of their own: each publishes the synthetic source, begun at different times, so that their key
 * frames do not fall together. Told by the parent what to publish; says `ready` when all do, and `done` with its own CPU time.
 */
export type PublishersOrder = {
  readonly targets: readonly { readonly url: string; readonly key: string }[]
  readonly kbps: number
  readonly fps: number
}

process.once('message', async (order: PublishersOrder) => {
  const stop = new AbortController()
  process.on('message', () => stop.abort())
  process.on('disconnect', () => process.exit(0))
  const running: Promise<unknown>[] = []
  const staggerMs = Math.min(40, 2_000 / order.targets.length)
  for (const [index, target] of order.targets.entries()) {
    const publisher = await publish({ ...target, chunkSize: 4096, deadlineMs: 30_000 })
    const tags = syntheticTags({ kbps: order.kbps, fps: order.fps, session: index })
    running.push(publisher.replay(tags, { signal: stop.signal }))
    await new Promise((resolve) => setTimeout(resolve, staggerMs))
  }
  process.send?.('ready')
  const results = (await Promise.all(running)) as { completed: boolean }[]
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuSeconds: (user + system) / 1e6, publishers: results.length })
  process.exit(0)
})
