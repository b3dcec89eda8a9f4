import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { generate } from 'selfsigned'
import { ManualClock } from '../../test/contract/manual-clock.ts'
import { startBlackHole } from '../../test/support/black-hole.ts'
import { type TestCa, testCa } from '../../test/support/tls.ts'
import { systemClock } from '../clock.ts'
import { CodedError, type OutputErrorCode } from '../errors.ts'
import { AddressPolicy } from './address-policy.ts'
import { normaliseFingerprint } from './certificate.ts'
import { attemptsMax, inTurn } from './connect-first.ts'
import { type Dialled, type DialOptions, type DialTarget, dial } from './dial.ts'
import { type Resolve, systemResolve } from './look-up.ts'

const host = 'live.example.test'
const loopback = new AddressPolicy(['127.0.0.0/8', '::1/128'])
const never = new AbortController().signal

/** A resolver that knows one name and counts how often it is asked. */
function resolverOf(...addresses: string[]): Resolve & { asked: string[] } {
  const asked: string[] = []
  return Object.assign(
    async (name: string) => {
      asked.push(name)
      return addresses.map((address) => ({ address, family: address.includes(':') ? (6 as const) : (4 as const) }))
    },
    { asked },
  )
}

function dialTo(target: Partial<DialTarget> & { port: number }, options: Partial<DialOptions> = {}): Promise<Dialled> {
  return dial(
    { scheme: 'rtmp', host, ...target },
    {
      resolve: resolverOf('127.0.0.1'),
      policy: loopback,
      clock: systemClock,
      signal: never,
      deadlineMs: 10_000,
      ...options,
    },
  )
}

type Listening = AsyncDisposable & {
  readonly port: number
  readonly server: Server
  /** The next connection: the TCP one, even beneath TLS. */
  next(): Promise<Socket>
  readonly count: () => number
}

