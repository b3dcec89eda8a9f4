import type { InputWarningCode } from '../errors.ts'
import type { InputHealth, ToldFigures } from '../model/status.ts'

/** Cloudflare's codes of `live_input.errored` that can apply here; docs/webhooks.md says why the others cannot. */
export type FeedTroubleCode = 'ERR_GOP_OUT_OF_RANGE' | 'ERR_UNHEALTHY'

export type FeedTrouble = {
  readonly code: FeedTroubleCode
  /** The sentence of the warning that it came from. */
  readonly message: string
  /** Empty when not known. */
  readonly videoCodec: string
  readonly audioCodec: string
}

/** Cloudflare takes key frames up to 10 s apart. What is between our advice (4 s) and this is a warning in `health` alone. */
const keyframeIntervalMsMax = 10_000
/** A trouble counts when it has lasted for so long: a hiccup is none. */
const lastsMs = 10_000
/** And is told again when it had been gone for so long. */
const goneMs = 60_000

/** Warnings that mean that viewers are hurt now. The others are advice. */
const codeOf: { readonly [warning in InputWarningCode]?: FeedTroubleCode } = {
  keyframe_interval_long: 'ERR_GOP_OUT_OF_RANGE',
  upload_slow: 'ERR_UNHEALTHY',
  video_missing: 'ERR_UNHEALTHY',
  encoders_fight: 'ERR_UNHEALTHY',
}

type Watched = { sinceMs: number | undefined; goneSinceMs: number | undefined; isTold: boolean }

/** Watches the figures of one broadcast. Made when an input gets live, dropped when it is not any more; so are the warnings. */
export class FeedTroubles {
  readonly #watched: ReadonlyMap<string, Watched> = new Map(
    Object.keys(codeOf).map((warning) => [warning, { sinceMs: undefined, goneSinceMs: undefined, isTold: false }]),
  )

  /** Once a second, while an encoder is there. @param nowMs monotonic. @returns what is to be told now. */
  observe({ input }: ToldFigures, nowMs: number): FeedTrouble[] {
    const troubles: FeedTrouble[] = []
    for (const [warning, watched] of this.#watched) {
      const message = messageOf(warning, input)
      if (isNew(watched, message !== undefined, nowMs))
        troubles.push({
          code: codeOf[warning as InputWarningCode]!,
          message: message!,
          videoCodec: input.video?.codec ?? '',
          audioCodec: input.audio?.codec ?? '',
        })
    }
    return troubles
  }

  /** The encoder is away: what was beginning has not lasted. */
  interrupt(): void {
    for (const watched of this.#watched.values()) watched.sinceMs = undefined
  }
}

function isNew(watched: Watched, isPresent: boolean, nowMs: number): boolean {
  if (!isPresent) {
    watched.sinceMs = undefined
    watched.goneSinceMs ??= nowMs
    if (nowMs - watched.goneSinceMs >= goneMs) watched.isTold = false
    return false
  }
  watched.goneSinceMs = undefined
  watched.sinceMs ??= nowMs
  if (watched.isTold || nowMs - watched.sinceMs < lastsMs) return false
  watched.isTold = true
  return true
}

function messageOf(warning: string, { warnings, video }: InputHealth): string | undefined {
  // Without an interval no second key frame has come at all.
  if (
    warning === 'keyframe_interval_long' &&
    (video?.keyframeIntervalMs ?? Number.POSITIVE_INFINITY) <= keyframeIntervalMsMax
  )
    return undefined
  return warnings.find(({ code }) => code === warning)?.message
}
