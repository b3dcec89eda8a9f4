import styles from './PlatformMark.module.css'

/** A tile with letters in a colour of our own: the platforms' marks are theirs. */
export type Mark = { readonly letters: string; readonly colour: string }

/** White letters stand on each of these with a contrast of 4.5 or more. */
const marks: Readonly<Record<string, Mark>> = {
  youtube: { letters: 'YT', colour: '#b0232a' },
  'youtube-backup': { letters: 'YT', colour: '#7d4347' },
  twitch: { letters: 'Tw', colour: '#6f42c1' },
  facebook: { letters: 'Fb', colour: '#2459b5' },
  kick: { letters: 'Ki', colour: '#2b7a2e' },
  tiktok: { letters: 'TT', colour: '#3b3f46' },
  x: { letters: 'X', colour: '#24292f' },
  linkedin: { letters: 'Li', colour: '#16638f' },
  instagram: { letters: 'Ig', colour: '#a83a76' },
  vimeo: { letters: 'Vi', colour: '#11697f' },
  trovo: { letters: 'Tr', colour: '#1c7151' },
  restream: { letters: 'Re', colour: '#9c4a14' },
  bilibili: { letters: 'Bi', colour: '#1f6fa0' },
  cloudflare: { letters: 'Cf', colour: '#a14f0b' },
  ivs: { letters: 'IV', colour: '#8a5a00' },
}
const custom: Mark = { letters: '▸', colour: '#5c6470' }

/** @param platform a PlatformId, a preset's platform, or undefined for any other server. */
export function markOf(platform: string | undefined): Mark {
  return (platform === undefined ? undefined : marks[platform]) ?? custom
}

type Props = { readonly platform: string | undefined; readonly size?: 'small' | 'large' }

/** Decoration: the platform's name stands beside it as text. */
export function PlatformMark({ platform, size = 'small' }: Props) {
  const { letters, colour } = markOf(platform)
  return (
    <span className={styles['tile']} data-size={size} style={{ backgroundColor: colour }} aria-hidden="true">
      {letters}
    </span>
  )
}
