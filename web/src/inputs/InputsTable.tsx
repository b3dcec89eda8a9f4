import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { memo, useLayoutEffect, useRef, useState } from 'react'
import type { WireLiveInputItem } from '../../../src/api/schemas.ts'
import { useBitrateHistory, useInputTotals } from '../api/live.ts'
import { nameOf } from '../api/queries.ts'
import { Bitrate } from '../parts/Bitrate.tsx'
import { noFigure } from '../parts/bitrate-words.ts'
import { Sparkline } from '../parts/Sparkline.tsx'
import { Link } from '../router.tsx'
import type { ActedOn, InputAction } from './InputMenu.tsx'
import { InputMenu } from './InputMenu.tsx'
import { InputState } from './InputState.tsx'
import styles from './InputsTable.module.css'

/** Heights of a row, as in the style sheet: known before it is drawn, so that the page never moves. */
const rowHeight = { wide: 60, narrow: 92 }
const narrow = '(max-width: 720px)'
const overscan = 8

type Props = {
  readonly account: string
  /** Ids, from top to bottom. */
  readonly order: readonly string[]
  readonly byId: ReadonlyMap<string, WireLiveInputItem>
  readonly onAction: (action: InputAction, input: ActedOn) => void
}

/** Only the rows near the window are in the page: a thousand inputs cost as much as twenty. */
export function InputsTable({ account, order, byId, onAction }: Props) {
  const table = useRef<HTMLTableElement>(null)
  const [scrollMargin, setScrollMargin] = useState(0)
  const isNarrow = useMedia(narrow)
  useLayoutEffect(() => setScrollMargin(table.current?.tBodies[0]?.offsetTop ?? 0), [])
  const height = isNarrow ? rowHeight.narrow : rowHeight.wide
  const rows = useWindowVirtualizer({
    count: order.length,
    estimateSize: () => height,
    getItemKey: (index) => order[index] ?? index,
    overscan,
    scrollMargin,
  })
  useLayoutEffect(() => {
    if (height > 0) rows.measure()
  }, [rows, height])
  const shown = rows.getVirtualItems()
  const first = shown[0]
  const last = shown.at(-1)
  const above = first === undefined ? 0 : first.start - scrollMargin
  const below = last === undefined ? 0 : rows.getTotalSize() - (last.end - scrollMargin)
  return (
    <table className={styles['table']} ref={table} aria-rowcount={order.length + 1} aria-label="Live inputs">
      <thead>
        <tr aria-rowindex={1}>
          <th scope="col">Name</th>
          <th scope="col">State</th>
          <th scope="col" className={styles['number']}>
            Incoming
          </th>
          <th scope="col" className={styles['number']}>
            Outputs live
          </th>
          <th scope="col">
            <span className={styles['unseen']}>More</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {above > 0 && (
          <tr className={styles['spacer']} style={{ height: above }}>
            <td colSpan={5} />
          </tr>
        )}
        {shown.map(({ index, key }) => {
          const item = byId.get(order[index] ?? '')
          if (item === undefined) return null
          return <Row key={key} account={account} item={item} rowIndex={index + 2} onAction={onAction} />
        })}
        {below > 0 && (
          <tr className={styles['spacer']} style={{ height: below }}>
            <td colSpan={5} />
          </tr>
        )}
      </tbody>
    </table>
  )
}

type RowProps = {
  readonly account: string
  readonly item: WireLiveInputItem
  readonly rowIndex: number
  readonly onAction: Props['onAction']
}

const Row = memo(function Row({ account, item, rowIndex, onAction }: RowProps) {
  return (
    <tr className={styles['row']} aria-rowindex={rowIndex}>
      <th scope="row" className={styles['name']}>
        <Link to={{ name: 'input', account, input: item.uid }}>{nameOf(item)}</Link>
      </th>
      <td className={styles['state']}>
        <InputState id={item.uid} isEnabled={item.enabled} current={item.summary?.status} />
      </td>
      <Figures id={item.uid} outputs={item.summary?.outputsEnabled} />
      <td className={styles['menu']}>
        <InputMenu input={{ ...item, current: item.summary?.status }} onAction={onAction} />
      </td>
    </tr>
  )
})

/** Alone drawn anew each second. */
function Figures({ id, outputs }: { readonly id: string; readonly outputs: number | undefined }) {
  const totals = useInputTotals(id)
  const points = useBitrateHistory(id)
  return (
    <>
      <td className={styles['incoming']}>
        <span className={styles['flow']}>
          {totals !== undefined && <Sparkline points={points} width={84} height={24} />}
          <Bitrate kbps={totals?.bitrateKbps} />
        </span>
      </td>
      <td className={styles['outputs']}>
        {outputs === undefined ? (
          noFigure
        ) : totals === undefined ? (
          <span className={styles['none']}>{outputs}</span>
        ) : (
          <span data-tone={totals.outputsUp < outputs ? 'wait' : undefined}>
            {totals.outputsUp} / {outputs}
          </span>
        )}
      </td>
    </>
  )
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches)
  useLayoutEffect(() => {
    const list = matchMedia(query)
    const changed = () => setMatches(list.matches)
    list.addEventListener('change', changed)
    return () => list.removeEventListener('change', changed)
  }, [query])
  return matches
}
