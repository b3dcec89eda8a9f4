import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { describe, it } from 'node:test'
import { systemClock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import { AddressPolicy } from './address-policy.ts'
import { parseDestination } from './destination-url.ts'
import { type Dialled, dial, type Resolve } from './dial.ts'
import { systemResolve } from './look-up.ts'
import { refusedHosts } from './network-policy.vectors.ts'

/** From a url as a person types it to the socket: whatever the spelling, nothing but a checked address is connected to. */

const never = new AbortController().signal

/** Listens on the same port of several loopback addresses, and counts who comes. */
async function listenOn(...addresses: string[]) {
  const came: string[] = []
  let port = 0
  const servers: Server[] = []
  for (const address of addresses) {
    const server = createServer((socket) => {
      came.push(socket.localAddress ?? '')
      socket.on('error', () => {})
    }).listen(port, address)
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }
  return {
    came,
    port,
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.close()
    },
  }
}

/** Names of this test; spellings of addresses, in digits alone, go to the system, which asks nobody for them. */
function resolverOf(names: Readonly<Record<string, readonly string[]>>): Resolve & { asked: string[] } {
  const asked: string[] = []
  const resolve: Resolve = async (host, signal) => {
    asked.push(host)
    const known = names[host.toLowerCase().replace(/\.$/, '')]
    if (known !== undefined)
      return known.map((address) => ({ address, family: address.includes(':') ? (6 as const) : (4 as const) }))
    if (/^(?:0x[\da-f]+|\d+)(?:\.(?:0x[\da-f]+|\d+))*$/i.test(host)) return systemResolve(host, signal)
    throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })
  }
  return Object.assign(resolve, { asked })
}

async function connectTo(url: string, resolve: Resolve, policy = new AddressPolicy([])): Promise<Dialled> {
  const parsed = parseDestination(url, 'key')
  if (!parsed.ok) throw new CodedError('destination_invalid', parsed.problems.map(({ code }) => code).join())
  return dial(parsed.destination, { resolve, policy, clock: systemClock, signal: never, deadlineMs: 10_000 })
}

describe('a destination that may not be reached', () => {
  const names = {
    localhost: ['127.0.0.1', '::1'],
    '127.0.0.1': ['127.0.0.1'],
    'inside.example.test': ['192.168.1.1'],
    'both.example.test': ['127.0.0.1', '::ffff:10.0.0.1', '64:ff9b::1'],
  }
  for (const [host, outcome] of refusedHosts)
    for (const scheme of ['rtmp', 'rtmps'] as const)
      it(`${scheme}://${host || '(nothing)'}: ${outcome.source}`, async () => {
        await using listening = await listenOn('127.0.0.1')
        await assert.rejects(
          connectTo(`${scheme}://${host}:${listening.port}/live`, resolverOf(names)),
          (error) => error instanceof CodedError && outcome.test(error.message),
        )
        assert.deepEqual(listening.came, [])
      })
})

describe('a name whose addresses change', () => {
  it('between check and connect: there is one look-up for each attempt, and the checked address is connected to', async () => {
    await using listening = await listenOn('127.0.0.2', '127.0.0.1')
    // Each answer is another one, as from a name server that rebinds.
    const answers = ['127.0.0.2', '127.0.0.1', '127.0.0.2']
    let asked = 0
    const resolve: Resolve = async () => [{ address: answers[asked++]!, family: 4 }]
    const policy = new AddressPolicy(['127.0.0.2/32'])
    const url = `rtmp://rebinding.example.test:${listening.port}/live`
    const first = await connectTo(url, resolve, policy)
    assert.deepEqual([first.remoteAddress, asked], ['127.0.0.2', 1])
    first.reset()
    await assert.rejects(connectTo(url, resolve, policy), /127\.0\.0\.1, a loopback address/)
    const third = await connectTo(url, resolve, policy)
    third.reset()
    assert.equal(asked, 3)
    assert.ok(!listening.came.includes('127.0.0.1'), listening.came.join())
  })

  it('in one answer: what may not be reached is left out, whatever its place', async () => {
    await using listening = await listenOn('127.0.0.2', '127.0.0.1')
    for (const addresses of [
      ['127.0.0.1', '127.0.0.2'],
      ['127.0.0.2', '127.0.0.1', '::ffff:127.0.0.1'],
    ]) {
      const resolve = resolverOf({ 'mixed.example.test': addresses })
      const dialled = await connectTo(
        `rtmp://mixed.example.test:${listening.port}/live`,
        resolve,
        new AddressPolicy(['127.0.0.2']),
      )
      assert.equal(dialled.remoteAddress, '127.0.0.2')
      dialled.reset()
    }
    assert.deepEqual([...new Set(listening.came)], ['127.0.0.2'])
  })
})

describe('a name with thousands of addresses', () => {
  it('has so many of them looked at', async () => {
    // What may be reached comes too late to be seen.
    const many = Array.from({ length: 64 }, (_, index) => `10.0.0.${index}`)
    const answer = async (addresses: readonly string[]) => {
      await using listening = await listenOn('127.0.0.2')
      const resolve = resolverOf({ 'many.example.test': addresses })
      const url = `rtmp://many.example.test:${listening.port}/live`
      return await connectTo(url, resolve, new AddressPolicy(['127.0.0.2'])).then(
        (dialled) => {
          dialled.reset()
          return dialled.remoteAddress
        },
        (error: CodedError) => error.code,
      )
    }
    assert.equal(await answer([...many.slice(1), '127.0.0.2']), '127.0.0.2')
    assert.equal(await answer([...many, '127.0.0.2']), 'destination_not_allowed')
  })
})

describe("this server's own addresses", () => {
  it('are refused although they are public, and looked up before each attempt', async () => {
    let refreshed = 0
    const own = {
      now: () => (refreshed === 0 ? [] : ['8.8.4.4']),
      refresh: async () => {
        refreshed++
      },
    }
    const resolve = resolverOf({ 'live.example.test': ['8.8.4.4'] })
    await assert.rejects(
      connectTo('rtmp://live.example.test/live', resolve, new AddressPolicy([], own)),
      (error) =>
        error instanceof CodedError && error.code === 'destination_not_allowed' && /itself/.test(error.message),
    )
    assert.equal(refreshed, 1)
  })
})
