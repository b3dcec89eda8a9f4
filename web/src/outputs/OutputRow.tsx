import { ActionIcon, Button, Collapse, Menu, Switch, Tooltip } from '@mantine/core'
import { memo, useId, useRef, useState } from 'react'
import type { DestinationPreset } from '../../../src/api/dashboard-types.ts'
import type { WireOutput } from '../../../src/api/schemas.ts'
import { newer, useBitrateHistory, useConnection, useOutputHealth, useOutputNow } from '../api/live.ts'
import { Bitrate } from '../parts/Bitrate.tsx'
import { ChevronIcon, CopyIcon, MoreIcon, PencilIcon, SignalIcon, TrashIcon } from '../parts/icons.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { Sparkline } from '../parts/Sparkline.tsx'
import { StateBadge, type Tone } from '../parts/StateBadge.tsx'
import { OutputDetails } from './OutputDetails.tsx'
import styles from './OutputRow.module.css'
import { countWords, droppedWords, lagWords } from './output-figures.ts'
import { hostOf, nameOfOutput, type OutputKind, viewOf } from './output-words.ts'
import { PlatformMark } from './PlatformMark.tsx'

const tones: Readonly<Record<OutputKind, Tone>> = {
  off: 'idle',
  waiting: 'idle',
  connecting: 'wait',
  live: 'good',
  slow: 'wait',
  reconnecting: 'wait',
  failed: 'bad',
}

export type RowAction = 'retry' | 'test' | 'edit' | 'duplicate' | 'delete'

type Props = {
  readonly input: string
  readonly inputIsEnabled: boolean
  /** What may not be done is not offered. */
  readonly mayWrite: boolean
  readonly output: WireOutput
  readonly preset: DestinationPreset | undefined
  readonly onSwitch: (output: WireOutput, enabled: boolean) => void
  readonly onAction: (action: RowAction, output: WireOutput) => void
}

/** One output. Its height is the same whatever its state, so that nothing moves under the eye or the pointer. */
export const OutputRow = memo(function OutputRow({
  input,
  inputIsEnabled,
  mayWrite,
  output,
  preset,
  onSwitch,
  onAction,
}: Props) {
  const [isOpen, setOpen] = useState(false)
  const detailsId = useId()
  const seen = useSeen(input, output)
  const { health, isStale } = seen
  const history = useBitrateHistory(output.uid)
  const view = viewOf({ ...output, status: seen.status, health: seen.told }, inputIsEnabled)
  const name = output.name ?? preset?.name ?? nameOfOutput(output)
  // Nothing but zeros is no line.
  const hasFlowed = history.some(({ kbps }) => kbps > 0)
  const isTrying = view.nextAttemptAt !== undefined
  const shown = view.kind === 'live' || view.kind === 'slow' ? health : undefined
  return (
    <li className={styles['row']} data-kind={view.kind} data-trying={isTrying || undefined} aria-label={name}>
      <div className={styles['line']}>
        <Switch
          className={styles['switch']}
          checked={output.enabled}
          disabled={!mayWrite}
          onChange={(event) => onSwitch(output, event.currentTarget.checked)}
          aria-label={`Send to ${name}`}
        />
        <div className={styles['who']}>
          <PlatformMark platform={preset?.id} />
          <div className={styles['names']}>
            <span className={styles['name']}>{name}</span>
            <span className={styles['host']}>{whereTo(output, preset)}</span>
          </div>
        </div>
        <div className={styles['state']}>
          <div className={styles['badge']}>
            <StateBadge tone={tones[view.kind]}>{view.label}</StateBadge>
            {view.since !== undefined && (
              <span className={styles['since']}>
                {view.isLonger ? 'over' : 'for'} <RelativeTime at={view.since} form="duration" />
              </span>
            )}
          </div>
          <p className={styles['reason']} title={view.detail}>
            {view.detail}
          </p>
        </div>
        <dl className={styles['figures']} data-stale={isStale || undefined}>
          <div className={styles['bitrate']}>
            <dt>Bitrate</dt>
            <dd>
              <Bitrate kbps={shown?.bitrateKbps} />
            </dd>
            <Sparkline points={hasFlowed ? history : []} width={104} height={24} />
          </div>
          <div>
            <dt>Lag</dt>
            <dd>{lagWords(shown ?? {})}</dd>
          </div>
          <div>
            <dt>Dropped</dt>
            <dd>{droppedWords(health ?? {})}</dd>
          </div>
          <div>
            <dt>Reconnects</dt>
            <dd>{countWords(health?.reconnects)}</dd>
          </div>
        </dl>
        <div className={styles['actions']}>
          <div className={styles['next']}>
            {isTrying && (
              <>
                {mayWrite && (
                  <Button size="compact-sm" variant="default" onClick={() => onAction('retry', output)}>
                    Try now
                  </Button>
                )}
                <span>
                  next <RelativeTime at={view.nextAttemptAt!} />
                </span>
              </>
            )}
          </div>
          <Tooltip label={isOpen ? 'Hide the details' : 'Show the details'}>
            <ActionIcon
              variant="subtle"
              color="gray"
              size="lg"
              onClick={() => setOpen(!isOpen)}
              aria-expanded={isOpen}
              aria-controls={detailsId}
              aria-label={`Details of ${name}`}
            >
              <ChevronIcon className={styles['chevron']} data-open={isOpen || undefined} />
            </ActionIcon>
          </Tooltip>
          {mayWrite && <RowMenu name={name} onAction={(action) => onAction(action, output)} />}
        </div>
      </div>
      <Collapse expanded={isOpen} id={detailsId} keepMounted={false}>
        <OutputDetails output={output} status={seen.status} health={seen.told} view={view} />
      </Collapse>
    </li>
  )
})

function RowMenu({ name, onAction }: { readonly name: string; readonly onAction: (action: RowAction) => void }) {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`More for ${name}`}>
          <MoreIcon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<SignalIcon size={16} />} onClick={() => onAction('test')}>
          Test the destination
        </Menu.Item>
        <Menu.Item leftSection={<PencilIcon size={16} />} onClick={() => onAction('edit')}>
          Edit
        </Menu.Item>
        <Menu.Item leftSection={<CopyIcon size={16} />} onClick={() => onAction('duplicate')}>
          Duplicate
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" leftSection={<TrashIcon size={16} />} onClick={() => onAction('delete')}>
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

/** What the name does not say already. */
function whereTo({ name, url }: WireOutput, preset: DestinationPreset | undefined): string {
  const host = hostOf(url)
  if (preset !== undefined) return name === undefined || name === preset.name ? host : `${preset.name} · ${host}`
  return name === undefined ? url.replace(/:.*$/, '').toUpperCase() : host
}

/** What is known of an output: of this moment, or, while the server is not heard, the last of it, which is shown as old. */
function useSeen(input: string, output: WireOutput) {
  const connection = useConnection()
  const now = useOutputNow(output.uid)
  const figures = useOutputHealth(input, output.uid)
  const isStale = connection.name === 'lost'
  const last = useRef(figures)
  if (figures !== undefined || !isStale) last.current = figures
  const health = last.current
  const lastError = now?.lastError ?? health?.lastError ?? output.health?.lastError
  return {
    status: newer(now?.status, output.status) ?? null,
    health,
    told: { ...health, ...(lastError && { lastError }) },
    isStale,
  }
}
