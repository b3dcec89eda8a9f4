import { isIP } from 'node:net'
import type { z } from 'zod'
import { CodedError } from './errors.ts'
import { allSettings, kebab, type Setting, type SettingKey, type settings, variablePrefix } from './settings.ts'

type Settings = typeof settings

/** What the settings say. A setting that has no default is undefined where it was not set. */
export type Config = {
  readonly [Key in SettingKey]: Settings[Key] extends {
    readonly default: string
    readonly schema: z.ZodType<infer Value>
  }
    ? Value
    : Settings[Key] extends { readonly schema: z.ZodType<infer Value> }
      ? Value | undefined
      : never
} & {
  /** Names (without prefix) of the settings that a person gave a value. */
  readonly given: readonly string[]
}

/**
 * @param env as process.env: variables of other programs are passed over.
 * @param argv the flags alone (process.argv from the third on), `--name value` or `--name=value`; the last of a name counts.
 * @throws CodedError setting_invalid, setting_unknown: one sentence that names setting, value and mend.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>, argv: readonly string[]): Config {
  const flags = readFlags(argv)
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(variablePrefix) || value === undefined || value === '') continue
    if (!allSettings.some(([, { name }]) => variablePrefix + name === variable))
      throw new CodedError(
        'setting_unknown',
        `${printable(variable)} is not a setting of this server; correct its name or unset it (--help lists all settings).`,
      )
  }

  const config: Record<string, unknown> = {}
  const given: string[] = []
  for (const [key, one] of allSettings) {
    const variable = variablePrefix + one.name
    const fromFlag = flags.get(one.name) || undefined
    const text = fromFlag ?? (env[variable] || undefined)
    if (text !== undefined) given.push(one.name)
    const spelled = fromFlag !== undefined ? `--${kebab(one.name)}` : variable
    config[key] = text === undefined ? defaultOf(one) : parsed(one, text, spelled)
  }
  requirePair(config as Config)
  return { ...(config as Config), given }
}

function readFlags(argv: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>()
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] as string
    const [, flag, attached] = /^(--[^=]+)(?:=(.*))?$/s.exec(argument) ?? []
    // Nothing after the `=` is repeated: somebody may have tried to give a secret here.
    const shown = printable(flag ?? argument)
    const one = allSettings.find(([, { name }]) => `--${kebab(name)}` === flag)?.[1]
    if (one === undefined)
      throw new CodedError(
        'setting_unknown',
        `${shown} is not a flag of this server; correct or remove it (--help lists all settings).`,
      )
    if (one.secret)
      throw new CodedError(
        'setting_unknown',
        `${shown} is not a flag, because every user of the machine can read a command line; set the variable ${variablePrefix}${one.name}.`,
      )
    const next = argv[index + 1]
    if (attached === undefined && (next === undefined || next.startsWith('--')))
      throw new CodedError('setting_invalid', `${shown} has no value; ${one.mend}.`)
    if (attached === undefined) index += 1
    flags.set(one.name, attached ?? (next as string))
  }
  return flags
}

function defaultOf(one: Setting): unknown {
  return one.default === undefined ? undefined : one.schema.parse(one.default)
}

function parsed(one: Setting, text: string, spelled: string): unknown {
  const result = one.schema.safeParse(text)
  if (result.success) return result.data
  const found = one.secret ? 'cannot be used (its value is not shown)' : `is "${printable(text)}"`
  throw new CodedError('setting_invalid', `${spelled} ${found}; ${one.mend}.`)
}

/** A value as it may stand in one line of a message. 200 characters are enough to recognise it. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?').slice(0, 200)
}

function requirePair({ tlsCert, tlsKey }: Pick<Config, 'tlsCert' | 'tlsKey'>): void {
  if ((tlsCert === undefined) === (tlsKey === undefined)) return
  const [there, missing] = tlsKey === undefined ? ['TLS_CERT', 'TLS_KEY'] : ['TLS_KEY', 'TLS_CERT']
  throw new CodedError(
    'setting_invalid',
    `${variablePrefix}${there} is "${printable(tlsCert ?? tlsKey ?? '')}" but ${variablePrefix}${missing} is not set; set both, or neither for a self-signed certificate.`,
  )
}

/** One sentence about settings that were given a value and have no effect yet; undefined when there are none. */
export function settingsWithoutEffect(config: Config): string | undefined {
  const names = allSettings.filter(([, one]) => one.withoutEffect && config.given.includes(one.name))
  if (names.length === 0) return undefined
  return `Without effect in this version: ${names.map(([, one]) => variablePrefix + one.name).join(', ')}`
}

/** The host as it stands in a URL: an IPv6 address in brackets. */
export function hostInUrl(hostOrAddress: string): string {
  return isIP(hostOrAddress) === 6 ? `[${hostOrAddress}]` : hostOrAddress
}

/** Where the API is reached on this machine: `scheme://host:port`; undefined for a listener that is off. */
export function httpOrigins(config: Pick<Config, 'httpHost' | 'httpPort' | 'httpsPort' | 'publicHost'>): {
  readonly httpUrl: string | undefined
  readonly httpsUrl: string | undefined
} {
  const isWildcard = config.httpHost === '::' || config.httpHost === '0.0.0.0'
  const host = isWildcard ? 'localhost' : hostInUrl(config.httpHost)
  return {
    httpUrl: config.httpPort === 0 ? undefined : `http://${host}:${config.httpPort}`,
    httpsUrl: config.httpsPort === 0 ? undefined : `https://${hostInUrl(config.publicHost)}:${config.httpsPort}`,
  }
}
