import type { Clock } from '../clock.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import type { AccountRegister } from './account-register.ts'
import { authenticate, type Doors } from './auth.ts'
import { addBitrateRoute, type BitrateHistory } from './bitrate-history.ts'
import { addDashboardFiles } from './dashboard-files.ts'
import { addLintRoute } from './dashboard-lint.ts'
import { success } from './envelope.ts'
import { presets } from './presets.ts'
import { limitRate } from './rate-limit.ts'
import { answerOtherMethods, type HttpRoutes } from './routes.ts'
import { type FactParts, serverFacts } from './server-facts.ts'
import { SignInAttempts } from './session-attempts.ts'
import type { SignInLinks } from './session-links.ts'
import { addSessionRoutes } from './session-routes.ts'

export type { ServerAround } from './server-facts.ts'

export type DashboardParts = Omit<FactParts, 'startedAt'> & {
  readonly register: AccountRegister
  readonly doors: Doors
  readonly links: SignInLinks
  readonly clock: Clock
  readonly bitrates: BitrateHistory
  readonly exists: (account: AccountId, input: LiveInputId) => boolean
  /** undefined: there are no files to serve. */
  readonly folder: string | undefined
}

/** The dashboard: its files at `/`, and below /dashboard what it needs beyond the API, for people who are signed in (or have a token). */
export async function addDashboard(app: HttpRoutes, parts: DashboardParts): Promise<void> {
  const { register, doors, links, clock, folder, limits } = parts
  const startedAt = clock.now()
  await addDashboardFiles(app, folder)
  await app.register(async (scope) => {
    const all = scope as unknown as HttpRoutes
    await limitRate(all, limits.requestsMax ?? 0, doors)
    await all.register(async (open) => {
      const routes = open as unknown as HttpRoutes
      const attempts = new SignInAttempts(clock)
      answerOtherMethods(routes, () => addSessionRoutes(routes, { register, doors, links, attempts }))
    })
    await all.register(async (closed) => {
      const routes = closed as unknown as HttpRoutes
      routes.addHook('onRequest', async (request) => {
        if (request.method !== 'OPTIONS') request.principal = authenticate(request, doors)
      })
      answerOtherMethods(routes, () => {
        routes.get('/dashboard/presets', () => success(presets))
        routes.get('/dashboard/server', () => success(serverFacts({ ...parts, startedAt }, clock)))
        addLintRoute(routes)
        addBitrateRoute(routes, parts.bitrates, parts.exists)
      })
    })
  })
}
