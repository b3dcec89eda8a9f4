import type { DashboardSession, SignIn } from '../../../src/api/dashboard-types.ts'
import { type Answer, ApiFailure, call } from './client.ts'

const path = '/dashboard/session'

/** @returns null when nobody is signed in. @throws ApiFailure */
export async function readSession(signal?: AbortSignal): Promise<DashboardSession | null> {
  try {
    const { result } = await call<DashboardSession | null>(path, signal ? { signal } : {})
    return result
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 401) return null
    throw error
  }
}

/** @throws ApiFailure when the token or the link is not (or no longer) valid. */
export async function signIn(proof: SignIn): Promise<Answer<DashboardSession>> {
  return await call<DashboardSession>(path, { method: 'POST', body: proof })
}

export async function signOut(): Promise<void> {
  await call(path, { method: 'DELETE' })
}

/** Whether the server answers, and still knows who asks. Never throws. */
export async function probeSession(timeoutMs: number): Promise<'here' | 'signed-out' | 'away'> {
  try {
    return (await readSession(AbortSignal.timeout(timeoutMs))) === null ? 'signed-out' : 'here'
  } catch (error) {
    return error instanceof ApiFailure && error.status > 0 && error.status < 500 ? 'here' : 'away'
  }
}
