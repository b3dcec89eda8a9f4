import { QueryClient, type QueryKey, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import type {
  BitratesOfInput,
  DashboardRight,
  DashboardSession,
  ServerFacts,
} from '../../../src/api/dashboard-types.ts'
import type { WireLiveInput, WireLiveInputItem, WireOutput } from '../../../src/api/schemas.ts'
import type { JsonObject } from '../../../src/model/live-input.ts'
import { tellFailure } from '../frame/notices.ts'
import { ApiFailure, call, streamPath } from './client.ts'
import { type Named, nameOf } from './input-name.ts'
import { live } from './live.ts'
import { readSession } from './session.ts'

export { type Named, nameOf } from './input-name.ts'

/** What other programs make, rename and delete comes with no event. */
const refreshMs = 5_000
const retriesMax = 2
/** Of a change whose form is closed: what was sent may hold a key, and what came a secret that is shown once. Minutes, otherwise. */
const keptMs = 1_000

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server has refused, it refuses again.
      retry: (count, error) =>
        count < retriesMax && !(error instanceof ApiFailure && error.status >= 400 && error.status < 500),
      refetchOnWindowFocus: true,
    },
    mutations: { retry: false, gcTime: keptMs },
  },
})

export const keys = {
  session: ['session'] as const,
  server: ['server'] as const,
  inputs: (account: string) => ['inputs', account] as const,
  input: (account: string, input: string) => ['input', account, input] as const,
  bitrates: (account: string, input: string) => ['bitrates', account, input] as const,
  outputs: (account: string, input: string) => ['outputs', account, input] as const,
}

/** @param session null: nobody is signed in; `forgetAnswers` follows, when the pages are gone. */
export function changeSession(session: DashboardSession | null): void {
  if (session !== null) forgetAnswers()
  // An answer that is under way is from before: on a busy machine its 401 came after the sign-in, and undid it.
  void queryClient.cancelQueries({ queryKey: keys.session })
  queryClient.setQueryData(keys.session, session)
}

/**
 * Nothing that somebody else was shown is left: stream keys are in it. For when no page looks at it any more: the library would keep a
 * query that a page leaves later for another five minutes, though it was removed.
 */
export function forgetAnswers(): void {
  queryClient.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== keys.session[0] })
  const changes = queryClient.getMutationCache()
  // Its timer, which would keep it.
  for (const change of changes.getAll()) change.destroy()
  changes.clear()
}

export function useSession() {
  return useQuery({ queryKey: keys.session, queryFn: ({ signal }) => readSession(signal), staleTime: 60_000 })
}

/** Whether the token that signed in may do this in an account; what it may not is not offered. */
export function useMay(account: string, right: DashboardRight): boolean {
  const session = useSession().data
  return session?.accounts.find(({ id }) => id === account)?.rights.includes(right) === true
}

/** Addresses, certificate and limits of this server: they change with its settings only. */
export function useServerFacts() {
  return useQuery({
    queryKey: keys.server,
    queryFn: async ({ signal }) => (await call<ServerFacts>('/dashboard/server', { signal })).result,
    staleTime: 60_000,
  })
}

/** All live inputs of an account, the newest first. */
export function useInputs(account: string) {
  return useQuery({
    queryKey: keys.inputs(account),
    queryFn: async ({ signal }) =>
      (await call<WireLiveInputItem[]>(`${streamPath(account, 'live_inputs')}?include=summary`, { signal })).result,
    refetchInterval: refreshMs,
  })
}

export function useInput(account: string, input: string) {
  return useQuery({
    queryKey: keys.input(account, input),
    queryFn: async ({ signal }) =>
      (await call<WireLiveInput>(streamPath(account, 'live_inputs', input), { signal })).result,
    refetchInterval: refreshMs,
  })
}

/** What came in before this page was opened, or while it heard nothing, goes into the live store's history. */
export function useRememberedBitrates(account: string, input: string): void {
  const { data } = useQuery({
    queryKey: keys.bitrates(account, input),
    queryFn: async ({ signal }) => {
      const { result } = await call<BitratesOfInput>(`/dashboard/bitrates/${account}/${input}`, { signal })
      return { ...result, atMs: Date.now() }
    },
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  })
  useEffect(() => {
    if (data === undefined) return
    const { kbps, stepMs, atMs } = data
    const told = kbps.flatMap((value, index) =>
      value === null ? [] : [{ atMs: atMs - (kbps.length - 1 - index) * stepMs, kbps: value }],
    )
    live.fillHistory(input, told)
  }, [data, input])
}

/** In the order in which they were added. */
export function useOutputs(account: string, input: string) {
  return useQuery({
    queryKey: keys.outputs(account, input),
    queryFn: async ({ signal }) =>
      (await call<WireOutput[]>(streamPath(account, 'live_inputs', input, 'outputs'), { signal })).result,
    refetchInterval: refreshMs,
  })
}

/** Changes what a query holds, if it holds anything. */
export type Patch = <Data>(key: QueryKey, change: (data: Data) => Data) => void

