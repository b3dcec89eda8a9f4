import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { AccountRegister } from './account-register.ts'
import type { Principal, Right } from './accounts.ts'
import { type Doors, tokenIn } from './auth.ts'
import type { DashboardRight, DashboardSession } from './dashboard-types.ts'
import { invalid, notAuthenticated, Refusal, refused, success, tooMuch } from './envelope.ts'
import type { HttpRoutes } from './routes.ts'
import { successOf } from './schemas.ts'
import type { SignInAttempts } from './session-attempts.ts'
import { refuseForeign } from './session-cookie.ts'
import { type SignInLinks, signInPath } from './session-links.ts'
import { sessionIdleMsMax } from './sessions.ts'

export type SessionParts = {
  readonly register: AccountRegister
  readonly doors: Doors
  readonly links: SignInLinks
  readonly attempts: SignInAttempts
}

/** Longer than any token and any link. */
const secretLengthMax = 1_000

const secret = z
  .string({ error: 'Must be a text.' })
  .min(1, { error: 'Must not be empty.' })
  .max(secretLengthMax, { error: 'Is too long. Copy the token alone.' })
const signIn = z.object(
  { token: secret.optional(), once: secret.optional() },
  { error: 'The body must be a JSON object, for example {"token": "sct_…"}.' },
)

const path = '/dashboard/session'
const dashboardRights: readonly DashboardRight[] = ['read', 'write', 'manage']

/** Who is signed in: signing in with a token or a one-time link, who and what one may do, signing out. */
export function addSessionRoutes(routes: HttpRoutes, { register, doors, links, attempts }: SessionParts): void {
  const { sessions, cookie } = doors

  routes.post(path, { schema: { body: signIn } }, (request, reply) => {
    // A page from elsewhere must not sign a person in as somebody else, either.
    refuseForeign(request)
    const waitMs = attempts.waitMs(request.ip)
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000)
      throw tooMuch(`Too many attempts to sign in failed. Wait ${seconds} s, then try again.`, seconds)
    }
    const principal = whoSignsIn(request.body, register, links)
    if (principal === undefined) {
      attempts.failed(request.ip)
      throw notSignedIn(request.body.once !== undefined)
    }
    attempts.succeeded(request.ip)
    endSession(request, doors)
    request.principal = principal
    reply.header('set-cookie', cookie.set(request, sessions.begin(principal)))
    return success(sessionOnWire(principal, register))
  })

  routes.get(path, (request) => {
    refuseForeign(request)
    const text = cookie.read(request)
    const principal = text === undefined ? undefined : sessions.principalOf(text)
    if (principal === undefined) throw refused(401)
    request.principal = principal
    return success(sessionOnWire(principal, register))
  })

  /** Whoever has no session is signed out already. */
  routes.delete(path, (request, reply) => {
    refuseForeign(request)
    endSession(request, doors)
    reply.header('set-cookie', cookie.clear(request))
    return success({})
  })
}

const linkAnswer = z.strictObject({
  /** To be opened in a browser, below the server's address. */
  path: z.string(),
  /** The same, below the address that the server takes for its own; another one may be right behind a proxy. */
  url: z.string().optional(),
  expires_on: z.iso.datetime(),
})
export type WireSignInLink = z.output<typeof linkAnswer>

/** Makes a one-time link for whoever has shown a token: `stream-connect sign-in-link`. */
export function addSignInLinkRoutes(routes: HttpRoutes, links: SignInLinks, origin: string | undefined): void {
  routes.post('/user/sign_in_links', { schema: { response: { 200: successOf(linkAnswer) } } }, ({ principal }) => {
    // A session that could make sessions would outlive its own end.
    if (principal.session !== undefined) throw notAuthenticated()
    const { once, expiresOn } = links.make(principal.id)
    const path = signInPath(once)
    return success({ path, ...(origin !== undefined && { url: `${origin}${path}` }), expires_on: expiresOn })
  })
}

/** @throws Refusal when there is nothing to sign in with, or two things. */
function whoSignsIn(
  { token, once }: z.output<typeof signIn>,
  register: AccountRegister,
  links: SignInLinks,
): Principal | undefined {
  if ((token === undefined) === (once === undefined))
    throw invalid('/token', 'Give the token to sign in with, or `once` from a sign-in link.')
  if (once !== undefined) {
    const tokenId = links.use(once)
    return tokenId && register.principalOf(tokenId)
  }
  const text = tokenIn(token ?? '')
  return text === undefined ? undefined : register.principalOfToken(text)
}

function notSignedIn(withLink: boolean): Refusal {
  const message = withLink
    ? 'This sign-in link was used before, or is older than an hour. Make another: stream-connect sign-in-link'
    : 'The token is not valid, has expired, or was revoked. Copy it again, or make a new one: stream-connect token create'
  return new Refusal(403, [{ code: 10000, message }])
}

function endSession(request: FastifyRequest, { sessions, cookie }: Doors): void {
  const text = cookie.read(request)
  if (text !== undefined) sessions.end(text)
}

function sessionOnWire(principal: Principal, register: AccountRegister): DashboardSession {
  const { id, name, expires } = principal
  const accounts = register.accounts().filter((account) => principal.mayUse(account.id, 'any'))
  const rightsIn = (where: Parameters<Principal['mayUse']>[0]) =>
    dashboardRights.filter((right: Right) => principal.mayUse(where, right))
  return {
    token: { id, name, ...(expires !== undefined && { expiresOn: expires }) },
    accounts: accounts.map((account) => ({ id: account.id, name: account.name, rights: rightsIn(account.id) })),
    allAccounts: rightsIn('all'),
    idleSeconds: sessionIdleMsMax / 1000,
  }
}
