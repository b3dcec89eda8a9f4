import { Button, Checkbox, Group, Modal, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { WebhookEventType } from '../../../src/model/webhook.ts'
import { ApiFailure } from '../api/client.ts'
import { ShownOnce } from './ShownOnce.tsx'
import {
  allEvents,
  eventsOf,
  eventWords,
  inputEvents,
  ownPolicyOf,
  useCreateWebhook,
  useEditWebhook,
  type Webhook,
} from './webhooks.ts'

type Props = {
  readonly account: string
  readonly opened: boolean
  /** Undefined: a new one. */
  readonly edited: Webhook | undefined
  readonly onClose: () => void
}

export function WebhookDialog({ account, opened, edited, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={edited === undefined ? 'Add a webhook' : `Edit ${edited.destination.name}`}
      closeOnClickOutside={false}
    >
      <Form account={account} edited={edited} onClose={onClose} />
    </Modal>
  )
}

/** Mounted anew each time that the dialog opens. Saving sends a test, which the receiver must take. */
function Form({ account, edited, onClose }: Omit<Props, 'opened'>) {
  const create = useCreateWebhook(account)
  const edit = useEditWebhook(account, edited)
  const [name, setName] = useState(edited?.destination.name ?? '')
  const [url, setUrl] = useState(edited?.destination.url ?? '')
  const [secret, setSecret] = useState('')
  const [events, setEvents] = useState<string[]>(edited === undefined ? [...inputEvents] : eventsOf(edited))
  if (create.data !== undefined)
    return (
      <ShownOnce
        name="signing secret"
        value={create.data.signing_secret}
        words="With it the receiver verifies the header webhook-signature (Standard Webhooks). The test was delivered; from now on it is told what happens."
        onDone={onClose}
      />
    )
  const { error } = edited === undefined ? create : edit
  const refused = (pointer: string) => (error instanceof ApiFailure ? error.at(pointer) : undefined)
  const isFixed = edited !== undefined && edited.policies.length > 0 && ownPolicyOf(edited) === undefined
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const chosen = allEvents.filter((each): each is WebhookEventType => events.includes(each))
    const wish = { name: name.trim(), url: url.trim(), secret, events: chosen }
    if (edited === undefined) create.mutate(wish)
    else edit.mutate(wish, { onSuccess: onClose })
  }
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <TextInput
          label="Name"
          placeholder="Control room"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={refused('/name')}
          autoComplete="off"
          data-autofocus
          required
        />
        <TextInput
          label="Url"
          description="It gets a test now, and must answer with 2xx."
          placeholder="https://example.com/hooks/live"
          value={url}
          onChange={(event) => setUrl(event.currentTarget.value)}
          error={refused('/url')}
          spellCheck={false}
          autoComplete="off"
          required
        />
        <PasswordInput
          label="Secret"
          description="As with Cloudflare: sent in the header cf-webhook-auth. A signature after Standard Webhooks is always sent."
          placeholder={edited === undefined ? 'none' : 'as it is'}
          value={secret}
          onChange={(event) => setSecret(event.currentTarget.value)}
          error={refused('/secret')}
          autoComplete="new-password"
          visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the secret' }}
        />
        {isFixed ? (
          <Text size="sm" c="dimmed">
            What it is told is set by policies that were made over the API; change them there.
          </Text>
        ) : (
          <Checkbox.Group
            label="Tell it when"
            value={events}
            onChange={setEvents}
            error={refused('/filters/event_type')}
          >
            <Stack gap={8} mt={6}>
              {allEvents.map((event) => (
                <Checkbox key={event} value={event} label={eventWords[event]} />
              ))}
            </Stack>
          </Checkbox.Group>
        )}
        {error !== null && !['/name', '/url', '/secret', '/filters/event_type'].some(refused) && (
          <Text role="alert" size="sm" c="var(--app-bad)">
            Not saved: {error instanceof ApiFailure ? error.message : 'the page made a mistake.'}
          </Text>
        )}
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={create.isPending || edit.isPending} disabled={events.length === 0 && !isFixed}>
            {edited === undefined ? 'Test and add' : 'Save'}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
