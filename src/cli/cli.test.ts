import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { account, startApi, token, unknownId } from '../../test/support/api-fixture.ts'
import { systemClock } from '../clock.ts'
import { CodedError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { commandsHelp, isCommand, runCommand, type Surroundings } from './cli.ts'
import type { OfflineApi } from './find-server.ts'
import type { SecretInput } from './read-secret.ts'

type Run = { readonly status: number; readonly stdout: string; readonly stderr: string }

/** One person at one machine: an API that listens, its data directory, and the commands. */
async function personAt(t: TestContext, overrides: Partial<Surroundings> & { readonly isTerminal?: boolean } = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), 'stream-connect-cli-'))
  t.after(() => rm(dataDir, { recursive: true }))
  const api = await startApi()
  t.after(() => api.api.close())
  const { port } = await api.api.listen('127.0.0.1', 0)
  const origin = `http://127.0.0.1:${port}`
  await writeFile(join(dataDir, 'api-token'), `${token}\n`)
  const settings = { dataDir, accountId: undefined, apiToken: undefined, origin }
  const run = async (words: readonly string[], input = '', more: Partial<Surroundings> = {}): Promise<Run> => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const stdin = new PassThrough()
    stdin.end(input)
    const status = await runCommand(words, {
      stdin,
      stdout: Object.assign(stdout, { isTTY: overrides.isTerminal ?? false }),
      stderr,
      clock: systemClock,
      signal: new AbortController().signal,
      settings: () => settings,
      openOffline: () => assert.fail('nothing is to be opened'),
      ...overrides,
      ...more,
    })
    return { status, stdout: stdout.read()?.toString() ?? '', stderr: stderr.read()?.toString() ?? '' }
  }
  return { run, api, dataDir, origin, settings }
}

function idIn(text: string): string {
  return /\b[0-9a-f]{32}\b/.exec(text)?.[0] ?? assert.fail(`no id in: ${text}`)
}

test('an input and its outputs, from making to deleting', async (t) => {
  const { run, api } = await personAt(t)
  const made = await run(['input', 'create', '--name', 'Sunday', '--meta', '{"room":7}'])
  assert.deepEqual([made.status, made.stderr], [0, ''])
  assert.match(made.stdout, /^Name +Sunday$/m)
  assert.match(made.stdout, /^Stream key +[0-9a-f]{32}k[0-9a-f]{32}$/m)
  const input = idIn(made.stdout)
  assert.deepEqual((await api.result('GET', `/client/v4/accounts/${account}/stream/live_inputs/${input}`)).meta, {
    name: 'Sunday',
    room: 7,
  })
  assert.match(
    (await run(['input', 'list'])).stdout,
    new RegExp(`^INPUT +NAME +STATE +ENABLED +CREATED\n${input}  Sunday +never connected +yes `),
  )
  assert.equal((await run(['input', 'show', input])).stdout, made.stdout)
  assert.equal((await run(['input', 'disable', input])).stdout, `disabled ${input}\n`)
  assert.match((await run(['input', 'show', input])).stdout, /^Enabled +no$/m)
  assert.equal((await run(['input', 'enable', input])).stdout, `enabled ${input}\n`)

  const url = 'rtmp://a.rtmp.youtube.com/live2'
  const words = ['output', 'create', input, '--url', url, '--name', 'YT', '--username', 'ada', '--disabled']
  const added = await run(words, 'the-key\nthe-password\n')
  assert.equal(added.status, 0, added.stderr)
  const output = idIn(added.stdout)
  const stored: { streamKey: string; username: string; enabled: boolean }[] = await api.result(
    'GET',
    `/client/v4/accounts/${account}/stream/live_inputs/${input}/outputs`,
  )
  assert.deepEqual(
    stored.map(({ streamKey, username, enabled }) => [streamKey, username, enabled]),
    [['the-key', 'ada', false]],
  )
  const list = await run(['output', 'list', input])
  assert.match(list.stdout, new RegExp(`^${output}  YT +${url} +no +never connected$`, 'm'))
  for (const secret of ['the-key', 'the-password']) assert(!(added.stdout + list.stdout).includes(secret))
  assert.equal((await run(['output', 'enable', input, output])).stdout, `enabled ${output}\n`)
  assert.equal((await run(['output', 'disable', input, output])).stdout, `disabled ${output}\n`)
  assert.equal((await run(['output', 'delete', input, output])).stdout, `deleted ${output}\n`)
  assert.equal((await run(['output', 'list', input])).stdout, 'OUTPUT  NAME  URL  ENABLED  STATE\n')
  assert.equal((await run(['input', 'delete', input])).stdout, `deleted ${input}\n`)
  assert.equal((await run(['input', 'list', '--json'])).stdout, '[]\n')
})

