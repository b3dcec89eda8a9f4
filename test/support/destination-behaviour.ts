import { createHash } from 'node:crypto'
import type { AmfObject } from './amf0.ts'

/** How a fake destination behaves. What is not given is as a friendly server has it. All can be combined. */
export type Behaviour = {
  /** Takes the TCP connection and never says anything. */
  readonly silent?: boolean
  /**
   * To `publish`. `start_then_bad_name` is nginx-rtmp's "already publishing"; `start_then_failed` says that it cannot go on, and leaves the
   * closing to the client. Default `start`.
   */
  readonly answerPublish?: 'start' | 'never' | 'bad_name' | 'start_then_bad_name' | 'start_then_failed' | Refusal
  /** To releaseStream and FCPublish: nginx-rtmp answers nothing, others `_error`. Default `result`. */
  readonly answerReleaseStream?: 'result' | 'error' | 'nothing'
  /** SRS: once it had releaseStream it answers createStream only after FCPublish. */
  readonly wantsFcPublish?: boolean
  /**
   * Sends what nobody asked for: bandwidth checks (Flash Media Server), further statuses (SRS), user control events and commands that
   * are in no specification.
   */
  readonly chatters?: boolean
  /** All replies carry transaction id 0. */
  readonly transactionIdZero?: boolean
  /** Closes so long after `publish`, without a word. */
  readonly closeAfterPublishMs?: number
  /** Resets each connection so long after it came. */
  readonly resetAfterMs?: number
  /** Reads nothing more after so many bytes (of the whole connection). */
  readonly stopReadingAfterBytes?: number
  /** Reads at this rate. */
  readonly readKbps?: number
  /** Sends so many `_checkbw` commands a second from connect on. */
  readonly floodCommandsPerSecond?: number
  /** Refuses connect, with these words. */
  readonly refuseConnect?: string
  /** Answers connect with a 302 to this address. */
  readonly redirectTo?: string
  /** SRS has the stream's name behind the address, in a field of another name. */
  readonly redirectWithName?: string
  readonly authentication?: { readonly mode: 'adobe' | 'llnw'; readonly username: string; readonly password: string }
  /**
   * `when_announced` (default): after half the window that the client announced, as nginx-rtmp; `always`: every 1.25 MB;
   * `incremental`: the bytes since the last one in place of the sum, as YouTube; `none`.
   */
  readonly acknowledgements?: 'when_announced' | 'always' | 'incremental' | 'none'
  /** Sends a ping request so often after publish; `connection.pongs` counts the answers. */
  readonly pingEveryMs?: number
  /** What it announces. Default 4,096. */
  readonly chunkSize?: number
  /** Further fields of the second object of connect's `_result`: Enhanced RTMP's capabilities, for example. */
  readonly connectResult?: AmfObject
}

export type Refusal = { readonly code: string; readonly description?: string; readonly level?: string }

/** The platforms' documented manners. */
export const platforms = {
  youtube: { acknowledgements: 'incremental', answerReleaseStream: 'result' },
  /** A wrong key: no message, the connection just ends. */
  twitchWrongKey: { closeAfterPublishMs: 500 },
  twitchWrongKeyAtOnce: { answerPublish: 'never', closeAfterPublishMs: 50 },
  tiktokExpired: { answerPublish: { code: 'NetStream.Publish.InvalidSign', description: 'invalid sign' } },
  facebookEnded: { answerPublish: { code: 'NetStream.Publish.Failed', description: 'Initialization failed' } },
  nginxBusy: { answerPublish: 'start_then_bad_name', answerReleaseStream: 'nothing' },
  nginx: { answerReleaseStream: 'nothing', acknowledgements: 'when_announced' },
  flashMediaServerBusy: {
    answerPublish: { code: 'NetStream.Publish.BadName', description: 'Already publishing' },
    closeAfterPublishMs: 100,
  },
  transactionIdZero: { transactionIdZero: true },
  twitch: { pingEveryMs: 200, acknowledgements: 'always' },
  srs: { wantsFcPublish: true, chatters: true, chunkSize: 60_000 },
  wowza: { chunkSize: 512, chatters: true },
} as const satisfies Record<string, Behaviour>

/** Enough of a challenge for one fake server: fixed, so that a test can read along. */
const salt = 'c2FsdA=='
const challenge = 'Y2hhbGxlbmdl'
const opaque = 'b3BhcXVl'
const nonce = 'bm9uY2U='

export type Verdict = { readonly accepted: true } | { readonly accepted: false; readonly description: string }

/**
 * The three connects of Adobe's and Limelight's login, told from the query of `app`. Each rejected one is followed by a close.
 * Source: what librtmp and FFmpeg compute on the client's side.
 */
export function authenticate(app: string, login: NonNullable<Behaviour['authentication']>): Verdict {
  const reject = (description: string): Verdict => ({
    accepted: false,
    description: `[ AccessManager.Reject ] : ${description}`,
  })
  const [path = '', query = ''] = app.split('?', 2)
  const given = new Map(
    query.split('&').map((pair) => {
      const at = pair.indexOf('=')
      // Verbatim: clients do not URL-encode here.
      return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
  const { mode, username, password } = login
  if (given.get('authmod') !== mode) return reject(`[ code=403 need auth; authmod=${mode} ] : `)
  const user = given.get('user') ?? ''
  const response = given.get('response')
  if (response === undefined) {
    const rest = mode === 'adobe' ? `salt=${salt}&challenge=${challenge}&opaque=${opaque}` : `nonce=${nonce}`
    return reject(`[ authmod=${mode} ] : ?reason=needauth&user=${user}&${rest}`)
  }
  if (user !== username) return reject(`[ authmod=${mode} ] : ?reason=nosuchuser`)
  const expected = mode === 'adobe' ? adobeResponse(given, user, password) : llnwResponse(given, path, user, password)
  return response === expected ? { accepted: true } : reject(`[ authmod=${mode} ] : ?reason=authfailed`)
}

function adobeResponse(given: ReadonlyMap<string, string>, user: string, password: string): string {
  const md5 = (text: string) => createHash('md5').update(text).digest('base64')
  return md5(`${md5(`${user}${salt}${password}`)}${opaque}${given.get('challenge') ?? ''}`)
}

function llnwResponse(given: ReadonlyMap<string, string>, path: string, user: string, password: string): string {
  const md5 = (text: string) => createHash('md5').update(text).digest('hex')
  const uri = `/${path}${path.includes('/') ? '' : '/_definst_'}`
  const count = given.get('nc') ?? ''
  const clientNonce = given.get('cnonce') ?? ''
  return md5(`${md5(`${user}:live:${password}`)}:${nonce}:${count}:${clientNonce}:auth:${md5(`publish:${uri}`)}`)
}
