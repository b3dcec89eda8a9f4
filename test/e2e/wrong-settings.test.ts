import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePorts, type TemporaryFolder, temporaryFolder } from '../support/processes.ts'
import { type EndedRun, type RunOptions, runServer, startRun } from '../support/server-run.ts'
import { testCa } from '../support/tls.ts'

/** Each setting that cannot be used ends the start: one sentence on stderr with setting, value and mend, exit status 2. */

const timeout = 60_000

/** One line, of one sentence, that begins like this; no stack, and nothing promised on stdout. */
function assertRefused({ code, signal, stdout, stderr }: EndedRun, sentence: RegExp): void {
  assert.match(stderr, sentence)
  assert.deepEqual([code, signal], [2, null])
  assert.match(stderr, /^[^\n]+[.)]\n$/, 'one line, which ends as a sentence does')
  assert.doesNotMatch(stderr, /\bat .*:\d+:\d+|node:internal|Error:/)
  assert.doesNotMatch(stdout, /curl/)
}

/** Loopback, free ports and a folder of its own, for a start that would succeed but for one thing. */
async function otherwiseRight(folder: TemporaryFolder): Promise<Record<string, string>> {
  const [http, rtmp, rtmps] = await freePorts(3)
  return {
    ...{ HTTP_HOST: '127.0.0.1', RTMP_HOST: '127.0.0.1', DATA_DIR: join(folder.path, 'data') },
    ...{ HTTP_PORT: `${http}`, RTMP_PORT: `${rtmp}`, RTMPS_PORT: `${rtmps}` },
  }
}

