import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Config, hostInUrl, readConfig, settingsWithoutEffect } from './config.ts'
import { CodedError } from './errors.ts'
import { flagOf, type Setting, settings } from './settings.ts'

const all: readonly Setting[] = Object.values(settings)
const key32 = Buffer.alloc(32, 7).toString('base64')

function refusal(env: Record<string, string>, argv: string[] = []): CodedError {
  try {
    readConfig(env, argv)
  } catch (error) {
    assert(error instanceof CodedError)
    return error
  }
  assert.fail('the settings were taken')
}

test('the defaults are those of the documentation', () => {
  const config = readConfig({}, [])
  const expected: Config = {
    dataDir: './data',
    httpHost: '::',
    httpPort: 8080,
    httpsPort: 0,
    rtmpHost: '::',
    rtmpPort: 1935,
    rtmpsPort: 1936,
    publicHost: 'localhost',
    tlsCert: undefined,
    tlsKey: undefined,
    apiToken: undefined,
    accountId: undefined,
    secretKey: undefined,
    secretKeyPrevious: undefined,
    destinationAllow: [],
    maxLiveInputs: 1000,
    maxOutputs: 50,
    maxBitrateKbps: 12_000,
    maxIngestKbps: 100_000,
    reconnectWindowSeconds: 30,
    bufferMs: 15_000,
    bufferBytesMax: 32 * 1024 * 1024,
    bufferTotalBytesMax: 1024 * 1024 * 1024,
    maxLagMs: 4000,
    latencyMode: 'realtime',
    mediaThreads: undefined,
    rateLimit: 1200,
    trustProxy: [],
    logLevel: 'info',
    logFormat: undefined,
    given: [],
  }
  assert.deepEqual(config, expected)
})

const read: { name: string; value: string; key: keyof Config; expected: unknown }[] = [
  { name: 'DATA_DIR', value: '/srv/live', key: 'dataDir', expected: '/srv/live' },
  { name: 'HTTP_HOST', value: '127.0.0.1', key: 'httpHost', expected: '127.0.0.1' },
  { name: 'HTTP_PORT', value: '9000', key: 'httpPort', expected: 9000 },
  { name: 'HTTPS_PORT', value: '8443', key: 'httpsPort', expected: 8443 },
  { name: 'RTMP_HOST', value: '[::1]', key: 'rtmpHost', expected: '::1' },
  { name: 'RTMP_PORT', value: '0', key: 'rtmpPort', expected: 0 },
  { name: 'RTMPS_PORT', value: '65535', key: 'rtmpsPort', expected: 65_535 },
  { name: 'PUBLIC_HOST', value: 'live.example.com', key: 'publicHost', expected: 'live.example.com' },
  { name: 'ACCOUNT_ID', value: 'ab'.repeat(16), key: 'accountId', expected: 'ab'.repeat(16) },
  {
    name: 'DESTINATION_ALLOW',
    value: '127.0.0.0/8, ::1/128',
    key: 'destinationAllow',
    expected: ['127.0.0.0/8', '::1/128'],
  },
  { name: 'DESTINATION_ALLOW', value: '10.1.2.3', key: 'destinationAllow', expected: ['10.1.2.3'] },
  { name: 'MAX_LIVE_INPUTS', value: '2', key: 'maxLiveInputs', expected: 2 },
  { name: 'MAX_OUTPUTS', value: '3', key: 'maxOutputs', expected: 3 },
  { name: 'MAX_BITRATE_KBPS', value: '6000', key: 'maxBitrateKbps', expected: 6000 },
  { name: 'MAX_INGEST_KBPS', value: '50000', key: 'maxIngestKbps', expected: 50_000 },
  { name: 'RECONNECT_WINDOW', value: '0', key: 'reconnectWindowSeconds', expected: 0 },
  { name: 'BUFFER_MS', value: '2000', key: 'bufferMs', expected: 2000 },
  { name: 'BUFFER_MB', value: '8', key: 'bufferBytesMax', expected: 8 * 1024 * 1024 },
  { name: 'BUFFER_TOTAL_MB', value: '64', key: 'bufferTotalBytesMax', expected: 64 * 1024 * 1024 },
  { name: 'MAX_LAG_MS', value: '1500', key: 'maxLagMs', expected: 1500 },
  { name: 'LATENCY_MODE', value: 'efficient', key: 'latencyMode', expected: 'efficient' },
  { name: 'MEDIA_THREADS', value: '4', key: 'mediaThreads', expected: 4 },
  { name: 'RATE_LIMIT', value: '0', key: 'rateLimit', expected: 0 },
  { name: 'TRUST_PROXY', value: '10.0.0.0/8', key: 'trustProxy', expected: ['10.0.0.0/8'] },
  { name: 'LOG_LEVEL', value: 'debug', key: 'logLevel', expected: 'debug' },
  { name: 'LOG_FORMAT', value: 'json', key: 'logFormat', expected: 'json' },
]

