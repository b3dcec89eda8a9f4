import { createServer, type IncomingMessage } from 'node:http'

export type Received = { readonly headers: IncomingMessage['headers']; readonly body: string }

export type Receiver = AsyncDisposable & {
  readonly url: string
  readonly received: readonly Received[]
  /** Of the answers to come. */
  readonly answer: { status: number }
}

/** A program that is told what happens, and answers as it is told to. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = []
  const answer = { status: 204 }
  const server = createServer(async (request, response) => {
    received.push({ headers: request.headers, body: Buffer.concat(await request.toArray()).toString() })
    response.writeHead(answer.status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/hooks/live`,
    received,
    answer,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
