import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePorts, temporaryFolder } from '../support/processes.ts'
import { type Answer, type Json, type ServerUnderTest, startServer } from '../support/server.ts'
import { runServer } from '../support/server-run.ts'

/** What the API has acknowledged is there after the server was killed, and what is secret cannot be read from its files. */

const timeout = 120_000
const rounds = 4
const outputsPerInput = 50

/** What a change that was under way when the server was killed would have made of a thing. */
type Change = 'deleted' | { readonly [field: string]: unknown }
/** What was answered last about one thing, as text; undefined: it was deleted. */
type Known = { acknowledged: string | undefined; underWay?: Change | undefined }

/** The last answer, or what the change under way makes of it; not what was before the last answer. */
function assertAsKnown({ acknowledged, underWay }: Known, found: string | undefined, name: string): void {
  if (found === acknowledged) return
  assert.ok(
    underWay !== undefined && acknowledged !== undefined,
    `${name} is ${found}, acknowledged was ${acknowledged}`,
  )
  if (underWay === 'deleted') assert.equal(found, undefined, name)
  else {
    assert.ok(found !== undefined, `${name} is gone`)
    const { modified: foundModified, ...is } = JSON.parse(found) as Json
    const { modified, ...was } = JSON.parse(acknowledged) as Json
    assert.deepEqual(is, { ...was, ...underWay }, name)
    assert.ok(modified === undefined || String(foundModified) > String(modified), name)
  }
}

/** Everything that was acknowledged, over all rounds: paths below live_inputs and what GET has to answer for them. */
class Ledger {
  readonly inputs = new Map<string, Known>()
  /** By the path of the input's outputs, then by uid. */
  readonly outputs = new Map<string, Map<string, Known>>()
  acknowledgements = 0
  /** Called at each acknowledgement. */
  onAcknowledged = () => {}

  /** Calls the API. What comes back has been acknowledged; when nothing comes back, the server was killed meanwhile. */
  async write(server: ServerUnderTest, method: string, path: string, body?: Json): Promise<Json> {
    const { status, json }: Answer = await server.api(method, path, body)
    assert.equal(status, 200, JSON.stringify(json))
    this.acknowledgements++
    this.onAcknowledged()
    return json.result
  }

  /** Changes a known thing. */
  async change(known: Known, change: Change, call: () => Promise<Json>): Promise<void> {
    known.underWay = change
    const result = await call()
    known.acknowledged = change === 'deleted' ? undefined : JSON.stringify(result)
    known.underWay = undefined
  }
}

/** Creates inputs, gives them meta, disables some, deletes some; until the server is gone. */
async function writeInputs(server: ServerUnderTest, ledger: Ledger, writer: string): Promise<void> {
  for (let count = 0; ; count++) {
    const created = await ledger.write(server, 'POST', '', {
      meta: { name: `${writer} ${count}`, text: 'ä€\u{1F3A5}\n"' },
    })
    const path = `/${created['uid'] as string}`
    const known: Known = { acknowledged: JSON.stringify(created) }
    ledger.inputs.set(path, known)
    const meta = { name: writer, count, list: [1, null, { deep: true }] }
    await ledger.change(known, { meta }, () => ledger.write(server, 'PUT', path, { meta }))
    if (count % 3 === 1)
      await ledger.change(known, { enabled: false }, () => ledger.write(server, 'POST', `${path}/disable`))
    if (count % 3 === 2) await ledger.change(known, 'deleted', () => ledger.write(server, 'DELETE', path))
  }
}

