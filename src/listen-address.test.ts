import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { CodedError } from './errors.ts'
import { hostToListenOn, listenFailure } from './listen-address.ts'

const room = { hostSetting: 'HTTP_HOST', portSetting: 'HTTP_PORT' }

test('all addresses means IPv4 alone where IPv6 is missing, and any other host stays', async () => {
  assert.equal(await hostToListenOn('::', async () => false), '0.0.0.0')
  assert.equal(await hostToListenOn('::', async () => true), '::')
  assert.equal(await hostToListenOn('127.0.0.1', async () => false), '127.0.0.1')
  const server = createServer().listen(0, await hostToListenOn('::'))
  await once(server, 'listening')
  server.close()
})

test('a port that is taken, and a host that is not ours, are named with the mend', async () => {
  const first = createServer().listen(0, '127.0.0.1')
  await once(first, 'listening')
  const { port } = first.address() as AddressInfo
  const [taken] = await once(createServer().listen(port, '127.0.0.1'), 'error').catch((error: unknown) => [error])
  first.close()
  const failure = listenFailure(taken, { ...room, host: '127.0.0.1', port })
  assert(failure instanceof CodedError)
  assert.equal(failure.code, 'port_taken')
  assert.equal(
    failure.message,
    `STREAM_CONNECT_HTTP_PORT (--http-port) is ${port} and another program listens there; stop it or give another port.`,
  )

  // 192.0.2.0/24 is set aside for documentation (RFC 5737): no machine has such an address.
  const [foreign] = await once(createServer().listen(0, '192.0.2.1'), 'error').catch((error: unknown) => [error])
  const notOurs = listenFailure(foreign, { ...room, host: '192.0.2.1', port: 0 })
  assert(notOurs instanceof CodedError)
  assert.equal(notOurs.code, 'setting_invalid')
  assert.match(
    notOurs.message,
    /^STREAM_CONNECT_HTTP_HOST \(--http-host\) is "192\.0\.2\.1" and that is no address of this machine/,
  )

  const denied = Object.assign(new Error('listen EACCES'), { code: 'EACCES' })
  assert.match(
    String(listenFailure(denied, { ...room, host: '::', port: 80 })),
    /HTTP_PORT \(--http-port\) is 80 and this user may not/,
  )
  const other = new Error('other')
  assert.equal(listenFailure(other, { ...room, host: '::', port: 80 }), other)
})
