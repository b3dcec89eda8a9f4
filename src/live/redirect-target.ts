import { type Destination, parseDestination } from '../destination/destination-url.ts'
import { CodedError } from '../errors.ts'

/** A shorter key is no secret: see cleanWords. */
const secretLengthMin = 4

/**
 * Where a destination sends the connection on. A host that has the stream key in it is refused: names of hosts are looked up, logged and shown.
 *
 * @param url a stranger's words.
 * @param destination what the person wrote.
 * @throws CodedError redirect_loop, without a word of the url.
 */
export function redirectTarget(url: string, destination: Destination): Destination {
  const key = destination.streamKey.reveal()
  const parsed = parseDestination(url, key)
  if (!parsed.ok) throw new CodedError('redirect_loop', 'The destination redirects to an url that is none.')
  const host = lettersOf(parsed.destination.host)
  const hostBefore = lettersOf(destination.host)
  for (const name of [key, key.replace(/\?.*$/s, '')].map(lettersOf))
    if (name.length >= secretLengthMin && host.includes(name) && !hostBefore.includes(name))
      throw new CodedError(
        'redirect_loop',
        'The destination redirects to a host that has the stream key in its name. Check the url of the output.',
      )
  return parsed.destination
}

/** Whatever the case, and however it was cut up to be a name. */
function lettersOf(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]/g, '')
}
