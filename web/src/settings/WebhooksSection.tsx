import { ActionIcon, Button, Group, Menu, Skeleton, Text } from '@mantine/core'
import { useState } from 'react'
import { ApiFailure } from '../api/client.ts'
import { useMay } from '../api/queries.ts'
import { ConfirmDanger } from '../parts/ConfirmDanger.tsx'
import { MoreIcon, PencilIcon, PlusIcon, TrashIcon } from '../parts/icons.tsx'
import { Panel } from '../parts/Panel.tsx'
import { RelativeTime } from '../parts/RelativeTime.tsx'
import styles from './Rows.module.css'
import { WebhookDialog } from './WebhookDialog.tsx'
import {
  eventsOf,
  eventWords,
  outcomeWords,
  useDeleteWebhook,
  useTestWebhook,
  useWebhooks,
  type Webhook,
} from './webhooks.ts'

type Dialog = { readonly name: 'create' } | { readonly name: 'edit' | 'delete'; readonly webhook: Webhook }

/** Programs that are told what happens. */
export function WebhooksSection({ account }: { readonly account: string }) {
  const { data: webhooks, error } = useWebhooks(account)
  const remove = useDeleteWebhook(account)
  const mayWrite = useMay(account, 'write')
  const [dialog, setDialog] = useState<Dialog>()
  const close = () => setDialog(undefined)
  return (
    <Panel
      title="Webhooks"
      isFlush
      actions={
        mayWrite && (
          <Button
            size="sm"
            leftSection={<PlusIcon size={16} />}
            onClick={() => setDialog({ name: 'create' })}
            disabled={webhooks === undefined}
          >
            Add webhook
          </Button>
        )
      }
    >
      {webhooks === undefined ? (
        error === null ? (
          <Skeleton height={52} m={16} w="auto" />
        ) : (
          <p className={styles['said']} data-tone="bad">
            {error instanceof ApiFailure ? error.message : 'The page made a mistake. Reload it, and try again.'}
          </p>
        )
      ) : webhooks.length === 0 ? (
        <p className={styles['said']}>
          None yet. A program of yours can be told when a live input goes on air or ends, and when an output is in
          trouble: signed, in order, and again until it has answered.
        </p>
      ) : (
        <ul className={styles['rows']}>
          {webhooks.map((webhook) => (
            <Row
              key={webhook.destination.id}
              account={account}
              webhook={webhook}
              mayWrite={mayWrite}
              onDialog={(name) => setDialog({ name, webhook })}
            />
          ))}
        </ul>
      )}
      <WebhookDialog
        account={account}
        opened={dialog?.name === 'create' || dialog?.name === 'edit'}
        edited={dialog?.name === 'edit' ? dialog.webhook : undefined}
        onClose={close}
      />
      <ConfirmDanger
        opened={dialog?.name === 'delete'}
        onClose={close}
        title={dialog?.name === 'delete' ? `Delete ${dialog.webhook.destination.name}?` : ''}
        action="Delete the webhook"
        onConfirm={() => {
          if (dialog?.name === 'delete') remove.mutate(dialog.webhook)
          close()
        }}
      >
        <Text size="sm">
          Nothing more is sent to it, and what still waits for it fails. Its secrets are forgotten; a new one for the
          same address has new ones.
        </Text>
      </ConfirmDanger>
    </Panel>
  )
}

type RowProps = {
  readonly account: string
  readonly webhook: Webhook
  readonly mayWrite: boolean
  readonly onDialog: (name: 'edit' | 'delete') => void
}

function Row({ account, webhook, mayWrite, onDialog }: RowProps) {
  const { name, url, last_success, last_failure } = webhook.destination
  const events = eventsOf(webhook)
  const test = useTestWebhook(account)
  return (
    <li className={styles['row']} aria-label={name}>
      <div className={styles['what']}>
        <div className={styles['name']}>{name}</div>
        <p className={styles['more']}>{url}</p>
        <p className={styles['more']}>
          {events.length === 0
            ? 'Is told nothing: no policy names it.'
            : `Is told: ${events.map((event) => eventWords[event].toLowerCase()).join(' · ')}`}
        </p>
        <p className={styles['more']} role="status" data-tone={test.data?.delivered === false ? 'bad' : undefined}>
          {test.data !== undefined &&
            `${test.data.delivered ? 'The test was delivered' : 'The test was not delivered'}: ${outcomeWords(test.data.outcome)}`}
        </p>
      </div>
      <dl className={styles['times']}>
        <div>
          <dt>Last delivered</dt>
          <dd>{last_success === undefined ? 'never' : <RelativeTime at={last_success} />}</dd>
        </div>
        <div>
          <dt>Last failed</dt>
          <dd>{last_failure === undefined ? 'never' : <RelativeTime at={last_failure} />}</dd>
        </div>
      </dl>
      {mayWrite && (
        <Group className={styles['actions'] ?? ''} gap={4}>
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => test.mutate(webhook)}
            loading={test.isPending}
            aria-label={`Send test to ${name}`}
          >
            Send test
          </Button>
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`More for ${name}`}>
                <MoreIcon />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<PencilIcon size={16} />} onClick={() => onDialog('edit')}>
                Edit
              </Menu.Item>
              <Menu.Item color="red" leftSection={<TrashIcon size={16} />} onClick={() => onDialog('delete')}>
                Delete
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
      )}
    </li>
  )
}
