import { connect, type Socket } from 'node:net'
import { type RunningProgram, startProgram } from './processes.ts'

/**
 * An address that never answers: a listener whose accept backlog is full, in a process that is stopped. Who connects waits for
 * ever, as behind a firewall that drops packets, without any firewall rule.
 */
export type BlackHole = AsyncDisposable & { readonly port: number }

export async function startBlackHole(): Promise<BlackHole> {
  const program: RunningProgram = await startProgram(process.execPath, [
    '-e',
    `const server = require('node:net').createServer()
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log('port ' + server.address().port))`,
  ])
  const fillers: Socket[] = []
  const release = async () => {
    for (const filler of fillers) filler.destroy()
    await program.kill()
  }
  try {
    const port = Number((await program.waitForLine(/^port (\d+)$/))[1])
    program.pause()
    // Connections fill the backlog until one is left waiting.
    while (await fill(port, fillers)) {
      if (fillers.length > 64) throw new Error('the backlog never fills')
    }
    return { port, [Symbol.asyncDispose]: release }
  } catch (error) {
    await release()
    throw error
  }
}

/** Did the kernel take one more connection? */
function fill(port: number, fillers: Socket[]): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  fillers.push(socket)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 500)
    socket.on('error', () => {})
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
