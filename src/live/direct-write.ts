import { writeSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

type SocketWithHandle = Socket & { readonly _handle?: { readonly fd?: number } | null }

/**
 * Writes to a TCP socket at once, past the stream: for bytes that lie in the log already, a request object, its callback and the state of a
 * Writable cost more than the kernel's own work. See docs/adr/0008-past-the-stream.md.
 *
 * The descriptor is not documented (`_handle.fd`): where there is none the stream is used as ever. It is good for as long as the socket has its
 * handle, which is looked at for each write: a socket that closes gives it up at once.
 * Never for TLS, whose descriptor is that of the bare connection.
 */
export class DirectWriter {
  readonly #socket: SocketWithHandle
  readonly #handle: NonNullable<SocketWithHandle['_handle']>
  readonly #descriptor: number

  private constructor(socket: SocketWithHandle, handle: NonNullable<SocketWithHandle['_handle']>, descriptor: number) {
    this.#socket = socket
    this.#handle = handle
    this.#descriptor = descriptor
  }

  /** @param stream connected. @returns undefined where bytes can only go through the stream. */
  static for(stream: Duplex): DirectWriter | undefined {
    if (!(stream instanceof Socket) || stream instanceof TLSSocket || process.platform === 'win32') return undefined
    const socket: SocketWithHandle = stream
    const handle = socket.connecting ? undefined : socket._handle
    // Asked once: the answer comes from C++, and costs as much as a small write.
    const descriptor = handle?.fd ?? -1
    return handle == null || descriptor < 0 ? undefined : new DirectWriter(socket, handle, descriptor)
  }

  /**
   * @returns how many bytes the kernel took: 0 when its buffer is full, when something waits in the stream (nothing may overtake it), and when
   * the connection is broken, which the stream's next write tells properly.
   */
  write(bytes: Buffer): number {
    if (!this.isFree) return 0
    try {
      return writeSync(this.#descriptor, bytes, 0, bytes.length)
    } catch {
      return 0
    }
  }

  /** The same with several pieces in one call. */
  writeAll(pieces: readonly Buffer[]): number {
    if (!this.isFree) return 0
    try {
      return writevSync(this.#descriptor, pieces)
    } catch {
      return 0
    }
  }

  /** After the socket has closed there is no handle; its number may belong to another file by then. */
  get isFree(): boolean {
    return this.#socket._handle === this.#handle && this.#socket.writableLength === 0
  }
}
