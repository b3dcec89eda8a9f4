/** FourCCs as the server tells them, and what people call them. */
const names: Readonly<Record<string, string>> = {
  avc1: 'H.264',
  hvc1: 'HEVC (H.265)',
  av01: 'AV1',
  vp08: 'VP8',
  vp09: 'VP9',
  vvc1: 'VVC (H.266)',
  mp4a: 'AAC',
  '.mp3': 'MP3',
  Opus: 'Opus',
  fLaC: 'FLAC',
  'ac-3': 'AC-3',
  'ec-3': 'E-AC-3',
}

/** One that is common of each codec: whether a browser has the decoder at all. */
const samples: Readonly<Record<string, string>> = {
  avc1: 'video/mp4; codecs="avc1.64001f"',
  hvc1: 'video/mp4; codecs="hvc1.1.6.L93.B0"',
  av01: 'video/mp4; codecs="av01.0.04M.08"',
  mp4a: 'audio/mp4; codecs="mp4a.40.2"',
  '.mp3': 'audio/mpeg',
  Opus: 'audio/mp4; codecs="opus"',
  fLaC: 'audio/mp4; codecs="flac"',
  'ac-3': 'audio/mp4; codecs="ac-3"',
  'ec-3': 'audio/mp4; codecs="ec-3"',
}

export function codecWords(codec: string): string {
  return names[codec] ?? codec
}

/**
 * Why a browser cannot show a feed; undefined when it can, as far as is known beforehand.
 * @param canPlay MediaSource.isTypeSupported
 */
export function whyNotPlayable(
  video: string | undefined,
  audio: string | undefined,
  canPlay: (type: string) => boolean,
): string | undefined {
  for (const codec of [video, audio]) {
    if (codec === undefined) continue
    const sample = samples[codec]
    if (sample === undefined) return `${codecWords(codec)} cannot be previewed. It is relayed to the outputs as it is.`
    if (!canPlay(sample))
      return `This browser cannot play ${codecWords(codec)}. It is relayed to the outputs as it is; to look at it here, use a browser that has the codec, or send H.264 and AAC.`
  }
  return undefined
}

/** "stereo", "5.1", "3 channels". */
export function channelWords(channels: number): string {
  return { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' }[channels] ?? `${channels} channels`
}
