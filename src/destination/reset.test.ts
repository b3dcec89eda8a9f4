import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { type TestCa, testCa } from '../../test/support/tls.ts'
import { systemClock } from '../clock.ts'
import { AddressPolicy } from './address-policy.ts'
import { type Dialled, dial } from './dial.ts'

/**
 * A reset at every moment of a connection's end. Where Node loses the handle (a shutdown under way), the descriptor stays open and
 * no `close` ever comes; what the peer sees tells whether it was a reset.
 */
type Ending = { readonly name: string; readonly prepare: (dialled: Dialled, peer: Socket) => Promise<void> | void }

const fill = async ({ stream }: Dialled) => {
  // Until the kernel takes no more.
  while (stream.writableLength === 0) {
    stream.write(Buffer.alloc(65_536))
    await new Promise(setImmediate)
  }
}

const endings: readonly Ending[] = [
  { name: 'open', prepare: () => {} },
  { name: 'open, and the peer does not read', prepare: fill },
  { name: 'just ended', prepare: ({ stream }) => void stream.end() },
  { name: 'ended', prepare: ({ stream }) => new Promise((resolve) => stream.end(resolve)) },
  {
    name: 'ended, and the peer does not read',
    prepare: async (dialled) => {
      await fill(dialled)
      dialled.stream.end()
    },
  },
  {
    name: 'ended by the peer, in the turn in which it is known',
    prepare: async ({ stream }, peer) => {
      stream.resume()
      peer.end()
      await new Promise((resolve) => stream.once('end', resolve))
    },
  },
  { name: 'destroyed', prepare: ({ stream }) => void stream.destroy() },
]

describe('reset', () => {
  let ca: TestCa
  before(async () => {
    ca = await testCa()
  })
  after(() => ca[Symbol.asyncDispose]())

  for (const scheme of ['rtmp', 'rtmps'] as const)
    for (const { name, prepare } of endings)
      it(`${scheme}, ${name}: closes both sides and leaks nothing`, async () => {
        const secureContext = createSecureContext(await ca.serverCert('127.0.0.1'))
        const server = createServer()
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        const before = handles()
        const accepted = once(server, 'connection').then(async ([raw]: Socket[]) => {
          if (scheme === 'rtmp') return raw!
          const secured = new TLSSocket(raw!, { isServer: true, secureContext })
          await once(secured, 'secure')
          return secured
        })
        const dialled = await dial(
          { scheme, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
          {
            resolve: async () => [],
            policy: new AddressPolicy(['127.0.0.0/8']),
            clock: systemClock,
            signal: new AbortController().signal,
            deadlineMs: 10_000,
            ca: ca.cert,
          },
        )
        const peer = await accepted
        const peerClosed = new Promise((resolve) => peer.on('error', () => {}).once('close', resolve))
        const closed = new Promise((resolve) => dialled.raw.once('close', resolve))
        await prepare(dialled, peer)
        dialled.reset()
        dialled.reset()
        peer.resume()
        await Promise.all([closed, peerClosed])
        assert.ok(dialled.raw.destroyed && dialled.stream.destroyed)
        // Closed handles are given back in the turn after their close.
        await new Promise(setImmediate)
        assert.equal(handles(), before)
        server.close()
        await once(server, 'close')
      })
})

function handles(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
}
