import { CopyButton } from './CopyButton.tsx'
import styles from './CopyField.module.css'

/** A text that is there to be copied: an address, an id, a command line. */
export function CopyField({ value, name }: { readonly value: string; readonly name: string }) {
  return (
    <div className={styles['field']}>
      <code className={styles['value']}>{value}</code>
      <CopyButton value={value} label={`Copy the ${name}`} />
    </div>
  )
}
