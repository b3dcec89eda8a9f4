import { CodedError } from './errors.ts'
import { decodeLiveInput, liveInputPrefix, type SecretCipher } from './model/live-input.ts'
import { decodeDestination, destinationPrefix } from './model/webhook.ts'
import { Secret, type SecretBox } from './secret.ts'

/**
 * SECRET_KEY and the database that it encrypts: whether the two belong together, and the change to another key.
 *
 * The change is made at a start, before anything else may read or write, in one transaction of the database: whatever happens
 * meanwhile, all secrets open with the old key, or all with the new one.
 */

/** A known text, sealed with the key of this database. */
export const secretKeyCheckKey = 'server.secret-key-check'
const known = 'this text opens with the right SECRET_KEY'

/** What is stored under `secretKeyCheckKey`. */
export function sealedCheck(cipher: SecretBox): string {
  return cipher.seal(new Secret(known), secretKeyCheckKey)
}

export function opensCheck(cipher: SecretBox, check: string): boolean {
  try {
    return cipher.open(check, secretKeyCheckKey).reveal() === known
  } catch {
    return false
  }
}

/** Gives a document of the database in the form that it has with the new key; the same text when nothing in it is sealed. */
export type Reseal = (key: string, value: string) => string

/**
 * @param check what is stored under `secretKeyCheckKey`; undefined: the database is new
 * @param previous SECRET_KEY_PREVIOUS
 * @param onUnreadable told of documents that do not open with the old key either; they are left as they are
 * @returns undefined when the database has the new key already, or none yet
 * @throws CodedError secret_key_wrong: neither key is the database's
 */
export function changeOfSecretKey(
  check: string | undefined,
  previous: SecretBox,
  next: SecretBox,
  onUnreadable: (key: string, error: unknown) => void,
): Reseal | undefined {
  if (check === undefined || opensCheck(next, check)) return undefined
  if (!opensCheck(previous, check))
    throw new CodedError(
      'secret_key_wrong',
      'Neither SECRET_KEY nor SECRET_KEY_PREVIOUS is the key that this database was encrypted with; give the key of that time back as SECRET_KEY_PREVIOUS.',
    )
  return (key, value) => {
    const resealing = new Resealing(previous, next)
    try {
      readSecretsOf(key, value, resealing)
    } catch (error) {
      onUnreadable(key, error)
      return value
    }
    return resealing.applyTo(value)
  }
}

/** Opens every secret of a document. What seals a secret for the store has to be named here: a test holds the two together. */
function readSecretsOf(key: string, value: string, cipher: SecretCipher): void {
  const [prefix] = key.split('.', 1)
  if (key === secretKeyCheckKey) cipher.open(value, key)
  else if (prefix === liveInputPrefix) decodeLiveInput(value, cipher)
  else if (prefix === destinationPrefix) decodeDestination(value, cipher)
}

/** Opens with the old key, and remembers each sealed text with what takes its place: the rest of a document stays byte for byte. */
class Resealing implements SecretCipher {
  readonly #previous: SecretBox
  readonly #next: SecretBox
  readonly #replacements = new Map<string, string>()

  constructor(previous: SecretBox, next: SecretBox) {
    this.#previous = previous
    this.#next = next
  }

  open(sealed: string, bound: string): Secret {
    const secret = this.#previous.open(sealed, bound)
    this.#replacements.set(sealed, this.seal(secret, bound))
    return secret
  }

  seal(secret: Secret, bound: string): string {
    return this.#next.seal(secret, bound)
  }

  applyTo(value: string): string {
    let result = value
    for (const [sealed, resealed] of this.#replacements) result = result.replaceAll(sealed, resealed)
    return result
  }
}