test('accounts and tokens: a new token alone on standard output, good for what it says', async (t) => {
  const { run, api, settings } = await personAt(t)
  const second = await run(['account', 'create', '--name', 'Two', '--email', 'ada@example.com'])
  assert.match(second.stdout, /^X-Auth-Email +ada@example\.com\nX-Auth-Key +[0-9a-f]{64}\n/m)
  const two = idIn(second.stdout)
  assert.match((await run(['account', 'list'])).stdout, new RegExp(`^${account}  First account .*\n${two}  Two `, 'm'))

  const created = await run(['token', 'create', '--name', 'x', '--scope=read', '--expires', '30d', '--account', two])
  assert.match(created.stdout, /^sct_[\w-]{43}\n$/)
  assert.match(created.stderr, /shown this once/)
  const text = created.stdout.trim()
  const inputs = (id: string) => `/client/v4/accounts/${id}/stream/live_inputs`
  const ask = async (method: 'GET' | 'POST', id: string) =>
    (await api.call(method, inputs(id), undefined, { authorization: `Bearer ${text}` })).status
  assert.deepEqual([await ask('GET', two), await ask('POST', two), await ask('GET', account)], [200, 403, 403])

  // The limited token itself: its account is the first that it may use.
  const limited = { settings: () => ({ ...settings, apiToken: new Secret(text) }) }
  assert.equal((await run(['input', 'list'], '', limited)).status, 0)
  const refused = await run(['input', 'create'], '', limited)
  assert.deepEqual([refused.status, refused.stdout], [1, ''])
  assert.match(refused.stderr, /Authentication error \(10000\)\nThe token is wrong/)

  const list = await run(['token', 'list', '--account', two])
  const row = list.stdout.split('\n').find((line) => line.includes('Stream Read'))!
  assert.match(row, / x +Stream Read +\d{4}-.*Z +\d{4}-.*Z$/)
  assert.equal((await run(['token', 'revoke', idIn(row), '--account', two])).stdout, `revoked ${idIn(row)}\n`)
  assert.equal(await ask('GET', two), 403)
  const all = JSON.parse((await run(['token', 'create', '--name', 'x', '--all-accounts', '--json'])).stdout)
  assert.deepEqual([all.all_accounts, all.scopes], [true, ['Stream Write']])
  const inFull = await run(['token', 'create', '--name', 'x', '--scope', 'Stream Read', '--json'])
  assert.deepEqual(JSON.parse(inFull.stdout).scopes, ['Stream Read'])
})

test('what the server refuses: exit status 1, its words, and nothing on standard output', async (t) => {
  const { run } = await personAt(t)
  for (const [words, input, said] of [
    [['input', 'show', unknownId], '', /There is no live input f{32} .* \(10003\)\n$/],
    [
      ['input', 'show', 'abc'],
      '',
      /perhaps your object identifier is invalid\? \(7003\)[\s\S]*32 hex characters, as `input list`/,
    ],
    [['input', 'show', '../../../user/tokens/verify'], '', /\(7003\)/],
    [['output', 'create', unknownId, '--url', 'http://a'], 'key\n', /^url: .* \(10005\)/],
    [['token', 'create', '--name', 'x', '--expires', '2020-01-01'], '', /^expires_on: .*yet to come/],
    [['input', 'list', '--account', unknownId], '', /\(10000\)/],
  ] as const) {
    const { status, stdout, stderr } = await run(words, input)
    assert.deepEqual([status, stdout], [1, ''], words.join(' '))
    assert.match(stderr, said)
  }
})

