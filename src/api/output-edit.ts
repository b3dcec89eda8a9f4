import { isDeepStrictEqual } from 'node:util'
import { normaliseFingerprint } from '../destination/certificate.ts'
import { newOutputId } from '../model/id.ts'
import type { Output } from '../model/live-input.ts'
import { Secret } from '../secret.ts'
import { after } from './kept.ts'
import type { OutputBody, OutputChange, OutputOptions } from './schemas.ts'

/** A new output as its body says. @param created ISO 8601 with microseconds. */
export function newOutput(body: OutputBody, created: string): Output {
  return {
    uid: newOutputId(),
    url: body.url.trim(),
    streamKey: new Secret(body.streamKey.trim()),
    enabled: body.enabled ?? true,
    created,
    ...optionsOf(body, {}),
  }
}

/** The output after a PUT: absent leaves as it is, `null` removes. @returns the very same object when nothing changes. */
export function editOutput(output: Output, change: OutputChange): Output {
  const { uid, created } = output
  const edited: Output = {
    uid,
    url: change.url?.trim() ?? output.url,
    streamKey: change.streamKey === undefined ? output.streamKey : new Secret(change.streamKey.trim()),
    enabled: change.enabled ?? output.enabled,
    created,
    ...optionsOf(change, output),
  }
  return isDeepStrictEqual(revealed(edited), revealed(output)) ? output : edited
}

type Options = Pick<Output, 'name' | 'username' | 'password' | 'tls' | 'resumeSeconds'>

export function optionsOf(body: OutputOptions, before: Options): Options {
  const name = after(before.name, body.name)
  const username = after(before.username, body.username)
  const password = body.password ? new Secret(body.password) : after(before.password, body.password as null | undefined)
  const tls = tlsAfter(before.tls, body.tls)
  const resumeSeconds = after(before.resumeSeconds, body.resumeSeconds)
  return {
    ...(name !== undefined && { name }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls }),
    ...(resumeSeconds !== undefined && { resumeSeconds }),
  }
}

function tlsAfter(before: Output['tls'], sent: OutputOptions['tls']): Output['tls'] {
  if (sent === undefined || sent === null) return after(before, sent)
  const verify = after(before?.verify, sent.verify)
  const given = after(before?.fingerprint, sent.fingerprint)
  const fingerprint = given === undefined ? undefined : normaliseFingerprint(given)
  if (verify === undefined && fingerprint === undefined) return undefined
  return { ...(verify !== undefined && { verify }), ...(fingerprint !== undefined && { fingerprint }) }
}

/** For a comparison: two secrets look alike from outside. */
function revealed(output: Output): object {
  return { ...output, streamKey: output.streamKey.reveal(), password: output.password?.reveal() }
}
