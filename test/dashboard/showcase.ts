import { type Destination, startDestination } from '../support/destination.ts'
import { publishWithFfmpeg } from '../support/ffmpeg.ts'
import { runProgram, type TemporaryFolder, temporaryFolder } from '../support/processes.ts'
import type { CreatedInput } from '../support/server.ts'
import { testCa } from '../support/tls.ts'
import { startReceiver } from './receiver.ts'
import { Stage } from './stage.ts'

const facebookHost = 'live-api-s.facebook.com'
const kickHost = 'fa723fc1b171.global-contribute.live-video.net'
/** The platforms' names lead to destinations on this machine. */
const hosts = { 'a.rtmp.youtube.com': '127.0.0.1', [facebookHost]: '127.0.0.1', [kickHost]: '127.0.0.1' }

/** A control room on a Sunday morning: what a screenshot shows. Everything in it is real but the platforms. */
export class Showcase implements AsyncDisposable {
  readonly stage: Stage
  readonly main: CreatedInput
  readonly facebookUrl: string
  readonly #stack: AsyncDisposableStack

  private constructor(stage: Stage, main: CreatedInput, facebookUrl: string, stack: AsyncDisposableStack) {
    this.stage = stage
    this.main = main
    this.facebookUrl = facebookUrl
    this.#stack = stack
  }

  static async open(): Promise<Showcase> {
    await using opened = new AsyncDisposableStack()
    const folder = opened.use(await temporaryFolder('showcase'))
    const authority = opened.use(await testCa())
    const stage = opened.use(await Stage.open({ hosts, env: { NODE_EXTRA_CA_CERTS: authority.caPem } }))
    const [facebook, kick] = await Promise.all([authority.serverCert(facebookHost), authority.serverCert(kickHost)])
    const [friendly, secure, refusing, slow] = await Promise.all([
      startDestination({ recording: 'counts' }),
      startDestination({ recording: 'counts', tls: facebook }),
      startDestination({ tls: kick, behaviour: { closeAfterPublishMs: 700 } }),
      startDestination({ recording: 'counts', behaviour: { readKbps: 4_200 } }),
    ])
    for (const destination of [friendly, secure, refusing, slow]) opened.use(destination)
    const { server } = stage
    const receiver = opened.use(await startReceiver())
    await addWebhook(stage, receiver.url)
    for (const name of ['Scheduler', 'Grafana'])
      await server.api('POST', `/client/v4/accounts/${server.accountId}/tokens`, {
        name,
        scopes: name === 'Grafana' ? ['Stream Read'] : ['Stream Read', 'Stream Write'],
        ...(name === 'Scheduler' && { expires_on: new Date(Date.now() + 90 * 86_400_000).toISOString() }),
      })

    for (const name of ['Chapel', 'Youth hall', 'Training']) {
      const input = await server.createInput({ meta: { name }, enabled: name !== 'Training' })
      await server.addOutput(input.uid, { url: stage.nginx.url(), streamKey: name.replaceAll(' ', '-') })
    }
    const lost = await server.createInput({ meta: { name: 'Roof camera' }, reconnectWindowSeconds: 3_600 })
    await server.addOutput(lost.uid, { url: stage.nginx.url(), streamKey: 'roof' })
    const second = await server.createInput({ meta: { name: 'Sign language' } })
    await server.addOutput(second.uid, { url: stage.nginx.url(), streamKey: 'signs' })
    const main = await server.createInput({ meta: { name: 'Sunday service' } })
    const facebookUrl = urlAt(secure, 'rtmps', facebookHost, 'rtmp')
    const outputs = [
      {
        name: 'YouTube',
        url: urlAt(friendly, 'rtmp', 'a.rtmp.youtube.com', 'live2'),
        streamKey: 'abcd-efgh-ijkl-mnop-qrst',
      },
      { name: 'Facebook', url: facebookUrl, streamKey: 'FB-1234567890-0-Abcdefghijklmnop' },
      { name: 'Kick', url: urlAt(refusing, 'rtmps', kickHost, ''), streamKey: 'sk_us-west-2_abcdefghijkl' },
      { name: 'Parish hall', url: slow.url(), streamKey: 'hall' },
      { name: 'Archive', url: stage.nginx.url(), streamKey: 'archive' },
      { name: 'Twitch', url: 'rtmps://live.twitch.tv/app', streamKey: 'live_1234_abcdefghij', enabled: false },
    ]
    for (const output of outputs) await server.addOutput(main.uid, output)

    const clip = await makePicture(folder)
    const send = async (input: CreatedInput) =>
      opened.use(
        await publishWithFfmpeg(clip, `${server.rtmpUrl}/${input.rtmps.streamKey}`, {
          loops: Number.POSITIVE_INFINITY,
        }),
      )
    const vanishing = await send(lost)
    await Promise.all([send(second), send(main)])
    await server.waitForOutput(lost.uid, (await server.outputs(lost.uid))[0]!.uid, { state: 'connected' }, 60_000)
    await vanishing.kill()
    return new Showcase(stage, main, facebookUrl, opened.move())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

function urlAt({ port }: Destination, scheme: string, host: string, app: string): string {
  return `${scheme}://${host}:${port}${app === '' ? '' : `/${app}`}`
}

async function addWebhook({ server }: Stage, url: string): Promise<void> {
  const alerting = `/client/v4/accounts/${server.accountId}/alerting/v3`
  const made = await server.api<{ id: string }>('POST', `${alerting}/destinations/webhooks`, { name: 'Team chat', url })
  await server.api('POST', `${alerting}/policies`, {
    name: 'Team chat',
    alert_type: 'stream_live_notifications',
    enabled: true,
    mechanisms: { webhooks: [{ id: made.json.result.id }] },
    filters: { event_type: ['live_input.connected', 'live_input.disconnected', 'output.error'] },
  })
}

/** Coloured light that moves slowly, and a tone: 720p30 at a constant 4.5 Mbit/s with a key frame every 2 s. */
async function makePicture({ path }: TemporaryFolder): Promise<string> {
  const file = `${path}/light.flv`
  const colours = 'c0=0x14183d:c1=0x5b3aa6:c2=0xd45d79:c3=0xf4b96a'
  const light = `gradients=size=1280x720:rate=30:duration=10:speed=0.004:nb_colors=4:x0=0:y0=720:x1=1280:y1=0:${colours}`
  const rate = ['-b:v', '4500k', '-minrate', '4500k', '-maxrate', '4500k', '-bufsize', '2250k']
  const steady = 'nal-hrd=cbr:force-cfr=1:keyint=60:min-keyint=60:scenecut=0'
  await runProgram(
    'ffmpeg',
    [
      ...['-hide_banner', '-nostdin', '-v', 'error', '-y', '-f', 'lavfi', '-i', `${light},format=yuv420p`],
      ...['-f', 'lavfi', '-i', 'sine=frequency=330:sample_rate=48000', '-t', '10'],
      ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-x264-params', steady, ...rate],
      ...['-c:a', 'aac', '-b:a', '128k', '-ac', '2', '-f', 'flv', '-flvflags', 'no_duration_filesize', file],
    ],
    { deadlineMs: 180_000 },
  )
  return file
}