test('wrong usage: exit status 2, one sentence, and no secret in it', async (t) => {
  const { run, api } = await personAt(t)
  for (const [words, said] of [
    [['input'], /^Say which: stream-connect input list \| create \|/],
    [['input', 'dance'], /no command "input dance"; there are: list,/],
    [['input', 'show'], /After "input show" comes INPUT, and nothing came/],
    [['input', 'list', 'x', 'y'], /comes no word without an option, and 2 words came/],
    [['input', 'create', '--nam', 'x'], /^--nam is no option/],
    [['input', 'create', '--name'], /^--name has no value; give --name NAME/],
    [['input', 'create', '--name', '--disabled'], /^--name has no value/],
    [['input', 'create', '--disabled=yes'], /^--disabled takes no value/],
    [['input', 'create', '--name', 'a', '--name', 'b'], /^--name is given twice/],
    [['input', 'create', '--meta', '[1]'], /^--meta is a JSON object/],
    [['input', 'create', '--__proto__', 'x'], /^--__proto__ is no option/],
    [['token', 'create'], /^Give --name NAME/],
    [['token', 'create', '--name', 'x', '--scope', 'all'], /^--scope is one of: read, write, tokens/],
    [['token', 'create', '--name', 'x', '--expires', 'soon'], /^--expires is a number of days/],
    [['input', 'list', '--token', 'sct_secret'], /^--token is no option, because every user/],
    [['output', 'create', unknownId, '--url', 'rtmp://a/b', '--stream-key=secret'], /give it on standard input/],
    [['output', 'create', unknownId, '--url', 'rtmp://a/b'], /^Give the stream key on standard input/],
    [['input', 'list', '--api-url', 'localhost:8080'], /^The address of the API is a url/],
    [['input', 'list', '--api-url', 'http://ada:secret@localhost'], /has no user or password/],
    [['input', 'list', '--token-file', '/nowhere/token'], /^--token-file: \/nowhere\/token cannot be read/],
    [['input', 'watch', unknownId, '--interval', '0'], /^--interval is a whole number/],
  ] as const) {
    const { status, stdout, stderr } = await run(words)
    assert.deepEqual([status, stdout], [2, ''], words.join(' '))
    assert.match(stderr, said)
    assert.equal(stderr.split('\n').length, 2)
    assert(!stderr.includes('secret'), stderr)
  }
  assert.deepEqual(await api.store.list(''), [], 'nothing has happened')
})

test('a server that is not there, or is none of ours: exit status 3', async (t) => {
  const { run, origin } = await personAt(t)
  const other = createServer((_, answer) => answer.end('<html>')).listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { port } = other.address() as { port: number }
  for (const [url, said] of [
    [`http://127.0.0.1:${port}`, /is not stream-connect/],
    [`http://127.0.0.1:${port}/api/`, /is not stream-connect/],
  ] as const) {
    const { status, stdout, stderr } = await run(['input', 'list', '--api-url', url])
    assert.deepEqual([status, stdout], [3, ''])
    assert.match(stderr, said)
  }
  for (const ending of ['', '/', '/client/v4', '/client/v4/'])
    assert.equal((await run(['input', 'list', '--api-url', origin + ending])).status, 0, ending)
  other.close()
  await once(other, 'close')
  const { status, stderr } = await run(['token', 'list', '--api-url', `http://127.0.0.1:${port}`])
  assert.equal(status, 3)
  assert.match(stderr, /^No server answers at http:\/\/127\.0\.0\.1:\d+\. Start it/)
})

test('the token does not follow a redirect', async (t) => {
  const { run } = await personAt(t)
  let isAsked = false
  const thief = createServer((_, answer) => {
    isAsked = true
    answer.end('{}')
  }).listen(0, '127.0.0.1')
  await once(thief, 'listening')
  const { port } = thief.address() as { port: number }
  const other = createServer((_, answer) => {
    answer.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end()
  }).listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => [thief.close(), other.close()])
  const at = `http://127.0.0.1:${(other.address() as { port: number }).port}`
  assert.equal((await run(['input', 'list', '--api-url', at])).status, 3)
  assert.equal(isAsked, false)
})

