import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { TokenId } from '../model/id.ts'
import { Secret } from '../secret.ts'
import type { AccountRegister } from './account-register.ts'
import type { Principal } from './accounts.ts'

/** Without a request, and without an open event stream or preview, a session ends after so long. */
export const sessionIdleMsMax = 12 * 3_600_000
/** However busy it is: whoever found a cookie does not have it for ever. */
export const sessionDurationMsMax = 30 * 24 * 3_600_000
/** Browsers of one token: beyond, the one that was used longest ago is signed out. */
const sessionsPerTokenMax = 50
const sessionsMax = 1_000

type Session = {
  /** Tells sessions apart where they are counted; no secret, and nowhere told. */
  readonly key: string
  readonly tokenId: TokenId
  readonly beganAtMs: number
  lastUsedAtMs: number
}

/**
 * Who is signed in on the dashboard: for each cookie the id of the token that was signed in with, never its text. A session does not
 * outlive its token: with each use the register is asked anew. In memory alone: a restart signs everybody out.
 */
export class Sessions {
  readonly #register: Pick<AccountRegister, 'principalOf'>
  readonly #clock: Clock
  /** By the SHA-256 of what the cookie holds; the one that was used longest ago comes first. */
  readonly #sessions = new Map<string, Session>()

  constructor(register: Pick<AccountRegister, 'principalOf'>, clock: Clock) {
    this.#register = register
    this.#clock = clock
  }

  /** @returns what the cookie shall hold: 256 random bits, chosen here and by nobody else. */
  begin(principal: Principal): Secret {
    const text = randomBytes(32).toString('base64url')
    const now = this.#clock.monotonicMs()
    for (const [hash, session] of this.#sessions) if (!this.#isAlive(session)) this.#sessions.delete(hash)
    const ofToken = [...this.#sessions].filter(([, { tokenId }]) => tokenId === principal.id)
    if (ofToken.length >= sessionsPerTokenMax) this.#sessions.delete(ofToken[0]![0])
    else if (this.#sessions.size >= sessionsMax) this.#sessions.delete(this.#sessions.keys().next().value!)
    const hash = hashOf(text)
    this.#sessions.set(hash, { key: hash.slice(0, 32), tokenId: principal.id, beganAtMs: now, lastUsedAtMs: now })
    return new Secret(text)
  }

  /**
   * Whose session it is. What the principal may do is asked of the register each time, so that all ends with the session or its token.
   * @returns undefined when there is no such session, or no longer.
   */
  principalOf(text: string): Principal | undefined {
    const hash = hashOf(text)
    const session = this.#use(hash)
    const principal = session && this.#register.principalOf(session.tokenId)
    if (session === undefined || principal === undefined) {
      this.#sessions.delete(hash)
      return undefined
    }
    return {
      ...principal,
      session: session.key,
      mayUse: (where, right) => this.#use(hash) !== undefined && principal.mayUse(where, right),
    }
  }

  end(text: string): void {
    this.#sessions.delete(hashOf(text))
  }

  get count(): number {
    return this.#sessions.size
  }

  #use(hash: string): Session | undefined {
    const session = this.#sessions.get(hash)
    if (session === undefined) return undefined
    this.#sessions.delete(hash)
    if (!this.#isAlive(session)) return undefined
    session.lastUsedAtMs = this.#clock.monotonicMs()
    this.#sessions.set(hash, session)
    return session
  }

  #isAlive({ beganAtMs, lastUsedAtMs }: Session): boolean {
    const now = this.#clock.monotonicMs()
    return now - lastUsedAtMs < sessionIdleMsMax && now - beganAtMs < sessionDurationMsMax
  }
}

/** A text with 256 random bits needs no salt; what is looked for says nothing of what there is. */
function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
