import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { TokenId } from '../model/id.ts'
import { Secret } from '../secret.ts'

/** As long as it takes to read a terminal and open a browser. */
export const linkDurationMsMax = 3_600_000
/** Of one token, not used yet; beyond, its oldest is void. Counted for each: nobody voids the link of somebody else. */
const linksPerTokenMax = 5
/** Of all tokens; beyond, the oldest is void. */
const linksMax = 1_000

export type SignInLink = { readonly once: Secret; readonly expiresOn: string }
type Link = { readonly tokenId: TokenId; readonly untilMs: number }

/** What signs a browser in once, for the session of a token, without the token. In memory alone. */
export class SignInLinks {
  readonly #clock: Clock
  /** By SHA-256, oldest first. */
  readonly #links = new Map<string, Link>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns 256 random bits, to be told to one person; `expiresOn` is ISO 8601. */
  make(tokenId: TokenId): SignInLink {
    const text = randomBytes(32).toString('base64url')
    const now = this.#clock.monotonicMs()
    for (const [hash, { untilMs }] of this.#links) if (untilMs <= now) this.#links.delete(hash)
    const ofToken = [...this.#links].filter(([, link]) => link.tokenId === tokenId)
    if (ofToken.length >= linksPerTokenMax) this.#links.delete(ofToken[0]![0])
    else if (this.#links.size >= linksMax) this.#links.delete(this.#links.keys().next().value!)
    this.#links.set(hashOf(text), { tokenId, untilMs: now + linkDurationMsMax })
    return { once: new Secret(text), expiresOn: new Date(this.#clock.now() + linkDurationMsMax).toISOString() }
  }

  /** @returns whose session it opens; undefined when it was used, is too old, or never was. */
  use(text: string): TokenId | undefined {
    const hash = hashOf(text)
    const link = this.#links.get(hash)
    this.#links.delete(hash)
    return link !== undefined && this.#clock.monotonicMs() < link.untilMs ? link.tokenId : undefined
  }
}

/** Where a link leads, below the server's address. A fragment stays in the browser: no log and no server sees it. */
export function signInPath(once: Secret): string {
  return `/#/sign-in?once=${once.reveal()}`
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
