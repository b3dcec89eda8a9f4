import { isIP } from 'node:net'
import { z } from 'zod'
import { type AccountId, isId } from './model/id.ts'
import { Secret } from './secret.ts'

/**
 * Every setting of the server, once: name, default, unit, meaning, and how its text is read. docs/config.md and `--help` are
 * printed from this table.
 *
 * A setting is the environment variable `STREAM_CONNECT_` + name, and, unless it is a secret, a flag of the same name in
 * kebab-case. The flag wins. An empty value counts as not set.
 */

export const variablePrefix = 'STREAM_CONNECT_'

export type Setting<Value = unknown> = {
  readonly name: string
  /** As documentation shows it; where there is none, `value` below is undefined. */
  readonly default?: string
  /** What stands in the place of a default, where it is not a text that a person could type. */
  readonly defaultNote?: string
  readonly unit?: string
  readonly meaning: string
  /** A secret has no flag (every user of the machine can read a command line) and its value is in no message. */
  readonly secret?: true
  /** Known and checked, but nothing in the server looks at it yet. */
  readonly withoutEffect?: true
  /** The end of the sentence "STREAM_CONNECT_X is "…": …". */
  readonly mend: string
  readonly schema: z.ZodType<Value, string>
}

function setting<Value>(
  name: string,
  about: Omit<Setting<Value>, 'name' | 'schema' | 'default'> & { readonly default: string },
  schema: z.ZodType<Value, string>,
): Setting<Value> & { readonly default: string }
function setting<Value>(
  name: string,
  about: Omit<Setting<Value>, 'name' | 'schema' | 'default'>,
  schema: z.ZodType<Value, string>,
): Setting<Value>
function setting(name: string, about: Omit<Setting, 'name' | 'schema'>, schema: z.ZodType<unknown, string>): Setting {
  return { name, ...about, schema }
}

const path = z.string()

function whole(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .refine((value) => value >= least && value <= most)
}

const port = whole(0, 65_535)
const portMend = 'give a port from 0 to 65535 (0 turns this listener off)'
const mebibyte = 1024 * 1024

function megabytes(most: number) {
  return whole(1, most).transform((value) => value * mebibyte)
}

/** An IP address or a host name (RFC 1123), without scheme, port or path; brackets around an IPv6 address are taken off. */
const host = z
  .string()
  .transform((text) => /^\[(.*)\]$/.exec(text)?.[1] ?? text)
  .refine((text) => isIP(text) !== 0 || isHostName(text))
const hostMend = 'give an IP address or a host name alone, without scheme, port or path'

function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i.test(text) &&
    // Digits and dots alone are an IPv4 address that is none (256.1.1.1), and would be looked up in vain.
    !/^[\d.]+$/.test(text)
  )
}

const cidrs = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  )
  .refine((items) => items.every(isCidr))
const cidrsMend = 'give address ranges joined by commas, for example 127.0.0.0/8,::1/128'

