import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import type { DestinationLint, LintFinding } from '../../../src/api/dashboard-types.ts'
import { call } from '../api/client.ts'

/** Shorter than anybody would wait for, longer than between two keys. */
const quietMs = 250
const keyToCome = 'key-that-is-yet-to-come'

export type Lint = {
  readonly [field in 'url' | 'streamKey']?: { readonly isRefused: boolean; readonly message: string }
}

/** What is wrong with url and key, as they are typed. A field that is still empty is not complained of. */
export function useLint(url: string, streamKey: string): Lint {
  const [typed] = useDebouncedValue({ url, streamKey }, quietMs)
  const { data } = useQuery({
    // The key itself shall be in no cache longer than it is in the field.
    gcTime: 0,
    queryKey: ['lint', typed.url, typed.streamKey],
    queryFn: async ({ signal }) =>
      (
        await call<DestinationLint>('/dashboard/lint', {
          method: 'POST',
          // Without any key the url would not be read by those who know the platforms.
          body: { url: typed.url, streamKey: typed.streamKey.trim() === '' ? keyToCome : typed.streamKey },
          signal,
        })
      ).result,
    enabled: typed.url.trim() !== '',
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    placeholderData: (before) => before,
  })
  const isAbout = ({ field }: LintFinding, name: string) => field === name || field === `/${name}`
  const find = (name: 'url' | 'streamKey') => {
    const refused = data?.refused.find((finding) => isAbout(finding, name))
    const advice = data?.advice.find((finding) => isAbout(finding, name))
    const found = refused ?? advice
    return found && { isRefused: refused !== undefined, message: found.message }
  }
  const [aboutUrl, aboutKey] = [find('url'), streamKey.trim() === '' ? undefined : find('streamKey')]
  return { ...(aboutUrl && { url: aboutUrl }), ...(aboutKey && { streamKey: aboutKey }) }
}
