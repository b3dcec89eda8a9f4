import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { DashboardSession, ServerFacts } from '../../src/api/dashboard-types.ts'
import type { PreflightReport, PreflightStep } from '../../src/model/preflight.ts'
import { startDestination } from '../support/destination.ts'
import { decodesCleanly, makeClip, publishWithFfmpeg, sentByFfmpeg } from '../support/ffmpeg.ts'
import { decodeFlv, type FlvTag, isKeyFrame, isSequenceHeader, isVideo, readFlv } from '../support/flv.ts'
import { comparePackets, packetsOf, streamsOf } from '../support/packets.ts'
import { runProgram, type TemporaryFolder, temporaryFolder, waitFor, within } from '../support/processes.ts'
import { publish } from '../support/publisher.ts'
import { needs } from '../support/requirements.ts'
import { type CreatedInput, type ServerUnderTest, startServer } from '../support/server.ts'
import { environmentWith, type StartedRun, startRun } from '../support/server-run.ts'

/** What the dashboard's pages need of the server, as a browser and a player get it from the real one. */

const timeout = 60_000
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const hevcFixture = fileURLToPath(new URL('../fixtures/flv/hevc.flv', import.meta.url))
const ours = { 'x-stream-connect': 'dashboard', 'sec-fetch-site': 'same-origin' }

/** No header, no colours (Enhanced RTMP's metadata), no end. */
const isPicture = (tag: FlvTag) => isVideo(tag) && !isSequenceHeader(tag) && ![0x82, 0x84].includes(tag.body[0]! & 0x8f)
const hexOf = ({ body }: FlvTag) => body.toString('hex')

/** A viewer that keeps what it gets. */
class Viewer implements AsyncDisposable {
  readonly #answer: IncomingMessage
  readonly #pieces: Buffer[] = []
  readonly ended: Promise<void>

  constructor(answer: IncomingMessage) {
    this.#answer = answer
    answer.on('data', (piece: Buffer) => this.#pieces.push(piece))
    this.ended = new Promise((resolve, reject) => {
      answer.once('end', resolve).once('error', reject)
    })
    this.ended.catch(() => {})
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  get tags(): FlvTag[] {
    return this.#pieces.length === 0 ? [] : decodeFlv(this.bytes)
  }

  pause(): void {
    this.#answer.pause()
  }

  resume(): void {
    this.#answer.resume()
  }

  pictures(): number {
    return this.tags.filter(isPicture).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#answer.destroy()
  }
}

function askPreview(server: ServerUnderTest, input: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const url = `${server.baseUrl}/accounts/${server.accountId}/stream/live_inputs/${input}/preview.flv`
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, resolve).once('error', reject)
  })
}

const bearerOf = (server: ServerUnderTest) => ({ authorization: `Bearer ${server.token}` })

/** Waits until there is something to see. */
async function watch(server: ServerUnderTest, input: string): Promise<Viewer> {
  return waitFor('the preview to begin', async () => {
    const answer = await askPreview(server, input, bearerOf(server))
    if (answer.statusCode === 200) return new Viewer(answer)
    answer.resume()
    assert.equal(answer.statusCode, 404)
    return undefined
  })
}

const urlWithKey = (server: ServerUnderTest, input: CreatedInput) => `${server.rtmpUrl}/${input.rtmps.streamKey}`

