import { Button, Checkbox, Group, Modal, NativeSelect, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { Scope } from '../../../src/model/access-token.ts'
import { ApiFailure } from '../api/client.ts'
import { ShownOnce } from './ShownOnce.tsx'
import { scopeWords, useCreateToken } from './tokens.ts'

type Props = { readonly account: string; readonly opened: boolean; readonly onClose: () => void }

const scopes = Object.keys(scopeWords) as Scope[]
const dayMs = 86_400_000
const lifetimes = [
  { value: '', label: 'Never' },
  { value: '7', label: 'In 7 days' },
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
]

export function CreateToken({ account, opened, onClose }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title="Create an API token" closeOnClickOutside={false}>
      <Form account={account} onClose={onClose} />
    </Modal>
  )
}

/** Mounted anew each time that the dialog opens. */
function Form({ account, onClose }: Pick<Props, 'account' | 'onClose'>) {
  const create = useCreateToken(account)
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<string[]>(['Stream Read'])
  const [days, setDays] = useState('')
  if (create.data !== undefined)
    return (
      <ShownOnce
        name="token"
        value={create.data.value}
        words={`Programs send it as "Authorization: Bearer …". Its rights are those of ${create.data.name}.`}
        onDone={onClose}
      />
    )
  const refused = (pointer: string) => (create.error instanceof ApiFailure ? create.error.at(pointer) : undefined)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate({
      name: name.trim(),
      scopes: scopes.filter((scope) => chosen.includes(scope)),
      ...(days !== '' && { expires_on: new Date(Date.now() + Number(days) * dayMs).toISOString() }),
    })
  }
  const elsewhere = create.error !== null && !['/name', '/scopes', '/expires_on'].some(refused)
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <TextInput
          label="Name"
          placeholder="Control room"
          description="Whose it is: the access log calls it so."
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={refused('/name')}
          autoComplete="off"
          data-autofocus
          required
        />
        <Checkbox.Group label="It may" value={chosen} onChange={setChosen} error={refused('/scopes')}>
          <Stack gap="xs" mt={6}>
            {scopes.map((scope) => (
              <Checkbox
                key={scope}
                value={scope}
                label={scopeWords[scope].title}
                description={scopeWords[scope].meaning}
              />
            ))}
          </Stack>
        </Checkbox.Group>
        <NativeSelect
          label="Expires"
          data={lifetimes}
          value={days}
          onChange={(event) => setDays(event.currentTarget.value)}
          error={refused('/expires_on')}
        />
        {elsewhere && (
          <Text role="alert" size="sm" c="var(--app-bad)">
            Not created: {create.error instanceof ApiFailure ? create.error.message : 'the page made a mistake.'}
          </Text>
        )}
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={create.isPending}>
            Create token
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
