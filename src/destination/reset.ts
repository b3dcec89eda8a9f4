import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'

/** How long a shutdown that is under way may take before the connection is closed without a reset. */
const shutdownMsMax = 100

/**
 * Ends a connection at once: the peer gets a reset, and none of the megabytes that the kernel would still deliver after a close.
 * It is the raw socket that is reset, for on a TLSSocket it is not possible. May be called more than once, at any time but inside
 * the callbacks of the TLS handshake (Node 24.21 crashes; `dial` gives no connection out from there).
 *
 * @param stream what is spoken over: the TLS socket upon `raw`, or `raw` itself
 */
export function resetConnection(raw: Socket, stream: Socket, clock: Clock): void {
  if (raw.destroyed || stream.destroyed) {
    stream.destroy()
    return
  }
  // Between a shutdown (FIN: our own end(), or Node's answer to the peer's) and its completion libuv refuses a reset, and Node then
  // loses the handle: the descriptor stays open and the event loop spins. So the reset comes after it, in the next turn as a rule.
  const isShuttingDown = stream.writableEnded && stream.writableLength === 0 && !stream.writableFinished
  if (!isShuttingDown) {
    raw.resetAndDestroy()
    stream.destroy()
    return
  }
  // Under TLS the farewell may have to wait behind megabytes that the kernel holds for a peer that has stopped reading.
  const cancel = clock.after(shutdownMsMax, () => stream.destroy())
  stream.once('close', cancel)
  stream.once('finish', () => {
    cancel()
    resetConnection(raw, stream, clock)
  })
}