test('the address of a server that was killed: token and account commands open the database, others do not', async (t) => {
  let opened = 0
  let isInUse = false
  const openOffline = async (): Promise<OfflineApi> => {
    if (isInUse) throw new CodedError('data_dir_in_use')
    opened++
    return {
      async call(method, path) {
        const answer = await api.api.inject({
          method,
          url: `/client/v4${path}`,
          headers: { authorization: `Bearer ${token}` },
        })
        return { status: answer.statusCode, text: answer.body }
      },
      async [Symbol.asyncDispose]() {
        opened--
      },
    }
  }
  const { run, api, dataDir, settings } = await personAt(t, { openOffline })
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const nobody = `http://127.0.0.1:${(gone.address() as { port: number }).port}`
  gone.close()
  await once(gone, 'close')
  await writeFile(join(dataDir, 'api-url'), `${nobody}\n`)
  const list = () => run(['account', 'list'])

  // No database: there is nothing to open.
  assert.equal((await list()).status, 3)
  await writeFile(join(dataDir, 'stream-connect.sqlite'), '')
  const found = await list()
  assert.deepEqual([found.status, opened], [0, 0])
  assert.match(found.stdout, /First account/)
  assert.match(found.stderr, /^No server runs on .*; its database was opened\.\n$/)
  assert.equal((await run(['input', 'list'])).status, 3)
  assert.equal((await run(['account', 'list', '--api-url', nobody])).status, 3, 'what was named is meant')

  isInUse = true
  assert.equal((await list()).status, 3)
  // A server that has not said where it is: where the settings say.
  await rm(join(dataDir, 'api-url'))
  assert.deepEqual(await list(), { status: 0, stdout: found.stdout, stderr: '' })
  await writeFile(join(dataDir, 'api-url'), `${settings.origin}\n`)
  assert.equal((await list()).status, 0)
})

test('help teaches: every command has a line, a page and examples that can be typed', async (t) => {
  const { run } = await personAt(t)
  const help = commandsHelp()
  const commands = [...help.matchAll(/^ {2}(\w+) (\w+)(?: [A-Z ]+)? {2,}\S/gm)].map(([, group, name]) => [
    group!,
    name!,
  ])
  assert.equal(commands.length, 18)
  for (const words of commands) {
    const { status, stdout } = await run([...words, '--help'])
    assert.equal(status, 0)
    assert.deepEqual(await run(['help', ...words]), { status, stdout, stderr: '' })
    assert.match(stdout, new RegExp(`^Usage: stream-connect ${words.join(' ')}`))
    assert(stdout.split('\n').every((line) => line.length <= 120))
    const examples = stdout.split('Examples:\n')[1]!.split('\n\n')[0]!
    for (const example of examples.split('\n').filter((line) => line !== '')) {
      assert(example.includes(`stream-connect ${words.join(' ')}`), example)
      for (const [option] of example.matchAll(/--[a-z-]+/g))
        assert(stdout.includes(`\n  ${option}`), `${example}: ${option}`)
    }
  }
  for (const group of new Set(commands.map(([group]) => group!))) {
    const { status, stdout } = await run([group, '--help'])
    assert.equal(status, 0)
    for (const [of, name] of commands) if (of === group) assert(stdout.includes(`  ${group} ${name}`))
    assert(isCommand([group]))
  }
  assert(isCommand(['help', 'token']) && !isCommand(['--help']) && !isCommand(['dance']) && !isCommand([]))
})

