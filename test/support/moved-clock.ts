import { isMainThread } from 'node:worker_threads'

/**
 * Preloaded into a server under test (`--import`): at each SIGUSR2 the time of day of all threads jumps to the next of TEST_CLOCK_OFFSETS (in
 * milliseconds from the true time, joined by commas), as when a machine's clock is set. Timers go on as they are, as they do then.
 */
const offsets = (process.env['TEST_CLOCK_OFFSETS'] ?? '').split(',').map(Number)
const realNow = Date.now
const channel = new BroadcastChannel('moved-clock') as InstanceType<typeof BroadcastChannel> & { unref(): void }

const move = (offsetMs: number) => {
  Date.now = () => realNow() + offsetMs
}
channel.onmessage = ({ data }: MessageEvent) => move(data as number)
channel.unref()

if (isMainThread)
  process.on('SIGUSR2', () => {
    const offsetMs = offsets.shift() ?? 0
    move(offsetMs)
    channel.postMessage(offsetMs)
    process.stdout.write(`${JSON.stringify({ msg: 'the clock was moved', offsetMs })}\n`)
  })
