import type { WireLiveInput, WireOutput } from '../api/schemas.ts'

/** What people call an input; empty when they call it nothing. */
export function nameOf({ meta }: Pick<WireLiveInput, 'meta'>): string {
  return typeof meta['name'] === 'string' ? meta['name'] : ''
}

export function inputState({ status }: Pick<WireLiveInput, 'status'>): string {
  if (status === null) return 'never connected'
  const { state, reason } = status.current
  return state === reason ? state : `${state} (${reason})`
}

/** State and reason, and of an error the sentence that says what to do. */
export function outputState({ status, health }: Pick<WireOutput, 'status' | 'health'>): string {
  if (status === null) return 'never connected'
  const { state, reason, step } = status.current
  const detail = step ?? reason
  const said = state === 'error' || state === 'reconnecting' ? health?.lastError?.message : undefined
  return `${state}${detail === state ? '' : ` (${detail})`}${said === undefined ? '' : `: ${said}`}`
}
