import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { dirname } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Cancel, Clock } from './clock.ts'
import type { Config } from './config.ts'
import { type DataDir, writeFileAtomically } from './data-dir.ts'
import { CodedError } from './errors.ts'
import type { Log } from './log.ts'
import { variablePrefix } from './settings.ts'

/** Certificate (with its chain) and private key, PEM: what tls.createServer and server.setSecureContext take. */
export type CertificatePair = { readonly cert: string; readonly key: string }

export type CertificateFiles = { readonly certFile: string; readonly keyFile: string }

/** Where notifications of the file system are missing (network file systems, exhausted watches), looking again finds a change. */
const lookAgainMs = 30_000
/** Two files are replaced one after the other, and each in several steps. */
const settleMs = 200
/** Clients of a self-signed certificate pin or ignore it: changing it often only breaks those that pin it. */
const selfSignedDays = 3_650
const dayMs = 86_400_000
/** A certificate that ends within this time is reported, and a generated one is made anew at the next start. */
const expiringMs = 14 * dayMs

/**
 * The certificate that the settings ask for.
 * @throws CodedError setting_invalid, data_dir_unusable
 */
export function openCertificate(
  config: Pick<Config, 'tlsCert' | 'tlsKey' | 'publicHost'>,
  dataDir: DataDir,
  clock: Clock,
  log: Log,
): Promise<TlsCertificate> {
  const { tlsCert: certFile, tlsKey: keyFile, publicHost } = config
  return certFile !== undefined && keyFile !== undefined
    ? TlsCertificate.fromFiles({ certFile, keyFile }, clock, log)
    : TlsCertificate.selfSigned(dataDir, publicHost, clock, log)
}

/**
 * The certificate of the TLS listeners. Files of a person (TLS_CERT, TLS_KEY) are read again when they change: listeners hear of it
 * through `onChange` and call `server.setSecureContext(pair)`; connections that are open keep theirs. A change that cannot be used is
 * logged, and the pair in force stays. Owned by whoever opened it, who closes it after the listeners.
 */
export class TlsCertificate {
  #pair: CertificatePair
  readonly #listeners = new Set<(pair: CertificatePair) => void>()
  readonly #files: CertificateFiles | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #watchers: FSWatcher[] = []
  #reading: Promise<void> = Promise.resolve()
  #cancelLook: Cancel = () => {}
  #cancelSettle: Cancel = () => {}
  /** The text that was refused last, so that one bad file is logged once. */
  #refused = ''
  #closed = false

  /** @param files a person's files, to be watched; undefined for a generated pair, which changes only between starts */
  private constructor(pair: CertificatePair, files: CertificateFiles | undefined, clock: Clock, log: Log) {
    this.#pair = pair
    this.#files = files
    this.#clock = clock
    this.#log = log
    warnOfExpiry(pair, clock, log)
    if (files !== undefined) this.#watch(files)
  }

  /** Takes the files of TLS_CERT and TLS_KEY. @throws CodedError setting_invalid: unreadable, not PEM, or not a pair. */
  static async fromFiles(files: CertificateFiles, clock: Clock, log: Log): Promise<TlsCertificate> {
    return new TlsCertificate(await readPair(files), files, clock, log)
  }

  /**
   * Takes the self-signed pair in DATA_DIR; makes it where it is missing, about to expire, or for other host names.
   * @param publicHost PUBLIC_HOST: named in the certificate besides localhost
   * @throws CodedError data_dir_unusable
   */
  static async selfSigned(dataDir: DataDir, publicHost: string, clock: Clock, log: Log): Promise<TlsCertificate> {
    const files = { certFile: dataDir.file('tls-cert.pem'), keyFile: dataDir.file('tls-key.pem') }
    const kept = await readPair(files).catch(() => undefined)
    if (kept !== undefined && serves(kept, publicHost, clock)) return new TlsCertificate(kept, undefined, clock, log)
    const pair = await generatePair(publicHost, clock)
    try {
      // Should the server end between the two, they are no pair, and are made again.
      await writeFileAtomically(files.keyFile, pair.key)
      await writeFileAtomically(files.certFile, pair.cert)
    } catch (error) {
      const path = files.certFile
      throw new CodedError('data_dir_unusable', `DATA_DIR: ${path} cannot be written; check the disk and its rights.`, {
        cause: error,
      })
    }
    return new TlsCertificate(pair, undefined, clock, log)
  }

  get current(): CertificatePair {
    return this.#pair
  }

