import styles from './Bitrate.module.css'
import { bitrateWords, noFigure } from './bitrate-words.ts'

/** Undefined: there is no figure of this moment. */
export function Bitrate({ kbps }: { readonly kbps: number | undefined }) {
  if (kbps === undefined)
    return (
      <span className={styles['none']} data-none>
        {noFigure}
      </span>
    )
  const { number, unit } = bitrateWords(kbps)
  return (
    <span className={styles['bitrate']}>
      {number}
      <span className={styles['unit']}> {unit}</span>
    </span>
  )
}
