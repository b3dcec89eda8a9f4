import { Button, Group, Modal, Stack } from '@mantine/core'
import type { ReactNode } from 'react'

type Props = {
  readonly opened: boolean
  readonly onClose: () => void
  /** A question: "Delete Camera 1?" */
  readonly title: string
  /** What will be cut, and what cannot be had back. */
  readonly children: ReactNode
  /** What the button does: "Delete the live input". */
  readonly action: string
  readonly onConfirm: () => void
  readonly isBusy?: boolean
}

/** Asked before anything is cut or lost. The way out has the focus. */
export function ConfirmDanger({ opened, onClose, title, children, action, onConfirm, isBusy = false }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title={title} size="md">
      <Stack gap="lg">
        <div>{children}</div>
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose} data-autofocus>
            Cancel
          </Button>
          <Button color="red" onClick={onConfirm} loading={isBusy}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  )
}
