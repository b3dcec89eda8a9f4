import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import type { CodedError } from '../../src/errors.ts'
import { relayPathField, relayPathLengthMax, writeRelayPath } from '../../src/live/relay-path.ts'
import { acceptPublish, handlePublisherCommand, type PublishRequest } from '../../src/rtmp/accept-publish.ts'
import { frameMessage } from '../../src/rtmp/chunk-header.ts'
import { publisherLimits, unknownPeerLimits } from '../../src/rtmp/chunk-reader.ts'
import { RtmpConnection } from '../../src/rtmp/connection.ts'
import { messageTypes } from '../../src/rtmp/message.ts'
import { goodbye, outputChunkSize, requestPublish, watchPublished } from '../../src/rtmp/request-publish.ts'
import { Secret } from '../../src/secret.ts'
import { makeClip, publishWithFfmpeg, receiveWithFfmpeg } from '../support/ffmpeg.ts'
import { publishWithGstreamer } from '../support/gstreamer.ts'
import { startNginxRtmp } from '../support/nginx-rtmp.ts'
import { type RunningProgram, temporaryFolder } from '../support/processes.ts'
import { needs } from '../support/requirements.ts'

/** The two dialogues alone, on bare sockets, with programs that other people wrote. */

const timeout = 60_000
const deadline = () => AbortSignal.timeout(20_000)
const options = () => ({ limits: unknownPeerLimits, now: () => performance.now(), signal: deadline() })

type Heard = {
  readonly request: PublishRequest
  readonly media: Map<number, number>
  readonly end: 'ended' | 'vanished'
}

/** Listens for one publisher and hears it to its end. */
async function hearPublisher(
  start: (port: number) => Promise<RunningProgram>,
  answer: (request: PublishRequest, connection: RtmpConnection) => void = (request) => request.start(),
): Promise<Heard & { readonly program: RunningProgram }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const program = await start((server.address() as AddressInfo).port)
  try {
    const [socket] = (await once(server, 'connection', { signal: deadline() })) as [Socket]
    using connection = await RtmpConnection.accept(socket, options())
    const request = await acceptPublish(connection, { signal: deadline() })
    connection.limits = publisherLimits
    answer(request, connection)
    const media = new Map<number, number>()
    let end: Heard['end'] = 'vanished'
    if (connection.signal.aborted || socket.writableEnded) return { program, request, media, end }
    connection.relay((message) => {
      media.set(message.type, (media.get(message.type) ?? 0) + 1)
      if (handlePublisherCommand(message, connection, request.messageStreamId) === 'ended') end = 'ended'
    })
    await connection.closed
    return { program, request, media, end }
  } finally {
    server.close()
  }
}

test('ffmpeg publishes, with its digest handshake, and says goodbye', { timeout, ...needs('ffmpeg') }, async () => {
  const clip = await makeClip({ seconds: 3 })
  const heard = await hearPublisher((port) =>
    publishWithFfmpeg(clip, `rtmp://127.0.0.1:${port}/live/thekey`, { realtime: false, outputArgs: ['-t', '2'] }),
  )
  assert.equal(heard.request.candidateKeys[0]?.reveal(), 'thekey')
  assert.match(heard.request.flashVersion, /Lavf/)
  assert.ok(heard.media.get(messageTypes.video)! > 20 && heard.media.get(messageTypes.audio)! > 20)
  assert.equal(heard.end, 'ended')
  assert.equal((await heard.program.exited).code, 0, heard.program.output)
})

test('ffmpeg is told that the key is wrong', { timeout, ...needs('ffmpeg') }, async () => {
  const clip = await makeClip({ seconds: 3 })
  const heard = await hearPublisher(
    (port) => publishWithFfmpeg(clip, `rtmp://127.0.0.1:${port}/live/wrong`),
    (request, connection) => {
      request.reject('NetStream.Publish.BadName', 'The stream key is not known.')
      connection.end()
    },
  )
  assert.notEqual((await heard.program.exited).code, 0)
  assert.match(heard.program.output, /The stream key is not known/)
})

