import { type PlatformId, platforms } from '../destination/platforms.ts'
import type { DestinationPreset, PresetUrl } from './dashboard-types.ts'

/** Sources: OBS's services.json (format 5, August 2026) and the platforms' own pages; docs/destinations.md says more. */

const codecsOf = (id: PlatformId): readonly string[] => [
  'avc1',
  ...(platforms.find((platform) => platform.id === id)?.beyondH264 ?? []),
]
const rtmps = (url: string, backup = false): PresetUrl => ({ protocol: 'rtmps', url, backup })
const rtmp = (url: string, backup = false): PresetUrl => ({ protocol: 'rtmp', url, backup })

const youtubeKey = 'YouTube Studio → Create → Go live → Stream: copy "Stream key".'
const youtubePage = 'https://studio.youtube.com/'

export const presets: readonly DestinationPreset[] = [
  {
    id: 'youtube',
    name: 'YouTube',
    urls: [rtmps('rtmps://a.rtmps.youtube.com:443/live2'), rtmp('rtmp://a.rtmp.youtube.com/live2')],
    example: 'rtmps://a.rtmps.youtube.com:443/live2',
    keyHelp: youtubeKey,
    keyPage: youtubePage,
    videoCodecs: codecsOf('youtube'),
    notes: ['The channel must be enabled for live streaming, which takes up to 24 hours the first time.'],
  },
  {
    id: 'youtube-backup',
    name: 'YouTube (backup)',
    urls: [
      rtmps('rtmps://b.rtmps.youtube.com:443/live2?backup=1', true),
      rtmp('rtmp://b.rtmp.youtube.com/live2?backup=1', true),
    ],
    example: 'rtmps://b.rtmps.youtube.com:443/live2?backup=1',
    keyHelp: `${youtubeKey} It is the same key as for the main address.`,
    keyPage: youtubePage,
    videoCodecs: codecsOf('youtube'),
    notes: ['Add it beside the main YouTube output: viewers are switched over when the main one fails.'],
  },
  {
    id: 'twitch',
    name: 'Twitch',
    urls: [rtmps('rtmps://live.twitch.tv/app'), rtmp('rtmp://live.twitch.tv/app')],
    example: 'rtmps://live.twitch.tv/app',
    keyHelp: 'Creator Dashboard → Settings → Stream: copy "Primary Stream key". It begins with live_.',
    keyPage: 'https://dashboard.twitch.tv/settings/stream',
    videoCodecs: codecsOf('twitch'),
    notes: [
      'To try it without going live, add ?bandwidthtest=true to the key.',
      'A wrong key is not refused in words: the connection just closes.',
    ],
  },
  {
    id: 'facebook',
    name: 'Facebook',
    urls: [rtmps('rtmps://live-api-s.facebook.com:443/rtmp')],
    example: 'rtmps://live-api-s.facebook.com:443/rtmp',
    keyHelp: 'Live Producer → Streaming software: copy "Stream key", with everything that follows its question mark.',
    keyPage: 'https://www.facebook.com/live/producer',
    videoCodecs: codecsOf('facebook'),
    notes: [
      'Use the key within 24 hours, or switch on "Persistent stream key" there.',
      'Facebook wants sound and picture, and a key frame every 2 to 4 s.',
    ],
  },
  {
    id: 'kick',
    name: 'Kick',
    urls: [rtmps('rtmps://fa723fc1b171.global-contribute.live-video.net')],
    example: 'rtmps://fa723fc1b171.global-contribute.live-video.net',
    keyHelp: 'Creator Dashboard → Settings → Stream URL and key: copy "Stream Key". It begins with sk_.',
    keyPage: 'https://dashboard.kick.com/',
    videoCodecs: codecsOf('kick'),
    notes: ['Should Kick show you another stream URL, take that one.'],
  },
  {
    id: 'tiktok',
    name: 'TikTok',
    urls: [],
    example: 'rtmps://push-rtmp-….tiktokcdn.com:443/game',
    keyHelp:
      'LIVE Producer → Go LIVE with streaming software: copy "Server URL" and "Stream key", the key with everything that follows its question mark.',
    keyPage: 'https://livecenter.tiktok.com/producer',
    videoCodecs: codecsOf('tiktok'),
    notes: ['Both are new for each broadcast, and TikTok gives them only to accounts that may stream from software.'],
  },
  {
    id: 'x',
    name: 'X',
    urls: [],
    example: 'rtmp://<region>.pscp.tv:80/x',
    keyHelp: 'Media Studio → Producer → Sources → Create source: copy "RTMP URL" and "RTMP stream key".',
    keyPage: 'https://studio.x.com/producer',
    videoCodecs: codecsOf('x'),
    notes: [
      'Up to 12 Mbit/s of video and 128 kbit/s of sound, with a key frame every 3 s or more often.',
      'Receiving does not publish: start the broadcast in Producer, too.',
    ],
  },
  {
    id: 'linkedin',
    name: 'LinkedIn',
    urls: [],
    example: 'rtmps://….example.com:2935/live',
    keyHelp:
      'linkedin.com → the event → Go live: choose your region, then copy "Stream URL" and "Stream key". They are of this event alone.',
    keyPage: 'https://www.linkedin.com/video/golive/now/',
    videoCodecs: ['avc1'],
    notes: ['Start the encoder first; LinkedIn shows the picture there, and goes live when you press its button.'],
  },
  {
    id: 'instagram',
    name: 'Instagram',
    urls: [rtmps('rtmps://live-upload.instagram.com:443/rtmp')],
    example: 'rtmps://live-upload.instagram.com:443/rtmp',
    keyHelp:
      'instagram.com → Create → Live video: copy "Stream key", with everything that follows its question mark. It is new each time.',
    keyPage: 'https://www.instagram.com/',
    videoCodecs: codecsOf('instagram'),
    notes: ['Made for upright pictures (9:16), and for professional accounts.'],
  },
  {
    id: 'vimeo',
    name: 'Vimeo',
    urls: [rtmp('rtmp://rtmp.cloud.vimeo.com/live')],
    example: 'rtmp://rtmp.cloud.vimeo.com/live',
    keyHelp: 'The live event → Stream settings → Streaming software: copy "Stream key".',
    keyPage: 'https://vimeo.com/manage/live-events',
    videoCodecs: codecsOf('vimeo'),
    notes: ['Where the event shows an RTMPS URL, take that one: it is encrypted.'],
  },
  {
    id: 'trovo',
    name: 'Trovo',
    urls: [rtmp('rtmp://livepush.trovo.live/live')],
    example: 'rtmp://livepush.trovo.live/live',
    keyHelp: 'Trovo Studio → Channel → Stream settings: copy "Stream key".',
    keyPage: 'https://studio.trovo.live/',
    videoCodecs: codecsOf('trovo'),
    notes: [],
  },
  {
    id: 'restream',
    name: 'Restream',
    urls: [rtmp('rtmp://live.restream.io/live')],
    example: 'rtmp://live.restream.io/live',
    keyHelp: 'restream.io → Home → RTMP settings: copy "Stream key". It begins with re_.',
    keyPage: 'https://app.restream.io/',
    videoCodecs: codecsOf('restream'),
    notes: [],
  },
  {
    id: 'custom',
    name: 'Another server (RTMP or RTMPS)',
    urls: [],
    example: 'rtmps://live.example.com:443/live',
    keyHelp:
      'The server url and the stream key stand where your platform says "streaming software", "encoder" or "custom RTMP". With one long url, its last part is the key.',
    notes: [],
  },
]
