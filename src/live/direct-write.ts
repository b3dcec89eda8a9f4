import { writeSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/**
 * Writes to a TCP socket at once, past the stream: for bytes that lie in the log already, a request object, its callback and the state of a
 * Writable cost more than the kernel's own work. See docs/adr/0008-writing-past-the-stream.md.
 *
 * The descriptor is not documented (`_handle.fd`), so it is looked at anew for each write, and where there is none the stream is used as ever.
 * Never for TLS, whose descriptor is that of the bare connection.
 */
export class DirectWriter {
  readonly #socket: Socket & { readonly _handle?: { readonly fd?: number } | null }

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /** @returns undefined where bytes can only go through the stream. */
  static for(stream: Duplex): DirectWriter | undefined {
    if (!(stream instanceof Socket) || stream instanceof TLSSocket || process.platform === 'win32') return undefined
    const writer = new DirectWriter(stream)
    return writer.#descriptor() >= 0 ? writer : undefined
  }

  /**
   * @returns how many bytes the kernel took: 0 when its buffer is full, when something waits in the stream (nothing may overtake it), and when
   * the connection is broken, which the stream's next write tells properly.
   */
  write(bytes: Buffer): number {
    const descriptor = this.#descriptor()
    if (descriptor < 0 || this.#socket.writableLength > 0) return 0
    try {
      return writeSync(descriptor, bytes, 0, bytes.length)
    } catch {
      return 0
    }
  }

  /** The same with several pieces in one call. */
  writeAll(pieces: readonly Buffer[]): number {
    const descriptor = this.#descriptor()
    if (descriptor < 0 || this.#socket.writableLength > 0) return 0
    try {
      return writevSync(descriptor, pieces)
    } catch {
      return 0
    }
  }

  /** After the socket has closed there is no handle; its number may belong to another file by then. */
  #descriptor(): number {
    return this.#socket.connecting ? -1 : (this.#socket._handle?.fd ?? -1)
  }
}