async function listen(server: Server, address = '127.0.0.1', port = 0): Promise<Listening> {
  const sockets: Socket[] = []
  const awaited: ((socket: Socket) => void)[] = []
  let handedOut = 0
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {})
    sockets.push(socket)
    const waiting = awaited.shift()
    if (waiting) {
      handedOut += 1
      waiting(socket)
    }
  })
  server.on('tlsClientError', () => {})
  server.listen(port, address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    next: () => {
      const ready = sockets[handedOut]
      if (ready === undefined) return new Promise((resolve) => awaited.push(resolve))
      handedOut += 1
      return Promise.resolve(ready)
    },
    count: () => sockets.length,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** A port at which nobody listens. */
async function deadPort(address = '127.0.0.1'): Promise<number> {
  await using listening = await listen(createServer(), address)
  return listening.port
}

async function failure(attempt: Promise<unknown>, code: OutputErrorCode): Promise<CodedError> {
  const error = await attempt.then(
    () => assert.fail('connected'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof CodedError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, /\.$/)
  return error
}

/** How a server's side of a connection ends. */
async function endOf(socket: Socket): Promise<'reset' | 'end'> {
  if (socket.errored) return 'reset'
  socket.resume()
  return await new Promise((resolve) => {
    socket.once('error', () => resolve('reset'))
    socket.once('end', () => resolve('end'))
  })
}

describe('dial: look-up and policy', () => {
  it('connects to the checked address, looked up once and anew each time', async () => {
    await using listening = await listen(createServer())
    const resolve = resolverOf('127.0.0.1')
    const steps: string[] = []
    const dialled = await dialTo(listening, { resolve, onStep: (step) => steps.push(step) })
    assert.deepEqual(resolve.asked, [host])
    assert.deepEqual(steps, ['resolving', 'dialing'])
    assert.equal(dialled.remoteAddress, '127.0.0.1')
    assert.equal(dialled.stream, dialled.raw)
    assert.equal(dialled.certificate, undefined)
    dialled.reset()
    const second = await dialTo(listening, { resolve })
    assert.deepEqual(resolve.asked, [host, host])
    second.reset()
  })

  it('carries bytes both ways, none of them lost before the caller listens', async () => {
    await using listening = await listen(createServer((socket) => socket.end('greeting')))
    const dialled = await dialTo(listening)
    const chunks: Buffer[] = []
    dialled.stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(dialled.stream, 'end')
    assert.equal(Buffer.concat(chunks).toString(), 'greeting')
    dialled.reset()
  })

  it('asks nobody for an address', async () => {
    await using listening = await listen(createServer())
    const resolve = resolverOf()
    const dialled = await dialTo({ port: listening.port, host: '127.0.0.1' }, { resolve })
    assert.deepEqual(resolve.asked, [])
    dialled.reset()
  })

  it('refuses an address that is not allowed, naming it and the setting, without connecting', async () => {
    await using listening = await listen(createServer())
    const { message } = await failure(dialTo(listening, { policy: new AddressPolicy([]) }), 'destination_not_allowed')
    assert.match(message, /^live\.example\.test is 127\.0\.0\.1, a loopback address\..*DESTINATION_ALLOW/)
    const literal = await failure(
      dialTo({ port: listening.port, host: '169.254.169.254' }, { policy: new AddressPolicy([]) }),
      'destination_not_allowed',
    )
    assert.match(literal.message, /^169\.254\.169\.254, a link-local address \(the metadata/)
    assert.equal(listening.count(), 0)
  })

  for (const spelling of ['2130706433', '0177.0.0.1', '0x7f.1', '127.1'])
    it(`refuses ${spelling} for what it resolves to`, async () => {
      await using listening = await listen(createServer())
      const { message } = await failure(
        dialTo({ port: listening.port, host: spelling }, { resolve: systemResolve, policy: new AddressPolicy([]) }),
        'destination_not_allowed',
      )
      assert.match(message, /127\.0\.0\.1, a loopback address/)
      assert.equal(listening.count(), 0)
    })

  it('checks every address: of a mixed answer it uses the allowed ones alone', async () => {
    await using listening = await listen(createServer())
    const policy = new AddressPolicy(['127.0.0.1/32'])
    const dialled = await dialTo(listening, { policy, resolve: resolverOf('127.0.0.2', '::1', '127.0.0.1') })
    assert.equal(dialled.remoteAddress, '127.0.0.1')
    assert.equal((await listening.next()).localAddress, '127.0.0.1')
    assert.equal(listening.count(), 1)
    dialled.reset()
  })

  it('believes no answer that is not an address', async () => {
    const { message } = await failure(
      dialTo({ port: 1935 }, { resolve: resolverOf('0x7f.1') }),
      'destination_not_allowed',
    )
    assert.match(message, /not an IP address/)
  })

  for (const [code, mend] of [
    ['ENOTFOUND', /spelling/],
    ['EAI_AGAIN', /name server/],
  ] as const)
    it(`tells ${code}`, async () => {
      const cause = Object.assign(new Error('look-up'), { code })
      const error = await failure(
        dialTo({ port: 1935, host: 'live.exmaple.test' }, { resolve: () => Promise.reject(cause) }),
        'dns_failed',
      )
      assert.ok(error.message.startsWith(`${code} live.exmaple.test`), error.message)
      assert.match(error.message, mend)
      assert.equal(error.cause, cause)
    })

  it('tells a name without addresses', async () => {
    await failure(dialTo({ port: 1935 }, { resolve: resolverOf() }), 'dns_failed')
  })
})

describe('dial: TCP', () => {
  it('tells who refused', async () => {
    const port = await deadPort()
    const { message } = await failure(dialTo({ port }), 'connection_refused')
    assert.ok(message.startsWith(`${host}: ECONNREFUSED 127.0.0.1:${port}`), message)
  })

  it('tells every address that refused', async () => {
    const port = await deadPort()
    const { message } = await failure(
      dialTo({ port }, { resolve: resolverOf('127.0.0.1', '127.0.0.2') }),
      'connection_refused',
    )
    assert.match(message, new RegExp(`ECONNREFUSED 127\\.0\\.0\\.1:${port}, ECONNREFUSED 127\\.0\\.0\\.2:${port}`))
  })

  it('goes on at once from a dead ::1 to a living 127.0.0.1', async () => {
    await using listening = await listen(createServer())
    // The clock stands still: only the failure of ::1 can have begun the second attempt.
    const clock = new ManualClock()
    const dialled = await dialTo(listening, { clock, resolve: resolverOf('::1', '127.0.0.1') })
    assert.equal(dialled.remoteAddress, '127.0.0.1')
    assert.equal(clock.alarms, 0, 'no timer is left')
    dialled.reset()
  })

  it('tries the next address beside one that keeps silent, and gives the silent one up', async () => {
    await using hole = await startBlackHole()
    await using _ = await listen(createServer(), '127.0.0.2', hole.port)
    const clock = new ManualClock()
    const attempt = dialTo({ port: hole.port }, { clock, resolve: resolverOf('127.0.0.1', '127.0.0.2') })
    await alarms(clock, 2)
    clock.advance(250)
    const dialled = await attempt
    assert.equal(dialled.remoteAddress, '127.0.0.2')
    assert.equal(clock.alarms, 0)
    dialled.reset()
  })

  it('gives up at the deadline, naming who kept silent', async () => {
    await using hole = await startBlackHole()
    const clock = new ManualClock()
    const attempt = failure(dialTo({ port: hole.port }, { clock, deadlineMs: 7000 }), 'connect_timeout')
    await alarms(clock, 1)
    await new Promise(setImmediate)
    clock.advance(7000)
    const { message } = await attempt
    assert.ok(message.startsWith(`No answer from ${host} (127.0.0.1:${hole.port}) within 7 s.`), message)
  })

  it('takes the families in turn, and not too many', () => {
    const four = ['a', 'b', 'c'].map((address) => ({ address, family: 4 as const }))
    const six = ['x'].map((address) => ({ address, family: 6 as const }))
    assert.deepEqual(
      inTurn([...six, ...four]).map(({ address }) => address),
      ['x', 'a', 'b', 'c'],
    )
    assert.deepEqual(
      inTurn([...four, ...six]).map(({ address }) => address),
      ['a', 'x', 'b', 'c'],
    )
  })

  it('opens no more than so many sockets for a name with a thousand addresses', async () => {
    const port = await deadPort()
    const many = Array.from({ length: 1000 }, (_, index) => `127.0.${1 + (index >> 8)}.${index & 255}`)
    const { message } = await failure(dialTo({ port }, { resolve: resolverOf(...many) }), 'connection_refused')
    assert.equal(message.match(/ECONNREFUSED/g)?.length, attemptsMax)
  })

  it('resets: the peer gets an error, not an end; twice does no harm', async () => {
    await using listening = await listen(createServer())
    const dialled = await dialTo(listening)
    const end = endOf(await listening.next())
    dialled.reset()
    dialled.reset()
    assert.equal(await end, 'reset')
    assert.ok(dialled.stream.destroyed)
  })

  it('survives a reset by the peer that nobody listens for', async () => {
    await using listening = await listen(createServer())
    const dialled = await dialTo(listening)
    const closed = new Promise((resolve) => dialled.stream.once('close', resolve))
    const peer = await listening.next()
    peer.resetAndDestroy()
    dialled.stream.resume()
    await closed
    assert.ok(dialled.stream.destroyed)
  })
})

describe('dial: TLS', () => {
  let ca: TestCa
  before(async () => {
    ca = await testCa()
  })
  after(() => ca[Symbol.asyncDispose]())

  async function listenTls(options: TlsOptions): Promise<Listening & { readonly names: string[] }> {
    const names: string[] = []
    const server = createTlsServer(options, (socket) => {
      names.push((socket as TLSSocket & { servername?: string | false }).servername || '')
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    return Object.assign(await listen(server), { names })
  }
  const secured = (port: number, options: Partial<DialOptions> = {}, name = host) =>
    dialTo({ scheme: 'rtmps', host: name, port }, { ca: ca.cert, ...options })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    it(`verifies chain and name over ${version}, and sends the name`, async () => {
      await using listening = await listenTls({
        ...(await ca.serverCert(host)),
        minVersion: version,
        maxVersion: version,
      })
      const steps: string[] = []
      const dialled = await secured(listening.port, { onStep: (step) => steps.push(step) })
      assert.deepEqual(steps, ['resolving', 'dialing', 'securing'])
      assert.equal((dialled.stream as TLSSocket).getProtocol(), version)
      assert.notEqual(dialled.stream, dialled.raw)
      assert.equal(dialled.certificate?.verified, true)
      assert.deepEqual(dialled.certificate.names, [host])
      dialled.stream.write('ping')
      assert.equal(String((await once(dialled.stream, 'data'))[0]), 'ping')
      assert.deepEqual(listening.names, [host])
      dialled.reset()
    })

  it('compares an address with the addresses of the certificate, and sends no name', async () => {
    await using listening = await listenTls(await ca.serverCert('127.0.0.1'))
    const dialled = await secured(listening.port, {}, '127.0.0.1')
    assert.equal(dialled.certificate?.verified, true)
    dialled.stream.write('ping')
    await once(dialled.stream, 'data')
    assert.deepEqual(listening.names, [''])
    dialled.reset()
  })

  it('leaves the dot of the root out of the name', async () => {
    await using listening = await listenTls(await ca.serverCert(host))
    const dialled = await secured(listening.port, {}, `${host}.`)
    dialled.stream.write('ping')
    await once(dialled.stream, 'data')
    assert.deepEqual(listening.names, [host])
    dialled.reset()
  })

  it('resets beneath TLS as soon as it is connected: the peer gets an error', async () => {
    // A server that speaks TLS 1.3 still writes its tickets then, and takes the reset for the failure of that write.
    await using listening = await listenTls({ ...(await ca.serverCert(host)), maxVersion: 'TLSv1.2' })
    const error = new Promise<string | undefined>((resolve) => {
      const onError = ({ code }: NodeJS.ErrnoException) => resolve(code)
      listening.server.once('tlsClientError', onError)
      listening.server.once('secureConnection', (socket: TLSSocket) => socket.once('error', onError))
    })
    const dialled = await secured(listening.port)
    dialled.reset()
    dialled.reset()
    assert.ok(dialled.raw.destroyed && dialled.stream.destroyed)
    assert.equal(await error, 'ECONNRESET')
  })

  it('may be reset in the turn in which it is connected, over TLS 1.3 too', async () => {
    // Node ends with a segmentation fault where this happens inside the handshake's own callback.
    await using listening = await listenTls(await ca.serverCert(host))
    const dialled = await secured(listening.port)
    const peer = await listening.next()
    const closed = new Promise((resolve) => peer.once('close', resolve))
    dialled.reset()
    dialled.stream.write('late')
    await closed
  })

  it('resets beneath TLS while megabytes wait: the peer gets an error, and not all of them', async () => {
    await using listening = await listenTls(await ca.serverCert(host))
    const accepted = once(listening.server, 'secureConnection')
    const dialled = await secured(listening.port)
    const [peer] = (await accepted) as [TLSSocket]
    peer.unpipe()
    peer.pause()
    const sentBytes = 20_000_000
    for (let sent = 0; sent < sentBytes; sent += 50_000) dialled.stream.write(Buffer.alloc(50_000))
    await new Promise(setImmediate)
    dialled.reset()
    assert.ok(dialled.raw.destroyed && dialled.stream.destroyed)
    let received = 0
    peer.on('data', ({ length }: Buffer) => {
      received += length
    })
    peer.resume()
    const [error] = (await once(peer, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNRESET')
    assert.ok(received < sentBytes)
  })

  it('tells when a certificate expired', async () => {
    const made = await ca.serverCert(host, { expired: true })
    await using listening = await listenTls(made)
    const day = new X509Certificate(made.cert).validToDate.toISOString().slice(0, 10)
    const { message } = await failure(secured(listening.port), 'certificate_expired')
    assert.ok(message.startsWith(`${host}: certificate expired on ${day}.`), message)
  })

  it('tells for whom a certificate was made', async () => {
    await using listening = await listenTls(await ca.serverCert(host, { wrongHost: true }))
    const { message } = await failure(secured(listening.port), 'certificate_host_mismatch')
    assert.ok(message.startsWith(`The certificate is for another.example, not for ${host}.`), message)
  })

  it('refuses a self-signed certificate, and an authority that nobody knows', async () => {
    const own = await selfSigned()
    await using alone = await listenTls(own)
    const first = await failure(secured(alone.port), 'certificate_untrusted')
    assert.match(first.message, /self-signed \(DEPTH_ZERO_SELF_SIGNED_CERT\).*NODE_EXTRA_CA_CERTS, or pin/)
    assert.ok(first.message.includes(normaliseFingerprint(new X509Certificate(own.cert).fingerprint256)!))
    // Node's own authorities, which do not know the test's.
    await using unknown = await listenTls(await ca.serverCert(host))
    const second = await failure(dialTo({ scheme: 'rtmps', port: unknown.port }), 'certificate_untrusted')
    assert.match(second.message, /unknown authority \(.*stream-connect test authority/)
  })

  it('sends nothing to a destination whose certificate it refuses', async () => {
    await using listening = await listenTls(await selfSigned())
    let received = 0
    listening.server.on('secureConnection', (socket: TLSSocket) =>
      socket.on('data', ({ length }) => (received += length)),
    )
    await failure(secured(listening.port), 'certificate_untrusted')
    assert.equal(received, 0)
  })

  it('takes any certificate with verify: false, and says that it is not verified', async () => {
    await using listening = await listenTls(await selfSigned())
    const dialled = await secured(listening.port, { tls: { verify: false } })
    assert.equal(dialled.certificate?.verified, false)
    dialled.reset()
  })

  it('takes the pinned certificate and no other, whatever verify says', async () => {
    const pinned = await selfSigned()
    const { fingerprint256 } = new X509Certificate(pinned.cert)
    await using listening = await listenTls(pinned)
    for (const fingerprint of [fingerprint256, normaliseFingerprint(fingerprint256)!, `sha256:${fingerprint256}`]) {
      const dialled = await secured(listening.port, { tls: { fingerprint } })
      assert.equal(dialled.certificate?.fingerprint, normaliseFingerprint(fingerprint256))
      dialled.reset()
    }
    await using other = await listenTls(await ca.serverCert(host))
    for (const verify of [true, false])
      assert.match(
        (await failure(secured(other.port, { tls: { fingerprint: fingerprint256, verify } }), 'certificate_untrusted'))
          .message,
        /has the SHA-256 fingerprint [0-9a-f]{64}, which is not the pinned one/,
      )
    await failure(secured(other.port, { tls: { fingerprint: 'abc' } }), 'destination_invalid')
  })

  it('tells of a server that speaks no TLS', async () => {
    await using talking = await listen(createServer((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')))
    assert.match((await failure(secured(talking.port), 'tls_failed')).message, /speaks no TLS.*rtmp:\/\//)
    await using closing = await listen(createServer((socket) => socket.once('data', () => socket.end())))
    assert.match((await failure(secured(closing.port), 'tls_failed')).message, /probably speaks no TLS/)
  })

  it('tells of a server that cuts the handshake', async () => {
    await using listening = await listen(createServer((socket) => socket.once('data', () => socket.resetAndDestroy())))
    assert.match((await failure(secured(listening.port), 'connection_reset')).message, /ECONNRESET/)
  })

  it('tells of a server that speaks TLS 1.1 at most', async () => {
    await using listening = await listenTls({
      ...(await ca.serverCert(host)),
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL:@SECLEVEL=0',
    })
    await failure(secured(listening.port), 'tls_failed')
  })

  it('gives up at the deadline on a server that takes the connection and says nothing', async () => {
    await using listening = await listen(createServer())
    const clock = new ManualClock()
    const attempt = failure(secured(listening.port, { clock, deadlineMs: 9000 }), 'connect_timeout')
    const raw = await listening.next()
    await once(raw, 'data')
    const end = endOf(raw)
    clock.advance(9000)
    const { message } = await attempt
    assert.ok(message.startsWith(`${host} (127.0.0.1:${listening.port}) took the connection but did not`), message)
    assert.equal(await end, 'reset')
    assert.equal(clock.alarms, 0)
  })

  it('survives a reset by the peer that nobody listens for', async () => {
    await using listening = await listenTls(await ca.serverCert(host))
    const dialled = await secured(listening.port)
    const closed = new Promise((resolve) => dialled.stream.once('close', resolve))
    const peer = await listening.next()
    peer.resetAndDestroy()
    dialled.stream.resume()
    await closed
    assert.ok(dialled.raw.destroyed)
  })

  async function selfSigned(): Promise<{ cert: string; key: string }> {
    const made = await generate([{ name: 'commonName', value: host }], { keyType: 'ec', algorithm: 'sha256' })
    return { cert: made.cert, key: made.private }
  }
})

describe('dial: abort', () => {
  const reason = new Error('the output was removed')

  it('before anything', async () => {
    const resolve = resolverOf('127.0.0.1')
    await assert.rejects(dialTo({ port: 1935 }, { resolve, signal: AbortSignal.abort(reason) }), reason)
    assert.deepEqual(resolve.asked, [])
  })

  it('while resolving; a late answer connects nowhere', async () => {
    await using listening = await listen(createServer())
    const stop = new AbortController()
    const answer = Promise.withResolvers<{ address: string; family: 4 }[]>()
    const clock = new ManualClock()
    const attempt = dialTo(listening, { clock, signal: stop.signal, resolve: () => answer.promise })
    stop.abort(reason)
    await assert.rejects(attempt, reason)
    answer.resolve([{ address: '127.0.0.1', family: 4 }])
    await new Promise(setImmediate)
    assert.equal(listening.count(), 0)
    assert.equal(clock.alarms, 0)
  })

  it('at the deadline while resolving', async () => {
    const clock = new ManualClock()
    const resolve: Resolve = () => new Promise(() => {})
    const attempt = failure(dialTo({ port: 1935 }, { clock, resolve, deadlineMs: 10_000 }), 'dns_failed')
    clock.advance(10_000)
    assert.match((await attempt).message, /did not answer for live\.example\.test within 10 s/)
  })

  it('while dialing: the attempts are given up', async () => {
    await using hole = await startBlackHole()
    const stop = new AbortController()
    const clock = new ManualClock()
    const attempt = dialTo(
      { port: hole.port },
      { clock, signal: stop.signal, resolve: resolverOf('127.0.0.1', '127.0.0.2') },
    )
    await alarms(clock, 2)
    stop.abort(reason)
    await assert.rejects(attempt, reason)
    assert.equal(clock.alarms, 0)
  })

  it('while securing: the peer gets a reset', async () => {
    await using listening = await listen(createServer())
    const stop = new AbortController()
    const attempt = dialTo({ scheme: 'rtmps', port: listening.port }, { signal: stop.signal })
    const raw = await listening.next()
    await once(raw, 'data')
    const end = endOf(raw)
    stop.abort(reason)
    await assert.rejects(attempt, reason)
    assert.equal(await end, 'reset')
  })

  for (const step of ['resolving', 'dialing', 'securing'] as const)
    it(`as ${step} begins: nothing is left open`, async () => {
      await using listening = await listen(createServer())
      const stop = new AbortController()
      await assert.rejects(
        dialTo(
          { scheme: 'rtmps', port: listening.port },
          { signal: stop.signal, onStep: (begun) => begun === step && stop.abort(reason) },
        ),
        reason,
      )
      if (step === 'securing') assert.equal(await endOf(await listening.next()), 'reset')
      else assert.equal(listening.count(), 0)
    })

  it('afterwards does nothing: the connection is the caller’s', async () => {
    await using listening = await listen(createServer())
    const stop = new AbortController()
    const dialled = await dialTo(listening, { signal: stop.signal })
    stop.abort(reason)
    await new Promise(setImmediate)
    assert.equal(dialled.stream.destroyed, false)
    dialled.reset()
  })
})

/** Waits until so many timers run: an attempt has begun. */
async function alarms(clock: ManualClock, count: number): Promise<void> {
  while (clock.alarms < count) await new Promise(setImmediate)
}
