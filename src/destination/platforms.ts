/**
 * What is known of the platforms' urls and keys, for lint alone: nothing here changes how a destination is connected to.
 * Sources: OBS's services.json (format 5), the platforms' own pages; docs/destinations.md repeats it for people.
 */
export type Platform = {
  readonly id: PlatformId
  readonly name: string
  /** Ingest hosts, lower case. */
  readonly hosts: RegExp
  /** A url as it should be pasted. */
  readonly example: string
  /** The application, where there is exactly one; undefined where it differs or is not needed (Kick). */
  readonly app?: string
  /** Plain RTMP is not taken. */
  readonly rtmpsOnly?: true
  /** Video codecs that it takes beside H.264 (FourCC), after OBS's services.json of August 2026. */
  readonly beyondH264?: readonly string[]
  /** Some part of every key, without which it was copied incompletely; `mend` says how to copy it. */
  readonly wholeKey?: { readonly pattern: RegExp; readonly mend: string }
}

export type PlatformId =
  | 'youtube'
  | 'twitch'
  | 'kick'
  | 'ivs'
  | 'facebook'
  | 'instagram'
  | 'tiktok'
  | 'x'
  | 'vimeo'
  | 'restream'
  | 'trovo'
  | 'bilibili'
  | 'cloudflare'

export const platforms: readonly Platform[] = [
  {
    id: 'youtube',
    name: 'YouTube',
    hosts: /(?:^|\.)rtmps?\.youtube\.com$/,
    example: 'rtmps://a.rtmps.youtube.com:443/live2',
    app: 'live2',
    beyondH264: ['hvc1', 'av01'],
  },
  {
    id: 'twitch',
    name: 'Twitch',
    hosts: /(?:^|\.)twitch\.tv$|(?:^|\.)contribute\.live-video\.net$|^ingest\.global-contribute\.live-video\.net$/,
    example: 'rtmps://live.twitch.tv/app',
    app: 'app',
  },
  {
    // Kick runs on Amazon IVS; this is the host that it gives to everybody.
    id: 'kick',
    name: 'Kick',
    hosts: /^fa723fc1b171\.global-contribute\.live-video\.net$/,
    example: 'rtmps://fa723fc1b171.global-contribute.live-video.net',
    rtmpsOnly: true,
  },
  {
    id: 'ivs',
    name: 'Amazon IVS',
    hosts: /^[0-9a-f]{12}\.global-contribute\.live-video\.net$/,
    example: 'rtmps://<id>.global-contribute.live-video.net:443/app',
  },
  {
    id: 'facebook',
    name: 'Facebook',
    hosts: /^(?!www\.|m\.)(?:.+\.)facebook\.com$/,
    example: 'rtmps://live-api-s.facebook.com:443/rtmp',
    app: 'rtmp',
    rtmpsOnly: true,
  },
  {
    id: 'instagram',
    name: 'Instagram',
    hosts: /^(?!www\.)(?:.+\.)instagram\.com$/,
    example: 'rtmps://live-upload.instagram.com:443/rtmp',
    app: 'rtmp',
    rtmpsOnly: true,
    wholeKey: { pattern: /\?/, mend: 'Copy all of it, with everything from the question mark on.' },
  },
  {
    id: 'tiktok',
    name: 'TikTok',
    hosts: /\.tiktokcdn(?:-\w+)?\.com$/,
    example: 'rtmps://push-rtmp-….tiktokcdn.com:443/game',
    wholeKey: { pattern: /[?&]sign=/, mend: 'Copy all of it, with everything from the question mark on.' },
  },
  { id: 'x', name: 'X', hosts: /\.pscp\.tv$/, example: 'rtmp://<region>.pscp.tv:80/x', app: 'x' },
  {
    id: 'vimeo',
    name: 'Vimeo',
    hosts: /\.cloud\.vimeo\.com$/,
    example: 'rtmp://rtmp.cloud.vimeo.com/live',
    app: 'live',
  },
  {
    id: 'restream',
    name: 'Restream',
    hosts: /(?:^|\.)restream\.io$/,
    example: 'rtmp://live.restream.io/live',
    app: 'live',
  },
  {
    id: 'trovo',
    name: 'Trovo',
    hosts: /^livepush\.trovo\.live$/,
    example: 'rtmp://livepush.trovo.live/live',
    app: 'live',
  },
  {
    id: 'bilibili',
    name: 'Bilibili',
    hosts: /\.bilivideo\.com$/,
    example: 'rtmp://live-push.bilivideo.com/live-bvc',
    app: 'live-bvc',
    wholeKey: { pattern: /^\?/, mend: 'It begins with ?streamname=; copy it from the question mark on.' },
    beyondH264: ['hvc1'],
  },
  {
    id: 'cloudflare',
    name: 'Cloudflare Stream',
    hosts: /^live\.cloudflare\.com$/,
    example: 'rtmps://live.cloudflare.com:443/live',
    app: 'live',
    rtmpsOnly: true,
  },
]

/** Keys that show whose they are. The names say it in a sentence: "a … key". */
export const keyForms: readonly {
  readonly name: string
  readonly platforms: readonly PlatformId[]
  readonly form: RegExp
}[] = [
  { name: 'YouTube', platforms: ['youtube'], form: /^[a-z0-9]{4}(?:-[a-z0-9]{4}){3,4}$/i },
  // The stream name within a key of Bilibili's looks the same.
  { name: 'Twitch', platforms: ['twitch', 'bilibili'], form: /^live_\d+_\w+(?:\?|$)/ },
  { name: 'Kick or Amazon IVS', platforms: ['kick', 'ivs'], form: /^sk_[a-z]{2}-[a-z]+-\d+_/ },
  { name: 'Facebook', platforms: ['facebook'], form: /^FB-\d+-/ },
  { name: 'Facebook or Instagram', platforms: ['facebook', 'instagram'], form: /^\d{6,}\?s_\w+=/ },
  { name: 'Restream', platforms: ['restream'], form: /^re_\d+_/ },
]

/** Hosts of web pages, which people paste in place of the ingest server's. */
export const webPages =
  /^(?:(?:www|m|studio)\.)?(?:youtube\.com|youtu\.be|twitch\.tv|kick\.com|facebook\.com|instagram\.com|tiktok\.com|x\.com|twitter\.com|vimeo\.com|restream\.io)$/

/** @param host as in Destination: lower case */
export function platformOf(host: string): Platform | undefined {
  const name = host.replace(/\.$/, '')
  return webPages.test(name) ? undefined : platforms.find(({ hosts }) => hosts.test(name))
}
