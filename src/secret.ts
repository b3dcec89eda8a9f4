import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

/** A text that must not be seen by chance: logs, JSON and inspection show `[redacted]`. Only `reveal()` gives it away. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  /** Compares in constant time, whatever the lengths. */
  equals(candidate: string): boolean {
    return timingSafeEqual(digest(this.#text), digest(candidate))
  }

  /** Eight hex digits that tell two secrets apart in a log and say nothing else. */
  fingerprint(): string {
    return createHash('sha256').update('stream-connect fingerprint\0').update(this.#text).digest('hex').slice(0, 8)
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [inspect.custom](): string {
    return '[redacted]'
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Encrypts secrets for the store: AES-256-GCM, 12 random bytes of nonce, 16 of tag. Sealed form: `v1.` + base64url. */
export class SecretBox {
  readonly #key: Buffer

  /** @param masterKey 32 bytes (SECRET_KEY). The encryption key is derived from it, so that other uses never share it. */
  constructor(masterKey: Buffer) {
    if (masterKey.length !== 32) throw new RangeError('the master key must have 32 bytes')
    this.#key = Buffer.from(hkdfSync('sha256', masterKey, '', 'stream-connect secrets v1', 32))
  }

  /** @param bound what the secret belongs to (a document's key and field), so that a sealed text moved elsewhere does not open. */
  seal(secret: Secret, bound: string): string {
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(bound))
    const body = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
    return `v1.${Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')}`
  }

  /** @throws Error when the text was sealed with another key, for another place, or was changed. */
  open(sealed: string, bound: string): Secret {
    if (!sealed.startsWith('v1.')) throw new Error('not a sealed secret')
    const bytes = Buffer.from(sealed.slice(3), 'base64url')
    if (bytes.length < 28) throw new Error('a sealed secret is too short')
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12)).setAAD(Buffer.from(bound))
    decipher.setAuthTag(bytes.subarray(bytes.length - 16))
    return new Secret(
      Buffer.concat([decipher.update(bytes.subarray(12, bytes.length - 16)), decipher.final()]).toString('utf8'),
    )
  }
}
