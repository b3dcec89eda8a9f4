import { parseDestination } from '../destination/destination-url.ts'
import { platformOf } from '../destination/platforms.ts'
import type { InputWarningCode } from '../errors.ts'
import type { Output } from '../model/live-input.ts'

const names: Readonly<Record<string, string>> = { hvc1: 'HEVC', av01: 'AV1', vp09: 'VP9', vvc1: 'VVC' }

/** Which of the outputs go to a platform that is not known to take the codec. Servers that nobody knows may take anything. */
export function codecWarnings(
  codec: string,
  outputs: readonly Output[],
): { readonly code: InputWarningCode; readonly message: string }[] {
  if (codec === '' || codec === 'avc1') return []
  const platforms = new Set<string>()
  for (const output of outputs) {
    if (!output.enabled) continue
    const parsed = parseDestination(output.url, output.streamKey.reveal())
    const platform = parsed.ok ? platformOf(parsed.destination.host) : undefined
    if (platform !== undefined && platform.beyondH264?.includes(codec) !== true) platforms.add(platform.name)
  }
  if (platforms.size === 0) return []
  const which = [...platforms].join(', ')
  const message = `The encoder sends ${names[codec] ?? codec}, which ${which} is not known to take. Send H.264, or remove that output.`
  return [{ code: 'codec_not_taken', message }]
}
