import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect, createServer } from 'node:tls'
import { type Clock, systemClock } from './clock.ts'
import { type DataDir, openDataDir } from './data-dir.ts'
import { createLog, type Log } from './log.ts'
import { type CertificatePair, openCertificate, type TlsCertificate } from './tls-certificate.ts'

async function dataDirOf(t: TestContext): Promise<DataDir> {
  const path = await mkdtemp(join(tmpdir(), 'tls-'))
  t.after(() => rm(path, { recursive: true }))
  return openDataDir(path)
}

function recordedLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { lines, log: createLog({ logLevel: 'trace', logFormat: 'json' }, { write: (line) => lines.push(line) }) }
}

/** A clock that only a test moves. */
function standingClock(now = Date.now()): Clock & { fire(durationMs: number): void } {
  const waiting = new Set<{ durationMs: number; callback: () => void }>()
  return {
    now: () => now,
    monotonicMs: () => 0,
    after(durationMs, callback) {
      const one = { durationMs, callback }
      waiting.add(one)
      return () => waiting.delete(one)
    },
    fire(durationMs) {
      for (const one of [...waiting].filter((each) => each.durationMs === durationMs)) {
        waiting.delete(one)
        one.callback()
      }
    },
  }
}

const self = { tlsCert: undefined, tlsKey: undefined, publicHost: 'live.example.com' }

/** A pair in files of its own, as a person would have it. */
async function personsPair(t: TestContext, publicHost = 'localhost'): Promise<CertificatePair> {
  const certificate = await openCertificate({ ...self, publicHost }, await dataDirOf(t), systemClock, recordedLog().log)
  return certificate.current
}

const changed = (certificate: TlsCertificate) =>
  new Promise<CertificatePair>((resolve) => {
    const stop = certificate.onChange((pair) => {
      stop()
      resolve(pair)
    })
  })

test('a self-signed pair is made for its user alone, names the public host, and is found again', async (t) => {
  const dataDir = await dataDirOf(t)
  const { log, lines } = recordedLog()
  const first = await openCertificate(self, dataDir, systemClock, log)
  const certificate = new X509Certificate(first.current.cert)
  for (const name of ['localhost', 'live.example.com']) assert(certificate.checkHost(name))
  for (const address of ['127.0.0.1', '::1']) assert(certificate.checkIP(address))
  for (const name of await readdir(dataDir.path)) assert.equal((await stat(dataDir.file(name))).mode & 0o777, 0o600)

  assert.deepEqual((await openCertificate(self, dataDir, systemClock, log)).current, first.current)
  assert.deepEqual(lines, [])
})

test('a self-signed pair is made anew for another public host, before it expires, and when it is damaged', async (t) => {
  const dataDir = await dataDirOf(t)
  const { log } = recordedLog()
  const open = async (publicHost: string, clock = systemClock) =>
    (await openCertificate({ ...self, publicHost }, dataDir, clock, log)).current.cert
  const first = await open('a.example')
  const second = await open('203.0.113.7')
  assert.notEqual(second, first)
  assert(new X509Certificate(second).checkIP('203.0.113.7'))
  const end = new X509Certificate(second).validToDate.getTime()
  const third = await open('203.0.113.7', standingClock(end - 86_400_000))
  assert.notEqual(third, second)
  await writeFile(dataDir.file('tls-key.pem'), 'damaged')
  assert.notEqual(await open('203.0.113.7', standingClock(end)), third)
})