export type Change<Variables, Result> = {
  readonly run: (variables: Variables) => Promise<Result>
  /** How it will look when the server agrees: shown at once, taken back when it does not. */
  readonly show?: (variables: Variables, patch: Patch) => void
  /** With what the server answered. */
  readonly done?: (result: Result, variables: Variables, patch: Patch) => void
  /** What is asked for again afterwards. */
  readonly refresh: (variables: Variables) => readonly QueryKey[]
  /** What did not happen: the title of the notice whose text is the server's reason. Undefined: the caller shows it. */
  readonly failed: ((variables: Variables) => string) | undefined
}

/** A change that is seen at once, and taken back with the reason when the server refuses. */
export function useChange<Variables, Result>({ run, show, done, refresh, failed }: Change<Variables, Result>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: run,
    onMutate: async (variables) => {
      const before = new Map<QueryKey, unknown>()
      // An answer that is under way is from before the change.
      await Promise.all(refresh(variables).map((queryKey) => client.cancelQueries({ queryKey })))
      show?.(variables, (key, change) => {
        const data = client.getQueryData(key)
        if (data === undefined) return
        if (!before.has(key)) before.set(key, data)
        client.setQueryData(key, change(data as never))
      })
      return before
    },
    onSuccess: (result, variables) =>
      done?.(result, variables, (key, change) =>
        client.setQueryData(key, (data: unknown) => (data === undefined ? data : change(data as never))),
      ),
    onError: (error, variables, before) => {
      for (const [key, data] of before ?? []) client.setQueryData(key, data)
      if (failed !== undefined) tellFailure(failed(variables), error)
    },
    // Not waited for: the change is done when the server has said so.
    onSettled: (_result, _error, variables) => {
      for (const queryKey of refresh(variables)) void client.invalidateQueries({ queryKey })
    },
  })
}

type Items = readonly WireLiveInputItem[]

export function useCreateInput(account: string) {
  return useChange({
    run: async (name: string) =>
      (await call<WireLiveInput>(streamPath(account, 'live_inputs'), { method: 'POST', body: { meta: { name } } }))
        .result,
    done: (made, _name, patch) =>
      patch<Items>(keys.inputs(account), (items) =>
        items.some(({ uid }) => uid === made.uid) ? items : [itemOf(made), ...items],
      ),
    refresh: () => [keys.inputs(account)],
    failed: undefined,
  })
}

export function useRenameInput(account: string) {
  return useChange({
    run: ({ input, name }: { input: Named; name: string }) =>
      call(streamPath(account, 'live_inputs', input.uid), { method: 'PUT', body: { meta: { ...input.meta, name } } }),
    show: ({ input, name }, patch) =>
      patchInput(patch, account, input.uid, { meta: { ...input.meta, name } as JsonObject }),
    refresh: ({ input }) => [keys.inputs(account), keys.input(account, input.uid)],
    failed: ({ input }) => `${nameOf(input)} was not renamed`,
  })
}

export function useSwitchInput(account: string) {
  return useChange({
    run: ({ input, enabled }: { input: Named; enabled: boolean }) =>
      call(streamPath(account, 'live_inputs', input.uid, enabled ? 'enable' : 'disable'), { method: 'POST' }),
    show: ({ input, enabled }, patch) => patchInput(patch, account, input.uid, { enabled }),
    refresh: ({ input }) => [keys.inputs(account), keys.input(account, input.uid)],
    failed: ({ input, enabled }) => `${nameOf(input)} was not ${enabled ? 'enabled' : 'disabled'}`,
  })
}

export function useDeleteInput(account: string) {
  return useChange({
    run: (input: Named) => call(streamPath(account, 'live_inputs', input.uid), { method: 'DELETE' }),
    show: (input, patch) => patch<Items>(keys.inputs(account), (items) => items.filter(({ uid }) => uid !== input.uid)),
    refresh: () => [keys.inputs(account)],
    failed: (input) => `${nameOf(input)} was not deleted`,
  })
}

export function useRotateKeys(account: string) {
  return useChange({
    run: async (input: Named) =>
      (await call<WireLiveInput>(streamPath(account, 'live_inputs', input.uid, 'rotate_keys'), { method: 'POST' }))
        .result,
    done: (rotated, input, patch) => patch<WireLiveInput>(keys.input(account, input.uid), () => rotated),
    refresh: (input) => [keys.input(account, input.uid)],
    failed: (input) => `The stream key of ${nameOf(input)} was not changed`,
  })
}

function patchInput(
  patch: Patch,
  account: string,
  uid: string,
  change: { meta?: JsonObject; enabled?: boolean },
): void {
  patch<Items>(keys.inputs(account), (items) => items.map((item) => (item.uid === uid ? { ...item, ...change } : item)))
  patch<WireLiveInput>(keys.input(account, uid), (input) => ({ ...input, ...change }))
}

function itemOf({
  uid,
  created,
  modified,
  meta,
  deleteRecordingAfterDays,
  enabled,
  status,
}: WireLiveInput): WireLiveInputItem {
  const summary = { status: status?.current ?? null, outputs: 0, outputsEnabled: 0 }
  return { uid, id: uid, created, modified, meta, deleteRecordingAfterDays, enabled, summary }
}
