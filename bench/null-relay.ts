import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { readDirectly } from '../src/live/direct-read.ts'
import { DirectWriter, writeNow } from '../src/live/direct-write.ts'
import { acceptPublish } from '../src/rtmp/accept-publish.ts'
import { publisherLimits } from '../src/rtmp/chunk-reader.ts'
import { RtmpConnection } from '../src/rtmp/connection.ts'
import { requestPublish } from '../src/rtmp/request-publish.ts'
import { Secret } from '../src/secret.ts'

/**
 * A relay in Node that does nothing but read and write, in the beats of `live/pump.ts`: node null-relay.ts MS PORT… prints its port. As
 * bench/load/relay.c, it passes on what each publisher sends, as it came, to one connection on each of these ports. What any relay in
 * JavaScript costs at the least: no messages are looked at, nothing is kept, no figures are told. It waits for nobody: a destination that
 * does not take everything ends it.
 */

// As main.ts does.
if (Number.parseInt(process.versions.v8, 10) >= 13) setFlagsFromString('--invocation-count-for-turbofan=300')

const [restText = '', ...portTexts] = process.argv.slice(2)
const restMs = Number(restText)
const ports = portTexts.map(Number)
const never = new AbortController().signal
const now = () => performance.now()
const bed = new Int32Array(new SharedArrayBuffer(4))

const server = createServer({ noDelay: true }, (accepted) => {
  void relay(accepted)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))

async function relay(accepted: Socket): Promise<void> {
  const { socket, source } = readDirectly(accepted)
  if (source === undefined) throw new Error('this Node has no way past the stream')
  const connection = await RtmpConnection.accept(socket, { source, limits: publisherLimits, now, signal: never })
  const request = await acceptPublish(connection, { signal: never })
  const streamKey = request.candidateKeys[0] ?? new Secret('')
  const descriptors = await Promise.all(ports.map((port) => openOutput(port, streamKey)))
  // What has come so far and not been read belongs to the dialogue: media comes after the answer.
  const pending: Buffer[] = []
  let pendingBytes = 0
  let isSet = false
  let hasRested = false
  const round = () => {
    isSet = hasRested = false
    const bytes = pending.length === 1 ? pending[0]! : Buffer.concat(pending, pendingBytes)
    pending.length = pendingBytes = 0
    for (const descriptor of descriptors)
      if (writeNow(descriptor, bytes) < bytes.length) throw new Error('a destination does not take everything')
  }
  const gather = () => void setImmediate(round)
  source.onBytes = (bytes) => {
    if (!hasRested) Atomics.wait(bed, 0, 0, restMs)
    hasRested = true
    // The buffer is that of all reads.
    pending.push(Buffer.from(bytes))
    pendingBytes += bytes.length
    if (isSet) return
    isSet = true
    setImmediate(gather)
  }
  socket.resume()
  request.start()
}

async function openOutput(port: number, streamKey: Secret): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const connection = await RtmpConnection.connect(socket, { limits: publisherLimits, now, signal: never })
  const target = { app: 'live', tcUrl: `rtmp://127.0.0.1:${port}/live`, streamKey, redirectsLeft: 0 }
  await requestPublish(connection, target, { signal: never })
  return DirectWriter.for(socket)!.descriptor
}