for (const threads of ['1', '2'])
  describe(`preview.flv with MEDIA_THREADS=${threads}`, { concurrency: true }, () => {
    let server: ServerUnderTest
    let folder: TemporaryFolder
    before(async () => {
      folder = await temporaryFolder('preview')
      server = await startServer({ settings: { MEDIA_THREADS: threads, RECONNECT_WINDOW: '20' } })
    })
    after(async () => {
      await server?.[Symbol.asyncDispose]()
      await folder?.[Symbol.asyncDispose]()
    })

    test('ffmpeg’s feed, bit for bit from a key frame on, to its very end', {
      ...needs('ffmpeg'),
      timeout,
    }, async () => {
      const clip = await makeClip({ seconds: 6, gop: 30 })
      const expected = await sentByFfmpeg(clip)
      const input = await server.createInput()
      await using encoder = await publishWithFfmpeg(clip, urlWithKey(server, input))
      await using viewer = await watch(server, input.uid)
      await encoder.exited
      await within('the end of the preview', viewer.ended, 20_000)
      const file = join(folder.path, 'preview.flv')
      await writeFile(file, viewer.bytes)
      const { video } = comparePackets(await packetsOf(expected), await packetsOf(file), { untilEnd: true })
      assert.ok(video > 60, `only ${video} pictures`)
      const headers = async (path: string) => (await streamsOf(path)).map(({ headerMd5 }) => headerMd5).toSorted()
      assert.deepEqual(await headers(file), await headers(expected))
      await decodesCleanly(file)
      // Below any demuxer: every body is one that was sent.
      const sent = new Set((await readFlv(expected)).map(({ body }) => body.toString('latin1')))
      const foreign = viewer.tags.filter(({ type, body }) => type !== 18 && !sent.has(body.toString('latin1')))
      assert.deepEqual(foreign, [])
    })

    test('FFmpeg plays the url itself', { ...needs('ffmpeg'), timeout }, async () => {
      const clip = await makeClip({ seconds: 6, gop: 30 })
      const input = await server.createInput()
      await using encoder = await publishWithFfmpeg(clip, urlWithKey(server, input), {
        loops: Number.POSITIVE_INFINITY,
      })
      await using _viewer = await watch(server, input.uid)
      const url = `${server.baseUrl}/accounts/${server.accountId}/stream/live_inputs/${input.uid}/preview.flv`
      const asPerson = ['-headers', `Authorization: Bearer ${server.token}\r\n`, '-i', url]
      const probed = await runProgram('ffprobe', [
        ...['-v', 'error', '-of', 'json', '-show_entries', 'stream=codec_name,width,height', ...asPerson],
      ])
      const { streams } = JSON.parse(probed.stdout) as { streams: Record<string, unknown>[] }
      assert.deepEqual(streams.map(({ codec_name: name }) => name).toSorted(), ['aac', 'h264'])
      assert.ok(streams.some(({ width, height }) => width === 640 && height === 360))
      const decoded = await runProgram('ffmpeg', [
        '-nostdin',
        '-v',
        'error',
        '-xerror',
        ...asPerson,
        '-t',
        '1',
        '-f',
        'null',
        '-',
      ])
      assert.equal(decoded.stderr.trim(), '')
      await encoder.stop()
    })

    test('Enhanced RTMP as it comes; the preview goes on while the input is held, and ends with it', {
      timeout,
    }, async () => {
      const tags = await readFlv(hevcFixture)
      const pictures = tags.filter(isPicture)
      const input = await server.createInput()
      const first = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      for (const { type, timestamp, body } of tags) first.send(type, timestamp, body)
      await using viewer = await watch(server, input.uid)
      await waitFor('a picture', () => viewer.pictures() > 0)
      const before = viewer.tags
      const header = before.find((tag) => isVideo(tag) && isSequenceHeader(tag))
      assert.equal(header?.body.subarray(1, 5).toString(), 'hvc1')
      assert.deepEqual(header?.body, tags.find((tag) => isVideo(tag) && isSequenceHeader(tag))?.body)
      const start = before.find(isKeyFrame)
      assert.equal(start?.timestamp, 0)
      const from = pictures.findLastIndex((tag) => isKeyFrame(tag))
      await waitFor('all pictures from the key frame on', () => viewer.pictures() >= pictures.length - from)
      assert.deepEqual(viewer.tags.filter(isPicture).map(hexOf), pictures.slice(from).map(hexOf))

      first.vanish()
      await waitFor('the input to be held', async () => {
        const { status } = (await server.input(input.uid)) as { status?: { current?: { reason?: string } } }
        return status?.current?.reason === 'reconnecting'
      })
      const held = await askPreview(server, input.uid, bearerOf(server))
      assert.equal(held.statusCode, 200)
      held.destroy()
      const seen = viewer.pictures()
      await using second = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      for (const { type, timestamp, body } of tags) second.send(type, timestamp, body)
      await waitFor('pictures of the encoder that came back', () => viewer.pictures() >= seen + pictures.length)
      const times = viewer.tags.filter(isVideo).map(({ timestamp }) => timestamp)
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      )
      await second.goodbye()
      await within('the end of the preview', viewer.ended, 20_000)
      const over = await askPreview(server, input.uid, bearerOf(server))
      assert.equal(over.statusCode, 404)
      over.resume()
    })

    test('a viewer who does not read stops nobody, and goes on with the newest', { timeout }, async () => {
      const input = await server.createInput()
      await using encoder = await publish({ url: server.rtmpUrl, key: input.rtmps.streamKey })
      const filler = Buffer.alloc(100_000, 0xcc)
      const picture = (index: number) =>
        Buffer.concat([Buffer.of(index % 10 === 0 ? 0x17 : 0x27, 1, 0, 0, 0, index >> 8, index & 255), filler])
      encoder.send(9, 0, Buffer.from('17000000000142001e', 'hex'))
      encoder.send(9, 0, picture(0))
      await using viewer = await watch(server, input.uid)
      await waitFor('the first picture', () => viewer.pictures() === 1)
      viewer.pause()
      const count = 300
      for (let index = 1; index <= count; index++) encoder.send(9, index * 33, picture(index))
      await waitFor('all of it to have arrived', async () => {
        const { health } = (await server.input(input.uid)) as { health?: { bytesReceived?: number } }
        return (health?.bytesReceived ?? 0) > count * filler.length
      })
      viewer.resume()
      const last = picture(count)
      await waitFor('the newest picture', () => viewer.tags.some(({ body }) => body.equals(last)))
      assert.ok(viewer.pictures() < count, 'nothing was left out: it was kept for this viewer')
      const times = viewer.tags.map(({ timestamp }) => timestamp)
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      )
      await encoder.goodbye()
      await within('the end of the preview', viewer.ended, 20_000)
    })
  })

