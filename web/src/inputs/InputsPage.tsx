import { Alert, Button, NativeSelect, Skeleton, TextInput, Title } from '@mantine/core'
import { useDeferredValue, useMemo, useRef, useState } from 'react'
import type { WireLiveInputItem } from '../../../src/api/schemas.ts'
import { currentOf, live, useStatesVersion, useSum } from '../api/live.ts'
import { useInputs } from '../api/queries.ts'
import { Bitrate } from '../parts/Bitrate.tsx'
import { EmptyState } from '../parts/EmptyState.tsx'
import { SearchIcon } from '../parts/icons.tsx'
import { useTitle } from '../use-title.ts'
import { CreateInput } from './CreateInput.tsx'
import { FirstSteps } from './FirstSteps.tsx'
import { useInputDialogs } from './InputDialogs.tsx'
import styles from './InputsPage.module.css'
import { InputsTable } from './InputsTable.tsx'
import { found, type Sort, sorted, sorts, sortWords } from './order.ts'
import { useOrder } from './use-order.ts'

const sortKey = 'stream-connect-sort'
const skeletonRows = ['a', 'b', 'c', 'd', 'e', 'f']

/** All live inputs of an account. */
export function InputsPage({ account }: { readonly account: string }) {
  const inputs = useInputs(account)
  const all = inputs.data
  useTitle('Live inputs')
  if (all?.length === 0) return <FirstSteps action={<CreateInput account={account} />} />
  return (
    <>
      <div className={styles['head']}>
        <div>
          <Title order={1}>Live inputs</Title>
          <Summary count={all?.length} />
        </div>
        <CreateInput account={account} />
      </div>
      {inputs.isError && all === undefined ? (
        <Alert color="red" title="The live inputs could not be listed" role="alert">
          {inputs.error.message}{' '}
          <Button size="xs" variant="default" onClick={() => inputs.refetch()}>
            Try again
          </Button>
        </Alert>
      ) : all === undefined ? (
        <div className={styles['loading']}>
          {skeletonRows.map((row) => (
            <Skeleton key={row} height={40} />
          ))}
        </div>
      ) : (
        <Inputs account={account} all={all} />
      )}
    </>
  )
}

function Inputs({ account, all }: { readonly account: string; readonly all: readonly WireLiveInputItem[] }) {
  const [search, setSearch] = useState('')
  const [sort, setSort] = useState<Sort>(() => readSort())
  const wanted = useDeferredValue(search)
  const version = useStatesVersion()
  const { act, dialogs } = useInputDialogs(account)
  const list = useRef<HTMLDivElement>(null)

  const byId = useMemo(() => new Map(all.map((item) => [item.uid, item])), [all])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the version stands for the states in the store
  const right = useMemo(
    () => sorted(found(all, wanted), sort, ({ uid, summary }) => currentOf(live.inputStatus(uid), summary?.status)),
    [all, wanted, sort, version],
  )
  const order = useOrder(list, right, `${sort} ${wanted}`)

  const choose = (chosen: Sort) => {
    setSort(chosen)
    localStorage.setItem(sortKey, chosen)
  }
  return (
    <>
      <search className={styles['tools']}>
        <TextInput
          className={styles['search'] ?? ''}
          aria-label="Search by name or id"
          placeholder="Name or id"
          type="search"
          leftSection={<SearchIcon size={16} />}
          value={search}
          onChange={({ currentTarget }) => setSearch(currentTarget.value)}
        />
        <NativeSelect
          aria-label="Order"
          value={sort}
          onChange={({ currentTarget }) => choose(currentTarget.value as Sort)}
          data={sorts.map((value) => ({ value, label: sortWords[value] }))}
        />
        <span className={styles['found']} role="status">
          {wanted === '' ? '' : `${right.length} of ${all.length}`}
        </span>
      </search>
      <div ref={list}>
        {order.length === 0 ? (
          <div className={styles['card']}>
            <EmptyState
              title="No live input has this in its name"
              action={
                <Button variant="default" onClick={() => setSearch('')}>
                  Show all
                </Button>
              }
            />
          </div>
        ) : (
          <InputsTable account={account} order={order} byId={byId} onAction={act} />
        )}
      </div>
      {dialogs}
    </>
  )
}

/** How many are live, and what all of them carry. The line is there from the first moment, so that nothing moves. */
function Summary({ count }: { readonly count: number | undefined }) {
  const sum = useSum()
  return (
    <p className={styles['summary']}>
      {count === undefined ? '\u00a0' : `${count} in all`}
      {sum !== undefined && count !== undefined && (
        <>
          {' · '}
          {sum.inputs} live
          {sum.inputs > 0 && (
            <>
              {' · '}
              <Bitrate kbps={sum.ingressKbps} /> in, <Bitrate kbps={sum.egressKbps} /> out
            </>
          )}
        </>
      )}
    </p>
  )
}

function readSort(): Sort {
  const kept = localStorage.getItem(sortKey)
  return sorts.find((sort) => sort === kept) ?? 'state'
}