  /** Of the certificate itself: `AB:CD:…`, SHA-256. */
  get fingerprint(): string {
    return new X509Certificate(this.#pair.cert).fingerprint256
  }

  /** Calls with each new pair. @returns what ends the calls. */
  onChange(listener: (pair: CertificatePair) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  close(): void {
    this.#closed = true
    this.#cancelLook()
    this.#cancelSettle()
    for (const watcher of this.#watchers) watcher.close()
    this.#listeners.clear()
  }

  #watch(files: CertificateFiles): void {
    // Folders, not files: a renewed certificate is mostly a new file, or a link that points elsewhere.
    for (const folder of new Set([dirname(files.certFile), dirname(files.keyFile)])) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#settle())
        watcher.on('error', () => watcher.close())
        this.#watchers.push(watcher)
      } catch {
        // Looking again from time to time will do.
      }
    }
    this.#cancelLook = this.#clock.after(lookAgainMs, () => this.#lookAgain())
  }

  #settle(): void {
    this.#cancelSettle()
    this.#cancelSettle = this.#clock.after(settleMs, () => this.#reload())
  }

  #lookAgain(): void {
    this.#reload()
    this.#cancelLook = this.#clock.after(lookAgainMs, () => this.#lookAgain())
  }

  /** One after the other, so that what was read first is never put in the place of what was read last. */
  #reload(): void {
    this.#reading = this.#reading.then(() => this.#read())
  }

  async #read(): Promise<void> {
    if (this.#files === undefined) return
    try {
      const pair = await readPair(this.#files)
      if (this.#closed || (pair.cert === this.#pair.cert && pair.key === this.#pair.key)) return
      this.#pair = pair
      this.#refused = ''
      this.#log.info({ fingerprint: this.fingerprint, ends: endOf(pair) }, 'TLS certificate replaced')
      warnOfExpiry(pair, this.#clock, this.#log)
      for (const listener of this.#listeners) listener(pair)
    } catch (error) {
      const sentence = String(error)
      if (this.#closed || sentence === this.#refused) return
      this.#refused = sentence
      this.#log.warn({ error }, 'changed TLS certificate cannot be used, the one before stays')
    }
  }
}

async function readPair({ certFile, keyFile }: CertificateFiles): Promise<CertificatePair> {
  const cert = await readPem('TLS_CERT', certFile)
  const key = await readPem('TLS_KEY', keyFile)
  try {
    new X509Certificate(cert)
  } catch (error) {
    throw unusable(
      'TLS_CERT',
      certFile,
      'holds no PEM certificate; give the file with the certificate and its chain',
      error,
    )
  }
  try {
    createPrivateKey(key)
  } catch (error) {
    throw unusable('TLS_KEY', keyFile, 'holds no PEM private key without a passphrase; give the file that does', error)
  }
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw unusable(
      'TLS_KEY',
      keyFile,
      'does not belong to the certificate in TLS_CERT; give the two of one pair',
      error,
    )
  }
  return { cert, key }
}

async function readPem(name: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw unusable(name, path, `cannot be read${reason}; check the path and the rights of this user`, error)
  }
}

function unusable(name: string, path: string, what: string, cause: unknown): CodedError {
  return new CodedError('setting_invalid', `${variablePrefix}${name} is "${path}" and that ${what}.`, { cause })
}

function endOf({ cert }: CertificatePair): Date {
  return new X509Certificate(cert).validToDate
}

function warnOfExpiry(pair: CertificatePair, clock: Clock, log: Log): void {
  const ends = endOf(pair)
  if (ends.getTime() <= clock.now()) log.warn({ ends }, 'TLS certificate has expired')
  else if (ends.getTime() - clock.now() < expiringMs) log.warn({ ends }, 'TLS certificate expires soon')
}

function serves(pair: CertificatePair, publicHost: string, clock: Clock): boolean {
  const certificate = new X509Certificate(pair.cert)
  const named = isIP(publicHost) === 0 ? certificate.checkHost(publicHost) : certificate.checkIP(publicHost)
  return named !== undefined && endOf(pair).getTime() - clock.now() >= expiringMs
}

/** RSA, because old hardware encoders know nothing else. */
async function generatePair(publicHost: string, clock: Clock): Promise<CertificatePair> {
  // Loaded at the first start alone: every later one is faster without it.
  const { generate } = await import('selfsigned')
  const names = new Set(['localhost', '127.0.0.1', '::1', publicHost])
  const { cert, private: key } = await generate([{ name: 'commonName', value: publicHost.slice(0, 64) }], {
    keyType: 'rsa',
    keySize: 2048,
    algorithm: 'sha256',
    // Clocks of encoders are often a little wrong.
    notBeforeDate: new Date(clock.now() - dayMs),
    notAfterDate: new Date(clock.now() + selfSignedDays * dayMs),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [...names].map((name) => (isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name })),
      },
    ],
  })
  return { cert, key }
}
