import type { MessagePort } from 'node:worker_threads'
import type { ResolvedAddress } from '../destination/dial.ts'
import type { IngestErrorCode } from '../errors.ts'
import type { Found, RelayEnd } from '../live/media-engine.ts'
import type { MediaSettings } from '../live/media-parts.ts'
import type { AccountId, LiveInputId, OutputId } from '../model/id.ts'
import type { InputState, OutputState } from '../model/lifecycle.ts'
import type { LiveInput, Output } from '../model/live-input.ts'
import type { Carried, LastError, ToldFigures } from '../model/status.ts'
import { Secret } from '../secret.ts'
import type { LogRecord } from './told-log.ts'

/** What a media thread is made with. */
export type ThreadData = {
  /** From 0. */
  readonly index: number
  /** To the bus of the main thread. */
  readonly busPort: MessagePort
  readonly settings: MediaSettings
  readonly logLevel: string
}

/** What the main thread asks of a media thread: an Engine, a listener, an end. */
export type CallsOfThread = {
  adopt(given: { wish: SentWish; lastErrors: readonly (readonly [OutputId, LastError])[] }): void
  update(given: SentWish): void
  release(given: LiveInputId): Promise<boolean>
  remove(given: { input: LiveInputId; reason: IngestErrorCode; withinMs: number }): Promise<void>
  retryOutput(given: { input: LiveInputId; output: OutputId }): Promise<boolean>
  takeRelay(given: RelayEnd): void
  listen(given: ListenOrder): Promise<void>
  renewCertificate(given: { port: number; cert: string; key: string }): void
  stopListening(given: undefined): void
  /** Everything has been removed before. The thread ends when its last words are out. */
  close(given: undefined): void
}

/** On a port that the other media threads listen on, too. */
export type ListenOrder = {
  readonly host: string
  readonly port: number
  readonly tls: { readonly cert: string; readonly key: string } | undefined
}

/** What a media thread asks of the main thread: EngineReports, and a look-up. */
export type CallsOfMain = {
  inputChanged(given: { account: AccountId; input: LiveInputId; state: InputState; returning: boolean }): void
  outputChanged(given: {
    account: AccountId
    input: LiveInputId
    output: OutputId
    state: OutputState
    lastError: LastError | undefined
  }): void
  figures(given: ToldFigures): void
  carried(given: Carried): void
  find(given: { input: LiveInputId; presentedKey: string }): Promise<Found>
  relayEnded(given: number): void
  log(given: LogRecord): void
  /** All threads share the system's few places for look-ups. */
  resolve(given: string): Promise<readonly ResolvedAddress[]>
}

/** A wish as text: a Secret does not survive structured clone, and shall not. */
export type SentWish = string & { readonly __brand: 'SentWish' }

/** Both threads are one process, and share its memory: nothing is gained by sealing, and what comes from ourselves is not checked again. */
export function sendWish(wish: LiveInput): SentWish {
  const outputs = wish.outputs.map(({ streamKey, password, ...output }) => ({
    ...output,
    streamKey: streamKey.reveal(),
    ...(password && { password: password.reveal() }),
  }))
  return JSON.stringify({ ...wish, streamKey: wish.streamKey.reveal(), outputs }) as SentWish
}

export function receiveWish(text: SentWish): LiveInput {
  const wish = JSON.parse(text) as Bare<LiveInput> & { readonly outputs: readonly Bare<Output>[] }
  const outputs = wish.outputs.map(({ streamKey, password, ...output }) => ({
    ...output,
    streamKey: new Secret(streamKey),
    ...(password !== undefined && { password: new Secret(password) }),
  }))
  return { ...wish, streamKey: new Secret(wish.streamKey), outputs }
}

/** With its secrets as texts. */
type Bare<T> = Omit<T, 'streamKey' | 'password' | 'outputs'> & {
  readonly streamKey: string
  readonly password?: string
}
