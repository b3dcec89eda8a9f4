import { type QueryClient, useMutation, useQueryClient } from '@tanstack/react-query'
import type { WireOutput } from '../../../src/api/schemas.ts'
import { ApiFailure, call, streamPath } from '../api/client.ts'
import { keys } from '../api/queries.ts'
import { tellDone, tellFailure } from '../frame/notices.ts'
import { nameOfOutput } from './output-words.ts'

type Outputs = readonly WireOutput[]

/** What is sent when an output is added or changed. Of a change, what is absent stays as it is, and `null` removes. */
export type OutputWish = {
  readonly url?: string
  readonly streamKey?: string
  readonly enabled?: boolean
  readonly name?: string | null
  readonly username?: string | null
  readonly password?: string | null
  readonly tls?: { readonly verify?: boolean | null; readonly fingerprint?: string | null } | null
  readonly resumeSeconds?: number | null
}

/** All on, all off: so many at a time, as each is a write of the one document of the live input. */
const atOnceMax = 4

export function outputsPath(account: string, input: string, ...more: readonly string[]): string {
  return streamPath(account, 'live_inputs', input, 'outputs', ...more)
}

/** What can be done with the outputs of a live input. A change shows at once; when the server refuses it, it is taken back and told why. */
export function useOutputActions(account: string, input: string) {
  const client = useQueryClient()
  const key = keys.outputs(account, input)

  const change = useMutation({
    mutationFn: async ({ output, enabled }: { readonly output: WireOutput; readonly enabled: boolean }) =>
      (await call<WireOutput>(outputsPath(account, input, output.uid), { method: 'PUT', body: { enabled } })).result,
    onMutate: async ({ output, enabled }) => {
      // An answer that is under way is from before the change.
      await client.cancelQueries({ queryKey: key })
      edit(client, key, output.uid, (shown) => ({ ...shown, enabled }))
    },
    onSuccess: (changed) => edit(client, key, changed.uid, () => changed),
    onError: (error, { output, enabled }) => {
      edit(client, key, output.uid, (shown) => ({ ...shown, enabled: !enabled }))
      tellFailure(`${nameOfOutput(output)} was not switched ${enabled ? 'on' : 'off'}`, error)
    },
  })

  const remove = useMutation({
    mutationFn: (output: WireOutput) => call(outputsPath(account, input, output.uid), { method: 'DELETE' }),
    onMutate: async (output) => {
      await client.cancelQueries({ queryKey: key })
      const before = outputsIn(client, key)
      client.setQueryData<Outputs>(
        key,
        before.filter(({ uid }) => uid !== output.uid),
      )
      return before.findIndex(({ uid }) => uid === output.uid)
    },
    onError: (error, output, place) => {
      // It is gone, whoever has deleted it.
      if (error instanceof ApiFailure && error.status === 404) return
      client.setQueryData<Outputs>(key, (now = []) => now.toSpliced(place ?? now.length, 0, output))
      tellFailure(`${nameOfOutput(output)} was not deleted`, error)
    },
  })

  const retry = useMutation({
    mutationFn: (output: WireOutput) =>
      call<{ readonly retried: boolean }>(outputsPath(account, input, output.uid, 'retry'), { method: 'POST' }),
    onSuccess: ({ result, messages }, output) => {
      if (!result.retried) tellDone(`${nameOfOutput(output)} was not tried`, messages[0]?.message)
    },
    onError: (error, output) => tellFailure(`${nameOfOutput(output)} was not tried`, error),
  })

  return {
    switchOne: (output: WireOutput, enabled: boolean) => change.mutate({ output, enabled }),
    switchAll(enabled: boolean): void {
      const waiting = outputsIn(client, key).filter((output) => output.enabled !== enabled)
      for (const { uid } of waiting) edit(client, key, uid, (output) => ({ ...output, enabled }))
      const work = async () => {
        // What is refused is told, and taken back, one by one.
        for (let output = waiting.shift(); output !== undefined; output = waiting.shift())
          await change.mutateAsync({ output, enabled }).catch(() => {})
      }
      for (let count = 0; count < atOnceMax; count++) void work()
    },
    remove: (output: WireOutput) => remove.mutate(output),
    retry: (output: WireOutput) => retry.mutate(output),
    /** Shows what the server has answered to an addition or a change, without asking again. */
    put: (output: WireOutput) =>
      client.setQueryData<Outputs>(key, (now = []) =>
        now.some(({ uid }) => uid === output.uid)
          ? now.map((each) => (each.uid === output.uid ? output : each))
          : [...now, output],
      ),
  }
}

function outputsIn(client: QueryClient, key: readonly unknown[]): Outputs {
  return client.getQueryData<Outputs>(key) ?? []
}

function edit(
  client: QueryClient,
  key: readonly unknown[],
  uid: string,
  changed: (output: WireOutput) => WireOutput,
): void {
  client.setQueryData<Outputs>(key, (now) => now?.map((output) => (output.uid === uid ? changed(output) : output)))
}
