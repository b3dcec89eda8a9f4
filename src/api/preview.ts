import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import type { Bus } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import { isCoded } from '../errors.ts'
import type { AccountId, LiveInputId } from '../model/id.ts'
import { previewSubject } from '../model/preview.ts'
import { notFound, refused, tooMuch } from './envelope.ts'
import { previewsMax, previewsPerAccountMax, previewsPerInputMax } from './preview-limits.ts'
import type { Projection } from './projection.ts'
import type { AccountRoutes } from './routes.ts'
import { inputParams } from './schemas.ts'

export type PreviewParts = {
  readonly projection: Projection
  readonly bus: Bus
  readonly clock: Clock
  readonly previews: Previews
}

/** What may be on its way to a viewer: half a second of 8 Mbit/s. The rest waits in the broadcast's log, where it is anyway. */
const creditBytes = 512 * 1024
/** Encoders send a key frame every 2 s, some every 10. */
const keyFrameWaitMs = 15_000
/** A viewer that takes nothing for so long has gone. */
const unreadMsMax = 30_000
/** Silence after which the system asks whether the other end is still there. */
const keepAliveMs = 30_000
/** How soon a viewer whose token was revoked sees nothing more. */
const rightsCheckMs = 1_000
const retryAfterSeconds = 5

const flv = {
  description: 'Live HTTP-FLV, for as long as both sides like.',
  content: { 'video/x-flv': { schema: z.string() } },
}
const headers = {
  'content-type': 'video/x-flv',
  'cross-origin-resource-policy': 'same-origin',
  'x-accel-buffering': 'no',
}
const schema = { params: inputParams, response: { 200: flv } }

/** Who watches: counted, and ended with the API. Owned by it. */
export class Previews {
  readonly #viewers = new Map<AbortController, { readonly account: AccountId; readonly input: LiveInputId }>()

  /** @throws Refusal 11429. The place is given back by `leave`. */
  enter(account: AccountId, input: LiveInputId): AbortController {
    let ofInput = 0
    let ofAccount = 0
    for (const other of this.#viewers.values()) {
      if (other.input === input) ofInput++
      if (other.account === account) ofAccount++
    }
    if (ofInput >= previewsPerInputMax)
      throw tooMuch(
        `${previewsPerInputMax} people watch this live input already, the most at once. Close one of their previews.`,
        retryAfterSeconds,
      )
    if (ofAccount >= previewsPerAccountMax)
      throw tooMuch(
        `${previewsPerAccountMax} previews of this account are open already, the most at once. Close one of them.`,
        retryAfterSeconds,
      )
    if (this.#viewers.size >= previewsMax)
      throw tooMuch(
        `${previewsMax} previews of this server are open already, the most at once. Close one of them.`,
        retryAfterSeconds,
      )
    const leaving = new AbortController()
    this.#viewers.set(leaving, { account, input })
    return leaving
  }

  leave(viewer: AbortController): void {
    this.#viewers.delete(viewer)
    viewer.abort()
  }

  get count(): number {
    return this.#viewers.size
  }

  close(): void {
    for (const viewer of [...this.#viewers.keys()]) this.leave(viewer)
  }
}

/** What arrives at a live input, as it arrives: for people who want to see it, and players that read FLV over HTTP. */
export function addPreviewRoutes(routes: AccountRoutes, { projection, bus, clock, previews }: PreviewParts): void {
  routes.get(
    '/accounts/:account_id/stream/live_inputs/:input_id/preview.flv',
    { schema },
    async ({ params: { account_id, input_id }, principal, method }, reply): Promise<never> => {
      if (projection.find(account_id, input_id) === undefined) throw notFound('live input', input_id)
      if (method === 'HEAD') return reply.type('video/x-flv').send('') as never
      const viewer = previews.enter(account_id, input_id)
      const { signal } = viewer
      const response = reply.raw
      response.once('close', () => previews.leave(viewer))
      const bytes = bus.stream(previewSubject(input_id), null, { creditBytes, signal })[Symbol.asyncIterator]()
      try {
        const first = await firstOf(bytes, viewer, clock)
        if (first === undefined) throw refused(404)
        reply.hijack()
        // While the input is held nothing is sent, for as long as its encoder is waited for; a viewer who is gone is found by the system.
        response.socket?.setTimeout(0).setKeepAlive(true, keepAliveMs)
        for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...headers }))
          if (value !== undefined) response.setHeader(name, value)
        watchRights(() => principal.mayUse(account_id, 'read'), viewer, clock)
        await send(response, first, bytes, viewer, clock)
        return reply as never
      } finally {
        previews.leave(viewer)
      }
    },
  )
}

/** @returns undefined when nothing is live, or no key frame comes. */
async function firstOf(
  bytes: AsyncIterator<Uint8Array>,
  viewer: AbortController,
  clock: Clock,
): Promise<Uint8Array | undefined> {
  const cancel = clock.after(keyFrameWaitMs, () => viewer.abort())
  try {
    const { done, value } = await bytes.next()
    return done ? undefined : value
  } catch (error) {
    if (isCoded(error, 'no_responder')) return undefined
    throw error
  } finally {
    cancel()
  }
}

/** Ends with the stream, the viewer, or a viewer that does not read. */
async function send(
  response: ServerResponse,
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  viewer: AbortController,
  clock: Clock,
): Promise<void> {
  const { signal } = viewer
  try {
    for (let next: IteratorResult<Uint8Array> = { value: first }; !next.done && !signal.aborted; ) {
      if (!response.write(next.value)) {
        const cancel = clock.after(unreadMsMax, () => {
          viewer.abort()
          response.destroy()
        })
        await once(response, 'drain', { signal }).finally(cancel)
      }
      next = await rest.next()
    }
    response.end()
  } catch {
    // In the middle of a body there is no way to say why, and whoever left needs not to be told.
    if (signal.aborted) response.end()
    else response.destroy()
  } finally {
    await rest.return?.()
  }
}

function watchRights(mayWatch: () => boolean, viewer: AbortController, clock: Clock): void {
  const look = () => {
    if (viewer.signal.aborted) return
    if (!mayWatch()) return viewer.abort()
    cancel = clock.after(rightsCheckMs, look)
  }
  let cancel = clock.after(rightsCheckMs, look)
  viewer.signal.addEventListener('abort', () => cancel(), { once: true })
}