/** Adds outputs to an input that other writers fill, too; switches some, deletes some; until the server is gone. */
async function writeOutputs(server: ServerUnderTest, ledger: Ledger, inputUid: string, writer: string): Promise<void> {
  const path = `/${inputUid}/outputs`
  const outputs = ledger.outputs.get(path) ?? new Map<string, Known>()
  ledger.outputs.set(path, outputs)
  for (let count = 0; ; count++) {
    // Room for the others' creations that are under way.
    const isFull = [...outputs.values()].filter(({ acknowledged }) => acknowledged !== undefined).length > 40
    if (!isFull) {
      const url = `rtmp://a.example:1935/app/${writer}?b=%3D&c=${count}`
      const created = await ledger.write(server, 'POST', path, { url, streamKey: `key?${writer}=${count}&x=%3D/y` })
      outputs.set(created['uid'] as string, { acknowledged: JSON.stringify(created) })
    }
    const mine = [...outputs].filter(([, { acknowledged }]) => acknowledged?.includes(`/app/${writer}?`))
    const [uid, known] = mine[count % mine.length]!
    const one = `${path}/${uid}`
    const enabled = count % 2 === 0
    await ledger.change(known, { enabled }, () => ledger.write(server, 'PUT', one, { enabled }))
    if (isFull || count % 4 === 3) await ledger.change(known, 'deleted', () => ledger.write(server, 'DELETE', one))
  }
}

/** Everything acknowledged is there, byte for byte, and nothing else but what was under way when the server was killed. */
async function assertKept(server: ServerUnderTest, ledger: Ledger, underWayMax: number): Promise<void> {
  for (const [path, known] of ledger.inputs) {
    const { status, json } = await server.api('GET', path)
    const found = status === 200 ? JSON.stringify(json.result) : undefined
    assertAsKnown(known, found, path)
    // The next round goes on from there.
    ledger.inputs.set(path, { acknowledged: found })
  }
  const { json } = await server.api<{ uid: string }[]>('GET')
  const isKnown = (uid: string) => ledger.inputs.has(`/${uid}`) || ledger.outputs.has(`/${uid}/outputs`)
  const unknown = json.result.filter(({ uid }) => !isKnown(uid))
  assert.ok(unknown.length <= underWayMax, `${unknown.length} inputs that nobody was told of`)

  for (const [path, outputs] of ledger.outputs) {
    const listed = (await server.api<Json[]>('GET', path)).json.result
    const found = new Map(listed.map((output) => [output['uid'] as string, JSON.stringify(output)]))
    for (const [uid, known] of outputs) {
      assertAsKnown(known, found.get(uid), `${path}/${uid}`)
      outputs.set(uid, { acknowledged: found.get(uid) })
    }
    const more = [...found.keys()].filter((uid) => !outputs.has(uid))
    assert.ok(more.length <= underWayMax, `${more.length} outputs that nobody was told of`)
  }
}

test('what was acknowledged survives kill -9 in a burst of writes', { timeout }, async (t) => {
  await using server = await startServer({ settings: { MAX_LIVE_INPUTS: '100000', MAX_OUTPUTS: `${outputsPerInput}` } })
  const ledger = new Ledger()
  for (let round = 0; round < rounds; round++) {
    const shared = [(await server.createInput()).uid, (await server.createInput()).uid]
    const before = ledger.acknowledgements
    const killAt = before + 50 + Math.floor(Math.random() * 80)
    let killed: Promise<unknown> | undefined
    ledger.onAcknowledged = () => {
      if (ledger.acknowledgements >= killAt) killed ??= server.kill('SIGKILL')
    }
    const writers = [0, 1, 2, 3].flatMap((writer) => [
      writeInputs(server, ledger, `r${round}w${writer}`),
      writeOutputs(server, ledger, shared[writer % shared.length]!, `r${round}w${writer}`),
    ])
    // Each ends when its call gets no answer any more: anything else is a failure.
    for (const { reason } of (await Promise.allSettled(writers)) as PromiseRejectedResult[])
      assert.match(String((reason as Error).message), /fetch failed|does not run|terminated/, String(reason))
    await killed
    await server.start()
    await assertKept(server, ledger, writers.length * (round + 1))
    t.diagnostic(`round ${round + 1}: ${ledger.acknowledgements - before} writes acknowledged before the kill`)
  }
  await server.restart()
  await assertKept(server, ledger, 8 * rounds)
})

const secretsOf = (key: string) => [
  key,
  Buffer.from(key).toString('base64').slice(0, -4),
  Buffer.from(key).toString('hex'),
]

