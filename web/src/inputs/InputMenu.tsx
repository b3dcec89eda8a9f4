import { ActionIcon, Menu } from '@mantine/core'
import { useRef, useState } from 'react'
import type { Current } from '../api/live.ts'
import { type Named, nameOf, useMay } from '../api/queries.ts'
import { tellDone, tellProblem } from '../frame/notices.ts'
import { copyText } from '../parts/copy.ts'
import { CopyIcon, MoreIcon, PencilIcon, PowerIcon, TrashIcon } from '../parts/icons.tsx'
import { useAccount } from '../router.tsx'

/** What can be done with a live input as a whole. */
export type InputAction = 'rename' | 'switch' | 'delete'
export type ActedOn = Named & { readonly enabled: boolean; readonly current: Current | null | undefined }

type Props = { readonly input: ActedOn; readonly onAction: (action: InputAction, input: ActedOn) => void }

/** The same in the list and on the page of the input: one place for what is destructive. */
export function InputMenu({ input, onAction }: Props) {
  return useMay(useAccount(), 'write') ? <MenuButton input={input} onAction={onAction} /> : null
}

function MenuButton({ input, onAction }: Props) {
  const [isUsed, setUsed] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const look = { variant: 'subtle', color: 'gray', size: 'lg', 'aria-label': `More for ${nameOf(input)}` } as const
  // A menu costs more than the rest of a row, and most rows that scroll by are never asked for theirs.
  if (!isUsed)
    return (
      <ActionIcon {...look} aria-haspopup="menu" aria-expanded={false} onClick={() => setUsed(true)}>
        <MoreIcon />
      </ActionIcon>
    )
  const act = (action: InputAction) => {
    // A dialog gives the focus back to what had it: the entry is gone by then.
    button.current?.focus()
    onAction(action, input)
  }
  return (
    <Menu position="bottom-end" width={190} defaultOpened returnFocus={false} onClose={() => button.current?.focus()}>
      <Menu.Target>
        <ActionIcon {...look} ref={button}>
          <MoreIcon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<PencilIcon size={16} />} onClick={() => act('rename')}>
          Rename
        </Menu.Item>
        <Menu.Item leftSection={<PowerIcon size={16} />} onClick={() => act('switch')}>
          {input.enabled ? 'Disable' : 'Enable'}
        </Menu.Item>
        <Menu.Item leftSection={<CopyIcon size={16} />} onClick={() => void copyId(input)}>
          Copy the id
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" leftSection={<TrashIcon size={16} />} onClick={() => act('delete')}>
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

/** What programs call it. */
async function copyId({ uid }: ActedOn): Promise<void> {
  if (await copyText(uid)) tellDone('The id is on the clipboard', uid)
  else tellProblem('The browser does not allow it: select and copy the id by hand', uid)
}
