import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { DirectWriter } from './direct-write.ts'

/** Two ends of one connection. */
async function connected(): Promise<{ here: Socket; there: Socket } & AsyncDisposable> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const here = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [there] = (await once(server, 'connection')) as [Socket]
  if (here.connecting) await once(here, 'connect')
  for (const socket of [here, there]) socket.on('error', () => {})
  return {
    here,
    there,
    async [Symbol.asyncDispose]() {
      here.destroy()
      there.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('what the kernel does not take is told to the byte, and the stream goes on behind it', async () => {
  await using pair = await connected()
  const { here, there } = pair
  const writer = DirectWriter.for(here)!
  const bytes = Buffer.alloc(8 * 1024 * 1024)
  for (let index = 0; index < bytes.length; index += 4) bytes.writeUInt32LE(index, index)
  const pieces = [bytes.subarray(0, 5), bytes.subarray(5, 70_000), bytes.subarray(70_000)]
  there.pause()
  const taken = writer.writeAll(pieces)
  assert.ok(taken > 0 && taken < bytes.length, `it took ${taken}`)
  // The kernel moves what it has to the other end, and then has room for more: until nothing fits.
  let all = taken
  for (let more = -1; more !== 0; all += more) more = writer.write(bytes.subarray(all))
  assert.equal(writer.write(bytes.subarray(all)), 0)
  here.end(bytes.subarray(all))
  // Something waits in the stream: nothing may overtake it.
  assert.equal(writer.write(Buffer.from('no')), 0)
  const received = Buffer.concat(await there.toArray())
  assert.ok(received.equals(bytes))
})

test('a socket that is closed takes nothing, whoever has its number by then', async () => {
  await using pair = await connected()
  const writer = DirectWriter.for(pair.here)!
  let isTold = false
  writer.onClosed = () => {
    isTold = true
  }
  pair.here.destroy()
  assert.ok(isTold, 'at once')
  assert.equal(writer.descriptor, -1)
  assert.equal(writer.write(Buffer.from('x')), 0)
  await once(pair.here, 'close')
  assert.equal(writer.write(Buffer.from('x')), 0)
  assert.equal(DirectWriter.for(pair.here), undefined)
})

test('a connection that the other end has reset takes nothing, and throws nothing', async () => {
  await using pair = await connected()
  const writer = DirectWriter.for(pair.here)!
  pair.there.resetAndDestroy()
  await once(pair.there, 'close')
  // The first write after a reset may still be taken.
  writer.write(Buffer.from('x'))
  assert.equal(writer.writeAll([Buffer.from('x'), Buffer.from('y')]), 0)
})

test('never past TLS, nor past anything that is no socket', async () => {
  await using pair = await connected()
  assert.equal(DirectWriter.for(new TLSSocket(pair.here)), undefined)
  assert.equal(DirectWriter.for(new PassThrough()), undefined)
})