for (const { name, value, key, expected } of read) {
  test(`${name}=${value} is read from the environment and from its flag`, () => {
    const flag = `--${name.toLowerCase().replaceAll('_', '-')}`
    for (const config of [
      readConfig({ [`STREAM_CONNECT_${name}`]: value }, []),
      readConfig({}, [flag, value]),
      readConfig({}, [`${flag}=${value}`]),
    ]) {
      assert.deepEqual(config[key], expected)
      assert.deepEqual(config.given, [name])
    }
  })
}

test('every setting that is no secret is covered above, and so are the pairs and secrets below', () => {
  const covered = new Set([
    ...read.map(({ name }) => name),
    'TLS_CERT',
    'TLS_KEY',
    'API_TOKEN',
    'SECRET_KEY',
    'SECRET_KEY_PREVIOUS',
  ])
  assert.deepEqual(
    all.filter(({ name }) => !covered.has(name)),
    [],
  )
})

test('the flag wins over the variable, the last flag over the first, and an empty value is not set', () => {
  const env = { STREAM_CONNECT_HTTP_PORT: '9000', STREAM_CONNECT_RTMP_PORT: '', STREAM_CONNECT_NO_SUCH: '' }
  assert.equal(readConfig(env, ['--http-port', '9001', '--http-port=9002']).httpPort, 9002)
  assert.equal(readConfig(env, ['--http-port=']).httpPort, 9000)
  assert.equal(readConfig(env, []).rtmpPort, 1935)
})

test('secrets come from the environment alone and do not print', () => {
  const config = readConfig(
    {
      STREAM_CONNECT_API_TOKEN: 'sesame',
      STREAM_CONNECT_SECRET_KEY: key32,
      STREAM_CONNECT_SECRET_KEY_PREVIOUS: key32,
    },
    [],
  )
  assert.equal(config.apiToken?.reveal(), 'sesame')
  assert.equal(config.secretKey?.reveal(), key32)
  assert.equal(config.secretKeyPrevious?.reveal(), key32)
  assert.doesNotMatch(JSON.stringify(config), /sesame/)
  const error = refusal({}, ['--api-token=sesame'])
  assert.equal(error.code, 'setting_unknown')
  assert.match(error.message, /^--api-token is not a flag, .*STREAM_CONNECT_API_TOKEN\.$/)
  assert.equal(flagOf(settings.apiToken), undefined)
})

