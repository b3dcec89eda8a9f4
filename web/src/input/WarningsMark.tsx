import { useInputHealth } from '../api/live.ts'
import { AlertIcon } from '../parts/icons.tsx'
import { StateBadge } from '../parts/StateBadge.tsx'
import { encoderPanelId } from './EncoderPanel.tsx'
import styles from './WarningsMark.module.css'

/** Beside the state, that nobody overlooks it: the words stand in the panel of the encoder, and this leads there. */
export function WarningsMark({ id }: { readonly id: string }) {
  const count = useInputHealth(id)?.warnings.length ?? 0
  if (count === 0) return null
  const show = () => document.getElementById(encoderPanelId)?.scrollIntoView({ block: 'center', behavior: 'smooth' })
  return (
    <button type="button" className={styles['mark']} onClick={show}>
      <StateBadge tone="wait" mark={<AlertIcon size={14} />}>
        {count === 1 ? '1 warning' : `${count} warnings`}
      </StateBadge>
    </button>
  )
}
