import { writeSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

type SocketWithHandle = Socket & { readonly _handle?: { readonly fd?: number } | null }

const noDescriptor = -1

/**
 * Writes to a TCP socket at once, past the stream: for bytes that lie in the log already, a request object, its callback and the state of a
 * Writable cost more than the kernel's own work. See docs/adr/0008-past-the-stream.md.
 *
 * The descriptor is not documented (`_handle.fd`): where there is none the stream is used as ever. A socket gives it up within `destroy()`, and
 * another file may get the number in the next moment; so that call is what is listened to (`_destroy`), and no event, which comes later.
 * Never for TLS, whose descriptor is that of the bare connection.
 */
export class DirectWriter {
  readonly #socket: SocketWithHandle
  #descriptor: number
  /** Called in the moment in which the socket gives its descriptor up. */
  onClosed: (() => void) | undefined

  private constructor(socket: SocketWithHandle, descriptor: number) {
    this.#socket = socket
    this.#descriptor = descriptor
  }

  /** @param stream connected; one writer for each. @returns undefined where bytes can only go through the stream. */
  static for(stream: Duplex): DirectWriter | undefined {
    if (!(stream instanceof Socket) || stream instanceof TLSSocket || process.platform === 'win32') return undefined
    const socket: SocketWithHandle = stream
    // Asked once: the answer comes from C++, and costs as much as a small write.
    const descriptor = socket.connecting || socket.destroyed ? noDescriptor : (socket._handle?.fd ?? noDescriptor)
    if (descriptor < 0) return undefined
    const writer = new DirectWriter(socket, descriptor)
    const destroy = socket._destroy
    socket._destroy = (error, callback) => {
      writer.#close()
      destroy.call(socket, error, callback)
    }
    return writer
  }

  /** For `writeNow`; not after `onClosed` was called. */
  get descriptor(): number {
    return this.#descriptor
  }

  /** The connection is there, and nothing waits in the stream, which nothing may overtake. */
  get isFree(): boolean {
    return this.#descriptor !== noDescriptor && this.#socket.writableLength === 0
  }

  /**
   * @returns how many bytes the kernel took: 0 when its buffer is full, when something waits in the stream, and when the connection is broken,
   * which the stream's next write tells properly.
   */
  write(bytes: Buffer): number {
    return this.isFree ? writeNow(this.#descriptor, bytes) : 0
  }

  /** The same with several pieces in one call. */
  writeAll(pieces: readonly Buffer[]): number {
    return this.isFree ? writeAllNow(this.#descriptor, pieces) : 0
  }

  #close(): void {
    this.#descriptor = noDescriptor
    this.onClosed?.()
  }
}

/** @returns how many bytes the kernel took; 0 when it takes none, for whatever reason. */
export function writeNow(descriptor: number, bytes: Buffer): number {
  try {
    return writeSync(descriptor, bytes, 0, bytes.length)
  } catch {
    return 0
  }
}

/** The same with several pieces in one call. */
export function writeAllNow(descriptor: number, pieces: readonly Buffer[]): number {
  try {
    return writevSync(descriptor, pieces)
  } catch {
    return 0
  }
}
