import { useQuery } from '@tanstack/react-query'
import type { DestinationPreset } from '../../../src/api/dashboard-types.ts'
import { call } from '../api/client.ts'
import { hostOf } from './output-words.ts'

/** The server's list: it changes with its version alone. */
export function usePresets() {
  return useQuery({
    queryKey: ['presets'],
    queryFn: async ({ signal }) => (await call<readonly DestinationPreset[]>('/dashboard/presets', { signal })).result,
    staleTime: Number.POSITIVE_INFINITY,
  })
}

/** Where a host alone says nothing: Amazon's, with the servers of several platforms, and the one that examples have. */
const tellsNothing = ['live-video.net', 'example.com']

/** The preset that a url belongs to: by its host, or, where a platform has many, by its site (`pscp.tv`). */
export function presetOf(
  presets: readonly DestinationPreset[] | undefined,
  url: string,
): DestinationPreset | undefined {
  const host = hostOf(url).toLowerCase()
  const site = siteOf(host)
  const hostsOf = ({ urls, example }: DestinationPreset) => [...urls.map((each) => each.url), example].map(hostOf)
  return (
    presets?.find(({ urls }) => urls.some((each) => hostOf(each.url) === host)) ??
    (tellsNothing.includes(site) ? undefined : presets?.find((preset) => hostsOf(preset).map(siteOf).includes(site)))
  )
}

function siteOf(host: string): string {
  return host.split('.').slice(-2).join('.')
}
