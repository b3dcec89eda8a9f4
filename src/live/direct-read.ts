import { Socket } from 'node:net'
import type { ByteSource } from '../rtmp/connection.ts'

/** A key frame of 12 Mbit/s in two or three reads; libuv reads again at once while there is more. */
const readBytes = 64 * 1024
/** Of this thread: what is read is looked at within the call, and nothing else is read meanwhile. */
let readBuffer: Buffer | undefined

/**
 * Reads an accepted TCP socket into one buffer for all sockets of a thread. A stream gets a buffer of 64 KiB for each read, cut to what came:
 * at fifteen thousand reads a second the garbage collector has as much to do as the relay. See docs/adr/0008-past-the-stream.md.
 *
 * The option `onread` is documented for sockets that connect, and not for those that a server accepts; so the handle of the accepted socket is
 * given to a new one (`_handle`, `handle`). Where there is none, the stream is read as ever. Never for TLS, whose bytes come from a stream.
 */
export function readDirectly(accepted: Socket): { readonly socket: Socket; readonly source: ByteSource | undefined } {
  const holder = accepted as Socket & { _handle?: { readonly fd?: number } | null }
  const handle = holder._handle
  if (handle == null || typeof handle.fd !== 'number' || accepted.readableLength > 0)
    return { socket: accepted, source: undefined }
  const source: ByteSource = { onBytes: undefined }
  readBuffer ??= Buffer.allocUnsafeSlow(readBytes)
  const buffer = readBuffer
  const options = {
    handle,
    onread: {
      buffer,
      callback(bytes: number) {
        source.onBytes?.(buffer.subarray(0, bytes))
        return true
      },
    },
  }
  const socket = new Socket(options as object)
  // The handle has one owner: the accepted socket is an empty shell from now on.
  holder._handle = null
  // The server counts it until it closes.
  Object.assign(socket, { _server: (accepted as { _server?: unknown })._server })
  return { socket, source }
}