test('a try-out tells each step as it happens', { timeout }, async () => {
  await using server = await startServer()
  const destination = await startDestination()
  const input = await server.createInput()
  const ask = async (url: string) => {
    const answer = await fetch(
      `${server.baseUrl}/accounts/${server.accountId}/stream/live_inputs/${input.uid}/outputs/test`,
      {
        method: 'POST',
        headers: { ...bearerOf(server), accept: 'application/x-ndjson', connection: 'close' },
        body: JSON.stringify({ url, streamKey: 'a-key' }),
      },
    )
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson')
    const lines = (await answer.text()).trimEnd().split('\n')
    return lines.map((line) => JSON.parse(line) as { begun?: string; ended?: PreflightStep; result?: PreflightReport })
  }
  const lines = await ask(destination.url())
  await destination.stop()
  const names = ['resolve', 'connect_tcp', 'handshake', 'connect_rtmp']
  assert.deepEqual(
    lines.slice(0, -1).map(({ begun, ended }) => begun ?? `${ended?.name} ${ended?.ok}`),
    names.flatMap((name) => [name, `${name} true`]),
  )
  assert.deepEqual(lines.at(-1)?.result, { ok: true, steps: lines.flatMap(({ ended }) => ended ?? []) })

  const refused = await ask(destination.url())
  assert.equal(refused.at(-1)?.result?.ok, false)
  assert.deepEqual(refused.at(-2)?.ended?.code, 'connection_refused')
})

