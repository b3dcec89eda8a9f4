import { Button, Group, Modal, Stack, TextInput } from '@mantine/core'
import { type FormEvent, type ReactNode, useEffect, useState } from 'react'

const nameLengthMax = 200

type Props = {
  readonly opened: boolean
  readonly onClose: () => void
  readonly title: string
  readonly action: string
  /** What the field holds at first. */
  readonly name?: string
  readonly onSubmit: (name: string) => void
  readonly isBusy?: boolean
  /** Why the server refused. */
  readonly problem?: string | undefined
  readonly children?: ReactNode
}

/** Asks for the name of a live input. */
export function NameDialog({ opened, onClose, title, action, name = '', onSubmit, isBusy, problem, children }: Props) {
  const [typed, setTyped] = useState(name)
  const [isAsked, setAsked] = useState(false)
  useEffect(() => {
    if (!opened) return
    setTyped(name)
    setAsked(false)
  }, [opened, name])
  const trimmed = typed.trim()
  const submitted = (event: FormEvent) => {
    event.preventDefault()
    setAsked(true)
    if (trimmed !== '') onSubmit(trimmed)
  }
  return (
    <Modal opened={opened} onClose={onClose} title={title} size="md">
      <form onSubmit={submitted}>
        <Stack gap="lg">
          {children}
          <TextInput
            label="Name"
            placeholder="Studio camera"
            data-autofocus
            maxLength={nameLengthMax}
            autoComplete="off"
            value={typed}
            onChange={({ currentTarget }) => setTyped(currentTarget.value)}
            error={problem ?? (isAsked && trimmed === '' ? 'Give it a name that tells it from the others.' : undefined)}
          />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={isBusy ?? false}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