async function assertSealed(server: ServerUnderTest, secrets: readonly string[]): Promise<void> {
  const names = await readdir(server.dataDir)
  assert.equal((await stat(server.dataDir)).mode & 0o777, 0o700)
  for (const name of names) {
    const path = join(server.dataDir, name)
    assert.equal((await stat(path)).mode & 0o777, 0o600, name)
    const bytes = await readFile(path)
    for (const secret of secrets.flatMap(secretsOf)) assert.equal(bytes.indexOf(secret), -1, `${name} holds ${secret}`)
  }
  assert.ok(names.some((name) => name.endsWith('.sqlite')))
}

test('no key and no password stands in a file, and no other user can read one', { timeout }, async () => {
  await using server = await startServer()
  const input = await server.createInput({ meta: { name: 'this-is-no-secret' } })
  const { uid } = await server.addOutput(input.uid, {
    url: 'rtmp://a.example/app',
    streamKey: 'the-key-of-the-output',
    username: 'somebody',
    password: 'the-password-of-the-output',
  })
  const key = input.rtmps.streamKey
  const secrets = [key, key.slice(0, 32), 'the-key-of-the-output', 'the-password-of-the-output', server.token]
  await assertSealed(server, secrets)
  // What is not secret is found: the search would see the others.
  const files = (await readdir(server.dataDir)).filter((name) => name.includes('.sqlite'))
  const holds = await Promise.all(files.map((name) => readFile(join(server.dataDir, name))))
  assert.ok(holds.some((bytes) => bytes.includes('this-is-no-secret')))

  // Old values stay in a database for a while.
  const { json } = await server.api<typeof input>('POST', `/${input.uid}/rotate_keys`)
  await server.api('PUT', `/${input.uid}/outputs/${uid}`, { streamKey: 'another-key-of-the-output' })
  const later = [...secrets, json.result.rtmps.streamKey, 'another-key-of-the-output']
  await server.kill('SIGKILL')
  await assertSealed(server, later)
  await server.start()
  await server.stop()
  await assertSealed(server, later)
})

test('another SECRET_KEY, or none, is refused with a sentence, and harms nothing', { timeout }, async () => {
  await using folder = await temporaryFolder('secret-key')
  const secretKey = randomBytes(32).toString('base64')
  const dataDir = join(folder.path, 'data')
  await using server = await startServer({ settings: { DATA_DIR: dataDir, SECRET_KEY: secretKey } })
  const input = await server.createInput()
  await server.stop()
  assert.ok(!(await readdir(dataDir)).includes('secret-key'), 'a SECRET_KEY that is set must not be written down')

  const [http, rtmp, rtmps] = await freePorts(3)
  const base = {
    ...{ HTTP_HOST: '127.0.0.1', HTTP_PORT: `${http}`, RTMP_HOST: '127.0.0.1', RTMP_PORT: `${rtmp}` },
    ...{ RTMPS_PORT: `${rtmps}`, DATA_DIR: dataDir, API_TOKEN: server.token },
  }
  const wrong = randomBytes(32).toString('base64')
  const { code, stdout, stderr } = await runServer({ settings: { ...base, SECRET_KEY: wrong } })
  assert.equal(code, 2)
  assert.match(
    stderr,
    /^STREAM_CONNECT_SECRET_KEY [^\n]*is not the key that this database was encrypted with; [^\n]+\.\n$/,
  )
  assert.ok(!(stdout + stderr).includes(wrong))
  await server.start()
  assert.deepEqual(await server.input(input.uid), input)
  await server.stop()

  // The same with the key in the file: without it the database is closed, with it given back it opens.
  await using own = await startServer()
  const created = await own.createInput()
  await own.stop()
  const [file, away] = [join(own.dataDir, 'secret-key'), join(folder.path, 'secret-key')]
  await rename(file, away)
  const refused = await runServer({ settings: { ...base, DATA_DIR: own.dataDir } })
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /secret-key\) is not the key/)
  await rename(away, file)
  await own.start()
  assert.deepEqual(await own.input(created.uid), created)
})