test('GStreamer publishes, and says goodbye', { timeout, ...needs('ffmpeg', 'gstreamer') }, async () => {
  const clip = await makeClip({ seconds: 3 })
  const heard = await hearPublisher((port) => publishWithGstreamer(clip, `rtmp://127.0.0.1:${port}/live/thekey`))
  assert.equal(heard.request.candidateKeys[0]?.reveal(), 'thekey')
  assert.ok(heard.media.get(messageTypes.video)! > 20 && heard.media.get(messageTypes.audio)! > 20)
  assert.equal(heard.end, 'ended')
  assert.equal((await heard.program.exited).code, 0, heard.program.output)
})

async function dial(port: number): Promise<RtmpConnection> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return RtmpConnection.connect(socket, options())
}

const targetOf = (url: string, key: string) => ({
  app: new URL(url).pathname.slice(1),
  tcUrl: url,
  streamKey: new Secret(key),
  redirectsLeft: 0,
  // As long as it may be: nobody minds a member of connect that is not known.
  connectExtras: { [relayPathField]: writeRelayPath(new Array(relayPathLengthMax).fill('0123456789abcdef')) },
})

test('nginx-rtmp takes the publish, refuses a second one, and hears goodbye', {
  timeout,
  ...needs('nginx-rtmp'),
}, async () => {
  await using nginx = await startNginxRtmp({ record: false })
  const target = targetOf(nginx.url(), 'thekey')
  using first = await dial(nginx.port)
  const { messageStreamId } = await requestPublish(first, target, { signal: deadline() })
  watchPublished(first, [target.streamKey], () => {})
  const header = Buffer.of(0xaf, 0x00, 0x12, 0x10)
  const audio = { chunkStreamId: 4, type: messageTypes.audio, timestamp: 0, messageStreamId }
  for (let count = 0; count < 200; count++) first.send(frameMessage({ ...audio, body: header }, outputChunkSize))
  await nginx.waitForPublisher('thekey')

  using second = await dial(nginx.port)
  const failure = await new Promise<CodedError>((resolve) => {
    // BadName may come in answer to publish, or after Publish.Start.
    requestPublish(second, target, { signal: deadline() }).then(
      () => watchPublished(second, [target.streamKey], resolve),
      resolve,
    )
  })
  assert.equal(failure.code, 'already_publishing')
  assert.match(failure.message, /^NetStream\.Publish\.BadName: Already publishing/)

  first.send(goodbye(target.streamKey, messageStreamId))
  await nginx.waitForNoPublisher('thekey')
})

test('nginx-rtmp: a try-out publishes nothing; an unknown application is told', {
  timeout,
  ...needs('nginx-rtmp'),
}, async () => {
  await using nginx = await startNginxRtmp({ record: false })
  using tried = await dial(nginx.port)
  await requestPublish(tried, targetOf(nginx.url(), 'thekey'), { signal: deadline(), publish: false })
  assert.deepEqual(await nginx.publishers(), [])

  using wrong = await dial(nginx.port)
  await assert.rejects(
    requestPublish(wrong, targetOf(nginx.url('nothere'), 'thekey'), { signal: deadline() }),
    (error) => (error as CodedError).code === 'connect_rejected',
  )
})

test('ffmpeg as destination takes the publish', { timeout, ...needs('ffmpeg') }, async () => {
  await using folder = await temporaryFolder('dialogue')
  await using destination = await receiveWithFfmpeg(folder.path)
  using connection = await dial(Number(new URL(destination.url).port))
  const target = targetOf(destination.url, destination.key)
  const { messageStreamId } = await requestPublish(connection, target, { signal: deadline() })
  assert.ok(messageStreamId > 0)
  connection.send(goodbye(target.streamKey, messageStreamId))
  connection.end()
  await connection.closed
})
