import Mpegts from 'mpegts.js'

/** How a preview can go wrong; the words are the panel's. */
export type PreviewTrouble =
  | { readonly name: 'ended' }
  | { readonly name: 'refused'; readonly status: number }
  | { readonly name: 'lost' }
  | { readonly name: 'format'; readonly detail: string }

/** A picture may be this much behind; then it is played a little faster until it has caught up. Seconds. */
const latency = { max: 2, target: 0.8 }

/**
 * Plays HTTP-FLV in a video element until `stop` is called, which is once more allowed after an end.
 * @param url absolute: what loads it may be elsewhere than the page.
 * @returns stop
 */
export function play(video: HTMLVideoElement, url: string, onTrouble: (trouble: PreviewTrouble) => void): () => void {
  Mpegts.LoggingControl.applyConfig({ enableAll: false })
  const player = Mpegts.createPlayer(
    { type: 'flv', isLive: true, url, withCredentials: true },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      liveSync: true,
      liveSyncMaxLatency: latency.max,
      liveSyncTargetLatency: latency.target,
      autoCleanupSourceBuffer: true,
    },
  )
  let isOver = false
  const end = () => {
    if (isOver) return false
    isOver = true
    player.destroy()
    return true
  }
  player.on(Mpegts.Events.LOADING_COMPLETE, () => end() && onTrouble({ name: 'ended' }))
  player.on(
    Mpegts.Events.ERROR,
    (kind: string, detail: string, told?: { readonly code?: number; readonly msg?: string }) => {
      if (!end()) return
      if (kind !== Mpegts.ErrorTypes.NETWORK_ERROR) onTrouble({ name: 'format', detail: told?.msg ?? detail })
      else if (detail === Mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID)
        onTrouble({ name: 'refused', status: told?.code ?? 0 })
      else onTrouble({ name: 'lost' })
    },
  )
  player.attachMediaElement(video)
  player.load()
  // A browser that wants a person to press play first has been pressed on: this page was.
  void Promise.resolve(player.play()).catch(() => {})
  return () => void end()
}

/** Whether the browser can be fed with media as it comes. */
export function isPlayable(): boolean {
  return Mpegts.getFeatureList().mseLivePlayback
}