async function cookieOf(run: StartedRun, body: object): Promise<{ cookie: string; session: DashboardSession }> {
  const answer = await fetch(`http://localhost:${run.ports.http}/dashboard/session`, {
    method: 'POST',
    headers: { ...ours, connection: 'close' },
    body: JSON.stringify(body),
  })
  const { result } = (await answer.json()) as { result: DashboardSession }
  assert.equal(answer.status, 200)
  return { cookie: answer.headers.get('set-cookie')!.split(';', 1)[0]!, session: result }
}

test('the first start prints a link that signs in once; a command makes another', { timeout }, async () => {
  await using run = await startRun({ settings: { LOG_LEVEL: 'trace' } })
  const origin = `http://localhost:${run.ports.http}`
  const printed = /^ {2}Sign in {4}(\S+)/m.exec(run.program.output)?.[1]
  assert.match(run.program.output, new RegExp(`^ {2}Dashboard {2}${origin}/$`, 'm'))
  const [, once] = new RegExp(`^${origin}/#/sign-in\\?once=([\\w-]{43})$`).exec(printed ?? '') ?? []
  const { cookie, session } = await cookieOf(run, { once })
  assert.deepEqual(session.allAccounts, ['read', 'write', 'manage'])
  const ask = async (path: string, headers: Record<string, string> = { cookie }) => {
    const answer = await fetch(`${origin}${path}`, { headers: { ...headers, connection: 'close' } })
    return { status: answer.status, result: ((await answer.json()) as { result: unknown }).result }
  }
  const account = session.accounts[0]?.id
  assert.deepEqual(await ask(`/client/v4/accounts/${account}/stream/live_inputs`), { status: 200, result: [] })
  const facts = (await ask('/dashboard/server')).result as ServerFacts
  assert.equal(facts.addresses.rtmp, `rtmp://localhost:${run.ports.rtmp}/live/`)
  assert.equal(facts.addresses.http, origin)
  assert.equal(facts.certificate?.selfSigned, true)
  assert.equal(facts.limits.outputsPerLiveInput, 50)
  assert.ok(!JSON.stringify(facts).includes(run.dataDir))
  const again = await fetch(`${origin}/dashboard/session`, {
    method: 'POST',
    headers: { ...ours, connection: 'close' },
    body: JSON.stringify({ once }),
  })
  assert.equal(again.status, 403)

  const typed = await promisify(execFile)(process.execPath, [mainFile, 'sign-in-link'], {
    env: environmentWith({ DATA_DIR: run.dataDir }),
  })
  const [, made] = new RegExp(`^${origin}/#/sign-in\\?once=([\\w-]{43})\n$`).exec(typed.stdout) ?? []
  assert.match(typed.stderr, /It works once/)
  assert.equal((await cookieOf(run, { once: made })).session.token.id, session.token.id)

  assert.equal((await run.program.stop()).code, 0)
  const logged = run.program.output.split('\n').filter((line) => line.startsWith('{'))
  assert.ok(logged.length > 3)
  for (const secret of [once!, made!, cookie.split('=')[1]!]) assert.ok(logged.every((line) => !line.includes(secret)))
})

test('a first start with API_TOKEN prints a link; a later one prints none, and has forgotten who was signed in', {
  timeout,
}, async () => {
  await using server = await startServer()
  assert.match(server.program.output, /^ {2}Sign in {4}http\S+\?once=[\w-]{43} /m)
  const signIn = await fetch(`${server.origin}/dashboard/session`, {
    method: 'POST',
    headers: { ...ours, connection: 'close' },
    body: JSON.stringify({ token: server.token }),
  })
  const cookie = signIn.headers.get('set-cookie')!.split(';', 1)[0]!
  const status = async () =>
    (await fetch(`${server.origin}/dashboard/session`, { headers: { cookie, connection: 'close' } })).status
  assert.equal(await status(), 200)
  await server.restart()
  assert.ok(!server.program.output.includes('once='))
  assert.equal(await status(), 401)
})