const wrong: { env?: Record<string, string>; argv?: string[]; code: string; sentence: RegExp }[] = [
  {
    env: { STREAM_CONNECT_HTTP_PORT: '99999' },
    code: 'setting_invalid',
    sentence: /^STREAM_CONNECT_HTTP_PORT is "99999"; give a port from 0 to 65535/,
  },
  { argv: ['--rtmp-port', 'abc'], code: 'setting_invalid', sentence: /^--rtmp-port is "abc"; give a port/ },
  { argv: ['--rtmp-port', '-1'], code: 'setting_invalid', sentence: /^--rtmp-port is "-1"; give a port/ },
  { argv: ['--rtmp-port', '1e3'], code: 'setting_invalid', sentence: /^--rtmp-port is "1e3"/ },
  { argv: ['--rtmp-port'], code: 'setting_invalid', sentence: /^--rtmp-port has no value; give a port/ },
  { argv: ['--rtmp-port', '--http-port=1'], code: 'setting_invalid', sentence: /^--rtmp-port has no value/ },
  {
    env: { STREAM_CONNECT_DESTINATION_ALLOW: '10.0.0.0/33' },
    code: 'setting_invalid',
    sentence: /^STREAM_CONNECT_DESTINATION_ALLOW is "10.0.0.0\/33"; give address ranges/,
  },
  { argv: ['--destination-allow', '10.0.0.0/8,nonsense'], code: 'setting_invalid', sentence: /give address ranges/ },
  { argv: ['--destination-allow', '010.0.0.0/8'], code: 'setting_invalid', sentence: /give address ranges/ },
  { argv: ['--trust-proxy', 'yes'], code: 'setting_invalid', sentence: /^--trust-proxy is "yes"; .*, or off\.$/ },
  {
    env: { STREAM_CONNECT_TLS_CERT: '/c.pem' },
    code: 'setting_invalid',
    sentence: /^STREAM_CONNECT_TLS_CERT is "\/c.pem" but STREAM_CONNECT_TLS_KEY is not set; set both/,
  },
  {
    env: { STREAM_CONNECT_TLS_KEY: '/k.pem' },
    code: 'setting_invalid',
    sentence: /^STREAM_CONNECT_TLS_KEY is "\/k.pem" but STREAM_CONNECT_TLS_CERT is not set/,
  },
  {
    argv: ['--public-host', 'https://x.example'],
    code: 'setting_invalid',
    sentence: /give an IP address or a host name/,
  },
  { argv: ['--public-host', '256.1.1.1'], code: 'setting_invalid', sentence: /give an IP address or a host name/ },
  { argv: ['--http-host', 'localhost:80'], code: 'setting_invalid', sentence: /^--http-host is "localhost:80"/ },
  { argv: ['--account-id', 'me'], code: 'setting_invalid', sentence: /give 32 hexadecimal digits/ },
  { argv: ['--log-level', 'loud'], code: 'setting_invalid', sentence: /give trace, debug/ },
  { argv: ['--max-outputs', '0'], code: 'setting_invalid', sentence: /from 1 to 100/ },
  { argv: ['--http-prot', '80'], code: 'setting_unknown', sentence: /^--http-prot is not a flag of this server;/ },
  { argv: ['serve'], code: 'setting_unknown', sentence: /^serve is not a flag/ },
  {
    env: { STREAM_CONNECT_HTTP_PROT: '80' },
    code: 'setting_unknown',
    sentence: /^STREAM_CONNECT_HTTP_PROT is not a setting of this server; correct its name or unset it/,
  },
]

for (const { env = {}, argv = [], code, sentence } of wrong) {
  test(`refused: ${[...Object.entries(env).map((pair) => pair.join('=')), ...argv].join(' ')}`, () => {
    const error = refusal(env, argv)
    assert.equal(error.code, code)
    assert.match(error.message, sentence)
    assert.match(error.message, /^[^\n]*\.$/, 'one sentence on one line')
  })
}

for (const value of ['too-short', Buffer.alloc(31, 1).toString('base64'), Buffer.alloc(33, 1).toString('base64')]) {
  test(`a SECRET_KEY that is not 32 bytes is refused without being shown (${value.length} characters)`, () => {
    const error = refusal({ STREAM_CONNECT_SECRET_KEY: value })
    assert.match(error.message, /^STREAM_CONNECT_SECRET_KEY cannot be used .*32 bytes in base64/)
    assert(!error.message.includes(value))
  })
}

test('whatever is typed, the outcome is settings or one printable sentence without a secret', () => {
  const names = fc.constantFrom(...all.map(({ name }) => name))
  fc.assert(
    fc.property(fc.array(fc.tuple(names, fc.string({ unit: 'binary' }))), (pairs) => {
      const env = Object.fromEntries(pairs.map(([name, value]) => [`STREAM_CONNECT_${name}`, value]))
      try {
        readConfig(env, [])
      } catch (error) {
        assert(error instanceof CodedError)
        assert.doesNotMatch(error.message, /\p{Cc}/u)
        const secret = env['STREAM_CONNECT_API_TOKEN'] ?? ''
        if (secret.length > 40) assert(!error.message.includes(secret))
      }
    }),
  )
})

test('settings without effect are named once, and only when set', () => {
  assert.equal(settingsWithoutEffect(readConfig({}, [])), undefined)
  const unused = all.filter((one) => one.withoutEffect && one.default !== undefined)
  const env = Object.fromEntries(unused.map(({ name, default: value }) => [`STREAM_CONNECT_${name}`, value]))
  const sentence = settingsWithoutEffect(readConfig({ ...env, STREAM_CONNECT_RTMP_PORT: '1' }, []))
  if (unused.length === 0) assert.equal(sentence, undefined)
  for (const { name } of unused) assert(sentence?.includes(`STREAM_CONNECT_${name}`))
  assert(!sentence?.includes('RTMP_PORT'))
})

test('an IPv6 address gets its brackets in a URL', () => {
  assert.equal(hostInUrl('::1'), '[::1]')
  assert.equal(hostInUrl('127.0.0.1'), '127.0.0.1')
  assert.equal(hostInUrl('live.example.com'), 'live.example.com')
})
