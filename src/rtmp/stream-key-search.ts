import { Secret } from '../secret.ts'

/** A name and two queries have a handful. */
const candidatesMax = 12
const keyParameters = ['key', 'streamkey', 'stream_key', 'token']

/**
 * Where encoders put the stream key, likeliest first: it is the last segment of what application and stream name say
 * together, so that `live` + key, `live/key` + nothing and nothing + key all work. Then the stream name whole, then the
 * parameters key, streamkey and token of the queries, which encoders move about freely; at last the path of the tcUrl.
 */
export function candidateKeys(app: string, name: string, tcUrl: string): Secret[] {
  const path = tcUrl.replace(/^[a-z]+:\/\/[^/]*/i, '')
  const last = [...segments(beforeQuery(app)), ...segments(beforeQuery(name))].at(-1)
  const candidates = [
    last,
    // The prefixes that Flash Media Server wants, and that OBS and rtmpdump put before some names.
    last?.replace(/^(?:mp4|mp3|flv):/, ''),
    name.trim(),
    ...[name, app, tcUrl].flatMap(parameters),
    // SRS's way of writing: the query in the middle, `app?a=b/name`.
    segments(app.replace(/\?[^/]*/g, '')).at(-1),
    segments(beforeQuery(path)).at(-1),
  ]
  const found = new Set(candidates.filter((text) => text !== undefined && text !== ''))
  return [...found].slice(0, candidatesMax).map((text) => new Secret(text!))
}

function beforeQuery(text: string): string {
  return text.replace(/\?.*$/s, '')
}

/** `_definst_` is Flash Media Server's name for the instance that has no name. */
function segments(path: string): string[] {
  return path
    .split('/')
    .map((segment) => segment.trim())
    .filter((segment) => segment !== '' && segment !== '_definst_')
}

function parameters(text: string): string[] {
  const values: string[] = []
  for (const [, query] of text.matchAll(/\?([^/?]*)/g))
    for (const [parameter, value] of new URLSearchParams(query))
      if (keyParameters.includes(parameter.toLowerCase())) values.push(value.trim())
  return values
}
