/**
 * Records what real encoders and destinations say, as seeds: `node test/fuzz/record-dialogues.ts`. Needs ffmpeg, GStreamer and
 * nginx-rtmp. The recordings are in the repository; made again only when a peer is to join them.
 */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { acceptPublish, handlePublisherCommand } from '../../src/rtmp/accept-publish.ts'
import { publisherLimits, unknownPeerLimits } from '../../src/rtmp/chunk-reader.ts'
import { RtmpConnection } from '../../src/rtmp/connection.ts'
import { handshakeBytes } from '../../src/rtmp/handshake.ts'
import { requestPublish, watchPublished } from '../../src/rtmp/request-publish.ts'
import { Secret } from '../../src/secret.ts'
import { platforms, startDestination } from '../support/destination.ts'
import { publishWithFfmpeg8 } from '../support/enhanced-peer.ts'
import { makeClip, publishWithFfmpeg, receiveWithFfmpeg } from '../support/ffmpeg.ts'
import { publishWithGstreamer } from '../support/gstreamer.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { temporaryFolder } from '../support/processes.ts'
import { obsChunkStreams, publish } from '../support/publisher.ts'
import { syntheticTags } from '../support/synthetic-source.ts'
import { writeFinding } from './corpus.ts'

/** The dialogue has a thousand bytes, the first frames of a small picture some thousand more. */
const recordedBytes = 6 * 1024
const options = { now: () => performance.now(), signal: AbortSignal.timeout(120_000) }
const fixtures = join(import.meta.dirname, '..', 'fixtures', 'flv')

function record(socket: Socket): () => Buffer {
  const parts: Buffer[] = []
  socket.on('data', (bytes: Buffer) => parts.push(Buffer.from(bytes)))
  return () => Buffer.concat(parts).subarray(1 + 2 * handshakeBytes)
}

function save(name: string, bytes: Buffer): void {
  writeFinding(import.meta.dirname, 'seeds', name, bytes.subarray(0, recordedBytes))
  process.stdout.write(`${name}: ${bytes.length} bytes\n`)
}

/** One encoder publishes to a server that is no more than the dialogue, until it leaves or has said enough. */
async function recordEncoder(name: string, start: (url: string) => Promise<AsyncDisposable>): Promise<void> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'connection') as Promise<[Socket]>
  // Some are started only when they are answered.
  const starting = start(`rtmp://127.0.0.1:${port}/live`)
  const [socket] = await accepted
  const told = record(socket)
  const connection = await RtmpConnection.accept(socket, { ...options, limits: unknownPeerLimits })
  const request = await acceptPublish(connection, options)
  connection.limits = publisherLimits
  request.start()
  await new Promise<void>((resolve) => {
    void connection.closed.then(() => resolve())
    connection.relay((message) => {
      if (handlePublisherCommand(message, connection, request.messageStreamId) === 'ended') connection.end()
      if (told().length > recordedBytes) resolve()
    })
  })
  connection.close()
  server.close()
  await (await starting)[Symbol.asyncDispose]()
  save(`client-${name}`, told())
}

/** We publish to a destination, and leave when it has nothing more to say. */
async function recordDestination(name: string, port: number, app: string): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  const told = record(socket)
  const connection = await RtmpConnection.connect(socket, { ...options, limits: unknownPeerLimits })
  const streamKey = new Secret('rtmp-key-117')
  const target = { app, tcUrl: `rtmp://127.0.0.1:${port}/${app}`, streamKey, redirectsLeft: 0, enhanced: true }
  const refused = await requestPublish(connection, target, options).then(
    () => false,
    () => true,
  )
  // Some go on talking: pings, and refusals that come late.
  if (!refused)
    await new Promise<void>((resolve) => {
      watchPublished(connection, [streamKey], () => resolve())
      setTimeout(resolve, 600)
    })
  connection.close()
  save(`server-${name}`, told())
}

await mkdir(join(import.meta.dirname, 'seeds'), { recursive: true })
const clip = await makeClip({ seconds: 1, size: '160x90', videoKbps: 20, gop: 25 })
await recordEncoder('ffmpeg', (url) => publishWithFfmpeg(clip, `${url}/key`))
await recordEncoder('gstreamer', (url) => publishWithGstreamer(clip, `${url}/key`))
for (const fixture of ['hevc', 'av1opus', 'mt'])
  await recordEncoder(`ffmpeg8-${fixture}`, (url) => publishWithFfmpeg8(join(fixtures, `${fixture}.flv`), `${url}/key`))
await recordEncoder('obs', async (url) => {
  const publisher = await publish({ url, key: 'key', chunkStreams: obsChunkStreams, deadlineMs: 20_000 })
  const tags = syntheticTags({ kbps: 200 })
  for (let count = 0; count < 12; count++) {
    const { type, timestamp, body } = tags.next().value
    publisher.send(type, timestamp, body)
  }
  publisher.command('deleteStream', null, 1)
  return publisher
})
{
  await using nginx = await startNginxRtmp({ record: false })
  await recordDestination('nginx-rtmp', nginx.port, 'live')
  await using folder = await temporaryFolder('fuzz')
  await using ffmpeg = await receiveWithFfmpeg(folder.path)
  await recordDestination('ffmpeg', Number(new URL(ffmpeg.url.replace('rtmp:', 'http:')).port), 'app')
}
for (const [name, behaviour] of Object.entries(platforms)) {
  await using destination = await startDestination({ behaviour })
  await recordDestination(name.toLowerCase(), destination.port, 'app')
}
