import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { decodeLiveInput } from '../../src/model/live-input.ts'
import { decodeDestination } from '../../src/model/webhook.ts'
import { SecretBox } from '../../src/secret.ts'

/**
 * Looks for secrets in what a server writes: each line of its output, and answers that have no business to hold one. Used by every
 * server under test, so that each end-to-end test is a test of this, too.
 *
 * A secret is looked for as it is, percent-encoded, in base64 (wherever it begins in what was encoded) and in hexadecimal. Secrets
 * become known later than lines are written: lines are kept until then.
 */

/** Shorter ones are names that tests give ("key", "to-nginx") and stand everywhere. */
const charactersMin = 16
/** Of lines that wait to be searched. */
const waitingCharactersMax = 16 * 1024 * 1024
/** Each is looked for in ten forms: of more than these the newest are enough. */
const secretsMax = 60
/** Members of the API's requests and answers that are secrets, and texts that are one wherever they stand. */
const secretNames = /^(streamKey|password|secret|signing_secret|once)$/
const secretTexts = /^(sct_|whsec_)/

export class SecretWatch {
  readonly #secrets = new Set<string>()
  #waiting: { readonly where: string; readonly text: string }[] = []
  #waitingCharacters = 0
  readonly #findings: string[] = []

  /** A text that nobody may find. Short ones are passed over. */
  add(secret: string | undefined): void {
    if (secret === undefined || secret.length < charactersMin) return
    this.#secrets.delete(secret)
    this.#secrets.add(secret)
    if (this.#secrets.size > secretsMax) this.#secrets.delete(this.#secrets.values().next().value!)
  }

  /** All secrets that a request or an answer of the API carries. */
  addFrom(json: unknown): void {
    if (Array.isArray(json)) for (const item of json) this.addFrom(item)
    else if (json !== null && typeof json === 'object')
      for (const [name, member] of Object.entries(json))
        if (typeof member === 'string' && (secretNames.test(name) || secretTexts.test(member))) this.add(member)
        else this.addFrom(member)
  }

  /**
   * All secrets in the database of a server that has ended.
   * @param secretKey SECRET_KEY, where it was set; else it is read from the data directory
   */
  addFromDatabase(dataDir: string, secretKey: string | undefined): void {
    let rows: readonly { readonly key: string; readonly value: string }[]
    let cipher: SecretBox
    try {
      cipher = new SecretBox(Buffer.from(secretKey ?? readFileSync(`${dataDir}/secret-key`, 'utf8'), 'base64'))
      const database = new DatabaseSync(`${dataDir}/stream-connect.sqlite`, { readOnly: true })
      rows = database.prepare('SELECT key, value FROM documents').all() as { key: string; value: string }[]
      database.close()
    } catch {
      // A test has taken it away, or damaged it: that is its subject.
      return
    }
    this.add(secretKey)
    for (const { key, value } of rows) {
      try {
        if (key.startsWith('input.')) this.#addInput(value, cipher)
        else if (key.startsWith('webhook.')) this.#addDestination(value, cipher)
      } catch {
        // Damaged by a test.
      }
    }
  }

  /** Something that the server wrote. @param where a word for the finding: `log`, `GET /metrics`. */
  wrote(where: string, text: string): void {
    this.#waiting.push({ where, text })
    this.#waitingCharacters += text.length
    if (this.#waitingCharacters > waitingCharactersMax) this.#search()
  }

  /** @throws Error that says where a secret was found, and not the secret. */
  assertNothingFound(): void {
    this.#search()
    if (this.#findings.length > 0)
      throw new Error(
        `the server wrote a secret: ${this.#findings.slice(0, 5).join('; ')} (${this.#findings.length} in all)`,
      )
  }

  #addInput(value: string, cipher: SecretBox): void {
    const input = decodeLiveInput(value, cipher)
    this.add(input.streamKey.reveal())
    for (const { streamKey, password } of input.outputs) {
      this.add(streamKey.reveal())
      this.add(password?.reveal())
    }
  }

  #addDestination(value: string, cipher: SecretBox): void {
    const { secret, signingSecret } = decodeDestination(value, cipher)
    this.add(secret?.reveal())
    this.add(signingSecret.reveal())
  }

  #search(): void {
    const forms = [...this.#secrets].flatMap(formsOf)
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingCharacters = 0
    if (forms.length === 0) return
    for (const { where, text } of waiting)
      for (const [form, needle] of forms)
        if (text.includes(needle)) {
          this.#findings.push(`${form} in ${where}: ${text.replaceAll(needle, '<here>').slice(0, 300)}`)
          break
        }
  }
}

/** Every form in which a secret could be written, with the form's name. */
export function formsOf(secret: string): readonly (readonly [form: string, needle: string])[] {
  const forms = new Map<string, string>()
  const add = (form: string, needle: string) => {
    if (needle.length >= charactersMin && !forms.has(needle)) forms.set(needle, form)
  }
  add('plain', secret)
  add('JSON', JSON.stringify(secret).slice(1, -1))
  add('percent-encoded', encodeURIComponent(secret))
  add('percent-encoded', encodeURI(secret))
  const bytes = Buffer.from(secret)
  add('hexadecimal', bytes.toString('hex'))
  add('hexadecimal', bytes.toString('hex').toUpperCase())
  for (const before of [0, 1, 2]) {
    // Sextets that hold bits of what stands before or after it are left out.
    const all = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const first = Math.ceil((before * 8) / 6)
    const end = Math.floor(((before + bytes.length) * 8) / 6)
    const core = all.slice(first, end)
    add('base64', core)
    add('base64url', core.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return [...forms].map(([needle, form]) => [form, needle])
}
