import { Button, NativeSelect, Skeleton } from '@mantine/core'
import { useState } from 'react'
import type { WireDelivery } from '../../../src/api/webhook-schemas.ts'
import type { DeliveryState } from '../../../src/model/webhook.ts'
import { ApiFailure } from '../api/client.ts'
import { nameOf, useInputs, useMay } from '../api/queries.ts'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import { StateBadge, type Tone } from '../parts/StateBadge.tsx'
import { Link } from '../router.tsx'
import styles from './Rows.module.css'
import { eventWords, outcomeWords, useDeliveries, useResend, useWebhooks } from './webhooks.ts'

const stateWords: Readonly<Record<DeliveryState, { readonly words: string; readonly tone: Tone }>> = {
  delivered: { words: 'Delivered', tone: 'good' },
  pending: { words: 'Waiting', tone: 'wait' },
  failed: { words: 'Failed', tone: 'bad' },
}

/** What became of each notification. */
export function DeliveriesSection({ account }: { readonly account: string }) {
  const { data: webhooks = [] } = useWebhooks(account)
  const { data: inputs = [] } = useInputs(account)
  const [destination, setDestination] = useState('')
  const [state, setState] = useState<DeliveryState | ''>('')
  const { data, error, hasNextPage, fetchNextPage, isFetchingNextPage } = useDeliveries(account, destination, state)
  const deliveries = data?.pages.flatMap(({ result }) => result)
  const receiverOf = (id: string) => webhooks.find((webhook) => webhook.destination.id === id)?.destination.name
  const inputOf = (id: string) => inputs.find(({ uid }) => uid === id)
  return (
    <Panel
      title="Recent deliveries"
      isFlush
      actions={
        <div className={styles['filters']}>
          <NativeSelect
            size="xs"
            aria-label="Deliveries to"
            value={destination}
            onChange={(event) => setDestination(event.currentTarget.value)}
            data={[
              { value: '', label: 'To all webhooks' },
              ...webhooks.map((webhook) => ({ value: webhook.destination.id, label: webhook.destination.name })),
            ]}
          />
          <NativeSelect
            size="xs"
            aria-label="Deliveries with the outcome"
            value={state}
            onChange={(event) => setState(event.currentTarget.value as DeliveryState | '')}
            data={[
              { value: '', label: 'Any outcome' },
              ...Object.entries(stateWords).map(([value, { words }]) => ({ value, label: words })),
            ]}
          />
        </div>
      }
    >
      {deliveries === undefined ? (
        error === null ? (
          <Skeleton height={52} m={16} w="auto" />
        ) : (
          <p className={styles['said']} data-tone="bad">
            {error instanceof ApiFailure ? error.message : 'The page made a mistake. Reload it, and try again.'}
          </p>
        )
      ) : deliveries.length === 0 ? (
        <p className={styles['said']}>
          Nothing was sent in the last three days{state !== '' && ', with this outcome'}.
        </p>
      ) : (
        <ul className={styles['rows']}>
          {deliveries.map((delivery) => (
            <Row
              key={delivery.id}
              account={account}
              delivery={delivery}
              receiver={receiverOf(delivery.destination_id)}
              input={inputOf(delivery.input_id)}
            />
          ))}
        </ul>
      )}
      {hasNextPage && (
        <Button variant="subtle" fullWidth radius={0} onClick={() => void fetchNextPage()} loading={isFetchingNextPage}>
          Show older ones
        </Button>
      )}
    </Panel>
  )
}

type RowProps = {
  readonly account: string
  readonly delivery: WireDelivery
  readonly receiver: string | undefined
  readonly input: Parameters<typeof nameOf>[0] | undefined
}

function Row({ account, delivery, receiver = 'a webhook that was deleted', input }: RowProps) {
  const resend = useResend(account)
  const mayWrite = useMay(account, 'write')
  const { event_type, state, attempts, created_at, next_attempt_at, last_outcome, out_of_order } = delivery
  const { words, tone } = stateWords[state]
  const sendWords = state === 'pending' ? 'Send now' : 'Send again'
  return (
    <li className={styles['row']} aria-label={`${eventWords[event_type]}, to ${receiver}`}>
      <div className={styles['what']}>
        <div className={styles['name']}>
          {eventWords[event_type]}
          <StateBadge tone={tone}>{words}</StateBadge>
        </div>
        <p className={styles['more']}>
          {input === undefined ? (
            'A live input that was deleted'
          ) : (
            <Link to={{ name: 'input', account, input: input.uid }}>{nameOf(input)}</Link>
          )}{' '}
          → {receiver}
          {out_of_order && ' · overtook an earlier one'}
        </p>
        {last_outcome !== undefined && (
          <p className={styles['more']} data-tone={state === 'delivered' ? undefined : 'bad'}>
            {outcomeWords(last_outcome)}
          </p>
        )}
      </div>
      <dl className={styles['times']}>
        <div>
          <dt>Happened</dt>
          <dd>
            <RelativeTime at={created_at} />
          </dd>
        </div>
        <div>
          <dt>Attempts</dt>
          <dd className="numbers">{attempts}</dd>
        </div>
        {next_attempt_at !== undefined && (
          <div>
            <dt>Next</dt>
            <dd>
              <RelativeTime at={next_attempt_at} />
            </dd>
          </div>
        )}
      </dl>
      <div className={styles['actions']}>
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => resend.mutate(delivery)}
          loading={resend.isPending}
          disabled={!mayWrite}
          aria-label={`${sendWords}: ${eventWords[event_type]}, to ${receiver}`}
        >
          {sendWords}
        </Button>
      </div>
    </li>
  )
}