test('names from elsewhere cannot draw on the terminal, as a table or as JSON', async (t) => {
  const { run, api } = await personAt(t, { isTerminal: true })
  const name = 'a\u001b[2J\u009b2J\u202e\nb'
  await api.result('POST', `/client/v4/accounts/${account}/stream/live_inputs`, { meta: { name } })
  const [listed, asJson] = [await run(['input', 'list']), await run(['input', 'list', '--json'])]
  assert.match(listed.stdout, /a\?\[2J\?2J\?\?b/)
  for (const { stdout } of [listed, asJson]) assert.doesNotMatch(stdout, /[^\P{C}\n]/u)
  assert.equal(JSON.parse(asJson.stdout)[0].meta.name, name)
})

test('watch: on a terminal in place, elsewhere plain text; with --json one object a line, without keys', async (t) => {
  const plain = await personAt(t)
  const input = idIn((await plain.run(['input', 'create', '--name', 'W'])).stdout)
  await plain.run(['output', 'create', input, '--url', 'rtmp://a.rtmp.youtube.com/live2', '--name', 'YT'], 'the-key')
  const watch = ['input', 'watch', input, '--interval', '1', '--count', '2']
  const text = await plain.run(watch)
  assert.equal(text.status, 0)
  assert.equal(text.stdout.split('never connected').length - 1, 4)
  assert(!text.stdout.includes('\u001b'))

  const lines = (await plain.run([...watch, '--json'])).stdout.trim().split('\n')
  assert.equal(lines.length, 2)
  for (const line of lines) {
    const { at, input: shown, outputs } = JSON.parse(line)
    assert(Date.parse(at))
    assert.deepEqual([shown.uid, shown.rtmp, shown.rtmps], [input, undefined, undefined])
    assert.deepEqual([outputs.length, outputs[0].streamKey], [1, undefined])
    assert(!line.includes('the-key'))
  }
})

test('watch of one output shows no other, and says so when there is none of that id', async (t) => {
  const { run } = await personAt(t)
  const input = idIn((await run(['input', 'create', '--name', 'W'])).stdout)
  const create = (name: string) =>
    run(['output', 'create', input, '--url', 'rtmp://a.rtmp.youtube.com/live2', '--name', name], 'the-key')
  const [first] = [idIn((await create('First')).stdout), await create('Second')]
  const watch = (output: string, ...more: string[]) => run(['output', 'watch', input, output, '--count', '1', ...more])
  const text = await watch(first)
  assert.deepEqual([text.status, text.stderr], [0, ''])
  assert.match(text.stdout, /^input {2}never connected$/m)
  assert.match(text.stdout, /^First .*never connected$/m)
  assert.doesNotMatch(text.stdout, /Second/)
  const { input: shown, outputs } = JSON.parse((await watch(first, '--json')).stdout)
  assert.deepEqual([shown.uid, outputs.length, outputs[0].uid, outputs[0].streamKey], [input, 1, first, undefined])
  const unknown = await watch(unknownId)
  assert.deepEqual([unknown.status, unknown.stdout], [1, ''])
  assert.match(unknown.stderr, new RegExp(`no output ${unknownId}\\. Its outputs: stream-connect output list ${input}`))
})

test('watch ends with 0 when the person has had enough', async (t) => {
  const person = await personAt(t)
  const input = idIn((await person.run(['input', 'create'])).stdout)
  const interrupted = new AbortController()
  const stdout = new PassThrough()
  const running = person.run(['input', 'watch', input, '--interval', '3600'], '', {
    stdout: Object.assign(stdout, { isTTY: true }),
    signal: interrupted.signal,
  })
  const [first] = (await once(stdout, 'data')) as [Buffer]
  assert(first.toString().startsWith('\u001b[2J'))
  interrupted.abort()
  assert.equal((await running).status, 0)
})

/** A terminal: keys arrive one by one, and nothing is shown that is not written to it. */
class Terminal extends PassThrough {
  readonly isTTY = true
  readonly modes: boolean[] = []
  setRawMode(isRaw: boolean): this {
    this.modes.push(isRaw)
    return this
  }
}

test('on a terminal the key is asked for, and not shown; Ctrl-C takes it back', async (t) => {
  const { run, api } = await personAt(t)
  const input = idIn((await run(['input', 'create'])).stdout)
  const words = ['output', 'create', input, '--url', 'rtmp://a.rtmp.youtube.com/live2']
  const terminal = new Terminal()
  const typing = run(words, '', { stdin: terminal as unknown as SecretInput })
  for (const key of ['k', 'x', '\u007f', 'e', 'y\r']) terminal.write(key)
  const { status, stderr } = await typing
  assert.equal(status, 0)
  assert.equal(stderr, 'stream key (not shown): \n')
  assert.deepEqual(terminal.modes, [true, false])
  const outputs = `/client/v4/accounts/${account}/stream/live_inputs/${input}/outputs`
  assert.deepEqual(
    (await api.result<{ streamKey: string }[]>('GET', outputs)).map(({ streamKey }) => streamKey),
    ['key'],
  )
  const other = new Terminal()
  const leaving = run(words, '', { stdin: other as unknown as SecretInput })
  other.write('ke\u0003')
  assert.equal((await leaving).status, 2)
  assert.deepEqual(other.modes, [true, false])
  assert.equal((await api.result<[]>('GET', outputs)).length, 1)
})

test('notes of the server reach the person, on standard error', async (t) => {
  const { run } = await personAt(t)
  const input = idIn((await run(['input', 'create'])).stdout)
  const url = 'rtmp://live.twitch.tv/app/live_12345_abc'
  const { status, stderr } = await run(['output', 'create', input, '--url', url], 'live_12345_abc')
  assert.equal(status, 0)
  assert.match(stderr, /^Note on \w+: /)
})
