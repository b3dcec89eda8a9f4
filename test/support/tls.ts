import { writeFile } from 'node:fs/promises'
import { connect, createServer, isIP, type Socket } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, TLSSocket } from 'node:tls'
import { generate } from 'selfsigned'
import { temporaryFolder } from './processes.ts'

/** Certificates of a test's own authority, and a TLS front for servers that cannot do TLS themselves. */

const dayMs = 86_400_000

export type ServerCertificate = { readonly cert: string; readonly key: string }

export type TestCa = AsyncDisposable & {
  readonly cert: string
  /** Path of the PEM file, for NODE_EXTRA_CA_CERTS. */
  readonly caPem: string
  /** A certificate for a host name or an IP address; `expired`: until yesterday; `wrongHost`: made for another name. */
  serverCert(
    host: string,
    faults?: { readonly expired?: boolean; readonly wrongHost?: boolean },
  ): Promise<ServerCertificate>
}

export async function testCa(name = 'stream-connect test authority'): Promise<TestCa> {
  const folder = await temporaryFolder('ca')
  const authority = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - 30 * dayMs),
    notAfterDate: new Date(Date.now() + 30 * dayMs),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const caPem = join(folder.path, 'ca.pem')
  await writeFile(caPem, authority.cert)
  return {
    cert: authority.cert,
    caPem,
    async serverCert(host, { expired = false, wrongHost = false } = {}) {
      const subject = wrongHost ? 'another.example' : host
      const altName = isIP(subject) ? { type: 7 as const, ip: subject } : { type: 2 as const, value: subject }
      const made = await generate([{ name: 'commonName', value: subject }], {
        keyType: 'ec',
        algorithm: 'sha256',
        notBeforeDate: new Date(Date.now() - 20 * dayMs),
        notAfterDate: new Date(Date.now() + (expired ? -dayMs : 20 * dayMs)),
        ca: { key: authority.private, cert: authority.cert },
        extensions: [
          { name: 'basicConstraints', cA: false },
          { name: 'keyUsage', digitalSignature: true, critical: true },
          { name: 'extKeyUsage', serverAuth: true },
          { name: 'subjectAltName', altNames: [altName] },
        ],
      })
      return { cert: made.cert, key: made.private }
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

export type TlsFront = AsyncDisposable & {
  readonly port: number
  /** SNI of each connection that completed its handshake, `''` without. */
  readonly serverNames: string[]
  /** Resets all connections and goes on listening. */
  resetAll(): void
  stop(): Promise<void>
}

/** Takes TLS on a port of its own and passes the bytes to `port` (nginx-rtmp), and the other way; ends are passed on too. */
export async function tlsFront(options: ServerCertificate & { readonly port: number }): Promise<TlsFront> {
  const { cert, key, port } = options
  const secureContext = createSecureContext({ cert, key })
  const serverNames: string[] = []
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (raw) => {
    const outside: TLSSocket & { servername?: string | false | null } = new TLSSocket(raw, {
      isServer: true,
      secureContext,
    })
    const inside = connect({ host: '127.0.0.1', port, noDelay: true })
    open.add(raw)
    outside.once('secure', () => serverNames.push(outside.servername || ''))
    outside.pipe(inside).pipe(outside)
    const finish = () => {
      open.delete(raw)
      inside.destroy()
      outside.destroy()
      raw.destroy()
    }
    for (const socket of [raw, outside, inside]) socket.on('error', finish)
    outside.once('close', finish)
    // Lets what is pending towards the client go out first.
    inside.once('close', () => outside.end(finish))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const resetAll = () => {
    for (const raw of open) raw.resetAndDestroy()
  }
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    resetAll()
    await closed
  }
  return {
    port: (server.address() as { port: number }).port,
    serverNames,
    resetAll,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
