import { ActionIcon, Menu } from '@mantine/core'
import type { Current } from '../api/live.ts'
import { type Named, nameOf } from '../api/queries.ts'
import { MoreIcon, PencilIcon, PowerIcon, TrashIcon } from '../parts/icons.tsx'

/** What can be done with a live input as a whole. */
export type InputAction = 'rename' | 'switch' | 'delete'
export type ActedOn = Named & { readonly enabled: boolean; readonly current: Current | null | undefined }

type Props = { readonly input: ActedOn; readonly onAction: (action: InputAction, input: ActedOn) => void }

/** The same in the list and on the page of the input: one place for what is destructive. */
export function InputMenu({ input, onAction }: Props) {
  return (
    <Menu position="bottom-end" width={190}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`More for ${nameOf(input)}`}>
          <MoreIcon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<PencilIcon size={16} />} onClick={() => onAction('rename', input)}>
          Rename
        </Menu.Item>
        <Menu.Item leftSection={<PowerIcon size={16} />} onClick={() => onAction('switch', input)}>
          {input.enabled ? 'Disable' : 'Enable'}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" leftSection={<TrashIcon size={16} />} onClick={() => onAction('delete', input)}>
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
