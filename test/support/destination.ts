import { createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls'
import type { Behaviour } from './destination-behaviour.ts'
import { DestinationConnection, type Recording } from './destination-connection.ts'
import { waitFor } from './processes.ts'

export { type Behaviour, platforms } from './destination-behaviour.ts'
export { DestinationConnection, type RecordedMessage, type Recording } from './destination-connection.ts'

export type DestinationOptions = {
  readonly behaviour?: Behaviour
  /** Default `headers`. For big loads `counts`. */
  readonly recording?: Recording
  /** Certificate and key make it RTMPS. */
  readonly tls?: SecureContextOptions
  /** A given port, for a destination that comes back. Default: a free one. */
  readonly port?: number
  /** Path of the url. Default `app`. */
  readonly app?: string
}

/** An RTMP or RTMPS server for any number of connections, which writes down all that it is sent. */
export async function startDestination(options: DestinationOptions = {}): Promise<Destination> {
  const destination = new Destination(options)
  await destination.listen()
  return destination
}

export class Destination implements AsyncDisposable {
  /** All there ever were, in order of their coming. */
  readonly connections: DestinationConnection[] = []
  /** For connections yet to come; those that are there keep theirs. */
  behaviour: Behaviour
  readonly #options: DestinationOptions
  readonly #server: Server
  readonly #published: DestinationConnection[] = []
  #publishesTold = 0
  #connectionsTold = 0
  #port = 0

  constructor(options: DestinationOptions) {
    this.#options = options
    this.behaviour = options.behaviour ?? {}
    this.#server = createServer({ noDelay: true }, (raw) => this.#accept(raw))
  }

  get port(): number {
    return this.#port
  }

  /** What an output has as its url; host 127.0.0.1 unless the certificate was made for another name. */
  url(host = '127.0.0.1', app: string = this.#options.app ?? 'app'): string {
    return `${this.#options.tls ? 'rtmps' : 'rtmp'}://${host}:${this.#port}/${app}`
  }

  /** Connections that publish now. */
  get publishing(): DestinationConnection[] {
    return this.#published.filter((connection) => connection.isPublishing)
  }

  /** Each connection once, in the order in which they came. */
  async nextConnection(deadlineMs = 10_000): Promise<DestinationConnection> {
    const index = this.#connectionsTold
    const connection = await waitFor(
      `connection ${index + 1} to the destination`,
      () => this.connections[index],
      deadlineMs,
    )
    this.#connectionsTold = index + 1
    return connection
  }

  /** Each accepted publish once, in the order in which they came. One after the other, not several at a time. */
  async nextPublish(deadlineMs = 10_000): Promise<DestinationConnection> {
    const index = this.#publishesTold
    const seen = () =>
      this.connections.map(({ commands, end }) => `${commands.at(-1)?.name ?? 'nothing'}${end ? `, ${end.how}` : ''}`)
    try {
      const connection = await waitFor(
        `publish ${index + 1} at the destination`,
        () => this.#published[index],
        deadlineMs,
      )
      this.#publishesTold = index + 1
      return connection
    } catch (error) {
      throw new Error(`${(error as Error).message}; its connections said last: [${seen().join('; ')}]`)
    }
  }

  /** Waits until a publish with this key is there, and gives the newest. */
  async publishOf(key: string, deadlineMs = 10_000): Promise<DestinationConnection> {
    return waitFor(
      `a publish of ${key}`,
      () => this.#published.findLast((connection) => connection.key === key),
      deadlineMs,
    )
  }

  /** Lets go of connections that have ended, where thousands come. Not for tests that use `nextConnection` or `nextPublish`. */
  forget(): void {
    for (const list of [this.connections, this.#published])
      list.splice(0, list.length, ...list.filter(({ end }) => end === undefined))
  }

  /** @throws Error when the port is taken. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve)
    })
    this.#port = (this.#server.address() as { port: number }).port
  }

  /** Closes the port and resets all connections. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const connection of this.connections) if (!connection.end) connection.reset()
    await closed
    await Promise.all(this.connections.map((connection) => connection.closed))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #accept(raw: Socket): void {
    const { tls, recording = 'headers' } = this.#options
    // Wrapped by hand, and not by tls.createServer, so that the raw socket is there to be reset.
    const socket = tls ? new TLSSocket(raw, { isServer: true, secureContext: createSecureContext(tls) }) : raw
    this.connections.push(
      new DestinationConnection(socket, raw, this.behaviour, recording, (connection) =>
        this.#published.push(connection),
      ),
    )
  }
}