type Case = RunOptions & { readonly name: string; readonly sentence: RegExp; readonly hidden?: string }
const cases: readonly Case[] = [
  {
    name: 'a port that is none',
    settings: { HTTP_PORT: '70000' },
    sentence: /^STREAM_CONNECT_HTTP_PORT is "70000"; give a port from 0 to 65535/,
  },
  {
    name: 'a port that is a word, as a flag',
    args: ['--rtmp-port', 'rtmp'],
    sentence: /^--rtmp-port is "rtmp"; give a port from 0 to 65535/,
  },
  {
    name: 'a CIDR that is none',
    settings: { DESTINATION_ALLOW: '127.0.0.0/8,10.0.0.0/33' },
    sentence:
      /^STREAM_CONNECT_DESTINATION_ALLOW is "127\.0\.0\.0\/8,10\.0\.0\.0\/33"; give address ranges .* 127\.0\.0\.0\/8/,
  },
  {
    name: 'a SECRET_KEY of 16 bytes',
    settings: { SECRET_KEY: 'c2l4dGVlbiBieXRlcyEhIQ==' },
    sentence:
      /^STREAM_CONNECT_SECRET_KEY cannot be used \(its value is not shown\); give 32 bytes in base64, as `openssl/,
    hidden: 'c2l4dGVlbi',
  },
  {
    name: 'TLS_CERT without TLS_KEY',
    settings: { TLS_CERT: '/etc/live.pem' },
    sentence:
      /^STREAM_CONNECT_TLS_CERT is "\/etc\/live\.pem" but STREAM_CONNECT_TLS_KEY is not set; set both, or neither/,
  },
  {
    name: 'TLS files that are not there',
    settings: { TLS_CERT: '/does/not/exist.pem', TLS_KEY: '/does/not/exist.key' },
    sentence:
      /^STREAM_CONNECT_TLS_CERT is "\/does\/not\/exist\.pem" and that cannot be read \(ENOENT\); check the path/,
  },
  {
    name: 'an unknown flag',
    args: ['--http-prot', '8080'],
    sentence: /^--http-prot is not a flag of this server; correct or remove it \(--help lists/,
  },
  {
    name: 'a secret as a flag',
    args: ['--api-token=my-very-own-token'],
    sentence: /^--api-token is not a flag, .*; set the variable STREAM_CONNECT_API_TOKEN\./,
    hidden: 'my-very-own',
  },
  {
    name: 'an unknown variable',
    settings: { HTTP_PROT: '8080' },
    sentence: /^STREAM_CONNECT_HTTP_PROT is not a setting of this server; correct its name or unset it/,
  },
  {
    name: 'a host that is not this machine',
    settings: { HTTP_HOST: '192.0.2.1' },
    sentence:
      /^STREAM_CONNECT_HTTP_HOST \(--http-host\) is "192\.0\.2\.1" and that is no address of this machine; give one that is\./,
  },
  {
    name: 'a DATA_DIR that cannot be made',
    settings: { DATA_DIR: '/proc/stream-connect' },
    sentence: /^DATA_DIR: \/proc\/stream-connect cannot be made on this file system; set DATA_DIR to another folder\./,
  },
]

test('settings that cannot be used', { timeout, concurrency: 2 }, async (t) => {
  const tests = cases.map(({ name, settings, args = [], sentence, hidden }) =>
    t.test(name, async () => {
      await using folder = await temporaryFolder('wrong')
      const run = await runServer({ settings: { ...(await otherwiseRight(folder)), ...settings }, args })
      assertRefused(run, sentence)
      if (hidden !== undefined) assert.ok(!(run.stdout + run.stderr).includes(hidden), 'the value is shown')
    }),
  )
  await Promise.all(tests)
})

test('a certificate and a key that are no pair', { timeout }, async () => {
  await using folder = await temporaryFolder('wrong')
  await using authority = await testCa()
  const [one, other] = [await authority.serverCert('a.example'), await authority.serverCert('b.example')]
  const [cert, key] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')]
  await Promise.all([writeFile(cert, one.cert), writeFile(key, other.key)])
  const run = await runServer({ settings: { ...(await otherwiseRight(folder)), TLS_CERT: cert, TLS_KEY: key } })
  assertRefused(
    run,
    /^STREAM_CONNECT_TLS_KEY is ".*key\.pem" and that does not belong to the certificate in TLS_CERT; /,
  )
})

for (const setting of ['HTTP_PORT', 'HTTPS_PORT', 'RTMP_PORT', 'RTMPS_PORT'])
  test(`${setting} that another program listens on`, { timeout }, async () => {
    await using folder = await temporaryFolder('taken')
    const flag = `--${setting.toLowerCase().replace('_', '-')}`
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    try {
      const run = await runServer({ settings: { ...(await otherwiseRight(folder)), [setting]: `${port}` } })
      assertRefused(
        run,
        new RegExp(
          `^STREAM_CONNECT_${setting} \\(${flag}\\) is ${port} and another program listens there; stop it or give another port\\.`,
        ),
      )
    } finally {
      other.close()
    }
  })

test('a DATA_DIR without rights', { timeout }, async (t) => {
  await using folder = await temporaryFolder('rights')
  // Root has all rights everywhere: then somebody else tries it, unless nobody else may even read this program.
  const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {}
  if ('uid' in nobody && (await runServer({ args: ['--version'], ...nobody }).catch(() => undefined))?.code !== 0) {
    t.skip('the program cannot be read by other users, and root has all rights')
    return
  }
  const closed = join(folder.path, 'closed')
  await mkdir(closed, { mode: 0o500 })
  await chmod(folder.path, 0o755)
  const run = await runServer({ settings: { ...(await otherwiseRight(folder)), DATA_DIR: closed }, ...nobody })
  assertRefused(run, /^DATA_DIR: .*closed cannot be read and written by this user; give it to the user that the server/)
})

test('a DATA_DIR that other users can read', { timeout }, async () => {
  await using folder = await temporaryFolder('open')
  const open = join(folder.path, 'open')
  await mkdir(open)
  await writeFile(join(open, 'something'), '')
  await chmod(open, 0o755)
  const run = await runServer({ settings: { ...(await otherwiseRight(folder)), DATA_DIR: open } })
  assertRefused(run, /^DATA_DIR: .*open is open to other users \(mode 755\); close it with `chmod 700 .*open` if/)
})

test('a DATA_DIR in use by another server, which notices nothing', { timeout }, async () => {
  await using folder = await temporaryFolder('shared')
  await using first = await startRun()
  const second = { ...(await otherwiseRight(folder)), DATA_DIR: first.dataDir }
  const run = await runServer({ settings: second })
  assertRefused(
    run,
    new RegExp(
      `^DATA_DIR: \\S+data is in use by another server \\(process ${first.program.pid}\\); stop .* or set DATA_DIR`,
    ),
  )
  assert.equal((await fetch(`http://localhost:${first.ports.http}/readyz`)).status, 200)
  // Also when the first one is killed, and cannot clean up.
  await first.program.kill()
  await using third = await startRun({ settings: second })
  assert.equal((await third.program.stop()).code, 0)
})

test('an empty value counts as not set, whatever its name', { timeout }, async () => {
  const names = 'API_TOKEN SECRET_KEY ACCOUNT_ID TLS_CERT TLS_KEY DESTINATION_ALLOW LOG_LEVEL MAX_OUTPUTS NO_SUCH'
  const settings = Object.fromEntries(names.split(' ').map((name) => [name, '']))
  await using started = await startRun({ settings, args: ['--public-host=', '--max-lag-ms', ''] })
  assert.match(started.program.output, /API token {2}\S{20,}/)
  assert.match(started.program.output, /RTMP {7}rtmp:\/\/localhost:/)
  assert.equal((await started.program.stop()).code, 0)

  // A generated key that somebody has cut short is not taken for one that is missing.
  await writeFile(join(started.dataDir, 'secret-key'), 'half a key\n')
  assertRefused(
    await runServer({ settings: started.settings }),
    /^DATA_DIR: .*secret-key does not hold 32 bytes in base64; /,
  )
})
