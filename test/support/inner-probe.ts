/**
 * Preloaded into a server under test (`--import`): at SIGUSR2 it collects garbage and writes a line of JSON that says what the process
 * holds. With `--expose-gc` the figures of memory are of what is alive.
 */
let count = 0

process.on('SIGUSR2', () => {
  const { gc } = globalThis as { gc?: () => void }
  // Twice: what finalizers let go in the first round is gone after the second.
  gc?.()
  setTimeout(() => {
    gc?.()
    const resources: Record<string, number> = {}
    for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
    const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    process.stdout.write(`${JSON.stringify({ probe: ++count, ...process.memoryUsage(), resources, listeners })}\n`)
  }, 50)
})