/** A network and the length of its prefix; a bare address is a range of one. */
function isCidr(text: string): boolean {
  const [, address, bits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const version = isIP(address ?? '')
  return version !== 0 && Number(bits ?? 0) <= (version === 6 ? 128 : 32)
}

const noCidrs: readonly string[] = []

export const settings = {
  dataDir: setting(
    'DATA_DIR',
    {
      default: './data',
      meaning:
        'Folder of the database, the generated certificate and the generated secrets. It is made with mode 0700, its files with 0600.',
      mend: 'give the path of a folder',
    },
    path,
  ),
  httpHost: setting(
    'HTTP_HOST',
    {
      default: '::',
      meaning: 'Address that HTTP and HTTPS listen on: all addresses by default (0.0.0.0 where IPv6 is missing).',
      mend: hostMend,
    },
    host,
  ),
  httpPort: setting(
    'HTTP_PORT',
    {
      default: '8080',
      meaning: 'API at /client/v4, dashboard at /, /healthz, /readyz, /metrics, /openapi.json. 0 turns it off.',
      mend: portMend,
    },
    port,
  ),
  httpsPort: setting(
    'HTTPS_PORT',
    {
      default: '0',
      meaning: 'The same over HTTPS, with the certificate of TLS_CERT. 0 turns it off.',
      mend: portMend,
    },
    port,
  ),
  rtmpHost: setting(
    'RTMP_HOST',
    {
      default: '::',
      meaning: 'Address that RTMP and RTMPS listen on: all addresses by default (0.0.0.0 where IPv6 is missing).',
      mend: hostMend,
    },
    host,
  ),
  rtmpPort: setting(
    'RTMP_PORT',
    { default: '1935', meaning: 'Ingest over RTMP. 0 turns it off.', mend: portMend },
    port,
  ),
  rtmpsPort: setting(
    'RTMPS_PORT',
    { default: '1936', meaning: 'Ingest over RTMPS. 0 turns it off.', mend: portMend },
    port,
  ),
  publicHost: setting(
    'PUBLIC_HOST',
    {
      default: 'localhost',
      meaning:
        'Host name in the URLs that the API gives out, and in the generated certificate. Its addresses count as this server’s own: outputs may not lead there.',
      mend: hostMend,
    },
    host,
  ),
  tlsCert: setting(
    'TLS_CERT',
    {
      meaning:
        'PEM file with the certificate and its chain, for RTMPS and HTTPS; read again when it changes. Without it a self-signed one is made in DATA_DIR.',
      mend: 'give the path of a PEM file',
    },
    path,
  ),
  tlsKey: setting(
    'TLS_KEY',
    { meaning: 'PEM file with the private key of TLS_CERT.', mend: 'give the path of a PEM file' },
    path,
  ),
  apiToken: setting(
    'API_TOKEN',
    {
      secret: true,
      defaultNote: 'generated once, kept in DATA_DIR/api-token, and printed that once',
      meaning: 'An API token with all rights, valid besides those in the store; neither printed nor stored.',
      mend: 'give up to 1024 visible ASCII characters without spaces',
    },
    z
      .string()
      .regex(/^[\x21-\x7e]{1,1024}$/)
      .transform((text) => new Secret(text)),
  ),
  accountId: setting(
    'ACCOUNT_ID',
    {
      defaultNote: 'generated once, kept in DATA_DIR/account-id',
      meaning: 'Id of the first account.',
      mend: 'give 32 hexadecimal digits in lower case',
    },
    z
      .string()
      .refine(isId)
      .transform((text) => text as AccountId),
  ),
  secretKey: setting(
    'SECRET_KEY',
    {
      secret: true,
      unit: '32 bytes in base64',
      defaultNote: 'generated once, kept in DATA_DIR/secret-key',
      meaning: 'Encrypts stream keys and passwords in the database. Without it the database cannot be read.',
      mend: 'give 32 bytes in base64, as `openssl rand -base64 32` prints them',
    },
    z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=?$/)
      .transform((text) => new Secret(text)),
  ),
  secretKeyPrevious: setting(
    'SECRET_KEY_PREVIOUS',
    {
      secret: true,
      unit: '32 bytes in base64',
      defaultNote: 'the key in DATA_DIR/secret-key-previous, if there is one',
      meaning:
        'The key of before, when SECRET_KEY is another one: at the start the database is encrypted anew. Has no effect afterwards.',
      mend: 'give the 32 bytes in base64 that SECRET_KEY was before',
    },
    z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=?$/)
      .transform((text) => new Secret(text)),
  ),
  destinationAllow: setting(
    'DESTINATION_ALLOW',
    {
      unit: 'CIDRs, joined by commas',
      meaning:
        'Addresses that outputs may reach although they are loopback, private or link-local. To try things out on one machine: 127.0.0.0/8,::1/128.',
      defaultNote: 'none',
      default: '',
      mend: cidrsMend,
    },
    cidrs.transform((items): readonly string[] => items),
  ),
  maxLiveInputs: setting(
    'MAX_LIVE_INPUTS',
    { default: '1000', meaning: 'Live inputs of one account.', mend: 'give a whole number from 1 to 1000000' },
    whole(1, 1_000_000),
  ),
  maxOutputs: setting(
    'MAX_OUTPUTS',
    {
      default: '50',
      meaning: 'Outputs of one live input.',
      // An input and its outputs are one document, and a document has 512 KiB at most; an output takes up to about 5 KB of it.
      mend: 'give a whole number from 1 to 100',
    },
    whole(1, 100),
  ),
  maxBitrateKbps: setting(
    'MAX_BITRATE_KBPS',
    {
      default: '12000',
      unit: 'kbit/s',
      meaning: 'Recommended bitrate of a feed. Above it the live input carries a warning.',
      mend: 'give a whole number from 1 to 10000000',
    },
    whole(1, 10_000_000),
  ),
  maxIngestKbps: setting(
    'MAX_INGEST_KBPS',
    {
      default: '100000',
      unit: 'kbit/s',
      meaning: 'Above it a feed is read no faster, and the live input carries a warning.',
      mend: 'give a whole number from 1 to 10000000',
    },
    whole(1, 10_000_000),
  ),
  reconnectWindowSeconds: setting(
    'RECONNECT_WINDOW',
    {
      default: '30',
      unit: 's',
      meaning: 'How long outputs are held for a publisher that vanished.',
      mend: 'give a whole number of seconds from 0 to 86400',
    },
    whole(0, 86_400),
  ),
  bufferMs: setting(
    'BUFFER_MS',
    {
      default: '15000',
      unit: 'ms',
      meaning: 'Media time that a broadcast keeps in memory.',
      mend: 'give a whole number of milliseconds from 100 to 3600000',
    },
    whole(100, 3_600_000),
  ),
  bufferBytesMax: setting(
    'BUFFER_MB',
    {
      default: '32',
      unit: 'MB of 1,048,576 bytes',
      meaning: 'Memory that the media of one broadcast may take.',
      mend: 'give a whole number of megabytes from 1 to 65536',
    },
    megabytes(65_536),
  ),
  bufferTotalBytesMax: setting(
    'BUFFER_TOTAL_MB',
    {
      default: '1024',
      unit: 'MB of 1,048,576 bytes',
      meaning: 'Memory that the media of all broadcasts together may take; the longest is trimmed first.',
      mend: 'give a whole number of megabytes from 1 to 1048576',
    },
    megabytes(1_048_576),
  ),
  maxLagMs: setting(
    'MAX_LAG_MS',
    {
      default: '4000',
      unit: 'ms',
      meaning: 'How far an output may fall behind before it jumps to a key frame.',
      mend: 'give a whole number of milliseconds from 100 to 3600000',
    },
    whole(100, 3_600_000),
  ),
  latencyMode: setting(
    'LATENCY_MODE',
    {
      default: 'realtime',
      meaning: '`realtime`, or `efficient`: writes are gathered for up to 40 ms, which costs less CPU.',
      mend: 'give realtime or efficient',
    },
    z.enum(['realtime', 'efficient']),
  ),
  mediaThreads: setting(
    'MEDIA_THREADS',
    {
      defaultNote: 'number of cores',
      meaning: 'Threads that carry media, each with its own listeners on the same ports. 1: no thread of their own.',
      mend: 'give a whole number from 1 to 256',
    },
    whole(1, 256),
  ),
  rateLimit: setting(
    'RATE_LIMIT',
    {
      default: '1200',
      unit: 'requests in 5 minutes',
      meaning: 'API requests of one token, and of one address without a valid token. 0 turns the limit off.',
      mend: 'give a whole number from 0 to 1000000000',
    },
    whole(0, 1_000_000_000),
  ),
  trustProxy: setting(
    'TRUST_PROXY',
    {
      default: 'off',
      unit: 'CIDRs, joined by commas',
      meaning: 'Proxies whose X-Forwarded-For is believed.',
      mend: `${cidrsMend}, or off`,
    },
    z.union([z.literal('off').transform(() => noCidrs), cidrs.transform((items): readonly string[] => items)]),
  ),
  logLevel: setting(
    'LOG_LEVEL',
    {
      default: 'info',
      meaning: 'The least level that is logged: trace, debug, info, warn, error, or silent for none.',
      mend: 'give trace, debug, info, warn, error or silent',
    },
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
  ),
  logFormat: setting(
    'LOG_FORMAT',
    {
      defaultNote: 'pretty on a terminal, else json',
      meaning: '`pretty` for people, `json` (one object a line) for programs.',
      mend: 'give pretty or json',
    },
    z.enum(['pretty', 'json']),
  ),
} as const

export type SettingKey = keyof typeof settings

export const allSettings = Object.entries(settings) as readonly (readonly [SettingKey, Setting])[]

/** `HTTP_PORT` -> `--http-port`; undefined for a secret. */
export function flagOf(one: Setting): string | undefined {
  return one.secret ? undefined : `--${kebab(one.name)}`
}

export function kebab(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}