test('a listener takes the new pair for new connections and leaves the open ones alone', async (t) => {
  const [one, two] = [await personsPair(t, 'one.example'), await personsPair(t, 'two.example')]
  const { path, file } = await dataDirOf(t)
  const files = { tlsCert: join(path, 'cert.pem'), tlsKey: join(path, 'key.pem') }
  await writeFile(files.tlsCert, one.cert)
  await writeFile(files.tlsKey, one.key)
  const certificate = await openCertificate({ ...self, ...files }, { path, file }, systemClock, recordedLog().log)
  t.after(() => certificate.close())
  const server = createServer(certificate.current, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  t.after(() => server.close())
  certificate.onChange((pair) => server.setSecureContext(pair))
  await once(server, 'listening')
  const dial = async () => {
    const socket = connect({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }
  const before = await dial()
  assert.equal(before.getPeerX509Certificate()?.subject, 'CN=one.example')

  // A real notification of the file system, not the poll, which comes every 30 s.
  const next = changed(certificate)
  await writeFile(files.tlsKey, two.key)
  await writeFile(files.tlsCert, two.cert)
  assert.deepEqual(await next, two)
  assert.equal((await dial()).getPeerX509Certificate()?.subject, 'CN=two.example')
  before.write('still here')
  assert.equal(String((await once(before, 'data'))[0]), 'still here')
})

test('a renewal through links that point elsewhere is found by looking again, without a notification', async (t) => {
  const [one, two] = [await personsPair(t, 'one.example'), await personsPair(t, 'two.example')]
  const { path, file } = await dataDirOf(t)
  for (const [name, pair] of Object.entries({ one, two })) {
    await mkdir(join(path, name))
    await writeFile(join(path, name, 'cert.pem'), pair.cert)
    await writeFile(join(path, name, 'key.pem'), pair.key)
  }
  // As Kubernetes mounts secrets: the folder that holds the files is a link, and the change is one rename above it.
  await symlink('one', join(path, 'now'))
  const files = { tlsCert: join(path, 'now', 'cert.pem'), tlsKey: join(path, 'now', 'key.pem') }
  const clock = standingClock()
  const certificate = await openCertificate({ ...self, ...files }, { path, file }, clock, recordedLog().log)
  t.after(() => certificate.close())
  const next = changed(certificate)
  await symlink('two', join(path, 'later'))
  await rename(join(path, 'later'), join(path, 'now'))
  clock.fire(30_000)
  assert.deepEqual(await next, two)
})

test('a change that cannot be used is logged once, and the pair in force stays', async (t) => {
  const [one, two] = [await personsPair(t), await personsPair(t)]
  const { path, file } = await dataDirOf(t)
  const files = { tlsCert: join(path, 'cert.pem'), tlsKey: join(path, 'key.pem') }
  await writeFile(files.tlsCert, one.cert)
  await writeFile(files.tlsKey, one.key)
  const clock = standingClock()
  const lines: string[] = []
  const written = Promise.withResolvers<void>()
  const log = createLog(
    { logLevel: 'info', logFormat: 'json' },
    {
      write: (line) => {
        lines.push(line)
        written.resolve()
      },
    },
  )
  const certificate = await openCertificate({ ...self, ...files }, { path, file }, clock, log)
  t.after(() => certificate.close())
  await writeFile(files.tlsCert, two.cert)
  clock.fire(30_000)
  await written.promise
  assert.deepEqual(certificate.current, one)
  // The next look finds the same, and then the pair is whole.
  clock.fire(30_000)
  const next = changed(certificate)
  await writeFile(files.tlsKey, two.key)
  clock.fire(30_000)
  assert.deepEqual(await next, two)
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['changed TLS certificate cannot be used, the one before stays', 'TLS certificate replaced'],
  )
  for (const line of lines) assert.doesNotMatch(line, /PRIVATE/)
})

test('each wrong file gets its sentence', async (t) => {
  const [one, two] = [await personsPair(t), await personsPair(t)]
  const { path, file } = await dataDirOf(t)
  const paths = { cert: join(path, 'cert.pem'), key: join(path, 'key.pem'), other: join(path, 'other.pem') }
  await writeFile(paths.cert, one.cert)
  await writeFile(paths.key, one.key)
  await writeFile(paths.other, two.key)
  const wrong = [
    {
      tlsCert: join(path, 'no.pem'),
      tlsKey: paths.key,
      message: /^STREAM_CONNECT_TLS_CERT is ".*no\.pem" and that cannot be read \(ENOENT\)/,
    },
    { tlsCert: dirname(path), tlsKey: paths.key, message: /^STREAM_CONNECT_TLS_CERT .* cannot be read \(EISDIR\)/ },
    { tlsCert: paths.key, tlsKey: paths.key, message: /^STREAM_CONNECT_TLS_CERT .* holds no PEM certificate/ },
    { tlsCert: paths.cert, tlsKey: paths.cert, message: /^STREAM_CONNECT_TLS_KEY .* holds no PEM private key/ },
    {
      tlsCert: paths.cert,
      tlsKey: paths.other,
      message: /^STREAM_CONNECT_TLS_KEY .* does not belong to the certificate/,
    },
  ]
  for (const { message, ...files } of wrong) {
    const opening = openCertificate({ ...self, ...files }, { path, file }, systemClock, recordedLog().log)
    await assert.rejects(opening, { code: 'setting_invalid', message })
  }
})

test('a certificate that has expired, or soon will, is reported', async (t) => {
  const pair = await personsPair(t)
  const { path, file } = await dataDirOf(t)
  const files = { tlsCert: join(path, 'cert.pem'), tlsKey: join(path, 'key.pem') }
  await writeFile(files.tlsCert, pair.cert)
  await writeFile(files.tlsKey, pair.key)
  const end = new X509Certificate(pair.cert).validToDate.getTime()
  for (const [now, sentence] of [
    [end + 1, 'TLS certificate has expired'],
    [end - 86_400_000, 'TLS certificate expires soon'],
  ] as const) {
    const { log, lines } = recordedLog()
    const certificate = await openCertificate({ ...self, ...files }, { path, file }, standingClock(now), log)
    certificate.close()
    assert.equal((JSON.parse(lines[0] ?? '') as { msg: string }).msg, sentence)
  }
})
