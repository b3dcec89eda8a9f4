import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { makeClip, publishWithFfmpeg } from '../support/ffmpeg.ts'
import { type NginxRtmp, startNginxRtmp } from '../support/nginx-rtmp.ts'
import { type RunningProgram, runProgram } from '../support/processes.ts'
import { type CreatedInput, type ServerOptions, type ServerUnderTest, startServer } from '../support/server.ts'
import { openBrowser, Visitor, type VisitorOptions } from './browser.ts'

/** Four programs start at once, on a machine that may have much else to do. */
export const readyDeadlineMs = 120_000

const repository = join(import.meta.dirname, '../..')

/** The dashboard as it stands in the sources, in web/dist: seconds the first time, and nothing when it is there already. */
export async function buildDashboard(): Promise<void> {
  await runProgram(process.execPath, [join(repository, 'scripts/build-dashboard.mjs')], { deadlineMs: 300_000 })
}

/** Where all scenes play: one server, one browser, one nginx-rtmp as destination. Each scene has live inputs of its own. */
export class Stage implements AsyncDisposable {
  readonly server: ServerUnderTest
  readonly browser: Browser
  readonly nginx: NginxRtmp
  readonly #clip: string
  readonly #stack: AsyncDisposableStack

  private constructor(
    parts: { server: ServerUnderTest; browser: Browser; nginx: NginxRtmp; clip: string },
    stack: AsyncDisposableStack,
  ) {
    this.server = parts.server
    this.browser = parts.browser
    this.nginx = parts.nginx
    this.#clip = parts.clip
    this.#stack = stack
  }

  /** @param options of the server. It looks up no names but `hosts`, so that a preset's platform is never asked. */
  static async open(options: ServerOptions = {}): Promise<Stage> {
    await using opened = new AsyncDisposableStack()
    await buildDashboard()
    const [clip, server, browser, nginx] = await Promise.all([
      makeClip({ seconds: 10, size: '640x360', videoKbps: 600 }),
      startServer({ hosts: {}, readyDeadlineMs, ...options }).then((one) => opened.use(one)),
      openBrowser().then((one) => opened.adopt(one, (browser) => browser.close())),
      startNginxRtmp({ record: false }).then((one) => opened.use(one)),
    ])
    return new Stage({ clip, server, browser, nginx }, opened.move())
  }

  /** A person who has signed in: with the token of the tests, or another. */
  async visitor(options: VisitorOptions & { readonly token?: string } = {}, server = this.server): Promise<Visitor> {
    const visitor = await Visitor.enter(this.browser, server.origin, options)
    const answer = await visitor.page.request.post('/dashboard/session', {
      data: { token: options.token ?? server.token },
      headers: { 'x-stream-connect': 'dashboard', origin: server.origin },
    })
    if (answer.status() !== 200) throw new Error(`signing in answered ${answer.status()}: ${await answer.text()}`)
    return visitor
  }

  /** Ended with the stage. */
  use(thing: AsyncDisposable): void {
    this.#stack.use(thing)
  }

  /** FFmpeg sends to the input until it is stopped. */
  async encode(input: CreatedInput, server = this.server): Promise<RunningProgram> {
    return publishWithFfmpeg(this.#clip, `${server.rtmpUrl}/${input.rtmps.streamKey}`, {
      loops: Number.POSITIVE_INFINITY,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** Addresses of the pages, below the server's. */
export const pages = {
  inputs: ({ accountId }: ServerUnderTest) => `/#/${accountId}/inputs`,
  input: ({ accountId }: ServerUnderTest, { uid }: { readonly uid: string }) => `/#/${accountId}/inputs/${uid}`,
  settings: ({ accountId }: ServerUnderTest) => `/#/${accountId}/settings`,
}

/** A part of what is played: adds its tests. The stage is there when they run. */
export type Scenes = (stage: () => Stage) => void

/** Only a scene that hangs takes so long. */
export const sceneMs = 300_000
