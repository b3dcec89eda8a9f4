import { ActionIcon, Tooltip } from '@mantine/core'
import { useState } from 'react'
import { CopyButton } from './CopyButton.tsx'
import styles from './CopyField.module.css'
import { EyeIcon, EyeOffIcon } from './icons.tsx'

type Props = {
  readonly value: string
  /** "stream key": "Show the stream key", "Copy the stream key". */
  readonly name: string
}

/** Hidden until it is shown; copied without being shown. */
export function Secret({ value, name }: Props) {
  const [isShown, setShown] = useState(false)
  const label = `${isShown ? 'Hide' : 'Show'} the ${name}`
  return (
    <div className={styles['field']}>
      <code className={styles['value']} aria-hidden={!isShown}>
        {isShown ? value : '•'.repeat(24)}
      </code>
      <Tooltip label={label}>
        <ActionIcon variant="subtle" color="gray" size="lg" onClick={() => setShown(!isShown)} aria-label={label}>
          {isShown ? <EyeOffIcon size={16} /> : <EyeIcon size={16} />}
        </ActionIcon>
      </Tooltip>
      <CopyButton value={value} label={`Copy the ${name}`} />
    </div>
  )
}
