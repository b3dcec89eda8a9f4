import type { WireOutput } from '../../../src/api/schemas.ts'
import type { OutputWish } from './use-outputs.ts'

/** What stands in the fields of the form. */
export type Fields = {
  readonly url: string
  readonly streamKey: string
  readonly name: string
  readonly username: string
  readonly password: string
  readonly verify: boolean
  readonly fingerprint: string
  /** As it is typed. */
  readonly resumeSeconds: string
}

export const emptyFields: Fields = {
  url: '',
  streamKey: '',
  name: '',
  username: '',
  password: '',
  verify: true,
  fingerprint: '',
  resumeSeconds: '',
}

/** The password is in no answer: its field begins empty, and empty it stays as it is. */
export function fieldsOf(output: WireOutput): Fields {
  return {
    url: output.url,
    streamKey: output.streamKey,
    name: output.name ?? '',
    username: output.username ?? '',
    password: '',
    verify: output.tls?.verify ?? true,
    fingerprint: output.tls?.fingerprint ?? '',
    resumeSeconds: output.resumeSeconds === undefined ? '' : String(output.resumeSeconds),
  }
}

export function hasOptions({ username, verify, fingerprint, resumeSeconds }: Fields): boolean {
  return username !== '' || !verify || fingerprint !== '' || resumeSeconds !== ''
}

/** A new output: what was left empty is left out. */
export function wishOf(fields: Fields): OutputWish {
  const name = fields.name.trim()
  const username = fields.username.trim()
  return {
    url: fields.url.trim(),
    streamKey: fields.streamKey.trim(),
    ...(name !== '' && { name }),
    ...(username !== '' && { username }),
    ...(fields.password !== '' && { password: fields.password }),
    ...tlsOf(fields),
    ...(fields.resumeSeconds.trim() !== '' && { resumeSeconds: Number(fields.resumeSeconds) }),
  }
}

/** What a test takes: all but what has to do with a broadcast. */
export function testOf(fields: Fields): OutputWish {
  const { name: _name, resumeSeconds: _resumeSeconds, ...wish } = wishOf(fields)
  return wish
}

/** What has changed, and nothing else: emptied is removed. */
export function changeOf(before: Fields, fields: Fields): OutputWish {
  const isNew = (name: keyof Fields) => fields[name] !== before[name]
  const orNull = (text: string) => (text.trim() === '' ? null : text.trim())
  return {
    ...(isNew('url') && { url: fields.url.trim() }),
    ...(isNew('streamKey') && { streamKey: fields.streamKey.trim() }),
    ...(isNew('name') && { name: orNull(fields.name) }),
    ...(isNew('username') && { username: orNull(fields.username) }),
    ...(fields.password !== '' && { password: fields.password }),
    // A login without a name is none.
    ...(isNew('username') && fields.username.trim() === '' && { password: null }),
    ...((isNew('verify') || isNew('fingerprint')) && {
      tls: { verify: fields.verify ? null : false, fingerprint: orNull(fields.fingerprint) },
    }),
    ...(isNew('resumeSeconds') && {
      resumeSeconds: fields.resumeSeconds.trim() === '' ? null : Number(fields.resumeSeconds),
    }),
  }
}

function tlsOf({ verify, fingerprint }: Fields): Pick<OutputWish, 'tls'> {
  const pin = fingerprint.trim()
  if (verify && pin === '') return {}
  return { tls: { ...(!verify && { verify: false }), ...(pin !== '' && { fingerprint: pin }) } }
}
