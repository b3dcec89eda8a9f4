import { ActionIcon, Button, Tooltip } from '@mantine/core'
import { useEffect, useState } from 'react'
import { copyText } from './copy.ts'
import { CheckIcon, CopyIcon } from './icons.tsx'

const shownMs = 1_500

type Props = {
  readonly value: string
  /** What is copied, for those who do not see where the button stands: "Copy the stream key". */
  readonly label: string
  /** Words on the button: it is wider then. */
  readonly words?: string
}

/** Says on itself that it has copied, or that the browser forbids it. */
export function CopyButton({ value, label, words }: Props) {
  const [outcome, setOutcome] = useState<'none' | 'copied' | 'forbidden'>('none')
  useEffect(() => {
    if (outcome === 'none') return
    const timer = setTimeout(() => setOutcome('none'), shownMs)
    return () => clearTimeout(timer)
  }, [outcome])
  const copy = async () => setOutcome((await copyText(value)) ? 'copied' : 'forbidden')
  const said = { none: label, copied: 'Copied', forbidden: 'The browser does not allow it: select and copy by hand' }[
    outcome
  ]
  const icon = outcome === 'copied' ? <CheckIcon size={16} /> : <CopyIcon size={16} />
  if (words !== undefined)
    return (
      <Button variant="default" size="xs" leftSection={icon} onClick={copy} aria-label={said} aria-live="polite">
        {outcome === 'none' ? words : said}
      </Button>
    )
  return (
    <Tooltip label={said} {...(outcome !== 'none' && { opened: true })}>
      <ActionIcon
        variant="subtle"
        color={outcome === 'copied' ? 'teal' : 'gray'}
        size="lg"
        onClick={copy}
        aria-label={said}
      >
        {icon}
      </ActionIcon>
    </Tooltip>
  )
}
