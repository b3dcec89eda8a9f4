import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { freePort, waitFor, within } from '../../test/support/processes.ts'
import { publish } from '../../test/support/publisher.ts'
import { createLog } from '../log.ts'
import type { LiveInputId } from '../model/id.ts'
import { IngestServer } from './ingest-server.ts'
import type { PublisherSeat } from './media-engine.ts'

const timeout = 30_000

async function setUp() {
  const clock = new ManualClock()
  const left: string[] = []
  let published = 0
  const seat: PublisherSeat = {
    inputId: '0'.repeat(32) as LiveInputId,
    publish: ({ type }) => {
      const isMedia = type === 8 || type === 9
      if (isMedia) published++
      return isMedia
    },
    leave: (how) => left.push(how),
    bytes: 0,
    messages: 0,
  }
  const server = new IngestServer({
    seats: { seat: async () => seat },
    clock,
    log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    maxIngestKbps: 100_000,
  })
  const { port } = await server.listen('127.0.0.1', 0)
  return {
    clock,
    left,
    url: `rtmp://127.0.0.1:${port}/live`,
    published: () => published,
    [Symbol.dispose]: () => server.close(),
  }
}

test('a publisher of which no byte comes for a minute is given up, and one that sends is not', {
  timeout,
}, async () => {
  using made = await setUp()
  const { clock, left, url } = made
  const publisher = await publish({ url, key: 'k' })
  await using _ = publisher
  for (let minute = 0; minute < 3; minute++) {
    publisher.send(9, minute, Buffer.of(0x17, 1, 0, 0, 0))
    await waitFor('the message to be read', () => made.published() > minute)
    clock.advance(30_000)
  }
  assert.deepEqual(left, [])
  clock.advance(30_000)
  clock.advance(30_000)
  await waitFor('its place to be left', () => left[0] === 'vanished')
  await within('the server to close', publisher.closed, 10_000)
})

test('a plain connection and a TLS handshake from the same port are two connections', { timeout }, async () => {
  const server = new IngestServer({
    seats: { seat: async () => ({ refused: 'stream_key_unknown' }) },
    clock: new ManualClock(),
    log: createLog({ logLevel: 'error', logFormat: 'json' }, { write() {} }),
    maxIngestKbps: 100_000,
    unpublishedLimits: { max: 1, perNetworkMax: 1 },
  })
  using _ = { [Symbol.dispose]: () => server.close() }
  const secure = await server.listen('127.0.0.1', 0, {})
  const plain = await server.listen('127.0.0.1', 0)
  const localPort = await freePort()
  const first = connect({ host: '127.0.0.1', port: secure.port, localPort })
  await once(first, 'connect')
  const isEvicted = once(first, 'close')
  const second = connect({ host: '127.0.0.1', port: plain.port, localPort })
  // There is room for one of them: the older one has to go, before its handshake is late.
  await within('the first one to be closed', isEvicted, 4_000)
  assert.equal(second.destroyed, false)
  second.destroy()
})

test('the log says of plain RTMP at the RTMPS port what to do, and nothing of who only looks', {
  timeout,
}, async () => {
  const lines: string[] = []
  const server = new IngestServer({
    seats: { seat: async () => ({ refused: 'stream_key_unknown' }) },
    clock: new ManualClock(),
    log: createLog({ logLevel: 'info', logFormat: 'json' }, { write: (line: string) => lines.push(line) }),
    maxIngestKbps: 100_000,
  })
  using _ = { [Symbol.dispose]: () => server.close() }
  const { port } = await server.listen('127.0.0.1', 0, {})
  const firstBytes = {
    'plain RTMP': Buffer.concat([Buffer.of(3), Buffer.alloc(1536)]),
    RTMPT: Buffer.from('POST /open/1 HTTP/1.1\r\n\r\n'),
    'a malformed TLS hello': Buffer.from('1603010006010000020303', 'hex'),
    nothing: Buffer.of(),
  }
  for (const bytes of Object.values(firstBytes)) {
    const socket = connect({ host: '127.0.0.1', port }).on('error', () => {})
    socket.resume().end(bytes)
    await within('the server to close', once(socket, 'close'), 10_000)
  }
  const told = lines.map((line) => JSON.parse(line))
  assert.deepEqual(
    told.map(({ msg, remote }) => [msg, remote]),
    Array.from({ length: 2 }, () => ['a connection to the RTMPS port was not TLS', '127.0.0.1']),
  )
  assert.match(told[0].reason, /plain RTMP.*use an rtmps:\/\/ url, or rtmp:\/\/ with the RTMP port/)
})
